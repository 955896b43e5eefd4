import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { describeFailure, KubernetesError } from '../errors.ts';
import type { Deletion } from '../kubernetes/index.ts';
import { findThreadId, findUserId } from '../model/adoption.ts';
import { ifSandbox, podName, serviceName } from '../model/names.ts';
import { isOwned, isOwnedByAnother } from '../model/ownership.ts';
import { forgetAlive, type Operation, type Settled, settle, unwrap } from './operation.ts';

/**
 * Removes the sandbox, its Service and its Pod: two round trips, because Kubernetes deletes by UID only what was read before.
 * What only bears their names is left alone, and so is a sandbox that a create beside it makes anew. One that is not there, or
 * only half, is no error; the Pod gets its grace period. Throws with all that could not be removed.
 */
export async function destroySandbox(sandboxId: string, operation: Operation): Promise<void> {
  const { kubernetes, signal, note } = operation;
  forgetAlive(sandboxId, operation);
  const readService = async () => ifSandbox(await kubernetes.readService(serviceName(sandboxId), signal), serviceName);
  const readPod = async () => ifSandbox(await kubernetes.readPod(podName(sandboxId), signal), podName);
  // Both, before either is deleted: a create could otherwise make the sandbox anew before its Pod is read.
  const seen = await Promise.all([settle(readService()), settle(readPod())]);
  const removePod = async () => {
    if (await isAnothers(seen[0], seen[1], readService)) return;
    await removeSeen(seen[1], readPod, (uid) => kubernetes.deletePod(podName(sandboxId), { uid }, signal));
  };
  const [service, pod] = await Promise.all([
    settle(
      removeSeen(seen[0], readService, (uid) => kubernetes.deleteService(serviceName(sandboxId), { uid }, signal)),
    ),
    settle(removePod()),
  ]);
  const failures = [
    ...('error' in service ? [{ what: 'service', error: service.error }] : []),
    ...('error' in pod ? [{ what: 'pod', error: pod.error }] : []),
  ];
  if (failures.length === 0) {
    const [oldService, oldPod] = [unwrap('Service lookup failed', seen[0]), unwrap('Pod lookup failed', seen[1])];
    // A Pod has its grace period: what is going already was deleted by another.
    const wasThere = [oldService, oldPod].some((one) => one !== undefined && !one.metadata?.deletionTimestamp);
    const whose = { threadId: findThreadId(oldService, oldPod), userId: findUserId(oldService, oldPod) };
    note?.({ did: wasThere ? 'deleted' : 'absent', ...whose });
    return;
  }
  const reasons = failures.map(
    ({ what, error }) => `${what}: ${error instanceof KubernetesError ? error.reason : 'the call failed'}`,
  );
  throw describeFailure('Partial cleanup', failures[0]?.error, reasons.join(', '));
}

/**
 * Whether the Pod is another Service's: that of a sandbox which was made anew between the two looks, or what is left of an older
 * one, which the garbage collector takes.
 */
async function isAnothers(
  service: Settled<V1Service | undefined>,
  pod: Settled<V1Pod | undefined>,
  readService: () => Promise<V1Service | undefined>,
): Promise<boolean> {
  if ('error' in service || 'error' in pod || pod.value === undefined || !isOwned(pod.value)) return false;
  if (service.value !== undefined) return isOwnedByAnother(pod.value, service.value);
  // A Service comes before its Pod: if there is one now, it may be this Pod's.
  return (await readService()) !== undefined;
}

/** Deletes what was seen, if it is still that. Throws what the calls throw. */
async function removeSeen(
  seen: Settled<V1Service | V1Pod | undefined>,
  read: () => Promise<V1Service | V1Pod | undefined>,
  remove: (uid: string) => Promise<Deletion>,
): Promise<void> {
  if ('error' in seen) throw seen.error;
  const uid = seen.value?.metadata?.uid;
  if (uid === undefined || (await remove(uid)) !== 'changed') return;
  // A conflict says that another has taken its place; or something else, and then it is still there.
  if ((await read())?.metadata?.uid === uid) throw new KubernetesError('conflict', 'Conflict');
}
