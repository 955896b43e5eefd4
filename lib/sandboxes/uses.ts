import type { V1Service } from '@kubernetes/client-node';
import { describeFailure } from '../errors.ts';
import { isConflict, isNotFound, isTestFailed, type JsonPatchOperation } from '../kubernetes/index.ts';
import { log } from '../log.ts';
import { findThreadId } from '../model/adoption.ts';
import { useAnnotations } from '../model/manifests.ts';
import { sandboxIdLabel, sandboxLabel, serviceName, threadIdAnnotation } from '../model/names.ts';
import { type Operation, pause } from './operation.ts';
import { notFound, readSandbox } from './reading.ts';

/** How long a look at a sandbox may wait until it is noted, in milliseconds. */
const noteMs = 2_000;

/**
 * Makes these changes to the sandbox's Service, if the tests among them hold, and gives the Service; where one does not hold, what
 * `otherwise` gives. Undefined if the Service is not there. Begins again when the Service is changed at the same moment.
 */
export async function noteUse(
  sandboxId: string,
  changes: JsonPatchOperation[],
  { kubernetes, signal }: Operation,
  otherwise: () => Promise<V1Service | undefined>,
): Promise<V1Service | undefined> {
  const patch = [...testSandbox(sandboxId), ...changes];
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await kubernetes.patchService(serviceName(sandboxId), patch, signal).catch((error) => {
        if (isTestFailed(error)) return otherwise();
        throw error;
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      // Another request changed it at the same moment; or an older version (1.20), which lets patches of one Service that
      // come at the same moment conflict though none has a precondition.
      if (!isConflict(error)) throw describeFailure('Service update failed', error);
    }
    await pause(attempt, 'its Service is being changed all the time', signal);
  }
}

/** Holds for a sandbox's Service alone, not for one that only bears its name, nor for one that is being removed. */
const testSandbox = (sandboxId: string): JsonPatchOperation[] => [
  ...Object.entries({ ...sandboxLabel, [sandboxIdLabel]: sandboxId }).map(
    ([name, value]): JsonPatchOperation => ({ op: 'test', path: pointer('labels', name), value }),
  ),
  // To Kubernetes, what is not there is null.
  { op: 'test', path: '/metadata/deletionTimestamp', value: null },
];

/** The changes that write these annotations. */
export const annotate = (annotations: Record<string, string>): JsonPatchOperation[] =>
  Object.entries(annotations).map(([name, value]) => ({ op: 'add', path: pointer('annotations', name), value }));

/**
 * For a Service without any annotation, the original provisioner's: notes its thread with the use, as long as its Pod tells it.
 * Undefined if it is not there, no sandbox's, or being removed. Throws Kubernetes' conflict if it changed meanwhile.
 */
export async function renewOriginal(
  sandboxId: string,
  annotations: Record<string, string>,
  operation: Operation,
): Promise<V1Service | undefined> {
  const { service, pod } = await readSandbox(sandboxId, operation);
  const { resourceVersion, deletionTimestamp } = service?.metadata ?? {};
  if (service === undefined || deletionTimestamp !== undefined) return undefined;
  const threadId = findThreadId(service, pod);
  const thread = threadId === undefined ? {} : { [threadIdAnnotation]: threadId };
  const patch = { metadata: { resourceVersion, annotations: { ...thread, ...annotations } } };
  return operation.kubernetes.patchService(serviceName(sandboxId), patch, operation.signal);
}

/**
 * Notes a look at this Service as a use. That it could not be noted is no reason not to show the sandbox, but for one: it is
 * not there any more. Throws `not-found` then.
 */
export async function noteLook(sandboxId: string, service: V1Service, operation: Operation): Promise<V1Service> {
  const { kubernetes, now, signal, requestId } = operation;
  const { uid } = service.metadata ?? {};
  const annotations = useAnnotations({ at: now(), requestId });
  // With the UID that was seen: a sandbox that was made anew meanwhile is not this one, and is in use anyway.
  const patch = { metadata: { uid, annotations } };
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(noteMs)]);
    return await kubernetes.patchService(serviceName(sandboxId), patch, patience);
  } catch (error) {
    if (isNotFound(error)) throw notFound(sandboxId);
    log.info('Could not note the use of a sandbox', { sandboxId, cause: (error as Error).message });
    return service;
  }
}

/** Where a label or an annotation stands in an object (RFC 6901). */
export const pointer = (kind: 'labels' | 'annotations', name: string): string =>
  `/metadata/${kind}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
