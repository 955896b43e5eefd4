/**
 * Does the work each time so many milliseconds are over, for the first time after as many; not where it is still being done. `work`
 * never rejects. Gives what ends it; work that is under way then goes on.
 */
export function runEvery(intervalMs: number, work: () => Promise<void>): () => void {
  let isRunning = false;
  const timer = setInterval(async () => {
    if (isRunning) return;
    isRunning = true;
    await work();
    isRunning = false;
  }, intervalMs);
  return () => clearInterval(timer);
}
