import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { threadIdAnnotation } from './names.ts';

/** What a caller sees of a sandbox. */
export type SandboxView = { sandbox_id: string; sandbox_url: string; status: SandboxStatus };

/** A Pod's phase, or `NotFound` where the sandbox has no Pod that will stay. */
export type SandboxStatus = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown' | 'NotFound';

const phases: ReadonlySet<string> = new Set(['Pending', 'Running', 'Succeeded', 'Failed']);

/** What a caller sees of a Service with its Pod, or of one without; undefined while the Service has no NodePort. */
export function viewSandbox(
  sandboxId: string,
  service: V1Service,
  pod: V1Pod | undefined,
  nodeHost: string,
): SandboxView | undefined {
  const nodePort = findNodePort(service);
  if (nodePort === undefined) return undefined;
  return { sandbox_id: sandboxId, sandbox_url: `http://${nodeHost}:${nodePort}`, status: statusOf(service, pod) };
}

/** The port on every node that leads to the sandbox; undefined until Kubernetes has allocated it. */
export function findNodePort(service: V1Service): number | undefined {
  return service.spec?.ports?.find((port) => port.name === 'http')?.nodePort || undefined;
}

/**
 * Whether Kubernetes means to keep this Pod behind this Service. One with a deletion timestamp is being removed, and one
 * that a Service of another UID owns is about to be: the garbage collector removes an object whose owners are all gone.
 * A Pod without an owner is the original provisioner's and stays.
 */
export function belongsTo(pod: V1Pod, service: V1Service): boolean {
  return !isOwnedByAnother(pod, service) && pod.metadata?.deletionTimestamp === undefined;
}

/** Whether the Pod has owners, and this Service is none of them. */
export function isOwnedByAnother(pod: V1Pod, service: V1Service): boolean {
  const owners = pod.metadata?.ownerReferences ?? [];
  return owners.length > 0 && !owners.some((owner) => owner.uid === service.metadata?.uid);
}

/** Whether this Pod serves the sandbox or will: it belongs to the Service and has not ended. */
export function isServing(pod: V1Pod, service: V1Service): boolean {
  return belongsTo(pod, service) && pod.status?.phase !== 'Failed' && pod.status?.phase !== 'Succeeded';
}

/**
 * The thread that a sandbox was made for, as far as its objects tell: the Service's annotation, or, where the original
 * provisioner made the sandbox and noted nothing, the folder that its Pod mounts as user data.
 */
export function findThreadId(service: V1Service | undefined, pod: V1Pod | undefined): string | undefined {
  const noted = service?.metadata?.annotations?.[threadIdAnnotation];
  if (noted !== undefined) return noted;
  const path = pod?.spec?.volumes?.find((volume) => volume.name === 'user-data')?.hostPath?.path;
  return path?.match(/([^/]+)\/user-data$/)?.[1];
}

function statusOf(service: V1Service, pod: V1Pod | undefined): SandboxStatus {
  if (pod === undefined || !belongsTo(pod, service)) return 'NotFound';
  const phase = pod.status?.phase ?? 'Unknown';
  return phases.has(phase) ? (phase as SandboxStatus) : 'Unknown';
}
