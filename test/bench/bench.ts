import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { hasNginx } from '../support/gateway.ts';
import { startProvisioner } from '../support/provisioner.ts';
import { openCluster, removeSandboxes } from './cluster.ts';
import { type Operation, operations } from './floor.ts';
import { measureCallers, measureLists, measureWarm } from './measure-calls.ts';
import { measureCleanUp } from './measure-cleanup.ts';
import { buildAll, measureConnections, measureFirst, measureFunctions, measureImports } from './measure-cold.ts';
import { measureGateway } from './measure-gateway.ts';
import { hasNode, measureUsable } from './measure-usable.ts';
import { measureWaiting } from './measure-waiting.ts';
import { openRawClient } from './raw-client.ts';
import { makeSandboxes, settingsOf } from './sandboxes.ts';
import { openFloor, openHandlers, openOriginal, openPeer, openProvisioner, type Subject } from './subjects.ts';
import { printTable } from './tables.ts';

const topics = 'usable waiting gateway create get renew delete list cold callers cleanup connections bundles'.split(
  ' ',
);

const usage = `npm run bench -- [options]
Measures the functions beside the bare calls to Kubernetes, on the cluster that KUBECONFIG_PATH names, in a namespace of its own
that it removes; without KUBECONFIG_PATH, on the embedded Kubernetes. Best is a control plane without nodes, on an idle machine;
but 'usable' and 'waiting', how soon a sandbox answers and its caller hears of it, and 'gateway' need a node that is on this machine, and
SANDBOX_IMAGE, SKILLS_HOST_PATH and THREADS_HOST_PATH that are good there; and 'waiting' room for 50 sandboxes: SANDBOX_CPU_REQUEST=1m.
  --delay MS        what is added to each round trip to Kubernetes (10)
  --samples N       calls of each kind (30; 5 with --quick); cold ones, which cost a process each, a third of it
  --only LIST       of ${topics.join(',')}
  --quick           few samples, short lists: to see that it works, not to measure
  --peer URL        another provisioner with the same calls, measured over HTTP beside this one: start it with the namespace and
                    the kubeconfig that are printed, the bench waits for it. DeerFlow's own cannot renew: leave that out of --only`;

