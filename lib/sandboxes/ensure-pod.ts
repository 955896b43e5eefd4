import type { V1Pod, V1Service } from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import { describeFailure, ProvisionerError } from '../errors.ts';
import {
  isAlreadyExists,
  isConflict,
  isNamespaceMissing,
  isNamespaceTerminating,
  isNotFound,
} from '../kubernetes/index.ts';
import { findThreadId, findUserId } from '../model/adoption.ts';
import { buildOwner, buildPod, isMadeOtherwise, withPortOf } from '../model/manifests.ts';
import { ifSandbox, podName, serviceName } from '../model/names.ts';
import { isOwned, isOwnedByAnother } from '../model/ownership.ts';
import type { CreateSandboxRequest } from '../model/request.ts';
import { cannotStart, findMaxShellSessions, isServing } from '../model/status.ts';
import { forgetNetworkPolicy } from './network-policy.ts';
import { notEnoughTime, Obstacle, type Operation, pause, type Settled, unwrap } from './operation.ts';

/** How a create came to its Pod. */
export type PodDeed = 'found' | 'healed' | 'replaced' | 'adopted';

/**
 * A Pod that serves behind this Service, and how it came to be: the one that was read, one that another request made, or a new one. A Pod that
 * terminates, has ended or is another Service's stands in the way, and is taken away at once, by its UID; so is one that cannot
 * start and would be made otherwise today, if that is still so. A new one is made only once `confining`, the network policy, is
 * done.
 */
export async function ensurePod(
  request: CreateSandboxRequest,
  service: V1Service,
  read: Settled<V1Pod | undefined>,
  isNew: boolean,
  confining: Promise<Settled<void>>,
  operation: Operation,
): Promise<{ pod: V1Pod; did: PodDeed }> {
  const { kubernetes, now, signal } = operation;
  const config = withPortOf(service, operation.config);
  const name = podName(request.sandboxId);
  // For a new sandbox it does not matter that the Pod could not be read: creating it will tell.
  let pod = isNew && 'error' in read ? undefined : unwrap('Pod lookup failed', read);
  let obstacle: string | undefined;
  let isReplaced = false;
  /** What stood in the way tells more than that time was over for the call after it. */
  const describe = (failure: unknown) =>
    signal.aborted && obstacle ? notEnoughTime(obstacle, failure) : describeFailure('Pod creation failed', failure);
  for (let attempt = 0; ; attempt += 1) {
    const seen = pod;
    if (seen !== undefined) requireSandbox('Pod', seen);
    const isKept = seen !== undefined && isServing(seen, service);
    // One that the original provisioner made, and whose Service was deleted, may be another thread's.
    if (isKept) requireOwner(request, undefined, seen);
    const isMisplaced = isKept && !listensWhere(seen, config);
    const isHopeless = isKept && cannotStart(seen, now()) && isMadeOtherwise(seen, request, config);
    if (isKept && !isHopeless && !isMisplaced) {
      requireCapacity(request, seen);
      const wasAlone = !isOwned(seen) && (isNew || isOlder(seen, service));
      const owned = wasAlone ? await takeOver(seen, service, operation) : seen;
      if (owned !== undefined) return { pod: owned, did: wasAlone ? 'adopted' : 'found' };
      await pause(attempt, 'its Pod is being changed all the time', signal);
      pod = await kubernetes.readPod(name, signal).catch((error) => {
        throw describeFailure('Pod lookup failed', error);
      });
      continue;
    }
    // Another Service's Pod is what is left of an older sandbox, unless it is our Service that is the older one by now: as
    // long as ours is there, no other can have been made, so a Pod that was read before is not a newer sandbox's.
    if (seen !== undefined && isOwnedByAnother(seen, service)) await requireSameService(service, operation);
    requireConfined(await confining);
    isReplaced ||= isKept;
    try {
      if (seen !== undefined) {
        const { uid = '', resourceVersion = '' } = seen.metadata ?? {};
        // It may have started since it was read.
        await kubernetes.evictPod(name, isHopeless && !isMisplaced ? { uid, resourceVersion } : { uid }, signal);
      }
      const made = await kubernetes.createPod(buildPod(request, service, config), signal);
      return { pod: made, did: isReplaced ? 'replaced' : 'healed' };
    } catch (failure) {
      if (signal.aborted) throw describe(failure);
      if (isNamespaceMissing(failure) || isNamespaceTerminating(failure)) {
        forgetNetworkPolicy(kubernetes);
        throw new Obstacle('its namespace is being deleted');
      }
      pod = await kubernetes.readPod(name, signal).catch((error) => {
        throw describe(isAlreadyExists(failure) ? error : failure);
      });
      // Whatever Kubernetes says to the creation: if a request beside this one made the Pod, the sandbox is there.
      const made = pod !== undefined && isServing(pod, service);
      if (!made && !isAlreadyExists(failure)) throw describeFailure('Pod creation failed', failure);
    }
    obstacle = describeGoing('Pod', pod);
    if (attempt > 0) await pause(attempt - 1, obstacle, signal);
  }
}

