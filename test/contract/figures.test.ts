import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Answer, call, create, destroy, get, keepPrinted, list, startCold } from '../functions/handlers.ts';
import { usedAgo } from '../support/clean-up.ts';
import { lambdaContext, scheduledEvent } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, originalService, ownedBy } from '../support/original.ts';
import { usePlace } from '../support/place.ts';
import { lean, newSandboxId, newThreadId } from '../support/world.ts';

const settings = { METRICS: 'emf', ...lean };
const place = usePlace(settings);

/** How many rounds of 21 requests; 48 make a thousand. */
const rounds = Number(process.env.FIGURES_ROUNDS ?? 10);

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const start = () =>
  startCold({
    KUBECONFIG_PATH: place.proxy.kubeconfig,
    K8S_NAMESPACE: place.namespace,
    ...place.cluster.settings,
    ...settings,
  });

/** What was done by those who did it: by `Route status`, and by what came of a create. */
type Done = Record<string, number>;
const add = (counts: Done, name: string, number = 1) => {
  counts[name] = (counts[name] ?? 0) + number;
};

const ofAll = 'POST /api/sandboxes';
const ofOne = (method: string) => `${method} /api/sandboxes/{sandbox_id}`;

/** One of each kind of request, and what it comes to; each story has a sandbox of its own. */
function tellStories(done: Done): (() => Promise<void>)[] {
  const admin = place.cluster.kubernetes;
  const step = async (route: string, status: number, answering: Promise<Answer>, outcome?: string) => {
    const answer = await answering;
    expect([route, answer.status, answer.body]).toEqual([route, status, answer.body]);
    add(done, route);
    if (status >= 400) add(done, 'errors');
    if (outcome !== undefined) add(done, outcome);
  };
  const names = () => {
    const [sandboxId, threadId] = [newSandboxId(), newThreadId()];
    return { sandboxId, threadId, body: { sandbox_id: sandboxId, thread_id: threadId } };
  };
  const wrongKey = { headers: { 'x-api-key': 'a-wrong-key-of-nobody' } };
  return [
    async () => {
      const { sandboxId, body } = names();
      await step(ofAll, 200, create(body), 'created');
      await step(ofAll, 200, create(body), 'found');
      await step(ofOne('GET'), 200, get(sandboxId));
      await step(ofAll, 409, create({ ...body, thread_id: newThreadId() }));
      await step(ofOne('DELETE'), 200, destroy(sandboxId), 'deleted');
      // Its Pod is still going.
      await step(ofOne('DELETE'), 200, destroy(sandboxId), 'absent');
      await step(ofOne('GET'), 404, get(sandboxId));
    },
    async () => {
      const { sandboxId, body } = names();
      await step(ofAll, 200, create(body), 'created');
      await admin.remove('pods', `sandbox-${sandboxId}`, 0);
      await step(ofAll, 200, create(body), 'healed');
      const routeKey = 'POST /api/sandboxes/{sandbox_id}/renew';
      const renewal = { method: 'POST', path: `${ofAll}/x/renew`, routeKey, pathParameters: { sandbox_id: sandboxId } };
      await step(routeKey, 200, call('renew-sandbox', renewal), 'renewed');
      await step(ofOne('DELETE'), 200, destroy(sandboxId), 'deleted');
    },
    async () => {
      const { sandboxId, threadId, body } = names();
      await step(ofAll, 200, create(body), 'created');
      await admin.remove('pods', `sandbox-${sandboxId}`, 0);
      const service = await admin.find('services', `sandbox-${sandboxId}-svc`);
      const pod = originalPod({ sandboxId, threadId }, place.cluster.settings);
      await admin.create('pods', alter(pod, { metadata: ownedBy(service as never), spec: onNoNode }));
      const isStuck = (found: { status?: { conditions?: { reason?: string }[] } } | undefined) =>
        found?.status?.conditions?.some(({ reason }) => reason === 'Unschedulable') ?? false;
      await eventually('on no node', () => admin.find('pods', `sandbox-${sandboxId}`), isStuck);
      await step(ofAll, 200, create(body), 'replaced');
      await step(ofOne('DELETE'), 200, destroy(sandboxId), 'deleted');
    },
    async () => {
      const { sandboxId, threadId, body } = names();
      await admin.create('services', originalService({ sandboxId }));
      await admin.create('pods', originalPod({ sandboxId, threadId }, place.cluster.settings));
      await step(ofAll, 200, create(body), 'adopted');
      await step(ofOne('DELETE'), 200, destroy(sandboxId), 'deleted');
    },
    async () => {
      await step(ofAll, 422, create({ sandbox_id: 'No id' }));
      await step(ofAll, 401, create({ sandbox_id: 'a' }, wrongKey));
      await step('$default', 404, call('fallback', { method: 'GET', path: '/api/x', routeKey: '$default' }));
      await step('GET /api/sandboxes', 200, list());
      await step(ofOne('DELETE'), 200, destroy(newSandboxId()), 'absent');
      await call('health', { method: 'GET', path: '/health' });
    },
  ];
}

