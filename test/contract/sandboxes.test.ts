import { afterEach, describe, expect, it } from 'vitest';

import { afterUse, aTime, expectError, expectNoPod, withoutPod } from '../support/answers.ts';
import { cleanUp, usedAgo } from '../support/clean-up.ts';
import { eventually } from '../support/eventually.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { isAbout, isFor, writesAmong } from '../support/kubernetes-proxy.ts';
import { alter, comparable, onNoNode, originalPod, originalService, withoutAdditions } from '../support/original.ts';
import { newSandboxId, newThreadId, type SandboxView, useWorld } from '../support/world.ts';

const world = useWorld();

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const statuses = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'];

/** The whole answer about a sandbox, its status one that a sandbox with a Pod has. */
const aView = (
  sandboxId: string,
  status: unknown = expect.toBeOneOf(statuses),
  threadId: unknown = expect.any(String),
) => ({
  sandbox_id: sandboxId,
  sandbox_url: expect.stringMatching(new RegExp(`^http://${world.settings.NODE_HOST}:[1-9]\\d{3,4}$`)),
  status,
  max_shell_sessions: 10,
  container_id: expect.any(String),
  lark_cli_broker: false,
  thread_id: threadId,
  user_id: null,
  metadata: {},
  image: world.settings.SANDBOX_IMAGE,
  created_at: aTime,
  expires_at: aTime,
});

/** The same of one that the original made, of which nobody noted when it was used. */
const aViewOfOriginal = (sandboxId: string, status: unknown) => ({ ...aView(sandboxId, status), expires_at: null });
const aViewWithoutPod = (sandboxId: string) => ({
  ...aViewOfOriginal(sandboxId, 'NotFound'),
  ...withoutPod,
  thread_id: null,
});

describe('POST /api/sandboxes', () => {
  it('makes a sandbox, and answers before its Pod runs', async () => {
    const id = newSandboxId();
    const answer = await world.create({ sandbox_id: id, thread_id: newThreadId() });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    expect(answer.body).toEqual({ ...aView(id, expect.toBeOneOf(['Pending', 'Running'])), created: true });
  });

  it('gives a URL that opens as soon as the sandbox runs', async () => {
    const { sandboxId, view } = await world.givenRunningSandbox();
    const answer = await world.untilOpen(view);
    expect(answer.status).toBe(200);
    expect((await world.get(sandboxId)).body).toEqual({ ...view, status: 'Running' });
  });

  it('answers the same sandbox again and again, and makes nothing more', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    const pod = await world.findPod(sandboxId);
    const service = await world.findService(sandboxId);
    for (let time = 0; time < 3; time += 1) {
      const again = await world.givenSandbox({ sandboxId, threadId });
      expect(again.view).toEqual(afterUse(view, { status: 'Running' }));
    }
    expect(uidsOf(await world.podsOf(sandboxId))).toEqual([pod?.metadata.uid]);
    expect(uidsOf(await world.servicesOf(sandboxId))).toEqual([service?.metadata.uid]);
  });

  it('notes every use on the Service, with its time, so that whoever wants to remove the sandbox sees it', async () => {
    const { sandboxId, threadId } = await world.givenSandbox();
    const first = await world.findService(sandboxId);
    await world.create({ sandbox_id: sandboxId, thread_id: threadId });
    const second = await world.findService(sandboxId);
    expect(second?.metadata.resourceVersion).not.toBe(first?.metadata.resourceVersion);
    expect(second?.metadata.annotations).toMatchObject({
      'sandbox-provisioner/thread-id': threadId,
      'sandbox-provisioner/last-used-at': aTime,
      'sandbox-provisioner/last-used-by': expect.stringMatching(/\S/),
    });
    const usedAt = (service: KubernetesObject | undefined) =>
      Date.parse(service?.metadata.annotations?.['sandbox-provisioner/last-used-at'] ?? '');
    expect(usedAt(second)).toBeGreaterThanOrEqual(usedAt(first));
  });

  it.each([
    ['null', { thread_id: null }],
    ['absent', {}],
  ])('takes the sandbox_id for the thread_id that is %s', async (_what, thread) => {
    const id = newSandboxId();
    const answer = await world.create({ sandbox_id: id, ...thread });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual({ ...aView(id, undefined, id), created: true });
    expect(userDataOf(await world.findPod(id))).toBe(`${world.settings.THREADS_HOST_PATH}/${id}/user-data`);
    // The same caller may send it in any of the three ways.
    for (const way of [{ thread_id: id }, { thread_id: null }, {}]) {
      expect((await world.create({ sandbox_id: id, ...way })).status).toBe(200);
    }
  });

  it('ignores fields that it does not know', async () => {
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId(), environment: 'any', image: { any: 1 } };
    const answer = await world.create(body);
    expect(answer.status, answer.text).toBe(200);
    expect((await world.podsOf(body.sandbox_id)).length).toBe(1);
  });

  it.each([
    ['one character', 'a', 't'],
    ['8 hex digits, as older clients send', '0a1b2c3d', newThreadId()],
    ['51 characters, the most', `a${'-'.repeat(49)}9`, 'T'.repeat(64)],
    ['a thread of every kind of character', '0', 'aZ09_-'],
  ])('takes ids at the edge of what is legal: %s', async (_what, sandboxId, threadId) => {
    const answer = await world.create({ sandbox_id: sandboxId, thread_id: threadId });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual({ ...aView(sandboxId, undefined, threadId), created: true });
    expect(await world.get(sandboxId)).toMatchObject({ status: 200, body: { sandbox_id: sandboxId } });
    expect(await world.destroy(sandboxId)).toMatchObject({ status: 200, body: { ok: true, sandbox_id: sandboxId } });
  });
});

