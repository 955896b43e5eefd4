import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { foreignAnswerError } from './outcomes.ts';

/** A list, or a page of one; with `_continue` there is more. */
export type Listed<T> = { items: T[]; metadata: { _continue?: string } };

/**
 * Reads the answer to a list as the client would, but in a fraction of its time: the client asks of every field of every
 * object which of some hundred types it has, which takes twice as long as parsing the JSON. What differs from the JSON are
 * the times, which are Dates, and that the objects come without `managedFields`, nearly half of their bytes. Throws for an
 * answer that is no list of this kind.
 */
export function readList<T extends V1Pod | V1Service>(kind: 'PodList' | 'ServiceList', text: string): Listed<T> {
  const list = JSON.parse(text) as { kind?: unknown; items?: T[] | null; metadata?: { continue?: string } };
  if (list.kind !== kind || list.items === undefined) throw foreignAnswerError(200);
  const { continue: _continue } = list.metadata ?? {};
  return { items: (list.items ?? []).map(readItem), metadata: _continue ? { _continue } : {} };
}

function readItem<T extends V1Pod | V1Service>(item: T): T {
  const { managedFields: _, creationTimestamp, deletionTimestamp, ...metadata } = item.metadata ?? {};
  reviveTimes(item.status);
  return {
    ...item,
    metadata: {
      ...metadata,
      ...(creationTimestamp && { creationTimestamp: new Date(creationTimestamp) }),
      ...(deletionTimestamp && { deletionTimestamp: new Date(deletionTimestamp) }),
    },
  };
}

/** Every field of a Pod's or a Service's status that is a time. */
const timeFields = new Set(['startTime', 'lastTransitionTime', 'lastProbeTime', 'startedAt', 'finishedAt']);

/** Makes Dates of the times in a status, in place: it has no maps in it whose keys somebody else could choose. */
function reviveTimes(status: unknown): void {
  if (typeof status !== 'object' || status === null) return;
  const fields = status as Record<string, unknown>;
  for (const name in fields) {
    const value = fields[name];
    if (typeof value === 'string' && timeFields.has(name)) fields[name] = new Date(value);
    else reviveTimes(value);
  }
}
