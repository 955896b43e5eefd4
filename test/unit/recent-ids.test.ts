import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRecentIds } from '../../lib/sandboxes/recent-ids.ts';

const at = (milliseconds: number) => new Date(1_795_348_800_000 + milliseconds);

describe('the ids seen lately', () => {
  it('are known for as long as they live, and not a millisecond longer', () => {
    const ids = createRecentIds(1000, 10);
    ids.add('a', at(0));
    expect([ids.has('a', at(0)), ids.has('a', at(999)), ids.has('a', at(1000))]).toEqual([true, true, false]);
    expect(ids.has('b', at(0))).toBe(false);
  });

  it('live on from when they were added last', () => {
    const ids = createRecentIds(1000, 10);
    ids.add('a', at(0));
    ids.add('a', at(900));
    expect([ids.has('a', at(1899)), ids.has('a', at(1900))]).toEqual([true, false]);
  });

  it('are unknown once removed, also where they never were there', () => {
    const ids = createRecentIds(1000, 10);
    ids.add('a', at(0));
    ids.remove('a');
    ids.remove('b');
    expect(ids.has('a', at(0))).toBe(false);
  });

  it('are the last ones, never more than there is room for', () => {
    const id = fc.constantFrom(...'abcdefgh');
    fc.assert(
      fc.property(fc.array(id), fc.integer({ min: 1, max: 8 }), (added, capacity) => {
        const ids = createRecentIds(1000, capacity);
        for (const one of added) ids.add(one, at(0));
        const last = [...new Set(added.toReversed())].slice(0, capacity);
        expect([...'abcdefgh'].filter((one) => ids.has(one, at(0)))).toEqual(last.toSorted());
      }),
    );
  });
});
