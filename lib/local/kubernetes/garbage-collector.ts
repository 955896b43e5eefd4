import { apiVersionOf, KINDS, type KubernetesObject, type OwnerReference } from './objects.ts';
import type { Registry } from './registry.ts';
import type { Store } from './store.ts';
import type { Timers } from './timers.ts';

/**
 * Deletes, soon, what has owner references of which none leads to an object that is there, by its name and its UID: its
 * owner has gone, or there never was one. Takes as long for a Pod as a delete does (its grace period). And empties namespaces
 * that are being deleted, and removes them.
 */
export function startGarbageCollector(store: Store, registry: Registry, timers: Timers): void {
  /** An owner of a kind that is not served here cannot be looked for: it is taken to be there. */
  function isThere({ apiVersion, kind, name, uid }: OwnerReference, namespace: string | undefined): boolean {
    const known = Object.values(KINDS).find((one) => one === kind && apiVersion === apiVersionOf(one));
    return known === undefined || store.get(known, namespace, name)?.metadata.uid === uid;
  }

  const isDangling = ({ metadata }: KubernetesObject) =>
    metadata.ownerReferences?.some((owner) => isThere(owner, metadata.namespace)) === false;

  function remove(objects: KubernetesObject[]): void {
    for (const object of objects) {
      if (object.metadata.deletionTimestamp === undefined) registry.remove(object, {});
    }
  }

  const listAll = (namespace?: string): KubernetesObject[] =>
    Object.values(KINDS).flatMap((kind): KubernetesObject[] => store.list(kind, namespace));

  const sweepSoon = timers.coalesce(20, () => {
    remove(listAll().filter(isDangling));
    for (const namespace of store.list('Namespace')) {
      if (namespace.metadata.deletionTimestamp === undefined) continue;
      remove(listAll(namespace.metadata.name));
      if (listAll(namespace.metadata.name).length === 0) store.remove(namespace);
    }
  });

  store.onChange((now) => {
    const { ownerReferences, deletionTimestamp } = now?.metadata ?? {};
    if (now === undefined || ownerReferences !== undefined || deletionTimestamp !== undefined) sweepSoon();
  });
}
