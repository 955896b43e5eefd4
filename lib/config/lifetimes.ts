import type * as z from 'zod/mini';
import { flag, matching, seconds, withDefault } from './fields.ts';

/** For how long a sandbox lives, and how the clean-up goes about it. */
export type LifetimeConfig = Readonly<{
  /** 0: a sandbox never expires. */
  sandboxTtlSeconds: number;
  /** The most that a caller may ask for; 0: anything, never to expire too. */
  sandboxMaxTtlSeconds: number;
  /** 0: a sandbox that is used may grow as old as it likes. */
  sandboxMaxLifetimeSeconds: number;
  orphanGraceSeconds: number;
  failedRetentionSeconds: number;
  pendingTimeoutSeconds: number;
  cleanupConcurrency: number;
  cleanupDryRun: boolean;
}>;

/** The settings of lifetimes and of the clean-up. */
export const lifetimeSettings = {
  SANDBOX_TTL_SECONDS: withDefault(seconds, '86400'),
  SANDBOX_MAX_TTL_SECONDS: withDefault(seconds, '604800'),
  SANDBOX_MAX_LIFETIME_SECONDS: withDefault(seconds, '0'),
  // A create has 25 s between its use and its Pod; the clean-up must not come between them, on clocks that differ a little.
  SANDBOX_ORPHAN_GRACE_SECONDS: withDefault(
    matching(/^([6-9]\d|[1-9]\d{2,8})$/, 'must be a whole number of seconds, at least 60'),
    '300',
  ),
  SANDBOX_FAILED_RETENTION_SECONDS: withDefault(seconds, '3600'),
  SANDBOX_PENDING_TIMEOUT_SECONDS: withDefault(seconds, '1800'),
  CLEANUP_CONCURRENCY: withDefault(matching(/^([1-9]|[1-9]\d|100)$/, 'must be a whole number from 1 to 100'), '10'),
  CLEANUP_DRY_RUN: withDefault(flag, 'false'),
};

type Values = z.infer<z.ZodMiniObject<typeof lifetimeSettings>>;

/** What the settings of lifetimes mean. */
export const readLifetimeConfig = (values: Values): LifetimeConfig => ({
  sandboxTtlSeconds: Number(values.SANDBOX_TTL_SECONDS),
  sandboxMaxTtlSeconds: Number(values.SANDBOX_MAX_TTL_SECONDS),
  sandboxMaxLifetimeSeconds: Number(values.SANDBOX_MAX_LIFETIME_SECONDS),
  orphanGraceSeconds: Number(values.SANDBOX_ORPHAN_GRACE_SECONDS),
  failedRetentionSeconds: Number(values.SANDBOX_FAILED_RETENTION_SECONDS),
  pendingTimeoutSeconds: Number(values.SANDBOX_PENDING_TIMEOUT_SECONDS),
  cleanupConcurrency: Number(values.CLEANUP_CONCURRENCY),
  cleanupDryRun: values.CLEANUP_DRY_RUN === 'true',
});

/** What is wrong with the settings of lifetimes together, where each for itself is right. */
export function findLifetimeProblems({ sandboxTtlSeconds, sandboxMaxTtlSeconds }: LifetimeConfig): string[] {
  if (sandboxMaxTtlSeconds === 0 || sandboxTtlSeconds <= sandboxMaxTtlSeconds) return [];
  return [
    `SANDBOX_TTL_SECONDS (${sandboxTtlSeconds}) must not be larger than SANDBOX_MAX_TTL_SECONDS (${sandboxMaxTtlSeconds})`,
  ];
}
