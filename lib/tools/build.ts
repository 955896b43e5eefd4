import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildArtifact } from '../deploy/bundle.ts';

// Bundles the server as the functions are bundled: what `node .build/server/lib/server/main.cjs` runs, and nothing else is needed.
const root = fileURLToPath(new URL('../..', import.meta.url));
const { bundle } = await buildArtifact(root, 'lib/server/main', join(root, '.build/server'));
console.log(bundle);
