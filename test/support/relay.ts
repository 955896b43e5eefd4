import net, { type AddressInfo, type Socket } from 'node:net';

/** What stands between a client and a server, a NAT for one, and passes on what comes, until it is told otherwise. */
export interface Relay {
  readonly port: number;
  /** How many connections have been opened through it. */
  connections(): number;
  /** Forgets the connections that are open: nothing passes any more, and nobody is told. New ones are served. */
  forget(): void;
  /** Spoils the open connections: what the client reads next on each is not what the server sent. */
  garble(): void;
  close(): Promise<void>;
}

/** Starts one in front of a port of this machine. */
export async function startRelay(port: number): Promise<Relay> {
  const pairs = new Set<[client: Socket, upstream: Socket]>();
  let connections = 0;
  const server = net.createServer((client) => {
    connections += 1;
    const upstream = net.connect(port, '127.0.0.1');
    const pair: [Socket, Socket] = [client, upstream];
    pairs.add(pair);
    for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
      from.on('data', (data) => {
        if (pairs.has(pair)) to.write(data);
      });
      from.on('error', () => {});
      from.on('close', () => {
        if (pairs.has(pair)) to.destroy();
      });
    }
  });
  const all = new Set<Socket>();
  server.on('connection', (socket: Socket) => all.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    forget: () => pairs.clear(),
    garble() {
      for (const [client] of pairs) client.write('this is no TLS, but long enough to be read as something');
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of all) socket.destroy();
      for (const [, upstream] of pairs) upstream.destroy();
      await closed;
    },
  };
}
