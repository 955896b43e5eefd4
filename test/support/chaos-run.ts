import { setTimeout as wait } from 'node:timers/promises';
import { type CleanupReport, cleanUpSandboxes } from '../../lib/cleanup/sweep.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { createSandbox } from '../../lib/sandboxes/create.ts';
import { destroySandbox } from '../../lib/sandboxes/destroy.ts';
import { getSandbox } from '../../lib/sandboxes/get.ts';
import { listSandboxes } from '../../lib/sandboxes/list.ts';
import { renewSandbox } from '../../lib/sandboxes/renew.ts';
import { createChaosClock } from './chaos-clock.ts';
import { type Lane, openLane } from './chaos-lane.ts';
import {
  type Answer,
  belongs,
  checkRound,
  foretellCleanUp,
  isStranded,
  type Rules,
  type Seen,
  type Snapshot,
  seeSandboxes,
  type Taken,
} from './chaos-model.ts';
import {
  type Action,
  fiberCount,
  type Given,
  type Hold,
  type Round,
  type Step,
  sandboxIds,
  scriptRound,
  threadIds,
  times,
} from './chaos-script.ts';
import type { TestCluster } from './cluster.ts';
import { originalPod, originalService } from './original.ts';

type Counts = Record<string, number>;

/** What a run did. */
export type ChaosReport = {
  steps: number;
  rounds: number;
  /** How often the faults stopped, and all was compared. */
  settled: number;
  /** Calls to Kubernetes, and what was done to them, by kind. */
  calls: number;
  faults: Counts;
  /** How often what was answered how. */
  kinds: Counts;
  /** What all clean-ups together did, by reason. */
  deleted: Counts;
  kept: Counts;
  adopted: number;
};

/** After how many steps the faults stop, and all is compared. */
const settleEverySteps = 100;

/** How many rounds a failure shows. */
const shownRounds = 8;

