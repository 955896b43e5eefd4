/** What the alarms of a deployment are about. */
export type Watched = Readonly<{
  /** The namespace of the functions' own metrics. */
  metricsNamespace: string;
  functions: readonly WatchedFunction[];
  /** How often the clean-up runs, in seconds; undefined where its schedule does not say. */
  cleanUpEverySeconds: number | undefined;
}>;

type WatchedFunction = Readonly<{
  /** Its name as CloudFormation's logical ids begin with it. */
  id: string;
  /** Its name on Lambda. */
  lambdaName: string;
  /** The routes by which it asks Kubernetes for a caller (`GET /api/sandboxes`). */
  operations: readonly string[];
  isScheduled: boolean;
}>;

/**
 * An alarm, declared here once for CloudWatch and for Prometheus: the deployment, docs/prometheus-rules.yaml and the page follow from
 * it.
 */
export type Alarm = Readonly<{
  name: string;
  /** When it tells, as the end of a sentence. */
  when: string;
  /** What is to be looked at first, and where docs/ says more of it. */
  lookFirst: string;
  page: string;
  /** Its conditions on AWS; each becomes an alarm. */
  findConditions(watched: Watched): Condition[];
  /** The same for the server. Undefined for what there is on AWS alone. */
  prometheus?: Readonly<{ expression: string; for?: string }>;
}>;

type Condition = Readonly<{
  /** Which of several it is, as a part of its logical id, and in words. */
  part?: Readonly<{ id: string; words: string }>;
  /** What is read, by names that the formula uses. */
  measures: Readonly<Record<string, Measure>>;
  /** A formula of CloudWatch's metric math; undefined for the only measure as it is. */
  formula?: string;
  comparison: 'GreaterThanThreshold' | 'GreaterThanOrEqualToThreshold' | 'LessThanThreshold';
  threshold: number;
  /** Over how long each value is taken, and how many in a row must breach. */
  periodSeconds: number;
  periods?: number;
  /** What a period without any value means. */
  missing: 'breaching' | 'notBreaching' | 'ignore';
}>;

type Measure = Readonly<{
  namespace: string;
  metric: string;
  dimensions: Readonly<Record<string, unknown>>;
  statistic: string;
  /** Nothing was written where nothing happened. */
  orZero?: true;
}>;

/**
 * So many of something are no accident. As a least number of failures it keeps one 5xx of two requests at night from being 50 %, and
 * lets a small deployment, where few requests come at all, be told of nonetheless.
 */
const few = 5;
/** How many percent may fail: callers try again, and Kubernetes has its short pauses. */
const failedPercent = 5;
/** Long enough for a small deployment to come to `few`; a large one that fails altogether has its 5 % in the first minute of it. */
const quarterHour = 900;
const hour = 3600;
const day = 24 * hour;
/** Of fewer requests, the slowest would be the p95: one cold start. */
const enoughRequests = 20;
/** Kubernetes' own aim is a second a call, and an operation makes three in a row at most. The edges of Prometheus' buckets, too. */
const slow = { seconds: 2.5, withLooksSeconds: 5 };
/**
 * These wait where their caller asks them to (`wait_seconds`), so only their time in Kubernetes tells. In a wait of 20 s they look up to 80
 * times, which takes 1 to 3 s of a Kubernetes that is well.
 */
const waiting = ['POST /api/sandboxes', 'GET /api/sandboxes/{sandbox_id}'];
const waitingPattern = waiting.map((route) => route.replace(/[{}]/g, '[$&]')).join('|');

