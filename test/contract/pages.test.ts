import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { expectError } from '../support/answers.ts';
import { isFor, kubernetesStatus, roundTripsInARow } from '../support/kubernetes-proxy.ts';
import { lean, type SandboxView, useWorld } from '../support/world.ts';

const world = useWorld(lean);

const ids = ['a', 'a-b', 'a1', 'b', 'c'];

beforeAll(async () => {
  for (const sandboxId of ids) await world.givenSandbox({ sandboxId });
});

afterEach(() => world.proxy.reset());

type Page = { sandboxes: SandboxView[]; count: number; continue?: string };

async function readPage(limit: number, token?: string): Promise<Page> {
  const query = new URLSearchParams({ limit: String(limit), ...(token !== undefined && { continue: token }) });
  const answer = await world.call('GET', `/api/sandboxes?${query}`);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

async function readPages(limit: number): Promise<Page[]> {
  const pages = [await readPage(limit)];
  for (let token = pages[0]?.continue; token !== undefined; token = pages.at(-1)?.continue) {
    pages.push(await readPage(limit, token));
  }
  return pages;
}

describe('GET /api/sandboxes?limit=', () => {
  it.each([
    [1, [1, 1, 1, 1, 1]],
    [2, [2, 2, 1]],
    [5, [5]],
    [100, [5]],
  ])('%i gives all in the end, each once, as the whole list has them', async (limit, counts) => {
    const pages = await readPages(limit);
    expect(pages.map(({ count }) => count)).toEqual(counts);
    const whole: SandboxView[] = (await world.list()).body.sandboxes;
    const byId = (one: SandboxView, other: SandboxView) => (one.sandbox_id < other.sandbox_id ? -1 : 1);
    const paged = pages.flatMap(({ sandboxes }) => sandboxes);
    // Their Pods may begin to run meanwhile.
    const withoutStatus = ({ status: _, ...view }: SandboxView) => view;
    expect(paged.toSorted(byId).map(withoutStatus)).toEqual(whole.toSorted(byId).map(withoutStatus));
    for (const { status } of paged) expect(status).toBeOneOf(['Pending', 'Running']);
  });

  it('takes two round trips, and reads no more Pods than it shows', async () => {
    await readPage(2);
    world.proxy.delayEachCall(50);
    const calls = await world.callsOf(() => readPage(2));
    expect(roundTripsInARow(calls)).toBe(2);
    expect(calls.length).toBe(3);
    expect(calls.find((call) => isFor(call, 'pods'))?.query).toMatch(/sandbox-id.in.\(a(-b)?,a(-b)?\)/);
  });

  it('leaves out a sandbox that was removed since the first page, and shows one that was made anew as it is now', async () => {
    const { sandboxes, continue: token } = await readPage(2);
    const later = ids.filter((id) => !sandboxes.some(({ sandbox_id }) => sandbox_id === id));
    const [removed = '', renewed = '', other = ''] = later;
    await world.kubernetes.remove('services', `sandbox-${removed}-svc`, 0);
    await world.kubernetes.remove('pods', `sandbox-${removed}`, 0);
    await world.kubernetes.remove('services', `sandbox-${renewed}-svc`, 0);
    await world.kubernetes.remove('pods', `sandbox-${renewed}`, 0);
    const { view } = await world.givenSandbox({ sandboxId: renewed });
    const page = await readPage(100, token);
    expect(page.sandboxes.map(({ sandbox_id }) => sandbox_id).toSorted()).toEqual([renewed, other].toSorted());
    const shown = page.sandboxes.find(({ sandbox_id }) => sandbox_id === renewed);
    expect(shown).toMatchObject({ sandbox_url: view.sandbox_url, status: expect.toBeOneOf(['Pending', 'Running']) });
    await world.givenSandbox({ sandboxId: removed });
  });

  it('answers 410 when Kubernetes does not remember the list any more', async () => {
    const { continue: token } = await readPage(1);
    const expired = kubernetesStatus(410, 'Expired', 'The provided continue parameter is too old');
    world.proxy.injectFault({ when: (call) => call.query.includes('continue='), action: { answer: expired } });
    const query = new URLSearchParams({ limit: '1', continue: token ?? '' });
    const answer = await world.call('GET', `/api/sandboxes?${query}`);
    expectError(answer, 410, 'The continue has expired: list again from the start');
  });

  it.each([
    ['limit=0', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['continue=abc', 'limit'],
    ['limit=1&continue=%0A', 'continue'],
    ['limit=1&continue=abc', 'continue'],
  ])('answers 422 for %s', async (query, field) => {
    const answer = await world.call('GET', `/api/sandboxes?${query}`);
    expect(answer, answer.text).toMatchObject({ status: 422, body: { detail: [{ loc: ['query', field] }] } });
  });
});
