import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import path from 'node:path';

import { defaultWidth } from '../../lib/cleanup/sweep.ts';
import { startProvisioner } from '../support/provisioner.ts';
import { type Built, buildAll } from './build.ts';
import { type BenchCluster, measureRoundTrip, openCluster } from './cluster.ts';
import { type Operation, operations } from './floor.ts';
import { measureCallers } from './measure-callers.ts';
import { measureCosts, measureLists, measureWarm } from './measure-calls.ts';
import { measureCleanUp } from './measure-cleanup.ts';
import { measureCold, measureConnections, measureFootprints, measureImports } from './measure-cold.ts';
import { hasNode, measureUsable, openOriginal } from './measure-usable.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { formatReport, type Report } from './report.ts';
import { makeSandboxes, settingsOf } from './sandboxes.ts';
import { round } from './statistics.ts';
import { openFloor, openHandlers, openPeer, openProvisioner, type Subject } from './subjects.ts';

// `npm run bench`: what every operation costs, beside the bare calls to Kubernetes. See the usage in options.ts.

/** What is known of a run at any moment: what it has found so far, and how to end it. */
type Run = { report?: Report; end: () => Promise<void> };

/** Measures what the options ask for, and reports what it is about to do. Leaves nothing behind, whatever happens. */
async function bench(options: Options, kubeconfigPath: string | undefined, run: Run): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'bench-bundles-'));
  const ends: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  let ending: Promise<void> | undefined;
  run.end = () => {
    ending ??= (async () => {
      for (const one of ends.toReversed()) await one();
    })();
    return ending;
  };
  try {
    say('bundling the functions');
    const bundles = await buildAll(folder, options.topics.has('bundles'));
    const cluster = await openCluster(kubeconfigPath, options.delayMs);
    ends.push(() => cluster.close());
    Object.assign(process.env, settingsOf(cluster));
    say(`${cluster.description}, namespace ${cluster.namespace}`);
    const paths = new Map([...bundles.shipped].map(([name, { path }]) => [name, path]));
    const subjects: Subject[] = [openFloor(cluster), openHandlers(paths)];
    ends.push(async () => {
      for (const subject of subjects) subject.close();
    });
    if (['create', 'get', 'renew', 'delete', 'list', 'callers'].some((topic) => options.topics.has(topic as never))) {
      say('starting serverless-offline');
      const provisioner = await startProvisioner(settingsOf(cluster));
      // A terminal's Ctrl-C has ended it by now.
      ends.push(() => provisioner.stop().catch(() => {}));
      subjects.push(openProvisioner('http', provisioner.url));
    }
    if (options.peer !== undefined) {
      const { K8S_NAMESPACE, KUBECONFIG_PATH } = settingsOf(cluster);
      say(`the peer works beside this one with K8S_NAMESPACE=${K8S_NAMESPACE} KUBECONFIG_PATH=${KUBECONFIG_PATH}`);
      say(`waiting for ${options.peer}`);
      subjects.push(await openPeer(options.peer, options.peerKey));
    }
    await measure(options, cluster, subjects, bundles, run);
  } finally {
    await run.end();
  }
}

async function measure(
  { topics, samples, quick, delayMs, callers, creates, listSizes, expired }: Options,
  cluster: BenchCluster,
  subjects: readonly Subject[],
  bundles: Awaited<ReturnType<typeof buildAll>>,
  run: Run,
): Promise<void> {
  const wanted = new Set(operations.filter((one) => topics.has(one.split('-', 1)[0] as never)));
  const coldSamples = Math.max(2, Math.ceil(samples / 3));
  const version = JSON.parse((await cluster.direct.require('GET', '/version')).text);
  const report: Report = {
    at: new Date().toISOString(),
    node: process.versions.node,
    cores: availableParallelism(),
    load: round(loadavg()[0] ?? 0),
    cluster: cluster.description,
    version: version.gitVersion,
    delayMs,
    roundTrip: await measureRoundTrip(cluster),
    quick,
  };
  run.report = report;
  // Before all else: a namespace that holds nothing disturbs nothing.
  if (topics.has('bundles')) say('imports');
  const imports = topics.has('bundles') ? await measureImports(cluster, bundles, coldSamples) : undefined;
  if (topics.has('usable')) {
    if (await hasNode(cluster)) {
      say('from a create until the sandbox answers');
      const measured = subjects.filter(({ name }) => name === 'handler' || name === 'peer');
      report.usable = await measureUsable(cluster, [openOriginal(cluster), ...measured], coldSamples);
    } else say('no node: how soon a sandbox answers is not measured');
  }
  if (wanted.size > (wanted.has('list') ? 1 : 0)) {
    say('warm calls');
    report.warm = await measureWarm(cluster, subjects, samples, wanted);
  }
  if (wanted.size > 0) {
    say('calls and bytes');
    report.costs = await measureCosts(
      cluster,
      subjects.filter(({ name }) => name !== 'peer'),
      wanted,
    );
  }
  if (topics.has('cold')) {
    say('cold calls');
    const all: Operation[] = wanted.size > 0 ? [...wanted] : [...operations];
    report.cold = await measureCold(
      cluster,
      bundles,
      coldSamples,
      all.filter((one) => one !== 'create-again'),
    );
  }
  if (topics.has('connections')) {
    say('connections');
    report.connections = await measureConnections(cluster, bundles);
  }
  if (topics.has('callers')) {
    say('creates a second');
    report.callers = await measureCallers(cluster, subjects, callers, creates);
  }
  if (topics.has('cleanup')) {
    say(`the clean-up of ${expired}`);
    const cleanUp = bundles.shipped.get('cleanup-sandboxes') as Built;
    report.cleanUp = await measureCleanUp(cluster, cleanUp, expired, defaultWidth);
  }
  const longest = listSizes.at(-1) ?? 0;
  if (topics.has('list')) {
    say(`lists of ${listSizes.join(', ')}`);
    report.lists = await measureLists(cluster, subjects, samples, listSizes);
  } else if (topics.has('bundles')) {
    await makeSandboxes(cluster, longest, { isRunning: true });
  }
  if (imports !== undefined) {
    say('memory');
    report.footprints = await measureFootprints(cluster, bundles, imports);
  }
}

/** On standard error, so that standard output is the report alone. */
const say = (what: string) => console.error(`bench: ${what}`);

let options: Options | undefined;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${usage}`);
  process.exit(2);
}
if (options === undefined) {
  console.log(usage);
  process.exit(0);
}

const run: Run = { end: async () => {} };
let signalled: number | undefined;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, async () => {
    signalled = code;
    say(`${signal}: removing what was made`);
    await run.end().catch((error: Error) => say(`failed: ${error.message}`));
    await finish(options, run.report, code);
  });
}
let exitCode = 0;
try {
  await bench(options, process.env.KUBECONFIG_PATH || undefined, run);
} catch (error) {
  // What was under way fails as everything is taken away: the signal has the last word.
  if (signalled !== undefined) await new Promise(() => {});
  say(`failed: ${(error as Error).message}`);
  exitCode = 1;
}
if (signalled === undefined) await finish(options, run.report, exitCode);

/** Prints and writes what was found, all or not, and ends the process. */
async function finish(options: Options, report: Report | undefined, exitCode: number): Promise<void> {
  if (report !== undefined) {
    console.log(formatReport(report, options));
    await mkdir(path.dirname(options.json), { recursive: true });
    await writeFile(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
    say(`the figures are in ${options.json}`);
  }
  process.exit(exitCode);
}
