import { setTimeout as wait } from 'node:timers/promises';
import type { V1Service } from '@kubernetes/client-node';
import { describeFailure, ProvisionerError } from '../errors.ts';
import {
  findRetryDelay,
  isAlreadyExists,
  isConflict,
  isNamespaceMissing,
  isNamespaceTerminating,
  isUncertain,
  type JsonPatchOperation,
} from '../kubernetes/index.ts';
import { log } from '../log.ts';
import { hasRoomFor } from '../model/address.ts';
import { findUserId } from '../model/adoption.ts';
import { findTtlSeconds } from '../model/expiry.ts';
import { refuseLarkBroker } from '../model/lark.ts';
import {
  buildNamespace,
  buildService,
  findServiceChange,
  isOnItsWay,
  openEarly,
  ownerAnnotations,
  useAnnotations,
} from '../model/manifests.ts';
import { findUnmetMetadata } from '../model/metadata.ts';
import { lastUsedByAnnotation, podName, serviceName } from '../model/names.ts';
import { type CreateSandboxRequest, requestDefaults } from '../model/request.ts';
import { findUrl, type SandboxView } from '../model/status.ts';
import { buildVolumes, findUnmetMounts } from '../model/volumes/index.ts';
import { isByUser } from '../model/volumes/sources.ts';
import type { Deed } from '../telemetry/record.ts';
import { awaitReady } from './await-ready.ts';
import {
  describeGoing,
  ensurePod,
  type PodDeed,
  requireOwner,
  requireSameService,
  requireSandbox,
} from './ensure-pod.ts';
import { forgetNetworkPolicy, requireNetworkPolicy } from './network-policy.ts';
import { notEnoughTime, noteAlive, Obstacle, type Operation, pause, settle, wasSeenAlive } from './operation.ts';
import { readNamed } from './reading.ts';
import { annotate, noteUse, pointer } from './uses.ts';

/** How long a Service may be without an address, in milliseconds: as long as the original waits. */
const addressPatienceMs = 10_000;

/**
 * How long a look may take whether there is something to take back, and how long it may take to take it back, in milliseconds.
 * After its deadline, `create-sandbox` has 2.5 s for both.
 */
const [lookBackMs, takeBackMs] = [1_000, 5_000];

/**
 * A sandbox, and whether this request made its Service. Of one that was there before: the mounts that were asked for and that its Pod
 * does not have, and the keys of the metadata that do not have the value that was asked for.
 */
export type CreatedView = SandboxView & { created: boolean; unmet_mounts?: string[]; unmet_metadata?: string[] };

/**
 * Makes the sandbox, or finds it and mends it: afterwards there is one Service and one Pod behind it that will serve. The
 * Service comes first, because its name is what concurrent requests meet at, its URL is what callers keep, and it owns the
 * Pod. A use is written on the Service before anything else is done to a sandbox that exists, so that whoever wants to take
 * it away, with the resource version that they saw as precondition, cannot.
 *
 * Two round trips in a row for a new sandbox, two or one for one that is there; the view may still be `Pending`, unless the caller waits.
 * Throws `bad-request` for mounts that must not be made and for an id that has no room in a URL, `conflict` if the sandbox is another thread's or user's, or has room for too
 * few shells, `quota-exceeded`, and what calls to Kubernetes throw. It then takes
 * back what this request made, unless another request uses it by now, as far as Kubernetes can still be reached.
 */
export async function createSandbox(request: CreateSandboxRequest, operation: Operation): Promise<CreatedView> {
  const { sandboxId, threadId, userId } = request;
  operation.note?.({ sandboxId, threadId, userId });
  const begun = operation.now();
  refuseLarkBroker(request);
  // Throws for what must not be mounted, whether there is a sandbox or not.
  buildVolumes(request, operation.config.volumes);
  refuseLongId(request.sandboxId, operation);
  let earlier: unknown;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await tryToCreate(request, operation, begun);
    } catch (error) {
      if (!(error instanceof Obstacle)) {
        // What stood in the way before tells more than that time was over then.
        const isLate = error instanceof ProvisionerError && error.kind === 'deadline-exceeded';
        throw isLate ? (earlier ?? error) : error;
      }
      earlier = error instanceof PassingFailure ? error.cause : notEnoughTime(error.message, error);
      if (error instanceof PassingFailure) await outwait(error, attempt, operation.signal);
      else await pause(attempt, error.message, operation.signal);
    }
  }
}

/** Throws `bad-request` for an id that is too long for the host name of the sandbox's URL. */
function refuseLongId(sandboxId: string, { config: { urlTemplate } }: Operation): void {
  if (urlTemplate === undefined || hasRoomFor(sandboxId, urlTemplate)) return;
  throw new ProvisionerError('bad-request', 'The sandbox_id is too long for a host name of SANDBOX_URL_TEMPLATE');
}

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

