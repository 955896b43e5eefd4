import { describe, expect, it } from 'vitest';
import { takeTurns } from '../../lib/kubernetes/turns.ts';

const never = new AbortController().signal;

/** Work that ends when it is told to. */
function openWork() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const work = { hasBegun: false, end: resolve, fail: reject, run };
  function run(): Promise<string> {
    work.hasBegun = true;
    return promise;
  }
  return work;
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('work that takes turns', () => {
  it('runs side by side up to the number, and the rest in the order in which it came', async () => {
    const take = takeTurns(2);
    const works = Array.from({ length: 5 }, openWork);
    const results = works.map(({ run }) => take(run, never));
    const begun = () => works.map(({ hasBegun }) => hasBegun);
    await settled();
    expect(begun()).toEqual([true, true, false, false, false]);
    works[1]?.end('b');
    await settled();
    expect(begun()).toEqual([true, true, true, false, false]);
    works[0]?.fail(new Error('a failed'));
    await expect(results[0]).rejects.toThrow('a failed');
    expect(begun()).toEqual([true, true, true, true, false]);
    for (const work of works) work.end('done');
    expect(await Promise.all(results.slice(1))).toEqual(['b', 'done', 'done', 'done']);
  });

  it('leaves its place where its time is over before its turn, and then it is the next one’s', async () => {
    const take = takeTurns(1);
    const [first, second, third] = [openWork(), openWork(), openWork()];
    const running = take(first.run, never);
    const over = new AbortController();
    const leaving = take(second.run, over.signal);
    const waiting = take(third.run, never);
    over.abort(new Error('over'));
    await expect(leaving).rejects.toThrow('over');
    first.end('first');
    await running;
    await settled();
    expect([second.hasBegun, third.hasBegun]).toEqual([false, true]);
    third.end('third');
    expect(await waiting).toBe('third');
    // Nobody has kept a turn.
    const last = openWork();
    const ending = take(last.run, never);
    last.end('last');
    expect(await ending).toBe('last');
  });

  it('does not begin where its time is over', async () => {
    const work = openWork();
    await expect(takeTurns(1)(work.run, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
    expect(work.hasBegun).toBe(false);
  });
});
