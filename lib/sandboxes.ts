import { setTimeout as wait } from 'node:timers/promises';
import type { V1Pod, V1Service } from '@kubernetes/client-node';
import type { Config } from './config.ts';
import { describeFailure, KubernetesError, ProvisionerError } from './errors.ts';
import { findTtlSeconds, isUseDue } from './expiry.ts';
import {
  findRetryDelay,
  isAlreadyExists,
  isConflict,
  isExpired,
  isInvalidToken,
  isNamespaceMissing,
  isNamespaceTerminating,
  isNotFound,
  isTestFailed,
  isUncertain,
  type JsonPatchOperation,
  type Kubernetes,
} from './kubernetes.ts';
import { log } from './log.ts';
import { buildNamespace, buildOwner, buildPod, buildService, useAnnotations } from './manifests.ts';
import { lastUsedByAnnotation, podName, sandboxIdLabel, serviceName, threadIdAnnotation } from './names.ts';
import { forgetNetworkPolicy, requireNetworkPolicy } from './network-policy.ts';
import { belongsTo, isOwned, isOwnedByAnother } from './ownership.ts';
import { createRecentIds } from './recent-ids.ts';
import { type CreateSandboxRequest, type PageRequest, unknownContinueToken } from './request.ts';
import { findNodePort, findThreadId, isServing, type SandboxView, viewSandbox } from './status.ts';

/** What an operation on sandboxes works with. Everything it does in Kubernetes ends with `signal`, its deadline. */
export type Operation = Readonly<{
  kubernetes: Kubernetes;
  config: Config;
  /** The clock. */
  now: () => Date;
  signal: AbortSignal;
  /** Tells this request from every other. */
  requestId: string;
}>;

/** How long a Service may be without a NodePort, in milliseconds: as long as the original waits. */
const nodePortPatienceMs = 10_000;

/** How long a look at a sandbox may wait until it is noted, in milliseconds. */
const noteMs = 2_000;

/** What a call that cleans up after the operation's deadline may take, in milliseconds: at most two come in a row. */
const afterwardsMs = 1_250;

/**
 * The sandboxes that this process has seen alive. A hint, never the truth: it decides which call goes first. Kubernetes
 * charges a creation that fails because the name is taken to the namespace's quota all the same, and corrects that only
 * when it recounts, every five minutes: a caller who creates its sandbox at every turn would use up everybody's quota.
 */
const seenAlive = createRecentIds(5 * 60_000, 10_000);

/**
 * Makes the sandbox, or finds it and mends it: afterwards there is one Service and one Pod behind it that will serve. The
 * Service comes first, because its name is what concurrent requests meet at, its URL is what callers keep, and it owns the
 * Pod. A use is written on the Service before anything else is done to a sandbox that exists, so that whoever wants to take
 * it away, with the resource version that they saw as precondition, cannot.
 *
 * Two round trips in a row for a new sandbox, two or one for one that is there; the view may still be `Pending`.
 * Throws `conflict` if the sandbox is another thread's, `quota-exceeded`, and what calls to Kubernetes throw. It then takes
 * back what this request made, unless another request uses it by now, as far as Kubernetes can still be reached.
 */
export async function createSandbox(request: CreateSandboxRequest, operation: Operation): Promise<SandboxView> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await tryToCreate(request, operation);
    } catch (error) {
      if (!(error instanceof Obstacle)) throw error;
      if (error instanceof PassingFailure) await outwait(error, attempt, operation.signal);
      else await pause(attempt, error.message, operation.signal);
    }
  }
}

/** What stood in the way of a create, and will not for long: it begins again from the start. */
class Obstacle extends Error {}

/** The Service could not be created, in passing, and is known not to be there; worth some more attempts. */
class PassingFailure extends Obstacle {
  readonly failure: unknown;

  constructor(failure: unknown, refusal: unknown) {
    super('Kubernetes fails', { cause: refusal });
    this.failure = failure;
  }
}

