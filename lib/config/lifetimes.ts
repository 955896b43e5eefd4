import { flag, matching, meaning, seconds } from './rules.ts';
import type { Fields, Settings } from './setting.ts';

/** For how long a sandbox lives, and how the clean-up goes about it. */
export const lifetimeSettings = {
  SANDBOX_TTL_SECONDS: {
    field: 'sandboxTtlSeconds',
    rule: seconds,
    default: 86_400,
    neededBy: 'kubernetes',
    doc: 'for how long a sandbox may go unused before it is removed; 0: for ever. Noted when a sandbox is made: one that exists keeps what it has',
  },
  SANDBOX_MAX_TTL_SECONDS: {
    field: 'sandboxMaxTtlSeconds',
    rule: seconds,
    default: 604_800,
    neededBy: ['kubernetes', 'description'],
    doc: 'the longest time that a caller may ask for; 0: any, and 0 for ever',
  },
  SANDBOX_MAX_LIFETIME_SECONDS: {
    field: 'sandboxMaxLifetimeSeconds',
    rule: seconds,
    default: 0,
    neededBy: 'kubernetes',
    doc: 'how old a sandbox may grow, used or not; 0: as old as it likes',
  },
  SANDBOX_ORPHAN_GRACE_SECONDS: {
    field: 'orphanGraceSeconds',
    // A create has 25 s between its use and its Pod; the clean-up must not come between them, on clocks that differ a little.
    rule: () => meaning(matching(/^([6-9]\d|[1-9]\d{2,8})$/, 'must be a whole number of seconds, at least 60'), Number),
    default: 300,
    neededBy: 'cleanup',
    doc: 'how long a Service without a Pod, or a Pod without a Service, is left alone; at least 60, because a create may take 25',
  },
  SANDBOX_FAILED_RETENTION_SECONDS: {
    field: 'failedRetentionSeconds',
    rule: seconds,
    default: 3_600,
    neededBy: 'cleanup',
    doc: 'how long a sandbox stays whose Pod has ended, so that you can look at it',
  },
  SANDBOX_PENDING_TIMEOUT_SECONDS: {
    field: 'pendingTimeoutSeconds',
    rule: seconds,
    default: 1_800,
    neededBy: 'cleanup',
    doc: 'how long a Pod may wait to run. A sandbox that was used within `SANDBOX_ORPHAN_GRACE_SECONDS` is left alone in any case: its caller may be mending it',
  },
  CLEANUP_DRY_RUN: {
    field: 'cleanupDryRun',
    rule: flag,
    default: false,
    neededBy: 'cleanup',
    doc: '`true`: the clean-up only says what it would do',
  },
} as const satisfies Settings;

/** What is wrong with the settings of lifetimes together, where each for itself is right. */
export function findLifetimeProblems({
  sandboxTtlSeconds,
  sandboxMaxTtlSeconds,
}: Fields<typeof lifetimeSettings>): string[] {
  if (sandboxMaxTtlSeconds === 0 || sandboxTtlSeconds <= sandboxMaxTtlSeconds) return [];
  return [
    `SANDBOX_TTL_SECONDS (${sandboxTtlSeconds}) must not be larger than SANDBOX_MAX_TTL_SECONDS (${sandboxMaxTtlSeconds})`,
  ];
}
