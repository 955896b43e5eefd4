import { setTimeout as wait } from 'node:timers/promises';
import type { SandboxSettings } from '../config/index.ts';
import { describeFailure, ProvisionerError } from '../errors.ts';
import type { Kubernetes } from '../kubernetes/index.ts';
import type { Facts } from '../telemetry/record.ts';
import { createRecentIds } from './recent-ids.ts';

/**
 * What an operation on sandboxes works with. Everything it does in Kubernetes ends with `signal`, its deadline, but for what it takes
 * back.
 */
export type Operation = Readonly<{
  kubernetes: Kubernetes;
  config: SandboxSettings;
  /** The clock. */
  now: () => Date;
  signal: AbortSignal;
  /** Aborts when the answer has to be given: what is taken back has until then at the latest. */
  answerBy?: AbortSignal;
  /** Aborts when the caller does not wait any longer for the sandbox to be ready; undefined where it does not wait at all. */
  endOfWait?: AbortSignal | undefined;
  /** Tells this request from every other. */
  requestId: string;
  /** Takes what the request's line and its figures are to tell. */
  note?: (facts: Facts) => void;
}>;

/**
 * The sandboxes that this process has seen alive. A hint, never the truth: it decides which call goes first. Kubernetes
 * charges a creation that fails because the name is taken to the namespace's quota all the same, and corrects that only
 * when it recounts, every five minutes: a caller who creates its sandbox at every turn would use up everybody's quota.
 */
const seenAlive = createRecentIds(5 * 60_000, 10_000);

const keyOf = (sandboxId: string, { kubernetes }: Operation) => `${kubernetes.namespace}/${sandboxId}`;

/** Notes that the sandbox was seen alive. */
export const noteAlive = (sandboxId: string, operation: Operation): void =>
  seenAlive.add(keyOf(sandboxId, operation), operation.now());

/** Whether it was seen alive lately. */
export const wasSeenAlive = (sandboxId: string, operation: Operation): boolean =>
  seenAlive.has(keyOf(sandboxId, operation), operation.now());

/** Forgets that it was: it is being removed. */
export const forgetAlive = (sandboxId: string, operation: Operation): void =>
  seenAlive.remove(keyOf(sandboxId, operation));

/** What stood in the way of a create, and will not for long: it begins again from the start. */
export class Obstacle extends Error {}

/**
 * Waits before the next attempt: about 25 ms, 50 ms, … up to 1 s, and not as long as others who wait for the same. Throws
 * `deadline-exceeded`, with the obstacle, when time is over.
 */
export async function pause(attempt: number, obstacle: string, signal: AbortSignal): Promise<void> {
  const longest = Math.min(1000, 25 * 2 ** attempt);
  try {
    await wait(longest * (0.5 + Math.random() / 2), undefined, { signal });
  } catch (cause) {
    throw notEnoughTime(obstacle, cause);
  }
}

/** Time was over while this stood in the way. */
export const notEnoughTime = (obstacle: string, cause: unknown): ProvisionerError =>
  new ProvisionerError('deadline-exceeded', `There was not enough time: ${obstacle}`, { cause });

/** What came of a call: its value, or why there is none. */
export type Settled<T> = { value: T } | { error: unknown };

/** Lets a call run beside others without its failure going unhandled before anybody looks at it. */
export const settle = <T>(call: Promise<T>): Promise<Settled<T>> =>
  call.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );

/** The value of a call that is over. Throws, with what was being done, where it failed. */
export function unwrap<T>(what: string, settled: Settled<T>): T {
  if ('error' in settled) throw describeFailure(what, settled.error);
  return settled.value;
}
