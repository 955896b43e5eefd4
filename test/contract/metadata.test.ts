import { afterEach, describe, expect, it } from 'vitest';

import { aTime, expectError, expectUnprocessable, withoutPod } from '../support/answers.ts';
import { makeUnused } from '../support/clean-up.ts';
import { eventually } from '../support/eventually.ts';
import {
  callTo,
  holdCalls,
  type KubernetesCall,
  kubernetesStatus,
  roundTripsInARow,
  writesAmong,
} from '../support/kubernetes-proxy.ts';
import { alter, originalService } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld(lean);

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const prefix = 'metadata.sandbox-provisioner/';
const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
const newBody = (metadata?: unknown) => ({ sandbox_id: newSandboxId(), thread_id: newThreadId(), metadata });

/** The metadata that Kubernetes has of a sandbox, by its label names. */
const labelsOf = async (sandboxId: string) => {
  const labels = Object.entries((await world.findService(sandboxId))?.metadata.labels ?? {});
  return Object.fromEntries(labels.filter(([name]) => name.startsWith(prefix)));
};
const metadataOf = async (sandboxId: string) => (await world.get(sandboxId)).body.metadata;

/** Waits until so many calls are held. */
const untilHeld = (held: ReturnType<typeof holdCalls>, times: number) =>
  eventually(
    'held: calls',
    () => held.hits.length,
    (count) => count === times,
  );

/** A sandbox with this metadata. */
async function givenNoted(metadata: Record<string, string>) {
  const body = newBody(metadata);
  const answer = await world.create(body);
  expect(answer, answer.text).toMatchObject({ status: 200, body: { created: true, metadata } });
  return { sandboxId: body.sandbox_id, threadId: body.thread_id, view: answer.body };
}

const key = '[key]';
const wrong: [string, unknown, (string | number)[][]][] = [
  ['is no object', ['a'], [[]]],
  ['is a text', 'a=b', [[]]],
  ['is null', null, [[]]],
  ['has a key that is empty', { '': 'x' }, [['', key]]],
  ['has a key with a slash', { 'a/b': 'x' }, [['a/b', key]]],
  ['has a key of 64 characters', { ['k'.repeat(64)]: 'x' }, [['k'.repeat(64), key]]],
  [
    'has keys that do not end as they must',
    { '-a': 'x', a_: 'x' },
    [
      ['-a', key],
      ['a_', key],
    ],
  ],
  [
    'has a key that selects',
    { 'a,app': 'x', '!a': 'x' },
    [
      ['a,app', key],
      ['!a', key],
    ],
  ],
  ['has a key of other letters', { ключ: 'x' }, [['ключ', key]]],
  ['has a value with a line break', { a: 'x\n' }, [['a']]],
  ['has a value of 64 characters', { a: 'v'.repeat(64) }, [['a']]],
  ['has a value that selects', { a: 'b,app=x' }, [['a']]],
  ['has a value of other letters', { a: 'ü' }, [['a']]],
  ['has values that are no texts', { a: 7, b: ['x'], c: true }, [['a'], ['b'], ['c']]],
];

describe('metadata that is none', () => {
  afterEach(() => expect(world.proxy.calls).toEqual([]));

  it.each([
    ...wrong,
    ['has a value that is null', { a: null }, [['a']]],
    ['has 17 pairs', pairs(17), [[]]],
  ] as typeof wrong)('is refused by a create where it %s', async (_what, metadata, places) => {
    const answer = await world.create(newBody(metadata));
    expectUnprocessable(answer, ...places.map((place) => ['body', 'metadata', ...place]));
  });

  it.each([...wrong, ['is not there', undefined, [[]]]] as typeof wrong)(
    'is refused by a change where it %s',
    async (_what, metadata, places) => {
      const answer = await world.update(newSandboxId(), metadata);
      expectUnprocessable(answer, ...places.map((place) => ['body', 'metadata', ...place]));
    },
  );

  // What checks the fields would leave it out, without a word; what parses the body refuses it.
  it.each(['POST', 'PATCH'])('is refused where it has a prototype: %s', async (method) => {
    const body = '{"sandbox_id":"a","metadata":{"__proto__":"x"}}';
    const path = method === 'POST' ? '/api/sandboxes' : '/api/sandboxes/a';
    const answer = await world.call(method, path, { body, headers: { 'content-type': 'application/json' } });
    expectUnprocessable(answer, ['body', 0]);
  });
});

