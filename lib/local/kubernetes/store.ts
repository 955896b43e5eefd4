import type { Kind, KubernetesObject, OfKind } from './objects.ts';

/** Is told what an object is now and what it was before: the one is missing when it is gone, the other when it is new. */
export type Listener = (now: KubernetesObject | undefined, before: KubernetesObject | undefined) => void;

export type Store = {
  revision(): number;
  get<K extends Kind>(kind: K, namespace: string | undefined, name: string): OfKind<K> | undefined;
  /** In the order of Kubernetes' keys, namespace/name; those of every namespace when none is given. */
  list<K extends Kind>(kind: K, namespace?: string): OfKind<K>[];
  /** Writes the object with a new resource version, and returns it. */
  put<T extends KubernetesObject>(object: T): T;
  remove(object: KubernetesObject): void;
  onChange(listener: Listener): void;
};

/**
 * All objects, in memory: what etcd is to Kubernetes. Every write takes the next number of one counter as its
 * resource version. Objects are never changed in place, so a list that was read stays what it was.
 */
export function createStore(): Store {
  const objects = new Map<string, KubernetesObject>();
  const listeners: Listener[] = [];
  let revision = 1;

  const keyOf = (kind: Kind, namespace = '', name = '') => `${kind}/${namespace}/${name}`;

  function write(key: string, now: KubernetesObject | undefined): void {
    const before = objects.get(key);
    if (now === undefined) objects.delete(key);
    else objects.set(key, now);
    for (const listener of listeners) listener(now, before);
  }

  return {
    revision: () => revision,
    get: <K extends Kind>(kind: K, namespace: string | undefined, name: string) =>
      objects.get(keyOf(kind, namespace, name)) as OfKind<K> | undefined,
    list<K extends Kind>(kind: K, namespace?: string) {
      const prefix = namespace === undefined ? `${kind}/` : keyOf(kind, namespace);
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
      return keys.map((key) => objects.get(key) as OfKind<K>);
    },
    put(object) {
      revision += 1;
      const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
      write(keyOf(object.kind, object.metadata.namespace, object.metadata.name), stored);
      return stored;
    },
    remove({ kind, metadata }) {
      revision += 1;
      write(keyOf(kind, metadata.namespace, metadata.name), undefined);
    },
    onChange(listener) {
      listeners.push(listener);
    },
  };
}
