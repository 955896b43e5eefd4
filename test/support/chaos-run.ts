import { setTimeout as wait } from 'node:timers/promises';
import { cleanUpSandboxes } from '../../lib/cleanup.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { createSandbox, destroySandbox, getSandbox, listSandboxes, renewSandbox } from '../../lib/sandboxes.ts';
import { type Lane, openLane } from './chaos-lane.ts';
import {
  type Answer,
  belongs,
  checkRound,
  foretellCleanUp,
  type Rules,
  type Seen,
  type Snapshot,
  seeSandboxes,
  type Taken,
} from './chaos-model.ts';
import {
  type Action,
  createRandom,
  fiberCount,
  type Round,
  type Step,
  sandboxIds,
  scriptRound,
  threadIds,
  times,
} from './chaos-script.ts';
import { makeNamespace, type TestCluster } from './cluster.ts';
import { type KubernetesObject, openKubernetesClient } from './kubernetes-client.ts';
import { originalPod, originalService } from './original.ts';

/** What a run did; `kinds` says how often what was answered how. */
export type ChaosReport = {
  steps: number;
  rounds: number;
  faults: number;
  settled: number;
  kinds: Record<string, number>;
};

/** Longer than any run: what has ended is kept. */
const never = 999_999_999;

/** After how many steps the faults stop, and all is compared. */
const settleEverySteps = 100;

/** How many rounds a failure shows. */
const shownRounds = 8;

/**
 * Does so many steps of the seed's script to the cluster and compares all along what is answered, and what is there, with
 * what must be. Now and then the faults stop, the grace for orphans passes, one clean-up runs, and what is there must be
 * exactly what is left to live. Throws with the last rounds when something is wrong.
 *
 * The seed decides what is done and which calls fail how. How operations that run side by side interleave is up to the
 * cluster, so a failure may take a few replays to come back.
 */