/** All of them, in the order of the page. */
export const alarms: readonly Alarm[] = [
  {
    name: 'ServerErrors',
    when: `at least ${few} answers in 15 minutes were 5xx, and more than ${failedPercent} % of all`,
    lookFirst:
      "the `cause` in the log's lines of level `ERROR`. If there are none, a function was ended or could not start: AWS' own lines in its log say so",
    page: 'troubleshooting.md#why-kubernetes-did-not-do-it',
    // API Gateway counts what the functions cannot: those of them that were ended, or turned away.
    findConditions: (watched) => [
      {
        ...shareOfRequests('errors'),
        measures: { errors: gateway('5xx'), requests: { ...own(watched, 'Requests', 'Sum'), orZero: true } },
      },
    ],
    prometheus: {
      expression: `sum by (job) (increase(sandbox_provisioner_server_errors_total[15m])) >= ${few}
and
sum by (job) (increase(sandbox_provisioner_server_errors_total[15m]))
  / sum by (job) (increase(sandbox_provisioner_requests_total[15m])) > ${failedPercent / 100}`,
    },
  },
  {
    name: 'SlowOperation',
    when: `of at least ${enoughRequests} requests of an operation in 15 minutes, one in twenty took longer than ${slow.seconds} s; of those that can wait for a sandbox, longer than ${slow.withLooksSeconds} s in Kubernetes alone`,
    lookFirst: '`kubernetesMs` beside `durationMs` in the log. Mostly Kubernetes is slow, or the way to it',
    page: 'operations.md#the-log',
    findConditions: (watched) =>
      watched.functions.flatMap(({ id, operations }) =>
        operations.map((Route, index): Condition => {
          const isWaiting = waiting.includes(Route);
          const metric = isWaiting ? 'KubernetesDuration' : 'Duration';
          return {
            part: { id: index === 0 ? id : `${id}${index}`, words: `\`${Route}\`` },
            measures: {
              p95: own(watched, metric, 'p95', { Route }),
              requests: { ...own(watched, metric, 'SampleCount', { Route }), orZero: true },
            },
            formula: `IF(requests >= ${enoughRequests}, p95, 0)`,
            comparison: 'GreaterThanThreshold',
            threshold: (isWaiting ? slow.withLooksSeconds : slow.seconds) * 1000,
            periodSeconds: quarterHour,
            missing: 'notBreaching',
          };
        }),
      ),
    prometheus: {
      expression: `(
  histogram_quantile(0.95, sum by (job, route, le) (rate(sandbox_provisioner_duration_seconds_bucket{route!~"${waitingPattern}"}[15m]))) > ${slow.seconds}
  or
  histogram_quantile(0.95, sum by (job, route, le) (rate(sandbox_provisioner_kubernetes_duration_seconds_bucket{route=~"${waitingPattern}"}[15m]))) > ${slow.withLooksSeconds}
)
and
sum by (job, route) (increase(sandbox_provisioner_duration_seconds_count[15m])) >= ${enoughRequests}`,
    },
  },
  {
    name: 'Throttles',
    when: `Lambda turned away at least ${few} calls of a function in 15 minutes`,
    lookFirst:
      'how many functions the account runs at once and may run: a new account may run 10, of all that it has. Ask AWS for more',
    page: 'aws.md#more',
    findConditions: ({ functions }) =>
      functions.map(({ id, lambdaName }) => ({
        part: { id, words: lambdaName },
        measures: { throttles: { ...ofFunction(id, 'Throttles'), orZero: true } },
        comparison: 'GreaterThanOrEqualToThreshold',
        threshold: few,
        periodSeconds: quarterHour,
        missing: 'notBreaching',
      })),
  },
  {
    name: 'GatewayRefusals',
    when: `API Gateway itself refused at least ${few} requests in 15 minutes, and more than ${failedPercent} % of all`,
    lookFirst:
      '`API_THROTTLE_RATE` and `API_THROTTLE_BURST`, which may be too small. With `JWT_ISSUER`, it may have refused tokens',
    page: 'aws.md#more',
    // It has no metric for what it throttles: it is what the gateway counts as 4xx, and no function answered.
    findConditions: (watched) => [
      {
        ...shareOfRequests('all4xx - (answered - answered5xx)'),
        measures: {
          all4xx: gateway('4xx'),
          answered: { ...own(watched, 'Errors', 'Sum'), orZero: true },
          answered5xx: { ...own(watched, 'ServerErrors', 'Sum'), orZero: true },
          requests: gateway('Count'),
        },
      },
    ],
  },
  {
    name: 'CleanUpMissing',
    when: 'no clean-up has succeeded in the time that three take to come, 15 minutes at least',
    lookFirst:
      "the clean-up's log. If there is nothing in it, its schedule's rule is disabled, or the server does not run",
    page: 'troubleshooting.md#the-log-and-the-clean-up',
    findConditions: (watched) => {
      const seconds = findLookBack(watched);
      // A period is a day at most.
      const periods = Math.ceil(seconds / day);
      return [
        {
          measures: { succeeded: { ...own(watched, 'CleanUps', 'Sum', { Outcome: 'succeeded' }), orZero: true } },
          comparison: 'LessThanThreshold',
          threshold: 1,
          periodSeconds: Math.ceil(seconds / periods / 60) * 60,
          periods,
          // What does not run writes nothing.
          missing: 'breaching',
        },
      ];
    },
    prometheus: {
      // Of a server that has gone, there is nothing to count. One that has just begun cleans up after 5 minutes.
      expression: `absent(sandbox_provisioner_clean_ups_total{outcome="succeeded"})
or
sum by (job) (increase(sandbox_provisioner_clean_ups_total{outcome="succeeded"}[5m])) == 0`,
      for: '10m',
    },
  },
  {
    name: 'CleanUpFailed',
    when: 'a clean-up failed, or could not do all of its work',
    lookFirst: "the clean-up's log: `Cleaned up, but not everything`, or what it failed with",
    page: 'troubleshooting.md#the-log-and-the-clean-up',
    // Lambda counts those that were ended, too.
    findConditions: ({ functions }) =>
      functions
        .filter(({ isScheduled }) => isScheduled)
        .map(({ id }) => ({
          measures: { errors: ofFunction(id, 'Errors') },
          comparison: 'GreaterThanOrEqualToThreshold',
          threshold: 1,
          periodSeconds: 300,
          // It need not run in every period.
          missing: 'notBreaching',
        })),
    prometheus: {
      expression: 'sum by (job) (increase(sandbox_provisioner_clean_ups_total{outcome="failed"}[5m])) > 0',
    },
  },
  {
    name: 'SandboxesNotReady',
    when: `in each clean-up of 15 minutes at least ${few} sandboxes were not ready, and more than 20 % of all`,
    lookFirst: 'why they are not: `SandboxesNotReady` by its reason, on the dashboard',
    page: 'troubleshooting.md#why-a-sandbox-is-not-ready',
    // Some that are just starting are always among many. Where the clean-up stops, nobody knows: CleanUpMissing tells of that.
    findConditions: (watched) => [
      {
        measures: {
          notReady: own(watched, 'SandboxesNotReady', 'Minimum'),
          all: own(watched, 'Sandboxes', 'Maximum'),
        },
        formula: `IF(notReady >= ${few}, 100 * notReady / all, 0)`,
        comparison: 'GreaterThanThreshold',
        threshold: 20,
        periodSeconds: Math.min(findLookBack(watched), day),
        missing: 'ignore',
      },
    ],
    prometheus: {
      expression: `max by (job) (sum by (job, instance) (sandbox_provisioner_sandboxes_not_ready)) >= ${few}
and
max by (job) (sum by (job, instance) (sandbox_provisioner_sandboxes_not_ready))
  / max by (job) (sum by (job, instance) (sandbox_provisioner_sandboxes)) > 0.2`,
      for: '15m',
    },
  },
  {
    name: 'SandboxesNeverRan',
    when: `in an hour the clean-up removed sandboxes that never got to run, more than ${failedPercent} of 100 that were created`,
    lookFirst:
      'the `reason` of a new sandbox: create one as your backend does, and look at it until it has run or failed',
    page: 'troubleshooting.md#why-a-sandbox-is-not-ready',
    findConditions: (watched) => [
      {
        measures: {
          neverRan: { ...own(watched, 'Removed', 'Sum', { Reason: 'never-ran' }), orZero: true },
          created: { ...own(watched, 'Creates', 'Sum', { Outcome: 'created' }), orZero: true },
        },
        formula: `IF(neverRan > ${failedPercent / 100} * created, neverRan, 0)`,
        comparison: 'GreaterThanOrEqualToThreshold',
        threshold: 1,
        periodSeconds: findLongLookBack(watched),
        missing: 'notBreaching',
      },
    ],
    prometheus: {
      // `unless`, because where none was created there may be nothing to compare with.
      expression: `sum by (job) (increase(sandbox_provisioner_removed_total{reason="never-ran"}[1h])) > 0
unless
sum by (job) (increase(sandbox_provisioner_removed_total{reason="never-ran"}[1h]))
  <= ${failedPercent / 100} * sum by (job) (increase(sandbox_provisioner_creates_total{outcome="created"}[1h]))`,
    },
  },
  {
    name: 'Leaks',
    when: `in an hour the clean-up found at least ${few} Pods without their Service, or the same ones again and again`,
    lookFirst:
      "who deletes Services past the API, and whether Kubernetes' garbage collector runs. A Pod that comes back is on a node that does not report: `kubectl get nodes`",
    page: 'lifecycle.md#the-clean-up',
    // One that is found is removed with it. One that cannot be is found by every run.
    findConditions: (watched) => [
      {
        measures: { leaked: { ...own(watched, 'Leaked', 'Sum'), orZero: true } },
        comparison: 'GreaterThanOrEqualToThreshold',
        threshold: few,
        periodSeconds: findLongLookBack(watched),
        missing: 'notBreaching',
      },
    ],
    prometheus: {
      expression: `sum by (job) (increase(sandbox_provisioner_leaked_total[1h])) >= ${few}`,
    },
  },
  {
    name: 'QuotaLow',
    when: "less than 10 % is left of one of the namespace's ResourceQuotas",
    lookFirst:
      'which resource it is: `kubectl -n deer-flow describe resourcequota`. Then raise it, or let sandboxes end sooner',
    page: 'lifecycle.md#expiry',
    findConditions: (watched) => [
      {
        measures: { left: own(watched, 'QuotaLeft', 'Minimum') },
        comparison: 'LessThanThreshold',
        threshold: 10,
        periodSeconds: Math.min(findLookBack(watched), day),
        // There need not be a quota.
        missing: 'notBreaching',
      },
    ],
    prometheus: { expression: 'min by (job) (sandbox_provisioner_quota_left_ratio) < 0.1' },
  },
];

