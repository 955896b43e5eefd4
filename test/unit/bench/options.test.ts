import { describe, expect, it } from 'vitest';

import { parseOptions } from '../../bench/options.ts';

describe('the options of the bench', () => {
  it('are a whole run by default', () => {
    expect(parseOptions([])).toMatchObject({
      quick: false,
      delayMs: 10,
      samples: 30,
      callers: [1, 16, 64],
      listSizes: [10, 100, 1000, 2700],
      json: '.bench/latest.json',
    });
  });

  it('take what is asked for', () => {
    const args = '--delay 0 --samples 7 --callers 2,3 --only create,list --json x.json --peer http://p:1 --peer-key k';
    expect(parseOptions(args.split(' '))).toMatchObject({
      delayMs: 0,
      samples: 7,
      callers: [2, 3],
      topics: new Set(['create', 'list']),
      json: 'x.json',
      peer: new URL('http://p:1'),
      peerKey: 'k',
    });
  });

  it.each([
    ['--delay', '-1'],
    ['--delay', 'soon'],
    ['--samples', '0'],
    ['--samples', '1.5'],
    ['--callers', '1,,2'],
    ['--only', 'create,lists'],
    ['--only', ''],
    ['--json', ''],
    ['--peer', 'localhost'],
    ['--peer-key', 'k'],
    ['--faster', 'x'],
    ['create', 'x'],
  ])('refuse %s %s', (...args) => {
    expect(() => parseOptions(args)).toThrow(/\S/);
  });

  it('give nothing where help is asked for', () => {
    expect(parseOptions(['--help'])).toBeUndefined();
  });
});
