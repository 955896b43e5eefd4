import { setTimeout as wait } from 'node:timers/promises';
import { KubernetesError } from '../errors.ts';
import { isNamespaceTerminating } from './outcomes.ts';

/** How often a call is made at most, and how long the first wait is, in milliseconds; each further one is twice as long. */
const [maxAttempts, firstWaitMs] = [4, 50];

/**
 * Makes the call again when it failed in passing: Kubernetes is overloaded, not ready or unreachable, or the connection was
 * cut. Waits as long as Kubernetes asks for, or else a little, and never beyond the signal: then, and after the last attempt,
 * it throws what the call threw. The call must be one that may take effect twice.
 */
export async function retry<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (attempt === maxAttempts || !isPassing(error)) throw error;
      const askedMs = (error as KubernetesError).status?.retryAfterSeconds;
      const longestMs = firstWaitMs * 2 ** (attempt - 1);
      // Half of it by chance: others failed at the same moment.
      const waitMs = askedMs === undefined ? longestMs * (0.5 + Math.random() / 2) : askedMs * 1000;
      await wait(waitMs, undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
}

/** Whether the same call may well succeed a moment later. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof KubernetesError) || isNamespaceTerminating(error)) return false;
  return error.outcome === 'unavailable' || error.status?.code === 500;
}
