import type { ListedPod, ListedService } from './listed.ts';

/**
 * Whether Kubernetes means to keep this Pod behind this Service. One with a deletion timestamp is being removed, and one
 * that a Service of another UID owns is about to be: the garbage collector removes an object whose owners are all gone.
 * A Pod without an owner is the original provisioner's and stays.
 */
export function belongsTo(pod: ListedPod, service: ListedService): boolean {
  return !isOwnedByAnother(pod, service) && pod.metadata?.deletionTimestamp === undefined;
}

/** Whether the Pod has owners, and this Service is none of them. */
export function isOwnedByAnother(pod: ListedPod, service: ListedService): boolean {
  const owners = pod.metadata?.ownerReferences ?? [];
  return owners.length > 0 && !owners.some((owner) => owner.uid === service.metadata?.uid);
}

/** Whether the Pod has an owner at all: the original provisioner's have none. */
export const isOwned = (pod: ListedPod): boolean => (pod.metadata?.ownerReferences ?? []).length > 0;
