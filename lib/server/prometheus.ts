import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { serve } from '../http/serve.ts';
import { removeReasons } from '../model/expiry.ts';
import { type Figures, type Metric, type MetricName, metrics } from '../telemetry/figures.ts';
import { createDeeds } from '../telemetry/record.ts';

type Taken = { take(labels: Record<string, string>, value: number): void; forget(): void };

/** What a metric is for, in the words of docs/operations.md. */
const help: Readonly<Record<MetricName, string>> = {
  Requests: 'Requests, but for /health and /metrics',
  ServerErrors: 'Answers of 5xx',
  Errors: 'Answers that were errors',
  Duration: 'How long a request took',
  KubernetesDuration: 'How much of a request was in Kubernetes',
  ColdStarts: 'First requests of a process',
  Creates: 'Creates that went well',
  ReadyDuration: 'From a create to a sandbox that is ready, where its caller waited for that',
  CleanUps: 'Runs of the clean-up',
  CleanUpDuration: 'How long a run of the clean-up took',
  Sandboxes: 'How many sandboxes the clean-up found',
  SandboxesNotReady: 'How many of them are not ready',
  Removed: 'What the clean-up removed',
  RemovalFailures: 'What the clean-up failed to remove, to adopt or to judge',
  Leaked: 'Pods that the clean-up found without their Service, past their grace',
  QuotaLeft: "What is left of the namespace's ResourceQuotas",
};

/** What alarms count, by all the values that its dimension can have. */
const countedParts: Readonly<Partial<Record<MetricName, readonly string[]>>> = {
  Creates: createDeeds,
  CleanUps: ['succeeded', 'failed'],
  Removed: removeReasons,
};

/** In seconds: a get is at the low end, a create that waits at the other. */
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120];

/** What takes figures, and gives them all as Prometheus' text. */
export function createCollector() {
  const registry = new Registry();
  const taken = Object.fromEntries(
    Object.keys(metrics).map((name) => [name, collect(name as MetricName, registry)]),
  ) as Record<MetricName, Taken>;
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    take(figures: readonly Figures[]): void {
      for (const { dimension = {}, values } of figures) {
        for (const [name, value] of Object.entries(values) as [MetricName, number][]) {
          const { dimension: known }: Metric = metrics[name];
          // Of what has parts, the sum is the reader's; and the parts that follow are all that there are now.
          if (known !== undefined && dimension[known] === undefined) taken[name].forget();
          else taken[name].take(known === undefined ? {} : { [toSnake(known)]: dimension[known] ?? '' }, value);
        }
      }
    },
  };
}

function collect(name: MetricName, registry: Registry): Taken {
  const metric: Metric = metrics[name];
  const options = {
    help: help[name],
    labelNames: metric.dimension === undefined ? [] : [toSnake(metric.dimension)],
    registers: [registry],
  };
  const prefix = `sandbox_provisioner_${toSnake(name)}`;
  if (metric.unit === 'Milliseconds') {
    const histogram = new Histogram({ ...options, name: `${prefix}_seconds`, buckets });
    return { take: (labels, value) => histogram.observe(labels, value / 1000), forget() {} };
  }
  if (metric.isGauge) {
    const isShare = metric.unit === 'Percent';
    const gauge = new Gauge({ ...options, name: isShare ? `${prefix}_ratio` : prefix });
    return { take: (labels, value) => gauge.set(labels, isShare ? value / 100 : value), forget: () => gauge.reset() };
  }
  const counter = new Counter({ ...options, name: `${prefix}_total` });
  // Prometheus sees no increase in what begins at 1: the first failure of a process would go unseen.
  for (const part of countedParts[name] ?? []) counter.inc({ [toSnake(metric.dimension ?? '')]: part }, 0);
  return { take: (labels, value) => counter.inc(labels, value), forget() {} };
}

const toSnake = (name: string): string => name.replace(/(?<=[a-z])[A-Z]/g, '_$&').toLowerCase();

/** `GET /metrics`, for callers: all that was taken. */
export const serveMetrics = ({ contentType, text }: Pick<ReturnType<typeof createCollector>, 'contentType' | 'text'>) =>
  serve({ deadlineSeconds: 8 }, async () => ({
    statusCode: 200,
    headers: { 'content-type': contentType },
    body: await text(),
  }));
