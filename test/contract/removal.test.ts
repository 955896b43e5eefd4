import { afterEach, describe, expect, it } from 'vitest';

import { expectError } from '../support/answers.ts';
import { eventually } from '../support/eventually.ts';
import type { HttpAnswer } from '../support/http-call.ts';
import { callTo, holdCalls } from '../support/kubernetes-proxy.ts';
import type { SandboxNames } from '../support/original.ts';
import { expectWholeSandbox } from '../support/whole-sandbox.ts';
import { lean, useWorld } from '../support/world.ts';

const world = useWorld(lean);

const finalizer = 'example.com/held';
const held = new Set<string>();

/** Makes an object stay when it is deleted, until it is let go. */
async function hold(resource: 'pods' | 'services', name: string): Promise<void> {
  held.add(`${resource}/${name}`);
  await world.kubernetes.patch(resource, name, { metadata: { finalizers: [finalizer] } });
}

async function letGo(): Promise<void> {
  for (const object of held) {
    const [resource, name] = object.split('/') as ['pods' | 'services', string];
    if ((await world.kubernetes.find(resource, name)) === undefined) continue;
    await world.kubernetes.patch(resource, name, { metadata: { finalizers: null } });
  }
  held.clear();
}

afterEach(async () => {
  world.proxy.reset();
  await letGo();
  await world.clear();
});

/** A sandbox that runs, and whose Service is deleted and stays. */
async function givenHeldSandbox() {
  const given = await world.givenRunningSandbox();
  await hold('services', `sandbox-${given.sandboxId}-svc`);
  await world.kubernetes.remove('services', `sandbox-${given.sandboxId}-svc`);
  return given;
}

describe('a sandbox whose Service is being removed, and is held', () => {
  // Its Pod still runs, and its URL still leads there; both go as soon as it is let go.
  it('is not found by a get, and NotFound in a list, though its Pod runs', async () => {
    const { sandboxId, view } = await givenHeldSandbox();
    expectError(await world.get(sandboxId), 404, `Sandbox '${sandboxId}' not found`);
    expect((await world.list()).body).toEqual({ sandboxes: [{ ...view, status: 'NotFound' }], count: 1 });
  });

  it('cannot be renewed', async () => {
    const { sandboxId } = await givenHeldSandbox();
    expectError(await world.renew(sandboxId), 404, `Sandbox '${sandboxId}' not found`);
  });

  it('is removed by a delete as any other', async () => {
    const { sandboxId } = await givenHeldSandbox();
    expect(await world.destroy(sandboxId)).toMatchObject({ status: 200, body: { ok: true, sandbox_id: sandboxId } });
    expect((await world.findPod(sandboxId))?.metadata.deletionTimestamp ?? 'gone').toEqual(expect.any(String));
  });

  // A create once answered 200 with a URL that died with the old Service, and a Pod that went with it.
  it.each([
    ['the same thread', true],
    ['another thread: the id is free then', false],
  ])('is waited for by a create of %s, which makes it anew once it is let go', async (_which, isSame) => {
    const { sandboxId, threadId, view } = await givenHeldSandbox();
    const old = await world.findService(sandboxId);
    const when = callTo('PATCH', 'services', sandboxId);
    const refused = world.proxy.injectFault({ when, action: { delayMs: 0 } });
    const creating = world.create({ sandbox_id: sandboxId, thread_id: isSame ? threadId : 'another' });
    await refused.firstHit();
    // Nothing is written on it, so that whoever holds it is not disturbed.
    expect((await world.findService(sandboxId))?.metadata.resourceVersion).toBe(old?.metadata.resourceVersion);
    await letGo();
    const answer = await creating;
    expect(answer.status, answer.text).toBe(200);
    const { service } = await expectWholeSandbox(world, sandboxId);
    expect(service.metadata.uid).not.toBe(old?.metadata.uid);
    expect(answer.body.sandbox_url).toContain(`:${service.spec.ports[0].nodePort}`);
    expect(answer.body).not.toEqual(view);
  });

  // Kubernetes charges each try to the namespace's quota.
  it('is not tried to be made again and again meanwhile', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const name = `sandbox-${sandboxId}-svc`;
    await hold('services', name);
    await world.kubernetes.remove('services', name);
    const creating = world.create({ sandbox_id: sandboxId, thread_id: threadId });
    const callsOf = (wanted: string, end: string) =>
      world.proxy.calls.filter(({ method, path }) => method === wanted && path.endsWith(end));
    await eventually(
      'looked at: the old Service, four times',
      () => callsOf('GET', name),
      (calls) => calls.length > 3,
    );
    await letGo();
    expect((await creating).status).toBe(200);
    expect(callsOf('POST', '/services').length).toBe(2);
  });
});

