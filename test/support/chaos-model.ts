import { type Action, sandboxIds, times } from './chaos-script.ts';
import type { KubernetesObject } from './kubernetes-client.ts';

/** What the tests see of a sandbox's Service and Pod; times in milliseconds of the run's clock. */
export type SeenService = {
  readonly uid: string;
  readonly resourceVersion: string;
  /** Undefined where none is noted: the original provisioner made it. */
  readonly threadId: string | undefined;
  readonly lastUsedAt: number | undefined;
  readonly lastUsedBy: string | undefined;
  readonly ttlSeconds: number;
  readonly nodePort: number;
};
export type SeenPod = {
  readonly uid: string;
  readonly owners: readonly string[];
  /** Of the folder that it mounts. */
  readonly threadId: string | undefined;
  readonly phase: string;
  readonly isTerminating: boolean;
  readonly lastUsedAt: number | undefined;
};
export type Seen = { readonly service: SeenService | undefined; readonly pod: SeenPod | undefined };
/** The sandboxes at a moment at which nothing was under way but Kubernetes' own controllers. */
export type Snapshot = ReadonlyMap<string, Seen>;

export type Answer =
  | { readonly view: { sandbox_url: string; status: string } }
  | { readonly views: readonly { sandbox_id: string; sandbox_url: string }[] }
  | { readonly failedCleanUps: number }
  | { readonly done: true }
  | { readonly error: string; readonly detail: string };

/** A step that was taken. Times are milliseconds of a monotonic clock, but for `clock`, the run's clock as it began. */
export type Taken = {
  readonly step: number;
  readonly action: Action;
  readonly requestId: string;
  readonly clock: number;
  readonly startedAt: number;
  readonly answeredAt: number;
  /** From when on no call of it can take effect any more. */
  readonly quietAt: number;
  readonly answer: Answer;
  /** What was done to its calls. */
  readonly faults: readonly string[];
};

/** What the model has to know besides what it sees. */
export type Rules = {
  /** 0, or so long that it never passes. */
  readonly failedRetentionSeconds: number;
  /** Whether a Pod that was declared `Failed` stays so: a kubelet may say otherwise. */
  readonly keepsPhase: boolean;
  /** The Pods that were declared `Failed`, by UID. */
  readonly failedByHand: ReadonlySet<string>;
  /** The thread of every Service that was ever seen, by UID. */
  readonly threadOfService: Map<string, string>;
};

const annotation = (object: KubernetesObject, name: string) =>
  object.metadata.annotations?.[`sandbox-provisioner/${name}`];

const timeOf = (object: KubernetesObject) => {
  const text = annotation(object, 'last-used-at');
  return text === undefined ? undefined : Date.parse(text);
};

/** Reads what is there of the sandboxes. Throws if there is one of an id that nobody ever asked for. */
export function seeSandboxes(services: readonly KubernetesObject[], pods: readonly KubernetesObject[]): Snapshot {
  const isSandbox = ({ metadata }: KubernetesObject) => metadata.name.startsWith('sandbox-c');
  const names = sandboxIds.flatMap((id) => [`sandbox-${id}`, `sandbox-${id}-svc`]);
  const strange = [...services, ...pods].filter(isSandbox).filter(({ metadata }) => !names.includes(metadata.name));
  if (strange.length > 0) throw new Error(`nobody asked for ${strange.map(({ metadata }) => metadata.name)}`);
  return new Map(
    sandboxIds.map((id) => {
      const service = services.find(({ metadata }) => metadata.name === `sandbox-${id}-svc`);
      const pod = pods.find(({ metadata }) => metadata.name === `sandbox-${id}`);
      return [id, { service: service && seeService(service), pod: pod && seePod(pod) }];
    }),
  );
}

const seeService = (service: KubernetesObject): SeenService => ({
  uid: service.metadata.uid,
  resourceVersion: service.metadata.resourceVersion,
  threadId: annotation(service, 'thread-id'),
  lastUsedAt: timeOf(service),
  lastUsedBy: annotation(service, 'last-used-by'),
  ttlSeconds: Number(annotation(service, 'ttl-seconds') ?? times.defaultTtl),
  nodePort: service.spec.ports[0].nodePort,
});

