import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

// Runs one function once on this machine, with the settings of the environment, and prints what it returns:
// `node lib/tools/invoke.ts functions/cleanup-sandboxes.ts`. Ends with 1 if the function fails.
const [module = ''] = process.argv.slice(2);
const { handler } = await import(pathToFileURL(resolve(module)).href);
try {
  console.log(JSON.stringify(await handler({}, { awsRequestId: randomUUID() }), undefined, 2));
  // Kept connections would keep the process.
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
