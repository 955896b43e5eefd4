import { describe, expect, it } from 'vitest';
import { shareNext } from '../../lib/single-flight.ts';

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Work of which each piece ends when it is told to. */
function openWork() {
  const pieces: { signal: AbortSignal; end: (value: string) => void; fail: (error: Error) => void }[] = [];
  const work = (signal: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    pieces.push({ signal, end: resolve, fail: reject });
    signal.addEventListener('abort', () => reject(signal.reason));
    return promise;
  };
  return { pieces, share: shareNext(work) };
}

describe('work that is shared by those who come before it begins', () => {
  it('is one piece at a time, and one more for all who came meanwhile', async () => {
    const { pieces, share } = openWork();
    const first = [share(never), share(never)];
    await settled();
    expect(pieces).toHaveLength(1);
    const second = Array.from({ length: 10 }, () => share(never));
    await settled();
    expect(pieces).toHaveLength(1);
    pieces[0]?.end('one');
    expect(await Promise.all(first)).toEqual(['one', 'one']);
    await settled();
    expect(pieces).toHaveLength(2);
    const third = share(never);
    pieces[1]?.end('two');
    expect(new Set(await Promise.all(second))).toEqual(new Set(['two']));
    await settled();
    pieces[2]?.end('three');
    expect(await third).toBe('three');
    expect(pieces).toHaveLength(3);
  });

  it('is begun after one that failed, whose failure is told to those who shared it alone', async () => {
    const { pieces, share } = openWork();
    const first = share(never);
    await settled();
    const second = share(never);
    pieces[0]?.fail(new Error('it failed'));
    await expect(first).rejects.toThrow('it failed');
    await settled();
    pieces[1]?.end('two');
    expect(await second).toBe('two');
  });

  it('keeps nobody longer than its own time, and goes on for the others', async () => {
    const { pieces, share } = openWork();
    const over = new AbortController();
    const [leaving, staying] = [share(over.signal), share(never)];
    await settled();
    over.abort(new Error('over'));
    await expect(leaving).rejects.toThrow('over');
    expect(pieces[0]?.signal.aborted).toBe(false);
    pieces[0]?.end('one');
    expect(await staying).toBe('one');
  });

  it('ends when nobody waits for it, and the next one begins', async () => {
    const { pieces, share } = openWork();
    const over = new AbortController();
    const leaving = share(over.signal);
    await settled();
    const next = share(never);
    over.abort(new Error('over'));
    await expect(leaving).rejects.toThrow('over');
    await settled();
    expect(pieces.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    pieces[1]?.end('two');
    expect(await next).toBe('two');
  });

  it('is not begun for those who left before it could, but for those who came after them', async () => {
    const { pieces, share } = openWork();
    const first = share(never);
    await settled();
    const over = new AbortController();
    const leaving = share(over.signal);
    over.abort(new Error('over'));
    await expect(leaving).rejects.toThrow('over');
    const staying = share(never);
    pieces[0]?.end('one');
    await first;
    await settled();
    expect(pieces).toHaveLength(2);
    pieces[1]?.end('two');
    expect(await staying).toBe('two');
  });
});