/** How long a call may be held at most, and how long another sequence waits for that, in milliseconds. */
const heldMs = 400;

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
  const clock = createChaosClock();
  const settings = {
    ...cluster.settings,
    K8S_NAMESPACE: cluster.namespace,
    SANDBOX_TTL_SECONDS: String(times.defaultTtl),
    SANDBOX_ORPHAN_GRACE_SECONDS: String(times.orphanGrace),
    SANDBOX_FAILED_RETENTION_SECONDS: String(times.failedRetention),
    SANDBOX_PENDING_TIMEOUT_SECONDS: String(times.pendingTimeout),
    SANDBOX_MAX_LIFETIME_SECONDS: String(times.maxLifetime),
  };
  const lanes = await Promise.all(Array.from({ length: fiberCount }, () => openLane(cluster, clock, settings, seed)));
  const rules: Rules & { endedAt: Map<string, number> } = {
    keepsPhase: !(await hasNode(cluster)),
    endedAt: new Map(),
    threadOfService: new Map(),
  };
  const report: ChaosReport = {
    ...{ steps: 0, rounds: 0, settled: 0, calls: 0, adopted: 0 },
    ...{ faults: {}, kinds: {}, deleted: {}, kept: {} },
  };
  /** Pods that were sent back to `Pending`, by UID. */
  const hung = new Set<string>();
  const trace: string[][] = [];
  let settleCalls = 0;

  async function look(): Promise<Snapshot> {
    const services = await kubernetes.list('services');
    return seeSandboxes(services, await kubernetes.list('pods'), clock);
  }

  /** Once no Pod is about to run by itself. */
  async function lookAtRest(): Promise<Snapshot> {
    for (;;) {
      const seen = await look();
      const isStarting = [...seen.values()].some(
        ({ pod }) => pod?.phase === 'Pending' && !pod.isTerminating && !hung.has(pod.uid),
      );
      if (!isStarting || !cluster.isEmbedded) return seen;
      await wait(50);
    }
  }

  /** A sequence of a round: through, or held, and then maybe until all others are through. */
  type Fiber = { isDone: boolean; answers: number; held: Hold['until'] | undefined };
  let fibers: Fiber[] = [];

  const soon = async (isSo: () => boolean): Promise<void> => {
    for (const end = performance.now() + heldMs; !isSo() && performance.now() < end; ) await wait(1);
  };

  async function untilReleased(fiber: Fiber, until: Hold['until']): Promise<void> {
    const others = fibers.filter((other) => other !== fiber);
    const sum = () => others.reduce((total, { answers }) => total + answers, 0);
    const first = sum();
    const areThrough = () => others.every(({ isDone, held }) => isDone || held === 'all');
    fiber.held = until;
    await soon(
      {
        all: areThrough,
        one: () => areThrough() || sum() > first,
        held: () => others.some(({ held }) => held === 'all'),
      }[until],
    );
    fiber.held = undefined;
  }

  /** What is under way and has little time: much time passes only when there is nothing. */
  let underWay = 0;
  let passing: Promise<void> | undefined;

  async function within<T>(kind: Action['kind'], work: () => Promise<T>): Promise<T> {
    if (kind === 'clean-up') return work();
    while (passing !== undefined) await passing;
    if (kind !== 'pass') {
      underWay += 1;
      return work().finally(() => {
        underWay -= 1;
      });
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    passing = promise;
    while (underWay > 0) await wait(1);
    return work().finally(() => {
      passing = undefined;
      resolve();
    });
  }

  async function take(step: Step, lane: Lane, fiber: Fiber): Promise<Taken> {
    if (step.after === 'held') {
      const others = fibers.filter((other) => other !== fiber);
      await soon(() => others.some(({ held, isDone }) => held !== undefined || (isDone && others.length === 1)));
    } else {
      await wait(step.after);
    }
    const { number, action } = step;
    return within(action.kind, async () => {
      const timeOut = new AbortController();
      const startedAt = performance.now();
      const startClock = clock.now();
      const requestId = `${seed}-${number}`;
      lane.begin(
        step,
        () => timeOut.abort(),
        (until) => untilReleased(fiber, until),
      );
      const answer = await act(action, lane, requestId, timeOut.signal);
      const answeredAt = performance.now();
      const clockAfter = clock.now();
      fiber.answers += 1;
      const { calls, faults } = await lane.end();
      const quietAt = performance.now();
      const when = { clock: startClock, clockAfter, startedAt, answeredAt, quietAt };
      return { step: number, action, requestId, ...when, answer, calls, faults };
    });
  }

  async function act(action: Action, lane: Lane, requestId: string, signal: AbortSignal): Promise<Answer> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(20_000)]);
    const operation = { ...lane, signal: deadline, now: () => new Date(clock.now()), requestId };
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
          // One after the other, what is removed last was judged long ago.
          const width = lanes.indexOf(lane) % 2 === 0 ? 10 : 1;
          const cleaned = await cleanUpSandboxes({ ...operation, stop: deadline, width });
          countCleanUp(cleaned);
          return { report: cleaned };
        }
        case 'kill':
        case 'fail':
        case 'evict':
        case 'hang':
          await harmPod(action.id, action.kind);
          return { done: true };
        case 'tick':
          clock.goOn(times.tick);
          return { done: true };
        case 'pass':
          clock.goOn(action.seconds);
          return { done: true };
      }
    } catch (error) {
      if (error instanceof ProvisionerError) return { error: error.kind, detail: error.message };
      return { error: 'unexpected', detail: (error as Error).stack ?? String(error) };
    }
  }

  function countCleanUp({ deleted, kept, adopted }: CleanupReport): void {
    for (const [reason, number] of Object.entries(deleted)) count(report.deleted, reason, number);
    for (const [reason, number] of Object.entries(kept)) count(report.kept, reason, number);
    report.adopted += adopted;
  }

  /** By hand: the Pod is deleted, or it has ended or does not run (any more). */
  async function harmPod(id: string, how: 'kill' | 'fail' | 'evict' | 'hang'): Promise<void> {
    const name = `sandbox-${id}`;
    if (how === 'kill') return kubernetes.remove('pods', name, 0);
    const pod = await kubernetes.find('pods', name);
    // One that waits to run is not taken back by hand: its kubelet is about to start it.
    if (pod === undefined || (how === 'hang' && pod.status?.phase !== 'Running')) return;
    const { uid } = pod.metadata;
    if (how === 'hang') hung.add(uid);
    else if (!rules.endedAt.has(uid)) rules.endedAt.set(uid, clock.now());
    const at = new Date(rules.endedAt.get(uid) ?? clock.now()).toISOString().replace('.000', '');
    const terminated = { exitCode: 1, startedAt: at, finishedAt: at };
    const container = {
      name: 'sandbox',
      image: 'x',
      imageID: '',
      ready: false,
      restartCount: 0,
      state: { terminated },
    };
    const condition = { type: 'Ready', status: 'False', lastTransitionTime: at };
    const status = {
      hang: { phase: 'Pending' },
      fail: { phase: 'Failed', containerStatuses: [container] },
      evict: { phase: 'Failed', reason: 'Evicted', containerStatuses: [], conditions: [condition] },
    }[how];
    const path = `/api/v1/namespaces/${cluster.namespace}/pods/${name}/status`;
    const answer = await kubernetes.request('PATCH', path, { metadata: { uid }, status });
    // It may be another one by now, or none.
    if (answer.status >= 300 && ![404, 409, 422].includes(answer.status)) {
      throw new Error(`could not ${how} a Pod: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  }

  /** Makes the sandbox as it is to be before a round. */
  async function prepare({ id, threadId, state, ttlSeconds, pod, isSeen }: Given): Promise<void> {
    await expectDone({ kind: 'destroy', id });
    await kubernetes.remove('pods', `sandbox-${id}`, 0);
    const names = { sandboxId: id, threadId };
    if (state === 'both' || state === 'service') await kubernetes.create('services', originalService(names));
    if (state === 'both' || state === 'pod') await kubernetes.create('pods', originalPod(names, cluster.settings));
    if (state === 'whole' || state === 'destroyed') await expectDone({ kind: 'create', id, threadId, ttlSeconds });
    const needsRunning = pod === 'hang' || state === 'destroyed';
    if (needsRunning && !rules.keepsPhase) return;
    if (needsRunning) await lookAtRest();
    if (pod !== undefined) await harmPod(id, pod);
    if (state === 'destroyed') await expectDone({ kind: 'destroy', id });
    if (isSeen) await expectExactCleanUp(await lookAtRest());
  }

  async function expectDone(action: Action): Promise<void> {
    const answer = await callUntroubled(action);
    if ('error' in answer) fail([`could not be prepared: ${JSON.stringify(action)}: ${JSON.stringify(answer)}`]);
  }

  async function playRound(round: Round): Promise<void> {
    const { number, scene, given, jumpSeconds } = round;
    if (given !== undefined) await prepare(given);
    clock.goOn(jumpSeconds);
    const before = await look();
    const startedAt = performance.now();
    const taken: Taken[] = [];
    fibers = round.fibers.map(() => ({ isDone: false, answers: 0, held: undefined }));
    await Promise.all(
      round.fibers.map(async (sequence, index) => {
        const fiber = fibers[index] as Fiber;
        for (const step of sequence) taken.push(await take(step, lanes[index] as Lane, fiber));
        fiber.isDone = true;
      }),
    );
    const after = await look();
    for (const { action, answer, calls, faults } of taken) {
      count(report.kinds, `${action.kind} ${'error' in answer ? answer.error : 'ok'}`);
      report.calls += calls;
      for (const fault of faults) count(report.faults, fault.split(' ')[0] as string);
    }
    report.steps += taken.length;
    report.rounds += 1;
    const made = given && `; given: ${Object.values(given).join(' ')}`;
    note(
      `round ${number}: ${scene}${made ?? ''}; ${jumpSeconds} s later`,
      ...describeSnapshot('before', before, clock.now()),
      ...taken.sort((one, other) => one.startedAt - other.startedAt).map((one) => describeTaken(one, startedAt)),
      ...describeSnapshot('after', after, clock.now()),
    );
    fail(checkRound(before, taken, after, rules));
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
        const verdict = foretellCleanUp(old, clock.now(), rules);
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
    note(
      'a clean-up',
      ...describeSnapshot('before', before, clock.now()),
      ...describeSnapshot('after', after, clock.now()),
    );
    fail([
      ...compare(after),
      ...('report' in answer && Object.keys(answer.report.failed).length === 0
        ? []
        : [`it failed: ${JSON.stringify(answer)}`]),
    ]);
    return after;
  }

  /** The faults have stopped: time passes, one clean-up runs, and what is left must be whole and answer. */
  async function settle(): Promise<void> {
    // The first only stamps what the original provisioner left; for all others it is one of many.
    await expectExactCleanUp(await lookAtRest());
    clock.goOn(times.orphanGrace + 1);
    const left = await expectExactCleanUp(await lookAtRest());
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
      for (const threadId of isStranded(pod, service.threadId) ? [] : threadIds) {
        const answer = await callUntroubled({ kind: 'create', id, threadId, ttlSeconds: undefined });
        const isWanted =
          threadId === owner
            ? 'view' in answer && isAt(answer.view, service.nodePort)
            : 'error' in answer && answer.error === 'conflict';
        if (!isWanted) wrong.push(`${id}: is ${owner}'s, and a create of ${threadId} gets ${JSON.stringify(answer)}`);
      }
    }
    fail(wrong);
    report.settled += 1;
  }

  try {
    for (let round = 1, settledAt = 0; report.steps < steps; round += 1) {
      await playRound(scriptRound(seed, round, report.steps));
      if (report.steps - settledAt < settleEverySteps && report.steps < steps) continue;
      settledAt = report.steps;
      await settle();
    }
    return report;
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
  }
}

function count(counts: Counts, what: string, number = 1): void {
  counts[what] = (counts[what] ?? 0) + number;
}

const isAt = (view: { sandbox_url: string }, nodePort: number) => new URL(view.sandbox_url).port === String(nodePort);

async function hasNode(cluster: TestCluster): Promise<boolean> {
  if (cluster.isEmbedded) return false;
  const { body } = await cluster.kubernetes.request('GET', '/api/v1/nodes');
  return (body.items as unknown[]).length > 0;
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

const describeSnapshot = (when: string, snapshot: Snapshot, clock: number): string[] =>
  [...snapshot].flatMap(([id, { service, pod }]) =>
    service || pod ? [`  ${when} ${id}, at ${new Date(clock).toISOString()}: ${JSON.stringify({ service, pod })}`] : [],
  );
