import { describe, expect, it } from 'vitest';

import { type CleanupReport, cleanUpSandboxes } from '../../lib/cleanup/sweep.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { log } from '../../lib/log.ts';
import { createSandbox } from '../../lib/sandboxes/create.ts';
import { aReport, cleanUp } from '../support/clean-up.ts';
import { isEmbeddedCluster, removeNamespace } from '../support/cluster.ts';
import {
  callTo,
  holdCalls,
  isFor,
  type KubernetesCall,
  kubernetesStatus,
  roundTripsInARow,
} from '../support/kubernetes-proxy.ts';
import { startProcess as startColdly, usePlace as usePlaceOf } from '../support/place.ts';
import type { Rights } from '../support/rights.ts';
import { newSandboxId, newThreadId } from '../support/world.ts';

log.setLogLevel('SILENT');

const isolated = { SANDBOX_NETWORK_POLICY: 'isolated' };
const offline = { SANDBOX_NETWORK_POLICY: 'offline' };
const name = 'sandbox-provisioner';

const isPolicyCall = ({ path }: KubernetesCall) => path.includes('/networkpolicies');
const isPodCreation = callTo('POST', 'pods');
const isReplacement = ({ method }: KubernetesCall) => method === 'PUT';
const forbidden = kubernetesStatus(403, 'Forbidden', 'networkpolicies.networking.k8s.io is forbidden: User "x" cannot');

/** A cluster with the rights that are printed for these settings, and what a process of the provisioner does there. */
function usePlace(settings: Record<string, string>, rights: Rights = 'namespace') {
  const place = usePlaceOf(settings, rights);

  /** A cold start with these settings: it remembers nothing of the network policy. */
  async function startProcess(own: Record<string, string> = settings) {
    const operation = await startColdly(place, own);
    return {
      create: (request = { sandboxId: newSandboxId(), threadId: newThreadId() }, at = new Date()) =>
        createSandbox(request, operation(at)),
      cleanUp: (): Promise<CleanupReport> => cleanUpSandboxes(operation()),
    };
  }
  const find = () => place.cluster.kubernetes.find('networkpolicies', name);
  const count = async (resource: 'pods' | 'services') => (await place.cluster.kubernetes.list(resource)).length;
  return { place, startProcess, find, count };
}

