import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import { loadYaml } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { alarms, planAlarms } from '../../lib/deploy/alarms.ts';
import { panels, planDashboard } from '../../lib/deploy/dashboard.ts';
import { alarmFiles } from '../../lib/tools/alarm-files.ts';
import { loadTemplateCheck } from '../support/cloudformation.ts';

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string) => readFileSync(pathOf(path), 'utf8');

const get = 'GET /api/sandboxes/{sandbox_id}';
const watched = {
  metricsNamespace: 'Sandboxes/test',
  functions: [
    { id: 'Get', lambdaName: 'stage-get', operations: [get], isScheduled: false },
    { id: 'List', lambdaName: 'stage-list', operations: ['GET /api/sandboxes'], isScheduled: false },
    { id: 'Cleanup', lambdaName: 'stage-cleanup', operations: [], isScheduled: true },
  ],
};
type Query = {
  Id: string;
  Expression?: string;
  MetricStat?: {
    Metric: { Namespace: string; MetricName: string; Dimensions: { Name: string; Value: unknown }[] };
    Period: number;
    Stat: string;
  };
  ReturnData: boolean;
};
type Properties = {
  AlarmDescription: string;
  Metrics: Query[];
  ComparisonOperator: string;
  Threshold: number;
  EvaluationPeriods: number;
  TreatMissingData: string;
};
type Planned = Record<string, { Type: string; Properties: Properties }>;
const plan = (every: number | 'unknown' = 300) =>
  planAlarms({ ...watched, cleanUpEverySeconds: every === 'unknown' ? undefined : every }, 'arn:topic') as Record<
    string,
    { Type: string; Properties: object }
  > as Planned;
const propertiesOf = (id: string, planned = plan()): Properties => {
  const { Properties } = planned[id] ?? {};
  if (Properties === undefined) throw new Error(`There is no ${id}`);
  return Properties;
};

const namesIn = (expression = ''): string[] => expression.match(/\b[a-z]\w*/g) ?? [];

/** Whether an alarm tells at these readings, as CloudWatch calculates; undefined where it keeps what it was. */
function tells(id: string, readings: Record<string, number>): boolean | undefined {
  const { Metrics, ComparisonOperator, Threshold, TreatMissingData } = propertiesOf(id);
  const values: Record<string, number | undefined> = {};
  const functions = {
    FILL: (value: number | undefined, other: number) => value ?? other,
    IF: (is: boolean, then: number, other: number) => (is ? then : other),
  };
  for (const { Id, Expression } of Metrics) {
    // What is calculated of something missing is missing.
    const isMissing = !Expression?.startsWith('FILL') && namesIn(Expression).some((name) => values[name] === undefined);
    if (Expression === undefined) values[Id] = readings[Id.replace(/Read$/, '')];
    else if (isMissing) values[Id] = undefined;
    else values[Id] = runInNewContext(Expression.replaceAll(' AND ', ' && '), { ...functions, ...values });
  }
  const value = values[Metrics.find(({ ReturnData }) => ReturnData)?.Id ?? ''];
  if (value === undefined || Number.isNaN(value)) return { breaching: true, notBreaching: false }[TreatMissingData];
  return {
    GreaterThanThreshold: value > Threshold,
    GreaterThanOrEqualToThreshold: value >= Threshold,
    LessThanThreshold: value < Threshold,
  }[ComparisonOperator];
}

