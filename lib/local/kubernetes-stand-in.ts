import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';

/** What runs in a sandbox Pod here: it answers like a sandbox that is up, and says that it is none. */
export type StandIn = {
  /** Serves one connection, whatever port it came to. */
  connect(socket: Socket): void;
  close(): void;
};

const MESSAGE = 'This is a stand-in of the embedded Kubernetes, not a real sandbox: it runs nothing.';

/** Starts the stand-in of one Pod; it listens on no port of its own. */
export function createStandIn(podName: string): StandIn {
  const sockets = new Set<Socket>();
  const server: Server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0];
    const isProbe = path === '/v1/sandbox' && (request.method === 'GET' || request.method === 'HEAD');
    const body = { status: isProbe ? 'ready' : 'not found', stand_in: true, pod: podName, message: MESSAGE };
    response.writeHead(isProbe ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
    request.resume();
  });
  return {
    connect(socket) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      server.emit('connection', socket);
    },
    close() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