describe('a create', () => {
  it('notes what it says, and nothing else of ours: labels of the Service alone, at the edge of what is legal', async () => {
    const metadata = {
      ...pairs(11),
      ['K'.repeat(63)]: 'v'.repeat(63),
      'a.b_c-D': '0',
      empty: '',
      app: 'x',
      constructor: 'y',
    };
    expect(Object.keys(metadata)).toHaveLength(16);
    const { sandboxId, view } = await givenNoted(metadata);
    const expected = Object.entries(metadata).map(([name, value]) => [`${prefix}${name}`, value]);
    expect(await labelsOf(sandboxId)).toEqual(Object.fromEntries(expected));
    expect((await world.findService(sandboxId))?.metadata.labels?.app).toBe('deer-flow-sandbox');
    expect(JSON.stringify((await world.findPod(sandboxId))?.metadata.labels)).not.toContain(prefix);
    expect(view.metadata).toEqual(metadata);
    for (const { body } of [await world.get(sandboxId), await world.renew(sandboxId)])
      expect(body.metadata).toEqual(metadata);
    expect((await world.list()).body.sandboxes).toMatchObject([{ metadata }]);
  });

  it('of a sandbox that is there changes nothing of it, and tells what it does not have', async () => {
    const { sandboxId, threadId } = await givenNoted({ team: 'red', stage: 'one' });
    const body = { sandbox_id: sandboxId, thread_id: threadId };
    const again = await world.create({ ...body, metadata: { team: 'red', stage: 'two', constructor: 'x' } });
    expect(again.body).toMatchObject({
      created: false,
      metadata: { team: 'red', stage: 'one' },
      unmet_metadata: ['stage', 'constructor'],
    });
    for (const metadata of [undefined, {}, { team: 'red' }]) {
      const { body: view } = await world.create({ ...body, metadata });
      expect(view.created).toBe(false);
      expect(view).not.toHaveProperty('unmet_metadata');
    }
    expect(await metadataOf(sandboxId)).toEqual({ team: 'red', stage: 'one' });
  });

  it('of one that the original made adopts it, and changes no label', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const answer = await world.create({
      sandbox_id: sandboxId,
      thread_id: threadId,
      user_id: 'u',
      metadata: { a: 'b' },
    });
    const view = { created: false, thread_id: threadId, user_id: 'u', metadata: {}, unmet_metadata: ['a'] };
    expect(answer.body).toMatchObject(view);
    expect(await labelsOf(sandboxId)).toEqual({});
  });

  it('whose answer was lost has made what is there', async () => {
    const body = newBody({ team: 'red' });
    const when = (call: KubernetesCall) => callTo('POST', 'services')(call) && call.body.includes(body.sandbox_id);
    world.proxy.injectFault({ when, action: { cut: 'after' }, times: 1 });
    const answer = await world.create(body);
    expect(answer, answer.text).toMatchObject({ status: 200, body: { created: true, metadata: { team: 'red' } } });
    expect(answer.body).not.toHaveProperty('unmet_metadata');
  });

  // Each was left out without a word, where the sandbox had its skills elsewhere or without the old ones.
  it('is told of skills that it asks for and the sandbox does not have', async () => {
    const body = { ...newBody(), user_id: 'alice' };
    const made = await world.create({ ...body, skills_container_path: '/srv/skills' });
    expect(made.body).not.toHaveProperty('unmet_mounts');
    const usual = await world.create({ ...body, skills_container_path: '/mnt/skills' });
    expect(usual.body).toMatchObject({ created: false, unmet_mounts: ['/mnt/skills'] });
    const same = { skills_container_path: '/srv/skills', include_legacy_skills: true };
    expect((await world.create({ ...body, ...same })).body).not.toHaveProperty('unmet_mounts');
  });
});

