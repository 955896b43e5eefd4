// A cold start: imports one bundle as the first thing it does, calls its handler, and reports. It answers one question,
// `{ bundle, events, context }`, with the times in milliseconds and the memory in bytes.
const { readFileSync } = require('node:fs');

/** What the kernel says of this process's memory: `VmHWM` is the most that it ever had. */
const readKilobytes = (/** @type {string} */ name) => {
  try {
    const found = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'));
    return found ? Number(found[1]) * 1024 : undefined;
  } catch {
    return undefined;
  }
};

process.once('disconnect', () => process.exit());
process.once('message', async (/** @type {any} */ { bundle, events, context }) => {
  try {
    const start = performance.now();
    const { handler } = require(bundle);
    const importMs = performance.now() - start;
    const importedRss = process.memoryUsage().rss;
    const calls = [];
    let bytes = 0;
    let report;
    for (const event of events) {
      const deadline = Date.now() + 120_000;
      const began = performance.now();
      const answer = await handler(event, { ...context, getRemainingTimeInMillis: () => deadline - Date.now() });
      calls.push(performance.now() - began);
      if (answer.statusCode === undefined) report = answer;
      else if (answer.statusCode !== 200) throw new Error(`${bundle} answered ${answer.statusCode} ${answer.body}`);
      bytes = Buffer.byteLength(answer.body ?? '');
    }
    const { heapUsed, rss } = process.memoryUsage();
    const peakRss = readKilobytes('VmHWM') ?? rss;
    process.send?.({ importMs, calls, bytes, report, importedRss, heapUsed, rss, peakRss });
  } catch (error) {
    process.send?.({ error: error instanceof Error ? error.stack : String(error) });
  }
});