describe('an alarm on AWS', () => {
  it.each<[string, string, Record<string, number>, boolean | undefined]>([
    ['ServerErrors', 'one of two requests at night', { errors: 1, requests: 2 }, false],
    ['ServerErrors', 'nothing at all', {}, false],
    ['ServerErrors', 'each of a few requests', { errors: 5, requests: 5 }, true],
    ['ServerErrors', 'functions that were ended, and counted nothing', { errors: 5 }, true],
    ['ServerErrors', '1 % of many', { errors: 100, requests: 10_000 }, false],
    ['ServerErrors', '6 % of many', { errors: 600, requests: 10_000 }, true],
    ['SlowOperationList', 'one slow request', { p95: 9_000, requests: 1 }, false],
    ['SlowOperationList', 'many slow ones', { p95: 2_600, requests: 20 }, true],
    ['SlowOperationList', 'many fast ones', { p95: 200, requests: 2_000 }, false],
    ['SlowOperationList', 'none', {}, false],
    ['SlowOperationGet', 'the looks of a long wait', { p95: 3_000, requests: 500 }, false],
    ['SlowOperationGet', 'a slow Kubernetes', { p95: 5_100, requests: 500 }, true],
    ['ThrottlesCleanup', 'one', { throttles: 1 }, false],
    ['ThrottlesCleanup', 'some', { throttles: 5 }, true],
    ['ThrottlesCleanup', 'none', {}, false],
    ['GatewayRefusals', "the functions' own 4xx", { all4xx: 90, answered: 92, answered5xx: 2, requests: 100 }, false],
    ['GatewayRefusals', 'what no function answered', { all4xx: 90, answered: 2, answered5xx: 2, requests: 100 }, true],
    ['GatewayRefusals', 'little of it among many', { all4xx: 6, requests: 10_000 }, false],
    ['CleanUpMissing', 'no run', {}, true],
    ['CleanUpMissing', 'one that succeeded', { succeeded: 1 }, false],
    ['CleanUpFailed', 'one run', { errors: 1 }, true],
    ['CleanUpFailed', 'no run', {}, false],
    ['SandboxesNotReady', 'one of three', { notReady: 1, all: 3 }, false],
    ['SandboxesNotReady', 'those that start, of many', { notReady: 40, all: 900 }, false],
    ['SandboxesNotReady', 'most', { notReady: 5, all: 8 }, true],
    ['SandboxesNotReady', 'nobody knows', {}, undefined],
    ['SandboxesNeverRan', 'one of few', { neverRan: 1, created: 3 }, true],
    ['SandboxesNeverRan', 'one, and none created since', { neverRan: 1 }, true],
    ['SandboxesNeverRan', 'one of many', { neverRan: 1, created: 400 }, false],
    ['SandboxesNeverRan', 'none', {}, false],
    ['Leaks', 'one Pod', { leaked: 1 }, false],
    ['Leaks', 'one that every run finds', { leaked: 12 }, true],
    ['Leaks', 'none', {}, false],
    ['QuotaLow', '9 %', { left: 9 }, true],
    ['QuotaLow', '10 %', { left: 10 }, false],
    ['QuotaLow', 'no quota', {}, false],
  ])('%s of %s', (id, _what, readings, expected) => {
    expect(tells(`${id}Alarm`, readings)).toBe(expected);
  });

  it('reads what the functions, API Gateway and Lambda count, and tells of its end, too', async () => {
    expect(plan().GatewayRefusalsAlarm).toEqual({
      Type: 'AWS::CloudWatch::Alarm',
      Properties: {
        AlarmDescription: expect.stringContaining('Look first at `API_THROTTLE_RATE` and'),
        Metrics: expect.arrayContaining([
          {
            Id: 'all4xxRead',
            MetricStat: {
              Metric: {
                ...{ Namespace: 'AWS/ApiGateway', MetricName: '4xx' },
                Dimensions: [{ Name: 'ApiId', Value: { Ref: 'HttpApi' } }],
              },
              ...{ Period: 900, Stat: 'Sum' },
            },
            ReturnData: false,
          },
          { Id: 'all4xx', Expression: 'FILL(all4xxRead, 0)', ReturnData: false },
          expect.objectContaining({ Id: 'value', ReturnData: true }),
        ]),
        ...{ ComparisonOperator: 'GreaterThanOrEqualToThreshold', Threshold: 5 },
        ...{ EvaluationPeriods: 1, TreatMissingData: 'notBreaching' },
        ...{ AlarmActions: ['arn:topic'], OKActions: ['arn:topic'] },
      },
    });
    const metricOf = (id: string) => propertiesOf(id).Metrics[0]?.MetricStat?.Metric;
    expect(metricOf('ThrottlesGetAlarm')?.Dimensions).toEqual([
      { Name: 'FunctionName', Value: { Ref: 'GetLambdaFunction' } },
    ]);
    expect(metricOf('SlowOperationGetAlarm')).toEqual({
      ...{ Namespace: 'Sandboxes/test', MetricName: 'KubernetesDuration' },
      Dimensions: [
        { Name: 'service', Value: 'sandbox-provisioner' },
        { Name: 'Route', Value: get },
      ],
    });
    expect((await loadTemplateCheck())({ Resources: plan() })).toEqual([]);
  });

  it('is one that CloudWatch takes: at most 10 metrics and 1,024 characters, one value, names of its kind', () => {
    for (const [id, { Properties }] of Object.entries(plan())) {
      const { AlarmDescription, Metrics } = Properties;
      expect(Metrics.length, id).toBeLessThanOrEqual(10);
      expect(Metrics.filter(({ ReturnData }) => ReturnData)).toHaveLength(1);
      for (const { Id } of Metrics) expect(Id).toMatch(/^[a-z]\w*$/);
      expect(AlarmDescription.length).toBeLessThan(1024);
    }
  });

  it.each<[string, number | 'unknown', [number, number], number]>([
    ['5 minutes', 300, [900, 1], 3_600],
    ['an hour', 3_600, [10_800, 1], 10_800],
    ['a day', 86_400, [86_400, 3], 86_400],
    ['20 days', 20 * 86_400, [86_400, 7], 86_400],
    ['whatever cron says', 'unknown', [86_400, 1], 86_400],
  ])('waits for three clean-ups, one every %s', (_often, seconds, [period, periods], longer) => {
    const planned = plan(seconds);
    const periodOf = (id: string) => {
      const { Metrics, EvaluationPeriods } = propertiesOf(id, planned);
      return [Metrics[0]?.MetricStat?.Period, EvaluationPeriods];
    };
    expect(periodOf('CleanUpMissingAlarm')).toEqual([period, periods]);
    expect(periodOf('QuotaLowAlarm')).toEqual([period, 1]);
    expect(periodOf('LeaksAlarm')).toEqual([longer, 1]);
  });
});

