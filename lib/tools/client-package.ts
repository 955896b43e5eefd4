import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

// Makes of lib/client what the package has, dist/client: one JavaScript file for Node 20, Deno and browsers, and its types.
const root = fileURLToPath(new URL('../..', import.meta.url));
const outdir = `${root}dist/client`;
rmSync(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: ['lib/client/index.ts'],
  outdir,
  bundle: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  logLevel: 'warning',
});
const flags = '--declaration --emitDeclarationOnly --noEmit false --rewriteRelativeImportExtensions --allowJs false';
const options = [...flags.split(' '), '--rootDir', 'lib/client', '--outDir', outdir, '--target', 'es2024'];
const modules = '--module nodenext --moduleResolution nodenext --strict --skipLibCheck --ignoreConfig --types node';
const { status } = spawnSync(
  process.execPath,
  ['node_modules/typescript/bin/tsc', ...options, ...modules.split(' '), 'lib/client/index.ts'],
  { cwd: root, stdio: ['ignore', 2, 2] },
);
process.exitCode = status ?? 1;
