import type { KubernetesObject, ResourceType } from './kubernetes-objects.ts';

export type Change = {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  resource: ResourceType;
  object: KubernetesObject;
  /** What stood there before; absent for `ADDED`. */
  previous?: KubernetesObject;
  revision: number;
};

export type Page = { items: KubernetesObject[]; revision: number; remaining: number; lastKey?: string };

/**
 * All objects, in memory: what etcd is to Kubernetes. Every write takes the next number of one counter as its
 * resource version. Objects are never changed in place, so a list that was read stays what it was.
 */
export type Store = {
  revision(): number;
  get(resource: ResourceType, namespace: string, name: string): KubernetesObject | undefined;
  /** In the order of Kubernetes' keys, namespace/name; every namespace's when none is given. */
  list(resource: ResourceType, namespace?: string): KubernetesObject[];
  /** Writes the object with a new resource version, which it returns with it. */
  put(resource: ResourceType, object: KubernetesObject): KubernetesObject;
  remove(resource: ResourceType, object: KubernetesObject): KubernetesObject;
  onChange(listener: (change: Change) => void): () => void;
  /** Changes after a revision, oldest first; undefined when they are no longer all known. */
  changesSince(revision: number): Change[] | undefined;
  /** The list as it was at a revision, which must have been kept; undefined when it is no longer known. */
  listAt(resource: ResourceType, namespace: string | undefined, revision: number): KubernetesObject[] | undefined;
};

/** Kubernetes forgets old revisions after 5 minutes; here it is the number of changes that counts. */
const HISTORY = 5000;

export function createStore(): Store {
  const collections = new Map<ResourceType, Map<string, KubernetesObject>>();
  const listeners = new Set<(change: Change) => void>();
  const history: Change[] = [];
  let revision = 1;
  let forgotten = 1;

  const keyOf = (namespace: string | undefined, name: string) => `${namespace ?? ''}/${name}`;
  const collection = (resource: ResourceType) => {
    const found = collections.get(resource) ?? new Map<string, KubernetesObject>();
    collections.set(resource, found);
    return found;
  };
  const sorted = (objects: Map<string, KubernetesObject>, namespace: string | undefined) =>
    [...objects]
      .filter(([, object]) => namespace === undefined || object.metadata.namespace === namespace)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);

  function record(change: Change): void {
    history.push(change);
    if (history.length > HISTORY) forgotten = history.shift()?.revision ?? forgotten;
    for (const listener of [...listeners]) listener(change);
  }

  const changesSince = (from: number) =>
    from < forgotten ? undefined : history.filter((change) => change.revision > from);

  return {
    revision: () => revision,
    get: (resource, namespace, name) => collection(resource).get(keyOf(namespace, name)),
    list: (resource, namespace) => sorted(collection(resource), namespace),
    put(resource, object) {
      revision += 1;
      const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
      const key = keyOf(object.metadata.namespace, object.metadata.name);
      const previous = collection(resource).get(key);
      collection(resource).set(key, stored);
      const type = previous === undefined ? 'ADDED' : 'MODIFIED';
      record({ type, resource, object: stored, revision, ...(previous === undefined ? {} : { previous }) });
      return stored;
    },
    remove(resource, object) {
      revision += 1;
      const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
      const key = keyOf(object.metadata.namespace, object.metadata.name);
      const previous = collection(resource).get(key) ?? object;
      collection(resource).delete(key);
      record({ type: 'DELETED', resource, object: last, previous, revision });
      return last;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    changesSince,
    listAt(resource, namespace, at) {
      const later = changesSince(at);
      if (later === undefined || at > revision) return undefined;
      // Undone one by one from today's state, newest first.
      const objects = new Map(collection(resource));
      for (const change of later.reverse()) {
        if (change.resource !== resource) continue;
        const key = keyOf(change.object.metadata.namespace, change.object.metadata.name);
        if (change.previous === undefined) objects.delete(key);
        else objects.set(key, change.previous);
      }
      return sorted(objects, namespace);
    },
  };
}
