import { createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import { openKubernetes } from '../support/open-kubernetes.ts';
import { writeKubeconfig } from './api-server.ts';

export const never = new AbortController().signal;

export const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Where the API server is, and what else a kubeconfig says of it and of its user. */
export type Access = { server: string; cluster?: Record<string, unknown>; user?: Record<string, unknown> };

/** A client by a kubeconfig that says this, and these settings. */
export const open = async (access: Access, env: Record<string, string> = {}, now?: () => Date): Promise<Kubernetes> =>
  openKubernetes(loadConfig({ KUBECONFIG_PATH: await writeKubeconfig(access), ...env }), never, now);

/** The plainest call. Of an object that is not there, as on most of the servers here, it gives undefined. */
export const read = (kubernetes: Kubernetes, name = 'a', signal = never) => kubernetes.readService(name, signal);

/** What a call throws. */
export async function thrownBy(call: Promise<unknown>): Promise<unknown> {
  const nothing = Symbol('nothing');
  const error = await call.then(
    () => nothing,
    (thrown: unknown) => thrown,
  );
  if (error === nothing) throw new Error('nothing was thrown');
  return error;
}

/** A TCP server for the test that runs; it ends with the test. Gives its port. */
export async function listen(serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as { port: number }).port;
}
