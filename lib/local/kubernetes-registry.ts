import { randomInt, randomUUID } from 'node:crypto';
import { decodeFields } from './kubernetes-decode.ts';
import { qosClassOf, withPodDefaults, withServiceDefaults } from './kubernetes-defaults.ts';
import { NodePortError, type NodePorts } from './kubernetes-node-ports.ts';
import {
  formatTime,
  isEnded,
  isNamespace,
  isPod,
  isResourceQuota,
  isService,
  type KubernetesObject,
  type ObjectMeta,
  type OwnerReference,
  type ResourceType,
  type Service,
} from './kubernetes-objects.ts';
import type { Quotas } from './kubernetes-quota.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  goStrings,
  internalError,
  invalid,
  invalidValue,
  modified,
  notFound,
  StatusError,
  success,
} from './kubernetes-status.ts';
import type { Store } from './kubernetes-store.ts';
import { sortedJson, validateObject, validateUpdate } from './kubernetes-validation.ts';

export type DeleteOptions = {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: string;
  orphanDependents?: boolean;
  dryRun?: string[];
};

/** Create, update and delete with Kubernetes' rules; every failure is a `StatusError`. */
export type Registry = {
  create(type: ResourceType, namespace: string, body: object, dryRun: boolean): Promise<KubernetesObject>;
  /**
   * `change` gets the stored object's JSON and answers the new one's. Two updates of one Service at the same time
   * conflict (409), even patches that name no version: Kubernetes 1.20 has no second try for Services, as it has for
   * all else.
   */
  update(
    type: ResourceType,
    namespace: string,
    name: string,
    change: (old: KubernetesObject) => unknown,
    options: { dryRun: boolean; isStatus: boolean; isPatch: boolean },
  ): Promise<KubernetesObject>;
  /** Answers what Kubernetes does: the object while it is on its way out, a `Status` when it is gone, a Pod always. */
  remove(type: ResourceType, namespace: string, name: string, options: DeleteOptions): object;
  /** Takes away a Pod that has ended, or whatever else nothing holds any more. */
  expunge(type: ResourceType, object: KubernetesObject): void;
};

const PERMANENT = ['default', 'kube-system', 'kube-public'];
const LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

const randomName = (prefix: string) =>
  prefix.slice(0, 58) + Array.from({ length: 5 }, () => LETTERS[randomInt(LETTERS.length)]).join('');

const isOutside = (spec: Service['spec']) => spec.type === 'NodePort' || spec.type === 'LoadBalancer';

const nodePortsOf = (object: KubernetesObject | undefined): number[] =>
  object !== undefined && isService(object) ? (object.spec.ports ?? []).flatMap((port) => port.nodePort || []) : [];

/** Go leaves empty maps and lists out. */
function tidyMetadata(metadata: ObjectMeta): ObjectMeta {
  const entries = Object.entries(metadata).filter(
    ([, value]) =>
      value !== undefined && value !== '' && !(typeof value === 'object' && Object.keys(value).length === 0),
  );
  const tidy = Object.fromEntries(entries) as ObjectMeta & { managedFields?: unknown; selfLink?: unknown };
  delete tidy.managedFields;
  delete tidy.selfLink;
  return { ...tidy, name: metadata.name ?? '' };
}

function withDefaults(object: KubernetesObject): KubernetesObject {
  if (isPod(object)) return { ...object, spec: withPodDefaults(object.spec ?? {}) };
  if (isService(object)) return { ...object, spec: withServiceDefaults(object.spec ?? {}) };
  if (isResourceQuota(object) || isNamespace(object)) return { ...object, spec: object.spec ?? {} } as KubernetesObject;
  const none = { eventTime: null, firstTimestamp: null, lastTimestamp: null };
  return { source: {}, reportingComponent: '', reportingInstance: '', ...none, ...object } as KubernetesObject;
}

function withFirstStatus(object: KubernetesObject): KubernetesObject {
  if (isPod(object)) return { ...object, status: { phase: 'Pending', qosClass: qosClassOf(object) } };
  if (isService(object)) return { ...object, status: { loadBalancer: {} } };
  if (isNamespace(object)) {
    return { ...object, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } } as KubernetesObject;
  }
  return isResourceQuota(object) ? { ...object, status: {} } : object;
}

