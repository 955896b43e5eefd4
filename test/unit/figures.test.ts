import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createCollector } from '../../lib/server/prometheus.ts';
import { type Figures, type MetricName, measureCleanUp, measureRequest, metrics } from '../../lib/telemetry/figures.ts';
import type { ClosedRecord } from '../../lib/telemetry/record.ts';

const record = (rest: Partial<ClosedRecord>): ClosedRecord => ({
  requestId: 'r',
  routeKey: 'POST /api/sandboxes',
  statusCode: 200,
  durationMs: 30,
  coldStart: false,
  kubernetes: { calls: 2, ms: 20 },
  ...rest,
});
const ofRequest = (Route: string, ServerErrors = 0) => ({
  dimension: { Route },
  isSummed: true,
  values: { Requests: 1, ServerErrors, Duration: 30, KubernetesDuration: 20 },
});
const error = { kind: 'unavailable', message: 'm', cause: undefined } as const;

describe('the figures', () => {
  it.each<[string, Partial<ClosedRecord>, object[]]>([
    ['a look', { routeKey: 'GET /api/sandboxes/{sandbox_id}' }, [ofRequest('GET /api/sandboxes/{sandbox_id}')]],
    [
      "a process's first, a create",
      { did: 'healed', coldStart: true },
      [
        ofRequest('POST /api/sandboxes'),
        { values: { ColdStarts: 1 } },
        { dimension: { Outcome: 'healed' }, isSummed: true, values: { Creates: 1 } },
      ],
    ],
    ['a delete, which is no create', { did: 'deleted' }, [ofRequest('POST /api/sandboxes')]],
    [
      'a create that was waited for',
      { did: 'created', readyMs: 1_300 },
      [
        ofRequest('POST /api/sandboxes'),
        { dimension: { Outcome: 'created' }, isSummed: true, values: { Creates: 1 } },
        { values: { ReadyDuration: 1_300 } },
      ],
    ],
    [
      'a failure, even one after the work',
      { statusCode: 503, error, did: 'created' },
      [
        ofRequest('POST /api/sandboxes', 1),
        { dimension: { Kind: 'unavailable' }, isSummed: true, values: { Errors: 1 } },
      ],
    ],
    ['no route of ours', { routeKey: `GET /api/${'x'.repeat(99)}` }, [ofRequest('other')]],
    ['no route at all', { routeKey: '' }, [ofRequest('other')]],
  ])('of a request: %s', (_what, rest, figures) => {
    expect(measureRequest(record(rest))).toEqual(figures);
  });

  const run = {
    succeeded: true,
    durationMs: 2_000,
    removed: { expired: 3, stuck: 1 },
    failures: 2,
    leaked: 1,
    census: { status: { Running: 5, Pending: 1, Failed: 0 }, reason: { Scheduling: 1 } },
    quotaLeft: { pods: 12.5, 'services.nodeports': 40 },
  };
  it('of a clean-up: what has parts comes before them', () => {
    const shown = measureCleanUp(run).map(({ dimension, values }) => ({ ...dimension, ...values }));
    expect(shown).toEqual([
      { Outcome: 'succeeded', CleanUps: 1 },
      { CleanUpDuration: 2_000 },
      { Removed: 4, RemovalFailures: 2, Leaked: 1 },
      { Reason: 'expired', Removed: 3 },
      { Reason: 'stuck', Removed: 1 },
      { Sandboxes: 6, SandboxesNotReady: 1 },
      { Status: 'Running', Sandboxes: 5 },
      { Status: 'Pending', Sandboxes: 1 },
      { Status: 'Failed', Sandboxes: 0 },
      { Reason: 'Scheduling', SandboxesNotReady: 1 },
      { QuotaLeft: 12.5 },
      { Resource: 'pods', QuotaLeft: 12.5 },
      { Resource: 'services.nodeports', QuotaLeft: 40 },
    ]);
  });

  it('of a clean-up that could not even list: that it failed', () => {
    const [first, second, ...others] = measureCleanUp({ succeeded: false, durationMs: 7 });
    expect([first?.dimension, second?.values, others]).toEqual([{ Outcome: 'failed' }, { CleanUpDuration: 7 }, []]);
  });

  it('are in the table of the page, with their units, dimensions and names for Prometheus', async () => {
    const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| `([A-Z]\w+)` \| (\w+) \| (?:`(\w+)`)? ?\| `(\w+)(?:\{(\w+)\})?` \|/gm)];
    const text = await createCollector().text();
    const rowOf = (name: string) => rows.find(([, shown]) => shown === name) ?? [];
    expect(rows.map(([, name]) => name)).toEqual(Object.keys(metrics));
    for (const [name, metric] of Object.entries(metrics)) {
      const { unit, dimension }: { unit: string; dimension?: string } = metric;
      const [, , shownUnit, shownDimension, forPrometheus, label] = rowOf(name);
      expect([name, shownUnit, shownDimension, label]).toEqual([name, unit, dimension, dimension?.toLowerCase()]);
      expect(text).toContain(`# TYPE sandbox_provisioner_${forPrometheus} `);
    }
  });
});