export async function runChaos(cluster: TestCluster, seed: number, steps: number): Promise<ChaosReport> {
  const { kubernetes } = cluster;
  const settings = {
    ...cluster.settings,
    K8S_NAMESPACE: cluster.namespace,
    SANDBOX_TTL_SECONDS: String(times.defaultTtl),
    SANDBOX_ORPHAN_GRACE_SECONDS: String(times.orphanGrace),
    // These go by the cluster's clock, which does not jump with ours: what has ended is kept for ever, or not at all.
    SANDBOX_FAILED_RETENTION_SECONDS: String(createRandom(`${seed} settings`).chance(0.5) ? 0 : never),
    SANDBOX_PENDING_TIMEOUT_SECONDS: String(never),
  };
  const lanes = await Promise.all(Array.from({ length: fiberCount }, () => openLane(cluster, settings, seed)));
  const rules: Rules & { failedByHand: Set<string> } = {
    failedRetentionSeconds: Number(settings.SANDBOX_FAILED_RETENTION_SECONDS),
    keepsPhase: !(await hasNode(cluster)),
    failedByHand: new Set(),
    threadOfService: new Map(),
  };
  const report: ChaosReport = { steps: 0, rounds: 0, faults: 0, settled: 0, kinds: {} };
  const trace: string[][] = [];
  let clock = Date.now();
  let settleCalls = 0;

  async function look(): Promise<Snapshot> {
    const services = await kubernetes.list('services');
    return seeSandboxes(services, await kubernetes.list('pods'));
  }

  async function take(step: Step, lane: Lane): Promise<Taken> {
    await wait(step.waitMs);
    const timeOut = new AbortController();
    const startedAt = performance.now();
    const started = clock;
    const requestId = `${seed}-${step.number}`;
    lane.begin(step, () => timeOut.abort());
    const answer = await act(step.action, lane, requestId, timeOut.signal);
    const answeredAt = performance.now();
    const faults = await lane.end();
    const { number, action } = step;
    const quietAt = performance.now();
    return { step: number, action, requestId, clock: started, startedAt, answeredAt, quietAt, answer, faults };
  }

  async function act(action: Action, lane: Lane, requestId: string, signal: AbortSignal): Promise<Answer> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(20_000)]);
    const operation = { ...lane, signal: deadline, now: () => new Date(clock), requestId };
    try {
      switch (action.kind) {
        case 'create': {
          const { id, threadId, ttlSeconds } = action;
          return { view: await createSandbox({ sandboxId: id, threadId, ttlSeconds }, operation) };
        }
        case 'get':
          return { view: await getSandbox(action.id, operation) };
        case 'renew':
          return { view: await renewSandbox(action.id, action.ttlSeconds, operation) };
        case 'list':
          return { views: await listSandboxes(operation) };
        case 'destroy':
          await destroySandbox(action.id, operation);
          return { done: true };
        case 'clean-up': {
          const { failed } = await cleanUpSandboxes({ ...operation, stop: deadline });
          return { failedCleanUps: Object.values(failed).reduce((sum, number) => sum + number, 0) };
        }
        case 'kill':
          await kubernetes.remove('pods', `sandbox-${action.id}`, 0);
          return { done: true };
        case 'fail':
          await declareFailed(action.id);
          return { done: true };
        case 'tick':
          clock += times.tick * 1000;
          return { done: true };
      }
    } catch (error) {
      if (!(error instanceof ProvisionerError)) throw error;
      return { error: error.outcome, detail: error.message };
    }
  }

  async function declareFailed(id: string): Promise<void> {
    const pod = await kubernetes.find('pods', `sandbox-${id}`);
    if (pod === undefined) return;
    rules.failedByHand.add(pod.metadata.uid);
    const { status } = await kubernetes.request(
      'PATCH',
      `/api/v1/namespaces/${cluster.namespace}/pods/sandbox-${id}/status`,
      { metadata: { uid: pod.metadata.uid }, status: { phase: 'Failed' } },
    );
    // It may be another one by now, or none.
    if (status >= 300 && ![404, 409, 422].includes(status))
      throw new Error(`could not declare a Pod Failed: ${status}`);
  }

  /** What the original provisioner made, or what is left of it. */
  async function plantOriginal({ original }: Round, before: Snapshot): Promise<void> {
    if (original === undefined) return;
    const { id, threadId, parts } = original;
    const seen = before.get(id) as Seen;
    if (seen.service !== undefined || seen.pod !== undefined) return;
    const names = { sandboxId: id, threadId };
    if (parts !== 'pod') await kubernetes.create('services', originalService(names));
    if (parts !== 'service') await kubernetes.create('pods', originalPod(names, cluster.settings));
  }

  async function playRound(round: Round, before: Snapshot): Promise<Snapshot> {
    clock += round.jumpSeconds * 1000;
    await plantOriginal(round, before);
    const start = round.original === undefined ? before : await look();
    const startedAt = performance.now();
    const taken: Taken[] = [];
    await Promise.all(
      round.fibers.map(async (steps, index) => {
        for (const step of steps) taken.push(await take(step, lanes[index] as Lane));
      }),
    );
    const after = await look();
    for (const { action, answer, faults } of taken) {
      const kind = `${action.kind} ${'error' in answer ? answer.error : 'ok'}`;
      report.kinds[kind] = (report.kinds[kind] ?? 0) + 1;
      report.faults += faults.length;
    }
    report.steps += taken.length;
    report.rounds += 1;
    const { number, jumpSeconds, original } = round;
    const planted = original && `, the original leaves ${original.parts} of ${original.id} for ${original.threadId}`;
    note(
      `round ${number}: ${jumpSeconds} s later${planted ?? ''}`,
      ...describeSnapshot('before', start, clock),
      ...taken.sort((one, other) => one.startedAt - other.startedAt).map((one) => describeTaken(one, startedAt)),
      ...describeSnapshot('after', after, clock),
    );
    fail(checkRound(start, taken, after, clock, rules));
    return after;
  }

  function note(...lines: string[]): void {
    trace.push(lines);
    if (trace.length > shownRounds) trace.shift();
  }

  function fail(wrong: readonly string[]): void {
    if (wrong.length === 0) return;
    const head = `${wrong.join('\n')}\nafter ${report.steps} steps of seed ${seed}; replay with`;
    const replay = `CHAOS_SEED=${seed} CHAOS_STEPS=${Math.max(steps, report.steps)}`;
    const ids = sandboxIds.filter((id) => wrong.some((text) => text.startsWith(id)));
    const isShown = (line: string) =>
      ids.length === 0 || !sandboxIds.some((id) => line.includes(id)) || ids.some((id) => line.includes(id));
    const shown = trace.map((lines) => lines.filter(isShown).join('\n'));
    throw new Error(`${head} ${replay} npm test -- chaos\n\n${shown.join('\n')}`);
  }

  /** One call of the product with no fault anywhere. */
  async function callUntroubled(action: Action): Promise<Answer> {
    const [lane] = lanes as [Lane];
    lane.beginUntroubled();
    return act(action, lane, `${seed}-settle-${++settleCalls}`, AbortSignal.timeout(20_000));
  }

  /** Runs a clean-up and compares what it leaves with what was foretold; Kubernetes' garbage collector may take its time. */
  async function expectExactCleanUp(before: Snapshot): Promise<Snapshot> {
    const answer = await callUntroubled({ kind: 'clean-up' });
    const compare = (after: Snapshot) =>
      sandboxIds.flatMap((id) => {
        const [old, seen] = [before.get(id) as Seen, after.get(id) as Seen];
        const verdict = foretellCleanUp(old, clock, rules);
        if (verdict === 'either') return [];
        const objects = [
          ['Service', old.service?.uid, seen.service?.uid],
          ['Pod', ...[old.pod, seen.pod].map((pod) => (pod?.isTerminating ? undefined : pod?.uid))],
        ] as const;
        const isDangling = old.service !== undefined && !belongs(old.pod, old.service);
        return objects.flatMap(([kind, was, is]) => {
          const kept = verdict === 'keep' && !(kind === 'Pod' && isDangling) ? was : undefined;
          return is === kept ? [] : [`${id}: its ${kind} is ${is ?? 'gone'} after a clean-up, not ${kept ?? 'gone'}`];
        });
      });
    let after = await look();
    // A Pod whose Service is gone is not the clean-up's alone; and Kubernetes takes a moment to see that it is.
    for (let attempt = 0; compare(after).length > 0 && attempt < 40; attempt += 1) {
      await wait(attempt * 25);
      after = await look();
    }
    note('a clean-up', ...describeSnapshot('before', before, clock), ...describeSnapshot('after', after, clock));
    fail([...compare(after), ...('failedCleanUps' in answer && answer.failedCleanUps === 0 ? [] : ['it failed'])]);
    return after;
  }

  /** The faults have stopped: time passes, one clean-up runs, and what is left must be whole and answer. */
  async function settle(before: Snapshot): Promise<Snapshot> {
    // The first only stamps what the original provisioner left; for all others it is one of many.
    await expectExactCleanUp(before);
    clock += (times.orphanGrace + 1) * 1000;
    const left = await expectExactCleanUp(await look());
    const live = sandboxIds.filter((id) => left.get(id)?.service !== undefined);
    const wrong: string[] = [];
    const listed = await callUntroubled({ kind: 'list' });
    const listedIds = 'views' in listed ? listed.views.map((view) => view.sandbox_id).sort() : listed;
    if (JSON.stringify(listedIds) !== JSON.stringify(live)) wrong.push(`lists ${listedIds}, and ${live} live`);
    for (const id of sandboxIds) {
      const { service, pod } = left.get(id) as Seen;
      const found = await callUntroubled({ kind: 'get', id });
      if (service === undefined) {
        if (pod !== undefined && !pod.isTerminating) wrong.push(`${id}: there is a Pod without a Service`);
        if (!('error' in found && found.error === 'not-found')) wrong.push(`${id}: is gone, and found`);
        continue;
      }
      if (!belongs(pod, service)) wrong.push(`${id}: there is a Service without a Pod`);
      if (!('view' in found) || !isAt(found.view, service.nodePort)) wrong.push(`${id}: lives, and is not found`);
      const owner = service.threadId ?? pod?.threadId ?? threadIds[0];
      for (const threadId of threadIds) {
        const answer = await callUntroubled({ kind: 'create', id, threadId, ttlSeconds: undefined });
        const isWanted =
          threadId === owner
            ? 'view' in answer && isAt(answer.view, service.nodePort)
            : 'error' in answer && answer.error === 'conflict';
        if (!isWanted) wrong.push(`${id}: is ${owner}'s, and a create of ${threadId} gets ${JSON.stringify(answer)}`);
      }
    }
    report.settled += 1;
    fail(wrong);
    return look();
  }

  try {
    const checkStrangers = await plantStrangers(cluster);
    let seen = await look();
    for (let round = 1, settledAt = 0; report.steps < steps; round += 1) {
      seen = await playRound(scriptRound(seed, round, report.steps), seen);
      if (report.steps - settledAt < settleEverySteps && report.steps < steps) continue;
      settledAt = report.steps;
      seen = await settle(seen);
      fail(await checkStrangers());
    }
    return report;
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
  }
}

