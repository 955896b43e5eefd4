/** One piece of work at a time, which those who ask for it meanwhile share. */
export type SingleFlight<T> = Readonly<{
  /** Begins the work, or joins it. Rejects as the work does, or with the signal's reason: nobody waits longer than that. */
  join(signal: AbortSignal): Promise<T>;
  isUnderWay(): boolean;
}>;

/**
 * Makes calls side by side share one piece of work: the first begins it, each waits no longer than its own signal, and when
 * the last of them has gone, the work's own signal aborts.
 */
export function share<T>(work: (signal: AbortSignal) => Promise<T>): SingleFlight<T> {
  let current: { result: Promise<T>; waiting: number; end: AbortController } | undefined;
  const begin = () => {
    const end = new AbortController();
    return { result: work(end.signal), waiting: 0, end };
  };
  return {
    async join(signal) {
      signal.throwIfAborted();
      current ??= begin();
      const mine = current;
      mine.waiting += 1;
      const gone = Promise.withResolvers<never>();
      const leave = () => gone.reject(signal.reason);
      signal.addEventListener('abort', leave);
      try {
        return await Promise.race([mine.result, gone.promise]);
      } finally {
        signal.removeEventListener('abort', leave);
        mine.waiting -= 1;
        if (mine.waiting === 0) {
          if (current === mine) current = undefined;
          mine.end.abort();
        }
      }
    },
    isUnderWay: () => current !== undefined,
  };
}

/**
 * As `share`, for work that shows what there is: nobody joins work that began before they came, as what they did before may not be
 * seen by it. One piece is under way at most, and one waits for its end, which all who come meanwhile join.
 */
export function shareNext<T>(work: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let underWay: Promise<unknown> | undefined;
  let next: SingleFlight<T> | undefined;
  const open = () => {
    const mine = share(async (end) => {
      await underWay;
      end.throwIfAborted();
      // From here on, others come too late for it.
      if (next === mine) next = undefined;
      const result = work(end);
      underWay = result.catch(() => {});
      return result;
    });
    return mine;
  };
  return (signal) => {
    next ??= open();
    return next.join(signal);
  };
}
