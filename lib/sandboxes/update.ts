import { describeFailure, ProvisionerError } from '../errors.ts';
import { isConflict, isNotFound } from '../kubernetes/index.ts';
import {
  findDueChange,
  findMetadata,
  type MetadataChange,
  maxMetadataPairs,
  metadataLabels,
  tooManyPairs,
} from '../model/metadata.ts';
import { serviceName } from '../model/names.ts';
import type { SandboxView } from '../model/status.ts';
import { type Operation, pause } from './operation.ts';
import { notFound, present, readSandbox } from './reading.ts';

/**
 * Changes the sandbox's metadata, and nothing else of it; no use of the sandbox. Two round trips, because a patch alone cannot say how
 * many pairs there will be; one where all is so already. The patch holds for the Service that was read: where that was changed
 * meanwhile, by a use for one, or where the answer to the patch was lost, it begins again with what there is now.
 *
 * Throws `not-found` if the sandbox is not there, or is being removed; `invalid-request` where it would have too many pairs: it has
 * then changed nothing.
 */
export async function updateSandbox(
  sandboxId: string,
  change: MetadataChange,
  operation: Operation,
): Promise<SandboxView> {
  const { kubernetes, signal } = operation;
  for (let attempt = 0; ; attempt += 1) {
    const { service, pod } = await readSandbox(sandboxId, operation);
    if (service === undefined || service.metadata?.deletionTimestamp !== undefined) throw notFound(sandboxId);
    const found = findMetadata(service.metadata?.labels);
    const due = findDueChange(change, found);
    if (Object.keys(due).length === 0) return present(sandboxId, service, pod, operation);
    const count = Object.values({ ...found, ...due }).filter((value) => value !== null).length;
    if (count > maxMetadataPairs) throw new ProvisionerError('invalid-request', [tooManyPairs(count, due)]);
    const patch = { metadata: { resourceVersion: service.metadata?.resourceVersion, labels: metadataLabels(due) } };
    try {
      const changed = await kubernetes.patchService(serviceName(sandboxId), patch, signal);
      operation.note?.({ did: 'updated' });
      return present(sandboxId, changed, pod, operation);
    } catch (error) {
      if (isNotFound(error)) throw notFound(sandboxId);
      if (!isConflict(error)) throw describeFailure('Service update failed', error);
    }
    await pause(attempt, 'its Service is being changed all the time', signal);
  }
}
