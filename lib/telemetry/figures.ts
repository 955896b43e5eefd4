import { type ClosedRecord, createDeeds } from './record.ts';

/** A metric: of a gauge, the last value counts. */
export type Metric = { unit: 'Count' | 'Milliseconds' | 'Percent'; dimension?: string; isGauge?: true };

/** What is measured: its unit and, where there is one, its dimension. docs/operations.md says what each means. */
export const metrics = {
  Requests: { unit: 'Count', dimension: 'Route' },
  ServerErrors: { unit: 'Count', dimension: 'Route' },
  Errors: { unit: 'Count', dimension: 'Kind' },
  Duration: { unit: 'Milliseconds', dimension: 'Route' },
  KubernetesDuration: { unit: 'Milliseconds', dimension: 'Route' },
  ColdStarts: { unit: 'Count' },
  Creates: { unit: 'Count', dimension: 'Outcome' },
  ReadyDuration: { unit: 'Milliseconds' },
  CleanUps: { unit: 'Count', dimension: 'Outcome' },
  CleanUpDuration: { unit: 'Milliseconds' },
  Sandboxes: { unit: 'Count', dimension: 'Status', isGauge: true },
  SandboxesNotReady: { unit: 'Count', dimension: 'Reason', isGauge: true },
  Removed: { unit: 'Count', dimension: 'Reason' },
  RemovalFailures: { unit: 'Count' },
  Leaked: { unit: 'Count' },
  QuotaLeft: { unit: 'Percent', dimension: 'Resource', isGauge: true },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metrics;

/** Values of metrics that share a dimension, or have none. What has none comes before its parts. */
export type Figures = Readonly<{
  dimension?: Readonly<Record<string, string>>;
  /** They are to be counted without the dimension as well. */
  isSummed?: true;
  values: Readonly<Partial<Record<MetricName, number>>>;
}>;

/** Those of a request. Pure. */
export function measureRequest(record: ClosedRecord): Figures[] {
  const { routeKey, statusCode, durationMs, coldStart, kubernetes, error, did, readyMs } = record;
  const created = createDeeds.find((deed) => deed === did);
  return [
    {
      dimension: { Route: toRoute(routeKey) },
      isSummed: true,
      values: {
        Requests: 1,
        ServerErrors: statusCode >= 500 ? 1 : 0,
        Duration: durationMs,
        KubernetesDuration: kubernetes.ms,
      },
    },
    ...(coldStart ? [{ values: { ColdStarts: 1 } }] : []),
    ...(error ? [{ dimension: { Kind: error.kind }, isSummed: true as const, values: { Errors: 1 } }] : []),
    ...(created && error === undefined
      ? [{ dimension: { Outcome: created }, isSummed: true as const, values: { Creates: 1 } }]
      : []),
    ...(readyMs === undefined ? [] : [{ values: { ReadyDuration: readyMs } }]),
  ];
}

/** Who may invoke a function can name any route in its event. */
const toRoute = (routeKey = ''): string =>
  /^(\$default|[A-Z]{3,7} \/[\w/{}.-]{0,80})$/.test(routeKey) ? routeKey : 'other';

/** How many there are of something, by what they are. */
export type Counts = Readonly<Record<string, number>>;

/** A run of the clean-up: what it told of itself before it ended, well or not. */
export type CleanUpRun = Readonly<{
  succeeded: boolean;
  durationMs: number;
  removed?: Counts;
  failures?: number;
  leaked?: number;
  /** The sandboxes that it found, by their status, and those that are not ready by the reason. */
  census?: Readonly<{ status: Counts; reason: Counts }>;
  /** What is left of the namespace's quotas, by the resource, in percent; nothing where there is none. */
  quotaLeft?: Counts;
}>;

/** Those of a run of the clean-up. Pure. */
export function measureCleanUp(run: CleanUpRun): Figures[] {
  const { succeeded, durationMs, removed, failures, leaked, census, quotaLeft } = run;
  return [
    {
      dimension: { Outcome: succeeded ? 'succeeded' : 'failed' },
      isSummed: true,
      values: { CleanUps: 1 },
    },
    { values: { CleanUpDuration: durationMs } },
    ...(removed === undefined
      ? []
      : [{ values: { Removed: sum(removed), RemovalFailures: failures ?? 0, Leaked: leaked ?? 0 } }]),
    ...parts('Removed', 'Reason', removed),
    ...(census === undefined
      ? []
      : [{ values: { Sandboxes: sum(census.status), SandboxesNotReady: sum(census.reason) } }]),
    ...parts('Sandboxes', 'Status', census?.status),
    ...parts('SandboxesNotReady', 'Reason', census?.reason),
    ...(quotaLeft === undefined ? [] : [{ values: { QuotaLeft: Math.min(100, ...Object.values(quotaLeft)) } }]),
    ...parts('QuotaLeft', 'Resource', quotaLeft),
  ];
}

const sum = (counts: Counts): number => Object.values(counts).reduce((total, count) => total + count, 0);

const parts = (name: MetricName, dimension: string, counts: Counts = {}): Figures[] =>
  Object.entries(counts).map(([part, value]) => ({ dimension: { [dimension]: part }, values: { [name]: value } }));
