import type { MetricName } from '../telemetry/figures.ts';

/** A chart, declared here once for CloudWatch and for Grafana. */
export type Panel = Readonly<{
  title: string;
  unit: 'Count' | 'Milliseconds' | 'Percent';
  /** On CloudWatch: the functions' own metrics, each by its dimension or as a whole. */
  lines: readonly Line[];
  /** In Grafana, by the labels that tell its lines apart. */
  prometheus: readonly Readonly<{ expression: string; legend: string }>[];
}>;

type Line = Readonly<{ metric: MetricName; statistic: string; dimension?: string }>;

const growth = (metric: string, by: string) =>
  `sum by (${by}) (increase(sandbox_provisioner_${metric}{job=~"$job"}[$__rate_interval]))`;

/** Of several servers each has counted the same sandboxes. */
const gauge = (metric: string, by: string) => `max by (${by}) (sandbox_provisioner_${metric}{job=~"$job"})`;
const p95 = (metric: string, by: string) =>
  `1000 * histogram_quantile(0.95, sum by (${by}) (rate(sandbox_provisioner_${metric}_bucket{job=~"$job"}[$__rate_interval])))`;

/** All of them, in the order of the dashboard, two in a row. */
export const panels: readonly Panel[] = [
  {
    title: 'Requests',
    unit: 'Count',
    lines: [{ metric: 'Requests', statistic: 'Sum', dimension: 'Route' }],
    prometheus: [{ expression: growth('requests_total', 'route'), legend: '{{route}}' }],
  },
  {
    title: 'Errors by kind',
    unit: 'Count',
    lines: [{ metric: 'Errors', statistic: 'Sum', dimension: 'Kind' }],
    prometheus: [{ expression: growth('errors_total', 'kind'), legend: '{{kind}}' }],
  },
  {
    title: 'Answers of 5xx',
    unit: 'Percent',
    // Each answer counts 0 or 1.
    lines: [{ metric: 'ServerErrors', statistic: 'Average' }],
    prometheus: [
      {
        expression: `100 * sum(increase(sandbox_provisioner_server_errors_total{job=~"$job"}[$__rate_interval])) / sum(increase(sandbox_provisioner_requests_total{job=~"$job"}[$__rate_interval]))`,
        legend: '5xx',
      },
    ],
  },
  {
    title: 'Cold starts',
    unit: 'Count',
    lines: [{ metric: 'ColdStarts', statistic: 'Sum' }],
    prometheus: [{ expression: growth('cold_starts_total', 'job'), legend: '{{job}}' }],
  },
  {
    title: 'p95 of a request',
    unit: 'Milliseconds',
    lines: [{ metric: 'Duration', statistic: 'p95', dimension: 'Route' }],
    prometheus: [{ expression: p95('duration_seconds', 'route, le'), legend: '{{route}}' }],
  },
  {
    title: 'p95 of its time in Kubernetes',
    unit: 'Milliseconds',
    lines: [{ metric: 'KubernetesDuration', statistic: 'p95', dimension: 'Route' }],
    prometheus: [{ expression: p95('kubernetes_duration_seconds', 'route, le'), legend: '{{route}}' }],
  },
  {
    title: 'Creates',
    unit: 'Count',
    lines: [{ metric: 'Creates', statistic: 'Sum', dimension: 'Outcome' }],
    prometheus: [{ expression: growth('creates_total', 'outcome'), legend: '{{outcome}}' }],
  },
  {
    title: 'Until a sandbox is ready',
    unit: 'Milliseconds',
    lines: [
      { metric: 'ReadyDuration', statistic: 'p50' },
      { metric: 'ReadyDuration', statistic: 'p95' },
    ],
    prometheus: [
      { expression: p95('ready_duration_seconds', 'le').replace('0.95', '0.5'), legend: 'p50' },
      { expression: p95('ready_duration_seconds', 'le'), legend: 'p95' },
    ],
  },
  {
    title: 'Sandboxes',
    unit: 'Count',
    lines: [{ metric: 'Sandboxes', statistic: 'Maximum', dimension: 'Status' }],
    prometheus: [{ expression: gauge('sandboxes', 'status'), legend: '{{status}}' }],
  },
  {
    title: 'Sandboxes that are not ready',
    unit: 'Count',
    lines: [{ metric: 'SandboxesNotReady', statistic: 'Maximum', dimension: 'Reason' }],
    prometheus: [{ expression: gauge('sandboxes_not_ready', 'reason'), legend: '{{reason}}' }],
  },
  {
    title: 'Clean-ups',
    unit: 'Count',
    lines: [{ metric: 'CleanUps', statistic: 'Sum', dimension: 'Outcome' }],
    prometheus: [{ expression: growth('clean_ups_total', 'outcome'), legend: '{{outcome}}' }],
  },
  {
    title: 'What the clean-up removed',
    unit: 'Count',
    lines: [{ metric: 'Removed', statistic: 'Sum', dimension: 'Reason' }],
    prometheus: [{ expression: growth('removed_total', 'reason'), legend: '{{reason}}' }],
  },
  {
    title: 'What it could not remove, and leaks',
    unit: 'Count',
    lines: [
      { metric: 'RemovalFailures', statistic: 'Sum' },
      { metric: 'Leaked', statistic: 'Sum' },
    ],
    prometheus: [
      { expression: growth('removal_failures_total', 'job'), legend: 'failed' },
      { expression: growth('leaked_total', 'job'), legend: 'leaked' },
    ],
  },
  {
    title: 'p95 of a clean-up',
    unit: 'Milliseconds',
    lines: [{ metric: 'CleanUpDuration', statistic: 'p95' }],
    prometheus: [{ expression: p95('clean_up_duration_seconds', 'le'), legend: 'p95' }],
  },
  {
    title: 'What is left of the quota',
    unit: 'Percent',
    lines: [{ metric: 'QuotaLeft', statistic: 'Minimum', dimension: 'Resource' }],
    prometheus: [
      {
        expression: '100 * min by (resource) (sandbox_provisioner_quota_left_ratio{job=~"$job"})',
        legend: '{{resource}}',
      },
    ],
  },
];

