import { afterAll, afterEach, beforeAll } from 'vitest';

import { loadConfig } from '../../lib/config/index.ts';
import { openDiagnostics } from '../../lib/kubernetes/diagnostics.ts';
import { openKubernetes } from '../../lib/kubernetes/index.ts';
import { openInspection } from '../../lib/kubernetes/inspection.ts';
import { openTestCluster, removeSandboxObjects, type TestCluster } from './cluster.ts';
import { type KubernetesProxy, startKubernetesProxy } from './kubernetes-proxy.ts';
import type { Rights } from './rights.ts';

/** A cluster, with a proxy between it and what of the provisioner runs in the tests' own process. */
export type Place = { readonly cluster: TestCluster; readonly proxy: KubernetesProxy; readonly namespace: string };

/** Opens one for the tests of the file, or of a `describe`: with the rights that are printed for these settings. */
export function usePlace(settings: Record<string, string> = {}, rights: Rights = 'namespace'): Place {
  const place = {} as { -readonly [field in keyof Place]: Place[field] };
  beforeAll(async () => {
    place.cluster = await openTestCluster(rights, settings);
    place.namespace = place.cluster.namespace;
    place.proxy = await startKubernetesProxy(place.cluster.access);
  }, 120_000);
  afterEach(async () => {
    place.proxy.reset();
    await removeSandboxObjects(place.cluster.kubernetes);
  });
  afterAll(async () => {
    await place.proxy?.close();
    await place.cluster?.close();
  }, 120_000);
  return place;
}

/** A cold start of the provisioner there: gives what makes an operation, at a time, of it. */
export async function startProcess({ cluster, proxy, namespace }: Place, settings: Record<string, string> = {}) {
  const own = { KUBECONFIG_PATH: proxy.kubeconfig, K8S_NAMESPACE: namespace, ...settings };
  const config = loadConfig({ ...cluster.settings, ...own });
  const opened = await openKubernetes(config, AbortSignal.timeout(10_000));
  const kubernetes = opened.inNamespace(namespace);
  const diagnostics = openDiagnostics(opened, namespace);
  const inspection = openInspection(opened, namespace);
  return (at = new Date(), requestId: string = crypto.randomUUID()) => {
    const signal = AbortSignal.timeout(20_000);
    return { opened, kubernetes, diagnostics, inspection, config, now: () => at, signal, stop: signal, requestId };
  };
}