async function tryToCreate(request: CreateSandboxRequest, operation: Operation, begun: Date): Promise<CreatedView> {
  const { kubernetes, config, now, signal } = operation;
  const reading = settle(kubernetes.readPod(podName(request.sandboxId), signal));
  const confining = settle(requireNetworkPolicy(kubernetes, config, now(), signal));
  const claim = await claimService(request, operation);
  const pod = await reading;
  try {
    const service = await awaitAddress(await bringToSettings(claim.service, operation), operation);
    // A sandbox that is another's by now is no caller's who says no user: its Pod gets the folders that it had.
    const owned = { ...request, userId: request.userId ?? findUserId(service, undefined) };
    const { pod: serving, did } = await ensurePod(owned, service, pod, claim.isNew, confining, operation);
    noteAlive(request.sandboxId, operation);
    operation.note?.({ did: describeDeed(claim, did) });
    const unmet = findUnmetMounts(buildVolumes(owned, config.volumes), serving);
    const view = await awaitReady(request.sandboxId, { service, pod: serving }, operation);
    // One that was found may have been ready long before.
    if (operation.endOfWait && view.ready && did !== 'found') {
      operation.note?.({ readyMs: now().getTime() - begun.getTime() });
    }
    const unmetMetadata = findUnmetMetadata(request.metadata ?? {}, view.metadata);
    return {
      ...view,
      created: claim.isNew,
      ...(unmet.length > 0 && { unmet_mounts: unmet }),
      ...(unmetMetadata.length > 0 && { unmet_metadata: unmetMetadata }),
    };
  } catch (error) {
    if (claim.isNew) await rollBack(claim.service, operation);
    throw error;
  }
}

/** A Service that this request may build on; `isNew` if this request made it, `isAdopted` if it was nobody's until now. */
type Claim = { service: V1Service; isNew: boolean; isAdopted?: boolean };

/** What a create did, by what became of the Service and of the Pod. */
function describeDeed({ isNew, isAdopted }: Claim, ofPod: PodDeed): Deed {
  if (isNew && ofPod !== 'adopted') return 'created';
  return isAdopted && ofPod === 'found' ? 'adopted' : ofPod;
}

/**
 * Creates the sandbox's Service, or writes a use on the one that is there. For a sandbox that was not seen lately, creating
 * is tried first: that is what makes a new one cost two round trips. Whatever Kubernetes says to it (a name that is taken,
 * a full quota, nothing at all), only a Service that is not there makes it a failure.
 */
async function claimService(request: CreateSandboxRequest, operation: Operation): Promise<Claim> {
  const { kubernetes, config, now, signal, requestId } = operation;
  if (wasSeenAlive(request.sandboxId, operation)) {
    const claim = await useService(request, operation);
    if (claim !== undefined) return claim;
  }
  const ttlSeconds = request.ttlSeconds ?? config.sandboxTtlSeconds;
  try {
    // Whoever says no user gets the default one's folders, where users have folders of their own.
    const userId = request.userId ?? (isByUser(config.volumes) ? requestDefaults.userId : undefined);
    const owned = { ...request, userId };
    const service = buildService(owned, { at: now(), requestId, ttlSeconds }, kubernetes.namespace, config);
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
    const claim = await useService(request, operation).catch((error) => {
      // That a Service could not be used is only worth telling if there is one; another thread's is one.
      throw taken || error instanceof Obstacle || error.kind === 'conflict' ? error : refusal;
    });
    if (claim !== undefined) return claim;
    if (taken) throw new Obstacle('its Service is being removed');
    throw findRetryDelay(failure, 1) === undefined ? refusal : new PassingFailure(failure, refusal);
  }
}

/** The Service, if this very request made it and nobody has used it since. Undefined also where that cannot be seen. */
async function findOwnService(request: CreateSandboxRequest, operation: Operation): Promise<V1Service | undefined> {
  const { kubernetes, requestId } = operation;
  const found = await kubernetes
    .readService(serviceName(request.sandboxId), AbortSignal.timeout(lookBackMs))
    .catch(() => undefined);
  return found?.metadata?.annotations?.[lastUsedByAnnotation] === requestId ? found : undefined;
}

/** Makes the namespace that turned out to be missing; a request beside this one may have been faster. */
async function createNamespace({ kubernetes, signal }: Operation): Promise<never> {
  try {
    await kubernetes.createNamespace(buildNamespace(kubernetes.namespace), signal);
  } catch (error) {
    if (!isAlreadyExists(error)) throw describeFailure('Namespace creation failed', error);
  }
  throw new Obstacle('its namespace is not there yet');
}

/**
 * Writes a use on the sandbox's Service and claims it; undefined if it is not there. One call, if the Service
 * remembers this request's thread and user. Throws `conflict` if it is another's, and has then changed nothing; an obstacle where it
 * is being removed.
 */
async function useService(request: CreateSandboxRequest, operation: Operation): Promise<Claim | undefined> {
  const { now, requestId } = operation;
  const changes: JsonPatchOperation[] = [
    ...Object.entries(ownerAnnotations(request)).map(
      ([name, value]) => ({ op: 'test', path: pointer('annotations', name), value }) as const,
    ),
    ...annotate(useAnnotations({ at: now(), requestId, ttlSeconds: request.ttlSeconds })),
    ...Object.entries(openEarly).map(([name, value]) => ({ op: 'add', path: `/spec/${name}`, value }) as const),
  ];
  let isAdopted = false;
  const service = await noteUse(request.sandboxId, changes, operation, async () => {
    const adopted = await adoptService(request, operation);
    isAdopted = adopted !== undefined;
    return adopted;
  });
  return service && { service, isNew: false, isAdopted };
}

