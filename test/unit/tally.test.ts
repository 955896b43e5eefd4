import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { shareNext } from '../../lib/single-flight.ts';
import { countCall, countTime, type Tally, tallyCalls } from '../../lib/tally.ts';

const call = (ms: number) => countCall(() => wait(ms));
/** What is counted of some work, with the times in tens of milliseconds, as far as a busy machine's timers can be believed. */
const tallyOf = (work: () => Promise<unknown>): Promise<Tally> =>
  tallyCalls(async (read) => {
    await work();
    return read();
  });

describe('the calls of a piece of work', () => {
  it.each<[string, () => Promise<unknown>, number, number]>([
    ['none', async () => wait(20), 0, 0],
    ['one after the other', async () => [await call(20), await call(20)], 2, 40],
    ['side by side, whose time counts once', () => Promise.all([call(40), call(20), call(30)]), 3, 40],
    ['with work of its own between them', async () => [await call(20), await wait(30), await call(20)], 2, 40],
    ['of which one fails', () => countCall(() => wait(20).then(() => Promise.reject())).catch(() => {}), 1, 20],
    ['of which one is still under way', () => Promise.race([call(5_000), call(20)]), 2, 20],
    ['that another makes, and it waits for', () => countTime(wait(20)), 0, 20],
  ])('%s', async (_what, work, calls, leastMs) => {
    const tally = await tallyOf(work);
    expect(tally.calls).toBe(calls);
    // Timers of Node's may fire a millisecond early.
    expect(tally.ms).toBeGreaterThanOrEqual(Math.max(0, leastMs - 3));
    if (leastMs === 0) expect(tally.ms).toBe(0);
  });

  it('are those of this work alone, of many side by side', async () => {
    const many = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        tallyOf(async () => {
          for (let made = 0; made < index % 7; made += 1) await call(index % 3);
        }),
      ),
    );
    expect(many.map(({ calls }) => calls)).toEqual(many.map((_, index) => index % 7));
  });

  it('are counted once where many share one', async () => {
    let made = 0;
    const share = shareNext(() =>
      countCall(async () => {
        made += 1;
        await wait(20);
      }),
    );
    const never = new AbortController().signal;
    const tallies = await Promise.all(Array.from({ length: 9 }, () => tallyOf(() => countTime(share(never)))));
    expect(tallies.reduce((sum, { calls }) => sum + calls, 0)).toBe(made);
    for (const { ms } of tallies) expect(ms).toBeGreaterThanOrEqual(17);
  });

  it('that nobody counts are made all the same', async () => {
    expect(await countCall(async () => 'made')).toBe('made');
    expect(await countTime(Promise.resolve('waited for'))).toBe('waited for');
  });
});