const seePod = (pod: KubernetesObject): SeenPod => {
  const volume = pod.spec.volumes?.find(({ name }: { name: string }) => name === 'user-data');
  return {
    uid: pod.metadata.uid,
    owners: (pod.metadata.ownerReferences ?? []).map(({ uid }) => uid),
    threadId: volume?.hostPath?.path.split('/').at(-2),
    phase: pod.status?.phase ?? 'Unknown',
    isTerminating: pod.metadata.deletionTimestamp !== undefined,
    lastUsedAt: timeOf(pod),
  };
};

/** Whether Kubernetes will keep the Pod behind the Service. */
export const belongs = (pod: SeenPod | undefined, service: SeenService): pod is SeenPod =>
  pod !== undefined && !pod.isTerminating && (pod.owners.length === 0 || pod.owners.includes(service.uid));

const hasEnded = (pod: SeenPod) => pod.phase === 'Failed' || pod.phase === 'Succeeded';
const portOf = (view: { sandbox_url: string }) => Number(new URL(view.sandbox_url).port);

/** What a clean-up at this time, with nothing beside it, does with a sandbox; `either` where the model cannot know. */
export function foretellCleanUp({ service, pod }: Seen, clock: number, rules: Rules): 'keep' | 'remove' | 'either' {
  if (service === undefined) {
    if (pod === undefined || pod.isTerminating || pod.owners.length > 0) return 'remove';
    return pod.lastUsedAt !== undefined && clock >= pod.lastUsedAt + times.orphanGrace * 1000 ? 'remove' : 'keep';
  }
  if (service.lastUsedAt === undefined) return 'keep';
  if (service.ttlSeconds > 0 && clock >= service.lastUsedAt + service.ttlSeconds * 1000) return 'remove';
  if (clock < service.lastUsedAt + times.orphanGrace * 1000) return 'keep';
  if (!belongs(pod, service)) return 'remove';
  if (rules.failedRetentionSeconds > 0) return 'keep';
  if (!rules.keepsPhase && rules.failedByHand.has(pod.uid)) return 'either';
  return hasEnded(pod) ? 'remove' : 'keep';
}

/**
 * What is wrong with a round: with what its steps were answered, and with what was there after it, given what was there
 * before. Empty if all of it can be explained.
 *
 * What is sure rests on the order of things: a sandbox lives while it was there before the round, or after a create of it
 * was acknowledged, until a destroy of it begins that does not end before that create begins; or, if it was not used in the
 * round, until a clean-up runs that may find it expired, an orphan for too long or ended. (Time does not go on far enough in
 * a round for what was used in it.) Everything else may be so or otherwise, and is learnt by looking.
 */
export function checkRound(
  before: Snapshot,
  taken: readonly Taken[],
  after: Snapshot,
  clockAfter: number,
  rules: Rules,
): string[] {
  return [
    ...sandboxIds.flatMap((id) => checkSandbox(id, before, taken, after, clockAfter, rules)),
    ...checkLists(before, taken, clockAfter, rules),
    ...taken.flatMap(checkUntroubled),
  ];
}

/** A call of which nothing failed has no reason to fail, whatever runs beside it. */
function checkUntroubled({ step, action, answer, faults }: Taken): string[] {
  if (faults.some((fault) => !fault.startsWith('delay'))) return [];
  if ('failedCleanUps' in answer && answer.failedCleanUps > 0) return [`#${step}: a clean-up failed without a fault`];
  if (!('error' in answer)) return [];
  const isExpected =
    (action.kind === 'create' && answer.error === 'conflict') ||
    ((action.kind === 'get' || action.kind === 'renew') && answer.error === 'not-found');
  return isExpected ? [] : [`#${step}: ${action.kind} failed without a fault: ${answer.error}: ${answer.detail}`];
}

type About<K extends Action['kind']> = Taken & { readonly action: Extract<Action, { kind: K }> };

