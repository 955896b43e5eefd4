import { currentEventTargets } from '../config/index.ts';
import { log } from '../log.ts';
import type { ClosedRecord } from '../telemetry/record.ts';
import type { Change, Removed } from './changes.ts';
import { findChanges, sendEvents, toChange } from './sending.ts';

/** For how long the events of a run of the clean-up are tried to be delivered, in milliseconds. */
const afterCleanUpMs = 10_000;

/**
 * Sends the events of a request that is over, where the settings want them, for as long as they say, and for `leftMs` at most. Never
 * rejects. Where nobody wants events, nothing is even loaded.
 */
export async function tellOfRequest(record: ClosedRecord, leftMs: number): Promise<void> {
  const config = currentEventTargets();
  if (config?.eventTargets === undefined) return;
  const mostMs = config.eventTargets.deliverySeconds * 1000;
  await send(() => findChanges(record), config, record.requestId, Math.min(mostMs, leftMs));
}

/** Likewise, of what a run of the clean-up removed. */
export async function tellOfCleanUp(removed: readonly Removed[], requestId: string, leftMs: number): Promise<void> {
  const config = currentEventTargets();
  if (config === undefined || removed.length === 0) return;
  await send(() => removed.map(toChange), config, requestId, Math.min(afterCleanUpMs, leftMs));
}

async function send(
  find: () => readonly Change[],
  config: NonNullable<ReturnType<typeof currentEventTargets>>,
  requestId: string,
  ms: number,
): Promise<void> {
  try {
    await sendEvents(find(), config, {
      ...{ requestId, now: () => new Date(), signal: AbortSignal.timeout(Math.max(0, Math.floor(ms))) },
      onLost: (lost) => log.error('An event was not delivered', { requestId, ...lost }),
    });
  } catch (error) {
    // The work is done, whatever this was.
    log.error('No event could be sent', { requestId, error: error as Error });
  }
}
