import type { SandboxSettings } from '../config/index.ts';
import { KubernetesError } from '../errors.ts';
import type { Removed } from '../events/changes.ts';
import {
  type Deletion,
  isConflict,
  isNamespaceMissing,
  isNamespaceTerminating,
  isNotFound,
  type Kubernetes,
} from '../kubernetes/index.ts';
import { log } from '../log.ts';
import { findThreadId, findUserId } from '../model/adoption.ts';
import { type Census, takeCensus } from '../model/census.ts';
import {
  findTtlSeconds,
  judgeOrphanPod,
  judgeSandbox,
  type KeepReason,
  type RemoveReason,
  type Verdict,
} from '../model/expiry.ts';
import type { ListedMetadata, ListedPod, ListedService } from '../model/listed.ts';
import { ownerAnnotations, useAnnotations } from '../model/manifests.ts';
import { findSandboxId, ifSandbox, podName, serviceName } from '../model/names.ts';
import { isOwned } from '../model/ownership.ts';
import { keepNetworkPolicy, type NetworkPolicyState } from '../sandboxes/network-policy.ts';

/** What a clean-up works with. */
export type Cleanup = Readonly<{
  kubernetes: Kubernetes;
  config: SandboxSettings;
  /** The clock. */
  now: () => Date;
  /** Ends the calls that are under way. */
  signal: AbortSignal;
  /** From when on no further sandbox is begun: some seconds before `signal`. */
  stop: AbortSignal;
  requestId: string;
  /** Takes what there was when it began, where somebody counts that. */
  noteCensus?: (census: Census) => void;
  /** Takes how many Pods it found without their Service, past their grace: removed or not. */
  noteLeaked?: (leaked: number) => void;
  /** Takes each sandbox that it removed, where somebody is to be told of that. */
  noteRemoved?: (removed: Removed) => void;
  /** How many sandboxes it looks after side by side; 10 where it is not said. */
  width?: number;
}>;

/**
 * What a clean-up did, by reason. `remaining` are those that it should have looked after and had no time for; `networkPolicy`
 * is there where the settings speak of one.
 */
export type CleanupReport = {
  examined: number;
  deleted: Partial<Record<RemoveReason, number>>;
  kept: Partial<Record<KeepReason, number>>;
  adopted: number;
  failed: Record<string, number>;
  remaining: number;
  networkPolicy?: NetworkPolicyState | 'failed';
  dryRun: boolean;
};

/** A sandbox, or what is left of one: at least one of the two objects. */
type Remains = { sandboxId: string; service: ListedService | undefined; pod: ListedPod | undefined };
type Outcome = { deleted: RemoveReason } | { kept: KeepReason } | { adopted: true };
type ToDo = { remains: Remains; verdict: Exclude<Verdict, { keep: KeepReason }> };

/** What one sandbox may take, in milliseconds: a call that hangs must not hold up those that come after it. */
const settleMs = 15_000;

/** Enough for a thousand removals in one run, and a small part of the calls that an API server takes at once. */
export const defaultWidth = 10;

/**
 * Removes every sandbox that nobody uses any more, and what is left of broken ones, and reports. It never takes one that is
 * in use: a Service is deleted only as it was judged, by UID and resource version, which every use changes. One that cannot
 * be judged or removed is counted as failed and stops no other. Throws only when Kubernetes cannot be listed.
 */
export async function cleanUpSandboxes(cleanup: Cleanup): Promise<CleanupReport> {
  const { config, stop, signal, width = defaultWidth } = cleanup;
  const report: CleanupReport = {
    examined: 0,
    deleted: {},
    kept: {},
    adopted: 0,
    failed: {},
    remaining: 0,
    dryRun: config.cleanupDryRun,
  };
  const keeping = keepConfined(cleanup);
  const found = await findRemains(cleanup);
  cleanup.noteCensus?.(takeCensus(found.remains, cleanup.now()));
  report.examined = found.remains.length + found.foreign;
  if (found.foreign > 0) report.kept['not-a-sandbox'] = found.foreign;
  const queue = found.remains.flatMap((remains): ToDo[] => {
    const verdict = tryToJudge(remains, cleanup, report);
    if (verdict === undefined) return [];
    if (!('keep' in verdict)) return [{ remains, verdict }];
    count(report, { kept: verdict.keep });
    return [];
  });
  cleanup.noteLeaked?.(queue.filter(({ remains }) => remains.service === undefined).length);
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (stop.aborted) {
        report.remaining += 1;
        continue;
      }
      try {
        const patience = AbortSignal.any([signal, AbortSignal.timeout(settleMs)]);
        count(report, await settleRemains(next, { ...cleanup, signal: patience }));
      } catch (error) {
        countFailure(report, next.remains, error, cleanup);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  const networkPolicy = await keeping;
  return networkPolicy === undefined ? report : { ...report, networkPolicy };
}

/** Mends the network policy of all sandboxes, beside the rest. Never throws: that it failed stands in the report. */
async function keepConfined(cleanup: Cleanup): Promise<CleanupReport['networkPolicy']> {
  const { kubernetes, config, signal } = cleanup;
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(settleMs)]);
    const networkPolicy = await keepNetworkPolicy(kubernetes, config, config.cleanupDryRun, patience);
    const isChanged = networkPolicy !== undefined && ['created', 'changed', 'removed'].includes(networkPolicy);
    if (isChanged) tell(cleanup, 'info', 'Kept the network policy', { networkPolicy });
    return networkPolicy;
  } catch (error) {
    // Where there is no namespace, there is nothing to confine.
    if (isNamespaceMissing(error) || isNamespaceTerminating(error)) return undefined;
    tell(cleanup, 'error', 'Could not keep the network policy', { error: error as Error });
    return 'failed';
  }
}