/** What the round did to one sandbox, and what can be said for sure. */
function considerSandbox(id: string, before: Snapshot, taken: readonly Taken[], clockAfter: number, rules: Rules) {
  const of = <K extends Action['kind']>(kind: K) =>
    taken.filter(
      (one): one is About<K> =>
        one.action.kind === kind && (!('id' in one.action) || (one.action as { id: string }).id === id),
    );
  const { service, pod } = before.get(id) as Seen;
  const creates = of('create');
  const renewals = of('renew');
  const destroys = of('destroy');
  const kills = of('kill');
  const fails = of('fail');
  const hasCleanUp = of('clean-up').length > 0;
  const wasFailed = pod !== undefined && (hasEnded(pod) || rules.failedByHand.has(pod.uid));
  const mayEnd = rules.failedRetentionSeconds === 0;

  /** Whether a clean-up of this round may take what was there before it. */
  const mayBeTaken = () => {
    if (!hasCleanUp || service === undefined) return false;
    if (service.lastUsedAt === undefined) return false;
    const asked = [...creates, ...renewals].flatMap(({ action }) => action.ttlSeconds ?? []);
    const ttls = [service.ttlSeconds, ...asked].filter((ttl) => ttl > 0);
    if (clockAfter >= service.lastUsedAt + Math.min(...ttls) * 1000) return true;
    const mayBeBroken = !belongs(pod, service) || kills.length > 0 || (mayEnd && (wasFailed || fails.length > 0));
    return mayBeBroken && clockAfter >= service.lastUsedAt + times.orphanGrace * 1000;
  };
  const survives = service !== undefined && destroys.length === 0 && !mayBeTaken();
  const acknowledged = [...creates, ...renewals].filter(({ answer }) => 'view' in answer);
  /** What makes sure that the sandbox is there in all that time; and whose it is, if that is known. */
  const livesThroughout = (from: number, to: number): { threadId: string | undefined; since: string } | undefined => {
    if (service !== undefined && !destroys.some(({ startedAt }) => startedAt < to) && !mayBeTaken()) {
      return { threadId: service.threadId, since: 'before the round' };
    }
    const use = acknowledged.find(
      (one) =>
        one.answeredAt < from && !destroys.some(({ startedAt, quietAt }) => quietAt > one.startedAt && startedAt < to),
    );
    if (use === undefined) return undefined;
    return { threadId: use.action.kind === 'create' ? use.action.threadId : undefined, since: `#${use.step}` };
  };
  /** Whether the sandbox cannot have been there until then. */
  const isAbsentUntil = (to: number) => service === undefined && !creates.some(({ startedAt }) => startedAt < to);
  /** Whether nobody touches the Pod that was there before. */
  const keepsPod = survives && belongs(pod, service) && !wasFailed && kills.length === 0 && fails.length === 0;
  return {
    ...{ service, pod, creates, renewals, destroys, kills, fails, gets: of('get') },
    ...{ survives, keepsPod, acknowledged, livesThroughout, isAbsentUntil },
  };
}

