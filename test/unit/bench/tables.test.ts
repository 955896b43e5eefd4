import { expect, it, vi } from 'vitest';

import { percentile, printTable, showOver } from '../../bench/tables.ts';

it.each([
  ['95th of 1 to 100', Array.from({ length: 100 }, (_, index) => 100 - index), 0.95, 95],
  ['95th of two', [7, 2], 0.95, 7],
  ['50th of five', [5, 1, 4, 2, 3], 0.5, 3],
  ['0th of five', [5, 1, 4, 2, 3], 0, 1],
  ['any of none', [], 0.95, Number.NaN],
])('a percentile is found by nearest rank: the %s', (_what, values, share, expected) => {
  expect(percentile(values, share)).toBe(expected);
});

it('a table shows samples as their median and 95th percentile, and how far they are over the floor', () => {
  const print = vi.spyOn(console, 'log').mockImplementation(() => {});
  printTable(
    'Calls',
    ['', 'floor', 'over'],
    [
      ['get', [20, 9.876, 10], showOver([12, 11], [10])],
      ['list', [], undefined],
    ],
  );
  const lines = [
    '## Calls\n',
    '|  | floor | over |',
    '| --- | --- | --- |',
    '| get | 10 (20) | 1 = 10 % |',
    '| list |  |  |',
    '',
  ];
  expect(print).toHaveBeenCalledExactlyOnceWith(lines.join('\n'));
  print.mockRestore();
});
