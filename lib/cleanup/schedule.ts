import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import type { Removed } from '../events/changes.ts';
import { tellOfCleanUp } from '../events/index.ts';
import { log } from '../log.ts';
import type { Census } from '../model/census.ts';
import { measureCleanUp } from '../telemetry/figures.ts';
import { areMetricsOn, publish } from '../telemetry/metrics.ts';
import type { CleanupReport } from './sweep.ts';

/** What a scheduled function is called with. */
export type ScheduledInvocation = Readonly<{
  /** Aborts shortly before Lambda would end the invocation. */
  signal: AbortSignal;
  /** Aborts before that, so that what is under way can be ended well. */
  stop: AbortSignal;
  now: () => Date;
  requestId: string;
  /** Take what the run's figures tell beside its report. Where nobody wants figures, they are not there. */
  noteCensus?: (census: Census) => void;
  noteLeaked?: (leaked: number) => void;
  noteRemoved?: (removed: Removed) => void;
  noteQuota?: (reading: Promise<Record<string, number>>) => void;
}>;

/** What is kept of an invocation's time to report in, and to end in what was begun, in milliseconds. */
const [reportMs, endMs] = [1_000, 10_000];

/** Without a Lambda around it: as long as the function has there, in milliseconds. */
const ownTimeMs = 120_000;

/**
 * Wraps a clean-up for the schedule: gives it its time, logs its report and its figures, tells of what it removed, and fails the invocation if anything failed, so
 * that an alarm on the function's errors sees it. A failed one is not repeated: the next one comes soon.
 */
export function runScheduled(cleanUp: (invocation: ScheduledInvocation) => Promise<CleanupReport>) {
  return middy(async (_event: unknown, context: Context): Promise<CleanupReport> => {
    const timeMs = context.getRemainingTimeInMillis?.() ?? ownTimeMs;
    const measuring = areMetricsOn() ? beginToMeasure() : undefined;
    const removed: Removed[] = [];
    let report: CleanupReport | undefined;
    let failure = 'Kubernetes could not be asked';
    try {
      report = await cleanUp({
        signal: AbortSignal.timeout(Math.max(1, timeMs - reportMs)),
        stop: AbortSignal.timeout(Math.max(1, timeMs - endMs)),
        now: () => new Date(),
        requestId: context.awsRequestId,
        noteRemoved: (one) => void removed.push(one),
        ...measuring?.notes,
      });
      failure = findFailure(report);
    } finally {
      await measuring?.end(report, failure === '');
      const leftMs = context.getRemainingTimeInMillis?.() ?? ownTimeMs;
      await tellOfCleanUp(removed, context.awsRequestId, leftMs - reportMs / 2);
    }
    if (failure === '') {
      log.info('Cleaned up', { report });
      return report;
    }
    log.error('Cleaned up, but not everything', { report });
    throw new Error(failure);
  });
}

/** What of a clean-up failed, in words; nothing where all went well. */
function findFailure({ failed, examined, networkPolicy }: CleanupReport): string {
  const failures = count(failed);
  if (failures > 0) return `${failures} of ${examined} sandboxes could not be cleaned up`;
  return networkPolicy === 'failed' ? 'The network policy could not be kept' : '';
}

const count = (numbers: Record<string, number>): number =>
  Object.values(numbers).reduce((sum, number) => sum + number, 0);

/** Gathers a run's figures; the end publishes them, and never fails. */
function beginToMeasure() {
  const begun = performance.now();
  let census: Census | undefined;
  let leaked = 0;
  let quota: Promise<Record<string, number> | undefined> = Promise.resolve(undefined);
  return {
    notes: {
      noteCensus(taken: Census) {
        census = taken;
      },
      noteLeaked(found: number) {
        leaked = found;
      },
      noteQuota(reading: Promise<Record<string, number>>) {
        quota = reading.catch((error: unknown) => {
          log.warn('The quota could not be read: the metrics are without it', { error: error as Error });
          return undefined;
        });
      },
    },
    async end(report: CleanupReport | undefined, succeeded: boolean): Promise<void> {
      const quotaLeft = await quota;
      publish(
        measureCleanUp({
          succeeded,
          durationMs: performance.now() - begun,
          ...(report && { removed: report.deleted, failures: count(report.failed), leaked }),
          ...(census && { census }),
          ...(quotaLeft && { quotaLeft }),
        }),
      );
    },
  };
}
