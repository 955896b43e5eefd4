import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { buildArtifact, bundleOptions } from '../../lib/deploy/bundle.ts';
import { lambdaContext, scheduledEvent } from '../support/events.ts';
import type { BenchCluster } from './cluster.ts';
import type { FreshFloor, Operation } from './floor.ts';
import { startHelper } from './helper-process.ts';
import { inTurns } from './measure-calls.ts';
import { bodiesOf, configOf, makeSandboxes, type Names, newNames, removeThese, settingsOf } from './sandboxes.ts';
import { eventOf, functionOf } from './subjects.ts';
import { type Cell, printTable, showOver } from './tables.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A function as it ships, and bundled as esbuild does it by itself. */
export type Built = { name: string; bundle: string; zip?: string; plain?: string };

/** Bundles every function into the folder, and one that does nothing. */
export async function buildAll(folder: string): Promise<Built[]> {
  const bundle = path.join(folder, 'empty.cjs');
  await mkdir(folder, { recursive: true });
  await writeFile(bundle, 'exports.handler = async () => ({ statusCode: 200, body: "{}" });\n');
  const built: Built[] = [{ name: '(empty)', bundle }];
  for (const file of await readdir(path.join(root, 'functions'))) {
    const name = path.basename(file, '.ts');
    const plain = path.join(folder, 'plain', `${name}.cjs`);
    await build({
      ...bundleOptions,
      absWorkingDir: root,
      entryPoints: [`functions/${file}`],
      outfile: plain,
      logLevel: 'error',
    });
    built.push({
      name,
      ...(await buildArtifact(root, `functions/${name}`, path.join(folder, 'shipped', name))),
      plain,
    });
  }
  return built;
}

/** What a new process reports of a bundle. */
type FreshRun = { importMs: number; calls: number[]; answer: { body?: string }; peakBytes: number };

/** Loads a bundle in a new process, with the memory of a 256 MB function, and calls its handler with each event in turn. */
export async function runFresh(
  cluster: BenchCluster,
  bundle: string,
  events: readonly unknown[],
  env: Record<string, string> = {},
): Promise<FreshRun> {
  // Lambda's runtime gives Node this much of 256 MB.
  const memory = ['--max-old-space-size=230', '--max-semi-space-size=12'];
  const fresh = startHelper(import.meta.resolve('./fresh-function.cjs'), { ...settingsOf(cluster), ...env }, memory);
  try {
    const { getRemainingTimeInMillis: _, ...context } = lambdaContext();
    return await fresh.ask<FreshRun>({ bundle, events, context });
  } finally {
    await fresh.end();
  }
}

/** The first request of a new process, for each operation, beside a new process that makes the bare calls. */
export async function measureFirst(
  cluster: BenchCluster,
  bundleOf: (name: string) => string,
  samples: number,
  wanted: readonly Operation[],
): Promise<void> {
  const log = wanted.map((operation) => ({ operation, first: [] as number[], floor: [] as number[] }));
  await inTurns(log, samples, async ({ operation, first, floor }) => {
    const isThere = operation !== 'create' && operation !== 'list';
    const made = isThere ? await makeSandboxes(cluster, 2) : [newNames(), newNames()];
    const [one, other] = made as [Names, Names];
    const run = await runFresh(cluster, bundleOf(functionOf(operation)), [eventOf(operation, one)]);
    first.push(run.calls[0] as number);
    const process = startHelper(import.meta.resolve('./floor.ts'));
    const bodies = bodiesOf(other, configOf(cluster));
    const task: FreshFloor = [cluster.address, operation, cluster.namespace, other.sandboxId, bodies];
    floor.push(await process.ask<number>(task));
    await process.end();
    await removeThese(cluster.direct, cluster.namespace, made);
  });
  const rows = log.map(({ operation, first, floor }): Cell[] => [operation, first, floor, showOver(first, floor)]);
  printTable('The first request of a new process, ms', ['', 'first request', 'floor, first', 'over the floor'], rows);
}

/** How many connections a new process opens for twenty gets in a row. */
export async function measureConnections(cluster: BenchCluster, getSandbox: string): Promise<void> {
  const made = await makeSandboxes(cluster, 20);
  const before = await cluster.connections();
  const events = made.map((names) => eventOf('get', names));
  await runFresh(cluster, getSandbox, events);
  printTable('Connections', ['gets in a row', 'connections'], [[20, (await cluster.connections()) - before]]);
  await removeThese(cluster.direct, cluster.namespace, made);
}

/** How long the import of every bundle takes in a new process, as it ships and plain, in milliseconds. */
export async function measureImports(cluster: BenchCluster, built: readonly Built[], samples: number) {
  const imports = new Map(
    built.flatMap(({ bundle, plain }) => [bundle, plain ?? bundle]).map((file) => [file, [] as number[]]),
  );
  await inTurns([...imports], samples, async ([file, times]) => {
    times.push((await runFresh(cluster, file, [])).importMs);
  });
  return imports;
}

/** Every function's import, size and memory, while so many sandboxes are there as the longest list has. */
export async function measureFunctions(
  cluster: BenchCluster,
  built: readonly Built[],
  imports: ReadonlyMap<string, readonly number[]>,
): Promise<void> {
  const rows: Cell[][] = [];
  const size = async (file: string | undefined) => file && Math.round((await stat(file)).size / 1000);
  for (const { name, bundle, zip, plain } of built) {
    const operation = (['create', 'get', 'renew', 'delete', 'list'] as const).find((one) => functionOf(one) === name);
    const made = operation === undefined || operation === 'list' ? [] : await makeSandboxes(cluster, 3);
    const calls = operation === undefined ? [] : made.length > 0 ? made : [newNames(), newNames(), newNames()];
    const events =
      name === 'cleanup-sandboxes' ? [scheduledEvent()] : calls.map((names) => eventOf(operation as Operation, names));
    const run = await runFresh(cluster, bundle, events, { CLEANUP_DRY_RUN: 'true' });
    await removeThese(cluster.direct, cluster.namespace, made);
    const answer = Buffer.byteLength(run.answer?.body ?? '') / 1000;
    const ms = [imports.get(bundle), plain && imports.get(plain)];
    rows.push([name, ...ms, await size(bundle), await size(plain), await size(zip), run.peakBytes / 1e6, answer]);
  }
  const head = ['', 'import, ms', 'plain', 'bundle, KB', 'plain', 'zip, KB', 'most memory, MB', 'answer, KB'];
  printTable('Functions (memory in a 256 MB function, after its operation beside the longest list)', head, rows);
}
