import { describe, expect, it } from 'vitest';

import { median, percentile, spread } from '../../bench/statistics.ts';

describe('the median', () => {
  it.each([
    [[3], 3],
    [[9, 1, 5], 5],
    [[10, 2, 4, 1], 3],
    [[], Number.NaN],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });
});

describe('a percentile, by nearest rank,', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  it.each([
    ['95th of 1 to 100', hundred, 0.95, 95],
    ['100th of 1 to 100', hundred, 1, 100],
    ['95th of two', [7, 2], 0.95, 7],
    ['50th of five', [5, 1, 4, 2, 3], 0.5, 3],
    ['0th of five', [5, 1, 4, 2, 3], 0, 1],
    ['any of none', [], 0.95, Number.NaN],
  ])('%s', (_what, values, share, expected) => {
    expect(percentile(values, share)).toBe(expected);
  });

  it('leaves its samples in their order', () => {
    const samples = [3, 1.004, 2];
    expect(spread(samples)).toEqual({ median: 2, p95: 3, samples: 3 });
    expect(samples).toEqual([3, 1.004, 2]);
  });
});