describe('a Service, and a Pod, that is being removed, and is held', () => {
  it('is waited for within the deadline; the answer then says what holds it', async () => {
    const [service, pod] = [await givenHeldSandbox(), await world.givenRunningSandbox()];
    await hold('pods', `sandbox-${pod.sandboxId}`);
    await world.kubernetes.remove('pods', `sandbox-${pod.sandboxId}`, 0);
    const create = ({ sandboxId, threadId }: SandboxNames) =>
      world.create({ sandbox_id: sandboxId, thread_id: threadId }, { timeoutMs: 40_000 });
    // Both at once: each takes all of its 25 s.
    const answers = await Promise.all([create(service), create(pod)]);
    for (const [index, kind] of ['Service', 'Pod'].entries()) {
      const detail = `There was not enough time: its old ${kind} is still there, held by its finalizers: ${finalizer}`;
      expectError(answers[index] as HttpAnswer, 504, detail);
    }
    await letGo();
    expect((await create(pod)).status).toBe(200);
    await expectWholeSandbox(world, pod.sandboxId);
  });
});

describe('a delete', () => {
  // It once went by name, and took the new Pod, or the whole new sandbox, of a create that ran beside it.
  it('removes the sandbox that it saw, and not one that is made in its place meanwhile', async () => {
    const { sandboxId, threadId } = await world.givenRunningSandbox();
    const service = holdCalls(world.proxy, callTo('DELETE', 'services', sandboxId));
    const pod = holdCalls(world.proxy, callTo('DELETE', 'pods', sandboxId));
    const destroying = world.destroy(sandboxId);
    await Promise.all([service.reached(), pod.reached()]);
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    const made = await world.givenSandbox({ sandboxId, threadId });
    service.release();
    pod.release();
    expect(await destroying).toMatchObject({ status: 200, body: { ok: true } });
    await expectWholeSandbox(world, sandboxId);
    expect((await world.get(sandboxId)).body).toEqual({ ...made.view, status: 'Running' });
  });

  // It once took the new Pod, as that of the sandbox which it had found without a Service, or with another.
  it.each([
    ['there was', true],
    ['there was none', false],
  ])('leaves the Pod alone of a sandbox that is made after it looked for a Service: %s', async (_what, hadService) => {
    const { sandboxId, threadId } = await world.givenRunningSandbox();
    const remove = async () => {
      await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
      await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    };
    if (!hadService) await remove();
    world.proxy.reset();
    const look = holdCalls(world.proxy, callTo('GET', 'pods', sandboxId));
    const destroying = world.destroy(sandboxId);
    await look.reached();
    await eventually(
      'read: the Service',
      () => world.proxy.calls.find(callTo('GET', 'services', sandboxId))?.endedAt,
      (endedAt) => endedAt !== undefined,
    );
    if (hadService) await remove();
    const made = await world.givenSandbox({ sandboxId, threadId });
    look.release();
    expect(await destroying).toMatchObject({ status: 200, body: { ok: true } });
    await expectWholeSandbox(world, sandboxId);
    expect((await world.get(sandboxId)).body).toEqual({ ...made.view, status: 'Running' });
  });

  it('names what it removes by its UID, and nothing by its name alone', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    const uids = [(await world.findService(sandboxId))?.metadata.uid, (await world.findPod(sandboxId))?.metadata.uid];
    const calls = await world.callsOf(() => world.destroy(sandboxId));
    const deletions = calls.filter(({ method }) => method === 'DELETE');
    expect(deletions.map(({ body }) => JSON.parse(body).preconditions.uid).toSorted()).toEqual(uids.toSorted());
  });
});
