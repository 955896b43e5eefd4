import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';

/** A proxy that connections are made through, as a kubeconfig's `proxy-url` names one. */
export interface ForwardProxy {
  readonly url: string;
  /** Where connections were asked for, `host:port`, in order. */
  readonly targets: readonly string[];
  close(): Promise<void>;
}

/** A proxy that speaks CONNECT (RFC 9110, 9.3.6). All connections go to `port` of this machine, whatever they ask for. */
export async function startConnectProxy(port: number): Promise<ForwardProxy> {
  const targets: string[] = [];
  const server = http.createServer((_request, response) => response.writeHead(405).end());
  server.on('connect', (request: http.IncomingMessage, client: Socket) => {
    targets.push(request.url ?? '');
    const upstream = net.connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      join(client, upstream);
    });
  });
  return listen(server, 'http', targets);
}

/** A proxy that speaks SOCKS 5 (RFC 1928), without a login. All connections go to `port` of this machine. */
export async function startSocksProxy(port: number): Promise<ForwardProxy> {
  const targets: string[] = [];
  const server = net.createServer((client) => {
    client.once('data', () => {
      client.write(Buffer.from([5, 0]));
      client.once('data', (request: Buffer) => {
        targets.push(readTarget(request));
        const upstream = net.connect(port, '127.0.0.1', () => {
          client.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]));
          join(client, upstream);
        });
      });
    });
  });
  return listen(server, 'socks5h', targets);
}

function readTarget(request: Buffer): string {
  const isName = request[3] === 3;
  const end = isName ? 5 + (request[4] ?? 0) : 8;
  const host = isName ? request.toString('utf8', 5, end) : [...request.subarray(4, end)].join('.');
  return `${host}:${request.readUInt16BE(end)}`;
}

function join(client: Socket, upstream: Socket): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}

async function listen(server: net.Server, scheme: string, targets: string[]): Promise<ForwardProxy> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    targets,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