/**
 * For a Service that does not remember this request's thread or user: another's, or one that the original provisioner, or an older
 * version, made. That one is taken over, if its Pod does not tell that it is another's. Throws Kubernetes' conflict if it changed
 * meanwhile.
 */
async function adoptService(request: CreateSandboxRequest, operation: Operation): Promise<V1Service | undefined> {
  const { kubernetes, config, now, signal, requestId } = operation;
  const { service, pod } = await readNamed(request.sandboxId, operation);
  if (service === undefined) return undefined;
  requireSandbox('Service', service);
  // Its URL goes with it, and so would a new Pod.
  if (service.metadata?.deletionTimestamp !== undefined) return awaitRemoval(service, operation);
  requireOwner(request, service, pod);
  // Another request may have been faster, and have asked for a time.
  const ttlSeconds = request.ttlSeconds ?? findTtlSeconds(service, config);
  const use = useAnnotations({ at: now(), requestId, ttlSeconds });
  const annotations = { ...ownerAnnotations(request), ...use };
  // With the resource version that was judged: of two threads that both find no trace of another, one gets it.
  const patch = { metadata: { resourceVersion: service.metadata?.resourceVersion, annotations }, spec: openEarly };
  return kubernetes.patchService(serviceName(request.sandboxId), patch, signal);
}

/**
 * Waits until a Service that is being removed is gone, and begins again then: to create it before would be charged to the quota of
 * the namespace each time.
 */
async function awaitRemoval(service: V1Service, operation: Operation): Promise<never> {
  const { name = '', uid } = service.metadata ?? {};
  let current: V1Service | undefined = service;
  for (let attempt = 0; current?.metadata?.uid === uid; attempt += 1) {
    await pause(attempt, describeGoing('Service', current), operation.signal);
    current = await operation.kubernetes.readService(name, operation.signal).catch((error) => {
      throw describeFailure('Service lookup failed', error);
    });
  }
  throw new Obstacle('its old Service was removed just now');
}

/**
 * The Service with the type and the port of the settings: an older one may have others. Where it cannot be changed, because no
 * NodePort is left for one, the sandbox stays what it is; one that is on its way becomes headless, which needs nothing.
 */
async function bringToSettings(service: V1Service, operation: Operation): Promise<V1Service> {
  const { kubernetes, signal } = operation;
  let config = operation.config;
  let current = service;
  for (let attempt = 0; ; attempt += 1) {
    const spec = findServiceChange(current, config);
    if (spec === undefined) return current;
    const { name = '', uid, resourceVersion } = current.metadata ?? {};
    try {
      current = await kubernetes.patchService(name, { metadata: { uid, resourceVersion }, spec }, signal);
      if (!isOnItsWay(current)) return current;
      continue;
    } catch (error) {
      if (!isConflict(error)) {
        log.warn('Could not bring a Service to the settings', { service: name, error: error as Error });
        // Where the answer was lost, it may be changed: and then so is its URL.
        current = await requireSameService(service, operation);
        if (!isOnItsWay(current) || config.serviceType === 'Headless') return current;
        config = { ...config, serviceType: 'Headless' };
        continue;
      }
    }
    await pause(attempt, 'its Service is being changed all the time', signal);
    current = await requireSameService(service, operation);
  }
}

/** The Service with its address: Kubernetes answers a creation with it, so this hardly ever has to look again. */
async function awaitAddress(service: V1Service, operation: Operation): Promise<V1Service> {
  const end = performance.now() + addressPatienceMs;
  let current = service;
  for (let attempt = 0; findUrl(current, operation.config, operation.now()) === undefined; attempt += 1) {
    if (performance.now() > end) throw new ProvisionerError('failed', 'Service access URL was not available in time');
    await pause(attempt, 'its NodePort is not allocated', operation.signal);
    current = await requireSameService(service, operation);
  }
  return current;
}

/**
 * Takes away a Service that this request made, if nobody has used it since: every use changes its resource version. Its
 * Pod, should there be one after all, goes with it (garbage collection). Never throws: what cannot be rolled back is mended
 * by the next create.
 */
async function rollBack(service: V1Service, operation: Operation): Promise<void> {
  const { name = '', uid = '', resourceVersion = '' } = service.metadata ?? {};
  try {
    const preconditions = { uid, resourceVersion };
    const patience = AbortSignal.timeout(takeBackMs);
    const signal = operation.answerBy ? AbortSignal.any([operation.answerBy, patience]) : patience;
    const deletion = await operation.kubernetes.deleteService(name, preconditions, signal);
    if (deletion !== 'deleted') log.info('Did not roll back a Service', { service: name, deletion });
  } catch (error) {
    log.warn('Could not roll back a Service', { service: name, error: error as Error });
  }
}
