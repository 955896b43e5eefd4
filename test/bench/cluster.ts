import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { KubeConfig } from '@kubernetes/client-node';
import { answerQuestions, type HelperProcess, startHelper } from './helper-process.ts';
import { startProxy, type Traffic } from './proxy.ts';
import { openRawClient, type RawAddress, type RawClient } from './raw-client.ts';
import { median } from './statistics.ts';

/** The cluster under the bench, a namespace in it that is the bench's alone, and a delaying way to it beside the direct one. */
export type BenchCluster = {
  readonly description: string;
  readonly namespace: string;
  /** Without the delay: for what is prepared and taken away. */
  readonly direct: RawClient;
  /** The API server's own port, where it is on this machine. */
  readonly localPort: number | undefined;
  /** Through the proxy. */
  readonly address: RawAddress;
  readonly kubeconfigPath: string;
  traffic(): Promise<Traffic>;
  /** Removes the namespace, with all that is in it, and what was started. */
  close(): Promise<void>;
};

/** Opens the cluster that a kubeconfig names, or an embedded one where there is none. */
export async function openCluster(kubeconfigPath: string | undefined, delayMs: number): Promise<BenchCluster> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-'));
  const namespace = `sandbox-bench-${randomBytes(3).toString('hex')}`;
  const embedded =
    kubeconfigPath === undefined ? startHelper(new URL('./embedded.ts', import.meta.url).href) : undefined;
  const original = path.join(folder, 'original');
  writeFileSync(
    original,
    embedded === undefined ? readFileSync(kubeconfigPath as string) : await embedded.ask<string>('kubeconfig'),
    { mode: 0o600 },
  );
  const kubeconfig = new KubeConfig();
  // From where it is: it may name files relative to its own place.
  kubeconfig.loadFromFile(kubeconfigPath ?? original);
  const server = new URL(kubeconfig.getCurrentCluster()?.server ?? '');
  const directAddress = await readAddress(kubeconfig);
  const direct = openRawClient(directAddress);

  const port = Number(server.port || (server.protocol === 'https:' ? 443 : 80));
  const host = server.hostname.replace(/^\[|\]$/g, '');
  const proxy = await startProxy({ host, port }, delayMs);
  const proxied = redirect(kubeconfig, server, proxy.port);
  const proxiedPath = path.join(folder, 'kubeconfig');
  writeFileSync(proxiedPath, proxied.exportConfig(), { mode: 0o600 });

  const janitor = embedded === undefined ? await startJanitor(directAddress, namespace) : undefined;
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  await direct.require('POST', '/api/v1/namespaces', JSON.stringify(body));
  return {
    description:
      embedded === undefined ? `the cluster at ${server.origin}` : 'the EMBEDDED Kubernetes: not what a real one costs',
    namespace,
    direct,
    localPort: /^(127\.|localhost$|::1$)/.test(host) ? port : undefined,
    address: await readAddress(proxied),
    kubeconfigPath: proxiedPath,
    traffic: () => proxy.traffic(),
    async close() {
      direct.close();
      await Promise.all([janitor?.end(), proxy.close(), embedded?.end()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The same cluster behind the proxy; its certificate is checked against the name that it has in truth. */
function redirect(kubeconfig: KubeConfig, server: URL, proxyPort: number): KubeConfig {
  const redirected = new KubeConfig();
  redirected.loadFromString(kubeconfig.exportConfig());
  const cluster = redirected.getCurrentCluster();
  const url = new URL(server);
  url.hostname = '127.0.0.1';
  url.port = String(proxyPort);
  const isNamed = server.protocol === 'https:' && server.hostname !== url.hostname;
  Object.assign(cluster ?? {}, {
    server: url.href.replace(/\/$/, ''),
    ...(isNamed && cluster?.tlsServerName === undefined && { tlsServerName: server.hostname }),
  });
  return redirected;
}

async function readAddress(kubeconfig: KubeConfig): Promise<RawAddress> {
  const url = kubeconfig.getCurrentCluster()?.server ?? '';
  if (url.startsWith('http:')) {
    const token = kubeconfig.getCurrentUser()?.token;
    return { url, headers: token === undefined ? {} : { authorization: `Bearer ${token}` }, tls: {} };
  }
  const options: https.RequestOptions = { headers: {} };
  await kubeconfig.applyToHTTPSOptions(options);
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  // As text: it goes to other processes as JSON.
  const texts = Object.fromEntries(
    Object.entries({ ca, cert, key }).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
  return {
    url,
    headers: { ...(options.headers as Record<string, string>) },
    tls: {
      ...texts,
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
      ...(servername !== undefined && { servername }),
    },
  };
}

/**
 * Starts the process that removes the namespace when this one ends, however it ends: it notices by the channel between them.
 * Ending it waits until the namespace is gone.
 */
async function startJanitor(address: RawAddress, namespace: string): Promise<HelperProcess> {
  const janitor = startHelper(import.meta.url);
  await janitor.ask({ address, namespace });
  return janitor;
}

if (import.meta.main) {
  let task: { address: RawAddress; namespace: string } | undefined;
  answerQuestions(
    async (question: { address: RawAddress; namespace: string }) => {
      task = question;
    },
    async () => {
      if (task !== undefined) await removeNamespace(openRawClient(task.address), task.namespace);
    },
  );
}

/** Removes all that is in the namespace, and it. Kubernetes itself would take minutes for thousands of Services. */
async function removeNamespace(client: RawClient, namespace: string): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}`;
  let failure: unknown = new Error('it is still there');
  for (const end = performance.now() + 300_000; performance.now() < end; ) {
    try {
      // More than once: what was being made when the bench was interrupted may come after.
      await removeSandboxes(client, namespace);
      const { status } = await client.require('DELETE', path, undefined, 404, 409);
      if (status === 404) return;
    } catch (error) {
      // An API server that thousands of deletions keep busy is to be asked again.
      failure = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`the namespace ${namespace} could not be removed`, { cause: failure });
}

/** Removes every Pod and every Service of the namespace, without grace: one by one, side by side, which is the fastest. */
export async function removeSandboxes(client: RawClient, namespace: string): Promise<void> {
  for (const resource of ['services', 'pods']) {
    const path = `/api/v1/namespaces/${namespace}/${resource}`;
    const list = await client.require('GET', path, undefined, 404);
    const items: { metadata: { name: string } }[] = JSON.parse(list.text).items ?? [];
    await inParallel(16, items, ({ metadata: { name } }) =>
      client.require('DELETE', `${path}/${name}`, '{"gracePeriodSeconds":0}', 404),
    );
  }
}

/** Does the work for each item, on so many at a time. */
export async function inParallel<T>(
  width: number,
  items: Iterable<T>,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const queue = [...items].values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

/** What one round trip takes, in milliseconds: directly, and through the proxy. */
export async function measureRoundTrip({
  direct,
  address,
}: BenchCluster): Promise<{ directMs: number; delayedMs: number }> {
  const delayed = openRawClient(address);
  const times: Record<'direct' | 'delayed', number[]> = { direct: [], delayed: [] };
  for (let sample = 0; sample < 20; sample += 1) {
    for (const [name, client] of [
      ['direct', direct],
      ['delayed', delayed],
    ] as const) {
      const start = performance.now();
      await client.require('GET', '/version');
      if (sample > 2) times[name].push(performance.now() - start);
    }
  }
  delayed.close();
  return { directMs: median(times.direct), delayedMs: median(times.delayed) };
}
