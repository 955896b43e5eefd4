import { setTimeout as wait } from 'node:timers/promises';
import type { V1Pod, V1Service } from '@kubernetes/client-node';
import type { ProvisionerError } from '../errors.ts';
import { log } from '../log.ts';
import { ifSandbox, podName } from '../model/names.ts';
import { canBecomeReady, type Reason } from '../model/reasons.ts';
import type { SandboxView } from '../model/status.ts';
import type { Operation } from './operation.ts';
import { hasPod, present } from './reading.ts';

/** What was seen of a sandbox that there is. */
type Seen = Readonly<{ service: V1Service; pod: V1Pod | undefined }>;

/**
 * How long until the next look, in milliseconds: at a sandbox that is being started, at one that still needs longer than this to become
 * ready once nothing holds it up, and after a look that failed. So an answer comes at most 0.3 s after Kubernetes says ready.
 */
const [startingMs, heldUpMs, failedMs] = [250, 500, 1_000];
const startingReasons: ReadonlySet<Reason> = new Set(['ContainerCreating', 'Starting', 'Unready']);

/**
 * The sandbox as it was seen; where its caller waits, as soon as it is ready, or can no longer become so as it is, and at the end of the
 * wait as it was seen last. One read of its Pod for each look. A look that fails is made again, and is no failure of the wait. Where the
 * Pod is lost, `findAgain` says what there is, or throws `not-found`; without it, the sandbox is shown without a Pod. Throws
 * `unavailable` while the Service has no address.
 */
export async function awaitReady(
  sandboxId: string,
  first: Seen,
  operation: Operation,
  findAgain?: (operation: Operation) => Promise<Seen>,
): Promise<SandboxView> {
  const { kubernetes, endOfWait, note } = operation;
  let { service, pod } = first;
  let view = present(sandboxId, service, pod, operation);
  note?.({ threadId: view.thread_id, userId: view.user_id });
  if (endOfWait === undefined || view.ready) return view;
  for (let pauseMs = pauseAfter(view); pauseMs !== undefined; ) {
    await wait(pauseMs, undefined, { signal: endOfWait }).catch(() => {});
    if (endOfWait.aborted) break;
    try {
      pod = ifSandbox(await kubernetes.readPod(podName(sandboxId), endOfWait), podName);
      if (findAgain && !hasPod(service, pod)) ({ service, pod } = await findAgain({ ...operation, signal: endOfWait }));
      view = present(sandboxId, service, pod, operation);
      pauseMs = pauseAfter(view);
    } catch (error) {
      const { kind, message } = error as ProvisionerError;
      if (kind === 'not-found') throw error;
      if (endOfWait.aborted) break;
      log.info('Could not look at a sandbox', { sandboxId, cause: message });
      pauseMs = failedMs;
    }
  }
  const { ready, reason, message = '' } = view;
  if (ready) note?.({ waited: 'ready' });
  else if (reason && !canBecomeReady(reason)) note?.({ waited: { reason, message } });
  return view;
}

/** How long until the next look; undefined where none is worth it. */
function pauseAfter({ reason }: SandboxView): number | undefined {
  if (reason === undefined || !canBecomeReady(reason)) return undefined;
  return startingReasons.has(reason) ? startingMs : heldUpMs;
}