/** Three runs of the clean-up, 15 minutes at least and a week at most: CloudWatch looks no further back. In seconds. */
const findLookBack = ({ cleanUpEverySeconds = day / 3 }: Watched): number =>
  Math.min(Math.max(3 * cleanUpEverySeconds, quarterHour), 7 * day);

/** The same, and an hour at least, a day at most. */
const findLongLookBack = (watched: Watched): number => Math.min(Math.max(findLookBack(watched), hour), day);

/** Tells where this number is not just a few, and more than its share of the requests. */
const shareOfRequests = (number: string) =>
  ({
    formula: `IF((${number}) >= ${few} AND (${number}) > ${failedPercent / 100} * requests, ${number}, 0)`,
    comparison: 'GreaterThanOrEqualToThreshold',
    threshold: few,
    periodSeconds: quarterHour,
    missing: 'notBreaching',
  }) as const;

const own = (
  { metricsNamespace }: Watched,
  metric: string,
  statistic: string,
  dimension: Readonly<Record<string, string>> = {},
): Measure => ({
  namespace: metricsNamespace,
  metric,
  dimensions: { service: 'sandbox-provisioner', ...dimension },
  statistic,
});

const gateway = (metric: string): Measure => ({
  namespace: 'AWS/ApiGateway',
  metric,
  dimensions: { ApiId: { Ref: 'HttpApi' } },
  statistic: 'Sum',
  orZero: true,
});