describe("Prometheus' text", () => {
  const told = async (...taken: (readonly Figures[])[]) => {
    const collector = createCollector();
    for (const figures of taken) collector.take(figures);
    const lines = (await collector.text())
      .split('\n')
      .filter((line) => !line.startsWith('#') && !line.includes('_bucket'));
    return Object.fromEntries(
      lines.flatMap((line) => {
        const [, name = '', value] = /^sandbox_provisioner_(\S.*) (\S+)$/.exec(line) ?? [];
        return name === '' ? [] : [[name, Number(value)]];
      }),
    );
  };

  it('adds up what counts, in seconds what takes time, and has of what is only the last', async () => {
    const census = (status: Record<string, number>, reason: Record<string, number>) =>
      measureCleanUp({ succeeded: true, durationMs: 500, census: { status, reason }, quotaLeft: { pods: 25 } });
    const shown = await told(
      measureRequest(record({ did: 'created' })),
      measureRequest(record({ did: 'created', statusCode: 503, error })),
      census({ Running: 7, Pending: 2 }, { Scheduling: 2 }),
      census({ Running: 9, Pending: 0 }, { ImagePullBackOff: 1 }),
    );
    expect(shown).toMatchObject({
      'requests_total{route="POST /api/sandboxes"}': 2,
      'server_errors_total{route="POST /api/sandboxes"}': 1,
      'errors_total{kind="unavailable"}': 1,
      'duration_seconds_sum{route="POST /api/sandboxes"}': 0.06,
      'duration_seconds_count{route="POST /api/sandboxes"}': 2,
      'kubernetes_duration_seconds_sum{route="POST /api/sandboxes"}': 0.04,
      'creates_total{outcome="created"}': 1,
      'clean_ups_total{outcome="succeeded"}': 2,
      clean_up_duration_seconds_sum: 1,
      'sandboxes{status="Running"}': 9,
      'sandboxes{status="Pending"}': 0,
      'sandboxes_not_ready{reason="ImagePullBackOff"}': 1,
      'quota_left_ratio{resource="pods"}': 0.25,
    });
    expect(shown).not.toHaveProperty('sandboxes_not_ready{reason="Scheduling"}');
  });

  it('knows no quota any more that is gone, but the last one that could be read', async () => {
    const leaving = (quotaLeft?: Record<string, number>) =>
      measureCleanUp({ succeeded: true, durationMs: 500, ...(quotaLeft && { quotaLeft }) });
    const name = 'quota_left_ratio{resource="pods"}';
    expect(await told(leaving({ pods: 5 }), leaving())).toHaveProperty(name, 0.05);
    expect(await told(leaving({ pods: 5 }), leaving({}))).not.toHaveProperty(name);
  });

  // Prometheus sees no increase in what begins at 1: the first failed clean-up of a process raised no alarm.
  it('has what alarms count before it happens', async () => {
    expect(await told()).toMatchObject({
      'clean_ups_total{outcome="failed"}': 0,
      'removed_total{reason="never-ran"}': 0,
      'creates_total{outcome="created"}': 0,
    });
  });

  it('has a help for each, and no labels but the dimension', async () => {
    const lines = (await createCollector().text()).split('\n').filter((line) => line.startsWith('# HELP'));
    expect(lines).toHaveLength(Object.keys(metrics).length);
    for (const line of lines) expect(line).toMatch(/^# HELP sandbox_provisioner_[a-z_]+ [A-Z].+$/);
    expect(Object.keys(metrics) satisfies string[] as MetricName[]).toContain('Leaked');
  });
});
