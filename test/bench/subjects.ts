import { createRequire } from 'node:module';

import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { httpEvent, lambdaContext } from '../support/events.ts';
import type { BenchCluster } from './cluster.ts';
import { type Bodies, callBare, type Operation } from './floor.ts';
import { openRawClient, type RawClient } from './raw-client.ts';
import { bodiesOf, configOf, type Names, newNames } from './sandboxes.ts';

/** Something that is measured: each operation, done to a sandbox. */
export type Subject = {
  readonly name: SubjectName;
  /** What it has no call for. */
  readonly lacks: ReadonlySet<Operation>;
  /** Makes ready what the call needs, which is not measured, and gives the call: its answer. It throws if it does not succeed. */
  prepare(operation: Operation, names: Names): () => Promise<string>;
  close(): void;
};

/**
 * The bare calls; the bare lists as JSON; a bundled handler called in this process; the same and another over HTTP; the objects of
 * DeerFlow's own provisioner.
 */
export type SubjectName = 'floor' | 'json' | 'handler' | 'http' | 'peer' | 'original';

const nothing: ReadonlySet<Operation> = new Set();

/** The bare calls through the proxy. */
export function openFloor(cluster: BenchCluster): Subject {
  const client = openRawClient(cluster.address);
  const config = configOf(cluster);
  return {
    name: 'floor',
    lacks: nothing,
    prepare(operation, names) {
      const bodies: Bodies = bodiesOf(names, config);
      return async () => {
        await callBare(client, operation, cluster.namespace, names.sandboxId, bodies);
        return '';
      };
    },
    close: () => client.close(),
  };
}

/** The bare lists as JSON, and `JSON.parse` of them: what one can do without protobuf at best. */
export function openJsonFloor(cluster: BenchCluster): Subject {
  const client = openRawClient(cluster.address);
  const parsing: RawClient = {
    ...client,
    async readList(path) {
      JSON.parse((await client.require('GET', path)).text);
    },
  };
  const config = configOf(cluster);
  return {
    name: 'json',
    lacks: nothing,
    prepare(operation, names) {
      const bodies: Bodies = bodiesOf(names, config);
      return async () => {
        await callBare(parsing, operation, cluster.namespace, names.sandboxId, bodies);
        return '';
      };
    },
    close: () => client.close(),
  };
}

/** Which function does an operation. */
export const functionOf = {
  create: 'create-sandbox',
  'create-again': 'create-sandbox',
  'create-elsewhere': 'create-sandbox',
  get: 'get-sandbox',
  renew: 'renew-sandbox',
  delete: 'destroy-sandbox',
  list: 'list-sandboxes',
} as const satisfies Record<Operation, string>;

/** The event that API Gateway sends for an operation. */
export function eventOf(operation: Operation, { sandboxId, threadId }: Names): APIGatewayProxyEventV2 {
  const { method, path, body } = requestOf(operation, { sandboxId, threadId });
  const pathParameters = path.includes(sandboxId) ? { pathParameters: { sandbox_id: sandboxId } } : {};
  return httpEvent({ method, path, ...pathParameters, ...(body !== undefined && { body }) });
}

function requestOf(operation: Operation, { sandboxId, threadId }: Names) {
  const path = '/api/sandboxes';
  switch (operation) {
    case 'create':
    case 'create-again':
    case 'create-elsewhere':
      return { method: 'POST', path, body: { sandbox_id: sandboxId, thread_id: threadId } };
    case 'get':
      return { method: 'GET', path: `${path}/${sandboxId}`, body: undefined };
    case 'renew':
      return { method: 'POST', path: `${path}/${sandboxId}/renew`, body: {} };
    case 'delete':
      return { method: 'DELETE', path: `${path}/${sandboxId}`, body: undefined };
    case 'list':
      return { method: 'GET', path, body: undefined };
  }
}

type Handler = (event: unknown, context: Context) => Promise<{ statusCode: number; body: string }>;

/** The bundled handlers, loaded into this process; the settings must be in its environment. */
export function openHandlers(bundles: ReadonlyMap<string, string>): Subject {
  const load = createRequire(import.meta.url);
  const handlers = new Map<string, Handler>();
  return {
    name: 'handler',
    lacks: nothing,
    prepare(operation, names) {
      const name = functionOf[operation];
      const handler: Handler = handlers.get(name) ?? load(bundles.get(name) as string).handler;
      handlers.set(name, handler);
      const event = eventOf(operation, names);
      const context = lambdaContext(name);
      return async () => {
        const { statusCode, body } = await handler(event, context);
        if (statusCode !== 200) throw new Error(`the handler of ${operation} answered ${statusCode} ${body}`);
        return body;
      };
    },
    close() {},
  };
}

/** A provisioner over HTTP. */
export function openProvisioner(
  name: 'http' | 'peer',
  url: URL | string,
  key?: string,
  lacks: ReadonlySet<Operation> = nothing,
): Subject {
  const client = openHttp(url, key);
  return {
    name,
    lacks,
    prepare(operation, names) {
      const call = requestArguments(operation, names);
      return async () => (await client.require(...call)).text;
    },
    close: () => client.close(),
  };
}

/** Waits until it is there, ten minutes at most, and finds out whether it can renew: DeerFlow's own cannot. */
export async function openPeer(url: URL, key: string | undefined): Promise<Subject> {
  const client = openHttp(url, key);
  try {
    await untilHealthy(client, url);
    const names = newNames();
    await client.require(...requestArguments('create', names));
    const { status } = await client.require(...requestArguments('renew', names), 404, 405);
    await client.require(...requestArguments('delete', names));
    return openProvisioner('peer', url, key, status < 300 ? nothing : new Set(['renew']));
  } finally {
    client.close();
  }
}

async function untilHealthy(client: RawClient, url: URL): Promise<void> {
  let failure: unknown;
  for (const end = performance.now() + 600_000; performance.now() < end; ) {
    try {
      await client.require('GET', '/health');
      return;
    } catch (error) {
      failure = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`${url} is not healthy`, { cause: failure });
}

const openHttp = (url: URL | string, key: string | undefined): RawClient =>
  openRawClient({ url: String(url), headers: key === undefined ? {} : { 'x-api-key': key }, tls: {} });

function requestArguments(
  operation: Operation,
  names: Names,
): [method: string, path: string, body: string | undefined] {
  const { method, path, body } = requestOf(operation, names);
  return [method, path, body && JSON.stringify(body)];
}
