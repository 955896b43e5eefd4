import { randomInt } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';

/** Why a port was not given out; `message` is Kubernetes' own. */
export class NodePortError extends Error {
  readonly isRangeFull: boolean;

  constructor(message: string, isRangeFull: boolean) {
    super(message);
    this.name = 'NodePortError';
    this.isRangeFull = isRangeFull;
  }
}

export type NodePorts = {
  /**
   * Takes a port of the range, a random one when none is asked for, and listens on it. Throws `NodePortError`.
   * A port that something else on this machine listens on counts as allocated.
   */
  allocate(wanted: number | undefined): Promise<number>;
  /** The port that `allocate` could give, without taking it; throws what it would. */
  pick(wanted: number | undefined): number;
  release(port: number): void;
  close(): Promise<void>;
};

/**
 * The NodePorts of all Services, really listening on 127.0.0.1. `connect` is handed every connection, with the
 * port it came to.
 */
export function createNodePorts(
  [first, last]: readonly [number, number],
  connect: (port: number, socket: Socket) => void,
): NodePorts {
  const servers = new Map<number, Server>();
  const sockets = new Set<Socket>();
  let isClosed = false;

  function listen(port: number): Promise<boolean> {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      connect(port, socket);
    });
    // Taken before the first await: two requests never get the same port.
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

  function check(wanted: number | undefined): void {
    if (wanted === undefined) {
      if (servers.size > last - first) throw new NodePortError('range is full', true);
      return;
    }
    if (wanted < first || wanted > last) {
      const range = `The range of valid ports is ${first}-${last}`;
      throw new NodePortError(`provided port is not in the valid range. ${range}`, false);
    }
    if (servers.has(wanted)) throw new NodePortError('provided port is already allocated', false);
  }

  return {
    pick(wanted) {
      check(wanted);
      if (wanted !== undefined) return wanted;
      let port = randomInt(first, last + 1);
      while (servers.has(port)) port = port === last ? first : port + 1;
      return port;
    },
    async allocate(wanted) {
      check(wanted);
      if (wanted !== undefined) {
        if (await listen(wanted)) return wanted;
        throw new NodePortError('provided port is already allocated', false);
      }
      // From a random place once around the range, as Kubernetes' own allocator does.
      const size = last - first + 1;
      const start = randomInt(size);
      for (let step = 0; step < size; step += 1) {
        const port = first + ((start + step) % size);
        if (!servers.has(port) && (await listen(port))) return port;
      }
      throw new NodePortError('range is full', true);
    },
    release(port) {
      servers.get(port)?.close();
      servers.delete(port);
    },
    async close() {
      isClosed = true;
      for (const socket of sockets) socket.destroy();
      await Promise.all(
        [...servers.values()].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
      );
      servers.clear();
    },
  };
}
