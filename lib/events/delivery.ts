import { setTimeout as wait } from 'node:timers/promises';
import type { ChangeEvent } from './changes.ts';

/** Where events go. */
export type Target = Readonly<{
  /** How many events one call takes. */
  most: number;
  /** Sends events in one call, and gives those that did not arrive. Rejects where nobody knows of any. Ends with the signal. */
  send(events: readonly ChangeEvent[], signal: AbortSignal): Promise<Refusal[]>;
}>;

/** An event that did not arrive, in words why, and whether to send it again is of no use. */
export type Refusal = Readonly<{ event: ChangeEvent; why: string; isFinal: boolean }>;

/** How many calls are made to a target at once, and how long until one is repeated for the first time, in milliseconds. */
const [width, firstPauseMs] = [10, 100];

/**
 * Sends events to a target until it has them, or the signal aborts. What may have arrived, though nobody said so, is sent again: under the
 * same id. Gives those that are not known to have arrived. Never rejects, and ends with the signal at the latest.
 */
export async function deliver(events: readonly ChangeEvent[], target: Target, signal: AbortSignal): Promise<Refusal[]> {
  const lost: Refusal[] = [];
  const queue = Array.from({ length: Math.ceil(events.length / target.most) }, (_, index) =>
    events.slice(index * target.most, (index + 1) * target.most),
  );
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      lost.push(...(await deliverBatch(next, target, signal)));
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, queue.length) }, worker));
  return lost;
}

async function deliverBatch(batch: readonly ChangeEvent[], target: Target, signal: AbortSignal): Promise<Refusal[]> {
  const lost: Refusal[] = [];
  let left: Refusal[] = batch.map((event) => ({ event, why: 'there was not enough time', isFinal: false }));
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs *= 2) {
    const events = left.map(({ event }) => event);
    const refused = await orAbort(target.send(events, signal), signal).catch((error: unknown) =>
      // What was wrong before tells more than that time was over then.
      signal.aborted ? left : events.map((event) => ({ event, why: describe(error), isFinal: false })),
    );
    lost.push(...refused.filter(({ isFinal }) => isFinal));
    left = refused.filter(({ isFinal }) => !isFinal);
    if (left.length === 0) break;
    await wait(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
  }
  return [...lost, ...left];
}

/** As the work does, or rejects when the signal aborts, whatever the work then does. */
async function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const end = () => reject(signal.reason);
  signal.addEventListener('abort', end);
  // Nobody tells of what is over.
  if (signal.aborted) end();
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** Of a call that failed the system's word alone: its message may name the address, which can hold a secret. */
function describe(error: unknown): string {
  const { cause, code, kind, message } = error as {
    cause?: { code?: string };
    code?: string;
    kind?: string;
    message: string;
  };
  return cause?.code ?? code ?? (kind === undefined ? 'the call failed' : message);
}
