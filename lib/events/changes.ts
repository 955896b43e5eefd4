import type { ErrorKind } from '../errors.ts';
import type { ClosedRecord } from '../telemetry/record.ts';

/** What may become of a sandbox. */
export const eventTypes = [
  'sandbox.created',
  'sandbox.ready',
  'sandbox.healed',
  'sandbox.failed',
  'sandbox.expired',
  'sandbox.removed',
] as const;

export type EventType = (typeof eventTypes)[number];

/**
 * What an event says of its sandbox, with a `reason` where the type says too little, and what callers read. Not where it is reached: who has
 * that may be let in.
 */
export type EventData = {
  sandbox_id: string;
  thread_id: string | null;
  user_id: string | null;
  reason?: string;
  message?: string;
  request_id: string;
};

/** An event, in the shape that Standard Webhooks asks for, and its id. */
export type ChangeEvent = { id: string; type: EventType; timestamp: string; data: EventData };

/** A change, as whoever made or saw it tells of it. */
export type Change = Readonly<{
  type: EventType;
  sandboxId: string;
  threadId?: string | null | undefined;
  userId?: string | null | undefined;
  reason?: string;
  message?: string;
}>;

/** What a create fails for although nothing is wrong with what it asks for. */
const failures: ReadonlySet<ErrorKind> = new Set<ErrorKind>([
  'quota-exceeded',
  'unavailable',
  'deadline-exceeded',
  'refused',
  'not-admitted',
  'failed',
  'misconfigured',
]);

/** The changes that a request made or saw. Pure. */
export function findChanges(record: ClosedRecord): Change[] {
  const { sandboxId, did, waited, error, routeKey, kubernetes, threadId, userId } = record;
  if (sandboxId === undefined) return [];
  const sandbox = { sandboxId, threadId, userId };
  if (error !== undefined) {
    const isFailure = routeKey === 'POST /api/sandboxes' && kubernetes.calls > 0 && failures.has(error.kind);
    return isFailure ? [{ type: 'sandbox.failed', ...sandbox, reason: error.kind, message: error.message }] : [];
  }
  const changes: Change[] = [];
  if (did === 'created') changes.push({ type: 'sandbox.created', ...sandbox });
  if (did === 'healed' || did === 'replaced') changes.push({ type: 'sandbox.healed', ...sandbox });
  if (did === 'deleted') changes.push({ type: 'sandbox.removed', ...sandbox, reason: 'requested' });
  if (waited === 'ready') changes.push({ type: 'sandbox.ready', ...sandbox });
  else if (waited !== undefined) changes.push({ type: 'sandbox.failed', ...sandbox, ...waited });
  return changes;
}

/** What the clean-up removed, and why. */
export type Removed = Readonly<{
  sandboxId: string;
  threadId: string | undefined;
  userId: string | undefined;
  reason: string;
}>;

/** The change that this was. Pure. */
export const toChange = (removed: Removed): Change => ({
  type: ['expired', 'too-old'].includes(removed.reason) ? 'sandbox.expired' : 'sandbox.removed',
  ...removed,
});

/**
 * The event of a change that a request, or a run of the clean-up, made or saw. No two have the same id: a request does nothing twice to
 * one sandbox. Pure.
 */
export function buildEvent(change: Change, requestId: string, at: Date): ChangeEvent {
  const { type, sandboxId, threadId, userId, reason, message } = change;
  return {
    // No dot: with one, Standard Webhooks divides what is signed.
    id: `${type.replace('sandbox.', '')}_${sandboxId}_${requestId}`,
    type,
    timestamp: at.toISOString(),
    data: {
      sandbox_id: sandboxId,
      thread_id: threadId ?? null,
      user_id: userId ?? null,
      ...(reason !== undefined && { reason }),
      ...(message !== undefined && { message }),
      request_id: requestId,
    },
  };
}
