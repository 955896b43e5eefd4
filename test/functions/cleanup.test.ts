import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { CleanupReport } from '../../lib/cleanup/sweep.ts';
import { aReport, usedAgo } from '../support/clean-up.ts';
import { lambdaContext, scheduledEvent } from '../support/events.ts';
import { originalService } from '../support/original.ts';
import {
  type ApiServer,
  answerJson,
  answerStatus,
  type SeenRequest,
  startApiServer,
  temporaryFolder,
  writeKubeconfig,
} from '../unit/api-server.ts';
import { startCold } from './handlers.ts';

const name = 'cleanup-sandboxes';
const day = 86_400;

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** Runs the function once, as the schedule does; the report of a run that fails is in `logged`. */
async function run(remainingMs = 120_000) {
  const { log } = await import('../../lib/log.ts');
  const logged = vi.spyOn(log, 'error');
  const { handler } = await import('../../functions/cleanup-sandboxes.ts');
  const outcome = await handler(scheduledEvent(), lambdaContext(name, remainingMs)).then(
    (report: CleanupReport) => ({ report }),
    (error: Error) => ({ error }),
  );
  return { ...outcome, logged: logged.mock.calls.map(([, extra]) => (extra as { report?: CleanupReport })?.report) };
}

const sandbox = (id: string, annotations: Record<string, string>) => {
  const { metadata, ...rest } = originalService({ sandboxId: id }) as { metadata: object };
  return { ...rest, metadata: { ...metadata, uid: `uid-${id}`, resourceVersion: '7', annotations } };
};
const ids = (count: number) => Array.from({ length: count }, (_, index) => `s${index}`);
const list = (kind: string, items: object[], next?: string) => ({
  kind: `${kind}List`,
  apiVersion: 'v1',
  metadata: next === undefined ? {} : { continue: next },
  items,
});

type Answer = Parameters<typeof startApiServer>[0];

/** An API server with no Pod and these Services; what is not a list goes to `others`. */
async function startWith(services: object[], others: NonNullable<Answer>, settings = {}): Promise<ApiServer> {
  const api = await startApiServer((request, response) => {
    if (isListOf(request, 'pods')) answerJson(response, list('Pod', []));
    else if (isListOf(request, 'services')) answerJson(response, list('Service', services));
    else others(request, response);
  });
  startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), ...settings });
  return api;
}

const isListOf = ({ method, url }: SeenRequest, what: string) =>
  method === 'GET' && new RegExp(`/${what}(\\?|$)`).test(url);
const succeed: NonNullable<Answer> = (_request, response) =>
  answerJson(response, { kind: 'Status', status: 'Success' });
const expired = usedAgo(2 * day);

