import { useAnnotations } from '../model/manifests.ts';
import { ifSandbox, podName } from '../model/names.ts';
import type { SandboxView } from '../model/status.ts';
import { type Operation, settle, unwrap } from './operation.ts';
import { notFound, present } from './reading.ts';
import { annotate, noteUse, renewOriginal } from './uses.ts';

/**
 * Notes a use of the sandbox, which puts its expiry off, and with `ttlSeconds` for how long it may go unused from now on: one
 * round trip. Throws `not-found` if it is not there, or is being removed.
 */
export async function renewSandbox(
  sandboxId: string,
  ttlSeconds: number | undefined,
  operation: Operation,
): Promise<SandboxView> {
  const { kubernetes, now, signal, requestId } = operation;
  const reading = settle(kubernetes.readPod(podName(sandboxId), signal));
  const annotations = useAnnotations({ at: now(), requestId, ttlSeconds });
  const service = await noteUse(sandboxId, annotate(annotations), operation, () =>
    renewOriginal(sandboxId, annotations, operation),
  );
  if (service === undefined) throw notFound(sandboxId);
  operation.note?.({ did: 'renewed' });
  const pod = ifSandbox(unwrap('Pod lookup failed', await reading), podName);
  return present(sandboxId, service, pod, operation);
}
