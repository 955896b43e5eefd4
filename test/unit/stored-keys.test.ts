import { describe, expect, it } from 'vitest';
import { cacheKeys, isOneOf } from '../../lib/http/stored-keys.ts';

const [first, second, wrong] = ['the-first-key-of-all', 'the-second-key-of-all', 'a-wrong-key-of-nobody'];

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
    ['one of bytes that are read as UTF-8', ['sch\u00fcssel \u{1f511}'], 'sch\u00fcssel \u{1f511}', true],
    ['one of UTF-8, read as Latin-1', [first, 'sch\u00fcssel'], 'sch\u00c3\u00bcssel', true],
    ['one beyond Latin-1 as well', ['\u{1f511}'], '\u00f0\u009f\u0094\u0091', true],
    ['half of that', ['\u{1f511}'], '\u00f0\u009f', false],
    ['another spelling in Unicode', ['caf\u00e9-caf\u00e9-caf\u00e9'], 'cafe\u0301-cafe\u0301-cafe\u0301', false],
  ])('is one of those, or not: %s', (_what, keys, presented, isKnown) => {
    expect(isOneOf(keys, presented)).toBe(isKnown);
  });
});

// How they are cached in general is seen in cached-value.test.ts.
describe('keys that are kept elsewhere', () => {
  function remembered(kept: string[] | Error) {
    const elsewhere = { kept, readings: 0, atMs: 1_000_000 };
    const read = async () => {
      elsewhere.readings += 1;
      if (elsewhere.kept instanceof Error) throw elsewhere.kept;
      return elsewhere.kept;
    };
    return { elsewhere, isKnown: cacheKeys(read, () => new Date(elsewhere.atMs)) };
  }

  it.each<[string, string[], string[], number, string, boolean]>([
    ['hold a new one at once', [first], [first, second], 5_000, second, true],
    ['hold one that was taken away for a minute', [first, second], [second], 59_999, first, true],
    ['do not hold it longer', [first, second], [second], 60_000, first, false],
  ])('%s', async (_what, before, after, laterMs, key, expected) => {
    const { elsewhere, isKnown } = remembered(before);
    expect([elsewhere.readings, await isKnown(first)]).toEqual([0, true]);
    Object.assign(elsewhere, { kept: after, atMs: elsewhere.atMs + laterMs });
    expect(await isKnown(key)).toBe(expected);
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

  it('stay what they were while they cannot be read; that never were there cannot be compared: why is thrown', async () => {
    const gone = new Error('gone');
    const { elsewhere, isKnown } = remembered(gone);
    await expect(isKnown(first)).rejects.toBe(gone);
    elsewhere.kept = [first];
    elsewhere.atMs += 5_000;
    expect(await isKnown(first)).toBe(true);
    elsewhere.kept = gone;
    elsewhere.atMs += 3_600_000;
    expect([await isKnown(first), await isKnown(wrong)]).toEqual([true, false]);
  });
});
