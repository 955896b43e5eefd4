import { afterEach, describe, expect, it } from 'vitest';

import { expectError } from '../support/answers.ts';
import { aReport, type CleanupRun, cleanUp, cleanUpByHand, makeUnused, usedAgo } from '../support/clean-up.ts';
import { openKubernetesClient } from '../support/kubernetes-client.ts';
import { callTo, holdCalls, kubernetesStatus, writesAmong } from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, originalService, type SandboxNames } from '../support/original.ts';
import { newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld();

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const day = 86_400;
const forbidden = kubernetesStatus(403, 'Forbidden', 'pods is forbidden: User "x" cannot delete resource "pods"');

/** Succeeds, and reports these numbers and no others. */
function expectReport(run: CleanupRun, numbers: Parameters<typeof aReport>[0]): void {
  expect(run.report, run.output).toEqual(aReport(numbers));
  expect(run.exitCode, run.output).toBe(0);
}

async function expectRemoved(sandboxId: string): Promise<void> {
  expect(await world.findService(sandboxId)).toBeUndefined();
  await expectPodRemoved(sandboxId);
}

/** Gone, or in the time of grace that every Pod gets. */
async function expectPodRemoved(sandboxId: string): Promise<void> {
  const pod = await world.findPod(sandboxId);
  expect(pod?.metadata.deletionTimestamp ?? 'gone').toEqual(expect.any(String));
  if (pod !== undefined) expect(pod.metadata.deletionTimestamp).toBeDefined();
}

/** The same Service and Pod as before, and running. */
async function expectAlive(sandboxId: string, before: { uids: string[] }): Promise<void> {
  expect(await uidsOf(sandboxId)).toEqual(before);
  expect((await world.get(sandboxId)).body).toMatchObject({ sandbox_id: sandboxId, status: 'Running' });
}

async function uidsOf(sandboxId: string): Promise<{ uids: string[] }> {
  const objects = [...(await world.servicesOf(sandboxId)), ...(await world.podsOf(sandboxId))];
  return { uids: objects.map(({ metadata }) => metadata.uid) };
}

const isDeletion = (resource: 'pods' | 'services', sandboxId: string) => callTo('DELETE', resource, sandboxId);

/** A Pod that no node takes, in this state. */
async function givenPodInState(names: SandboxNames, status: object): Promise<void> {
  await world.kubernetes.create('pods', alter(originalPod(names, world.settings), { spec: onNoNode }));
  await world.kubernetes.patch('pods', `sandbox-${names.sandboxId}`, { status }, 'status');
}

/** A Pod of the original provisioner that was used the grace ago, and whose Service is gone. */
async function givenOrphan(): Promise<SandboxNames> {
  const names = await world.givenOriginalSandbox();
  await world.kubernetes.remove('services', `sandbox-${names.sandboxId}-svc`);
  await world.kubernetes.patch('pods', `sandbox-${names.sandboxId}`, { metadata: { annotations: usedAgo(300) } });
  return names;
}

const before = (seconds: number): string => `${new Date(Date.now() - seconds * 1000).toISOString().slice(0, 19)}Z`;
const endedBefore = (seconds: number) => {
  const state = { terminated: { exitCode: 1, finishedAt: before(seconds) } };
  const container = { name: 'sandbox', image: 'x', imageID: '', ready: false, restartCount: 0, state };
  return { phase: 'Failed', containerStatuses: [container] };
};
const evictedBefore = (seconds: number) => {
  const condition = { type: 'PodScheduled', status: 'False', lastTransitionTime: before(seconds) };
  return { phase: 'Failed', reason: 'Evicted', conditions: [{ ...condition, reason: 'Unschedulable' }] };
};

describe('a clean-up', () => {
  it('takes what has expired, Service and Pod, and leaves what has not', async () => {
    const [used, expired, long, never] = await Promise.all(
      [1, 2, 3, 4].map(async () => {
        const { sandboxId } = await world.givenRunningSandbox();
        return { sandboxId, ...(await uidsOf(sandboxId)) };
      }),
    );
    if (!used || !expired || !long || !never) throw new Error('four sandboxes were given');
    await makeUnused(world, used.sandboxId, day - 600);
    await makeUnused(world, expired.sandboxId, day);
    await makeUnused(world, long.sandboxId, 6 * day, 7 * day);
    await makeUnused(world, never.sandboxId, 365 * day, 0);
    const calls = await world.callsOf(async () => {
      expectReport(await cleanUp(world), { examined: 4, deleted: { expired: 1 }, kept: { 'in-use': 3 } });
    });
    await expectRemoved(expired.sandboxId);
    for (const { sandboxId, uids } of [used, long, never]) await expectAlive(sandboxId, { uids });
    // Two lists, and two deletions: each with what it is to take.
    expect(calls.map(({ method }) => method)).toEqual(['GET', 'GET', 'DELETE', 'DELETE']);
    const [service, pod] = calls.filter(({ method }) => method === 'DELETE').map(({ body }) => JSON.parse(body));
    expect(service.preconditions).toEqual({ uid: expired.uids[0], resourceVersion: expect.any(String) });
    expect(pod.preconditions).toMatchObject({ uid: expired.uids[1] });
  });

  it('finds a Pod that still ends, and leaves it its time', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, day);
    expectReport(await cleanUp(world), { examined: 1, deleted: { expired: 1 } });
    const calls = await world.callsOf(async () => {
      const { exitCode, report } = await cleanUp(world);
      expect(exitCode).toBe(0);
      expect(report?.deleted).toEqual({});
    });
    expect(writesAmong(calls)).toEqual([]);
  });

  it('that is dry says what it would do, and changes nothing', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, day);
    await world.givenOriginalSandbox();
    const alive = await uidsOf(sandboxId);
    const calls = await world.callsOf(async () => {
      const run = await cleanUpByHand(world, { CLEANUP_DRY_RUN: 'true' });
      expectReport(run, { examined: 2, deleted: { expired: 1 }, adopted: 1, dryRun: true });
      expect(run.output).toContain(sandboxId);
    });
    expect(calls.filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(await uidsOf(sandboxId)).toEqual(alive);
  });

  it('takes what has grown too old, however much it is used, where that is set', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expectReport(await cleanUp(world), { examined: 1, kept: { 'in-use': 1 } });
    expectReport(await cleanUp(world, { SANDBOX_MAX_LIFETIME_SECONDS: '600' }), { examined: 1, kept: { 'in-use': 1 } });
    const run = await cleanUp(world, { SANDBOX_MAX_LIFETIME_SECONDS: '1' });
    expectReport(run, { examined: 1, deleted: { 'too-old': 1 } });
    await expectRemoved(sandboxId);
  });
});

