import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { expectUnprocessable } from '../support/answers.ts';
import { eventually } from '../support/eventually.ts';
import { isFor, kubernetesStatus, roundTripsInARow } from '../support/kubernetes-proxy.ts';
import { lean, useWorld } from '../support/world.ts';

const world = useWorld(lean);

afterEach(() => world.proxy.reset());

type Page = { ids: string[]; continue?: string };

/** The ids of a list with this query, in its order. */
async function find(query: Record<string, string>): Promise<Page> {
  const answer = await world.call('GET', `/api/sandboxes?${new URLSearchParams(query)}`);
  expect(answer.status, answer.text).toBe(200);
  const { sandboxes, count, continue: token } = answer.body;
  expect(count).toBe(sandboxes.length);
  const ids = sandboxes.map((view: { sandbox_id: string }) => view.sandbox_id);
  return { ids, ...(token !== undefined && { continue: token }) };
}

/**
 * All pages of such a list; something may be done between the first and the second. A last one that is empty is left out where Kubernetes
 * makes the pages: it does not look on, behind one that is full, whether there is another that bears the metadata.
 */
async function findPages(query: Record<string, string>, between = async () => {}): Promise<string[][]> {
  const pages = [await find(query)];
  await between();
  for (let token = pages[0]?.continue; token !== undefined; token = pages.at(-1)?.continue) {
    pages.push(await find({ ...query, continue: token }));
  }
  const found = pages.map(({ ids }) => ids);
  const isOfKubernetes = Object.keys(query).every((name) => /^(metadata\..*|limit)$/.test(name));
  return isOfKubernetes && found.length > 1 && found.at(-1)?.length === 0 ? found.slice(0, -1) : found;
}

const given = async (sandbox_id: string, rest: object) => {
  const answer = await world.create({ sandbox_id, thread_id: `of-${sandbox_id}`, ...rest });
  expect(answer.status, answer.text).toBe(200);
};

// In the order of Kubernetes, which has them by the names of their Services: `sandbox-a-b-svc` before `sandbox-a-svc`.
beforeAll(async () => {
  await given('a-b', { user_id: 'alice', metadata: { team: 'red', stage: 'one' } });
  await given('a', { user_id: 'alice', metadata: { team: 'blue', stage: 'one' } });
  await given('b', { user_id: 'bob', metadata: { team: 'red', stage: '' } });
  await given('c', { user_id: 'bob', metadata: { team: 'redder' } });
  await world.givenOriginalSandbox({ sandboxId: 'original', threadId: 'theirs' });
  await world.givenOriginalSandbox({ sandboxId: 'without-pod' }, { withPod: false });
  for (const sandboxId of ['a-b', 'a', 'b', 'c', 'original']) await world.untilRunning(sandboxId);
  await eventually(
    'ready: five of them',
    () => find({ ready: 'true' }),
    ({ ids }) => ids.length === 5,
  );
}, 120_000);

const cases: [Record<string, string>, string[]][] = [
  [{ status: 'Running' }, ['a-b', 'a', 'b', 'c', 'original']],
  [{ status: 'NotFound' }, ['without-pod']],
  [{ status: 'Failed' }, []],
  [{ ready: 'true' }, ['a-b', 'a', 'b', 'c', 'original']],
  [{ ready: 'false' }, ['without-pod']],
  [{ thread_id: 'of-b' }, ['b']],
  // No label and no annotation says it, but what its Pod mounts.
  [{ thread_id: 'theirs' }, ['original']],
  [{ thread_id: 'of' }, []],
  [{ user_id: 'alice' }, ['a-b', 'a']],
  [{ user_id: 'Alice' }, []],
  [{ 'metadata.team': 'red' }, ['a-b', 'b']],
  [{ 'metadata.stage': '' }, ['b']],
  [{ 'metadata.none': '' }, []],
  [{ 'metadata.constructor': 'x' }, []],
  [{ 'metadata.team': 'red', 'metadata.stage': 'one' }, ['a-b']],
  [{ 'metadata.team': 'red', user_id: 'bob' }, ['b']],
  [{ 'metadata.stage': 'one', user_id: 'alice', ready: 'true', status: 'Running', thread_id: 'of-a' }, ['a']],
  [{ 'metadata.team': 'red', ready: 'false' }, []],
];