// What it removes, keeps, adopts and reports, and what it fails at: test/contract/cleanup.
describe('the clean-up', () => {
  it('goes on past records that make no sense', async () => {
    const odd = [
      {},
      { metadata: null },
      { metadata: { name: 'x', labels: null, annotations: null } },
      sandbox('a', { 'sandbox-provisioner/last-used-at': 'x'.repeat(10_000) }),
    ];
    await startWith([...odd, sandbox('b', expired)], succeed);
    const { report, logged } = (await run()) as { report?: CleanupReport; logged: (CleanupReport | undefined)[] };
    expect((report ?? logged[0])?.deleted).toEqual({ expired: 1 });
  });

  it('makes no more than 10 deletions at a time, and so many where it can', async () => {
    const limit = 10;
    let left = 25;
    let most = 0;
    const waiting: (() => void)[] = [];
    const answerAll = () => {
      left -= waiting.length;
      for (const answer of waiting.splice(0)) answer();
    };
    const slow: NonNullable<Answer> = (request, response) => {
      waiting.push(() => succeed(request, response));
      most = Math.max(most, waiting.length);
      // In a moment, in which one too many would come.
      if (waiting.length === Math.min(limit, left)) setTimeout(answerAll, 20);
    };
    await startWith(
      ids(left).map((id) => sandbox(id, expired)),
      slow,
    );
    expect(await run()).toEqual({ report: aReport({ examined: 25, deleted: { expired: 25 } }), logged: [] });
    expect(most).toBe(limit);
  });

  it('stops some seconds before its time is over, ends what it began, and says how many remain', async () => {
    const slow: NonNullable<Answer> = (request, response) => {
      setTimeout(() => succeed(request, response), 200);
    };
    const services = ids(200).map((id) => sandbox(id, expired));
    const api = await startWith(services, slow);
    const startedAt = performance.now();
    const { report } = (await run(11_000)) as { report?: CleanupReport };
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    const deleted = report?.deleted.expired ?? 0;
    expect(deleted).toBeGreaterThanOrEqual(2);
    expect(report).toEqual(aReport({ examined: 200, deleted: { expired: deleted }, remaining: 200 - deleted }));
    expect(api.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(deleted);
  });

  it('whose deletions hang ends before its time is over, and says so', async () => {
    await startWith(
      ids(12).map((id) => sandbox(id, expired)),
      () => {},
    );
    const startedAt = performance.now();
    const { logged } = await run(11_500);
    expect(performance.now() - startedAt).toBeLessThan(11_400);
    const failed = { 'Kubernetes did not answer in time': 10 };
    expect(logged).toEqual([aReport({ examined: 12, failed, remaining: 2 })]);
  });

  it('reads lists in pages', async () => {
    const pages: Record<string, object> = {
      '': list('Service', [sandbox('a', expired)], 'next/1'),
      'next/1': list('Service', [sandbox('b', expired)], 'next/2'),
      'next/2': list('Service', [sandbox('c', usedAgo(1))]),
    };
    const api = await startApiServer((request, response) => {
      const { searchParams } = new URL(request.url, 'http://x');
      if (isListOf(request, 'services')) answerJson(response, pages[searchParams.get('continue') ?? ''] ?? {});
      else if (isListOf(request, 'pods')) answerJson(response, list('Pod', []));
      else succeed(request, response);
    });
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    const numbers = { examined: 3, deleted: { expired: 2 }, kept: { 'fresh-orphan': 1 } };
    expect(await run()).toEqual({ report: aReport(numbers), logged: [] });
    for (const { url } of api.requests.filter(({ method }) => method === 'GET')) {
      const { searchParams } = new URL(url, 'http://x');
      expect(searchParams.get('limit')).toMatch(/^[1-9]\d{1,2}$/);
      expect(searchParams.get('labelSelector')).toBe('app=deer-flow-sandbox');
    }
  });

  it('begins a list again whose next page is not kept any more, and forgets what it had read', async () => {
    let refused = 0;
    const api = await startApiServer((request, response) => {
      const next = new URL(request.url, 'http://x').searchParams.get('continue');
      if (isListOf(request, 'pods')) answerJson(response, list('Pod', []));
      else if (!isListOf(request, 'services')) succeed(request, response);
      else if (next === null)
        answerJson(response, list('Service', [sandbox(refused === 0 ? 'a' : 'b', expired)], 'next'));
      else if (refused === 0) {
        refused += 1;
        answerStatus(response, 410, 'Expired');
      } else answerJson(response, list('Service', [sandbox('c', expired)]));
    });
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    expect(await run()).toEqual({ report: aReport({ examined: 2, deleted: { expired: 2 } }), logged: [] });
    expect(api.requests.filter((request) => isListOf(request, 'services'))).toHaveLength(4);
  });

  it('fails where Kubernetes cannot be listed, is not there, or the settings are wrong', async () => {
    const api = await startApiServer((_request, response) => answerStatus(response, 403, 'Forbidden'));
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    expect(await run()).toMatchObject({ error: { message: 'Kubernetes does not permit it (403 Forbidden)' } });
    startCold({ KUBECONFIG_PATH: join(await temporaryFolder(), 'kubeconfig') });
    expect(await run()).toMatchObject({ error: { message: expect.stringMatching(/^No kubeconfig at /) } });
    startCold({ CLEANUP_DRY_RUN: 'no' });
    expect(await run()).toMatchObject({ error: { message: expect.stringMatching(/^Misconfigured: CLEANUP_DRY/) } });
  });
});