/** What the command line asks for. Ends the process where it asks for what there is not. */
function readOptions() {
  try {
    const [text, flag] = [{ type: 'string' }, { type: 'boolean' }] as const;
    const { values } = parseArgs({
      options: { delay: text, samples: text, only: text, peer: text, quick: flag, help: flag },
    });
    const { quick = false, peer, help } = values;
    const only = new Set(values.only?.split(',') ?? topics);
    const [delayMs, samples] = [Number(values.delay ?? 10), Number(values.samples ?? (quick ? 5 : 30))];
    if (![...only].every((topic) => topics.includes(topic))) throw new Error(`--only: ${values.only}`);
    if (!(delayMs >= 0) || !(samples >= 1)) throw new Error('--delay and --samples are numbers');
    return { quick, peer, only, delayMs, samples, help };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

// The functions' own lines are part of what is measured, and not of what is shown.
const show = process.stdout.write.bind(process.stdout);
process.stdout.write = (text: string | Uint8Array, ...rest: unknown[]) =>
  String(text).startsWith('{"level":') || show(text, ...(rest as []));

const { quick, peer, only, delayMs, samples, help } = readOptions();
if (help) {
  console.log(usage);
  process.exit();
}
const coldSamples = Math.max(2, Math.ceil(samples / 3));
// A cluster has 2768 NodePorts; some are left for what is made beside the lists.
const listSizes = quick ? [10, 50] : [10, 100, 1000, 2700];

/** On standard error, so that standard output is the tables alone. */
const say = (what: string) => console.error(`bench: ${what}`);

/** What is to be taken away, the last first, and once. */
const made: (() => Promise<unknown>)[] = [];
let ending: Promise<void> | undefined;
const end = () => {
  ending ??= made.reduceRight((before, remove) => before.then(async () => void (await remove())), Promise.resolve());
  return ending;
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end().finally(() => process.exit(130)));

async function measure(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'bench-bundles-'));
  made.push(() => rm(folder, { recursive: true, force: true }));
  say('bundling the functions');
  const built = await buildAll(folder);
  const bundleOf = (name: string) => built.find((one) => one.name === name)?.bundle ?? '';
  const cluster = await openCluster(process.env.KUBECONFIG_PATH || undefined, delayMs);
  made.push(() => cluster.close());
  const settings = settingsOf(cluster);
  Object.assign(process.env, settings);
  say(`${cluster.description}, namespace ${cluster.namespace}`);

  const handlers = openHandlers(bundleOf);
  const subjects: Subject[] = [openFloor(cluster), handlers];
  const peers: Subject[] = [];
  if (peer !== undefined) {
    say(
      `waiting for ${peer}; start it with K8S_NAMESPACE=${settings.K8S_NAMESPACE} KUBECONFIG_PATH=${settings.KUBECONFIG_PATH}`,
    );
    peers.push(await openPeer(peer));
  }
  const wanted = new Set(operations.filter((one) => only.has(one.replace(/-.*/, ''))));
  const warm: ReadonlySet<Operation> = new Set([...wanted].filter((one) => one !== 'list'));
  if (wanted.size > 0 || only.has('callers')) {
    say('starting serverless-offline');
    const provisioner = await startProvisioner(settings);
    // A terminal's Ctrl-C has ended it by now.
    made.push(() => provisioner.stop().catch(() => {}));
    subjects.push(openProvisioner('through serverless-offline', provisioner.url));
  }
  subjects.push(...peers);

  const { gitVersion } = JSON.parse((await cluster.direct.send('GET', '/version')).text);
  const [node, load] = [process.versions.node, loadavg()[0]?.toFixed(1)];
  console.log(
    `Kubernetes: ${cluster.description} (${gitVersion}); Node ${node}; ${availableParallelism()} cores, load ${load}`,
  );
  console.log('Samples are shown as their median (95th percentile). The floor: the bare calls to Kubernetes.');
  console.log(quick ? 'QUICK: too few samples to go by.\n' : '');
  const delayed = openRawClient(cluster.address);
  const trips: number[] = [];
  for (let start = performance.now(); trips.length < 20; start = performance.now()) {
    await delayed.send('GET', '/version');
    trips.push(performance.now() - start);
  }
  printTable('One round trip, ms', [`through the proxy that adds ${delayMs}`], [[trips]]);

  // Before all else: a namespace that holds nothing disturbs nothing.
  const imports = only.has('bundles') ? await measureImports(cluster, built, coldSamples) : undefined;
  if (only.has('usable')) {
    if (await hasNode(cluster)) await measureUsable(cluster, [openOriginal(cluster), handlers, ...peers], coldSamples);
    else say('no node: how soon a sandbox answers is not measured');
  }
  if (only.has('waiting')) {
    // An embedded one cannot be watched.
    if (process.env.KUBECONFIG_PATH && (await hasNode(cluster)))
      await measureWaiting(cluster, handlers, quick ? 5 : 50, quick ? 1 : 3);
    else say('no node: waiting is not measured');
  }
  if (only.has('gateway')) {
    if (hasNginx && (await hasNode(cluster))) await measureGateway(cluster, handlers, samples);
    else say('no nginx with its JavaScript module, or no node: the gateway is not measured');
  }
  if (warm.size > 0) await measureWarm(cluster, subjects, samples, warm);
  if (only.has('cold')) {
    const all = wanted.size > 0 ? [...wanted] : operations;
    await measureFirst(
      cluster,
      bundleOf,
      coldSamples,
      all.filter((one) => one !== 'create-again'),
    );
  }
  if (only.has('connections')) await measureConnections(cluster, bundleOf('get-sandbox'));
  if (only.has('callers')) await measureCallers(cluster, subjects, quick ? [1, 4] : [1, 16, 64], quick ? 20 : 320);
  if (only.has('cleanup')) await measureCleanUp(cluster, bundleOf('cleanup-sandboxes'), quick ? 20 : 1000);
  await removeSandboxes(cluster.direct, cluster.namespace);
  if (only.has('list')) await measureLists(cluster, [...subjects, openFloor(cluster, 'JSON')], samples, listSizes);
  else if (imports !== undefined) await makeSandboxes(cluster, listSizes.at(-1) ?? 0, { isRunning: true });
  if (imports !== undefined) await measureFunctions(cluster, built, imports);
}

let exitCode = 0;
try {
  await measure();
} catch (error) {
  // What is under way fails as everything is taken away after a signal.
  if (ending === undefined) {
    say(`failed: ${(error as Error).stack}`);
    exitCode = 1;
  }
}
await end();
process.exit(exitCode);
