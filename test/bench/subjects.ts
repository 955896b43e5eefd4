import { createRequire } from 'node:module';

import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { originalPod, originalService } from '../support/original.ts';
import type { BenchCluster } from './cluster.ts';
import { callBare, type Operation, pathsOf } from './floor.ts';
import { openRawClient } from './raw-client.ts';
import { bodiesOf, configOf, type Names, newNames, settingsOf } from './sandboxes.ts';

/** Something that is measured: each operation, done to a sandbox. */
export type Subject = {
  /** The head of its column. */
  readonly name: string;
  /** Makes ready what the call needs, which is not measured, and gives the call: its answer. It throws if it does not succeed. */
  prepare(operation: Operation, names: Names): () => Promise<string>;
};

/** The bare calls through the proxy. As JSON, lists are read with `JSON.parse`: what one can do without protobuf at best. */
export function openFloor(cluster: BenchCluster, listsAs: 'protobuf' | 'JSON' = 'protobuf'): Subject {
  const client = openRawClient(cluster.address);
  if (listsAs === 'JSON') client.readList = async (path) => JSON.parse((await client.send('GET', path)).text);
  const config = configOf(cluster);
  return {
    name: listsAs === 'JSON' ? 'floor, as JSON' : 'floor',
    prepare(operation, names) {
      const bodies = bodiesOf(names, config);
      return async () => {
        await callBare(client, operation, cluster.namespace, names.sandboxId, bodies);
        return '';
      };
    },
  };
}

/** The objects of DeerFlow's own provisioner, made in its order: creates only. */
export function openOriginal(cluster: BenchCluster): Subject {
  const client = openRawClient(cluster.address);
  const settings = settingsOf(cluster);
  return {
    name: "the original's objects",
    prepare: (_create, names) => async () => {
      const { pods, services } = pathsOf(cluster.namespace, names.sandboxId);
      await client.send('POST', pods, JSON.stringify(originalPod(names, settings)));
      const made = JSON.parse((await client.send('POST', services, JSON.stringify(originalService(names)))).text);
      return JSON.stringify({ sandbox_url: `http://${settings.NODE_HOST}:${made.spec.ports[0].nodePort}` });
    },
  };
}

const otherFunctions: Partial<Record<Operation, string>> = {
  get: 'get-sandbox',
  list: 'list-sandboxes',
  renew: 'renew-sandbox',
};

/** Which function does an operation. */
export const functionOf = (operation: Operation): string =>
  operation === 'delete' ? 'destroy-sandbox' : (otherFunctions[operation] ?? 'create-sandbox');

/** The event that API Gateway sends for an operation. */
export function eventOf(operation: Operation, names: Names): APIGatewayProxyEventV2 {
  const { method, path, body } = requestOf(operation, names);
  const pathParameters = path.includes(names.sandboxId) ? { pathParameters: { sandbox_id: names.sandboxId } } : {};
  return httpEvent({ method, path, ...pathParameters, ...(body !== undefined && { body }) });
}

function requestOf(operation: Operation, { sandboxId, threadId, waitSeconds: wait_seconds }: Names) {
  const path = '/api/sandboxes';
  if (operation === 'get') return { method: 'GET', path: `${path}/${sandboxId}` };
  if (operation === 'renew') return { method: 'POST', path: `${path}/${sandboxId}/renew`, body: {} };
  if (operation === 'delete') return { method: 'DELETE', path: `${path}/${sandboxId}` };
  if (operation === 'list') return { method: 'GET', path };
  return { method: 'POST', path, body: { sandbox_id: sandboxId, thread_id: threadId, wait_seconds } };
}

/** The bundled handlers, loaded into this process; the settings must be in its environment. */
export function openHandlers(bundleOf: (name: string) => string): Subject {
  type Handler = (event: unknown, context: Context) => Promise<{ statusCode: number; body: string }>;
  const load = createRequire(import.meta.url);
  return {
    name: 'the function, bundled',
    prepare(operation, names) {
      const name = functionOf(operation);
      const { handler }: { handler: Handler } = load(bundleOf(name));
      const [event, context] = [eventOf(operation, names), lambdaContext(name)];
      return async () => {
        const { statusCode, body } = await handler(event, context);
        if (statusCode !== 200) throw new Error(`the handler of ${operation} answered ${statusCode} ${body}`);
        return body;
      };
    },
  };
}

/** A provisioner over HTTP. */
export function openProvisioner(name: string, url: string): Subject {
  const client = openRawClient({ url, headers: {}, tls: {} });
  return {
    name,
    prepare(operation, names) {
      const { method, path, body } = requestOf(operation, names);
      return async () => (await client.send(method, path, body && JSON.stringify(body))).text;
    },
  };
}

/** Waits until another provisioner is there, ten minutes at most. */
export async function openPeer(url: string): Promise<Subject> {
  const peer = openProvisioner('the peer', url);
  for (const end = performance.now() + 600_000; ; ) {
    try {
      await peer.prepare('list', newNames())();
      return peer;
    } catch (error) {
      if (performance.now() > end) throw new Error(`${url} does not answer`, { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
