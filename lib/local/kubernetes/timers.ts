/** All timers of one embedded Kubernetes, so that closing it leaves none. */
export type Timers = {
  /** Runs the function after so many milliseconds, unless the timers are closed before. */
  after(milliseconds: number, run: () => void): void;
  /** A function that has `run` called soon, once, however often it is called until then. */
  coalesce(milliseconds: number, run: () => void): () => void;
  close(): void;
};

export function createTimers(): Timers {
  const pending = new Set<NodeJS.Timeout>();
  let isClosed = false;

  function after(milliseconds: number, run: () => void): void {
    if (isClosed) return;
    const timer = setTimeout(() => {
      pending.delete(timer);
      run();
    }, milliseconds);
    pending.add(timer);
  }

  return {
    after,
    coalesce(milliseconds, run) {
      let isWaiting = false;
      return () => {
        if (isWaiting) return;
        isWaiting = true;
        after(milliseconds, () => {
          isWaiting = false;
          run();
        });
      };
    },
    close() {
      isClosed = true;
      for (const timer of pending) clearTimeout(timer);
    },
  };
}
