import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { loadYaml } from '@kubernetes/client-node';
import { buildArtifact } from '../../lib/deploy/bundle.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Where `SANDBOX_TEST_BUNDLES` is `true`, the functions run as they are deployed: bundles them, before the contract suite, to
 * where nothing that a bundle forgot is found in node_modules. Gives what removes them.
 */
export async function setup(): Promise<() => Promise<void>> {
  // Another part of the suite may have made them.
  if (process.env.SANDBOX_TEST_BUNDLES !== 'true' || process.env.OFFLINE_BUNDLES !== undefined) return async () => {};
  const folder = await mkdtemp(path.join(tmpdir(), 'sandbox-provisioner-bundles-'));
  process.env.OFFLINE_BUNDLES = folder;
  for (const [name, module] of Object.entries(await readModules())) {
    await buildArtifact(ROOT, module, path.join(folder, name));
  }
  await buildArtifact(ROOT, 'lib/server/main', path.join(folder, 'server'));
  return () => rm(folder, { recursive: true, force: true });
}

/** The functions of serverless.yml, and the module that each is in: `{ health: 'functions/health' }`. */
export async function readModules(): Promise<Record<string, string>> {
  type Service = { functions: Record<string, { handler: string }> };
  const { functions } = loadYaml<Service>(await readFile(path.join(ROOT, 'serverless.yml'), 'utf8'));
  return Object.fromEntries(
    Object.entries(functions).map(([name, { handler }]) => [name, handler.replace(/\.handler$/, '')]),
  );
}

/** A function's file, to be run from the project's folder: the bundle where bundles are tested, otherwise the source. */
export function functionFile(name: string): string {
  const bundles = process.env.OFFLINE_BUNDLES;
  return bundles === undefined ? `functions/${name}.ts` : path.join(bundles, name, `functions/${name}.cjs`);
}

/** The server's file, in the same way. */
export function serverFile(): string {
  const bundles = process.env.OFFLINE_BUNDLES;
  return bundles === undefined ? 'lib/server/main.ts' : path.join(bundles, 'server', 'lib', 'server', 'main.cjs');
}