describe('the network policy of all sandboxes', () => {
  const { place, startProcess, find, count } = usePlace(isolated);

  it('is there before the first Pod is made', async () => {
    const { create } = await startProcess();
    const making = holdCalls(place.proxy, (call) => call.method === 'POST' && isPolicyCall(call));
    const creation = create();
    await making.reached();
    // The Service is not waited for by the policy, nor the policy by the Service.
    while (!place.proxy.calls.some((call) => isFor(call, 'services') && call.endedAt !== undefined)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(place.proxy.calls.filter(isPodCreation)).toEqual([]);
    making.release();
    await creation;
    expect(place.proxy.calls.filter(isPodCreation)).toHaveLength(1);
    const policy = await find();
    expect(policy?.metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'deer-flow' });
    // As it was sent: what Kubernetes would add is there, so that a later look finds no difference.
    expect(policy?.spec).toEqual(JSON.parse(making.hits[0]?.body ?? '{}').spec);
    expect(policy?.spec.podSelector).toEqual({ matchLabels: { app: 'deer-flow-sandbox' } });
    expect(policy?.spec.ingress[0].ports).toEqual([{ protocol: 'TCP', port: 8080 }]);
    expect(policy?.spec.egress).toHaveLength(2);
  });

  it('is looked at once by a process, and again after five minutes, beside other calls', async () => {
    await (await startProcess()).create();
    const { create } = await startProcess();
    const start = Date.now();
    const callsAt = async (seconds: number) => {
      place.proxy.reset();
      place.proxy.delayEachCall(50);
      await create(undefined, new Date(start + seconds * 1000));
      expect(roundTripsInARow(place.proxy.calls)).toBe(2);
      return place.proxy.calls.filter(isPolicyCall).map(({ method }) => method);
    };
    expect(await callsAt(0)).toEqual(['GET']);
    expect(await callsAt(0)).toEqual([]);
    expect(await callsAt(299)).toEqual([]);
    expect(await callsAt(300)).toEqual(['GET']);
    expect(await callsAt(599)).toEqual([]);
    // The clock was put back.
    expect(await callsAt(0)).toEqual(['GET']);
  });

  it('is written by none of the processes that find it as it should be', async () => {
    await (await startProcess()).create();
    const before = await find();
    await (await startProcess()).create();
    expect(await (await startProcess()).cleanUp()).toMatchObject({ networkPolicy: 'unchanged' });
    expect((await find())?.metadata.resourceVersion).toBe(before?.metadata.resourceVersion);
  });

  it('comes to be one, of eight processes that begin at once', async () => {
    const processes = await Promise.all(Array.from({ length: 8 }, () => startProcess()));
    const views = await Promise.all(processes.map(({ create }) => create()));
    expect(views.map(({ status }) => status)).toEqual(views.map(() => expect.toBeOneOf(['Pending', 'Running'])));
    expect(await place.cluster.kubernetes.list('networkpolicies')).toHaveLength(1);
    expect(await (await startProcess()).cleanUp()).toMatchObject({ networkPolicy: 'unchanged' });
  });

  it.each<[string, object]>([
    ['opened', { spec: { ingress: [{}], egress: [{}] } }],
    ['made for other Pods', { spec: { podSelector: { matchLabels: { app: 'else' } } } }],
    ['made for some of the sandboxes', { spec: { podSelector: { matchLabels: { some: 'more' } } } }],
    ['left without one direction', { spec: { policyTypes: ['Ingress'] } }],
  ])('is mended where somebody has changed it: %s', async (_how, change) => {
    await (await startProcess()).create();
    const right = (await find())?.spec;
    await place.cluster.kubernetes.patch('networkpolicies', name, change);
    expect((await find())?.spec).not.toEqual(right);
    const dry = await startProcess({ ...isolated, CLEANUP_DRY_RUN: 'true' });
    expect(await dry.cleanUp()).toMatchObject({ networkPolicy: 'changed', dryRun: true });
    expect((await find())?.spec).not.toEqual(right);
    expect(await (await startProcess()).cleanUp()).toMatchObject({ networkPolicy: 'changed' });
    expect((await find())?.spec).toEqual(right);

    await place.cluster.kubernetes.patch('networkpolicies', name, change);
    await (await startProcess()).create();
    expect((await find())?.spec).toEqual(right);
  });

  it('is made again where somebody has removed it, also while it is being mended', async () => {
    const process = await startProcess();
    await process.create();
    await place.cluster.kubernetes.remove('networkpolicies', name);
    expect(await process.cleanUp()).toMatchObject({ networkPolicy: 'created' });
    await place.cluster.kubernetes.patch('networkpolicies', name, { spec: { policyTypes: ['Ingress'] } });
    const replacing = holdCalls(place.proxy, isReplacement);
    const run = process.cleanUp();
    await replacing.reached();
    await place.cluster.kubernetes.remove('networkpolicies', name);
    replacing.release();
    expect(await run).toMatchObject({ networkPolicy: 'created' });
    expect((await find())?.spec.policyTypes).toEqual(['Ingress', 'Egress']);
  });

  it('is written over by nobody who has not seen it: of two that change it at once, one looks again', async () => {
    const process = await startProcess();
    await process.create();
    await place.cluster.kubernetes.patch('networkpolicies', name, { spec: { policyTypes: ['Ingress'] } });
    const replacing = holdCalls(place.proxy, isReplacement);
    const run = process.cleanUp();
    await replacing.reached();
    await place.cluster.kubernetes.patch('networkpolicies', name, { metadata: { annotations: { a: 'note' } } });
    replacing.release();
    expect(await run).toMatchObject({ networkPolicy: 'changed' });
    expect(await find()).toMatchObject({
      metadata: { annotations: { a: 'note' } },
      spec: { policyTypes: ['Ingress', 'Egress'] },
    });
  });

  it('changes with the setting', async () => {
    await (await startProcess(isolated)).create();
    await (await startProcess(offline)).create();
    expect((await find())?.spec).toMatchObject({ policyTypes: ['Ingress', 'Egress'] });
    expect((await find())?.spec.egress).toBeUndefined();
    expect(await (await startProcess(isolated)).cleanUp()).toMatchObject({ networkPolicy: 'changed' });
    expect((await find())?.spec.egress).toHaveLength(2);
  });

  it('is left alone where nothing is set, and costs no call', async () => {
    await (await startProcess(isolated)).create();
    const process = await startProcess({});
    place.proxy.reset();
    await process.create();
    expect(await process.cleanUp()).not.toHaveProperty('networkPolicy');
    expect(place.proxy.calls.filter(isPolicyCall)).toEqual([]);
    expect(await find()).toBeDefined();
  });

  it.each<[string, (call: KubernetesCall) => boolean]>([
    ['read', ({ method }) => method === 'GET'],
    ['made', ({ method }) => method === 'POST'],
  ])('that cannot be %s lets no Pod be made, and leaves nothing behind', async (_what, when) => {
    const process = await startProcess();
    place.proxy.injectFault({ when: (call) => isPolicyCall(call) && when(call), action: { answer: forbidden } });
    const failure = await process.create().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ProvisionerError);
    const detail = 'Network policy update failed: Kubernetes does not permit it (403 Forbidden)';
    expect(failure).toMatchObject({ kind: 'refused', detail });
    expect(place.proxy.calls.filter(isPodCreation)).toEqual([]);
    expect([await count('pods'), await count('services')]).toEqual([0, 0]);
    const run = await cleanUp(place, isolated);
    expect(run.report?.networkPolicy).toBe('failed');
    expect([run.exitCode, run.output]).toEqual([1, 'Error: The network policy could not be kept']);
    // And as soon as it can be, Pods are made.
    place.proxy.reset();
    await process.create();
    expect(await count('pods')).toBe(1);
  });

  it('that cannot be read keeps nobody from a sandbox that is there', async () => {
    const request = { sandboxId: newSandboxId(), threadId: newThreadId() };
    await (await startProcess()).create(request);
    place.proxy.injectFault({ when: isPolicyCall, action: { answer: forbidden } });
    const view = await (await startProcess()).create(request);
    expect(view).toMatchObject({ sandbox_id: request.sandboxId });
  });

  it('survives that Kubernetes fails in passing', async () => {
    const process = await startProcess();
    const overloaded = kubernetesStatus(503, 'ServiceUnavailable', 'try again');
    place.proxy.injectFault({ when: isPolicyCall, action: { answer: overloaded }, times: 2 });
    const isMaking = (call: KubernetesCall) => isPolicyCall(call) && call.method === 'POST';
    place.proxy.injectFault({ when: isMaking, action: { cut: 'after' }, times: 1 });
    await process.create();
    expect(await count('pods')).toBe(1);
    expect(await find()).toBeDefined();
  });
});

