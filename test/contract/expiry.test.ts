import { afterEach, describe, expect, it } from 'vitest';

import { afterUse, aTime, expectError, expectUnavailable, expectUnprocessable } from '../support/answers.ts';
import { patience } from '../support/callers.ts';
import { makeUnused } from '../support/clean-up.ts';
import type { HttpAnswer } from '../support/http-call.ts';
import { callTo, holdCalls, kubernetesStatus, writesAmong } from '../support/kubernetes-proxy.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld(lean);

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const day = 86_400;
const week = 7 * day;

const isNote = (sandboxId: string) => callTo('PATCH', 'services', sandboxId);

/** In how many seconds it expires, by the tests' own clock. */
const secondsLeft = ({ body }: HttpAnswer): number => (Date.parse(body.expires_at) - Date.now()) / 1000;

function expectLeft(answer: HttpAnswer, seconds: number): void {
  expect(answer.status, answer.text).toBe(200);
  expect(answer.body.expires_at).toEqual(aTime);
  expect(secondsLeft(answer)).toBeGreaterThan(seconds - 20);
  expect(secondsLeft(answer)).toBeLessThanOrEqual(seconds + 1);
}

const annotationsOf = async (sandboxId: string) => (await world.findService(sandboxId))?.metadata.annotations;

describe('a create', () => {
  it('tells when the sandbox was made and when it expires: a day after its last use', async () => {
    const answer = await world.create({ sandbox_id: newSandboxId(), thread_id: newThreadId() });
    expectLeft(answer, day);
    expect(answer.body.created_at).toEqual(aTime);
    expect(Math.abs(Date.now() - Date.parse(answer.body.created_at))).toBeLessThan(20_000);
  });

  it('may say for how long, and the sandbox keeps that over every later use', async () => {
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId() };
    expectLeft(await world.create({ ...body, ttl_seconds: 600 }), 600);
    expect(await annotationsOf(body.sandbox_id)).toMatchObject({ 'sandbox-provisioner/ttl-seconds': '600' });
    await makeUnused(world, body.sandbox_id, 100);
    expectLeft(await world.create(body), 600);
    expectLeft(await world.create({ ...body, ttl_seconds: null }), 600);
    expectLeft(await world.create({ ...body, ttl_seconds: 1200 }), 1200);
    expectLeft(await world.get(body.sandbox_id), 1200);
    const { sandboxes } = (await world.list()).body;
    expectLeft({ ...(await world.list()), body: sandboxes[0] }, 1200);
  });

  // For ever, where there is a maximum, too.
  it('may ask for a second to a week, in whole seconds, and not for anything else', async () => {
    for (const ttl_seconds of [1, week]) {
      expectLeft(await world.create({ sandbox_id: newSandboxId(), ttl_seconds }), ttl_seconds);
    }
    const calls = await world.callsOf(async () => {
      for (const ttl_seconds of [0, week + 1, -1, 1.5, '600', true, 31_536_000_000]) {
        expectUnprocessable(await world.create({ sandbox_id: newSandboxId(), ttl_seconds }), ['body', 'ttl_seconds']);
      }
    });
    expect(calls).toEqual([]);
  });

  it('leaves what the original made the time that another create has asked for meanwhile', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const reading = holdCalls(world.proxy, callTo('GET', 'services', sandboxId));
    const creating = world.create({ sandbox_id: sandboxId, thread_id: threadId });
    // It has found that nobody noted a thread there; that is not so any more when it reads what there is.
    await reading.reached();
    expectLeft(await world.create({ sandbox_id: sandboxId, thread_id: threadId, ttl_seconds: 900 }), 900);
    reading.release();
    expectLeft(await creating, 900);
  });
});

