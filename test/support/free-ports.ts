import { randomInt } from 'node:crypto';
import net from 'node:net';

/**
 * Below the ports that a system gives to whoever asks for any, and below NodePorts: nobody else comes upon one of these by
 * chance while it is free, not even another run of the tests.
 */
const [first, last] = [10_000, 29_999];

/** Each of the workers, whose tests run side by side, has some of them for itself: a port is not in use from when it is found. */
const workers = 16;
const width = Math.floor((last - first + 1) / workers);
const firstOfWorker = first + (Number(process.env.VITEST_POOL_ID ?? 0) % workers) * width;
const given = new Set<number>();

/** Ports of 127.0.0.1 that nobody listens on, and that no test of this process was given before. */
export async function findFreePorts(count: number): Promise<number[]> {
  const servers: net.Server[] = [];
  while (servers.length < count) {
    const server = net.createServer();
    const port = firstOfWorker + randomInt(width);
    if (given.has(port) || !(await tryToListen(server, port))) continue;
    given.add(port);
    servers.push(server);
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
