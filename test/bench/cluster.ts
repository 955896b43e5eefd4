import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { KubeConfig } from '@kubernetes/client-node';
import { startEmbeddedKubernetes } from '../../lib/local/kubernetes/index.ts';
import { answerQuestions, startHelper } from './helper-process.ts';
import { startProxy } from './proxy.ts';
import { openRawClient, type RawAddress, type RawClient } from './raw-client.ts';

/** The cluster under the bench, a namespace in it that is the bench's alone, and a delaying way to it beside the direct one. */
export type BenchCluster = {
  readonly description: string;
  readonly namespace: string;
  /** Without the delay: for what is prepared and taken away. */
  readonly direct: RawClient;
  /** Through the proxy. */
  readonly address: RawAddress;
  readonly kubeconfigPath: string;
  /** How many connections the proxy has seen. */
  connections(): Promise<number>;
  /** Removes the namespace, with all that is in it, and what was started. */
  close(): Promise<void>;
};

/** Opens the cluster that a kubeconfig names, or an embedded one where there is none. */
export async function openCluster(kubeconfigPath: string | undefined, delayMs: number): Promise<BenchCluster> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-'));
  const namespace = `sandbox-bench-${randomBytes(3).toString('hex')}`;
  const embedded = kubeconfigPath === undefined ? startHelper(import.meta.url) : undefined;
  const kubeconfig = new KubeConfig();
  if (embedded === undefined) kubeconfig.loadFromFile(kubeconfigPath as string);
  else kubeconfig.loadFromString(await embedded.ask('kubeconfig'));
  const server = new URL(kubeconfig.getCurrentCluster()?.server ?? '');
  const direct = openRawClient(await readAddress(kubeconfig));

  const port = Number(server.port || (server.protocol === 'https:' ? 443 : 80));
  const proxy = await startProxy({ host: server.hostname.replace(/^\[|\]$/g, ''), port }, delayMs);
  // The certificate is checked against the name that the server has in truth.
  const tlsServerName = kubeconfig.getCurrentCluster()?.tlsServerName ?? server.hostname;
  const url = `${server.protocol}//127.0.0.1:${proxy.port}${server.pathname.replace(/\/$/, '')}`;
  const isNamed = server.protocol === 'https:' && tlsServerName !== '127.0.0.1';
  Object.assign(kubeconfig.getCurrentCluster() ?? {}, { server: url, ...(isNamed && { tlsServerName }) });
  const proxiedPath = path.join(folder, 'kubeconfig');
  writeFileSync(proxiedPath, kubeconfig.exportConfig(), { mode: 0o600 });

  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  await direct.send('POST', '/api/v1/namespaces', JSON.stringify(body));
  return {
    description: embedded ? 'the EMBEDDED Kubernetes: not what a real one costs' : `the cluster at ${server.origin}`,
    namespace,
    direct,
    address: await readAddress(kubeconfig),
    kubeconfigPath: proxiedPath,
    connections: () => proxy.connections(),
    async close() {
      if (embedded === undefined) await removeNamespace(direct, namespace);
      direct.close();
      await Promise.all([proxy.close(), embedded?.end()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

// In a process of its own, so that it takes no time from what is measured.
if (import.meta.main) {
  const embedded = await startEmbeddedKubernetes({ terminationGraceMs: 0 });
  answerQuestions(
    async () => embedded.kubeconfig,
    () => embedded.close(),
  );
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
  const texts = Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined);
  const others = Object.entries({ rejectUnauthorized, servername }).filter(([, value]) => value !== undefined);
  return {
    url,
    headers: options.headers as Record<string, string>,
    tls: Object.fromEntries([...texts.map(([name, value]) => [name, String(value)]), ...others]),
  };
}

/** Removes all that is in the namespace, and it. Kubernetes itself would take minutes for thousands of Services. */
async function removeNamespace(client: RawClient, namespace: string): Promise<void> {
  for (const end = performance.now() + 300_000; ; ) {
    // More than once: what was being made when the bench was interrupted may come after.
    await removeSandboxes(client, namespace);
    const { status } = await client.send('DELETE', `/api/v1/namespaces/${namespace}`, undefined, 404, 409);
    if (status === 404) return;
    if (performance.now() > end) throw new Error(`the namespace ${namespace} is still there`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Removes every Pod and every Service of the namespace, without grace: one by one, side by side, which is the fastest. */
export async function removeSandboxes(client: RawClient, namespace: string): Promise<void> {
  for (const resource of ['services', 'pods']) {
    const path = `/api/v1/namespaces/${namespace}/${resource}`;
    const list = await client.send('GET', path, undefined, 404);
    const items: { metadata: { name: string } }[] = JSON.parse(list.text).items ?? [];
    await inParallel(16, items, ({ metadata: { name } }) =>
      client.send('DELETE', `${path}/${name}`, '{"gracePeriodSeconds":0}', 404),
    );
  }
}

/** Does the work for each item, on so many at a time. */
export async function inParallel<T>(width: number, items: Iterable<T>, work: (item: T) => Promise<unknown>) {
  const queue = [...items].values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
