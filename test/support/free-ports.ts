import { randomInt } from 'node:crypto';
import net from 'node:net';

/**
 * Below the ports that a system gives to whoever asks for any, and below NodePorts: nobody else comes upon one of these by
 * chance while it is free, not even another run of the tests.
 */
const [first, last] = [10_000, 29_999];

/** Ports of 127.0.0.1 that nobody listens on; all are held until the last is found, so that they differ. */
export async function findFreePorts(count: number): Promise<number[]> {
  const servers: net.Server[] = [];
  while (servers.length < count) {
    const server = net.createServer();
    if (await tryToListen(server, randomInt(first, last + 1))) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Whether it does; not, where something else listens on the port. */
function tryToListen(server: net.Server, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
}

/** Whether something listens on the port. */
export async function isListening(port: number, host = '127.0.0.1'): Promise<boolean> {
  const socket = net.connect(port, host);
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}
