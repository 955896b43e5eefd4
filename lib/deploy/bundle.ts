import { createWriteStream } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import yazl from 'yazl';
import { buildConsole } from '../console/build.ts';
import { viewerFile } from '../openapi/page.ts';
import { findSeldomCalled, trimClient } from './trim-client.ts';

/** Where a function's bundle is, its source map, and the zip that Lambda gets. */
export type Artifact = { bundle: string; sourceMap: string; zip: string };

/** How everything is bundled that Lambda runs. */
export const bundleOptions = {
  bundle: true,
  minifyWhitespace: true,
  // Names are not shortened, for the stack traces in the log; where two modules have the same one, it gets a digit. `keepNames`
  // gives them back at run time, one by one, which takes 2 ms of each cold start; to read longer names takes nothing.
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  // CommonJS' own word for it.
  define: { 'import.meta.filename': '__filename' },
  logLevel: 'warning',
} satisfies BuildOptions;

/** What settings mean is written for docs/settings.md. No function reads it, and it is more than their rules. Lines stay where they are. */
const leaveDocsOut: Plugin = {
  name: 'leave-docs-out',
  setup(build) {
    build.onLoad({ filter: /[\\/]lib[\\/]config[\\/][\w-]+\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      return { contents: source.replace(/^ +doc:(\s+)(['"`]).*\2,$/gm, (_all, space: string) => space), loader: 'ts' };
    });
  },
};

/**
 * Makes what Lambda runs of one function: one minified CommonJS file with all it imports at the path that its handler setting
 * names, and beside it in the zip, where `require` finds them, the packages that it loads only when they are called, and the
 * viewer of the description where it is asked for. The source map stays beside the bundle, outside the zip. The same sources make the same bytes.
 *
 * @param root the project's folder
 * @param module the handler's module without its ending, `functions/health`
 * @param outputFolder where to, emptied first
 */
export async function buildArtifact(root: string, module: string, outputFolder: string): Promise<Artifact> {
  await rm(outputFolder, { recursive: true, force: true });
  const path = `${module}.cjs`;
  const bundle = join(outputFolder, path);
  const { metafile } = await build({
    ...bundleOptions,
    absWorkingDir: root,
    entryPoints: [`${module}.ts`],
    outfile: bundle,
    sourcemap: 'external',
    metafile: true,
    plugins: [trimClient(root), inlineConsole, leaveDocsOut],
  });
  const packages = findSeldomCalled(metafile).map(({ name, ...one }) => ({ ...one, path: `node_modules/${name}.js` }));
  for (const { entryPoint, path } of packages) {
    await build({
      ...bundleOptions,
      absWorkingDir: root,
      entryPoints: [entryPoint],
      outfile: join(outputFolder, path),
    });
  }
  const files = metafile.inputs['lib/openapi/page.ts'] === undefined ? [] : [`node_modules/${viewerFile}`];
  for (const path of files) {
    await cp(createRequire(join(root, 'package.json')).resolve(viewerFile), join(outputFolder, path));
  }
  const zip = `${outputFolder}.zip`;
  const paths = [path, ...packages.map(({ path }) => path), ...files];
  await writeZip(
    zip,
    paths.map((path) => ({ file: join(outputFolder, path), path })),
  );
  return { bundle, sourceMap: `${bundle}.map`, zip };
}

/** Puts the console as it was built in the place of what builds it. */
const inlineConsole: Plugin = {
  name: 'inline-console',
  setup(build) {
    build.onLoad({ filter: /lib[\\/]console[\\/]build\.ts$/ }, () => ({
      contents: `const built = ${JSON.stringify(buildConsole())}; export const buildConsole = () => built;`,
    }));
  },
};

async function writeZip(zip: string, entries: { file: string; path: string }[]): Promise<void> {
  await mkdir(dirname(zip), { recursive: true });
  const archive = new yazl.ZipFile();
  for (const { file, path } of entries) {
    // A fixed local time, and nothing but it, keeps the bytes the same on every machine: without the DOS timestamp alone,
    // the zip would hold the same moment in UTC as well.
    archive.addFile(file, path, { mtime: new Date(2000, 0, 1), forceDosTimestamp: true, mode: 0o100644 });
  }
  archive.end();
  await pipeline(archive.outputStream, createWriteStream(zip));
}