type Line = Record<string, unknown>;
type Emf = Line & {
  _aws: {
    CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string; Unit: string }[] }[];
  };
};

/** What is printed meanwhile: the lines of the log, and those of metrics. */
async function printedBy(work: () => Promise<unknown>): Promise<{ log: Line[]; emf: Emf[] }> {
  const printed = keepPrinted();
  await work().finally(() => vi.restoreAllMocks());
  const lines = printed.filter((text) => text.startsWith('{')).map((text): Line => JSON.parse(text));
  return { log: lines.filter((line) => !('_aws' in line)), emf: lines.filter((line): line is Emf => '_aws' in line) };
}

/** The sums of the metrics as CloudWatch makes them: `Creates` of all, and `Creates Outcome=found` of a part. */
function sumUp(emf: readonly Emf[]): Done {
  const sums: Done = {};
  for (const line of emf) {
    for (const { Namespace, Dimensions, Metrics } of line._aws.CloudWatchMetrics) {
      expect([Namespace, line.service]).toEqual(['SandboxProvisioner', 'sandbox-provisioner']);
      for (const dimensions of Dimensions) {
        const [, part] = dimensions;
        for (const { Name } of Metrics)
          add(sums, part === undefined ? Name : `${Name} ${part}=${line[part]}`, Number(line[Name]));
      }
    }
  }
  return sums;
}