describe('the network policy none', () => {
  const none = { SANDBOX_NETWORK_POLICY: 'none' };
  const { place, startProcess, find } = usePlace(none);
  const given = () =>
    place.cluster.kubernetes.create('networkpolicies', { metadata: { name }, spec: { podSelector: {} } });

  it('is removed by the clean-up of a process, once, and by nobody else', async () => {
    await given();
    const process = await startProcess();
    await process.create();
    expect(await find()).toBeDefined();
    const dry = await startProcess({ ...none, CLEANUP_DRY_RUN: 'true' });
    expect(await dry.cleanUp()).not.toHaveProperty('networkPolicy');
    expect(await find()).toBeDefined();
    expect(await process.cleanUp()).toMatchObject({ networkPolicy: 'removed' });
    expect(await find()).toBeUndefined();
    place.proxy.reset();
    expect(await process.cleanUp()).not.toHaveProperty('networkPolicy');
    expect(place.proxy.calls.filter(isPolicyCall)).toEqual([]);
    expect(await (await startProcess()).cleanUp()).toMatchObject({ networkPolicy: 'unchanged' });
  });

  it('need not be removed by one who may not', async () => {
    await given();
    place.proxy.injectFault({ when: isPolicyCall, action: { answer: forbidden } });
    const run = await cleanUp(place, none);
    expect(run.report?.networkPolicy).toBe('not-permitted');
    expect(run.exitCode).toBe(0);
    expect(await find()).toBeDefined();
  });
});