describe('a renewal', () => {
  it('puts the expiry off, keeps the time to live, and changes nothing else: in one round trip', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, 500, 600);
    const view = (await world.get(sandboxId)).body;
    await makeUnused(world, sandboxId, 500, 600);
    const noted = await annotationsOf(sandboxId);
    const answer = await world.renew(sandboxId);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual(afterUse(view));
    expectLeft(answer, 600);
    expect(await annotationsOf(sandboxId)).toEqual({
      ...noted,
      'sandbox-provisioner/last-used-at': aTime,
      'sandbox-provisioner/last-used-by': expect.not.stringMatching(noted?.['sandbox-provisioner/last-used-by'] ?? ''),
    });
  });

  it('may change the time to live, which stays then', async () => {
    const { sandboxId } = await world.givenSandbox();
    expectLeft(await world.renew(sandboxId, { ttl_seconds: 300 }), 300);
    expectLeft(await world.renew(sandboxId), 300);
    expectLeft(await world.renew(sandboxId, {}), 300);
    expectLeft(await world.renew(sandboxId, { ttl_seconds: null, other: 1 }), 300);
    expectLeft(await world.renew(sandboxId, { ttl_seconds: week }), week);
  });

  it('may not ask for what a create may not, nor with a body that is none', async () => {
    const { sandboxId } = await world.givenSandbox();
    const calls = await world.callsOf(async () => {
      for (const ttl_seconds of [0, week + 1, '1']) {
        expectUnprocessable(await world.renew(sandboxId, { ttl_seconds }), ['body', 'ttl_seconds']);
      }
      expectUnprocessable(await world.renew(sandboxId, []), ['body']);
      expectUnprocessable(await world.renew(sandboxId, '{"ttl_seconds":'), ['body', 0]);
      expectUnprocessable(await world.renew('Not_Legal'), ['path', 'sandbox_id']);
    });
    expect(calls).toEqual([]);
  });

  it('needs no body, whatever type an empty one is said to be of', async () => {
    const { sandboxId } = await world.givenSandbox();
    for (const type of ['application/x-www-form-urlencoded', 'application/json', 'text/plain']) {
      const rest = { body: '', headers: { 'content-type': type } };
      expect(await world.call('POST', `/api/sandboxes/${sandboxId}/renew`, rest)).toMatchObject({ status: 200 });
    }
    const form = { body: 'ttl_seconds=60', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    expectError(await world.call('POST', `/api/sandboxes/${sandboxId}/renew`, form), 415);
  });

  it('of a sandbox that is not there is 404, and makes nothing', async () => {
    await world.givenSandbox();
    const id = newSandboxId();
    const calls = await world.callsOf(async () => expectError(await world.renew(id), 404, `Sandbox '${id}' not found`));
    expect(writesAmong(calls)).toEqual([]);
  });

  it('of a sandbox whose Pod is gone tells so, and gives it time', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    const answer = await world.renew(sandboxId, { ttl_seconds: 60 });
    expectLeft(answer, 60);
    expect(answer.body.status).toBe('NotFound');
  });

  it('that Kubernetes refuses is not answered as if it had been', async () => {
    const { sandboxId } = await world.givenSandbox();
    const action = { answer: kubernetesStatus(503, 'ServiceUnavailable', 'not now') };
    world.proxy.injectFault({ when: isNote(sandboxId), action });
    expectUnavailable(await world.renew(sandboxId), /^Service update failed: \S/);
  });

  it("of one of the original's notes its thread too: its Pod, which tells it, may be lost later", async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    expect(await world.renew(sandboxId)).toMatchObject({
      status: 200,
      body: { sandbox_id: sandboxId, expires_at: aTime },
    });
    expect((await world.findService(sandboxId))?.metadata.annotations).toMatchObject({
      'sandbox-provisioner/thread-id': threadId,
      'sandbox-provisioner/last-used-at': aTime,
    });
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expectError(await world.create({ sandbox_id: sandboxId, thread_id: newThreadId() }), 409);
  });
});

describe('a look at a sandbox', () => {
  it('counts as a use, and is noted only when a quarter of its time has passed', async () => {
    const { sandboxId, view } = await world.givenRunningSandbox();
    const unnoted = await world.callsOf(async () => {
      for (let look = 0; look < 5; look += 1) expect((await world.get(sandboxId)).body).toEqual(view);
    });
    expect([...new Set(unnoted.map(({ method }) => method))]).toEqual(['GET']);

    await makeUnused(world, sandboxId, 200, 1000);
    const early = await world.callsOf(async () => expectLeft(await world.get(sandboxId), 800));
    expect(early.filter(({ method }) => method !== 'GET')).toEqual([]);

    await makeUnused(world, sandboxId, 250, 1000);
    const due = await world.callsOf(async () => expectLeft(await world.get(sandboxId), 1000));
    expect(due.map(({ method }) => method)).toEqual(['GET', 'GET', 'PATCH']);
    const next = await world.callsOf(async () => expectLeft(await world.get(sandboxId), 1000));
    expect(next.map(({ method }) => method)).toEqual(['GET', 'GET']);
    expect(await annotationsOf(sandboxId)).toMatchObject({ 'sandbox-provisioner/ttl-seconds': '1000' });
  });

  it('saves one that has expired and was not removed yet', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, 2 * day);
    expectLeft(await world.get(sandboxId), day);
  });

  it.each([
    ['that never expires', 0],
    ['of the original, which nobody has adopted', undefined],
  ])('writes nothing on one %s', async (_which, ttlSeconds) => {
    const { sandboxId } = await world.givenOriginalSandbox();
    if (ttlSeconds !== undefined) await makeUnused(world, sandboxId, 365 * day, ttlSeconds);
    const calls = await world.callsOf(async () => expect((await world.get(sandboxId)).body.expires_at).toBeNull());
    expect(calls.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it('that a list is writes nothing', async () => {
    const { sandboxId } = await world.givenSandbox();
    await makeUnused(world, sandboxId, 2 * day);
    const calls = await world.callsOf(() => world.list());
    expect(calls.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it.each([
    ['is forbidden', { answer: kubernetesStatus(403, 'Forbidden', 'no') }],
    ['conflicts', { answer: kubernetesStatus(409, 'Conflict', 'the object has been modified') }],
    ['fails', { answer: kubernetesStatus(500, 'InternalError', 'no') }],
    ['is cut off', { cut: 'before' }],
  ] as const)('succeeds though its note %s', async (_how, action) => {
    const { sandboxId, view } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, 500, 1000);
    const fault = world.proxy.injectFault({ when: isNote(sandboxId), action });
    const answer = await world.get(sandboxId, patience.read);
    expect(fault.hits.length).toBeGreaterThanOrEqual(1);
    expect(answer.body).toEqual({ ...view, expires_at: aTime });
    expectLeft(answer, 500);
  });

  it('succeeds in time though its note hangs', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, 500, 1000);
    const note = holdCalls(world.proxy, isNote(sandboxId));
    const startedAt = performance.now();
    expectLeft(await world.get(sandboxId, patience.read), 500);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    note.release();
  });

  it('is not noted on another sandbox that was made in its place meanwhile', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await makeUnused(world, sandboxId, 500, 1000);
    const note = holdCalls(world.proxy, isNote(sandboxId));
    const look = world.get(sandboxId);
    await note.reached();
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
    await world.givenSandbox({ sandboxId });
    const noted = await annotationsOf(sandboxId);
    note.release();
    expect((await look).status).toBe(200);
    expect(await annotationsOf(sandboxId)).toEqual(noted);
  });
});