type Resources = Record<'Dashboard', { Type: string; Properties: Record<string, unknown> }>;

const periodSeconds = 300;
const [width, height] = [12, 6];

/** The dashboard of a deployment: its alarms, of these logical ids, then the charts. Pure. */
export function planDashboard(metricsNamespace: string, alarmIds: readonly string[]): Resources {
  const alarmRows = 1 + Math.ceil(alarmIds.length / 4);
  const body = {
    widgets: [
      {
        ...{ type: 'alarm', x: 0, y: 0, width: 2 * width, height: alarmRows },
        properties: { title: 'Alarms', alarms: alarmIds.map((id) => `\${${id}.Arn}`) },
      },
      ...panels.map(({ title, unit, lines }, index) => ({
        type: 'metric',
        x: (index % 2) * width,
        y: alarmRows + Math.floor(index / 2) * height,
        ...{ width, height },
        properties: {
          title,
          view: 'timeSeries',
          region: `\${AWS::Region}`,
          period: periodSeconds,
          metrics: lines.map((line) => buildLine(metricsNamespace, line)),
          yAxis: { left: { min: 0, label: unit === 'Milliseconds' ? 'ms' : unit === 'Percent' ? '%' : '' } },
        },
      })),
    ],
  };
  return {
    Dashboard: {
      Type: 'AWS::CloudWatch::Dashboard',
      Properties: {
        // Dashboards are the whole account's, so other regions' too.
        DashboardName: { 'Fn::Sub': `\${AWS::StackName}-\${AWS::Region}` },
        DashboardBody: { 'Fn::Sub': JSON.stringify(body) },
      },
    },
  };
}

/** A line, or one for each value of a dimension, which only a search finds. */
function buildLine(namespace: string, { metric, statistic, dimension }: Line): unknown[] {
  if (dimension === undefined) {
    const label = `${metric} ${statistic}`;
    return [namespace, metric, 'service', 'sandbox-provisioner', { stat: statistic, label }];
  }
  const schema = `{"${namespace}",service,${dimension}}`;
  const expression = `SEARCH('${schema} MetricName="${metric}" service="sandbox-provisioner"', '${statistic}', ${periodSeconds})`;
  return [{ expression }];
}