describe('the Pod and the Service', () => {
  it('are what the original makes, field by field', async () => {
    // Both through the same API server, so that both have its defaults.
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    const original = await world.givenOriginalSandbox();
    await world.givenSandbox(names);
    for (const find of [world.findPod, world.findService]) {
      const text = JSON.stringify(await find(original.sandboxId)).replaceAll(original.sandboxId, names.sandboxId);
      const wanted = JSON.parse(text.replaceAll(original.threadId, names.threadId));
      expect(comparable((await find(names.sandboxId)) as KubernetesObject)).toEqual(comparable(wanted));
    }
  });

  it('are sent as the original sends them, and with the allowed additions alone', async () => {
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    await world.givenSandbox(names);
    const sent = (resource: 'pods' | 'services') => {
      const calls = world.proxy.calls.filter((call) => call.method === 'POST' && isFor(call, resource));
      const { metadata, spec, ...rest } = JSON.parse(calls.at(-1)?.body ?? '{}');
      const { namespace = world.namespace, annotations: _annotations, ownerReferences: _owners, ...others } = metadata;
      expect(namespace).toBe(world.namespace);
      return { ...rest, metadata: others, spec: withoutAdditions(spec) };
    };
    const pod = originalPod(names, world.settings) as { spec: object };
    expect(sent('pods')).toEqual({ ...pod, spec: withoutAdditions(pod.spec) });
    expect(sent('services')).toEqual(originalService(names));
  });
});

it('opens as soon as it listens also where the original made it, or an older version, from the next create on', async () => {
  const original = await world.givenOriginalSandbox();
  const older = await world.givenOriginalSandbox();
  const annotations = { 'sandbox-provisioner/thread-id': older.threadId };
  await world.kubernetes.patch('services', `sandbox-${older.sandboxId}-svc`, { metadata: { annotations } });
  for (const { sandboxId, threadId } of [original, older]) {
    const [service, pod] = [await world.findService(sandboxId), await world.findPod(sandboxId)];
    expect((await world.get(sandboxId)).status).toBe(200);
    expect((await world.findService(sandboxId))?.spec).toEqual(service?.spec);
    await world.givenSandbox({ sandboxId, threadId });
    expect((await world.findService(sandboxId))?.spec).toEqual({ ...service?.spec, publishNotReadyAddresses: true });
    expect((await world.findPod(sandboxId))?.metadata.uid).toBe(pod?.metadata.uid);
  }
});