describe('half a sandbox', () => {
  it('without a Pod is removed once it was not used for the grace', async () => {
    const { sandboxId } = await world.givenSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expectReport(await cleanUp(world), { examined: 1, kept: { 'fresh-orphan': 1 } });
    await makeUnused(world, sandboxId, 250);
    expectReport(await cleanUp(world), { examined: 1, kept: { 'fresh-orphan': 1 } });
    await makeUnused(world, sandboxId, 300);
    expectReport(await cleanUp(world), { examined: 1, deleted: { 'service-without-pod': 1 } });
    await expectRemoved(sandboxId);
  });

  it('without a Service, made by the original, is stamped, and removed after the grace', async () => {
    const { sandboxId } = await world.givenOriginalSandbox();
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
    const pod = await world.findPod(sandboxId);
    expectReport(await cleanUp(world), { examined: 1, adopted: 1 });
    expectReport(await cleanUp(world), { examined: 1, kept: { 'fresh-orphan': 1 } });
    expect((await world.findPod(sandboxId))?.metadata).toMatchObject({ uid: pod?.metadata.uid });
    await world.kubernetes.patch('pods', `sandbox-${sandboxId}`, { metadata: { annotations: usedAgo(300) } });
    expectReport(await cleanUp(world), { examined: 1, deleted: { 'pod-without-service': 1 } });
    await expectPodRemoved(sandboxId);
  });

  it('that gets its Service between the look and the deletion is kept', async () => {
    const names = await givenOrphan();
    const looking = holdCalls(world.proxy, callTo('GET', 'services', names.sandboxId));
    const run = cleanUp(world);
    await looking.reached();
    await world.givenSandbox(names);
    const alive = await uidsOf(names.sandboxId);
    looking.release();
    expectReport(await run, { examined: 1, kept: { 'used-meanwhile': 1 } });
    await expectAlive(names.sandboxId, alive);
  });

  it('that is a Pod, and is asked for while the clean-up is about to take it, stays, and has an owner from then on', async () => {
    const names = await givenOrphan();
    const deletion = holdCalls(world.proxy, isDeletion('pods', names.sandboxId));
    const run = cleanUp(world);
    await deletion.reached();
    expect((await world.givenSandbox(names)).view.status).toBe('Running');
    const alive = await uidsOf(names.sandboxId);
    deletion.release();
    expectReport(await run, { examined: 1, kept: { 'used-meanwhile': 1 } });
    await expectAlive(names.sandboxId, alive);
    const owners = (await world.findPod(names.sandboxId))?.metadata.ownerReferences?.map(({ uid }) => uid);
    expect(owners).toEqual([alive.uids[0]]);
  });
});

