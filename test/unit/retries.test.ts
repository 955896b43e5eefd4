import { describe, expect, it } from 'vitest';
import { deadlineError, networkError, statusError } from '../../lib/kubernetes/errors.ts';
import { findRetryDelay, retry } from '../../lib/kubernetes/retries.ts';

const status = (code: number, reason: string, retryAfter?: string) =>
  statusError(code, retryAfter, JSON.stringify({ kind: 'Status', status: 'Failure', reason, code }));
const cut = networkError(Object.assign(new Error('cut'), { code: 'ECONNRESET' }));

describe('the wait before a call is made again', () => {
  it.each<[string, unknown, number, [number, number]]>([
    ['after a cut connection', cut, 1, [25, 50]],
    ['after the second attempt', cut, 2, [50, 100]],
    ['after the third', cut, 3, [100, 200]],
    ['after an error of the API server', status(500, 'InternalError'), 1, [25, 50]],
    ['when it is overloaded and says how long', status(429, 'TooManyRequests', '3'), 1, [3_025, 3_050]],
    ['when it says not to wait: others were told the same', status(429, 'TooManyRequests', '0'), 1, [25, 50]],
    ['when it asks for as long as we would wait', status(503, 'ServiceUnavailable', '10'), 1, [10_025, 10_050]],
  ])('%s', (_when, error, attempt, [least, most]) => {
    for (let sample = 0; sample < 100; sample += 1) {
      const delay = findRetryDelay(error, attempt);
      expect(delay).toBeGreaterThanOrEqual(least);
      expect(delay).toBeLessThanOrEqual(most);
    }
    const delays = new Set(Array.from({ length: 20 }, () => findRetryDelay(error, attempt)));
    expect(delays.size).toBeGreaterThan(1);
  });

  it.each<[string, unknown]>([
    ['it asks for longer than that', status(429, 'TooManyRequests', '11')],
    ['the call was wrong', status(422, 'Invalid')],
    ['nothing is there', status(404, 'NotFound')],
    ['it is refused', status(403, 'Forbidden')],
    ['the failure is no answer of Kubernetes', new Error('ours')],
  ])('is none where %s', (_when, error) => {
    expect(findRetryDelay(error, 1)).toBeUndefined();
  });
});

describe('a call that fails', () => {
  const counted = (failures: unknown[]) => {
    let calls = 0;
    const call = async () => {
      calls += 1;
      if (failures.length === 0) return calls;
      throw failures.shift();
    };
    return { call, count: () => calls };
  };

  it('in passing is made again, four times at most', async () => {
    await expect(retry(counted([cut, cut, cut]).call, AbortSignal.timeout(10_000))).resolves.toBe(4);
    const failing = counted([cut, cut, cut, cut]);
    await expect(retry(failing.call, AbortSignal.timeout(10_000))).rejects.toBe(cut);
    expect(failing.count()).toBe(4);
  });

  it('for good is made once', async () => {
    const refused = status(403, 'Forbidden');
    const failing = counted([refused]);
    await expect(retry(failing.call, AbortSignal.timeout(10_000))).rejects.toBe(refused);
    expect(failing.count()).toBe(1);
  });

  // What a webhook that hangs did, for one, is not known any more once time is over.
  it('throws what an earlier attempt threw where time was over for the last one', async () => {
    const late = deadlineError(AbortSignal.abort());
    const broken = status(500, 'InternalError');
    await expect(retry(counted([broken, late]).call, AbortSignal.timeout(10_000))).rejects.toBe(broken);
    await expect(retry(counted([broken, cut, late]).call, AbortSignal.timeout(10_000))).rejects.toBe(cut);
    await expect(retry(counted([late]).call, AbortSignal.timeout(10_000))).rejects.toBe(late);
  });

  it('throws what it threw when its time is over before the next attempt', async () => {
    const slow = status(429, 'TooManyRequests', '9');
    const failing = counted([slow]);
    await expect(retry(failing.call, AbortSignal.timeout(20))).rejects.toBe(slow);
    expect(failing.count()).toBe(1);
  });
});
