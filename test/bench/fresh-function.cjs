// A cold start: imports one bundle as the first thing it does, calls its handler, and reports. It answers one question,
// `{ bundle, events, context }`, with the times in milliseconds and the memory in bytes.
const { readFileSync } = require('node:fs');

/** The most memory that this process ever had: the kernel says so where there is /proc. */
const readPeak = () => {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  } catch {
    return process.memoryUsage().rss;
  }
};

process.once('disconnect', () => process.exit());
process.once('message', async (/** @type {any} */ { bundle, events, context }) => {
  try {
    const start = performance.now();
    const { handler } = require(bundle);
    const importMs = performance.now() - start;
    const calls = [];
    let answer;
    for (const event of events) {
      const deadline = Date.now() + 120_000;
      const began = performance.now();
      answer = await handler(event, { ...context, getRemainingTimeInMillis: () => deadline - Date.now() });
      calls.push(performance.now() - began);
      if (answer.statusCode >= 300) throw new Error(`${bundle} answered ${answer.statusCode} ${answer.body}`);
    }
    process.send?.({ importMs, calls, answer, peakBytes: readPeak() });
  } catch (error) {
    process.send?.({ error: error instanceof Error ? error.stack : String(error) });
  }
});
