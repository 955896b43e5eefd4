import { createHash, timingSafeEqual } from 'node:crypto';
import { cacheValue } from '../cached-value.ts';

/** For how long keys that were read are good, and how soon after a reading there may be another one, in milliseconds. */
const [goodForMs, retryAfterMs] = [60_000, 5_000];

/** The reading has a time-out of its own. */
const never = new AbortController().signal;

/**
 * Which of these a key is, however its caller has turned it into bytes; undefined if it is none. Takes the same time whichever it is,
 * and however much of it is right.
 */
export function findKey(keys: readonly string[], presented: string): number | undefined {
  const digest = createDigest(presented);
  // No early end: each of them is compared.
  const matches = keys.map((key) => spell(key).map((spelt) => timingSafeEqual(createDigest(spelt), digest)));
  const place = matches.findIndex((match) => match.includes(true));
  return place < 0 ? undefined : place;
}

/** A key as it comes in a header sent as Latin-1, and in one sent as UTF-8: Node reads each byte as a character of Latin-1. */
const spell = (key: string): string[] => [key, Buffer.from(key, 'utf8').toString('latin1')];

const createDigest = (key: string): Buffer => createHash('sha256').update(key).digest();

/**
 * Caches keys that are kept elsewhere, and says which of them a presented key is. They are read at the first use, when they
 * are a minute old, and when a key that they do not hold is presented, for it may be a new one; but never twice within five seconds,
 * however many wrong keys come. The keys stay what they were while they cannot be read. Where there are none yet, the answer throws
 * what `read` threw.
 */
export function cacheKeys(
  read: () => Promise<readonly string[]>,
  now: () => Date,
): (presented: string) => Promise<number | undefined> {
  // Why they cannot be read again, `read` has logged.
  const keys = cacheValue({ read, goodForMs, retryAfterMs, onStale() {}, now });
  return async (presented) => findKey(await keys.get(never), presented) ?? findKey(await keys.get(never, 0), presented);
}
