import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { Identity } from './certificate.ts';

/** A proxy that connections are made through, as a kubeconfig's `proxy-url` names one. */
export interface ForwardProxy {
  readonly url: string;
  readonly port: number;
  /** Where connections were asked for, `host:port`, in order. */
  readonly targets: readonly string[];
  close(): Promise<void>;
}

type Options = {
  /** Who may go through, `name:password`; unset, everybody may. */
  login?: string;
  /** What it says to all who ask for a connection, in place of making one: an HTTP status, or the reply of SOCKS. */
  refusal?: number;
  /** The address that it listens on. */
  address?: string;
};

/**
 * A proxy that speaks CONNECT (RFC 9110, 9.3.6), over TLS if it is given a certificate. All connections go to `port` of this
 * machine, whatever they ask for.
 */
export async function startConnectProxy(
  port: number,
  { login, refusal, address, identity }: Options & { identity?: Identity } = {},
): Promise<ForwardProxy> {
  const targets: string[] = [];
  const authorization = login && `Basic ${Buffer.from(login).toString('base64')}`;
  const answer: http.RequestListener = (_request, response) => response.writeHead(405).end();
  const server =
    identity === undefined
      ? http.createServer(answer)
      : https.createServer({ cert: identity.certificate, key: identity.key }, answer);
  server.on('connect', (request: http.IncomingMessage, client: Socket) => {
    const mayPass = authorization === undefined || request.headers['proxy-authorization'] === authorization;
    const status = mayPass ? refusal : 407;
    if (status !== undefined) return void client.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    targets.push(request.url ?? '');
    const upstream = net.connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      join(client, upstream);
    });
  });
  return listen(server, identity === undefined ? 'http' : 'https', targets, address);
}

/** A proxy that speaks SOCKS 5 (RFC 1928, and 1929 for the log-in). All connections go to `port` of this machine. */
export async function startSocksProxy(port: number, { login, refusal, address }: Options = {}): Promise<ForwardProxy> {
  const targets: string[] = [];
  const server = net.createServer(async (client) => {
    const next = () => new Promise<Buffer>((resolve) => client.once('data', resolve));
    const methods = (await next()).subarray(2);
    const method = login === undefined ? 0 : 2;
    if (!methods.includes(method)) return void client.end(Buffer.from([5, 255]));
    client.write(Buffer.from([5, method]));
    if (login !== undefined) {
      const isRight = readLogin(await next()) === login;
      client.write(Buffer.from([1, isRight ? 0 : 1]));
      if (!isRight) return;
    }
    const request = await next();
    if (refusal !== undefined) return void client.end(Buffer.from([5, refusal, 0, 1, 0, 0, 0, 0, 0, 0]));
    targets.push(readTarget(request));
    const upstream = net.connect(port, '127.0.0.1', () => {
      client.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]));
      join(client, upstream);
    });
  });
  return listen(server, 'socks5', targets, address);
}

function readLogin(message: Buffer): string {
  const end = 2 + (message[1] ?? 0);
  return `${message.toString('utf8', 2, end)}:${message.toString('utf8', end + 1)}`;
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

async function listen(
  server: net.Server,
  scheme: string,
  targets: string[],
  address = '127.0.0.1',
): Promise<ForwardProxy> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${scheme}://${net.isIPv6(address) ? `[${address}]` : address}:${port}`,
    port,
    targets,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
