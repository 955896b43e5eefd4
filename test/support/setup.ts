import { afterAll, expect } from 'vitest';

import { findLeaks, watchLog } from './secrets.ts';

// Before each test file: everything that its process prints is looked through at the end for the secrets that its tests used.
// The lines of our log are kept from the screen.
let printed = '';
for (const stream of [process.stdout, process.stderr]) {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = (chunk: string | Uint8Array, ...rest: unknown[]) => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    printed += text;
    if (!/^\{"(level|_aws)":/.test(text)) return write(chunk, ...rest);
    for (const callback of rest) if (typeof callback === 'function') callback();
    return true;
  };
}
watchLog('the log of the tests’ process', () => printed);

afterAll(() => {
  expect(findLeaks(), 'secrets were shown').toEqual([]);
});
