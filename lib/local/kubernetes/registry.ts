import { randomInt, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { NodePorts } from './node-ports.ts';
import {
  apiVersionOf,
  formatTime,
  isEnded,
  isHeld,
  type Kind,
  type KubernetesObject,
  type Metadata,
  type Service,
} from './objects.ts';
import type { Quotas } from './quota.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  detailsOf,
  forbidden,
  internalError,
  invalid,
  invalidValue,
  modified,
  notFound,
  unsupported,
} from './status.ts';
import type { Store } from './store.ts';
import { validate, validateChange } from './validation.ts';

/** What a caller sends: an object, or something that only looks like one. */
export type Given = { kind?: string; metadata?: Partial<Metadata>; spec?: object; status?: object };

export type DeleteOptions = {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
};

/** Create, update and delete with Kubernetes' rules; every failure is a `StatusError`. */
export type Registry = {
  find(kind: Kind, namespace: string | undefined, name: string): KubernetesObject;
  create(kind: Kind, namespace: string | undefined, given: Given): Promise<KubernetesObject>;
  /**
   * `change` gets the stored object and answers the new one. Two updates of one Service at the same time conflict (409),
   * even patches that name no version: Kubernetes 1.20 has no second try for Services, as it has for all else.
   */
  update(object: KubernetesObject, change: (old: object) => unknown, isStatus: boolean): Promise<KubernetesObject>;
  /** Answers what Kubernetes does: a `Status`, or of some kinds the object, also when that was the last of it. */
  remove(object: KubernetesObject, options: DeleteOptions): object;
};

/** What Kubernetes sets in an object's metadata, with what the caller may set; what is empty is left out, as in Go. */
function combine(own: object, given: Partial<Metadata> = {}): Metadata {
  const { labels, annotations, ownerReferences, finalizers } = given;
  const all: object = { ...own, labels, annotations, ownerReferences, finalizers };
  const isFilled = (value: unknown) =>
    value === 0 || (value && (typeof value !== 'object' || Object.keys(value).length > 0));
  return Object.fromEntries(Object.entries(all).filter(([, value]) => isFilled(value))) as Metadata;
}

/** The spec and the status of a new object, with what Kubernetes fills in before ports are allocated. */
function fill(kind: Kind, spec: object = {}): object {
  if (kind === 'Pod') {
    const defaults = { restartPolicy: 'Always', terminationGracePeriodSeconds: 30, containers: [] };
    return { spec: { ...defaults, ...spec }, status: { phase: 'Pending' } };
  }
  if (kind === 'Namespace') return { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } };
  if (kind === 'ResourceQuota') return { spec, status: {} };
  // Nobody makes volumes here, and no kubelet looks for them.
  if (kind === 'PersistentVolumeClaim') return { spec, status: { phase: 'Pending' } };
  if (kind !== 'Service') return { spec };
  const filled: Service['spec'] = { type: 'ClusterIP', sessionAffinity: 'None', ports: [], ...spec };
  const ports = filled.ports.map((port) => ({ protocol: 'TCP', targetPort: port.port, ...port }));
  return { spec: giveAddress({ ...filled, ports }), status: { loadBalancer: {} } };
}

/** A Service of a name elsewhere has no address of the cluster; each other one has one, its own `None` included. */
function giveAddress(spec: Service['spec']): Service['spec'] {
  if (spec.type === 'ExternalName') {
    const { clusterIP, clusterIPs, ...rest } = spec;
    return rest;
  }
  const { clusterIP = `10.96.${randomInt(256)}.${randomInt(1, 255)}` } = spec;
  return { ...spec, clusterIP, clusterIPs: [clusterIP] };
}

/** The spec of a Service that is changed: whoever changes its first address means the list of them. */
function changeAddress(next: Service['spec'], old: Service['spec']): Service['spec'] {
  if (next.type === 'ExternalName' || old.type === 'ExternalName') return giveAddress(next);
  if (next.clusterIP === old.clusterIP) return next;
  const { clusterIPs, ...rest } = next;
  return next.clusterIP === undefined ? rest : { ...rest, clusterIPs: [next.clusterIP] };
}