describe('a sandbox whose Pod', () => {
  it.each<[string, (seconds: number) => object]>([
    ['has ended', endedBefore],
    ['was evicted', evictedBefore],
  ])('%s is removed after its retention', async (_how, stateBefore) => {
    const names = await world.givenOriginalSandbox({}, { withPod: false });
    await givenPodInState(names, stateBefore(3_500));
    await makeUnused(world, names.sandboxId, 7_200);
    expectReport(await cleanUp(world), { examined: 1, kept: { 'in-use': 1 } });
    await world.kubernetes.patch('pods', `sandbox-${names.sandboxId}`, { status: stateBefore(3_600) }, 'status');
    expectReport(await cleanUp(world), { examined: 1, deleted: { ended: 1 } });
    await expectRemoved(names.sandboxId);
  });

  it('never got to run is removed when patience is over', async () => {
    const names = await world.givenOriginalSandbox({}, { withPod: false });
    await givenPodInState(names, { phase: 'Pending' });
    await makeUnused(world, names.sandboxId, 400);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expectReport(await cleanUp(world), { examined: 1, kept: { 'in-use': 1 } });
    const run = await cleanUp(world, { SANDBOX_PENDING_TIMEOUT_SECONDS: '1' });
    expectReport(run, { examined: 1, deleted: { 'never-ran': 1 } });
    await expectRemoved(names.sandboxId);
  });
});

describe('a sandbox that is used while the clean-up is about to take it', () => {
  it.each<[string, (names: SandboxNames) => Promise<unknown>]>([
    ['by a repeated create', ({ sandboxId, threadId }) => world.create({ sandbox_id: sandboxId, thread_id: threadId })],
    ['by a renewal', ({ sandboxId }) => world.renew(sandboxId)],
    ['by a look', ({ sandboxId }) => world.get(sandboxId)],
  ])('stays: %s', async (_how, use) => {
    const { sandboxId, threadId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, day);
    const alive = await uidsOf(sandboxId);
    const deletion = holdCalls(world.proxy, isDeletion('services', sandboxId));
    const run = cleanUp(world);
    await deletion.reached();
    expect(await use({ sandboxId, threadId })).toMatchObject({ status: 200, body: { status: 'Running' } });
    deletion.release();
    expectReport(await run, { examined: 1, kept: { 'used-meanwhile': 1 } });
    await expectAlive(sandboxId, alive);
    expectReport(await cleanUp(world), { examined: 1, kept: { 'in-use': 1 } });
  });

  it.each([
    ['ours', false],
    ["the original's", true],
  ])('lives when it is made again after its Service went, before its Pod goes: %s', async (_whose, isOriginal) => {
    const given = isOriginal ? world.givenOriginalSandbox() : world.givenRunningSandbox();
    const { sandboxId, threadId } = await given;
    await makeUnused(world, sandboxId, day);
    const deletion = holdCalls(world.proxy, isDeletion('pods', sandboxId));
    const run = cleanUp(world);
    await deletion.reached();
    const { view } = await world.givenSandbox({ sandboxId, threadId });
    deletion.release();
    expectReport(await run, { examined: 1, deleted: { expired: 1 } });
    expect((await world.untilRunning(sandboxId)).sandbox_url).toBe(view.sandbox_url);
    const [pod, ...others] = await world.podsOf(sandboxId);
    expect(others).toEqual([]);
    expect(pod?.metadata.deletionTimestamp).toBeUndefined();
  });

  it('that is removed by its caller meanwhile is no failure', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, day);
    const deletion = holdCalls(world.proxy, isDeletion('services', sandboxId));
    const run = cleanUp(world);
    await deletion.reached();
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
    deletion.release();
    expectReport(await run, { examined: 1, kept: { 'removed-meanwhile': 1 } });
  });
});

