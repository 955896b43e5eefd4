import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { cleanUpSandboxes } from '../../lib/cleanup.ts';
import { type Config, loadConfig } from '../../lib/config.ts';
import { type Kubernetes, openKubernetes } from '../../lib/kubernetes.ts';
import { log } from '../../lib/log.ts';
import { createSandbox } from '../../lib/sandboxes.ts';
import { openTestCluster, type TestCluster } from '../support/cluster.ts';
import { isFor, type KubernetesProxy, startKubernetesProxy } from '../support/kubernetes-proxy.ts';
import { originalPod } from '../support/original.ts';

let cluster: TestCluster;
let proxy: KubernetesProxy;
let config: Config;
let kubernetes: Kubernetes;

beforeAll(async () => {
  log.setLogLevel('SILENT');
  cluster = await openTestCluster();
  proxy = await startKubernetesProxy(cluster.access);
  config = loadConfig({
    ...cluster.settings,
    KUBECONFIG_PATH: proxy.kubeconfig,
    K8S_NAMESPACE: cluster.namespace,
    SANDBOX_FAILED_RETENTION_SECONDS: '0',
  });
  kubernetes = await openKubernetes(config, AbortSignal.timeout(5_000));
});

afterAll(async () => {
  await proxy.close();
  await cluster.close();
}, 120_000);

const anHourLater = new Date(Date.now() + 3_600_000);

const operation = (requestId: string, at: Date) => {
  const signal = AbortSignal.timeout(20_000);
  return { kubernetes, config, now: () => at, signal, stop: signal, requestId };
};

describe('A clean-up beside a use', () => {
  it('keeps a sandbox that got a new Pod after the old, ended one had been listed', async () => {
    const request = { sandboxId: 'ended', threadId: 'thread-a' };
    await createSandbox(request, operation('first', new Date()));
    const service = await cluster.kubernetes.find('services', 'sandbox-ended-svc');
    await cluster.kubernetes.remove('pods', 'sandbox-ended', 0);
    // On no node, so that no kubelet has another opinion of it.
    const pod = originalPod(request, cluster.settings) as { metadata: object; spec: object };
    await cluster.kubernetes.create('pods', {
      ...pod,
      metadata: {
        ...pod.metadata,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 'sandbox-ended-svc', uid: service?.metadata.uid }],
      },
      spec: { ...pod.spec, nodeSelector: { nowhere: 'true' } },
    });
    await cluster.kubernetes.patch('pods', 'sandbox-ended', { status: { phase: 'Failed' } }, 'status');

    // It once judged the Service as it was after the use by the Pod as it was before, and took the sandbox away.
    const used = Promise.withResolvers<void>();
    const listing = proxy.injectFault({
      when: (call) => call.method === 'GET' && isFor(call, 'services') && call.path.endsWith('/services'),
      action: { hold: used.promise },
    });
    const cleaning = cleanUpSandboxes(operation('clean-up', anHourLater));
    await listing.firstHit();
    const view = await createSandbox(request, operation('second', anHourLater));
    used.resolve();
    expect(await cleaning).toMatchObject({ examined: 1, deleted: {}, kept: { 'in-use': 1 }, failed: {} });

    expect(view.status).toBeOneOf(['Pending', 'Running']);
    const kept = await cluster.kubernetes.find('services', 'sandbox-ended-svc');
    expect(kept?.metadata.uid).toBe(service?.metadata.uid);
    const live = await cluster.kubernetes.find('pods', 'sandbox-ended');
    expect(live?.metadata.deletionTimestamp).toBeUndefined();
    expect(live?.status.phase).not.toBe('Failed');
  });

  it("keeps the original provisioner's Pod that a create has taken over since it was found without a Service", async () => {
    const request = { sandboxId: 'orphan', threadId: 'thread-a' };
    const pod = originalPod(request, cluster.settings) as { metadata: object };
    const annotations = { 'sandbox-provisioner/last-used-at': new Date().toISOString() };
    await cluster.kubernetes.create('pods', { ...pod, metadata: { ...pod.metadata, annotations } });

    // The Service was looked for before the create made it, and the Pod deleted after.
    const used = Promise.withResolvers<void>();
    const deletion = proxy.injectFault({
      when: (call) => call.method === 'DELETE' && call.path.endsWith('/pods/sandbox-orphan'),
      action: { hold: used.promise },
      times: 1,
    });
    const cleaning = cleanUpSandboxes(operation('clean-up-orphan', anHourLater));
    await deletion.firstHit();
    await createSandbox(request, operation('take-over', anHourLater));
    used.resolve();
    expect((await cleaning).failed).toEqual({});

    const live = await cluster.kubernetes.find('pods', 'sandbox-orphan');
    expect(live?.metadata).toBeDefined();
    expect(live?.metadata.deletionTimestamp).toBeUndefined();
  });
});