/** How often a create begins again because Kubernetes failed in passing; obstacles have until the deadline. */
const maxRepeats = 2;

/** Waits as long as Kubernetes asks for, and a little. Throws the refusal where that, or another attempt, is too much. */
async function outwait({ failure, cause }: PassingFailure, attempt: number, signal: AbortSignal): Promise<void> {
  const waitMs = attempt < maxRepeats ? findRetryDelay(failure, attempt + 1) : undefined;
  if (waitMs === undefined) throw cause;
  await wait(waitMs, undefined, { signal }).catch(() => {
    throw cause;
  });
}

async function tryToCreate(request: CreateSandboxRequest, operation: Operation): Promise<SandboxView> {
  const { kubernetes, config, now, signal } = operation;
  const reading = settle(kubernetes.readPod(podName(request.sandboxId), signal));
  const confining = settle(requireNetworkPolicy(kubernetes, config, now(), signal));
  const claim = await claimService(request, operation);
  const pod = await reading;
  try {
    const service = await awaitNodePort(claim.service, operation);
    const serving = await ensurePod(request, service, pod, claim.isNew, confining, operation);
    seenAlive.add(request.sandboxId, now());
    return present(request.sandboxId, service, serving, config);
  } catch (error) {
    if (claim.isNew) await rollBack(claim.service, operation);
    throw error;
  }
}

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
 * round trip. Throws `not-found` if it is not there.
 */
export async function renewSandbox(
  sandboxId: string,
  ttlSeconds: number | undefined,
  operation: Operation,
): Promise<SandboxView> {
  const { kubernetes, config, now, signal, requestId } = operation;
  const reading = settle(kubernetes.readPod(podName(sandboxId), signal));
  const annotations = useAnnotations({ at: now(), requestId, ttlSeconds });
  const test: JsonPatchOperation = { op: 'test', path: pointer('labels', sandboxIdLabel), value: sandboxId };
  const service = await noteUse(sandboxId, test, annotations, operation, () =>
    renewOriginal(sandboxId, annotations, operation),
  );
  if (service === undefined) throw notFound(sandboxId);
  return present(sandboxId, service, unwrap('Pod lookup failed', await reading), config);
}

/**
 * For a Service without any annotation, the original provisioner's: notes its thread with the use, as long as its Pod tells it.
 * Undefined if it is not there, or no sandbox's. Throws Kubernetes' conflict if it changed meanwhile.
 */
async function renewOriginal(
  sandboxId: string,
  annotations: Record<string, string>,
  operation: Operation,
): Promise<V1Service | undefined> {
  const { service, pod } = await readSandbox(sandboxId, operation);
  const { labels, resourceVersion } = service?.metadata ?? {};
  if (labels?.[sandboxIdLabel] !== sandboxId) return undefined;
  const threadId = findThreadId(service, pod);
  const thread = threadId === undefined ? {} : { [threadIdAnnotation]: threadId };
  const patch = { metadata: { resourceVersion, annotations: { ...thread, ...annotations } } };
  return operation.kubernetes.patchService(serviceName(sandboxId), patch, operation.signal);
}

/**
 * Notes a look at this Service as a use. That it could not be noted is no reason not to show the sandbox, but for one: it is
 * not there any more. Throws `not-found` then.
 */
async function noteLook(sandboxId: string, service: V1Service, operation: Operation): Promise<V1Service> {
  const { kubernetes, now, signal, requestId } = operation;
  const { uid } = service.metadata ?? {};
  const annotations = useAnnotations({ at: now(), requestId });
  // With the UID that was seen: a sandbox that was made anew meanwhile is not this one, and is in use anyway.
  const patch = { metadata: { uid, annotations } };
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(noteMs)]);
    return await kubernetes.patchService(serviceName(sandboxId), patch, patience);
  } catch (error) {
    if (isNotFound(error)) throw notFound(sandboxId);
    log.info('Could not note the use of a sandbox', { sandboxId, cause: (error as Error).message });
    return service;
  }
}