describe('the figures', () => {
  it('of many requests side by side add up to what was done, and so do the lines and the calls', {
    timeout: 300_000,
  }, async () => {
    start();
    const done: Done = {};
    const stories = Array.from({ length: rounds }, () => tellStories(done)).flat();
    place.proxy.reset();
    const { log, emf } = await printedBy(async () => {
      const lane = async () => {
        for (let next = stories.pop(); next !== undefined; next = stories.pop()) await next();
      };
      await Promise.all(Array.from({ length: 8 }, lane));
    });
    const { Requests: requests = 0, ...sums } = sumUp(emf);
    const outcomes = ['created', 'found', 'healed', 'replaced', 'adopted'];
    const byRoute = Object.entries(done).filter(([name]) => / \/|^\$/.test(name));
    expect(requests).toBe(byRoute.reduce((sum, [, count]) => sum + count, 0));
    expect(requests).toBe(21 * rounds);
    for (const [route, count] of byRoute) expect([route, sums[`Requests Route=${route}`]]).toEqual([route, count]);
    for (const one of outcomes) expect([one, sums[`Creates Outcome=${one}`]]).toEqual([one, done[one]]);
    expect(sums).toMatchObject({ Errors: done.errors, ServerErrors: 0, ColdStarts: 1 });
    for (const kind of ['conflict', 'not-found', 'invalid-request', 'unauthenticated', 'unknown-path']) {
      expect([kind, sums[`Errors Kind=${kind}`]]).toEqual([kind, rounds]);
    }
    const lines = log.filter(({ level, routeKey }) => level !== 'DEBUG' && routeKey !== undefined);
    expect(lines).toHaveLength(requests);
    for (const one of [...outcomes, 'renewed', 'deleted', 'absent']) {
      expect([one, lines.filter(({ did }) => did === one).length]).toEqual([one, done[one]]);
    }
    const sum = (field: string) => lines.reduce((all, line) => all + Number(line[field]), 0);
    expect(sum('kubernetesCalls')).toBe(place.proxy.calls.length);
    expect(Math.abs(sum('durationMs') - (sums.Duration ?? 0))).toBeLessThan(lines.length);
    // Each that asked Kubernetes for a change, the conflict too.
    const changes = [...outcomes, 'renewed', 'deleted', 'absent'].reduce((all, one) => all + (done[one] ?? 0), rounds);
    expect(lines.filter(({ audit }) => audit === true)).toHaveLength(changes);
  });

  it('of a clean-up are what it found, did and left, with what is left of the quota', async () => {
    const admin = place.cluster.kubernetes;
    const made = Array.from({ length: 5 }, () => ({ sandbox_id: newSandboxId(), thread_id: newThreadId() }));
    start();
    for (const body of made) expect((await create(body)).status).toBe(200);
    const [gone, lost] = made.map(({ sandbox_id }) => sandbox_id);
    await admin.patch('services', `sandbox-${gone}-svc`, { metadata: { annotations: usedAgo(120, 60) } });
    // A Pod of which nobody knows the Service, long past its grace.
    await admin.create(
      'pods',
      alter(originalPod({ sandboxId: `${lost}x`, threadId: 't' }, place.cluster.settings), {
        metadata: { annotations: usedAgo(7_200) },
      }),
    );
    await admin.create('resourcequotas', {
      metadata: { name: 'some' },
      spec: { hard: { pods: '12', 'count/services': '50' } },
    });
    const isCounted = (found: { status?: { used?: object } } | undefined) => found?.status?.used !== undefined;
    await eventually('counted', () => admin.find('resourcequotas', 'some'), isCounted);
    // What is forbidden does not run low.
    const forbid = (text: string) => text.replaceAll('"pods":"12"', '"pods":"12","services.loadbalancers":"0"');
    place.proxy.injectFault({
      when: ({ path }) => path.includes('/resourcequotas'),
      action: { rewrite: (answer) => ({ ...answer, text: forbid(answer.text) }) },
    });
    const { handler } = await import('../../functions/cleanup-sandboxes.ts');
    const { log, emf } = await printedBy(() => handler(scheduledEvent(), lambdaContext('cleanup', 120_000)));
    expect(sumUp(emf)).toMatchObject({
      CleanUps: 1,
      'CleanUps Outcome=succeeded': 1,
      Sandboxes: 5,
      'Sandboxes Status=Failed': 0,
      Removed: 2,
      'Removed Reason=expired': 1,
      'Removed Reason=pod-without-service': 1,
      RemovalFailures: 0,
      Leaked: 1,
      QuotaLeft: 50,
      'QuotaLeft Resource=pods': 50,
      'QuotaLeft Resource=count/services': 90,
    });
    const audited = log.filter(({ audit }) => audit === true);
    expect(audited.map(({ caller, sandboxId, verdict }) => [caller, sandboxId, verdict])).toEqual(
      expect.arrayContaining([
        ['clean-up', gone, { remove: 'expired' }],
        ['clean-up', `${lost}x`, { remove: 'pod-without-service' }],
      ]),
    );
    expect(audited).toHaveLength(2);
  });

  it('of a clean-up that Kubernetes fails are told all the same, and without a quota that may not be read', async () => {
    start();
    const refuse = (what: string) =>
      place.proxy.injectFault({
        when: ({ path }) => path.includes(`/${what}`),
        action: { answer: kubernetesStatus(403, 'Forbidden', 'no') },
      });
    refuse('resourcequotas');
    const { handler } = await import('../../functions/cleanup-sandboxes.ts');
    const run = () => handler(scheduledEvent(), lambdaContext('cleanup', 120_000));
    const { log, emf } = await printedBy(run);
    const warning = 'The quota could not be read: the metrics are without it';
    expect(log.map(({ level, message }) => [level, message])).toContainEqual(['WARN', warning]);
    expect(sumUp(emf)).toMatchObject({ 'CleanUps Outcome=succeeded': 1, Sandboxes: 0 });
    refuse('services');
    const failed = await printedBy(() => run().catch(() => {}));
    expect(sumUp(failed.emf)).toMatchObject({ CleanUps: 1, 'CleanUps Outcome=failed': 1 });
    expect(sumUp(failed.emf)).not.toHaveProperty('Sandboxes');
  });

  it('of a clean-up count what leaked, though it cannot be removed', async () => {
    start();
    const lost = originalPod({ sandboxId: newSandboxId(), threadId: 't' }, place.cluster.settings);
    await place.cluster.kubernetes.create('pods', alter(lost, { metadata: { annotations: usedAgo(7_200) } }));
    place.proxy.injectFault({
      when: ({ method }) => method === 'DELETE',
      action: { answer: kubernetesStatus(403, 'Forbidden', 'no') },
    });
    const { handler } = await import('../../functions/cleanup-sandboxes.ts');
    const { emf } = await printedBy(() => handler(scheduledEvent(), lambdaContext('cleanup', 120_000)).catch(() => {}));
    expect(sumUp(emf)).toMatchObject({ Leaked: 1, Removed: 0, RemovalFailures: 1 });
  });

  it('tell how long it took to a sandbox that is ready, where somebody waited for that', async () => {
    start();
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId(), wait_seconds: 20 };
    const first = await printedBy(() => create(body));
    expect(sumUp(first.emf)).toMatchObject({ ReadyDuration: expect.any(Number) });
    expect(first.log.at(-1)).toMatchObject({ did: 'created', readyMs: expect.any(Number) });
    const again = await printedBy(() => create(body));
    expect(again.log.at(-1)).toMatchObject({ did: 'found' });
    expect(sumUp(again.emf)).not.toHaveProperty('ReadyDuration');
    // Its caller also waits while an older one has to go.
    place.proxy.injectFault({
      when: ({ method, path }) => method === 'POST' && path.endsWith('/services'),
      action: { delayMs: 1_500, answer: kubernetesStatus(409, 'AlreadyExists', 'no', { kind: 'services' }) },
      times: 1,
    });
    const late = await printedBy(() => create({ ...body, sandbox_id: newSandboxId() }));
    expect(Number(late.log.at(-1)?.readyMs)).toBeGreaterThan(1_500);
  });

  it('are neither asked for nor written where they are off', async () => {
    start();
    vi.stubEnv('METRICS', undefined);
    const { handler } = await import('../../functions/cleanup-sandboxes.ts');
    place.proxy.reset();
    const { emf } = await printedBy(async () => {
      await get(newSandboxId());
      await handler(scheduledEvent(), lambdaContext('cleanup', 120_000));
    });
    expect(emf).toEqual([]);
    expect(place.proxy.calls.map(({ path }) => path)).not.toContainEqual(expect.stringMatching(/resourcequotas/));
  });
});
