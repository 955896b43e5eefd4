import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { describeFailure, KubernetesError, ProvisionerError } from './errors.ts';
import { isUseDue } from './expiry.ts';
import { type Deletion, isExpired, isInvalidToken } from './kubernetes.ts';
import { useAnnotations } from './manifests.ts';
import { findSandboxId, ifSandbox, podName, serviceName } from './names.ts';
import { type PageRequest, unknownContinueToken } from './request.ts';
import { type Operation, seenAlive, settle, unwrap } from './sandboxes/operation.ts';
import { hasPod, notFound, present, readSandbox, readTogether } from './sandboxes/reading.ts';
import { annotate, noteLook, noteUse, renewOriginal } from './sandboxes/uses.ts';
import { type SandboxView, viewSandbox } from './status.ts';

export { createSandbox } from './sandboxes/create.ts';
export type { Operation } from './sandboxes/operation.ts';

/**
 * The sandbox as it is now: one round trip, two where it seems to have no Pod. Counts as a use, and notes it where that is
 * due: one more. Throws `not-found` only when Kubernetes says that its Service is not there.
 */
export async function getSandbox(sandboxId: string, operation: Operation): Promise<SandboxView> {
  const { config, now } = operation;
  const { service, pod } = await readTogether(
    () => readSandbox(sandboxId, operation),
    ({ service, pod }) => service === undefined || hasPod(service, pod),
  );
  if (service === undefined) throw notFound(sandboxId);
  const current = isUseDue(service, now(), config) ? await noteLook(sandboxId, service, operation) : service;
  return present(sandboxId, current, pod, config);
}

/**
 * Notes a use of the sandbox, which puts its expiry off, and with `ttlSeconds` for how long it may go unused from now on: one
 * round trip. Throws `not-found` if it is not there, or is being removed.
 */
export async function renewSandbox(
  sandboxId: string,
  ttlSeconds: number | undefined,
  operation: Operation,
): Promise<SandboxView> {
  const { kubernetes, config, now, signal, requestId } = operation;
  const reading = settle(kubernetes.readPod(podName(sandboxId), signal));
  const annotations = useAnnotations({ at: now(), requestId, ttlSeconds });
  const service = await noteUse(sandboxId, annotate(annotations), operation, () =>
    renewOriginal(sandboxId, annotations, operation),
  );
  if (service === undefined) throw notFound(sandboxId);
  const pod = ifSandbox(unwrap('Pod lookup failed', await reading), podName);
  return present(sandboxId, service, pod, config);
}

/**
 * Every sandbox of the namespace, or of these ids, that has a NodePort: one round trip, whatever their number, and one more where a Pod was seen
 * that ends or is behind another Service by now. A sandbox may be without any Pod for long; that alone costs no more.
 */
export async function listSandboxes(operation: Operation, sandboxIds?: readonly string[]): Promise<SandboxView[]> {
  const sandboxes = await readTogether(
    () => readSandboxes(operation, sandboxIds),
    (seen) => seen.every(({ service, pod }) => pod === undefined || hasPod(service, pod)),
  );
  return sandboxes.flatMap(
    ({ sandboxId, service, pod }) => viewSandbox(sandboxId, service, pod, operation.config) ?? [],
  );
}

/**
 * A page of the sandboxes, by name, and where the next one begins, if there is more: two round trips. The pages together are of
 * those that there were at the first one; each is shown as it is now, and not at all if it is gone. Throws `expired` when
 * Kubernetes does not remember any more what there was, after some minutes: the caller then has to begin again.
 */
export async function listSandboxPage(
  { limit, continueToken }: PageRequest,
  operation: Operation,
): Promise<{ sandboxes: SandboxView[]; continue?: string }> {
  const { kubernetes, signal } = operation;
  const page = await kubernetes.readServicePage(limit, continueToken, signal).catch((error) => {
    if (isExpired(error)) {
      throw new ProvisionerError('expired', 'The continue has expired: list again from the start', { cause: error });
    }
    if (continueToken !== undefined && isInvalidToken(error)) throw unknownContinueToken(continueToken, error);
    throw describeFailure('Failed to list services', error);
  });
  const ids = page.items.flatMap((service) => findSandboxId(service, serviceName) ?? []);
  // A page shows the Services as they were at the first one. The Pods that there are now may belong to newer ones, so it only
  // says which sandboxes are meant.
  const sandboxes = ids.length === 0 ? [] : await listSandboxes(operation, ids);
  const { _continue } = page.metadata;
  return { sandboxes, ...(_continue && { continue: _continue }) };
}

async function readSandboxes({ kubernetes, signal }: Operation, sandboxIds: readonly string[] | undefined) {
  const [services, pods] = await Promise.all([
    settle(kubernetes.listServices(signal, sandboxIds)),
    settle(kubernetes.listPods(signal, sandboxIds)),
  ]);
  const found = unwrap('Failed to list services', services);
  const podOf = new Map(unwrap('Failed to list pods', pods).map((pod) => [findSandboxId(pod, podName), pod]));
  return found.flatMap((service) => {
    const sandboxId = findSandboxId(service, serviceName);
    return sandboxId === undefined ? [] : [{ sandboxId, service, pod: podOf.get(sandboxId) }];
  });
}

/**
 * Removes the sandbox, its Service and its Pod: two round trips, because Kubernetes deletes by UID only what was read before.
 * What only bears their names is left alone, and so is a sandbox that a create beside it makes anew. One that is not there, or
 * only half, is no error; the Pod gets its grace period. Throws with all that could not be removed.
 */
export async function destroySandbox(sandboxId: string, { kubernetes, signal }: Operation): Promise<void> {
  seenAlive.remove(sandboxId);
  const [service, pod] = await Promise.all([
    settle(
      removeSeen(
        async () => ifSandbox(await kubernetes.readService(serviceName(sandboxId), signal), serviceName),
        (uid) => kubernetes.deleteService(serviceName(sandboxId), { uid }, signal),
      ),
    ),
    settle(
      removeSeen(
        async () => ifSandbox(await kubernetes.readPod(podName(sandboxId), signal), podName),
        (uid) => kubernetes.deletePod(podName(sandboxId), { uid }, signal),
      ),
    ),
  ]);
  const failures = [
    ...('error' in service ? [{ what: 'service', error: service.error }] : []),
    ...('error' in pod ? [{ what: 'pod', error: pod.error }] : []),
  ];
  if (failures.length === 0) return;
  const reasons = failures.map(
    ({ what, error }) => `${what}: ${error instanceof KubernetesError ? error.reason : 'the call failed'}`,
  );
  throw describeFailure('Partial cleanup', failures[0]?.error, reasons.join(', '));
}

/** Deletes what is read, if it is still that. Throws what the calls throw. */
async function removeSeen(
  read: () => Promise<V1Service | V1Pod | undefined>,
  remove: (uid: string) => Promise<Deletion>,
): Promise<void> {
  const uid = (await read())?.metadata?.uid;
  if (uid === undefined || (await remove(uid)) !== 'changed') return;
  // A conflict says that another has taken its place; or something else, and then it is still there.
  if ((await read())?.metadata?.uid === uid) throw new KubernetesError('conflict', 'Conflict');
}