const notFound = (sandboxId: string) => new ProvisionerError('not-found', `Sandbox '${sandboxId}' not found`);

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
  const ids = page.items.flatMap((service) => service.metadata?.labels?.[sandboxIdLabel] || []);
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
  const podOf = new Map(unwrap('Failed to list pods', pods).map((pod) => [pod.metadata?.name, pod]));
  return found.flatMap((service) => {
    const sandboxId = service.metadata?.labels?.[sandboxIdLabel];
    return sandboxId === undefined ? [] : [{ sandboxId, service, pod: podOf.get(podName(sandboxId)) }];
  });
}

/**
 * Removes the sandbox, its Service and its Pod: one round trip. One that is not there, or only half, is no error; the Pod
 * gets its grace period. Throws with all that could not be removed. Both go by name, so a create that runs beside it may
 * lose its new Pod to it; the next create mends that.
 */
export async function destroySandbox(sandboxId: string, { kubernetes, signal }: Operation): Promise<void> {
  seenAlive.remove(sandboxId);
  const [service, pod] = await Promise.all([
    settle(kubernetes.deleteService(serviceName(sandboxId), undefined, signal)),
    settle(kubernetes.deletePod(podName(sandboxId), undefined, signal)),
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

/** A Service that this request may build on; `isNew` if this request made it. */
type Claim = { service: V1Service; isNew: boolean };

/**
 * Creates the sandbox's Service, or writes a use on the one that is there. For a sandbox that was not seen lately, creating
 * is tried first: that is what makes a new one cost two round trips. Whatever Kubernetes says to it (a name that is taken,
 * a full quota, nothing at all), only a Service that is not there makes it a failure.
 */
async function claimService(request: CreateSandboxRequest, operation: Operation): Promise<Claim> {
  const { kubernetes, config, now, signal, requestId } = operation;
  if (seenAlive.has(request.sandboxId, now())) {
    const service = await useService(request, operation);
    if (service !== undefined) return { service, isNew: false };
  }
  const ttlSeconds = request.ttlSeconds ?? config.sandboxTtlSeconds;
  try {
    const service = buildService(request, { at: now(), requestId, ttlSeconds }, config);
    return { service: await kubernetes.createService(service, signal), isNew: true };
  } catch (failure) {
    const refusal = describeFailure('Service creation failed', failure);
    if (isUncertain(failure)) {
      const made = await findOwnService(request, operation);
      if (made !== undefined && !signal.aborted) return { service: made, isNew: true };
      if (made !== undefined) await rollBack(made, operation);
    }
    if (signal.aborted) throw refusal;
    if (isNamespaceMissing(failure) || isNamespaceTerminating(failure)) forgetNetworkPolicy(kubernetes);
    if (isNamespaceMissing(failure)) return createNamespace(operation);
    if (isNamespaceTerminating(failure)) throw new Obstacle('its namespace is being deleted');
    const taken = isAlreadyExists(failure);
    const service = await useService(request, operation).catch((error) => {
      // That a Service could not be used is only worth telling if there is one; another thread's is one.
      throw taken || error.outcome === 'conflict' ? error : refusal;
    });
    if (service !== undefined) return { service, isNew: false };
    if (taken) throw new Obstacle('its Service is being removed');
    throw findRetryDelay(failure, 1) === undefined ? refusal : new PassingFailure(failure, refusal);
  }
}

/** The Service, if this very request made it and nobody has used it since. Undefined also where that cannot be seen. */
async function findOwnService(request: CreateSandboxRequest, operation: Operation): Promise<V1Service | undefined> {
  const { kubernetes, requestId } = operation;
  const found = await kubernetes
    .readService(serviceName(request.sandboxId), AbortSignal.timeout(afterwardsMs))
    .catch(() => undefined);
  return found?.metadata?.annotations?.[lastUsedByAnnotation] === requestId ? found : undefined;
}

/** Makes the namespace that turned out to be missing; a request beside this one may have been faster. */
async function createNamespace({ kubernetes, config, signal }: Operation): Promise<never> {
  try {
    await kubernetes.createNamespace(buildNamespace(config), signal);
  } catch (error) {
    if (!isAlreadyExists(error)) throw describeFailure('Namespace creation failed', error);
  }
  throw new Obstacle('its namespace is not there yet');
}

/**
 * Writes a use on the sandbox's Service and gives the Service; undefined if it is not there. One call, if the Service
 * remembers this request's thread. Throws `conflict` if it is another thread's, and has then changed nothing.
 */
async function useService(request: CreateSandboxRequest, operation: Operation): Promise<V1Service | undefined> {
  const { now, requestId } = operation;
  const test: JsonPatchOperation = {
    op: 'test',
    path: pointer('annotations', threadIdAnnotation),
    value: request.threadId,
  };
  const annotations = useAnnotations({ at: now(), requestId, ttlSeconds: request.ttlSeconds });
  return noteUse(request.sandboxId, test, annotations, operation, () => adoptService(request, operation));
}

/**
 * Writes these annotations on the sandbox's Service if the test holds, and gives the Service; where it does not hold, what
 * `otherwise` gives. Undefined if the Service is not there. Begins again when the Service is changed at the same moment.
 */
async function noteUse(
  sandboxId: string,
  test: JsonPatchOperation,
  annotations: Record<string, string>,
  { kubernetes, signal }: Operation,
  otherwise: () => Promise<V1Service | undefined>,
): Promise<V1Service | undefined> {
  const additions = Object.entries(annotations).map(
    ([name, value]): JsonPatchOperation => ({ op: 'add', path: pointer('annotations', name), value }),
  );
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await kubernetes.patchService(serviceName(sandboxId), [test, ...additions], signal).catch((error) => {
        if (isTestFailed(error)) return otherwise();
        throw error;
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      // Another request changed it at the same moment; or an older version (1.20), which lets patches of one Service that
      // come at the same moment conflict though none has a precondition.
      if (!isConflict(error)) throw describeFailure('Service update failed', error);
    }
    await pause(attempt, 'its Service is being changed all the time', signal);
  }
}

/**
 * For a Service that does not remember this request's thread: another thread's, or one that the original provisioner made.
 * That one is taken over, if its Pod does not tell that it is another thread's. Throws Kubernetes' conflict if it changed
 * meanwhile.
 */
async function adoptService(request: CreateSandboxRequest, operation: Operation): Promise<V1Service | undefined> {
  const { kubernetes, config, now, signal, requestId } = operation;
  const { service, pod } = await readSandbox(request.sandboxId, operation);
  if (service === undefined) return undefined;
  requireSandbox(request, 'Service', service);
  requireThread(request, findThreadId(service, pod));
  // Another request may have been faster, and have asked for a time.
  const ttlSeconds = request.ttlSeconds ?? findTtlSeconds(service, config);
  const use = useAnnotations({ at: now(), requestId, ttlSeconds });
  const annotations = { [threadIdAnnotation]: request.threadId, ...use };
  // With the resource version that was judged: of two threads that both find no trace of another, one gets it.
  const patch = { metadata: { resourceVersion: service.metadata?.resourceVersion, annotations } };
  return kubernetes.patchService(serviceName(request.sandboxId), patch, signal);
}

/** The sandbox's Service and Pod, read side by side. Where there is no Service, the Pod does not matter. */
async function readSandbox(sandboxId: string, { kubernetes, signal }: Operation): Promise<ReadSandbox> {
  const [service, pod] = await Promise.all([
    settle(kubernetes.readService(serviceName(sandboxId), signal)),
    settle(kubernetes.readPod(podName(sandboxId), signal)),
  ]);
  const found = unwrap('Service lookup failed', service);
  return { service: found, pod: found && unwrap('Pod lookup failed', pod) };
}

type ReadSandbox = { service: V1Service | undefined; pod: V1Pod | undefined };

/**
 * Reads until what was read belongs together, twice at most. Two reads side by side are not of one moment: a sandbox that is
 * deleted or made between them shows one's Service and the other's Pod, or none, and would count as one that has no Pod.
 */
async function readTogether<T>(read: () => Promise<T>, belongs: (seen: T) => boolean): Promise<T> {
  const seen = await read();
  return belongs(seen) ? seen : read();
}

function requireThread(request: CreateSandboxRequest, threadId: string | undefined): void {
  if (threadId === undefined || threadId === request.threadId) return;
  throw new ProvisionerError('conflict', `Sandbox '${request.sandboxId}' belongs to another thread`);
}

/** What only bears the name of a sandbox's object is not to be touched. */
function requireSandbox(request: CreateSandboxRequest, kind: string, { metadata }: V1Service | V1Pod): void {
  if (metadata?.labels?.[sandboxIdLabel] === request.sandboxId) return;
  throw new ProvisionerError('conflict', `${kind} ${metadata?.name} is there, but is no sandbox`);
}

/** The Service with its NodePort: Kubernetes answers a creation with it, so this hardly ever has to look again. */
async function awaitNodePort(service: V1Service, operation: Operation): Promise<V1Service> {
  const end = performance.now() + nodePortPatienceMs;
  let current = service;
  for (let attempt = 0; findNodePort(current) === undefined; attempt += 1) {
    if (performance.now() > end) throw new ProvisionerError('failed', 'NodePort was not allocated in time');
    await pause(attempt, 'its NodePort is not allocated', operation.signal);
    current = await requireSameService(service, operation);
  }
  return current;
}

/** The Service as it is now, if it is still the one that was claimed; an obstacle if it is gone or another one. */
async function requireSameService(service: V1Service, { kubernetes, signal }: Operation): Promise<V1Service> {
  const current = await kubernetes.readService(service.metadata?.name ?? '', signal).catch((error) => {
    throw describeFailure('Service lookup failed', error);
  });
  if (current?.metadata?.uid === service.metadata?.uid && current !== undefined) return current;
  throw new Obstacle('its Service was removed meanwhile');
}

/**
 * A Pod that serves behind this Service: the one that was read, one that another request made, or a new one. A Pod that
 * terminates, has ended or is another Service's stands in the way, and is taken away at once, by its UID. A new one is made
 * only once `confining`, the network policy, is done.
 */
async function ensurePod(
  request: CreateSandboxRequest,
  service: V1Service,
  read: Settled<V1Pod | undefined>,
  isNew: boolean,
  confining: Promise<Settled<void>>,
  operation: Operation,
): Promise<V1Pod> {
  const { kubernetes, config, signal } = operation;
  const name = podName(request.sandboxId);
  // For a new sandbox it does not matter that the Pod could not be read: creating it will tell.
  let pod = isNew && 'error' in read ? undefined : unwrap('Pod lookup failed', read);
  for (let attempt = 0; ; attempt += 1) {
    if (pod !== undefined) requireSandbox(request, 'Pod', pod);
    if (pod !== undefined && isServing(pod, service)) {
      // One that the original provisioner made, and whose Service was deleted, may be another thread's.
      requireThread(request, findThreadId(undefined, pod));
      const wasAlone = !isOwned(pod) && (isNew || isOlder(pod, service));
      const owned = wasAlone ? await takeOver(pod, service, operation) : pod;
      if (owned !== undefined) return owned;
      await pause(attempt, 'its Pod is being changed all the time', signal);
      pod = await kubernetes.readPod(name, signal).catch((error) => {
        throw describeFailure('Pod lookup failed', error);
      });
      continue;
    }
    // Another Service's Pod is what is left of an older sandbox, unless it is our Service that is the older one by now: as
    // long as ours is there, no other can have been made, so a Pod that was read before is not a newer sandbox's.
    if (pod !== undefined && isOwnedByAnother(pod, service)) await requireSameService(service, operation);
    requireConfined(await confining);
    try {
      if (pod !== undefined) await kubernetes.evictPod(name, pod.metadata?.uid ?? '', signal);
      return await kubernetes.createPod(buildPod(request, service, config), signal);
    } catch (failure) {
      if (signal.aborted) throw describeFailure('Pod creation failed', failure);
      if (isNamespaceMissing(failure) || isNamespaceTerminating(failure)) {
        forgetNetworkPolicy(kubernetes);
        throw new Obstacle('its namespace is being deleted');
      }
      pod = await kubernetes.readPod(name, signal).catch((error) => {
        throw describeFailure('Pod creation failed', isAlreadyExists(failure) ? error : failure);
      });
      // Whatever Kubernetes says to the creation: if a request beside this one made the Pod, the sandbox is there.
      const made = pod !== undefined && isServing(pod, service);
      if (!made && !isAlreadyExists(failure)) throw describeFailure('Pod creation failed', failure);
    }
    if (attempt > 0) await pause(attempt - 1, 'its old Pod is still there', signal);
  }
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

/** Whether the sandbox has a Pod that will stay; if not, the two may not have been read in one moment. */
const hasPod = (service: V1Service, pod: V1Pod | undefined): boolean => pod !== undefined && belongsTo(pod, service);

/**
 * Takes away a Service that this request made, if nobody has used it since: every use changes its resource version. Its
 * Pod, should there be one after all, goes with it (garbage collection). Never throws: what cannot be rolled back is mended
 * by the next create.
 */
async function rollBack(service: V1Service, { kubernetes }: Operation): Promise<void> {
  const { name = '', uid = '', resourceVersion = '' } = service.metadata ?? {};
  try {
    const preconditions = { uid, resourceVersion };
    const deletion = await kubernetes.deleteService(name, preconditions, AbortSignal.timeout(afterwardsMs));
    if (deletion !== 'deleted') log.info('Did not roll back a Service', { service: name, deletion });
  } catch (error) {
    log.warn('Could not roll back a Service', { service: name, error: error as Error });
  }
}

function present(sandboxId: string, service: V1Service, pod: V1Pod | undefined, config: Config): SandboxView {
  const view = viewSandbox(sandboxId, service, pod, config);
  if (view !== undefined) return view;
  throw new ProvisionerError('unavailable', `Sandbox '${sandboxId}' has no NodePort yet`, {
    headers: { 'retry-after': '1' },
  });
}

/**
 * Waits before the next attempt: about 25 ms, 50 ms, … up to 1 s, and not as long as others who wait for the same. Throws
 * `deadline-exceeded`, with the obstacle, when time is over.
 */
async function pause(attempt: number, obstacle: string, signal: AbortSignal): Promise<void> {
  const longest = Math.min(1000, 25 * 2 ** attempt);
  try {
    await wait(longest * (0.5 + Math.random() / 2), undefined, { signal });
  } catch (cause) {
    throw new ProvisionerError('deadline-exceeded', `There was not enough time: ${obstacle}`, { cause });
  }
}

/** Where a label or an annotation stands in an object (RFC 6901). */
const pointer = (kind: 'labels' | 'annotations', name: string): string =>
  `/metadata/${kind}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;

type Settled<T> = { value: T } | { error: unknown };

/** Lets a call run beside others without its failure going unhandled before anybody looks at it. */
const settle = <T>(call: Promise<T>): Promise<Settled<T>> =>
  call.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );

function unwrap<T>(what: string, settled: Settled<T>): T {
  if ('error' in settled) throw describeFailure(what, settled.error);
  return settled.value;
}