describe('what follows from the alarms', () => {
  it.each(Object.entries(alarmFiles))('%s is up to date: npm run alarms', (path, render) => {
    expect(read(path)).toBe(render());
  });

  it.each(alarms)('$name has a name of its own, and a page with that part', ({ name, page }) => {
    expect(alarms.filter((other) => other.name === name)).toHaveLength(1);
    const [file, part] = page.split('#');
    const anchors = [...read(`docs/${file}`).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    );
    expect(anchors).toContain(part);
    expect(read('docs/alarms.md')).toContain(`| **${name}**`);
  });

  /** The metrics of the page, with their dimensions; for Prometheus, with their labels. */
  const rows = [
    ...read('docs/operations.md').matchAll(/^\| `([A-Z]\w+)` \| \w+ \| (?:`(\w+)`)? ?\| `(\w+)(?:\{(\w+)\})?` \|/gm),
  ];
  it('CloudWatch looks at metrics of the page alone, by their dimensions', () => {
    const known = rows.flatMap(([, name, dimension]) => [name, ...(dimension ? [`${name} by ${dimension}`] : [])]);
    const inAlarms = Object.values(plan()).flatMap(({ Properties }) =>
      Properties.Metrics.flatMap(({ MetricStat }) => {
        if (MetricStat?.Metric.Namespace !== 'Sandboxes/test') return [];
        const { MetricName, Dimensions } = MetricStat.Metric;
        const [service, dimension] = Dimensions;
        expect(service).toEqual({ Name: 'service', Value: 'sandbox-provisioner' });
        return [dimension === undefined ? MetricName : `${MetricName} by ${dimension.Name}`];
      }),
    );
    const inPanels = panels.flatMap(({ lines }) =>
      lines.map(({ metric, dimension }) => (dimension === undefined ? metric : `${metric} by ${dimension}`)),
    );
    expect(inAlarms.length).toBeGreaterThan(10);
    expect([...inAlarms, ...inPanels].filter((used) => !known.includes(used))).toEqual([]);
    // And each is on the dashboard.
    expect(new Set(panels.flatMap(({ lines }) => lines.map(({ metric }) => metric)))).toEqual(
      new Set(rows.map(([, name]) => name)),
    );
  });

  it('Prometheus looks at metrics of the page alone, by their labels', () => {
    const labelsOf = new Map(rows.map(([, , , name = '', label]) => [name, label]));
    const expressions = [
      ...alarms.flatMap(({ prometheus }) => prometheus?.expression ?? []),
      ...panels.flatMap(({ prometheus }) => prometheus.map(({ expression }) => expression)),
    ];
    const used = expressions.flatMap((text) => [
      ...text.matchAll(/sandbox_provisioner_(\w+)(?:\{((?:[^"}]|"[^"]*")*)\})?/g),
    ]);
    expect(used.length).toBeGreaterThan(30);
    for (const [text, full = '', selector = ''] of used) {
      const name = labelsOf.has(full) ? full : full.replace(/_(bucket|count)$/, '');
      expect(labelsOf.has(name), text).toBe(true);
      const labels = [...selector.matchAll(/(\w+)(?:=|!=|=~|!~)"/g)].map(([, label]) => label);
      expect(labels.filter((label) => label !== 'job' && label !== labelsOf.get(name))).toEqual([]);
    }
  });

  it('both have the same alarms, but for those of what only AWS has', () => {
    type Rules = { groups: { rules: { alert: string }[] }[] };
    const rules = loadYaml<Rules>(read('docs/prometheus-rules.yaml')).groups.flatMap((group) => group.rules);
    const onAws = new Set(Object.values(plan()).map(({ Properties }) => /^\w+/.exec(Properties.AlarmDescription)?.[0]));
    expect([...rules.map(({ alert }) => alert), 'Throttles', 'GatewayRefusals'].toSorted()).toEqual(
      [...onAws].toSorted(),
    );
  });
});

it('the dashboard shows each alarm and each chart, side by side', async () => {
  const { Dashboard } = planDashboard('Sandboxes/test', ['LeaksAlarm', 'QuotaLowAlarm']);
  expect((await loadTemplateCheck())({ Resources: { Dashboard } })).toEqual([]);
  const body = (Dashboard.Properties.DashboardBody as { 'Fn::Sub': string })['Fn::Sub'];
  expect(new Set([...body.matchAll(/\$\{([^}]*)\}/g)].map(([, name]) => name))).toEqual(
    new Set(['LeaksAlarm.Arn', 'QuotaLowAlarm.Arn', 'AWS::Region']),
  );
  const { widgets } = JSON.parse(body) as { widgets: { x: number; y: number; properties: Record<string, unknown> }[] };
  expect(widgets.map(({ properties }) => properties.title)).toEqual(['Alarms', ...panels.map(({ title }) => title)]);
  expect(new Set(widgets.map(({ x, y }) => `${x},${y}`)).size).toBe(widgets.length);
  expect(widgets[1]?.properties.metrics).toEqual([
    [
      {
        expression: `SEARCH('{"Sandboxes/test",service,Route} MetricName="Requests" service="sandbox-provisioner"', 'Sum', 300)`,
      },
    ],
  ]);
});

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
it.skipIf(!hasPromtool)(`the rules tell what they should${hasPromtool ? '' : ' (there is no promtool here)'}`, () => {
  const output = execFileSync('promtool', ['test', 'rules', pathOf('test/support/prometheus-rules-cases.yaml')]);
  expect(output.toString()).toContain('SUCCESS');
});
