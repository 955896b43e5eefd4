import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { log } from '../log.ts';
import type { CleanupReport } from './sweep.ts';

/** What a scheduled function is called with. */
export type ScheduledInvocation = Readonly<{
  /** Aborts shortly before Lambda would end the invocation. */
  signal: AbortSignal;
  /** Aborts before that, so that what is under way can be ended well. */
  stop: AbortSignal;
  now: () => Date;
  requestId: string;
}>;

/** What is kept of an invocation's time to report in, and to end in what was begun, in milliseconds. */
const [reportMs, endMs] = [1_000, 10_000];

/** Without a Lambda around it: as long as the function has there, in milliseconds. */
const ownTimeMs = 120_000;

/**
 * Wraps a clean-up for the schedule: gives it its time, logs its report, and fails the invocation if anything failed, so that
 * an alarm on the function's errors sees it. A failed one is not repeated: the next one comes soon.
 */
export function runScheduled(cleanUp: (invocation: ScheduledInvocation) => Promise<CleanupReport>) {
  return middy(async (_event: unknown, context: Context): Promise<CleanupReport> => {
    const timeMs = context.getRemainingTimeInMillis?.() ?? ownTimeMs;
    const report = await cleanUp({
      signal: AbortSignal.timeout(Math.max(1, timeMs - reportMs)),
      stop: AbortSignal.timeout(Math.max(1, timeMs - endMs)),
      now: () => new Date(),
      requestId: context.awsRequestId,
    });
    const failures = Object.values(report.failed).reduce((sum, number) => sum + number, 0);
    if (failures === 0 && report.networkPolicy !== 'failed') {
      log.info('Cleaned up', { report });
      return report;
    }
    log.error('Cleaned up, but not everything', { report });
    if (failures === 0) throw new Error('The network policy could not be kept');
    throw new Error(`${failures} of ${report.examined} sandboxes could not be cleaned up`);
  });
}
