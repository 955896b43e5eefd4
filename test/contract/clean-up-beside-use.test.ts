import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { cleanUpSandboxes } from '../../lib/cleanup/sweep.ts';
import { type Config, loadConfig } from '../../lib/config/index.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import { log } from '../../lib/log.ts';
import { createSandbox } from '../../lib/sandboxes/create.ts';
import { destroySandbox } from '../../lib/sandboxes/destroy.ts';
import { getSandbox } from '../../lib/sandboxes/get.ts';
import { openTestCluster, removeSandboxObjects, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { isFor, type KubernetesCall, type KubernetesProxy, startKubernetesProxy } from '../support/kubernetes-proxy.ts';
import { openKubernetes } from '../support/open-kubernetes.ts';
import { originalPod, originalService } from '../support/original.ts';

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

afterEach(async () => {
  proxy.reset();
  await removeSandboxObjects(cluster.kubernetes);
});

// After every grace, before a Pod has waited for too long.
const later = new Date(Date.now() + 1_200_000);
const anHourLater = new Date(Date.now() + 3_600_000);

const operation = (requestId: string, at: Date) => {
  const signal = AbortSignal.timeout(20_000);
  return { kubernetes, config, now: () => at, signal, stop: signal, requestId };
};

/** A sandbox of ours that was made now, with this Pod in the place of its own: on no node, so that no kubelet changes it. */
async function givenSandbox(sandboxId: string, status: object) {
  const request = { sandboxId, threadId: 'thread-a' };
  await createSandbox(request, operation('first', new Date()));
  const service = await cluster.kubernetes.find('services', `sandbox-${sandboxId}-svc`);
  await cluster.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
  const pod = originalPod(request, cluster.settings) as { metadata: object; spec: object };
  const { name, uid } = service?.metadata ?? {};
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Service', name, uid }];
  await cluster.kubernetes.create('pods', {
    ...pod,
    metadata: { ...pod.metadata, ownerReferences },
    spec: { ...pod.spec, nodeSelector: { nowhere: 'true' } },
  });
  await cluster.kubernetes.patch('pods', `sandbox-${sandboxId}`, { status }, 'status');
  return { request, uid };
}

/** An original sandbox that was used long ago, with a Pod on no node. */
async function givenUnusedOriginal(sandboxId: string) {
  const names = { sandboxId, threadId: 'thread-a' };
  const service = originalService(names) as { metadata: object };
  const annotations = { 'sandbox-provisioner/last-used-at': '2020-01-01T00:00:00Z' };
  await cluster.kubernetes.create('services', { ...service, metadata: { ...service.metadata, annotations } });
  const pod = originalPod(names, cluster.settings) as { spec: object };
  await cluster.kubernetes.create('pods', { ...pod, spec: { ...pod.spec, nodeSelector: { nowhere: 'true' } } });
}

const find = async (sandboxId: string) => ({
  service: await cluster.kubernetes.find('services', `sandbox-${sandboxId}-svc`),
  pod: await cluster.kubernetes.find('pods', `sandbox-${sandboxId}`),
});

const isList = (resource: 'pods' | 'services') => (call: KubernetesCall) =>
  call.method === 'GET' && isFor(call, resource) && call.path.endsWith(`/${resource}`);
const isDeletionOf = (name: string) => (call: KubernetesCall) =>
  call.method === 'DELETE' && call.path.endsWith(`/${name}`);

describe('A clean-up beside a use', () => {
  it.each(['services', 'pods'] as const)(
    'keeps a sandbox that got a new Pod in the place of an ended one while the %s were listed',
    async (resource) => {
      const sandboxId = `ended-${resource}`;
      const { request, uid } = await givenSandbox(sandboxId, { phase: 'Failed' });

      // It once judged the Service as it was after the use by the Pod as it was before, when the list took longer than the
      // grace, and took the sandbox away.
      let clock = later;
      const used = Promise.withResolvers<void>();
      const listing = proxy.injectFault({ when: isList(resource), action: { hold: used.promise }, times: 1 });
      const cleaning = cleanUpSandboxes({ ...operation('clean-up', clock), now: () => clock });
      await listing.firstHit();
      const view = await createSandbox(request, operation('second', clock));
      clock = new Date(clock.getTime() + 301_000);
      used.resolve();
      expect((await cleaning).deleted).toEqual({});

      expect(view.status).toBeOneOf(['Pending', 'Running']);
      const { service, pod } = await find(sandboxId);
      expect(service?.metadata.uid).toBe(uid);
      expect(pod?.metadata.deletionTimestamp).toBeUndefined();
      expect(pod?.status.phase).not.toBe('Failed');
    },
  );

  it('keeps a sandbox whose Pod got to run after it had been listed', async () => {
    const { uid } = await givenSandbox('late', { phase: 'Pending' });
    const ran = Promise.withResolvers<void>();
    const listed = proxy.injectFault({
      when: (call) => call.method === 'GET' && call.path.endsWith('/pods/sandbox-late'),
      action: { hold: ran.promise },
      times: 1,
    });
    const cleaning = cleanUpSandboxes(operation('clean-up', anHourLater));
    await listed.firstHit();
    await cluster.kubernetes.patch('pods', 'sandbox-late', { status: { phase: 'Running' } }, 'status');
    ran.resolve();
    expect((await cleaning).deleted).toEqual({});
    expect((await find('late')).service?.metadata.uid).toBe(uid);
  });

  it('takes the Pod too when the answer to the deletion of its Service is lost', async () => {
    await givenUnusedOriginal('lost');
    proxy.injectFault({ when: isDeletionOf('sandbox-lost-svc'), action: { cut: 'after' }, times: 1 });
    expect((await cleanUpSandboxes(operation('clean-up', anHourLater))).kept['removed-meanwhile']).toBe(1);
    const { service, pod } = await find('lost');
    expect(service).toBeUndefined();
    expect(pod?.metadata.deletionTimestamp ?? 'gone').toEqual(expect.any(String));
    expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
  });

  it("takes the original's Pod too whose state alone has changed since it was listed", async () => {
    await givenUnusedOriginal('changing');
    const changed = Promise.withResolvers<void>();
    const deletion = proxy.injectFault({
      when: isDeletionOf('sandbox-changing'),
      action: { hold: changed.promise },
      times: 1,
    });
    const cleaning = cleanUpSandboxes(operation('clean-up', anHourLater));
    await deletion.firstHit();
    await cluster.kubernetes.patch('pods', 'sandbox-changing', { status: { phase: 'Running' } }, 'status');
    changed.resolve();
    expect((await cleaning).deleted.expired).toBe(1);
    const { service, pod } = await find('changing');
    expect(service).toBeUndefined();
    expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
  });

  it('takes a Pod at once that should have ended long ago', async () => {
    const request = { sandboxId: 'stuck', threadId: 'thread-a' };
    await createSandbox(request, operation('first', new Date()));
    await eventually(
      'running: the Pod',
      () => find('stuck'),
      ({ pod }) => pod?.status.phase === 'Running',
    );
    await destroySandbox('stuck', operation('destroy', new Date()));
    const report = await cleanUpSandboxes(operation('clean-up', later));
    // A real kubelet may have been faster.
    if (cluster.isEmbedded) expect(report.deleted).toEqual({ stuck: 1 });
    expect(await find('stuck')).toEqual({ service: undefined, pod: undefined });
  });

  it('leaves nothing for a look to show', async () => {
    await givenUnusedOriginal('noted');
    const removed = Promise.withResolvers<void>();
    const noting = proxy.injectFault({
      when: (call) => call.method === 'PATCH',
      action: { hold: removed.promise },
      times: 1,
    });
    const looking = getSandbox('noted', operation('look', anHourLater));
    await noting.firstHit();
    expect((await cleanUpSandboxes(operation('clean-up', anHourLater))).deleted.expired).toBe(1);
    removed.resolve();
    // It was once shown all the same, with an end that was long past.
    await expect(looking).rejects.toMatchObject({ outcome: 'not-found' });
  });

  it("keeps the original provisioner's Pod that got a Service, and was taken over, between the two lists", async () => {
    const request = { sandboxId: 'between', threadId: 'thread-a' };
    const pod = originalPod(request, cluster.settings) as { metadata: object };
    const annotations = { 'sandbox-provisioner/last-used-at': '2020-01-01T00:00:00Z' };
    const made = await cluster.kubernetes.create('pods', { ...pod, metadata: { ...pod.metadata, annotations } });
    const used = Promise.withResolvers<void>();
    const listing = proxy.injectFault({ when: isList('pods'), action: { hold: used.promise }, times: 1 });

    // It once took a Pod that has an owner at its word: that the Service which it had not seen was gone.
    const cleaning = cleanUpSandboxes(operation('clean-up', new Date()));
    await listing.firstHit();
    await createSandbox(request, operation('create', new Date()));
    used.resolve();
    expect((await cleaning).deleted).toEqual({});
    const { service, pod: left } = await find(request.sandboxId);
    expect(left?.metadata).toMatchObject({ uid: made.metadata.uid, ownerReferences: [{ uid: service?.metadata.uid }] });
    expect(left?.metadata.deletionTimestamp).toBeUndefined();
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
    const cleaning = cleanUpSandboxes(operation('clean-up-orphan', later));
    await deletion.firstHit();
    await createSandbox(request, operation('take-over', later));
    used.resolve();
    expect((await cleaning).failed).toEqual({});

    const live = await cluster.kubernetes.find('pods', 'sandbox-orphan');
    expect(live?.metadata).toBeDefined();
    expect(live?.metadata.deletionTimestamp).toBeUndefined();
  });
});
