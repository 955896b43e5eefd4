import { lambdaContext, scheduledEvent } from '../support/events.ts';
import type { Built, Bundles } from './build.ts';
import type { BenchCluster } from './cluster.ts';
import type { Operation } from './floor.ts';
import type { FreshFloor } from './fresh-floor.ts';
import { startHelper } from './helper-process.ts';
import { bodiesOf, configOf, makeSandboxes, type Names, newNames, removeThese, settingsOf } from './sandboxes.ts';
import { median, round, type Spread, spread } from './statistics.ts';
import { eventOf, functionOf } from './subjects.ts';

/**
 * A cold start of one operation, in milliseconds: the import of the bundle, the first call after it, and a second one; beside
 * these the first and the second bare calls of a new process.
 */
export type Cold = {
  operation: Operation;
  importMs: Spread;
  first: Spread;
  second: Spread;
  floorFirst: Spread;
  floorSecond: Spread;
};

/** What a new process reports of a bundle; bytes of memory, and of the last answer. */
export type FreshRun = {
  importMs: number;
  calls: number[];
  bytes: number;
  report: unknown;
  importedRss: number;
  heapUsed: number;
  rss: number;
  peakRss: number;
};

/** Lambda's runtime gives Node this much of a 256 MB function. */
const lambdaMemory = ['--max-old-space-size=230', '--max-semi-space-size=12'];

/** Loads a bundle in a new process, with the memory of a 256 MB function, and calls its handler with each event in turn. */
export async function runFresh(
  cluster: BenchCluster,
  bundle: Built,
  events: readonly unknown[],
  env: Record<string, string> = {},
): Promise<FreshRun> {
  const fresh = startHelper(new URL('./fresh-function.cjs', import.meta.url).href, {
    env: { ...settingsOf(cluster), ...env },
    execArgv: lambdaMemory,
  });
  try {
    const { getRemainingTimeInMillis: _, ...context } = lambdaContext();
    return await fresh.ask<FreshRun>({ bundle: bundle.path, events, context });
  } finally {
    await fresh.end();
  }
}

/** The first two requests of a new process, for each operation, beside those of a new process that makes the bare calls. */
export async function measureCold(
  cluster: BenchCluster,
  { shipped }: Bundles,
  samples: number,
  wanted: readonly Operation[],
): Promise<Cold[]> {
  const config = configOf(cluster);
  const log = wanted.map((operation) => ({
    operation,
    importMs: [] as number[],
    first: [] as number[],
    second: [] as number[],
    floorFirst: [] as number[],
    floorSecond: [] as number[],
  }));
  for (let sample = 0; sample < samples; sample += 1) {
    for (const { operation, ...times } of log) {
      const needed = operation !== 'create' && operation !== 'list';
      const made = needed ? await makeSandboxes(cluster, 4) : Array.from({ length: 4 }, newNames);
      const [one, two, ...others] = made as [Names, Names, Names, Names];
      const bundle = shipped.get(functionOf[operation]) as Built;
      const run = await runFresh(cluster, bundle, [eventOf(operation, one), eventOf(operation, two)]);
      times.importMs.push(run.importMs);
      times.first.push(run.calls[0] as number);
      times.second.push(run.calls[1] as number);
      const floor = startHelper(new URL('./fresh-floor.ts', import.meta.url).href);
      const task: FreshFloor = {
        address: cluster.address,
        operation,
        namespace: cluster.namespace,
        sandboxes: others.map((names) => ({ sandboxId: names.sandboxId, bodies: bodiesOf(names, config) })),
      };
      const [first, second] = await floor.ask<[number, number]>(task);
      times.floorFirst.push(first);
      times.floorSecond.push(second);
      await floor.end();
      await removeThese(cluster.direct, cluster.namespace, made);
    }
  }
  return log.map(({ operation, importMs, first, second, floorFirst, floorSecond }) => ({
    operation,
    importMs: spread(importMs),
    first: spread(first),
    second: spread(second),
    floorFirst: spread(floorFirst),
    floorSecond: spread(floorSecond),
  }));
}