/**
 * What there is of each sandbox, Service and Pod together, and how many objects bear a sandbox's label and are none. The
 * Services are read first: what a Service is deleted by, its version, is then older than the Pod that it is judged with.
 */
async function findRemains({ kubernetes, signal }: Cleanup): Promise<{ remains: Remains[]; foreign: number }> {
  const services = await kubernetes.pageServices(signal);
  const pods = await kubernetes.pagePods(signal);
  const remains = new Map<string, Remains>();
  let foreign = 0;
  for (const service of services) {
    const sandboxId = findSandboxId(service, serviceName);
    if (sandboxId === undefined) foreign += 1;
    else remains.set(sandboxId, { sandboxId, service, pod: undefined });
  }
  for (const pod of pods) {
    const sandboxId = findSandboxId(pod, podName);
    if (sandboxId === undefined) foreign += 1;
    else remains.set(sandboxId, { sandboxId, service: remains.get(sandboxId)?.service, pod });
  }
  return { remains: [...remains.values()], foreign };
}

function tryToJudge(remains: Remains, cleanup: Cleanup, report: CleanupReport): Verdict | undefined {
  try {
    return judge(remains, cleanup);
  } catch (error) {
    countFailure(report, remains, error, cleanup);
    return undefined;
  }
}

function judge({ service, pod }: Remains, { now, config }: Cleanup): Verdict {
  if (service !== undefined) return judgeSandbox(service, pod, now(), config);
  return pod === undefined ? { keep: 'removed-meanwhile' } : judgeOrphanPod(pod, now(), config);
}

async function settleRemains({ remains, verdict }: ToDo, cleanup: Cleanup): Promise<Outcome> {
  const outcome = await carryOut(remains, verdict, cleanup);
  const { sandboxId } = remains;
  const line = { sandboxId, verdict, ...outcome };
  if ('kept' in outcome) log.info('Left a sandbox alone', line);
  else tell(cleanup, 'info', 'Settled a sandbox', line);
  if ('deleted' in outcome && !cleanup.config.cleanupDryRun) {
    const { service, pod } = remains;
    const whose = { threadId: findThreadId(service, pod), userId: findUserId(service, pod) };
    cleanup.noteRemoved?.({ sandboxId, ...whose, reason: outcome.deleted });
  }
  return outcome;
}

async function carryOut(remains: Remains, verdict: ToDo['verdict'], cleanup: Cleanup): Promise<Outcome> {
  const { service, pod } = remains;
  const isDry = cleanup.config.cleanupDryRun;
  if ('adopt' in verdict)
    return isDry || (await adopt(remains, cleanup)) ? { adopted: true } : { kept: 'used-meanwhile' };
  if (isDry) return { deleted: verdict.remove };
  if (service !== undefined) return removeSandbox(remains.sandboxId, service, pod, verdict.remove, cleanup);
  const deletion = pod && (await removeOrphanPod(pod, verdict.remove, cleanup));
  return toOutcome(deletion ?? 'gone', verdict.remove);
}

/** The verdicts that the state of the Pod has a part in: it may be another by now, without any use to tell. */
const aboutThePod: ReadonlySet<RemoveReason> = new Set(['service-without-pod', 'ended', 'never-ran']);

/** Deletes the Service as it was judged, and then the Pod that was seen behind it. */
async function removeSandbox(
  sandboxId: string,
  service: ListedService,
  seen: ListedPod | undefined,
  reason: RemoveReason,
  cleanup: Cleanup,
): Promise<Outcome> {
  const { kubernetes, signal } = cleanup;
  let pod = seen;
  if (aboutThePod.has(reason)) {
    pod = ifSandbox(await kubernetes.readPod(podName(sandboxId), signal), podName);
    const verdict = judge({ sandboxId, service, pod }, cleanup);
    if (!('remove' in verdict)) return { kept: 'used-meanwhile' };
  }
  const { uid = '', resourceVersion = '' } = service.metadata ?? {};
  const deletion = await kubernetes.deleteService(serviceName(sandboxId), { uid, resourceVersion }, signal);
  if (deletion === 'changed') return { kept: 'used-meanwhile' };
  // Also where it was gone: our deletion may have taken effect although its answer was lost.
  if (pod !== undefined) await removePod(pod, cleanup);
  return toOutcome(deletion, reason);
}

