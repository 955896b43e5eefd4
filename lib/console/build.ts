import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

/** What the console's page is made of. */
export type BuiltConsole = Readonly<{ script: string; style: string }>;

/**
 * The console's script and style: lib/console/browser and what it imports, by esbuild, each in one piece. `npm start` calls this when
 * the page is first asked for. What ships has its result in the place of this module: lib/deploy/bundle sees to it. The same
 * sources make the same texts.
 */
export function buildConsole(): BuiltConsole {
  const { outputFiles } = buildSync({
    absWorkingDir: fileURLToPath(new URL('browser', import.meta.url)),
    entryPoints: ['main.tsx', 'style.css'],
    outdir: 'console',
    write: false,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'warning',
  });
  const read = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))?.text.trim() ?? '';
  return { script: read('.js'), style: read('.css') };
}
