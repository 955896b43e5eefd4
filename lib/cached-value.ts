import { share } from './single-flight.ts';

/** A value that is kept, and read again when it is not good any more. */
export type CachedValue<T> = Readonly<{
  /**
   * The value; where it is not good any more, or older than `maxAgeMs`, as it is read now. Many who come meanwhile share one reading,
   * and none waits longer than the own signal. Throws what `read` threw, or the signal's reason, where there is no other value.
   */
  get(signal: AbortSignal, maxAgeMs?: number): Promise<T>;
  /** From now on the value is not good, and may be read again at once. */
  expire(): void;
}>;

export type CacheRules<T> = Readonly<{
  /** Reads the value. It gets the last one, if there is one, and a signal that ends when nobody waits any more. */
  read(signal: AbortSignal, last: T | undefined): Promise<T>;
  /** For how long a value is good, in milliseconds from the begin of its reading. */
  goodForMs: number | ((value: T, readAtMs: number) => number);
  /** How soon after a reading has begun the next one may, in milliseconds. Meanwhile there is the last value, or why there is none. */
  retryAfterMs?: number;
  /** If given, the last value is used on where it cannot be read again. It is told why, once for each message. */
  onStale?(error: unknown): void;
  /** The clock. A value of the future is not good: the clock was put back. */
  now(): Date;
  /** A value that was read just now. */
  first?: T;
}>;

/** Keeps a value that is read at its first use, by these rules. */
export function cacheValue<T>(rules: CacheRules<T>): CachedValue<T> {
  const { read, goodForMs, retryAfterMs = 0, onStale, now, first } = rules;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let last: { value: T; readAtMs: number; goodForMs: number } | undefined;
  let failure: unknown;
  let told: string | undefined;

  const elapsedSince = (ms: number) => Math.abs(now().getTime() - ms);
  const keep = (value: T, readAtMs: number) => {
    last = { value, readAtMs, goodForMs: typeof goodForMs === 'number' ? goodForMs : goodForMs(value, readAtMs) };
  };
  if (first !== undefined) keep(first, now().getTime());

  const reading = share(async (signal) => {
    const beganAtMs = now().getTime();
    triedAtMs = beganAtMs;
    try {
      const value = await read(signal, last?.value);
      keep(value, beganAtMs);
      told = undefined;
      return value;
    } catch (error) {
      failure = error;
      if (last === undefined || onStale === undefined) throw error;
      const { message } = error as Error;
      if (message !== told) onStale(error);
      told = message;
      return last.value;
    }
  });

  return {
    async get(signal, maxAgeMs = Number.POSITIVE_INFINITY) {
      if (last !== undefined && elapsedSince(last.readAtMs) < Math.min(last.goodForMs, maxAgeMs)) return last.value;
      if (reading.isUnderWay() || elapsedSince(triedAtMs) >= retryAfterMs) {
        try {
          return await reading.join(signal);
        } catch (error) {
          if (last === undefined || onStale === undefined) throw error;
        }
      }
      if (last === undefined) throw failure;
      return last.value;
    },
    expire() {
      triedAtMs = Number.NEGATIVE_INFINITY;
      if (last !== undefined) last.readAtMs = Number.NEGATIVE_INFINITY;
    },
  };
}