describe('a list with a filter', () => {
  it.each(cases)('of %j has %j, whole and in pages', async (query, ids) => {
    const whole = await find(query);
    expect(whole.ids.toSorted()).toEqual(ids.toSorted());
    expect(whole).not.toHaveProperty('continue');
    for (const limit of [1, 2, 100]) {
      const pages = Array.from({ length: Math.max(1, Math.ceil(ids.length / limit)) }, (_, index) =>
        ids.slice(index * limit, (index + 1) * limit),
      );
      expect(await findPages({ ...query, limit: String(limit) })).toEqual(pages);
    }
  });

  it('shows what is as it says, and as a look shows it', async () => {
    const [view] = (await world.call('GET', '/api/sandboxes?thread_id=of-a-b')).body.sandboxes;
    const { image, user_id, thread_id, metadata } = view;
    expect({ image, user_id, thread_id, metadata }).toEqual({
      image: world.settings.SANDBOX_IMAGE,
      user_id: 'alice',
      thread_id: 'of-a-b',
      metadata: { team: 'red', stage: 'one' },
    });
    expect((await world.get('a-b')).body).toEqual(view);
    const [original] = (await world.call('GET', '/api/sandboxes?thread_id=theirs')).body.sandboxes;
    expect(original).toMatchObject({ thread_id: 'theirs', user_id: null, metadata: {} });
    expect((await world.get('original')).body).toEqual(original);
  });

  it.each([
    ['status=running', ['status']],
    ['status=', ['status']],
    ['status=Running&status=Failed', ['status']],
    ['ready=1', ['ready']],
    ['thread_id=a%2Cb', ['thread_id']],
    ['user_id=', ['user_id']],
    ['metadata.=x', ['metadata.', '[key]']],
    ['metadata=x', ['metadata', '[key]']],
    ['metadata%5Bteam%5D=red', ['metadata[team]', '[key]']],
    ['metadata.team=red&metadata.team=blue', ['metadata.team']],
    // What would select in another way.
    ['metadata.team=red%2Capp%3Dx', ['metadata.team']],
    ['metadata.team=red%2C!sandbox-id', ['metadata.team']],
    ['metadata.!team=', ['metadata.!team', '[key]']],
    ['metadata.a%20in%20(b)=', ['metadata.a in (b)', '[key]']],
    ['metadata.a%2Capp=x', ['metadata.a,app', '[key]']],
    ['metadata.a%2Fb=x', ['metadata.a/b', '[key]']],
    ['metadata.a=%0A', ['metadata.a']],
  ])('is refused with %s, and Kubernetes is not asked', async (query, place) => {
    const calls = await world.callsOf(async () =>
      expectUnprocessable(await world.call('GET', `/api/sandboxes?${query}`), ['query', ...place]),
    );
    expect(calls).toEqual([]);
  });

  it('is refused with all that is wrong', async () => {
    const answer = await world.call('GET', '/api/sandboxes?status=x&metadata.a=!&limit=0');
    expectUnprocessable(answer, ['query', 'status'], ['query', 'metadata.a'], ['query', 'limit']);
  });

  it('ignores what is no filter, as ever', async () => {
    expect((await find({ other: 'x', Status: 'y', metadat: 'z' })).ids).toHaveLength(6);
  });
});

describe('what Kubernetes is asked for', () => {
  const isOfServices = (query: string) => query.includes('metadata.sandbox-provisioner/team=red');

  it('with metadata: the Services that bear it, then their Pods; so in pages', async () => {
    world.proxy.delayEachCall(50);
    for (const query of ['metadata.team=red', 'metadata.team=red&limit=5', 'metadata.team=red&limit=5&ready=true']) {
      const calls = await world.callsOf(() => world.call('GET', `/api/sandboxes?${query}`));
      expect(roundTripsInARow(calls), query).toBe(2);
      expect(
        calls.filter((call) => isFor(call, 'services') && isOfServices(call.query)),
        query,
      ).toHaveLength(1);
      expect(calls.find((call) => isFor(call, 'pods'))?.query, query).toMatch(/sandbox-id.in.\(a-b,b\)/);
    }
    const none = await world.callsOf(() => world.call('GET', '/api/sandboxes?metadata.team=none'));
    expect(none).toHaveLength(1);
  });

  it('with anything else: the whole list, in one round trip', async () => {
    world.proxy.delayEachCall(50);
    for (const query of ['user_id=bob', 'user_id=bob&limit=1']) {
      const calls = await world.callsOf(() => world.call('GET', `/api/sandboxes?${query}`));
      expect([roundTripsInARow(calls), calls.length], query).toEqual([1, 2]);
    }
  });
});

