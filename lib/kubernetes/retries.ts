import { setTimeout as wait } from 'node:timers/promises';
import { KubernetesError } from '../errors.ts';
import { isDeadlineExceeded, isNamespaceTerminating } from './errors.ts';

/** How often a call is made at most, and how long the first wait is, in milliseconds; each further one is twice as long. */
const [maxAttempts, firstWaitMs] = [4, 50];

/** What Kubernetes may ask us to wait for at most, in seconds: whoever called us had better hear of it than wait longer. */
const longestAskedSeconds = 10;

/**
 * Makes the call again when it failed in passing: Kubernetes is overloaded, not ready or unreachable, or the connection was
 * cut. Never waits beyond the signal: then, after the last attempt, and where Kubernetes asks for too long a wait, it throws
 * what the call threw; of an attempt that time was over for, what the one before it threw, which tells more. The call must be one
 * that may take effect twice.
 */
export async function retry<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  let earlier: unknown;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (isDeadlineExceeded(error)) throw earlier ?? error;
      earlier = error;
      const waitMs = attempt === maxAttempts ? undefined : findRetryDelay(error, attempt);
      if (waitMs === undefined) throw error;
      await wait(waitMs, undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
}

/**
 * How long to wait after this attempt (the first is 1) failed, in milliseconds: as long as Kubernetes asks for, and a little
 * by chance, because others failed at the same moment. Undefined if the same call is not worth another attempt.
 */
export function findRetryDelay(error: unknown, attempt: number): number | undefined {
  if (!(error instanceof KubernetesError) || isNamespaceTerminating(error)) return undefined;
  if (error.kind !== 'unavailable' && error.status?.code !== 500) return undefined;
  const askedSeconds = error.status?.retryAfterSeconds ?? 0;
  if (askedSeconds > longestAskedSeconds) return undefined;
  return askedSeconds * 1000 + firstWaitMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
}
