import { describe, expect, it } from 'vitest';
import { cacheKeys, findKey } from '../../lib/http/stored-keys.ts';

const [first, second, wrong] = ['the-first-key-of-all', 'the-second-key-of-all', 'a-wrong-key-of-nobody'];

describe('a key', () => {
  it.each<[string, string[], string, number | undefined]>([
    ['the only one', [first], first, 0],
    ['the first of two', [first, second], first, 0],
    ['the second of two', [first, second], second, 1],
    ['a wrong one', [first, second], wrong, undefined],
    ['the beginning of one', [first], first.slice(0, -1), undefined],
    ['one and more', [first], `${first}x`, undefined],
    ['nothing', [first], '', undefined],
    ['one where there is none', [], first, undefined],
    ['one of bytes that are read as UTF-8', ['sch\u00fcssel \u{1f511}'], 'sch\u00fcssel \u{1f511}', 0],
    ['one of UTF-8, read as Latin-1', [first, 'sch\u00fcssel'], 'sch\u00c3\u00bcssel', 1],
    ['one beyond Latin-1 as well', ['\u{1f511}'], '\u00f0\u009f\u0094\u0091', 0],
    ['half of that', ['\u{1f511}'], '\u00f0\u009f', undefined],
    ['another spelling in Unicode', ['caf\u00e9-caf\u00e9-caf\u00e9'], 'cafe\u0301-cafe\u0301-cafe\u0301', undefined],
  ])('is one of those, or not: %s', (_what, keys, presented, place) => {
    expect(findKey(keys, presented)).toBe(place);
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
    const find = cacheKeys(read, () => new Date(elsewhere.atMs));
    return { elsewhere, isKnown: async (key: string) => (await find(key)) !== undefined };
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
