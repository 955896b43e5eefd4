import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { generateClientTypes } from '../../lib/tools/client-types.ts';

const root = new URL('../../', import.meta.url);
const reason = existsSync(new URL('lib/client/generator/node_modules', root))
  ? ''
  : ' (openapi-typescript is not installed: `npm test` installs it, into lib/client/generator)';

it.skipIf(reason !== '')(`the client's types are those of the description; npm run client writes them${reason}`, () => {
  expect(readFileSync(new URL('lib/client/api.ts', root), 'utf8')).toBe(generateClientTypes());
});
