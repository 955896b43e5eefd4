import type { SandboxSettings } from '../config/index.ts';
import type { ListedPod, ListedService } from './listed.ts';
import { lastUsedAtAnnotation, ttlSecondsAnnotation } from './names.ts';
import { belongsTo, isOwned } from './ownership.ts';

/** Why the clean-up keeps a sandbox, or what is left of one. */
export type KeepReason =
  | 'in-use'
  | 'fresh-orphan'
  | 'terminating'
  /** It was used, or changed otherwise, after it had been judged. */
  | 'used-meanwhile'
  /** Somebody else removed it. */
  | 'removed-meanwhile'
  | 'not-a-sandbox';

/** Why the clean-up removes one. `stuck`: its Pod has been terminating for long, as its node does not answer any more. */
export const removeReasons = [
  'expired',
  'too-old',
  'service-without-pod',
  'pod-without-service',
  'ended',
  'never-ran',
  'stuck',
] as const;
export type RemoveReason = (typeof removeReasons)[number];

/**
 * What the clean-up does with a sandbox: `adopt` is for one that the original provisioner made, of which nobody noted when
 * it was used: it is stamped as used now, and judged from then on.
 */
export type Verdict = { keep: KeepReason } | { remove: RemoveReason } | { adopt: true };

/** When a sandbox was last used, as its Service (or its Pod, where there is no Service) notes it; undefined if it does not. */
export function findLastUsedAt(object: ListedService | ListedPod): Date | undefined {
  return parseDate(object.metadata?.annotations?.[lastUsedAtAnnotation]);
}

/** How many seconds a sandbox may go unused; 0 is for ever. What its Service notes, or else the setting. */
export function findTtlSeconds(object: ListedService | ListedPod, config: SandboxSettings): number {
  const noted = object.metadata?.annotations?.[ttlSecondsAnnotation];
  return noted !== undefined && /^\d{1,9}$/.test(noted) ? Number(noted) : config.sandboxTtlSeconds;
}

/**
 * When a sandbox ends if it is not used until then, or because it is too old; undefined if it never does, or nobody knows
 * when it was used.
 */
export function findExpiresAt(service: ListedService, config: SandboxSettings): Date | undefined {
  const unusedUntil = findUnusedUntil(findLastUsedAt(service), service, config);
  const oldUntil = findOldUntil(service, config);
  if (unusedUntil === undefined || oldUntil === undefined) return unusedUntil ?? oldUntil;
  return unusedUntil < oldUntil ? unusedUntil : oldUntil;
}

function findUnusedUntil(
  lastUsedAt: Date | undefined,
  service: ListedService,
  config: SandboxSettings,
): Date | undefined {
  const ttlSeconds = findTtlSeconds(service, config);
  return lastUsedAt === undefined || ttlSeconds === 0 ? undefined : after(lastUsedAt, ttlSeconds);
}

function findOldUntil(service: ListedService, { sandboxMaxLifetimeSeconds }: SandboxSettings): Date | undefined {
  const createdAt = toDate(service.metadata?.creationTimestamp);
  return createdAt === undefined || sandboxMaxLifetimeSeconds === 0
    ? undefined
    : after(createdAt, sandboxMaxLifetimeSeconds);
}

/** The time of the last use, if it can be true: one that is far in the future would keep a sandbox until then. */
function findCredibleUse(object: ListedService | ListedPod, now: Date): Date | undefined {
  const lastUsedAt = findLastUsedAt(object);
  return lastUsedAt !== undefined && lastUsedAt <= after(now, clockSkewSeconds) ? lastUsedAt : undefined;
}

/** How far the clocks of those who note a use and of those who judge it may be apart, in seconds. */
const clockSkewSeconds = 3_600;

/**
 * Whether a look at a sandbox is to be noted as a use: when a quarter of its time has passed since the last one that was.
 * So polling writes next to nothing, and a sandbox that is polled at all lives on. One of which no use was ever noted is the
 * original provisioner's: the clean-up adopts it before it judges it, until then there is nothing to put off.
 */
export function isUseDue(service: ListedService, now: Date, config: SandboxSettings): boolean {
  if (service.metadata?.deletionTimestamp !== undefined) return false;
  const ttlSeconds = findTtlSeconds(service, config);
  const lastUsedAt = findCredibleUse(service, now);
  return ttlSeconds > 0 && lastUsedAt !== undefined && now >= after(lastUsedAt, ttlSeconds / 4);
}