const isAt = (view: { sandbox_url: string }, nodePort: number) => new URL(view.sandbox_url).port === String(nodePort);

async function hasNode(cluster: TestCluster): Promise<boolean> {
  if (cluster.isEmbedded) return false;
  const { body } = await cluster.kubernetes.request('GET', '/api/v1/nodes');
  return (body.items as unknown[]).length > 0;
}

/**
 * Objects that are none of the product's business: without the label, with the label but another name, and with a sandbox's
 * name and label in another namespace. Gives what tells which of them are not as they were.
 */
async function plantStrangers(cluster: TestCluster): Promise<() => Promise<string[]>> {
  const names = { sandboxId: 'c0', threadId: 'thread-a' };
  const service = originalService(names) as KubernetesObject;
  const pod = originalPod(names, cluster.settings) as KubernetesObject;
  const renamed = (object: KubernetesObject, name: string, labels: Record<string, string> = {}) => ({
    ...object,
    metadata: { name, labels: { 'sandbox-id': 'stranger', ...labels } },
    // Only what has a NodePort is listed.
    ...(object === service && {
      spec: { ports: [{ name: 'http', port: 8080 }], selector: { 'sandbox-id': 'stranger' } },
    }),
  });
  const here = cluster.kubernetes;
  const elsewhere = openKubernetesClient(cluster.address, `${cluster.namespace}b`);
  const label = { app: 'deer-flow-sandbox' };
  const strangers = [
    [here, 'services', renamed(service, 'sandbox-stranger-svc')],
    [here, 'pods', renamed(pod, 'sandbox-stranger')],
    [here, 'services', renamed(service, 'stranger', label)],
    [here, 'pods', renamed(pod, 'stranger', label)],
    [elsewhere, 'services', service],
    [elsewhere, 'pods', pod],
  ] as const;
  for (const client of [here, elsewhere]) {
    await makeNamespace(client);
  }
  const planted = await Promise.all(
    strangers.map(async ([client, resource, object]) => ({
      name: `${resource} ${(object as KubernetesObject).metadata.name}`,
      read: () => client.find(resource, (object as KubernetesObject).metadata.name),
      ...(await client.create(resource, object)),
    })),
  );
  // A Pod's status is its node's.
  const comparable = ({ metadata, spec }: KubernetesObject) =>
    JSON.stringify([metadata.uid, metadata.labels, metadata.annotations, metadata.deletionTimestamp, spec.selector]);
  return async () => {
    const found = await Promise.all(planted.map(async (one) => ({ one, now: await one.read() })));
    return found
      .filter(({ one, now }) => now === undefined || comparable(now) !== comparable(one))
      .map(({ one }) => `${one.name} is nobody's business, and was touched`);
  };
}

