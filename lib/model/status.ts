import type { V1Pod } from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import { findExpiresAt } from './expiry.ts';
import type { ListedPod, ListedService } from './listed.ts';
import { belongsTo } from './ownership.ts';

/** What a caller sees of a sandbox. Times are RFC 3339; `expires_at` is null for one that does not expire. */
export type SandboxView = {
  sandbox_id: string;
  sandbox_url: string;
  status: SandboxStatus;
  created_at: string | null;
  expires_at: string | null;
};

/** A Pod's phase, or `NotFound` where the sandbox has no Pod that will stay, or is being removed with its Service. */
export type SandboxStatus = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown' | 'NotFound';

const phases: ReadonlySet<string> = new Set(['Pending', 'Running', 'Succeeded', 'Failed']);

/** What a caller sees of a Service with its Pod, or of one without; undefined while the Service has no NodePort. */
export function viewSandbox(
  sandboxId: string,
  service: ListedService,
  pod: ListedPod | undefined,
  config: SandboxSettings,
): SandboxView | undefined {
  const nodePort = findNodePort(service);
  if (nodePort === undefined) return undefined;
  return {
    sandbox_id: sandboxId,
    sandbox_url: `http://${config.nodeHost}:${nodePort}`,
    status: statusOf(service, pod),
    created_at: service.metadata?.creationTimestamp?.toISOString() ?? null,
    expires_at: findExpiresAt(service, config)?.toISOString() ?? null,
  };
}

/** The port on every node that leads to the sandbox; undefined until Kubernetes has allocated it. */
export function findNodePort(service: ListedService): number | undefined {
  return service.spec?.ports?.find((port) => port.name === 'http')?.nodePort || undefined;
}

/** Whether this Pod serves the sandbox or will: it belongs to the Service and has not ended. */
export function isServing(pod: ListedPod, service: ListedService): boolean {
  return belongsTo(pod, service) && pod.status?.phase !== 'Failed' && pod.status?.phase !== 'Succeeded';
}

/** How long the container of a Pod may be about to be made, in seconds: as long as DeerFlow waits for a sandbox. */
const makingSeconds = 60;

/** What the kubelet says of a container that it is about to make, or whose init containers (a webhook's) still run. */
const beingMade: readonly string[] = ['ContainerCreating', 'PodInitializing'];

/**
 * Whether a Pod never ran and, as it is, cannot: no node takes it, or its container cannot be made (its image, its settings, its
 * volumes). Kubernetes goes on trying, and what it lacks may come; but nothing is lost with it.
 */
export function cannotStart(pod: V1Pod, now: Date): boolean {
  const { phase, conditions = [], containerStatuses = [] } = pod.status ?? {};
  if (phase !== 'Pending' || containerStatuses.some((one) => one.restartCount > 0 || !one.state?.waiting)) return false;
  if (conditions.some((one) => one.type === 'PodScheduled' && one.reason === 'Unschedulable')) return true;
  // Of a volume that cannot be mounted the kubelet says no more than that.
  const isBeingMade = containerStatuses.every((one) => beingMade.includes(one.state?.waiting?.reason ?? ''));
  const ageMs = now.getTime() - (pod.metadata?.creationTimestamp?.getTime() ?? now.getTime());
  return containerStatuses.length > 0 && (!isBeingMade || ageMs > makingSeconds * 1000);
}

function statusOf(service: ListedService, pod: ListedPod | undefined): SandboxStatus {
  const isGoing = service.metadata?.deletionTimestamp !== undefined;
  if (isGoing || pod === undefined || !belongsTo(pod, service)) return 'NotFound';
  const phase = pod.status?.phase ?? 'Unknown';
  return phases.has(phase) ? (phase as SandboxStatus) : 'Unknown';
}
