import { describeFailure } from '../errors.ts';
import type { Diagnostics } from '../kubernetes/diagnostics.ts';
import { type EventView, sortEvents, viewEvent } from '../model/events.ts';
import { findReadiness, type Reason } from '../model/reasons.ts';
import { refineByEvents } from '../model/reasons-by-events.ts';
import type { Operation } from './operation.ts';
import { requirePod } from './reading.ts';

/** What happened to a sandbox's Pod, newest first, and whether it is ready, by all that the events tell. */
export type SandboxEvents = {
  sandbox_id: string;
  ready: boolean;
  reason?: Reason;
  message?: string;
  events: EventView[];
};

/**
 * The events of the sandbox's Pod, which Kubernetes keeps for an hour. Two round trips, three where it seems to have no Pod; no use of
 * the sandbox. Throws as `requirePod` does, and what calls to Kubernetes throw.
 */
export async function tellEvents(
  sandboxId: string,
  operation: Operation,
  diagnostics: Diagnostics,
): Promise<SandboxEvents> {
  const { now, signal } = operation;
  const { service, pod } = await requirePod(sandboxId, operation);
  const found = await diagnostics.readEvents(pod.metadata?.uid ?? '', signal).catch((error) => {
    throw describeFailure('Failed to list events', error);
  });
  const events = sortEvents(found);
  return {
    sandbox_id: sandboxId,
    ...refineByEvents(findReadiness(service, pod, now()), events),
    events: events.map(viewEvent),
  };
}