/** Says of an object that is to go that it is still there, and what holds it: finalizers, which name controllers. */
export function describeGoing(kind: 'Pod' | 'Service', object: V1Pod | V1Service | undefined): string {
  const finalizers = object?.metadata?.finalizers ?? [];
  const holders = finalizers.length === 0 ? '' : `, held by its finalizers: ${finalizers.slice(0, 3).join(', ')}`;
  return `its old ${kind} is still there${holders}`;
}

/** No Pod is made that the network policy is not there for. */
function requireConfined(confined: Settled<void>): void {
  if ('value' in confined) return;
  const { error } = confined;
  if (isNamespaceMissing(error) || isNamespaceTerminating(error)) throw new Obstacle('its namespace is being deleted');
  throw describeFailure('Network policy update failed', error);
}

const isOlder = (pod: V1Pod, service: V1Service): boolean =>
  (pod.metadata?.creationTimestamp ?? 0) < (service.metadata?.creationTimestamp ?? 0);

/**
 * Makes the Pod, the original provisioner's, the Service's own, and gives it; undefined if it changed meanwhile. For one that
 * was there before the Service: the clean-up may have found it without one, and deletes it only as it was then. From now on
 * it is another.
 */
async function takeOver(pod: V1Pod, service: V1Service, operation: Operation): Promise<V1Pod | undefined> {
  const { kubernetes, signal } = operation;
  const { name = '', uid, resourceVersion } = pod.metadata ?? {};
  const patch = { metadata: { uid, resourceVersion, ownerReferences: [buildOwner(service)] } };
  try {
    return await kubernetes.patchPod(name, patch, signal);
  } catch (error) {
    if (isConflict(error) || isNotFound(error)) return undefined;
    throw describeFailure('Pod update failed', error);
  }
}

/** Throws `conflict` if the sandbox is known to be another thread's, or another user's. */
export function requireOwner(
  { sandboxId, threadId, userId }: CreateSandboxRequest,
  service: V1Service | undefined,
  pod: V1Pod | undefined,
): void {
  const refuse = (whose: string) => {
    throw new ProvisionerError('conflict', `Sandbox '${sandboxId}' belongs to another ${whose}`);
  };
  if ((findThreadId(service, pod) ?? threadId) !== threadId) refuse('thread');
  if (userId !== undefined && (findUserId(service, pod) ?? userId) !== userId) refuse('user');
}

/**
 * Throws `conflict`, in the original's words, if the Pod has room for fewer shells than the request needs: to replace it would end
 * what runs in it.
 */
function requireCapacity({ maxShellSessions = 0 }: CreateSandboxRequest, pod: V1Pod): void {
  if (findMaxShellSessions(pod) >= maxShellSessions) return;
  throw new ProvisionerError(
    'conflict',
    'Existing sandbox shell capacity is below the requested value; replacement must be coordinated by the Gateway',
  );
}

/** Whether the Pod is one for this port; so is one that names none. */
const listensWhere = (pod: V1Pod, { containerPort }: SandboxSettings): boolean => {
  const ports = pod.spec?.containers.flatMap(({ ports = [] }) => ports) ?? [];
  return ports.length === 0 || ports.some((port) => port.containerPort === containerPort);
};

/** Throws `conflict` for what only bears the name of a sandbox's object: it is not to be touched. */
export function requireSandbox(kind: 'Pod' | 'Service', object: V1Service | V1Pod): void {
  if (ifSandbox<V1Service | V1Pod>(object, kind === 'Pod' ? podName : serviceName) !== undefined) return;
  throw new ProvisionerError('conflict', `${kind} ${object.metadata?.name} is there, but is no sandbox`);
}

/** The Service as it is now, if it is still the one that was claimed; an obstacle if it is gone or another one. */
export async function requireSameService(service: V1Service, { kubernetes, signal }: Operation): Promise<V1Service> {
  const current = await kubernetes.readService(service.metadata?.name ?? '', signal).catch((error) => {
    throw describeFailure('Service lookup failed', error);
  });
  if (current?.metadata?.uid === service.metadata?.uid && current !== undefined) return current;
  throw new Obstacle('its Service was removed meanwhile');
}
