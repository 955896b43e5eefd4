import { createHash, timingSafeEqual } from 'node:crypto';

/** How long keys that were read are taken for good, and how soon after a reading there may be another one. */
const [maxAgeMs, restMs] = [60_000, 5_000];

/** Whether a key is one of these. Takes the same time whichever it is, and however much of it is right. */
export function isOneOf(keys: readonly string[], presented: string): boolean {
  const digest = createDigest(presented);
  // No early end: each of them is compared.
  return keys.map((key) => timingSafeEqual(createDigest(key), digest)).includes(true);
}

const createDigest = (key: string): Buffer => createHash('sha256').update(key).digest();

/**
 * Remembers keys that are kept elsewhere. They are read at the first use, when they are a minute old, and when a key that they do
 * not hold is presented, for it may be a new one; but never twice within five seconds, however many wrong keys come. The keys
 * stay what they were while they cannot be read. Where there are none yet, the answer throws what `read` threw.
 *
 * @param now a clock in milliseconds
 */
export function rememberKeys(read: () => Promise<readonly string[]>, now: () => number) {
  let keys: readonly string[] | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let triedAt = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let reading: Promise<void> | undefined;

  const readAgain = () => {
    triedAt = now();
    return read()
      .then(
        (found) => {
          [keys, readAt] = [found, now()];
        },
        (error: unknown) => {
          failure = error;
        },
      )
      .finally(() => {
        reading = undefined;
      });
  };
  /** Joins a reading that is under way, and begins one if that may be. */
  const refresh = async () => {
    if (reading === undefined && now() - triedAt >= restMs) reading = readAgain();
    await reading;
  };

  return async (presented: string): Promise<boolean> => {
    if (now() - readAt >= maxAgeMs) await refresh();
    if (keys === undefined) throw failure;
    if (isOneOf(keys, presented)) return true;
    await refresh();
    return isOneOf(keys, presented);
  };
}
