import { isUseDue } from '../model/expiry.ts';
import type { SandboxView } from '../model/status.ts';
import { awaitReady } from './await-ready.ts';
import type { Operation } from './operation.ts';
import { requirePod } from './reading.ts';
import { noteLook } from './uses.ts';

/**
 * The sandbox as it is now: one round trip, two where it seems to have no Pod. Counts as a use, and notes it where that is
 * due: one more; where its caller waits, all looks are one use. Throws `not-found` only when Kubernetes says that its Service is
 * not there, or has no Pod that stays.
 *
 * Of one without a Pod, DeerFlow's *discover* would hand out the address whatever its status is, for a turn that fails. Not found, it
 * creates, which brings the Pod back behind the same address; *is_alive* takes both for dead; and a list shows it still, so that who
 * adopts what it finds can remove it.
 */
export async function getSandbox(sandboxId: string, operation: Operation): Promise<SandboxView> {
  const { config, now } = operation;
  const { service, pod } = await requirePod(sandboxId, operation);
  const current = isUseDue(service, now(), config) ? await noteLook(sandboxId, service, operation) : service;
  return awaitReady(sandboxId, { service: current, pod }, operation, (again) => requirePod(sandboxId, again));
}
