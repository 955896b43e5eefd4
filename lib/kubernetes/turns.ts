/**
 * Lets so much work run at once, and the rest wait for its turn, in the order in which it came. Rejects as the work does, or, while it
 * waits, with the signal's reason.
 */
export function takeTurns(most: number): <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T> {
  let running = 0;
  // A Set keeps the order, and those who leave do not have to be looked for.
  const waiting = new Set<() => void>();
  const wait = async (signal: AbortSignal) => {
    const turn = Promise.withResolvers<void>();
    const leave = () => {
      if (waiting.delete(turn.resolve)) turn.reject(signal.reason);
    };
    waiting.add(turn.resolve);
    signal.addEventListener('abort', leave);
    await turn.promise.finally(() => signal.removeEventListener('abort', leave));
  };
  return async (work, signal) => {
    signal.throwIfAborted();
    if (running < most) running += 1;
    else await wait(signal);
    try {
      return await work();
    } finally {
      // Whoever is next takes the turn over.
      const [next] = waiting;
      if (next === undefined) running -= 1;
      else {
        waiting.delete(next);
        next();
      }
    }
  };
}