describe('what the original provisioner made', () => {
  it('is adopted at the first look, its thread too, and judged like ours from then on', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const other = await world.givenOriginalSandbox({}, { withPod: false });
    const alive = await uidsOf(sandboxId);
    // However short the times are: it is never removed at the first look.
    const short = { SANDBOX_MAX_LIFETIME_SECONDS: '1', SANDBOX_ORPHAN_GRACE_SECONDS: '60' };
    const run = await cleanUp(world, { ...short, SANDBOX_TTL_SECONDS: '3600' });
    expectReport(run, { examined: 2, adopted: 2 });
    expect(await uidsOf(sandboxId)).toEqual(alive);
    const { annotations } = (await world.findService(sandboxId))?.metadata ?? {};
    expect(annotations).toMatchObject({
      'sandbox-provisioner/thread-id': threadId,
      'sandbox-provisioner/ttl-seconds': '3600',
      'sandbox-provisioner/last-used-by': expect.stringMatching(/\S/),
    });
    const usedAt = Date.parse(annotations?.['sandbox-provisioner/last-used-at'] ?? '');
    expect(Math.abs(Date.now() - usedAt)).toBeLessThan(30_000);
    const stamped = (await world.findService(other.sandboxId))?.metadata.annotations;
    expect(stamped).not.toHaveProperty('sandbox-provisioner/thread-id');

    expectReport(await cleanUp(world), { examined: 2, kept: { 'in-use': 1, 'fresh-orphan': 1 } });
    await makeUnused(world, sandboxId, 3_600);
    await makeUnused(world, other.sandboxId, 300);
    expectReport(await cleanUp(world), { examined: 2, deleted: { expired: 1, 'service-without-pod': 1 } });
    await expectRemoved(sandboxId);
    await expectRemoved(other.sandboxId);
  });

  it('is not adopted twice, if somebody uses it meanwhile', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const adoption = holdCalls(world.proxy, callTo('PATCH', 'services', sandboxId));
    const run = cleanUp(world);
    await adoption.reached();
    const answer = await world.create({ sandbox_id: sandboxId, thread_id: threadId, ttl_seconds: 77 });
    expect(answer.status, answer.text).toBe(200);
    const used = await world.findService(sandboxId);
    adoption.release();
    expectReport(await run, { examined: 1, kept: { 'used-meanwhile': 1 } });
    expect((await world.findService(sandboxId))?.metadata.annotations).toEqual(used?.metadata.annotations);
  });
});

describe('what is no sandbox', () => {
  it('is not touched: without the label, with the label alone, in another namespace', async () => {
    const { sandboxId } = await world.givenSandbox();
    await world.destroy(sandboxId);
    await world.clear();
    const annotations = usedAgo(365 * day, 1);
    const renamed = (object: object, name: string, labels: object) =>
      alter(object, { metadata: { name, labels, annotations } });
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    const { labels } = (originalService(names) as { metadata: { labels: Record<string, string> } }).metadata;
    const service = originalService(names);
    const pod = originalPod(names, world.settings);
    // Labelled, but of another name; the name, but not labelled.
    await world.kubernetes.create('services', renamed(service, 'labelled', labels));
    await world.kubernetes.create('pods', renamed(pod, 'labelled', labels));
    await world.kubernetes.create('services', renamed(service, 'sandbox-x-svc', { ...labels, app: 'else' }));
    await world.kubernetes.create('pods', renamed(pod, 'sandbox-x', { ...labels, app: 'else' }));
    const elsewhere = openKubernetesClient(world.cluster.address, 'default');
    const foreign = `sandbox-${names.sandboxId}-svc`;
    try {
      await elsewhere.create('services', renamed(service, foreign, labels));
      const calls = await world.callsOf(async () => {
        const run = await cleanUp(world, { SANDBOX_MAX_LIFETIME_SECONDS: '1', SANDBOX_ORPHAN_GRACE_SECONDS: '60' });
        expectReport(run, { examined: 2, kept: { 'not-a-sandbox': 2 } });
      });
      expect(calls.map(({ method }) => method)).toEqual(['GET', 'GET']);
      for (const { path } of calls) expect(path).toContain(`/namespaces/${world.namespace}/`);
      expect(await elsewhere.find('services', foreign)).toBeDefined();
    } finally {
      await elsewhere.remove('services', foreign);
    }
    const left = [...(await world.kubernetes.list('services')), ...(await world.kubernetes.list('pods'))];
    const namesLeft = left.map(({ metadata }) => metadata.name).toSorted();
    expect(namesLeft).toEqual(['labelled', 'labelled', 'sandbox-x', 'sandbox-x-svc']);
  });
});

