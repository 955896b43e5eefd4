import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import type { ServerContext } from '../http/serve.ts';

/** A function as Lambda calls it. */
export type Handler<Event, Answer> = (event: Event, context: Context) => Promise<Answer>;

/** The function has not answered in its time. */
export class OutOfTime extends Error {}

/**
 * Calls a function as Lambda does: it has so many milliseconds, and knows how many are left. Rejects with what it throws, or with
 * `OutOfTime`; what it does after that nobody looks at. It waits for nothing any more once `stopWaiting` aborts, and hands to `goOn` what
 * may go on after its answer.
 */
export async function invoke<Event, Answer>(
  handler: Handler<Event, Answer>,
  event: Event,
  timeMs: number,
  requestId: string = randomUUID(),
  server: ServerContext = {},
): Promise<Answer> {
  const end = performance.now() + timeMs;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new OutOfTime(`The function has not answered in ${timeMs} ms`)), timeMs);
  // What the functions read of it.
  const context = {
    awsRequestId: requestId,
    getRemainingTimeInMillis: () => Math.floor(end - performance.now()),
    ...server,
  } as Context & ServerContext;
  try {
    return await Promise.race([handler(event, context), late]);
  } finally {
    clearTimeout(timer);
  }
}