describe('two threads whose sandbox ids collide', () => {
  // 8 hex digits did, in production; the second user then worked with the first one's files.
  it.each([
    ['a sandbox of ours', () => world.givenRunningSandbox()],
    // Its Pod tells whose it is.
    ['one that the original made', () => world.givenOriginalSandbox()],
  ])('do not share %s: the second gets 409, and nothing changes', async (_whose, give) => {
    const { sandboxId } = await give();
    const before = [await world.findService(sandboxId), (await world.findPod(sandboxId))?.metadata.uid];
    const view = (await world.get(sandboxId)).body;
    const calls = await world.callsOf(async () => {
      expectError(await world.create({ sandbox_id: sandboxId, thread_id: newThreadId() }), 409);
      expectError(await world.create({ sandbox_id: sandboxId }), 409);
    });
    expect(writesAmong(calls)).toEqual([]);
    expect([await world.findService(sandboxId), (await world.findPod(sandboxId))?.metadata.uid]).toEqual(before);
    expect((await world.get(sandboxId)).body).toEqual(view);
  });

  it('do not share one without a Pod either', async () => {
    const { sandboxId } = await world.givenSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    const service = await world.findService(sandboxId);
    expectError(await world.create({ sandbox_id: sandboxId, thread_id: newThreadId() }), 409);
    expect(await world.findService(sandboxId)).toEqual(service);
    expect(await world.podsOf(sandboxId)).toEqual([]);
  });

  it('get one winner when they come at once', async () => {
    const id = newSandboxId();
    const threads = [newThreadId(), newThreadId()];
    const answers = await Promise.all(threads.map((thread_id) => world.create({ sandbox_id: id, thread_id })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    const winner = threads[answers.findIndex(({ status }) => status === 200)];
    expect((await world.findService(id))?.metadata.annotations?.['sandbox-provisioner/thread-id']).toBe(winner);
    expect(userDataOf(await world.findPod(id))).toBe(`${world.settings.THREADS_HOST_PATH}/${winner}/user-data`);
  });
});

describe('a sandbox that the original made', () => {
  it('is found, listed and answered to its own thread, with its URL and its Pod', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const pod = await world.findPod(sandboxId);
    const service = await world.findService(sandboxId);
    const url = `http://${world.settings.NODE_HOST}:${service?.spec.ports[0].nodePort}`;
    // Nobody noted when it was used: its expiry is not known before it is.
    const own = { sandbox_url: url, container_id: pod?.metadata.uid, thread_id: threadId };
    const view = { ...aViewOfOriginal(sandboxId, 'Running'), ...own };
    expect((await world.get(sandboxId)).body).toEqual(view);
    expect((await world.list()).body).toEqual({ sandboxes: [view], count: 1 });
    expect(await world.create({ sandbox_id: sandboxId, thread_id: threadId })).toMatchObject({
      status: 200,
      body: { ...view, created: false, expires_at: aTime },
    });
    expect(uidsOf(await world.podsOf(sandboxId))).toEqual([pod?.metadata.uid]);
    expect(uidsOf(await world.servicesOf(sandboxId))).toEqual([service?.metadata.uid]);
  });

  it('remembers its thread from the first use on, without its Pod too', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    expect((await world.create({ sandbox_id: sandboxId, thread_id: threadId })).status).toBe(200);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expectError(await world.create({ sandbox_id: sandboxId, thread_id: newThreadId() }), 409);
    expect((await world.create({ sandbox_id: sandboxId, thread_id: threadId })).status).toBe(200);
  });

  it('comes back behind its URL when its Pod is gone', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox({}, { withPod: false });
    const service = await world.findService(sandboxId);
    expectNoPod(await world.get(sandboxId), sandboxId);
    const { view } = await world.givenSandbox({ sandboxId, threadId });
    expect(view.sandbox_url).toBe(`http://${world.settings.NODE_HOST}:${service?.spec.ports[0].nodePort}`);
    await world.untilRunning(sandboxId);
  });
});

const labels = { app: 'else', 'sandbox-id': 'else' };
const anyService = { type: 'NodePort', ports: [{ name: 'http', port: 8080 }], selector: { app: 'else' } };

describe("what only bears the name of a sandbox's object", () => {
  it.each([
    ['no labels', {}],
    ['those of something else', labels],
  ])('is left alone: a Service with %s. The create gets 409', async (_what, given) => {
    await world.givenSandbox();
    const id = newSandboxId();
    const name = `sandbox-${id}-svc`;
    const service = await world.kubernetes.create('services', { metadata: { name, labels: given }, spec: anyService });
    const calls = await world.callsOf(async () => {
      const answer = await world.create({ sandbox_id: id, thread_id: newThreadId() });
      expectError(answer, 409, `Service ${name} is there, but is no sandbox`);
    });
    expect(writesAmong(calls)).toEqual([]);
    expect((await world.findService(id))?.metadata).toEqual(service.metadata);
    expect(await world.findPod(id)).toBeUndefined();
  });

  it.each([
    ['no labels', {}],
    ['those of something else', labels],
  ])('is left alone: a Pod with %s. The create gets 409 and takes its Service back', async (_what, given) => {
    await world.givenSandbox();
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    const { spec } = alter(originalPod(names, world.settings), { spec: onNoNode }) as KubernetesObject;
    const name = `sandbox-${names.sandboxId}`;
    const pod = await world.kubernetes.create('pods', { metadata: { name, labels: given }, spec });
    const answer = await world.create({ sandbox_id: names.sandboxId, thread_id: names.threadId });
    expectError(answer, 409, `Pod ${name} is there, but is no sandbox`);
    const found = await world.findPod(names.sandboxId);
    expect(found?.metadata.uid).toBe(pod.metadata.uid);
    expect(found?.metadata.deletionTimestamp).toBeUndefined();
    expect(await world.findService(names.sandboxId)).toBeUndefined();
  });
});

