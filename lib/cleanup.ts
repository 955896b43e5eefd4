import type { V1Pod, V1Service } from '@kubernetes/client-node';
import type { Config } from './config.ts';
import { KubernetesError } from './errors.ts';
import { judgeOrphanPod, judgeSandbox, type KeepReason, type RemoveReason, type Verdict } from './expiry.ts';
import { isConflict, isNamespaceMissing, isNamespaceTerminating, isNotFound, type Kubernetes } from './kubernetes.ts';
import { log } from './log.ts';
import { useAnnotations } from './manifests.ts';
import { podName, sandboxIdLabel, serviceName, threadIdAnnotation } from './names.ts';
import { keepNetworkPolicy, type NetworkPolicyState } from './network-policy.ts';
import { isOwned } from './ownership.ts';
import { findThreadId } from './status.ts';

/** What a clean-up works with. */
export type Cleanup = Readonly<{
  kubernetes: Kubernetes;
  config: Config;
  /** The clock. */
  now: () => Date;
  /** Ends the calls that are under way. */
  signal: AbortSignal;
  /** From when on no further sandbox is begun: some seconds before `signal`. */
  stop: AbortSignal;
  requestId: string;
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
type Remains = { sandboxId: string; service: V1Service | undefined; pod: V1Pod | undefined };
type Outcome = { deleted: RemoveReason } | { kept: KeepReason } | { adopted: true };

/**
 * Removes every sandbox that nobody uses any more, and what is left of broken ones, and reports. It never takes one that is
 * in use: a Service is deleted only as it was judged, by UID and resource version, which every use changes. One that cannot
 * be judged or removed is counted as failed and stops no other. Throws only when Kubernetes cannot be listed.
 */
export async function cleanUpSandboxes(cleanup: Cleanup): Promise<CleanupReport> {
  const { config, stop } = cleanup;
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
  const queue = await findRemains(cleanup);
  report.examined = queue.length;
  const worker = async () => {
    for (let remains = queue.shift(); remains !== undefined; remains = queue.shift()) {
      if (stop.aborted) {
        report.remaining += 1;
        continue;
      }
      try {
        count(report, await settleRemains(remains, cleanup));
      } catch (error) {
        const reason = error instanceof KubernetesError ? error.reason : 'it could not be judged';
        report.failed[reason] = (report.failed[reason] ?? 0) + 1;
        log.warn('Could not clean up a sandbox', { sandboxId: remains.sandboxId, reason, error: error as Error });
      }
    }
  };
  await Promise.all(Array.from({ length: config.cleanupConcurrency }, worker));
  const networkPolicy = await keeping;
  return networkPolicy === undefined ? report : { ...report, networkPolicy };
}

/** Mends the network policy of all sandboxes, beside the rest. Never throws: that it failed stands in the report. */
async function keepConfined({ kubernetes, config, signal }: Cleanup): Promise<CleanupReport['networkPolicy']> {
  try {
    return await keepNetworkPolicy(kubernetes, config, config.cleanupDryRun, signal);
  } catch (error) {
    // Where there is no namespace, there is nothing to confine.
    if (isNamespaceMissing(error) || isNamespaceTerminating(error)) return undefined;
    log.error('Could not keep the network policy', { error: error as Error });
    return 'failed';
  }
}

/**
 * Everything that bears the label of a sandbox, Service and Pod together. The Pods are read first: a Service is made before
 * its Pod, so a Pod without a Service in the later list has lost it.
 */
async function findRemains({ kubernetes, signal }: Cleanup): Promise<Remains[]> {
  const pods = await kubernetes.pagePods(signal);
  const services = await kubernetes.pageServices(signal);
  const remains = new Map<string, Remains>();
  for (const service of services) {
    const sandboxId = service.metadata?.labels?.[sandboxIdLabel] ?? '';
    remains.set(service.metadata?.name ?? '', { sandboxId, service, pod: undefined });
  }
  for (const pod of pods) {
    const sandboxId = pod.metadata?.labels?.[sandboxIdLabel] ?? '';
    const found = remains.get(serviceName(sandboxId));
    if (found !== undefined && pod.metadata?.name === podName(sandboxId)) found.pod = pod;
    else remains.set(`pod ${pod.metadata?.name}`, { sandboxId, service: undefined, pod });
  }
  return [...remains.values()];
}

async function settleRemains(remains: Remains, cleanup: Cleanup): Promise<Outcome> {
  const verdict = judge(remains, cleanup);
  if ('keep' in verdict) return { kept: verdict.keep };
  const { sandboxId } = remains;
  log.info('adopt' in verdict ? 'Adopting a sandbox' : 'Removing a sandbox', {
    sandboxId,
    ...verdict,
    dryRun: cleanup.config.cleanupDryRun,
  });
  if ('adopt' in verdict) {
    const adopted = cleanup.config.cleanupDryRun || (await adopt(remains, cleanup));
    return adopted ? { adopted: true } : { kept: 'used-meanwhile' };
  }
  const removed = cleanup.config.cleanupDryRun || (await remove(remains, cleanup));
  return removed ? { deleted: verdict.remove } : { kept: 'used-meanwhile' };
}

function judge({ sandboxId, service, pod }: Remains, { now, config }: Cleanup): Verdict {
  // What bears the label, but not the name that goes with it, is somebody else's.
  const isNamed = service === undefined || service.metadata?.name === serviceName(sandboxId);
  if (!isNamed || (pod !== undefined && pod.metadata?.name !== podName(sandboxId))) return { keep: 'not-a-sandbox' };
  if (service !== undefined) return judgeSandbox(service, pod, now(), config);
  return pod === undefined ? { keep: 'not-a-sandbox' } : judgeOrphanPod(pod, now(), config);
}

/** Deletes what was judged, and only that; false if it was used, changed or removed since. */
async function remove({ sandboxId, service, pod }: Remains, { kubernetes, signal }: Cleanup): Promise<boolean> {
  if (service !== undefined) {
    const { uid = '', resourceVersion = '' } = service.metadata ?? {};
    if (!(await kubernetes.deleteService(serviceName(sandboxId), { uid, resourceVersion }, signal))) return false;
  } else if ((await kubernetes.readService(serviceName(sandboxId), signal)) !== undefined) {
    return false;
  }
  if (pod === undefined) return true;
  const { uid = '', resourceVersion = '' } = pod.metadata ?? {};
  // One without an owner, the original provisioner's, a create may have taken over since: as it was judged, or not at all.
  const preconditions = isOwned(pod) ? { uid } : { uid, resourceVersion };
  const removed = await kubernetes.deletePod(podName(sandboxId), preconditions, signal);
  return removed || service !== undefined;
}

/** Stamps what the original provisioner made as used now; false if it changed since it was judged. */
async function adopt({ sandboxId, service, pod }: Remains, cleanup: Cleanup): Promise<boolean> {
  const { kubernetes, config, now, signal, requestId } = cleanup;
  const object = service ?? pod;
  const threadId = findThreadId(service, pod);
  const annotations = {
    ...useAnnotations({ at: now(), requestId, ttlSeconds: config.sandboxTtlSeconds }),
    ...(threadId !== undefined && { [threadIdAnnotation]: threadId }),
  };
  const patch = { metadata: { resourceVersion: object?.metadata?.resourceVersion, annotations } };
  try {
    if (service !== undefined) await kubernetes.patchService(serviceName(sandboxId), patch, signal);
    else await kubernetes.patchPod(podName(sandboxId), patch, signal);
    return true;
  } catch (error) {
    if (isConflict(error) || isNotFound(error)) return false;
    throw error;
  }
}

function count(report: CleanupReport, outcome: Outcome): void {
  if ('deleted' in outcome) report.deleted[outcome.deleted] = (report.deleted[outcome.deleted] ?? 0) + 1;
  else if ('kept' in outcome) report.kept[outcome.kept] = (report.kept[outcome.kept] ?? 0) + 1;
  else report.adopted += 1;
}