describe('pages with a filter', () => {
  it.each([{ 'metadata.team': 'red' }, { user_id: 'bob' }])(
    'answer 422 for the continue of the other kind, or of none: %j',
    async (query) => {
      const isSelected = 'metadata.team' in query;
      const other = await find({ limit: '1', ...(isSelected ? { status: 'Running' } : {}) });
      const own = await find({ limit: '1', ...query });
      const tokens = [
        other.continue ?? '',
        'abc',
        'e30',
        Buffer.from('{"v":"sandbox-provisioner/v1","after":7}').toString('base64url'),
      ];
      for (const token of tokens) {
        const parameters = new URLSearchParams({ ...query, limit: '1', continue: token });
        expectUnprocessable(await world.call('GET', `/api/sandboxes?${parameters}`), ['query', 'continue']);
      }
      expect((await find({ ...query, limit: '1', continue: own.continue ?? '' })).ids).toHaveLength(1);
    },
  );

  it('are full though sandboxes come and go: none twice, and none left out that stays', async () => {
    const names = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'];
    for (const name of names) await given(name, { user_id: 'carol', metadata: { of: 'pages' } });
    for (const query of [{ user_id: 'carol' }, { 'metadata.of': 'pages', user_id: 'carol' }]) {
      const pages = await findPages({ ...query, limit: '2' }, async () => {
        // What was shown last goes, and what comes next; others come before and behind.
        await world.kubernetes.remove('services', 'sandbox-p2-svc');
        await world.kubernetes.remove('services', 'sandbox-p3-svc');
        await given('p0', { user_id: 'carol', metadata: { of: 'pages' } });
        await given('p7', { user_id: 'carol', metadata: { of: 'pages' } });
      });
      expect(pages).toEqual([
        ['p1', 'p2'],
        ['p4', 'p5'],
        ['p6', 'p7'],
      ]);
      for (const name of ['p0', 'p7']) await world.destroy(name);
      for (const name of ['p2', 'p3']) await given(name, { user_id: 'carol', metadata: { of: 'pages' } });
    }
  });

  it('of metadata may end with one that is empty, where others are behind the last that bears it', async () => {
    const full = await find({ 'metadata.stage': '', limit: '1' });
    expect(full).toEqual({ ids: ['b'], continue: expect.any(String) });
    expect(await find({ 'metadata.stage': '', limit: '1', continue: full.continue ?? '' })).toEqual({ ids: [] });
  });

  it('of metadata leave out what was changed since, and what is gone', async () => {
    const pages = await findPages({ 'metadata.of': 'pages', limit: '2' }, async () => {
      await world.update('p3', { of: 'another' });
      await world.update('p6', { of: null });
    });
    expect(pages).toEqual([['p1', 'p2'], ['p4'], ['p5']]);
  });

  it('of metadata answer 410 where Kubernetes does not remember the list, and those of another filter go on', async () => {
    const expired = kubernetesStatus(410, 'Expired', 'The provided continue parameter is too old');
    const pages = await Promise.all([
      find({ 'metadata.team': 'red', limit: '1' }),
      find({ user_id: 'bob', limit: '1' }),
    ]);
    world.proxy.injectFault({ when: (call) => call.query.includes('continue='), action: { answer: expired } });
    const [selected, judged] = pages.map((page) => page.continue ?? '');
    const query = new URLSearchParams({ 'metadata.team': 'red', limit: '1', continue: selected ?? '' });
    expect((await world.call('GET', `/api/sandboxes?${query}`)).status).toBe(410);
    expect((await find({ user_id: 'bob', limit: '1', continue: judged ?? '' })).ids).toEqual(['c']);
  });
});
