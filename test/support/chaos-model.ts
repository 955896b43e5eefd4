import type { CleanupReport } from '../../lib/cleanup/sweep.ts';
import type { ChaosClock } from './chaos-clock.ts';
import { type Action, sandboxIds, times } from './chaos-script.ts';
import type { KubernetesObject } from './kubernetes-client.ts';

/** What the tests see of a sandbox's Service and Pod; times in milliseconds of the run's clock. */
export type SeenService = Readonly<ReturnType<typeof seeService>>;
export type SeenPod = Readonly<ReturnType<typeof seePod>>;
export type Seen = { readonly service: SeenService | undefined; readonly pod: SeenPod | undefined };
/** The sandboxes at a moment at which nothing was under way but Kubernetes' own controllers. */
export type Snapshot = ReadonlyMap<string, Seen>;

export type Answer =
  | { readonly view: { sandbox_url: string; status: string; expires_at: string | null } }
  | { readonly views: readonly { sandbox_id: string; sandbox_url: string }[] }
  | { readonly report: CleanupReport }
  | { readonly done: true }
  | { readonly error: string; readonly detail: string };

/** A step that was taken. Times are milliseconds of a monotonic clock, but for `clock` and `clockAfter`, the run's clock. */
export type Taken = {
  readonly step: number;
  readonly action: Action;
  readonly requestId: string;
  readonly clock: number;
  readonly clockAfter: number;
  readonly startedAt: number;
  readonly answeredAt: number;
  /** From when on no call of it can take effect any more. */
  readonly quietAt: number;
  readonly answer: Answer;
  readonly calls: number;
  /** What was done to its calls. */
  readonly faults: readonly string[];
};