describe('a clean-up that fails at something', () => {
  it('reports it, removes the rest, and fails: it may not delete Pods', async () => {
    const [one, other] = await Promise.all([world.givenRunningSandbox(), world.givenRunningSandbox()]);
    const alive = await world.givenRunningSandbox();
    const uids = await uidsOf(alive.sandboxId);
    const withoutPod = await world.givenOriginalSandbox({}, { withPod: false });
    await makeUnused(world, one.sandboxId, day);
    await makeUnused(world, other.sandboxId, day);
    await makeUnused(world, withoutPod.sandboxId, 300);
    world.proxy.injectFault({ when: callTo('DELETE', 'pods'), action: { answer: forbidden } });
    const { exitCode, report, output } = await cleanUpByHand(world);
    const failed = { 'Kubernetes does not permit it (403 Forbidden)': 2 };
    const done = { examined: 4, deleted: { 'service-without-pod': 1 }, kept: { 'in-use': 1 }, failed };
    expect(report, output).toEqual(aReport(done));
    expect(exitCode).toBe(1);
    expect(output).toContain('2 of 4 sandboxes could not be cleaned up');
    expect(output).toContain(one.sandboxId);
    expect(output).toContain(other.sandboxId);
    await expectRemoved(withoutPod.sandboxId);
    expect(await world.findService(one.sandboxId)).toBeUndefined();
    expect(await world.findService(other.sandboxId)).toBeUndefined();
    await expectAlive(alive.sandboxId, uids);
  });

  it.each(['pods', 'services'] as const)('fails where it may not list %s, and removes nothing', async (resource) => {
    const { sandboxId } = await world.givenSandbox();
    await makeUnused(world, sandboxId, day);
    world.proxy.injectFault({ when: callTo('GET', resource), action: { answer: forbidden } });
    const calls = await world.callsOf(async () => {
      const { exitCode, output } = await cleanUpByHand(world);
      expect(exitCode).toBe(1);
      expect(output).toContain('Kubernetes does not permit it (403 Forbidden)');
    });
    expect(calls.filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(await world.findService(sandboxId)).toBeDefined();
  });
});

describe('two clean-ups at once', () => {
  it('remove each sandbox once, and harm nothing', async () => {
    const expired = await Promise.all(Array.from({ length: 6 }, () => world.givenSandbox()));
    const alive = await world.givenRunningSandbox();
    const uids = await uidsOf(alive.sandboxId);
    await Promise.all(expired.map(({ sandboxId }) => makeUnused(world, sandboxId, day)));
    // Both have looked before either deletes.
    const deletions = holdCalls(world.proxy, (call) => call.method === 'DELETE', 24);
    const running = Promise.all([cleanUp(world), cleanUp(world)]);
    while (deletions.hits.length < 12) await new Promise((resolve) => setTimeout(resolve, 20));
    deletions.release();
    const runs = await running;
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
    const sum = (numbers: (number | undefined)[]) => numbers.reduce<number>((total, one) => total + (one ?? 0), 0);
    expect(sum(runs.map(({ report }) => report?.deleted.expired))).toBe(6);
    expect(sum(runs.map(({ report }) => report?.kept['removed-meanwhile']))).toBe(6);
    for (const { sandboxId } of expired) {
      await expectRemoved(sandboxId);
      expectError(await world.get(sandboxId), 404);
    }
    await expectAlive(alive.sandboxId, uids);
  });
});
