import { describe, expect, it } from 'vitest';
import { isOneOf, rememberKeys } from '../../lib/http/stored-keys.ts';

const [first, second, wrong] = ['the-first-key-of-all', 'the-second-key-of-all', 'a-wrong-key-of-nobody'];

/** Keys that are kept elsewhere, under a clock of the test's own. `keys` may be changed, or be an error. */
function remembered(kept: string[] | Error) {
  const elsewhere = { kept, readings: 0, atMs: 1_000_000 };
  const isKnown = rememberKeys(
    async () => {
      elsewhere.readings += 1;
      if (elsewhere.kept instanceof Error) throw elsewhere.kept;
      return elsewhere.kept;
    },
    () => elsewhere.atMs,
  );
  return { elsewhere, isKnown };
}

describe('a key', () => {
  it.each<[string, string[], string, boolean]>([
    ['the only one', [first], first, true],
    ['the first of two', [first, second], first, true],
    ['the second of two', [first, second], second, true],
    ['a wrong one', [first, second], wrong, false],
    ['the beginning of one', [first], first.slice(0, -1), false],
    ['one and more', [first], `${first}x`, false],
    ['nothing', [first], '', false],
    ['one where there is none', [], first, false],
    ['another spelling in Unicode', ['caf\u00e9-caf\u00e9-caf\u00e9'], 'cafe\u0301-cafe\u0301-cafe\u0301', false],
  ])('is one of those, or not: %s', (_what, keys, presented, isKnown) => {
    expect(isOneOf(keys, presented)).toBe(isKnown);
  });
});

describe('keys that are kept elsewhere', () => {
  it('are read at the first use, and not again for a minute', async () => {
    const { elsewhere, isKnown } = remembered([first]);
    expect(elsewhere.readings).toBe(0);
    for (const seconds of [0, 1, 30, 59]) {
      elsewhere.atMs = 1_000_000 + seconds * 1000;
      expect(await isKnown(first)).toBe(true);
    }
    expect(elsewhere.readings).toBe(1);
    elsewhere.atMs = 1_060_000;
    expect(await isKnown(first)).toBe(true);
    expect(elsewhere.readings).toBe(2);
  });

  it('are read again for one that they do not hold: a new one is known at once', async () => {
    const { elsewhere, isKnown } = remembered([first]);
    expect(await isKnown(first)).toBe(true);
    elsewhere.kept = [first, second];
    elsewhere.atMs += 5_000;
    expect(await isKnown(second)).toBe(true);
    expect(await isKnown(first)).toBe(true);
    expect(elsewhere.readings).toBe(2);
  });

  it('do not hold one any more that was taken away, a minute later', async () => {
    const { elsewhere, isKnown } = remembered([first, second]);
    expect(await isKnown(first)).toBe(true);
    elsewhere.kept = [second];
    elsewhere.atMs += 60_000;
    expect(await isKnown(first)).toBe(false);
    expect(await isKnown(second)).toBe(true);
  });

  it('are not read more than once in five seconds, however many wrong ones come', async () => {
    const { elsewhere, isKnown } = remembered([first]);
    for (let call = 0; call < 1_000; call += 1) {
      expect(await isKnown(wrong)).toBe(false);
      elsewhere.atMs += 10;
    }
    // At 0 and at 5 s, of 10 s.
    expect(elsewhere.readings).toBe(2);
  });

  it('are read once for many who come at the same time', async () => {
    const { elsewhere, isKnown } = remembered([first]);
    expect(await Promise.all([isKnown(first), isKnown(wrong), isKnown(first)])).toEqual([true, false, true]);
    expect(elsewhere.readings).toBe(1);
  });

  it('stay what they were while they cannot be read, and are what they have become afterwards', async () => {
    const { elsewhere, isKnown } = remembered([first]);
    expect(await isKnown(first)).toBe(true);
    elsewhere.kept = new Error('gone');
    elsewhere.atMs += 3_600_000;
    expect(await isKnown(first)).toBe(true);
    expect(await isKnown(wrong)).toBe(false);
    expect(elsewhere.readings).toBe(2);
    elsewhere.kept = [second];
    elsewhere.atMs += 5_000;
    expect(await isKnown(first)).toBe(false);
    expect(await isKnown(second)).toBe(true);
  });

  it('that never were there cannot be compared: why is thrown, and asked again five seconds later', async () => {
    const gone = new Error('gone');
    const { elsewhere, isKnown } = remembered(gone);
    await expect(isKnown(first)).rejects.toBe(gone);
    elsewhere.kept = [first];
    elsewhere.atMs += 4_999;
    await expect(isKnown(first)).rejects.toBe(gone);
    expect(elsewhere.readings).toBe(1);
    elsewhere.atMs += 1;
    expect(await isKnown(first)).toBe(true);
  });
});
