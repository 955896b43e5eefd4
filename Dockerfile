# The server of the functions, as an image: docker build -t sandbox-provisioner . (docs/compose.md)
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
# A source map is for who reads stack traces, on a machine with the sources.
RUN npm run build && rm .build/server/lib/server/main.cjs.map

FROM node:24-bookworm-slim
# curl is for the health check of DeerFlow's compose file. That file mounts the kubeconfig below /root, which is empty here: whoever owns
# the kubeconfig may go through.
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/* && chmod 711 /root
WORKDIR /app
COPY --from=build /src/.build/server .
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8002
USER 1000:1000
EXPOSE 8002
HEALTHCHECK --interval=10s --timeout=5s --retries=6 CMD curl -fs "http://localhost:${PORT}/health"
CMD ["node", "lib/server/main.cjs"]
