import { describeFailure } from '../errors.ts';
import { ifSandbox, podName } from '../model/names.ts';
import type { Operation } from './operation.ts';

/** Whether a sandbox has a Pod, one that ends included, and its UID. */
export type Presence = { sandbox_id: string; exists: boolean; container_id: string | null };

/**
 * Whether the sandbox has a Pod at all, whatever became of its Service: a gateway that left a Pod in an uncertain state asks until it is
 * gone. One round trip; no use of the sandbox. Throws what calls to Kubernetes throw.
 */
export async function findPresence(sandboxId: string, { kubernetes, signal }: Operation): Promise<Presence> {
  const found = await kubernetes.readPod(podName(sandboxId), signal).catch((error) => {
    throw describeFailure('Failed to check Pod presence', error);
  });
  const pod = ifSandbox(found, podName);
  return { sandbox_id: sandboxId, exists: pod !== undefined, container_id: pod?.metadata?.uid ?? null };
}