/** What the clean-up does with a sandbox that has a Service. Pure: the same objects and time give the same verdict. */
export function judgeSandbox(
  service: ListedService,
  pod: ListedPod | undefined,
  now: Date,
  config: SandboxSettings,
): Verdict {
  if (service.metadata?.deletionTimestamp !== undefined) return { keep: 'terminating' };
  const lastUsedAt = findCredibleUse(service, now);
  if (lastUsedAt === undefined) return { adopt: true };
  const unusedUntil = findUnusedUntil(lastUsedAt, service, config);
  if (unusedUntil !== undefined && now >= unusedUntil) return { remove: 'expired' };
  const oldUntil = findOldUntil(service, config);
  if (oldUntil !== undefined && now >= oldUntil) return { remove: 'too-old' };

  const isWhole = pod !== undefined && belongsTo(pod, service);
  // Whoever used it a moment ago may be mending it, and may have given it another Pod since this one was read: a use is
  // written on the Service before the Pod is touched.
  if (now < after(lastUsedAt, config.orphanGraceSeconds)) return { keep: isWhole ? 'in-use' : 'fresh-orphan' };
  if (!isWhole) return { remove: 'service-without-pod' };
  const { phase } = pod.status ?? {};
  const ended = phase === 'Failed' || phase === 'Succeeded';
  if (ended && isPast(findEndedAt(pod), config.failedRetentionSeconds, now)) return { remove: 'ended' };
  const startedAt = pod.metadata?.creationTimestamp;
  if (phase === 'Pending' && isPast(startedAt, config.pendingTimeoutSeconds, now)) return { remove: 'never-ran' };
  return { keep: 'in-use' };
}

/**
 * What the clean-up does with a sandbox's Pod that has no Service. One of ours Kubernetes collects by itself; one that the
 * original provisioner made bears no time of use, and is stamped first.
 */
export function judgeOrphanPod(pod: ListedPod, now: Date, config: SandboxSettings): Verdict {
  const { deletionTimestamp } = pod.metadata ?? {};
  if (deletionTimestamp !== undefined) {
    return isPast(deletionTimestamp, config.orphanGraceSeconds, now) ? { remove: 'stuck' } : { keep: 'terminating' };
  }
  const since = findCredibleUse(pod, now) ?? (isOwned(pod) ? toDate(pod.metadata?.creationTimestamp) : undefined);
  if (since === undefined) return { adopt: true };
  return now >= after(since, config.orphanGraceSeconds) ? { remove: 'pod-without-service' } : { keep: 'fresh-orphan' };
}

/** When a Pod ended: the last of its containers, or, where it never had any (evicted), its last change of state. */
function findEndedAt(pod: ListedPod): Date | undefined {
  const { containerStatuses = [], conditions = [] } = pod.status ?? {};
  const finished = containerStatuses.flatMap((container) => toDate(container.state?.terminated?.finishedAt) ?? []);
  const changed = conditions.flatMap((condition) => toDate(condition.lastTransitionTime) ?? []);
  const times = (finished.length > 0 ? finished : changed).map((time) => time.getTime());
  return times.length > 0 ? new Date(Math.max(...times)) : toDate(pod.metadata?.creationTimestamp);
}

/** Whether that many seconds have passed since then; never, since a time that is not known. */
function isPast(since: Date | string | undefined, seconds: number, now: Date): boolean {
  const date = toDate(since);
  return date !== undefined && now >= after(date, seconds);
}

const after = (date: Date, seconds: number): Date => new Date(date.getTime() + seconds * 1000);

/** A time as we write it, and Kubernetes (RFC 3339 in UTC). What else a Date can be made of may not be a year of four digits. */
const parseDate = (text: string | undefined): Date | undefined => {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text ?? '') ? Date.parse(text as string) : Number.NaN;
  return Number.isNaN(time) ? undefined : new Date(time);
};

/** The client gives times as Dates; what comes from elsewhere may be text. */
const toDate = (time: Date | string | undefined | null): Date | undefined =>
  time instanceof Date ? time : parseDate(time ?? undefined);