/** What the model has to know besides what it sees. */
export type Rules = {
  /** Whether a Pod whose state was set by hand stays so: a kubelet may say otherwise. */
  readonly keepsPhase: boolean;
  /** When the Pods ended that were declared `Failed`, by UID. */
  readonly endedAt: ReadonlyMap<string, number>;
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
export function seeSandboxes(
  services: readonly KubernetesObject[],
  pods: readonly KubernetesObject[],
  { findCreatedAt }: ChaosClock,
): Snapshot {
  const isSandbox = ({ metadata }: KubernetesObject) => metadata.name.startsWith('sandbox-c');
  const names = sandboxIds.flatMap((id) => [`sandbox-${id}`, `sandbox-${id}-svc`]);
  const strange = [...services, ...pods].filter(isSandbox).filter(({ metadata }) => !names.includes(metadata.name));
  if (strange.length > 0) throw new Error(`nobody asked for ${strange.map(({ metadata }) => metadata.name)}`);
  return new Map(
    sandboxIds.map((id) => {
      const service = services.find(({ metadata }) => metadata.name === `sandbox-${id}-svc`);
      const pod = pods.find(({ metadata }) => metadata.name === `sandbox-${id}`);
      return [
        id,
        {
          service: service && seeService(service, findCreatedAt(service)),
          pod: pod && seePod(pod, findCreatedAt(pod)),
        },
      ];
    }),
  );
}

const seeService = (service: KubernetesObject, createdAt: number) => ({
  uid: service.metadata.uid,
  createdAt,
  // Undefined where none is noted: the original provisioner made it.
  threadId: annotation(service, 'thread-id'),
  lastUsedAt: timeOf(service),
  lastUsedBy: annotation(service, 'last-used-by'),
  ttlSeconds: Number(annotation(service, 'ttl-seconds') ?? times.defaultTtl),
  nodePort: service.spec.ports[0].nodePort as number,
});

const seePod = (pod: KubernetesObject, createdAt: number) => {
  const volume = pod.spec.volumes?.find(({ name }: { name: string }) => name === 'user-data');
  return {
    uid: pod.metadata.uid,
    createdAt,
    owners: (pod.metadata.ownerReferences ?? []).map(({ uid }) => uid),
    // Of the folder that it mounts.
    threadId: volume?.hostPath?.path.split('/').at(-2) as string | undefined,
    phase: (pod.status?.phase ?? 'Unknown') as string,
    isTerminating: pod.metadata.deletionTimestamp !== undefined,
    lastUsedAt: timeOf(pod),
  };
};

/** Whether Kubernetes will keep the Pod behind the Service. */
export const belongs = (pod: SeenPod | undefined, service: SeenService): pod is SeenPod =>
  pod !== undefined && !pod.isTerminating && (pod.owners.length === 0 || pod.owners.includes(service.uid));

/**
 * Whether the Pod is one of the original's that is another thread's than its Service: a create made the Service, was refused
 * for the Pod, and could not take the Service back, because somebody had renewed it. Then nobody gets it until it expires.
 */
export const isStranded = (pod: SeenPod | undefined, threadId: string | undefined): boolean =>
  pod !== undefined && pod.owners.length === 0 && threadId !== undefined && pod.threadId !== threadId;

const hasEnded = (pod: SeenPod) => pod.phase === 'Failed' || pod.phase === 'Succeeded';
const portOf = (view: { sandbox_url: string }) => Number(new URL(view.sandbox_url).port);
const after = (time: number, seconds: number) => time + seconds * 1000;

/** When a sandbox ends that is not used until then, or is too old; never, for one of which no use is noted. */
const endOf = ({ lastUsedAt, ttlSeconds, createdAt }: SeenService) =>
  lastUsedAt === undefined
    ? Number.POSITIVE_INFINITY
    : Math.min(after(lastUsedAt, ttlSeconds), after(createdAt, times.maxLifetime));

/** What a clean-up at this time, with nothing beside it, does with a sandbox; `either` where the model cannot know. */
export function foretellCleanUp({ service, pod }: Seen, clock: number, rules: Rules): 'keep' | 'remove' | 'either' {
  if (service === undefined) {
    if (pod === undefined || pod.isTerminating || pod.owners.length > 0) return 'remove';
    return pod.lastUsedAt !== undefined && clock >= after(pod.lastUsedAt, times.orphanGrace) ? 'remove' : 'keep';
  }
  if (service.lastUsedAt === undefined) return 'keep';
  if (clock >= endOf(service)) return 'remove';
  if (clock < after(service.lastUsedAt, times.orphanGrace)) return 'keep';
  if (!belongs(pod, service)) return 'remove';
  // What the state of its Pod decides.
  const isEnded = hasEnded(pod) && clock >= after(rules.endedAt.get(pod.uid) ?? 0, times.failedRetention);
  const isLate = pod.phase === 'Pending' && clock >= after(pod.createdAt, times.pendingTimeout);
  if (!rules.keepsPhase)
    return hasEnded(pod) || pod.phase === 'Pending' || rules.endedAt.has(pod.uid) ? 'either' : 'keep';
  return isEnded || isLate ? 'remove' : 'keep';
}

/**
 * What is wrong with a round: with what its steps were answered, and with what was there after it, given what was there
 * before. Empty if all of it can be explained.
 *
 * What is sure rests on the order of things: a sandbox lives while it was there before the round, or after a use of it was
 * acknowledged, until a destroy of it begins that does not end before that use begins, or until a clean-up may take it: one
 * that ends when, by what was acknowledged, its time is over, or when its Pod may have been broken for long and the grace
 * since its last use is over. Everything else may be so or otherwise, and is learnt by looking.
 */
export function checkRound(before: Snapshot, taken: readonly Taken[], now: Snapshot, rules: Rules): string[] {
  return [
    ...sandboxIds.flatMap((id) => checkSandbox(id, before, taken, now, rules)),
    ...checkLists(before, taken, rules),
    ...taken.flatMap(checkUntroubled),
  ];
}

/** Whether nothing was done to its calls, but that they took their time. */
const isUntroubled = ({ faults }: Taken) => faults.every((fault) => /^(delay|held)/.test(fault));

/** A call of which nothing failed has no reason to fail, whatever runs beside it. */
function checkUntroubled(one: Taken): string[] {
  const { step, action, answer } = one;
  if ('error' in answer && answer.error === 'unexpected') return [`#${step}: ${action.kind}: ${answer.detail}`];
  if (!isUntroubled(one)) return [];
  if ('report' in answer && Object.keys(answer.report.failed).length > 0) {
    return [`#${step}: a clean-up failed without a fault: ${JSON.stringify(answer.report.failed)}`];
  }
  if (!('error' in answer)) return [];
  const isExpected =
    (action.kind === 'create' && answer.error === 'conflict') ||
    ((action.kind === 'get' || action.kind === 'renew') && answer.error === 'not-found');
  return isExpected ? [] : [`#${step}: ${action.kind} failed without a fault: ${answer.error}: ${answer.detail}`];
}

type ActionOf<K, A = Action> = A extends { readonly kind: infer Kinds } ? (K extends Kinds ? A : never) : never;
type About<K extends Action['kind']> = Taken & { readonly action: ActionOf<K> };
type Acknowledged<T> = T & { readonly answer: Extract<Answer, { view: object }> };

const isAcknowledged = <T extends Taken>(one: T): one is Acknowledged<T> => 'view' in one.answer;
/** Whether the one may still have an effect after the other has begun. */
const isStillThere = (one: Taken, other: Taken) => one.quietAt > other.startedAt;
const least = (...numbers: readonly number[]) => Math.min(...numbers);

/** What the round did to one sandbox, and what can be said for sure. */
function considerSandbox(id: string, before: Snapshot, taken: readonly Taken[], rules: Rules) {
  const of = <K extends Action['kind']>(...kinds: K[]) =>
    taken.filter(
      (one): one is About<K> =>
        kinds.some((kind) => one.action.kind === kind) &&
        (!('id' in one.action) || (one.action as { id: string }).id === id),
    );
  const { service, pod } = before.get(id) as Seen;
  const [creates, renewals, gets, destroys] = [of('create'), of('renew'), of('get'), of('destroy')];
  const [kills, fails, hangs, cleanUps] = [of('kill'), of('fail', 'evict'), of('hang'), of('clean-up')];
  const uses = [...creates, ...renewals];
  const begin = least(...taken.map(({ clock }) => clock));
  const wasWhole = service !== undefined && belongs(pod, service);
  const wasEnded = pod !== undefined && (hasEnded(pod) || rules.endedAt.has(pod.uid));
  const isBefore = ({ answer }: Acknowledged<Taken>) => portOf(answer.view) === service?.nodePort;

  /** Whether the Pod may have been broken for so long by now; given what happened to it, and whether it was whole at first. */
  function mayBeBroken(clock: number, isWhole: boolean, happened: readonly Taken[]): boolean {
    const happenedTo = (kinds: readonly Taken[]) => kinds.filter((one) => happened.includes(one));
    if (!isWhole || happenedTo(kills).length > 0) return true;
    const endings = happenedTo(fails).map((one) => one.clock);
    if (pod !== undefined && wasEnded) endings.push(rules.endedAt.get(pod.uid) ?? 0);
    if (clock >= after(least(...endings), times.failedRetention)) return true;
    // One that was made in the round waits to run as well, and one that was there may have begun to.
    const waitsSince = [begin, ...(pod === undefined ? [] : [pod.createdAt])];
    const mayWait = pod?.phase === 'Pending' || hangs.length > 0 || creates.length > 0;
    return mayWait && clock >= after(least(...waitsSince), times.pendingTimeout);
  }

  /** Whether this clean-up may take what was there before the round. */
  function mayTake(cleanUp: Taken): boolean {
    if (service === undefined) return true;
    const known = uses.filter(isAcknowledged).filter((use) => use.answeredAt < cleanUp.startedAt && isBefore(use));
    const lastUsedAt = Math.max(service.lastUsedAt ?? begin, ...known.map(({ clock }) => clock));
    const ttls = [service.ttlSeconds, ...uses.flatMap(({ action }) => action.ttlSeconds ?? [])];
    const end = least(after(lastUsedAt, least(...ttls)), after(service.createdAt, times.maxLifetime));
    if (cleanUp.clockAfter >= end) return true;
    const isIdle = cleanUp.clockAfter >= after(lastUsedAt, times.orphanGrace);
    return isIdle && mayBeBroken(cleanUp.clockAfter, wasWhole, taken);
  }
  const survives = service !== undefined && destroys.length === 0 && !cleanUps.some(mayTake);

  /**
   * Until when an acknowledged use keeps the sandbox: what it was answered, unless another has asked for less since, or noted
   * an older use a moment later.
   */
  function findEnd(use: Acknowledged<Taken>): number {
    const later = uses.filter((other) => isStillThere(other, use));
    const slack = use.clock - least(use.clock, ...later.map(({ clock }) => clock));
    const asked = later.flatMap(({ clock, action }) => (action.ttlSeconds ? after(clock, action.ttlSeconds) : []));
    const { expires_at } = use.answer.view;
    // Null for one of the original's that nobody has looked at: it is stamped before it is judged.
    const stamped = least(after(begin, times.defaultTtl), after(service?.createdAt ?? begin, times.maxLifetime));
    const isStamped = service?.lastUsedAt !== undefined || use.action.kind !== 'get';
    const answered =
      expires_at === null ? stamped : least(Date.parse(expires_at), isStamped ? Number.POSITIVE_INFINITY : stamped);
    return least(Math.max(answered, use.action.kind === 'get' ? findLookEnd(use) : 0) - slack, ...asked);
  }
  /** Until when a look keeps it, whatever it was answered: three quarters of its time, as long as it could be noted. */
  function findLookEnd(look: Taken): number {
    const isAlone = !creates.some((other) => isStillThere(other, look) && other.startedAt < look.answeredAt);
    if (service?.lastUsedAt === undefined || !isUntroubled(look) || !isAlone) return 0;
    const ttls = [service.ttlSeconds, ...uses.flatMap(({ action }) => action.ttlSeconds ?? [])];
    return least(after(look.clock, 0.75 * least(...ttls)), after(service.createdAt, times.maxLifetime));
  }

  /** Whether a clean-up that ends after the use has begun may take the sandbox all the same. */
  function mayTakeFrom(use: Acknowledged<Taken>, cleanUp: Taken): boolean {
    if (!isStillThere(cleanUp, use)) return false;
    if (cleanUp.clockAfter >= findEnd(use)) return true;
    const notedAt =
      use.action.kind === 'get' ? (service?.lastUsedAt ?? begin) : least(use.clock, ...uses.map(({ clock }) => clock));
    if (cleanUp.clockAfter < after(notedAt, times.orphanGrace)) return false;
    const happened = taken.filter((one) => isStillThere(one, use));
    const isLive = use.answer.view.status === 'Running' || use.answer.view.status === 'Pending';
    return mayBeBroken(cleanUp.clockAfter, use.action.kind === 'create' || (isLive && isBefore(use)), happened);
  }
  /** The uses that keep the sandbox, until something else is asked for. A look may have seen one that was rolled back. */
  const keeping = [...uses, ...gets.filter((look) => isAcknowledged(look) && isBefore(look))].filter(isAcknowledged);
  const keepsUntil = (use: Acknowledged<Taken>, to: number) =>
    !destroys.some((destroy) => isStillThere(destroy, use) && destroy.startedAt < to) &&
    !cleanUps.some((cleanUp) => cleanUp.startedAt < to && mayTakeFrom(use, cleanUp));

  /** What makes sure that the sandbox is there in all that time; and whose it is, if that is known. */
  const livesThroughout = (from: number, to: number): { threadId: string | undefined; since: string } | undefined => {
    const isTaken = (cleanUp: Taken) => cleanUp.startedAt < to && mayTake(cleanUp);
    if (service !== undefined && !destroys.some(({ startedAt }) => startedAt < to) && !cleanUps.some(isTaken)) {
      return { threadId: service.threadId, since: 'before the round' };
    }
    const use = keeping.find((one) => one.answeredAt < from && keepsUntil(one, to));
    if (use === undefined) return undefined;
    return { threadId: use.action.kind === 'create' ? use.action.threadId : undefined, since: `#${use.step}` };
  };
  /** Whether the sandbox cannot have been there until then. */
  const isAbsentUntil = (to: number) => service === undefined && !creates.some(({ startedAt }) => startedAt < to);
  /** Whether nobody may touch the Pod that was there before, as long as its Service is there. */
  const keepsPod = wasWhole && !wasEnded && [kills, fails, destroys].every((by) => by.length === 0);
  /** Whether the sandbox is sure to have had a Pod in all that time: the one that was there before, or that a create answered. */
  const hasPodThroughout = (from: number, to: number): boolean => {
    const lives = livesThroughout(from, to) !== undefined;
    if (lives && keepsPod && survives) return true;
    const isHurt = (create: Taken) =>
      [...kills, ...fails].some((one) => isStillThere(one, create) && one.startedAt < to);
    return creates
      .filter(isAcknowledged)
      .some((create) => create.answeredAt < from && keepsUntil(create, to) && !isHurt(create));
  };
  return {
    ...{ service, pod, uses, creates, renewals, gets, destroys, kills, fails, survives, keepsPod, isBefore, findEnd },
    ...{ hasPodThroughout },
    ...{ kept: keeping.filter((use) => keepsUntil(use, Number.POSITIVE_INFINITY)), livesThroughout, isAbsentUntil },
  };
}

function checkSandbox(id: string, before: Snapshot, taken: readonly Taken[], after: Snapshot, rules: Rules): string[] {
  const wrong: string[] = [];
  const say = (about: Taken | undefined, what: string) => wrong.push(`${id}: ${about ? `#${about.step} ` : ''}${what}`);
  const round = considerSandbox(id, before, taken, rules);
  const now = after.get(id) as Seen;

  // Every answer.
  for (const create of round.creates) {
    const { threadId } = create.action;
    const lives = round.livesThroughout(create.startedAt, create.answeredAt);
    const isOthers = lives?.threadId !== undefined && lives.threadId !== threadId;
    if (isAcknowledged(create) && isOthers) {
      say(create, `was answered to ${threadId}, though it is ${lives.threadId}'s since ${lives.since}`);
    }
    if ('error' in create.answer && create.answer.error === 'conflict') {
      const others = [round.service?.threadId, round.pod?.threadId, ...round.creates.map((one) => one.action.threadId)];
      if (!others.some((other) => other !== undefined && other !== threadId)) say(create, 'conflicts with nobody');
      if (lives?.threadId === threadId && !isStranded(round.pod, threadId))
        say(create, `was refused to its own thread: ${create.answer.detail}`);
    }
  }
  for (const look of [...round.gets, ...round.renewals]) {
    const { answer } = look;
    const lives = round.livesThroughout(look.startedAt, look.answeredAt);
    // A get that finds the Service alone says so; a renewal does not mind.
    const missedPod =
      'error' in answer && answer.detail === `Sandbox '${id}' not found: it has no Pod until the next create`;
    if (missedPod && (look.action.kind !== 'get' || round.hasPodThroughout(look.startedAt, look.answeredAt))) {
      say(look, 'found no Pod, though there is one');
    }
    if ('error' in answer && answer.error === 'not-found' && !missedPod && lives !== undefined) {
      say(look, `found nothing, though it lives since ${lives.since}`);
    }
    if ((missedPod || isAcknowledged(look)) && round.isAbsentUntil(look.answeredAt))
      say(look, 'found what cannot be there');
    if (!isAcknowledged(look)) continue;
    const { status } = look.answer.view;
    if (look.action.kind === 'get' && status === 'NotFound') say(look, 'was answered with a sandbox without a Pod');
    if (round.keepsPod && round.survives && status !== 'Pending' && status !== 'Running') {
      say(look, `saw its live Pod as ${status}`);
    }
  }

  // What was there before and nobody took away.
  if (round.survives && round.service !== undefined) {
    const { service } = round;
    if (now.service?.uid !== service.uid) say(undefined, 'lost its Service, or has another one');
    for (const one of [...round.uses, ...round.gets].filter(isAcknowledged)) {
      if (!round.isBefore(one)) say(one, 'was given another URL');
    }
    if (service.threadId !== undefined && now.service?.threadId !== service.threadId) say(undefined, 'changed thread');
  }
  // A Service goes before its Pod.
  const isSame = now.service !== undefined && now.service.uid === round.service?.uid;
  if (round.keepsPod && isSame && (now.pod?.uid !== round.pod?.uid || now.pod?.isTerminating)) {
    say(undefined, 'lost its live Pod, or has another one');
  }
  if (round.service === undefined && round.creates.length === 0 && now.service !== undefined) {
    say(undefined, 'came from nothing');
  }

  // What was acknowledged.
  for (const destroy of round.destroys) {
    if (!('done' in destroy.answer)) continue;
    if (round.creates.some((create) => isStillThere(create, destroy))) continue;
    if (now.service !== undefined) say(destroy, 'destroyed it, and the Service is there');
    if (now.pod !== undefined && !now.pod.isTerminating) say(destroy, 'destroyed it, and the Pod is there');
  }
  const cleanUpIds = taken.filter(({ action }) => action.kind === 'clean-up').map(({ requestId }) => requestId);
  for (const use of round.kept) {
    const { service, pod } = now;
    const { kind } = use.action;
    if (service === undefined) {
      say(use, 'was acknowledged, and there is no Service');
      continue;
    }
    if (portOf(use.answer.view) !== service.nodePort) say(use, 'was given an URL of nobody');
    const end = round.findEnd(use);
    if (endOf(service) < end) {
      say(use, `keeps it for ${(end - use.clock) / 1000} s, and it ends ${(end - endOf(service)) / 1000} s too early`);
    }
    if (kind !== 'get' && cleanUpIds.includes(service.lastUsedBy ?? '')) {
      say(use, `was overwritten by the stamp of ${service.lastUsedBy}`);
    }
    const { ttlSeconds } = use.action as { ttlSeconds?: number | undefined };
    const isAskedOtherwise = (other: (typeof round.uses)[number]) =>
      isStillThere(other, use) && other.action.ttlSeconds !== undefined && other.action.ttlSeconds !== ttlSeconds;
    if (ttlSeconds !== undefined && !round.uses.some(isAskedOtherwise) && service.ttlSeconds !== ttlSeconds) {
      say(use, `asked for ${ttlSeconds} s, and has ${service.ttlSeconds}`);
    }
    if (kind === 'create' && service.threadId !== use.action.threadId) {
      say(use, `was acknowledged to ${use.action.threadId}, and it is ${service.threadId}'s`);
    }
    if ([...round.kills, ...round.fails].some((one) => isStillThere(one, use))) continue;
    // A look says of the Pod no more than what it saw.
    const isLive = /^(Running|Pending)$/.test(use.answer.view.status);
    if (kind !== 'create' && !(isLive && round.isBefore(use) && isSame)) continue;
    if (!belongs(pod, service) || (hasEnded(pod) && rules.keepsPhase)) {
      say(use, 'was acknowledged, and has no live Pod');
    } else if (kind === 'create' && pod.threadId !== use.action.threadId) {
      say(use, `was acknowledged to ${use.action.threadId}, and mounts ${pod.threadId}'s folder`);
    }
  }

  // What must always hold.
  const { service, pod } = now;
  if (service !== undefined) {
    const clocks = taken.map(({ clockAfter }) => clockAfter);
    if ((service.lastUsedAt ?? 0) > Math.max(...clocks)) say(undefined, 'was used in the future');
    const asked = round.uses.map(({ action }) => action.ttlSeconds);
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

function checkLists(before: Snapshot, taken: readonly Taken[], rules: Rules): string[] {
  const lists = taken.filter(({ answer }) => 'views' in answer);
  if (lists.length === 0) return [];
  const rounds = sandboxIds.map((id) => ({ id, ...considerSandbox(id, before, taken, rules) }));
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
