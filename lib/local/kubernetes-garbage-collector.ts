import { isNamespace, type KubernetesObject, type OwnerReference, type ResourceType } from './kubernetes-objects.ts';
import type { Registry } from './kubernetes-registry.ts';
import type { Store } from './kubernetes-store.ts';
import type { Timers } from './kubernetes-timers.ts';

/**
 * Deletes what has owner references of which none leads to an object that is there, by its name and its UID: at once
 * when an owner goes, some 100 ms after the create when there never was one. Takes as long for a Pod as any delete:
 * its grace period. And empties namespaces that are being deleted, and removes them.
 */
export function startGarbageCollector(
  store: Store,
  registry: Registry,
  types: readonly ResourceType[],
  timers: Timers,
): void {
  /** An owner of a kind that is not served here cannot be looked for: it is taken to be there. */
  function isThere(owner: OwnerReference, namespace: string | undefined): boolean {
    const type = owner.apiVersion === 'v1' ? types.find(({ kind }) => kind === owner.kind) : undefined;
    if (type === undefined) return true;
    return store.get(type, type.namespaced ? (namespace ?? '') : '', owner.name)?.metadata.uid === owner.uid;
  }

  function remove(type: ResourceType, object: KubernetesObject): void {
    const { name, namespace = '', uid } = object.metadata;
    registry.remove(type, namespace, name, { preconditions: { uid } });
  }

  const isDangling = ({ metadata }: KubernetesObject) =>
    metadata.deletionTimestamp === undefined &&
    metadata.ownerReferences !== undefined &&
    !metadata.ownerReferences.some((owner) => isThere(owner, metadata.namespace));

  function collect(): void {
    for (const type of types) for (const object of store.list(type)) if (isDangling(object)) remove(type, object);
  }

  function emptyNamespaces(): void {
    for (const type of types) {
      for (const namespace of store.list(type).filter(isNamespace)) {
        if (namespace.metadata.deletionTimestamp === undefined) continue;
        const contents = types.filter(({ namespaced }) => namespaced);
        const list = () =>
          contents.flatMap((one) => store.list(one, namespace.metadata.name).map((object) => ({ one, object })));
        for (const { one, object } of list()) {
          if (object.metadata.deletionTimestamp === undefined) remove(one, object);
        }
        if (list().length === 0) registry.expunge(type, namespace);
      }
    }
  }

  const collectNow = timers.coalesce(1, collect);
  const collectSoon = timers.coalesce(100, collect);
  const emptySoon = timers.coalesce(20, emptyNamespaces);

  store.onChange(({ type, object }) => {
    if (type === 'DELETED') collectNow();
    else if (object.metadata.ownerReferences !== undefined) collectSoon();
    if (
      (isNamespace(object) && object.metadata.deletionTimestamp !== undefined) ||
      (type === 'DELETED' && !isNamespace(object))
    ) {
      emptySoon();
    }
  });
}
