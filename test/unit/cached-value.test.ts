import { describe, expect, it } from 'vitest';
import { type CacheRules, cacheValue } from '../../lib/cached-value.ts';

const never = new AbortController().signal;

/** A value under a clock of the test's own: each reading gives `source`, or throws it if it is an error. */
function start(rules: Partial<CacheRules<string>>, source: string | Error = 'first') {
  const test = { source, atMs: 1_000_000, readings: 0, signals: [] as AbortSignal[], stale: [] as string[] };
  const value = cacheValue({
    async read(signal) {
      test.readings += 1;
      test.signals.push(signal);
      await new Promise((resolve) => setImmediate(resolve));
      if (test.source instanceof Error) throw test.source;
      return test.source;
    },
    goodForMs: 60_000,
    now: () => new Date(test.atMs),
    ...rules,
  });
  const get = (maxAgeMs?: number) => value.get(never, maxAgeMs).catch((error: Error) => `thrown: ${error.message}`);
  return { test, value, get };
}

const keepsLast = (stale: string[] = []) => ({ onStale: (error: unknown) => stale.push((error as Error).message) });
const gone = new Error('gone');

describe('a cached value', () => {
  type Step = {
    /** What there is to read from now on. */
    source?: string | Error;
    /** How much later it is, in seconds. */
    later?: number;
    expire?: true;
    maxAgeMs?: number;
    /** What `get` gives, and how many readings there were by then. */
    gives: string;
    readings: number;
  };
  it.each<[string, Partial<CacheRules<string>>, Step[]]>([
    [
      'is read at the first use, and again when it is not good any more',
      {},
      [
        { gives: 'first', readings: 1 },
        { source: 'second', later: 59, gives: 'first', readings: 1 },
        { later: 1, gives: 'second', readings: 2 },
      ],
    ],
    ['is not read where it was read already', { first: 'zeroth' }, [{ gives: 'zeroth', readings: 0 }]],
    [
      'is good until a moment of its own',
      { goodForMs: (value, readAtMs) => (value === 'first' ? 1_010_000 - readAtMs : -1) },
      [
        { later: 4, gives: 'first', readings: 1 },
        { source: 'second', later: 5, gives: 'first', readings: 1 },
        { later: 1, gives: 'second', readings: 2 },
        { gives: 'second', readings: 3 },
      ],
    ],
    [
      'is read again when the clock was put back: it is of a time to come',
      {},
      [
        { gives: 'first', readings: 1 },
        { source: 'second', later: -3600, gives: 'second', readings: 2 },
      ],
    ],
    [
      'is read again at once when it has expired, however short ago it could not be read',
      { retryAfterMs: 5_000, ...keepsLast() },
      [
        { gives: 'first', readings: 1 },
        { source: gone, expire: true, gives: 'first', readings: 2 },
        { source: 'second', gives: 'first', readings: 2 },
        { expire: true, gives: 'second', readings: 3 },
      ],
    ],
    [
      'is read again for who wants a younger one, but not twice within the time between readings',
      { retryAfterMs: 5_000 },
      [
        { gives: 'first', readings: 1 },
        { source: 'second', later: 4.999, maxAgeMs: 0, gives: 'first', readings: 1 },
        { later: 0.001, maxAgeMs: 0, gives: 'second', readings: 2 },
        { later: 4.999, maxAgeMs: 0, gives: 'second', readings: 2 },
      ],
    ],
    [
      'stays what it was while it cannot be read, which is not tried all the time',
      { retryAfterMs: 5_000, ...keepsLast() },
      [
        { gives: 'first', readings: 1 },
        { source: gone, later: 3600, gives: 'first', readings: 2 },
        { source: 'second', later: 4.999, gives: 'first', readings: 2 },
        { later: 0.001, gives: 'second', readings: 3 },
      ],
    ],
    [
      'that is worth nothing any more does not stay',
      {},
      [
        { gives: 'first', readings: 1 },
        { source: gone, later: 60, gives: 'thrown: gone', readings: 2 },
        { source: 'second', gives: 'second', readings: 3 },
      ],
    ],
    [
      'that was never there is told with why, also until it is tried again',
      { retryAfterMs: 5_000, ...keepsLast() },
      [
        { source: gone, gives: 'thrown: gone', readings: 1 },
        { source: 'second', later: 4.999, gives: 'thrown: gone', readings: 1 },
        { later: 0.001, gives: 'second', readings: 2 },
      ],
    ],
  ])('%s', async (_what, rules, steps) => {
    const { test, value, get } = start(rules);
    for (const { source = test.source, later = 0, expire, maxAgeMs, gives, readings } of steps) {
      test.source = source;
      test.atMs += later * 1000;
      if (expire) value.expire();
      expect([await get(maxAgeMs), test.readings]).toEqual([gives, readings]);
    }
  });

  it('tells once why it cannot be read again, and once more for another reason or after it could be read', async () => {
    const stale: string[] = [];
    const { test, get } = start(keepsLast(stale));
    for (const source of ['first', gone, gone, new Error('other'), 'second', gone]) {
      Object.assign(test, { source, atMs: test.atMs + 60_000 });
      await get();
    }
    expect(stale).toEqual(['gone', 'other', 'gone']);
  });

  it('is read once for all who come meanwhile, also within the time between readings', async () => {
    const { test, get } = start({ retryAfterMs: 5_000 });
    expect(await Promise.all([get(), get(), get(0)])).toEqual(['first', 'first', 'first']);
    Object.assign(test, { source: 'second', atMs: test.atMs + 5_000 });
    // Whoever takes the old one does not wait.
    expect(await Promise.all([get(0), get(0), get()])).toEqual(['second', 'second', 'first']);
    expect(test.readings).toBe(2);
  });

  it.each([
    ['the last value, if that may be used on', keepsLast(), 'first'],
    ["the signal's reason", {}, 'thrown: over'],
  ])('gives who waits no longer %s, and its reading ends with the last who waits', async (_what, rules, gives) => {
    const { test, value, get } = start(rules);
    await get();
    test.atMs += 60_000;
    const over = new AbortController();
    const leaving = value.get(over.signal).catch((error: Error) => `thrown: ${error.message}`);
    over.abort(new Error('over'));
    expect(await leaving).toBe(gives);
    expect(test.signals[1]?.aborted).toBe(true);
  });
});
