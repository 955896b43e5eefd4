/** Calls until the answer is what is wanted, and returns it; throws with the last answer where that takes too long. */
export async function eventually<T>(
  what: string,
  read: () => Promise<T> | T,
  isWanted: (answer: T) => boolean,
  timeoutMs = 40_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await read();
    if (isWanted(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`still not ${what}: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
