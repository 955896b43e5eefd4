import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';
import { buildArtifact, bundleOptions } from '../../lib/deploy/bundle.ts';

/** A bundle and what it weighs, in bytes. */
export type Built = { path: string; bytes: number; gzipBytes: number; zipBytes: number | undefined };

/** Every function as it ships, and the same bundled as esbuild does it by itself; `empty` does nothing. */
export type Bundles = { shipped: ReadonlyMap<string, Built>; plain: ReadonlyMap<string, Built>; empty: Built };

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Bundles every function into the folder. Without `withPlain`, only as it ships. */
export async function buildAll(folder: string, withPlain: boolean): Promise<Bundles> {
  const modules = (await readdir(path.join(root, 'functions'))).map((file) => path.basename(file, '.ts'));
  const shipped = new Map<string, Built>();
  const plain = new Map<string, Built>();
  for (const name of modules) {
    const { bundle, zip } = await buildArtifact(root, `functions/${name}`, path.join(folder, 'shipped', name));
    shipped.set(name, await weigh(bundle, zip));
    if (!withPlain) continue;
    const outfile = path.join(folder, 'plain', `${name}.cjs`);
    await build({
      ...bundleOptions,
      absWorkingDir: root,
      entryPoints: [`functions/${name}.ts`],
      outfile,
      logLevel: 'error',
    });
    plain.set(name, await weigh(outfile));
  }
  const empty = path.join(folder, 'empty.cjs');
  await mkdir(folder, { recursive: true });
  await writeFile(empty, 'exports.handler = async () => ({ statusCode: 200, body: "{}" });\n');
  return { shipped, plain, empty: await weigh(empty) };
}

async function weigh(bundle: string, zip?: string): Promise<Built> {
  const code = await readFile(bundle);
  const zipBytes = zip === undefined ? undefined : (await stat(zip)).size;
  return { path: bundle, bytes: code.length, gzipBytes: gzipSync(code, { level: 9 }).length, zipBytes };
}
