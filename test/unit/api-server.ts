import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { keepSecret } from '../support/secrets.ts';

/** A request as the server read it. */
export type SeenRequest = { method: string; url: string; headers: http.IncomingHttpHeaders; body: string };

/** A little server in the place of the API server. */
export type ApiServer = {
  /** `http://127.0.0.1:…` or `https://127.0.0.1:…` */
  readonly url: string;
  readonly port: number;
  readonly requests: readonly SeenRequest[];
  /** How many connections have been opened so far. */
  readonly connections: () => number;
  /** Ends the connections that are open, as a server does with idle ones. */
  cutConnections(): void;
};

type Answer = (request: SeenRequest, response: http.ServerResponse) => void;

/** Starts one for the test that runs; it ends with the test. With a certificate it speaks HTTPS, with these options. */
export async function startApiServer(
  answer: Answer = answerNotFound,
  identity?: { certificate: string; key: string },
  options: https.ServerOptions = {},
): Promise<ApiServer> {
  const requests: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const listener: http.RequestListener = (incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url = '', headers } = incoming;
      const seen = { method, url, headers, body: Buffer.concat(chunks).toString('utf8') };
      requests.push(seen);
      answer(seen, response);
    });
  };
  const server =
    identity === undefined
      ? http.createServer(listener)
      : https.createServer({ cert: identity.certificate, key: identity.key, ...options }, listener);
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const cutConnections = () => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    cutConnections();
    await closed;
  });
  const { port } = server.address() as AddressInfo;
  const url = `${identity === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  return { url, port, requests, connections: () => connections, cutConnections };
}

/** Kubernetes' answer to a read of an object that is not there. */
export function answerNotFound(_request: SeenRequest, response: http.ServerResponse): void {
  answerStatus(response, 404, 'NotFound', { kind: 'services' });
}

/** Kubernetes' answer to whoever lists Pods or Services where there are none. */
export function answerEmpty({ url }: SeenRequest, response: http.ServerResponse): void {
  answerJson(response, { kind: url.includes('/pods') ? 'PodList' : 'ServiceList', apiVersion: 'v1', items: [] });
}

/** A refusal as Kubernetes words it. */
export function answerStatus(response: http.ServerResponse, code: number, reason: string, details?: object): void {
  answerJson(
    response,
    { kind: 'Status', status: 'Failure', message: `secret words: ${reason}`, reason, details, code },
    code,
  );
}

/** An answer of Kubernetes. */
export function answerJson(response: http.ServerResponse, body: object, code = 200): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

type KubeconfigFields = { server: string; cluster?: Record<string, unknown>; user?: Record<string, unknown> };

/** The text of a kubeconfig: JSON is YAML. */
export function kubeconfigText({ server, cluster = {}, user = { token: 'test-token' } }: KubeconfigFields): string {
  for (const name of ['token', 'password', 'client-key-data']) {
    const secret = String(user[name] ?? '');
    // Some tests tell tokens apart by a word, which other texts may hold too.
    if (secret.length >= 8) keepSecret(secret);
  }
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server, ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}

/** A folder for the test that runs, gone with it. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a kubeconfig for the test that runs, and gives its path. */
export async function writeKubeconfig(fields: KubeconfigFields): Promise<string> {
  const path = join(await temporaryFolder(), 'kubeconfig');
  await writeFile(path, kubeconfigText(fields));
  return path;
}