/** Refuses an update that means another object than the stored one, or another version of it. */
function checkIdentity({ kind, metadata }: KubernetesObject, given: Partial<Metadata>): void {
  const { name } = metadata;
  if (given.name !== name) {
    throw badRequest(`the name of the object (${given.name}) does not match the name on the URL (${name})`);
  }
  if (given.uid && given.uid !== metadata.uid) {
    const immutable = invalidValue('metadata.uid', given.uid, 'field is immutable');
    // Kubernetes looks twice, and says so.
    throw invalid(kind, name, [immutable, immutable]);
  }
  if (given.resourceVersion && given.resourceVersion !== metadata.resourceVersion) throw modified(kind, name);
}

/** What may not be changed of an object any more. */
function fixedSpecOf({ kind, spec }: KubernetesObject): object | undefined {
  if (kind === 'Pod') return spec;
  if (kind !== 'Service') return undefined;
  const {
    publishNotReadyAddresses,
    type,
    ports,
    externalTrafficPolicy,
    clusterIP,
    clusterIPs,
    externalName,
    ...fixed
  } = spec;
  return fixed;
}

/** Whether nothing but finalizers keeps an object that was to go. */
const isDue = ({ metadata }: KubernetesObject): boolean =>
  metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;

function checkPreconditions({ kind, metadata }: KubernetesObject, { uid, resourceVersion }: Partial<Metadata>): void {
  const differs = (what: string, wanted: string, found: string) =>
    `the ${what} in the precondition (${wanted}) does not match the ${what} in record (${found}). The object might have been`;
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(kind, metadata.name, `${differs('UID', uid, metadata.uid)} deleted and then recreated`);
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const why = differs('ResourceVersion', resourceVersion, metadata.resourceVersion);
    throw conflict(kind, metadata.name, `${why} modified`);
  }
}

