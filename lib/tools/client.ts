import { writeFileSync } from 'node:fs';
import { generateClientTypes } from './client-types.ts';

// `npm run client`: writes lib/client/api.ts anew, as the description is.
writeFileSync(new URL('../client/api.ts', import.meta.url), generateClientTypes());
