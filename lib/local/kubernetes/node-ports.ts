import { randomInt } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Pod } from './objects.ts';
import type { Store } from './store.ts';

export type NodePorts = {
  /**
   * Takes a random port of the range and listens on it; undefined when there is none left. A port that something else on
   * this machine listens on counts as allocated.
   */
  allocate(): Promise<number | undefined>;
  /** For one whose Service was not made, or not changed, after all; those of a Service that goes are released by themselves. */
  release(port: number): void;
  close(): Promise<void>;
};

const MESSAGE = 'This is a stand-in of the embedded Kubernetes, not a real sandbox: it runs nothing.';

/** What runs in a sandbox Pod here: it answers like a sandbox that is up, and says that it is none. */
function answerAsStandIn(pod: Pod, request: IncomingMessage, response: ServerResponse): void {
  const isProbe = request.method === 'GET' && request.url?.split('?')[0] === '/v1/sandbox';
  const status = isProbe ? 'ready' : 'not found';
  response.writeHead(isProbe ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ status, stand_in: true, pod: pod.metadata.name, message: MESSAGE }));
  request.resume();
}

const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  (status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ?? false);

/** The NodePorts of all Services, really listening on 127.0.0.1; behind each, the stand-in of its Pod. */
export function createNodePorts([first, last]: readonly [number, number], store: Store): NodePorts {
  const servers = new Map<number, Server>();
  let isClosed = false;

  /** The Pod behind a NodePort: a Ready one that stays, or one that runs at all where the Service says so. */
  function findPod(port: number): Pod | undefined {
    const service = store.list('Service').find(({ spec }) => spec.ports.some(({ nodePort }) => nodePort === port));
    const selector = Object.entries(service?.spec.selector ?? {});
    if (service === undefined || selector.length === 0) return undefined;
    return store
      .list('Pod', service.metadata.namespace)
      .find(
        (pod) =>
          pod.status.phase === 'Running' &&
          (service.spec.publishNotReadyAddresses || isReady(pod)) &&
          selector.every(([key, value]) => pod.metadata.labels?.[key] === value),
      );
  }

  function listen(port: number): Promise<boolean> {
    const server = createServer((request, response) => {
      const pod = findPod(port);
      if (pod === undefined) request.socket.resetAndDestroy();
      else answerAsStandIn(pod, request, response);
    });
    // A NodePort without endpoints refuses connections.
    server.on('connection', (socket) => findPod(port) ?? socket.resetAndDestroy());
    // Taken before it listens: two requests never get the same port.
    servers.set(port, server);
    return new Promise((resolve) => {
      server.once('error', () => {
        servers.delete(port);
        resolve(false);
      });
      server.listen(port, '127.0.0.1', () => {
        if (isClosed) server.close();
        resolve(true);
      });
    });
  }

  function release(port: number): Promise<unknown> {
    const server = servers.get(port);
    servers.delete(port);
    const closed = new Promise((resolve) => (server === undefined ? resolve(port) : server.close(resolve)));
    server?.closeAllConnections();
    return closed;
  }

  store.onChange((now, before) => {
    if (before?.kind !== 'Service') return;
    const kept = new Set(now?.kind === 'Service' ? now.spec.ports.map(({ nodePort }) => nodePort) : []);
    for (const { nodePort } of before.spec.ports) if (nodePort !== undefined && !kept.has(nodePort)) release(nodePort);
  });

  return {
    async allocate() {
      // From a random place once around the range, as Kubernetes' own allocator does.
      const size = last - first + 1;
      const start = randomInt(size);
      for (let step = 0; step < size; step += 1) {
        const port = first + ((start + step) % size);
        if (!servers.has(port) && (await listen(port))) return port;
      }
      return undefined;
    },
    release,
    async close() {
      isClosed = true;
      await Promise.all([...servers.keys()].map(release));
    },
  };
}