/** `pause` is what passes between the reading and the writing of a Service that is updated. */
export function createRegistry(
  store: Store,
  nodePorts: NodePorts,
  quotas: Quotas,
  pause: () => Promise<void>,
): Registry {
  /** Nothing new comes into a namespace that is not there, or on its way out. */
  function checkNamespace(kind: Kind, namespace: string | undefined, name: string): void {
    if (namespace === undefined) return;
    const found = store.get('Namespace', undefined, namespace);
    if (found === undefined) throw notFound('Namespace', namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    const message = `namespace ${namespace} is being terminated`;
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    throw forbidden(kind, name, why, [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }]);
  }

  /** Gives a Service the NodePorts that its type asks for, beside those it had; `taken` collects what has to be given back on a failure. */
  async function allocate(service: Service, taken: number[], had: Service['spec']['ports'] = []): Promise<Service> {
    const { externalTrafficPolicy = 'Cluster', ...spec } = service.spec;
    if (spec.type !== 'NodePort') {
      return { ...service, spec: { ...spec, ports: spec.ports.map(({ nodePort, ...port }) => port) } };
    }
    const ports: Service['spec']['ports'] = [];
    for (const port of spec.ports) {
      const isKept = port.nodePort !== undefined && had.some(({ nodePort }) => nodePort === port.nodePort);
      if (port.nodePort !== undefined && !isKept) throw unsupported('a nodePort of the caller');
      const nodePort = port.nodePort ?? (await nodePorts.allocate());
      if (nodePort === undefined) throw internalError('failed to allocate a nodePort: range is full');
      if (!isKept) taken.push(nodePort);
      ports.push({ ...port, nodePort });
    }
    return { ...service, spec: { ...spec, externalTrafficPolicy, ports } };
  }

  function find(kind: Kind, namespace: string | undefined, name: string): KubernetesObject {
    const found = store.get(kind, namespace, name);
    if (found === undefined) throw notFound(kind, name);
    return found;
  }

  return {
    find,

    async create(kind, namespace, given) {
      const { name = '', namespace: inBody } = given.metadata ?? {};
      if ((given.kind ?? kind) !== kind) {
        throw badRequest(`${given.kind} in version "${apiVersionOf(kind)}" cannot be handled as a ${kind}`);
      }
      if (kind === 'Event') throw unsupported('events of the caller');
      if (namespace !== undefined && inBody && inBody !== namespace) {
        throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
      }
      checkNamespace(kind, namespace, name);
      const own = { name, namespace, uid: randomUUID(), creationTimestamp: formatTime(Date.now()) };
      const metadata = combine(own, given.metadata);
      let object = { kind, apiVersion: apiVersionOf(kind), metadata, ...fill(kind, given.spec) } as KubernetesObject;
      const errors = validate(object);
      if (errors.length > 0) throw invalid(kind, name, errors);

      if (object.kind === 'Pod' && object.spec.runtimeClassName !== undefined) {
        throw forbidden(kind, name, `pod rejected: RuntimeClass "${object.spec.runtimeClassName}" not found`);
      }

      // The order is Kubernetes': ports, then quota, and only then is it noticed that the name is taken.
      const taken: number[] = [];
      try {
        if (object.kind === 'Service') object = await allocate(object, taken);
        checkNamespace(kind, namespace, name);
        quotas.charge(object);
        const existing = store.get(kind, namespace, name);
        if (existing) throw alreadyExists(kind, name, existing.metadata.deletionTimestamp !== undefined);
      } catch (error) {
        for (const port of taken) nodePorts.release(port);
        throw error;
      }
      return store.put(object);
    },

    async update(old, change, isStatus) {
      const { kind } = old;
      const { namespace, name } = old.metadata;
      const given = change(old) as Given;
      checkIdentity(old, given.metadata ?? {});
      const metadata = combine(old.metadata, given.metadata);
      const { spec = old.spec, status = old.status } = given;
      let next = { ...old, ...(isStatus ? { status } : { metadata, ...(spec && { spec }) }) } as KubernetesObject;
      if (next.kind === 'Service' && old.kind === 'Service')
        next = { ...next, spec: changeAddress(next.spec, old.spec) };
      const errors = [...validate(next), ...validateChange(next, old)];
      if (errors.length > 0) throw invalid(kind, name, errors);
      if (isDeepStrictEqual(next, old)) return old;
      if (!isDeepStrictEqual(fixedSpecOf(next), fixedSpecOf(old))) {
        throw unsupported(`changes of the spec of a ${kind}`);
      }
      if (next.kind === 'Service' && old.kind === 'Service') {
        const taken: number[] = [];
        next = await allocate(next, taken, old.spec.ports);
        await pause();
        const current = store.get(kind, namespace, name);
        if (current !== old) {
          for (const port of taken) nodePorts.release(port);
          throw current === undefined ? notFound(kind, name) : modified(kind, name);
        }
      }
      // Whoever takes the last finalizer away from what was to go lets it go.
      if (isHeld(next) || !isDue(next)) return store.put(next);
      store.remove(next);
      return next;
    },

    remove(object, { gracePeriodSeconds, preconditions = {} }) {
      const { kind, metadata } = object;
      checkPreconditions(object, preconditions);
      if (kind === 'Namespace') {
        if (metadata.deletionTimestamp !== undefined) return object;
        const leaving = { ...metadata, deletionTimestamp: formatTime(Date.now()) };
        return store.put({ ...object, metadata: leaving, status: { phase: 'Terminating' } });
      }
      if (kind !== 'Pod') {
        if (isHeld(object)) {
          const since = metadata.deletionTimestamp ?? formatTime(Date.now());
          const leaving = { ...metadata, deletionTimestamp: since, deletionGracePeriodSeconds: 0 };
          return store.put({ ...object, metadata: leaving });
        }
        store.remove(object);
        if (kind === 'ResourceQuota') return object;
        const details = { ...detailsOf(kind, metadata.name), uid: metadata.uid };
        return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
      }
      // Only a Pod that a kubelet has in hand is given time to end.
      const isRunning = object.spec.nodeName !== undefined && !isEnded(object);
      const grace = isRunning ? (gracePeriodSeconds ?? object.spec.terminationGracePeriodSeconds) : 0;
      const { deletionTimestamp, deletionGracePeriodSeconds: before = 0 } = metadata;
      // Asked again: its time can be shortened and never be made longer.
      if (deletionTimestamp !== undefined && grace > 0 && grace >= before) return object;
      const asked = deletionTimestamp === undefined ? Date.now() : Date.parse(deletionTimestamp) - before * 1000;
      const end = formatTime(asked + grace * 1000);
      const leaving = {
        ...object,
        metadata: { ...metadata, deletionTimestamp: end, deletionGracePeriodSeconds: grace },
      };
      if (grace > 0 || isHeld(object)) return store.put(leaving);
      store.remove(object);
      return leaving;
    },
  };
}