const ofFunction = (id: string, metric: string): Measure => ({
  namespace: 'AWS/Lambda',
  metric,
  dimensions: { FunctionName: { Ref: `${id}LambdaFunction` } },
  statistic: 'Sum',
});

type Resources = Record<string, { Type: string; Properties: Record<string, unknown> }>;

/** The alarms of a deployment, by their logical ids. Each tells the topic when it begins and when it is over. Pure. */
export function planAlarms(watched: Watched, topicArn: string): Resources {
  return Object.fromEntries(
    alarms.flatMap((alarm) =>
      alarm.findConditions(watched).map((condition) => [
        `${alarm.name}${condition.part?.id ?? ''}Alarm`,
        {
          Type: 'AWS::CloudWatch::Alarm',
          Properties: {
            AlarmDescription: describe(alarm, condition.part?.words),
            Metrics: buildQueries(condition),
            ComparisonOperator: condition.comparison,
            Threshold: condition.threshold,
            EvaluationPeriods: condition.periods ?? 1,
            TreatMissingData: condition.missing,
            AlarmActions: [topicArn],
            OKActions: [topicArn],
          },
        },
      ]),
    ),
  );
}

/** What is said to whom an alarm wakes: what it is, what to look at first, and the page for it. Markdown, of one line. */
export function describe({ name, when, lookFirst, page }: Alarm, part?: string): string {
  const subject = part === undefined ? name : `${name} (${part})`;
  return `${subject}: ${when}. Look first at ${lookFirst}. More: docs/${page}`;
}

/** What CloudWatch calculates. The last one is what the alarm looks at. */
function buildQueries({ measures, formula, periodSeconds }: Condition): object[] {
  const queries = Object.entries(measures).flatMap(([name, { namespace, metric, dimensions, statistic, orZero }]) => {
    const Id = orZero ? `${name}Read` : name;
    const read = {
      Id,
      MetricStat: {
        Metric: {
          Namespace: namespace,
          MetricName: metric,
          Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })),
        },
        Period: periodSeconds,
        Stat: statistic,
      },
    };
    return orZero ? [read, { Id: name, Expression: `FILL(${Id}, 0)` }] : [read];
  });
  const all = formula === undefined ? queries : [...queries, { Id: 'value', Expression: formula }];
  return all.map((query, index) => ({ ...query, ReturnData: index === all.length - 1 }));
}