describe('the network policy of a namespace that is not there', () => {
  const { place, startProcess, find } = usePlace(isolated, 'cluster');
  /** What was made, in order. */
  const made = (calls: readonly KubernetesCall[]) =>
    calls.flatMap(({ method, path, status = 0 }) =>
      method === 'POST' && status < 300 ? path.split('/').slice(-1) : [],
    );

  it('is nothing to clean up, and is made with the namespace, before the Pod', async () => {
    expect(await (await startProcess()).cleanUp()).toEqual(aReport({}));
    expect(await place.cluster.kubernetes.getNamespace()).toBeUndefined();
    await (await startProcess()).create();
    expect(await find()).toBeDefined();
    const order = made(place.proxy.calls);
    expect(order.indexOf('networkpolicies')).toBeLessThan(order.indexOf('pods'));
  });

  // A process believed for five minutes in a policy that had gone with its namespace.
  it('is made again, before the Pod, by a process that saw it in a namespace of the same name', async () => {
    const process = await startProcess();
    await process.create();
    await removeNamespace(place.cluster.kubernetes);
    place.proxy.reset();
    await process.create();
    expect(await find()).toBeDefined();
    const order = made(place.proxy.calls);
    expect(order.slice(-3).toSorted()).toEqual(['networkpolicies', 'pods', 'services']);
    expect(order.at(-1)).toBe('pods');
  });
});

describe('a sandbox of a runtime class that is not there', () => {
  const { startProcess, count } = usePlace({ SANDBOX_RUNTIME_CLASS: 'no-such-class' });

  it('is refused, and leaves nothing behind', async () => {
    const failure = await (await startProcess()).create().catch((error: unknown) => error);
    expect(failure).toMatchObject({
      kind: 'not-admitted',
      detail: 'Pod creation failed: admission refuses it: its RuntimeClass (403)',
    });
    expect([await count('pods'), await count('services')]).toEqual([0, 0]);
  });
});

// What the embedded Kubernetes stores, it does not read.
describe.skipIf(isEmbeddedCluster)('Kubernetes itself', () => {
  const { startProcess, find } = usePlace(isolated);

  const ranges = {
    SANDBOX_NETWORK_INGRESS_CIDRS: '10.0.0.0/8,fd00::/8',
    SANDBOX_NETWORK_EXCLUDED_CIDRS: '5.6.7.8/32,2a05:d000::/25,fd00::/8,10.0.0.0/8',
    SANDBOX_NETWORK_DNS_CIDRS: '10.96.0.10/32',
  };
  it.each<[string, Record<string, string>]>([
    ['offline', offline],
    ['isolated, with ranges', { ...isolated, ...ranges }],
    ['isolated, without IPv6', { ...isolated, SANDBOX_NETWORK_EXCLUDED_CIDRS: '::/0' }],
  ])('takes it, and gives it back as it was: %s', async (_how, settings) => {
    await (await startProcess(settings)).create();
    expect(await find()).toBeDefined();
    expect(await (await startProcess(settings)).cleanUp()).toMatchObject({ networkPolicy: 'unchanged' });
  });
});