function checkSandbox(
  id: string,
  before: Snapshot,
  taken: readonly Taken[],
  after: Snapshot,
  clockAfter: number,
  rules: Rules,
): string[] {
  const wrong: string[] = [];
  const say = (about: Taken | undefined, what: string) => wrong.push(`${id}: ${about ? `#${about.step} ` : ''}${what}`);
  const round = considerSandbox(id, before, taken, clockAfter, rules);
  const now = after.get(id) as Seen;

  // Every answer.
  for (const create of round.creates) {
    const { threadId } = create.action;
    const lives = round.livesThroughout(create.startedAt, create.answeredAt);
    const isOthers = lives?.threadId !== undefined && lives.threadId !== threadId;
    if ('view' in create.answer && isOthers) {
      say(create, `was answered to ${threadId}, though it is ${lives.threadId}'s since ${lives.since}`);
    }
    if ('error' in create.answer && create.answer.error === 'conflict') {
      const others = [round.service?.threadId, round.pod?.threadId, ...round.creates.map((one) => one.action.threadId)];
      if (!others.some((other) => other !== undefined && other !== threadId)) say(create, 'conflicts with nobody');
      if (lives?.threadId === threadId) say(create, `was refused to its own thread: ${create.answer.detail}`);
    }
  }
  for (const look of [...round.gets, ...round.renewals]) {
    const lives = round.livesThroughout(look.startedAt, look.answeredAt);
    if ('error' in look.answer && look.answer.error === 'not-found' && lives !== undefined) {
      say(look, `found nothing, though it lives since ${lives.since}`);
    }
    if (!('view' in look.answer)) continue;
    if (round.isAbsentUntil(look.answeredAt)) say(look, 'found what cannot be there');
    const { status } = look.answer.view;
    if (round.keepsPod && status !== 'Pending' && status !== 'Running') say(look, `saw its live Pod as ${status}`);
  }

  // What was there before and nobody took away.
  if (round.survives && round.service !== undefined) {
    const { service } = round;
    if (now.service?.uid !== service.uid) say(undefined, 'lost its Service, or has another one');
    for (const one of [...round.acknowledged, ...round.gets]) {
      if ('view' in one.answer && portOf(one.answer.view) !== service.nodePort) say(one, 'was given another URL');
    }
    if (service.threadId !== undefined && now.service?.threadId !== service.threadId) say(undefined, 'changed thread');
  }
  if (round.keepsPod && (now.pod?.uid !== round.pod?.uid || now.pod?.isTerminating)) {
    say(undefined, 'lost its live Pod, or has another one');
  }
  if (round.service === undefined && round.creates.length === 0 && now.service !== undefined) {
    say(undefined, 'came from nothing');
  }

  // What was acknowledged.
  for (const destroy of round.destroys) {
    if (!('done' in destroy.answer)) continue;
    if (round.creates.some(({ quietAt }) => quietAt > destroy.startedAt)) continue;
    if (now.service !== undefined) say(destroy, 'destroyed it, and the Service is there');
    if (now.pod !== undefined && !now.pod.isTerminating) say(destroy, 'destroyed it, and the Pod is there');
  }
  for (const use of round.acknowledged) {
    if (round.destroys.some(({ quietAt }) => quietAt > use.startedAt)) continue;
    const { service, pod } = now;
    if (service === undefined) {
      say(use, 'was acknowledged, and there is no Service');
      continue;
    }
    if ('view' in use.answer && portOf(use.answer.view) !== service.nodePort) say(use, 'was given an URL of nobody');
    // A use that began earlier may be written later: the note may be as old as what ran side by side.
    const earliest = Math.min(...taken.map(({ clock }) => clock));
    if (service.lastUsedAt === undefined || service.lastUsedAt < earliest) say(use, 'was not noted as a use');
    if (use.action.kind !== 'create') continue;
    const { threadId } = use.action;
    if (service.threadId !== threadId) say(use, `was acknowledged to ${threadId}, and it is ${service.threadId}'s`);
    if ([...round.kills, ...round.fails].some(({ quietAt }) => quietAt > use.startedAt)) continue;
    if (!belongs(pod, service) || (hasEnded(pod) && rules.keepsPhase))
      say(use, 'was acknowledged, and has no live Pod');
    else if (pod.threadId !== threadId)
      say(use, `was acknowledged to ${threadId}, and mounts ${pod.threadId}'s folder`);
  }

  // What must always hold.
  const { service, pod } = now;
  if (service !== undefined) {
    if ((service.lastUsedAt ?? 0) > clockAfter) say(undefined, 'was used in the future');
    const asked = [...round.creates, ...round.renewals].map(({ action }) => action.ttlSeconds);
    const ttls = [times.defaultTtl, round.service?.ttlSeconds, ...asked];
    if (!ttls.includes(service.ttlSeconds)) say(undefined, `lives ${service.ttlSeconds} s, which nobody asked for`);
    const known = rules.threadOfService.get(service.uid);
    if (known !== undefined && known !== service.threadId) say(undefined, `was ${known}'s, is ${service.threadId}'s`);
    if (service.threadId !== undefined) rules.threadOfService.set(service.uid, service.threadId);
  }
  const ownersThread = pod?.owners.map((uid) => rules.threadOfService.get(uid)).find((thread) => thread !== undefined);
  if (ownersThread !== undefined && pod?.threadId !== ownersThread) {
    say(undefined, `mounts ${pod?.threadId}'s folder behind a Service of ${ownersThread}`);
  }
  return wrong;
}

function checkLists(before: Snapshot, taken: readonly Taken[], clockAfter: number, rules: Rules): string[] {
  const lists = taken.filter(({ answer }) => 'views' in answer);
  if (lists.length === 0) return [];
  const rounds = sandboxIds.map((id) => ({ id, ...considerSandbox(id, before, taken, clockAfter, rules) }));
  return lists.flatMap(({ step, startedAt, answeredAt, answer }) => {
    const listed = 'views' in answer ? answer.views.map((view) => view.sandbox_id) : [];
    const wrong = rounds.flatMap(({ id, livesThroughout, isAbsentUntil }) => {
      const lives = livesThroughout(startedAt, answeredAt);
      if (lives !== undefined && !listed.includes(id))
        return [`${id}: #${step} misses it; it lives since ${lives.since}`];
      return listed.includes(id) && isAbsentUntil(answeredAt) ? [`${id}: #${step} lists what cannot be there`] : [];
    });
    const strange = listed.filter((id, index) => !rounds.some((one) => one.id === id) || listed.indexOf(id) !== index);
    return strange.length > 0 ? [...wrong, `#${step} lists ${strange}`] : wrong;
  });
}