/** Brings a Service that is written over another in line with what that one was given. */
function keepAllocated(next: Service, old: Service): Service {
  const spec = { ...next.spec };
  // Changed in the one field and not in the other, the one that was changed counts.
  if (spec.clusterIP && spec.clusterIP !== old.spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
  if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
  if (!spec.clusterIP) delete spec.clusterIPs;
  if (!isOutside(spec) && isOutside(old.spec)) {
    const before = nodePortsOf(old);
    delete spec.externalTrafficPolicy;
    spec.ports = (spec.ports ?? []).map(({ nodePort, ...port }) =>
      nodePort === undefined || before.includes(nodePort) ? port : { ...port, nodePort },
    );
  }
  if (isOutside(spec) && isOutside(old.spec)) {
    spec.ports = (spec.ports ?? []).map((port) => {
      if (port.nodePort) return port;
      const before = old.spec.ports?.find((one) => one.port === port.port && one.protocol === port.protocol);
      return before?.nodePort === undefined ? port : { ...port, nodePort: before.nodePort };
    });
  }
  return { ...next, spec };
}

/** Refuses an update that means another object than the stored one, or another version of it. */
function checkIdentity(type: ResourceType, meta: Partial<ObjectMeta>, old: KubernetesObject, isPatch: boolean): void {
  const { name, namespace } = old.metadata;
  if (!meta.name) {
    throw badRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`);
  }
  if (meta.name !== name) {
    throw badRequest(`the name of the object (${meta.name}) does not match the name on the URL (${name})`);
  }
  if (namespace !== undefined && meta.namespace && meta.namespace !== namespace) {
    const mismatch = `the namespace of the object (${meta.namespace}) does not match`;
    throw badRequest(`${mismatch} the namespace on the request (${namespace})`);
  }
  if (meta.resourceVersion && !/^\d+$/.test(meta.resourceVersion)) {
    const why = `strconv.ParseUint: parsing ${JSON.stringify(meta.resourceVersion)}: invalid syntax`;
    throw new StatusError(500, undefined, why);
  }
  if (!meta.resourceVersion && type.kind === 'Service') {
    const missing = invalidValue('metadata.resourceVersion', '', 'must be specified for an update');
    throw invalid(type.kind, name, [missing, missing]);
  }
  if (!isPatch && meta.uid && meta.uid !== old.metadata.uid && type.kind !== 'Service') {
    const key = `/registry/${type.plural}/${namespace === undefined ? '' : `${namespace}/`}${name}`;
    const why = `Precondition failed: UID in precondition: ${meta.uid}, UID in object meta: ${old.metadata.uid}`;
    const storage = `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0`;
    throw conflict(type.plural, name, `${storage}, AdditionalErrorMsg: ${why}`);
  }
  if (meta.resourceVersion && meta.resourceVersion !== old.metadata.resourceVersion) throw modified(type, name);
}

/** The stored object with what an update changes of it, defaults filled in. */
function writeOver(
  old: KubernetesObject,
  given: KubernetesObject,
  { isStatus, isPatch }: { isStatus: boolean; isPatch: boolean },
): KubernetesObject {
  const meta: Partial<ObjectMeta> = given.metadata;
  const { namespace } = old.metadata;
  // What Kubernetes alone sets stays as it is: the times, and whichever of spec and status is not asked about.
  const metadata = tidyMetadata({
    ...(meta as ObjectMeta),
    uid: meta.uid || old.metadata.uid,
    resourceVersion: old.metadata.resourceVersion,
    creationTimestamp: old.metadata.creationTimestamp,
    ...(namespace === undefined ? {} : { namespace }),
  });
  if (!isPatch && meta.deletionTimestamp === undefined && old.metadata.deletionTimestamp !== undefined) {
    metadata.deletionTimestamp = old.metadata.deletionTimestamp;
  }
  if (old.metadata.deletionGracePeriodSeconds !== undefined) {
    metadata.deletionGracePeriodSeconds = old.metadata.deletionGracePeriodSeconds;
  }
  const { spec, status, ...rest } = isStatus ? old : given;
  const kept = isStatus ? { spec: old.spec, status: given.status } : { spec: given.spec, status: old.status };
  let next = { ...rest, kind: old.kind, apiVersion: 'v1', metadata, ...kept } as KubernetesObject;
  if (next.spec === undefined) delete next.spec;
  if (next.status === undefined) delete next.status;
  if (isNamespace(next)) next = { ...next, spec: old.spec ?? {} };
  next = withDefaults(next);
  if (isService(next) && isService(old)) next = keepAllocated(next, old);
  return next;
}

export function createRegistry(
  store: Store,
  types: readonly ResourceType[],
  nodePorts: NodePorts,
  quotas: Quotas,
  now: () => number,
  pause: () => Promise<void>,
): Registry {
  const typeOf = (kind: string) => types.find((type) => type.kind === kind) as ResourceType;
  const namespaceType = typeOf('Namespace');

  function admitToNamespace(type: ResourceType, namespace: string, name: string): void {
    if (!type.namespaced) return;
    const found = store.get(namespaceType, '', namespace);
    if (found === undefined) throw notFound(namespaceType, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
    throw forbidden(type, name, message, [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ]);
  }

  /** Gives a Service its address and node ports; `taken` collects what has to be given back on a failure. */
  async function allocate(
    service: Service,
    held: readonly number[],
    dryRun: boolean,
    taken: number[],
  ): Promise<Service> {
    const spec = { ...service.spec };
    if (spec.type === 'ExternalName') return service;
    if (spec.clusterIP === 'None') spec.clusterIPs = ['None'];
    else if (!spec.clusterIP && !dryRun) {
      spec.clusterIP = `10.96.${randomInt(256)}.${randomInt(1, 255)}`;
      spec.clusterIPs = [spec.clusterIP];
    } else if (spec.clusterIP) {
      spec.clusterIPs = [spec.clusterIP];
      if (!/^10\.96\.\d{1,3}\.\d{1,3}$/.test(spec.clusterIP)) {
        const why =
          `failed to allocated ip:${spec.clusterIP} with error:provided IP is not in the valid range. ` +
          'The range of valid IPs is 10.96.0.0/16';
        throw invalid('Service', service.metadata.name, [
          invalidValue('spec.clusterIPs', goStrings([spec.clusterIP]), why),
        ]);
      }
    }
    if (!isOutside(spec)) return { ...service, spec };
    const ports = [];
    for (const [index, port] of (spec.ports ?? []).entries()) {
      if (port.nodePort && held.includes(port.nodePort)) {
        ports.push(port);
        continue;
      }
      try {
        const nodePort = dryRun
          ? nodePorts.pick(port.nodePort || undefined)
          : await nodePorts.allocate(port.nodePort || undefined);
        if (!dryRun) taken.push(nodePort);
        ports.push({ ...port, nodePort });
      } catch (error) {
        if (!(error instanceof NodePortError)) throw error;
        if (error.isRangeFull) throw internalError(`failed to allocate a nodePort: ${error.message}`);
        const field = `spec.ports[${index}].nodePort`;
        throw invalid('Service', service.metadata.name, [invalidValue(field, port.nodePort, error.message)]);
      }
    }
    return { ...service, spec: { ...spec, ports } };
  }

  function checkNamespace(namespace: string, given: string | undefined): void {
    if (given === undefined || given === '' || given === namespace) return;
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }

  function expunge(type: ResourceType, object: KubernetesObject): void {
    store.remove(type, object);
    for (const port of nodePortsOf(object)) nodePorts.release(port);
  }

  /** With `Orphan`, what the object owned goes on without an owner. */
  function orphanDependents(owner: KubernetesObject): void {
    const isOther = (reference: OwnerReference) => reference.uid !== owner.metadata.uid;
    for (const type of types) {
      for (const object of store.list(type, owner.metadata.namespace)) {
        const references = object.metadata.ownerReferences ?? [];
        if (references.every(isOther)) continue;
        const metadata = tidyMetadata({ ...object.metadata, ownerReferences: references.filter(isOther) });
        store.put(type, { ...object, metadata });
      }
    }
  }

  return {
    expunge,

    async create(type, namespace, body, dryRun) {
      const given = body as { metadata?: Partial<ObjectMeta> };
      const asked: Partial<ObjectMeta> = given.metadata ?? {};
      if (type.namespaced) checkNamespace(namespace, asked.namespace);
      const name = asked.name || (asked.generateName ? randomName(asked.generateName) : '');
      admitToNamespace(type, namespace, name);
      const metadata = tidyMetadata({
        ...asked,
        name,
        ...(type.namespaced ? { namespace } : {}),
        uid: randomUUID(),
        resourceVersion: '',
        creationTimestamp: formatTime(now()),
      });
      delete metadata.deletionTimestamp;
      delete metadata.deletionGracePeriodSeconds;
      const head = { kind: type.kind, apiVersion: 'v1', metadata };
      let object = withFirstStatus(withDefaults({ ...given, ...head } as KubernetesObject));
      const errors = validateObject(object);
      if (errors.length > 0) throw invalid(type.kind, name, errors);

      // The order is Kubernetes': ports, then quota, and only then is it noticed that the name is taken.
      const taken: number[] = [];
      try {
        if (isService(object)) object = await allocate(object, [], dryRun, taken);
        admitToNamespace(type, namespace, name);
        quotas.charge(type, object, dryRun);
        if (asked.resourceVersion) {
          throw new StatusError(500, undefined, 'resourceVersion should not be set on objects to be created');
        }
        const existing = store.get(type, type.namespaced ? namespace : '', name);
        if (existing !== undefined) {
          throw alreadyExists(type, name, existing.metadata.deletionTimestamp !== undefined);
        }
      } catch (error) {
        for (const port of taken) nodePorts.release(port);
        throw error;
      }
      return dryRun ? object : store.put(type, object);
    },

    async update(type, namespace, name, change, { dryRun, isStatus, isPatch }) {
      const where = type.namespaced ? namespace : '';
      const old = store.get(type, where, name);
      if (old === undefined) throw notFound(type, name);
      const given = change(old) as KubernetesObject;
      checkIdentity(type, given.metadata ?? {}, old, isPatch);
      let next = writeOver(old, given, { isStatus, isPatch });
      const errors = validateUpdate(next, old);
      if (errors.length > 0) throw invalid(type.kind, name, errors);
      if (sortedJson(next) === sortedJson(old)) return old;

      const taken: number[] = [];
      if (isService(next)) {
        await pause();
        next = await allocate(next, nodePortsOf(old), dryRun, taken);
        const current = store.get(type, where, name);
        if (current !== old) {
          for (const port of taken) nodePorts.release(port);
          throw current === undefined ? notFound(type, name) : modified(type, name);
        }
      }
      if (dryRun) return next;
      const stored = store.put(type, next);
      const stillHeld = new Set(nodePortsOf(stored));
      for (const port of nodePortsOf(old)) if (!stillHeld.has(port)) nodePorts.release(port);
      const isHeld = (stored.metadata.finalizers ?? []).length > 0 || stored.metadata.deletionGracePeriodSeconds !== 0;
      if (stored.metadata.deletionTimestamp !== undefined && !isHeld && !isNamespace(stored)) expunge(type, stored);
      return stored;
    },

    remove(type, namespace, name, options) {
      const object = store.get(type, type.namespaced ? namespace : '', name);
      if (type.kind === 'Namespace' && PERMANENT.includes(name)) {
        throw forbidden(type, name, 'this namespace may not be deleted');
      }
      if (object === undefined) throw notFound(type, name);
      const { uid, resourceVersion } = options.preconditions ?? {};
      const { metadata } = object;
      if (uid !== undefined && uid !== metadata.uid) {
        const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid})`;
        throw conflict(type.kind, name, `${why}. The object might have been deleted and then recreated`);
      }
      if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
        const record = `does not match the ResourceVersion in record (${metadata.resourceVersion})`;
        const why = `the ResourceVersion in the precondition (${resourceVersion}) ${record}`;
        throw conflict(type.kind, name, `${why}. The object might have been modified`);
      }
      const dryRun = (options.dryRun ?? []).length > 0;
      const isOrphaning = options.propagationPolicy === 'Orphan' || options.orphanDependents === true;
      if (isOrphaning && !dryRun) orphanDependents(object);

      let grace = 0;
      if (isPod(object) && object.spec.nodeName !== undefined && !isEnded(object)) {
        // Only a Pod that a kubelet has in hand is given time to end.
        grace = options.gracePeriodSeconds ?? object.spec.terminationGracePeriodSeconds ?? 30;
      }
      let start = now();
      if (metadata.deletionTimestamp !== undefined) {
        // Asked again: its time can be shortened and never be made longer.
        const before = metadata.deletionGracePeriodSeconds ?? 0;
        const isShorter = isPod(object) && grace < before;
        const isFinished = isPod(object) && grace === 0 && (metadata.finalizers ?? []).length === 0;
        if (!isShorter && !isFinished) {
          return isAnsweredWhole(object) ? object : success(type, name, metadata.uid);
        }
        start = Date.parse(metadata.deletionTimestamp) - before * 1000;
      }
      const leaving = {
        ...object,
        metadata: {
          ...metadata,
          deletionTimestamp: formatTime(start + grace * 1000),
          ...(isNamespace(object) ? {} : { deletionGracePeriodSeconds: grace }),
        },
        ...(isNamespace(object) ? { status: { phase: 'Terminating' } } : {}),
      };
      const isHeld = grace > 0 || isNamespace(object) || (metadata.finalizers ?? []).length > 0;
      if (!dryRun && !isHeld) expunge(type, leaving);
      // What is gone at once is answered as it was, but for a Pod.
      const last = isPod(object) || isHeld ? leaving : object;
      const answer = !dryRun && isHeld ? store.put(type, leaving) : last;
      return isAnsweredWhole(object) ? answer : success(type, name, metadata.uid);
    },
  };
}

/** The kinds whose delete is answered with the object, even when that was the last of it. */
const isAnsweredWhole = (object: KubernetesObject): boolean =>
  isPod(object) || isNamespace(object) || isResourceQuota(object);

/** Reads what a patch made of an object; throws the 422 that Kubernetes answers when it is no object of the kind. */
export function decodePatched(kind: string, patched: unknown): object {
  try {
    return decodeFields(kind, patched);
  } catch (error) {
    throw invalid('', '', [invalidValue('patch', JSON.stringify(patched), (error as Error).message)]);
  }
}