function describeTaken(taken: Taken, roundStartedAt: number): string {
  const { step, action, answer, faults } = taken;
  const { kind, ...details } = action;
  const at = [taken.startedAt, taken.answeredAt, taken.quietAt].map((time) => (time - roundStartedAt).toFixed(0));
  const what = [kind, ...Object.values(details).filter((value) => value !== undefined)].join(' ');
  const shown = 'views' in answer ? answer.views.map((view) => view.sandbox_id) : Object.values(answer).slice(0, 2);
  const said = JSON.stringify(shown);
  return `  #${step} ${at.join('-')} ms ${what} → ${said}${faults.map((fault) => `\n      ${fault}`).join('')}`;
}

function describeSnapshot(when: string, snapshot: Snapshot, clock: number): string[] {
  const ago = (time: number | undefined) =>
    time === undefined ? 'never' : `${Math.round((clock - time) / 1000)} s ago`;
  const short = (uid: string) => uid.slice(0, 8);
  return [...snapshot].flatMap(([id, { service, pod }]) => {
    if (service === undefined && pod === undefined) return [];
    const one = service
      ? `${short(service.uid)}:${service.nodePort} of ${service.threadId}, used ${ago(service.lastUsedAt)} by ${service.lastUsedBy}, ttl ${service.ttlSeconds}`
      : 'no Service';
    const other = pod
      ? `Pod ${short(pod.uid)} of ${pod.threadId}, ${pod.phase}${pod.isTerminating ? ', terminating' : ''}, owned by ${pod.owners.map(short).join() || 'none'}, used ${ago(pod.lastUsedAt)}`
      : 'no Pod';
    return [`  ${when} ${id}: ${one}; ${other}`];
  });
}