/** How many connections a new process opens for so many requests in a row to one function. */
export type Connections = { name: string; requests: number; connections: number };

/** Twenty requests in a row to each function that has an operation. */
export async function measureConnections(cluster: BenchCluster, { shipped }: Bundles): Promise<Connections[]> {
  const requests = 20;
  const found: Connections[] = [];
  for (const operation of ['create', 'get', 'renew', 'delete', 'list'] as const) {
    const names =
      operation === 'create' ? Array.from({ length: requests }, newNames) : await makeSandboxes(cluster, requests);
    const before = await cluster.traffic();
    const name = functionOf[operation];
    await runFresh(
      cluster,
      shipped.get(name) as Built,
      names.map((names) => eventOf(operation, names)),
    );
    const { connections } = await cluster.traffic();
    found.push({ name, requests, connections: connections - before.connections });
    await removeThese(cluster.direct, cluster.namespace, names);
  }
  return found;
}

/** What a function weighs; times in milliseconds, sizes in bytes. The memory is that of its own operation at the longest list. */
export type Footprint = {
  name: string;
  bytes: number;
  gzipBytes: number;
  zipBytes: number | undefined;
  importMs: number;
  plain: { bytes: number; gzipBytes: number; importMs: number } | undefined;
  importedRss: number;
  rss: number;
  peakRss: number;
  heapUsed: number;
  answerBytes: number;
};

/** How long the import of every bundle takes, shipped, plain and empty, in milliseconds: the median of so many new processes. */
export async function measureImports(
  cluster: BenchCluster,
  bundles: Bundles,
  samples: number,
): Promise<ReadonlyMap<Built, number>> {
  const imports = new Map<Built, number[]>();
  const all = [bundles.empty, ...bundles.shipped.values(), ...bundles.plain.values()];
  for (let sample = 0; sample < samples; sample += 1) {
    for (const bundle of all) {
      const { importMs } = await runFresh(cluster, bundle, []);
      imports.set(bundle, [...(imports.get(bundle) ?? []), importMs]);
    }
  }
  return new Map([...imports].map(([bundle, times]) => [bundle, round(median(times))]));
}

/** Every function's import, size and memory, beside an empty one and beside the plain bundles, while the sandboxes are there. */
export async function measureFootprints(
  cluster: BenchCluster,
  bundles: Bundles,
  imports: ReadonlyMap<Built, number>,
): Promise<Footprint[]> {
  const importMs = (bundle: Built) => imports.get(bundle) ?? Number.NaN;
  const footprints: Footprint[] = [];
  for (const [name, bundle] of [['(empty)', bundles.empty] as const, ...bundles.shipped]) {
    const operation = (['create', 'get', 'renew', 'delete', 'list'] as const).find((one) => functionOf[one] === name);
    const made = operation === undefined || operation === 'list' ? [] : await makeSandboxes(cluster, 3);
    const events =
      operation === 'list'
        ? Array.from({ length: 3 }, () => eventOf('list', newNames()))
        : operation === undefined
          ? name === 'cleanup-sandboxes'
            ? [scheduledEvent()]
            : []
          : made.map((names) => eventOf(operation, names));
    const run = await runFresh(cluster, bundle, events, { CLEANUP_DRY_RUN: 'true' });
    await removeThese(cluster.direct, cluster.namespace, made);
    const plain = bundles.plain.get(name);
    footprints.push({
      name,
      bytes: bundle.bytes,
      gzipBytes: bundle.gzipBytes,
      zipBytes: bundle.zipBytes,
      importMs: importMs(bundle),
      plain: plain && { bytes: plain.bytes, gzipBytes: plain.gzipBytes, importMs: importMs(plain) },
      importedRss: run.importedRss,
      rss: run.rss,
      peakRss: run.peakRss,
      heapUsed: run.heapUsed,
      answerBytes: run.bytes,
    });
  }
  return footprints;
}
