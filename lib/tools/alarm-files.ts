import { dumpYaml } from '@kubernetes/client-node';
import { type Alarm, alarms, describe } from '../deploy/alarms.ts';
import { type Panel, panels } from '../deploy/dashboard.ts';

/** What docs/ has of the alarms and the dashboard, file by file, as lib/deploy declares them. Pure. */
export const alarmFiles: Readonly<Record<string, () => string>> = {
  'docs/alarms.md': renderPage,
  'docs/prometheus-rules.yaml': renderRules,
  'docs/grafana-dashboard.json': renderGrafana,
};

const written = '`npm run alarms` writes this out of lib/deploy (alarms, dashboard). Change it there.';

const opening = `<!-- ${written} -->

# Alarms

You want to be told when it is not well, and what to look at then. The alarms and the dashboard look at [the metrics](operations.md#metrics).

| alarm | tells when | look first at | |
|---|---|---|---|`;

const closing = `A 5xx or two are no alarm, nor is a slow request at night: each needs some of them. An alarm also tells when it is over.

## On AWS

1. Make a topic, and have it tell you: \`aws sns create-topic --name sandbox-provisioner\`, then \`aws sns subscribe --topic-arn … --protocol email --notification-endpoint …\`.
2. Deploy with \`ALARM_TOPIC_ARN\` (the topic), \`METRICS=emf\` and a \`METRICS_NAMESPACE\` that no other deployment of the account has: alarms of two in one would look at the sum of both.

This makes the alarms, SlowOperation for each operation and Throttles for each function, and the dashboard \`<stack>-<region>\` in CloudWatch. A deployment with \`ALARM_TOPIC_ARN\` and without \`METRICS=emf\`
is refused, because its alarms would never tell.

- **CleanUpMissing tells once after the first deployment**, until the first clean-up has succeeded. With a \`cron(…)\` in \`CLEANUP_SCHEDULE\`, which does not say how often, it waits for a day.
- A topic that is encrypted with a key of yours needs a key policy that lets \`cloudwatch.amazonaws.com\` use it.
- [None of this was run on AWS](aws.md).

## With Prometheus

[prometheus-rules.yaml](prometheus-rules.yaml) and [grafana-dashboard.json](grafana-dashboard.json) are the same for [the server](compose.md#the-server), with \`METRICS=prometheus\`. Throttles and GatewayRefusals
are not among them: there is no Lambda and no gateway.

Have Prometheus [ask the server](operations.md#metrics), and name the rules in its \`rule_files\`.

- Each \`job\` is looked at by itself, whatever its name. Several servers of a job count together. If you have several jobs, give \`absent\` in CleanUpMissing the name of each: without one, it does not learn that a job is gone while another is there.
- They are for a clean-up every five minutes. With another \`CLEANUP_SCHEDULE\`, lengthen what CleanUpMissing and SandboxesNotReady wait for.
- In Grafana: Dashboards, New, Import.`;

function renderPage(): string {
  const rows = alarms.map(
    ({ name, when, lookFirst, page, prometheus }) =>
      `| **${name}**${prometheus ? '' : ' (AWS)'} | ${when} | ${lookFirst} | [${page.replace(/\.md.*/, '')}](${page}) |`,
  );
  return `${[opening, ...rows].join('\n')}\n\n${closing}\n`;
}

function renderRules(): string {
  const rules = alarms.flatMap((alarm) => (alarm.prometheus === undefined ? [] : [buildRule(alarm, alarm.prometheus)]));
  return `# ${written}\n${dumpYaml({ groups: [{ name: 'sandbox-provisioner', rules }] }, { lineWidth: -1 })}`;
}

const buildRule = (alarm: Alarm, { expression, for: lasting }: NonNullable<Alarm['prometheus']>) => ({
  alert: alarm.name,
  expr: expression,
  ...(lasting !== undefined && { for: lasting }),
  annotations: { summary: `${alarm.name}: ${alarm.when}`, description: describe(alarm) },
});

function renderGrafana(): string {
  const datasource = { type: 'prometheus', uid: `\${datasource}` };
  const [width, height] = [12, 8];
  const dashboard = {
    title: 'Sandbox provisioner',
    uid: 'sandbox-provisioner',
    description: written,
    tags: ['sandbox-provisioner'],
    schemaVersion: 39,
    time: { from: 'now-6h', to: 'now' },
    refresh: '1m',
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        {
          ...{ name: 'job', type: 'query', datasource, refresh: 2 },
          ...{ includeAll: true, multi: true, allValue: '.+', current: { text: 'All', value: '$__all' } },
          query: 'label_values(sandbox_provisioner_cold_starts_total, job)',
        },
      ],
    },
    panels: [
      {
        ...{ id: 1, title: 'Alarms', type: 'alertlist', gridPos: { x: 0, y: 0, w: 2 * width, h: height } },
        options: { viewMode: 'list', alertName: '', stateFilter: { firing: true, pending: true } },
      },
      ...panels.map((panel, index) => ({
        ...{ id: index + 2, title: panel.title, type: 'timeseries', datasource },
        gridPos: {
          x: (index % 2) * width,
          y: height + Math.floor(index / 2) * height,
          ...{ w: width, h: height },
        },
        fieldConfig: { defaults: { unit: units[panel.unit], min: 0 }, overrides: [] },
        targets: panel.prometheus.map(({ expression, legend }, place) => ({
          ...{ refId: String.fromCharCode(65 + place), datasource, expr: expression, legendFormat: legend },
        })),
      })),
    ],
  };
  return `${JSON.stringify(dashboard, undefined, 2)}\n`;
}

/** In Grafana's words. */
const units: Readonly<Record<Panel['unit'], string>> = { Count: 'short', Milliseconds: 'ms', Percent: 'percent' };