const toOutcome = (deletion: Deletion, reason: RemoveReason): Outcome =>
  deletion === 'deleted' ? { deleted: reason } : { kept: deletion === 'gone' ? 'removed-meanwhile' : 'used-meanwhile' };

/**
 * Deletes a Pod that was listed without its Service. The Services were listed first: one that has an owner may have got it
 * since, from a create that took it over. (For one that has none, its version tells.)
 */
async function removeOrphanPod(pod: ListedPod, reason: RemoveReason, cleanup: Cleanup): Promise<Deletion> {
  const { kubernetes, signal } = cleanup;
  const { name = '', uid = '' } = pod.metadata ?? {};
  // Without grace: the kubelet that would confirm its end does not answer.
  if (reason === 'stuck') return kubernetes.evictPod(name, { uid }, signal);
  if (isOwned(pod) && (await findService(pod, cleanup))) return 'changed';
  return removePod(pod, cleanup);
}

/**
 * Deletes this Pod, whose Service is gone. By its UID; one without an owner, the original provisioner's, a create may have
 * taken over since: that only as it was when there was no Service, and again if nothing but its state has changed.
 */
async function removePod(pod: ListedPod, cleanup: Cleanup): Promise<Deletion> {
  const { kubernetes, signal } = cleanup;
  const { name = '', uid = '' } = pod.metadata ?? {};
  if (isOwned(pod)) return kubernetes.deletePod(name, { uid }, signal);
  let current: ListedPod | undefined = pod;
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    const { resourceVersion = '' }: ListedMetadata = current.metadata ?? {};
    if (await findService(current, cleanup)) return 'changed';
    const deletion = await kubernetes.deletePod(name, { uid, resourceVersion }, signal);
    if (deletion !== 'changed') return deletion;
    current = await kubernetes.readPod(name, signal);
    if (current === undefined) return 'gone';
    if (current.metadata?.uid !== uid || isOwned(current)) return 'changed';
  }
  return 'changed';
}

/** The Service that there is now for a sandbox's Pod. */
async function findService(pod: ListedPod, { kubernetes, signal }: Cleanup): Promise<ListedService | undefined> {
  const name = serviceName(findSandboxId(pod, podName) ?? '');
  return ifSandbox(await kubernetes.readService(name, signal), serviceName);
}

/** How often a Pod is tried to be deleted whose state changes all the time. */
const maxAttempts = 3;

/** Stamps what the original provisioner made as used now; false if it changed since it was judged. */
async function adopt({ sandboxId, service, pod }: Remains, cleanup: Cleanup): Promise<boolean> {
  const { kubernetes, config, now, signal, requestId } = cleanup;
  const object = service ?? pod ?? {};
  const annotations = {
    ...useAnnotations({ at: now(), requestId, ttlSeconds: findTtlSeconds(object, config) }),
    ...ownerAnnotations({ threadId: findThreadId(service, pod), userId: findUserId(service, pod) }),
  };
  const patch = { metadata: { resourceVersion: object.metadata?.resourceVersion, annotations } };
  try {
    if (service !== undefined) await kubernetes.patchService(serviceName(sandboxId), patch, signal);
    else await kubernetes.patchPod(podName(sandboxId), patch, signal);
    return true;
  } catch (error) {
    if (isConflict(error) || isNotFound(error)) return false;
    throw error;
  }
}

/** A line of what it did, or of what failed and may be done in part: a change, but for a dry run's. */
function tell(
  { config, requestId }: Cleanup,
  level: 'info' | 'warn' | 'error',
  message: string,
  details: object,
): void {
  const dryRun = config.cleanupDryRun;
  const line = { requestId, caller: 'clean-up', ...details, dryRun };
  if (dryRun) log[level](message, line);
  else log.audit(level, message, line);
}

function countFailure(report: CleanupReport, { sandboxId }: Remains, error: unknown, cleanup: Cleanup): void {
  const reason = error instanceof KubernetesError ? error.reason : 'it could not be judged';
  report.failed[reason] = (report.failed[reason] ?? 0) + 1;
  tell(cleanup, 'warn', 'Could not clean up a sandbox', { sandboxId, reason, error: error as Error });
}

function count(report: CleanupReport, outcome: Outcome): void {
  if ('deleted' in outcome) report.deleted[outcome.deleted] = (report.deleted[outcome.deleted] ?? 0) + 1;
  else if ('kept' in outcome) report.kept[outcome.kept] = (report.kept[outcome.kept] ?? 0) + 1;
  else report.adopted += 1;
}