describe('a Service and a Pod that only bear the names of a sandbox', () => {
  // A DELETE of `redis` once removed somebody's `sandbox-redis-svc`.
  it.each([
    ['no labels', {}],
    ['those of something else', labels],
    ["a sandbox's id alone", { 'sandbox-id': 'redis' }],
    ['the label of all sandboxes alone', { app: 'deer-flow-sandbox' }],
    ["another sandbox's labels", { app: 'deer-flow-sandbox', 'sandbox-id': 'else' }],
  ])('are none to any endpoint, nor to the clean-up, and stay as they are: %s', async (_what, given) => {
    const names = { sandboxId: 'redis', threadId: 'redis' };
    const { spec } = alter(originalPod(names, world.settings), { spec: onNoNode }) as KubernetesObject;
    const old = { labels: given, annotations: usedAgo(365 * 86_400, 1) };
    await world.kubernetes.create('services', { metadata: { name: 'sandbox-redis-svc', ...old }, spec: anyService });
    await world.kubernetes.create('pods', { metadata: { name: 'sandbox-redis', ...old }, spec });
    const before = [await world.findService('redis'), (await world.findPod('redis'))?.metadata.uid];
    const calls = await world.callsOf(async () => {
      expectError(await world.get('redis'), 404, "Sandbox 'redis' not found");
      expectError(await world.renew('redis'), 404, "Sandbox 'redis' not found");
      expect((await world.list()).body).toEqual({ sandboxes: [], count: 0 });
      expect((await world.call('GET', '/api/sandboxes?limit=10')).body).toEqual({ sandboxes: [], count: 0 });
      expect(await world.destroy('redis')).toMatchObject({ status: 200, body: { ok: true, sandbox_id: 'redis' } });
      expectError(await world.create({ sandbox_id: 'redis' }), 409);
      await cleanUp(world, { SANDBOX_ORPHAN_GRACE_SECONDS: '60' });
    });
    expect(writesAmong(calls)).toEqual([]);
    expect([await world.findService('redis'), (await world.findPod('redis'))?.metadata.uid]).toEqual(before);
    expect((await world.findPod('redis'))?.metadata.deletionTimestamp).toBeUndefined();
  });

  it('are none beside a sandbox: a Pod with its name alone is not shown, nor removed', async () => {
    const { sandboxId } = await world.givenOriginalSandbox({}, { withPod: false });
    const pod = originalPod({ sandboxId, threadId: 't' }, world.settings);
    const { spec } = alter(pod, { spec: onNoNode }) as KubernetesObject;
    await world.kubernetes.create('pods', { metadata: { name: `sandbox-${sandboxId}` }, spec });
    expectNoPod(await world.get(sandboxId), sandboxId);
    expect((await world.list()).body).toEqual({ sandboxes: [aViewWithoutPod(sandboxId)], count: 1 });
    expect((await world.destroy(sandboxId)).status).toBe(200);
    expect(await world.findService(sandboxId)).toBeUndefined();
    expect((await world.findPod(sandboxId))?.metadata.deletionTimestamp).toBeUndefined();
  });
});

describe("what bears a sandbox's labels, but not the name that goes with them", () => {
  it('is not listed: a Service with an empty id, and a second one with the id of a sandbox', async () => {
    const { sandboxId, view } = await world.givenRunningSandbox();
    const service = originalService({ sandboxId }) as KubernetesObject;
    const labels = { ...service.metadata.labels, 'sandbox-id': '' };
    await world.kubernetes.create('services', alter(service, { metadata: { name: 'sandbox--svc', labels } }));
    await world.kubernetes.create('services', alter(service, { metadata: { name: 'second' } }));
    expect((await world.list()).body).toEqual({ sandboxes: [{ ...view, status: 'Running' }], count: 1 });
    const page = await world.call('GET', '/api/sandboxes?limit=10');
    expect(page.body).toEqual({ sandboxes: [{ ...view, status: 'Running' }], count: 1 });
  });
});