describe('a change', () => {
  it('merges: it sets, replaces and takes away what it names, and leaves all else; no use of the sandbox', async () => {
    const { sandboxId } = await givenNoted({ team: 'red', old: 'x', kept: '' });
    await makeUnused(world, sandboxId, 500, 1_000);
    const before = await world.findService(sandboxId);
    const [view] = (await world.list()).body.sandboxes;
    const answer = await world.update(sandboxId, {
      team: 'blue',
      old: null,
      new: 'y',
      absent: null,
      constructor: null,
    });
    expect(answer, answer.text).toMatchObject({
      status: 200,
      body: { ...view, status: expect.any(String), metadata: { team: 'blue', kept: '', new: 'y' } },
    });
    const after = await world.findService(sandboxId);
    expect(after?.metadata.annotations).toEqual(before?.metadata.annotations);
    const ours = (labels: Record<string, string> = {}) =>
      Object.keys(labels).filter((name) => !name.startsWith(prefix));
    expect(ours(after?.metadata.labels)).toEqual(ours(before?.metadata.labels));
    expect(after?.spec).toEqual(before?.spec);
    expect(await labelsOf(sandboxId)).toEqual({
      [`${prefix}team`]: 'blue',
      [`${prefix}kept`]: '',
      [`${prefix}new`]: 'y',
    });
  });

  it('cannot touch a label of ours by a key that is called as one', async () => {
    const { sandboxId } = await givenNoted({});
    const change = { app: null, 'sandbox-id': 'other', 'app.kubernetes.io': 'x' };
    expect((await world.update(sandboxId, change)).body.metadata).toEqual({
      'sandbox-id': 'other',
      'app.kubernetes.io': 'x',
    });
    expect(await world.get(sandboxId)).toMatchObject({ status: 200, body: { sandbox_id: sandboxId } });
  });

  it('to more than 16 pairs is refused, and changes nothing; one that keeps to them is not', async () => {
    const { sandboxId } = await givenNoted(pairs(16));
    const answer = await world.update(sandboxId, { k0: 'other', more: 'x' });
    expectUnprocessable(answer, ['body', 'metadata']);
    expect(answer.body.detail[0]).toMatchObject({ type: 'too_long', ctx: { max_length: 16, actual_length: 17 } });
    expect(await metadataOf(sandboxId)).toEqual(pairs(16));
    const { k1: _, ...rest } = pairs(16);
    expect((await world.update(sandboxId, { k1: null, more: 'x' })).body.metadata).toEqual({ ...rest, more: 'x' });
  });

  it('takes two round trips; one, and no write, where all is so already', async () => {
    const { sandboxId } = await givenNoted({ team: 'red' });
    world.proxy.delayEachCall(50);
    const changing = await world.callsOf(() => world.update(sandboxId, { team: 'blue' }));
    expect(roundTripsInARow(changing)).toBe(2);
    const same = await world.callsOf(() => world.update(sandboxId, { team: 'blue', other: null }));
    expect([roundTripsInARow(same), writesAmong(same)]).toEqual([1, []]);
    expect(writesAmong(await world.callsOf(() => world.update(sandboxId, {})))).toEqual([]);
  });

  it('of a sandbox without a Pod is made, as a renewal is', async () => {
    const { sandboxId } = await world.givenOriginalSandbox({}, { withPod: false });
    const answer = await world.update(sandboxId, { team: 'red' });
    expect(answer).toMatchObject({ status: 200, body: { ...withoutPod, metadata: { team: 'red' }, expires_at: null } });
  });

  it('of no sandbox is 404', async () => {
    const sandboxId = newSandboxId();
    expectError(await world.update(sandboxId, { a: 'b' }), 404, `Sandbox '${sandboxId}' not found`);
  });

  it('does not touch what only bears the name of a sandbox', async () => {
    const sandboxId = newSandboxId();
    const labels = { app: 'else', 'sandbox-id': sandboxId };
    await world.kubernetes.create('services', alter(originalService({ sandboxId }), { metadata: { labels } }));
    const calls = await world.callsOf(async () => {
      expectError(await world.update(sandboxId, { a: 'b' }), 404, `Sandbox '${sandboxId}' not found`);
    });
    expect(writesAmong(calls)).toEqual([]);
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
  });

  it('does not touch a sandbox that is being removed', async () => {
    const { sandboxId } = await givenNoted({ team: 'red' });
    const name = `sandbox-${sandboxId}-svc`;
    await world.kubernetes.patch('services', name, { metadata: { finalizers: ['example.com/hold'] } });
    await world.kubernetes.remove('services', name);
    const calls = await world.callsOf(async () => {
      expectError(await world.update(sandboxId, { team: 'blue' }), 404, `Sandbox '${sandboxId}' not found`);
    });
    expect(writesAmong(calls)).toEqual([]);
    expect(await labelsOf(sandboxId)).toEqual({ [`${prefix}team`]: 'red' });
    await world.kubernetes.patch('services', name, { metadata: { finalizers: null } });
  });

  it('lands beside others of the same moment: all of them, and never more than 16', async () => {
    const { sandboxId } = await givenNoted(pairs(12));
    // All have read before one writes.
    const held = holdCalls(world.proxy, callTo('PATCH', 'services', sandboxId), 6);
    const updating = Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        world.update(sandboxId, { [`n${index}`]: 'x', k0: null, [`k${index}`]: null }),
      ),
    );
    await untilHeld(held, 6);
    held.release();
    for (const answer of await updating) expect(answer.status, answer.text).toBe(200);
    const expected = Object.fromEntries(Array.from({ length: 6 }, (_, index) => [`n${index}`, 'x']));
    const { k0, k1, k2, k3, k4, k5, ...rest } = pairs(12);
    expect(await metadataOf(sandboxId)).toEqual({ ...rest, ...expected });

    const full = await givenNoted(pairs(15));
    const racing = holdCalls(world.proxy, callTo('PATCH', 'services', full.sandboxId), 2);
    const answers = Promise.all(['a', 'b'].map((name) => world.update(full.sandboxId, { [name]: 'x' })));
    await untilHeld(racing, 2);
    racing.release();
    expect((await answers).map(({ status }) => status).toSorted()).toEqual([200, 422]);
    expect(Object.keys(await metadataOf(full.sandboxId))).toHaveLength(16);
  });

  it.each([
    ['was lost', { cut: 'after' }],
    ['never came to it', { cut: 'before' }],
    ['is a conflict', { answer: kubernetesStatus(409, 'Conflict', 'modified', { name: 'x', kind: 'services' }) }],
    ['says that Kubernetes starts', { answer: kubernetesStatus(503, 'ServiceUnavailable', 'starting') }],
  ] as const)('is made though the answer to its patch %s', async (_what, action) => {
    const { sandboxId } = await givenNoted({ team: 'red', old: 'x' });
    const fault = world.proxy.injectFault({ when: callTo('PATCH', 'services', sandboxId), action, times: 1 });
    const answer = await world.update(sandboxId, { team: 'blue', old: null });
    expect(answer, answer.text).toMatchObject({ status: 200, body: { metadata: { team: 'blue' } } });
    expect(fault.hits).toHaveLength(1);
    expect(await labelsOf(sandboxId)).toEqual({ [`${prefix}team`]: 'blue' });
  });

  it('of a sandbox that goes meanwhile is 404; of one that is made anew meanwhile, it is that one', async () => {
    const { sandboxId, threadId } = await givenNoted({ team: 'red' });
    for (const isMadeAnew of [false, true]) {
      const held = holdCalls(world.proxy, callTo('PATCH', 'services', sandboxId), 1);
      const updating = world.update(sandboxId, { stage: 'two' });
      await untilHeld(held, 1);
      await world.destroy(sandboxId);
      if (isMadeAnew) await world.create({ sandbox_id: sandboxId, thread_id: threadId, metadata: { team: 'blue' } });
      held.release();
      if (isMadeAnew) expect((await updating).body).toMatchObject({ metadata: { team: 'blue', stage: 'two' } });
      else expectError(await updating, 404, `Sandbox '${sandboxId}' not found`);
      world.proxy.reset();
      await world.create({ sandbox_id: sandboxId, thread_id: threadId });
    }
  });

  it('that Kubernetes refuses is not begun again', async () => {
    const { sandboxId } = await givenNoted({});
    const answer = kubernetesStatus(422, 'Invalid', 'Service "x" is invalid', { name: 'x', kind: 'Service' });
    const fault = world.proxy.injectFault({ when: callTo('PATCH', 'services', sandboxId), action: { answer } });
    expectError(await world.update(sandboxId, { a: 'b' }), 500, 'Service update failed: Invalid (422)');
    expect(fault.hits).toHaveLength(1);
  });

  it('is asked for as JSON, and nothing but metadata can be changed', async () => {
    const { sandboxId, view } = await givenNoted({});
    const body = { metadata: { a: 'b' }, thread_id: 'other', ttl_seconds: 1, sandbox_id: 'x', image: 'y' };
    const headers = { 'content-type': 'application/json' };
    const answer = await world.call('PATCH', `/api/sandboxes/${sandboxId}`, { body, headers });
    const { created: _, ...same } = view;
    expect(answer.body).toEqual({ ...same, status: expect.any(String), expires_at: aTime, metadata: { a: 'b' } });
    const form = { body: 'metadata=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    expect((await world.call('PATCH', `/api/sandboxes/${sandboxId}`, form)).status).toBe(415);
    expect((await world.call('PATCH', `/api/sandboxes/${sandboxId}`, { headers })).status).toBe(422);
  });
});