describe('GET /api/sandboxes/{sandbox_id}', () => {
  it.each(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'])('tells the phase of the Pod: %s', async (phase) => {
    const names = await world.givenOriginalSandbox({}, { withPod: false });
    await world.kubernetes.create('pods', alter(originalPod(names, world.settings), { spec: onNoNode }));
    await world.kubernetes.patch('pods', `sandbox-${names.sandboxId}`, { status: { phase } }, 'status');
    const view = aViewOfOriginal(names.sandboxId, phase);
    expect((await world.get(names.sandboxId)).body).toEqual(view);
    expect((await world.list()).body).toEqual({ sandboxes: [view], count: 1 });
  });

  it('answers 404 for a sandbox that is not there', async () => {
    const id = newSandboxId();
    const answer = await world.get(id);
    expectError(answer, 404, `Sandbox '${id}' not found`);
  });

  it('answers 404 for a Pod without a Service: nobody could reach it', async () => {
    const { sandboxId } = await world.givenOriginalSandbox();
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
    expectError(await world.get(sandboxId), 404, `Sandbox '${sandboxId}' not found`);
  });
});

describe('GET /api/sandboxes', () => {
  it('tells of every sandbox, and of no other Service', async () => {
    const given = [await world.givenRunningSandbox(), await world.givenRunningSandbox()];
    const lost = await world.givenOriginalSandbox({}, { withPod: false });
    const metadata = { name: 'a-service-of-somebody-else', labels };
    await world.kubernetes.create('services', { metadata, spec: anyService });
    const answer = await world.list();
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual({ sandboxes: expect.any(Array), count: 3 });
    const bySandboxId = (one: SandboxView, other: SandboxView) => one.sandbox_id.localeCompare(other.sandbox_id);
    const views = given.map(({ view }) => ({ ...view, status: 'Running' }));
    const all = [...views, aViewWithoutPod(lost.sandboxId) as SandboxView];
    expect(answer.body.sandboxes.toSorted(bySandboxId)).toEqual(all.toSorted(bySandboxId));
  });
});

describe('DELETE /api/sandboxes/{sandbox_id}', () => {
  it('removes the Service at once and the Pod with its grace', async () => {
    const { sandboxId, view } = await world.givenRunningSandbox();
    const answer = await world.destroy(sandboxId);
    expect(answer).toMatchObject({ status: 200, body: { ok: true, sandbox_id: sandboxId } });
    expect(await world.servicesOf(sandboxId)).toEqual([]);
    const pod = await world.findPod(sandboxId);
    expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
    expectError(await world.get(sandboxId), 404, `Sandbox '${sandboxId}' not found`);
    expect((await world.list()).body).toEqual({ sandboxes: [], count: 0 });
    const url = `${view.sandbox_url}/v1/sandbox`;
    const open = () => world.call('GET', '/v1/sandbox', { url, timeoutMs: 1_000 }).catch(() => 'closed');
    await eventually('closed: the URL of a sandbox that was removed', open, (found) => found === 'closed');
  });

  it('answers 200 for a sandbox that is not there, and for one that was removed before', async () => {
    const id = newSandboxId();
    const answer = { status: 200, body: { ok: true, sandbox_id: id } };
    expect(await world.destroy(id)).toMatchObject(answer);
    await world.givenSandbox({ sandboxId: id });
    expect(await world.destroy(id)).toMatchObject(answer);
    expect(await world.destroy(id)).toMatchObject(answer);
  });

  it("removes the original's: also a Pod whose Service is gone, and a Service whose Pod is gone", async () => {
    const whole = await world.givenOriginalSandbox();
    const one = await world.givenOriginalSandbox();
    await world.kubernetes.remove('services', `sandbox-${one.sandboxId}-svc`);
    const other = await world.givenOriginalSandbox({}, { withPod: false });
    for (const { sandboxId } of [whole, one, other]) {
      expect(await world.destroy(sandboxId)).toMatchObject({ status: 200, body: { ok: true, sandbox_id: sandboxId } });
      expect(await world.servicesOf(sandboxId)).toEqual([]);
      const pod = await world.findPod(sandboxId);
      expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
    }
  });

  it('leaves every other sandbox alone', async () => {
    const kept = await world.givenRunningSandbox();
    const removed = await world.givenSandbox();
    const calls = await world.callsOf(() => world.destroy(removed.sandboxId));
    expect(calls.filter((call) => isAbout(call, kept.sandboxId))).toEqual([]);
    expect((await world.get(kept.sandboxId)).body).toEqual(kept.view);
  });
});

function uidsOf(objects: KubernetesObject[]): string[] {
  return objects.map(({ metadata }) => metadata.uid);
}

function userDataOf(pod: KubernetesObject | undefined): string | undefined {
  return pod?.spec.volumes.find(({ name }: { name: string }) => name === 'user-data')?.hostPath.path;
}
