import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';

import type { BenchCluster } from './cluster.ts';
import { pathsOf } from './floor.ts';
import { type Names, newNames, removeThese } from './sandboxes.ts';
import type { Subject } from './subjects.ts';
import { type Cell, median, percentile, printTable } from './tables.ts';

/** Waits for a sandbox that is made: by `wait_seconds`, or by a watch of its one Pod, which is what that could be made of instead. */
const ways = ['wait_seconds', 'a watch for each'] as const;

/** Makes so many sandboxes at once, each with a caller who waits for it to be ready. */
export async function measureWaiting(
  cluster: BenchCluster,
  { prepare }: Pick<Subject, 'prepare'>,
  callers: number,
  rounds: number,
): Promise<void> {
  const rows: Cell[][] = [];
  for (const way of ways) {
    const all = { delays: [] as number[], calls: [] as number[], cpu: [] as number[], ready: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      const sample = await waitForMany(cluster, prepare, way, callers);
      all.delays.push(...sample.delays);
      all.ready.push(...sample.ready);
      all.calls.push(sample.callsASecond);
      if (sample.cpu !== undefined) all.cpu.push(sample.cpu);
    }
    rows.push([way, all.ready, all.delays, percentile(all.delays, 1), median(all.calls), median(all.cpu)]);
  }
  const what = `${callers} callers at once that wait for their new sandboxes`;
  const head = [
    '',
    'ready after, ms',
    'answered after that, ms',
    'at most',
    'looks a second',
    "API server's CPU, cores",
  ];
  printTable(what, head, rows);
}

async function waitForMany(
  cluster: BenchCluster,
  prepare: Subject['prepare'],
  way: (typeof ways)[number],
  callers: number,
) {
  const { pods } = pathsOf(cluster.namespace, '');
  const readyAt = new Map<string, number>();
  const all = await watchReady(cluster, pods, (name) => readyAt.set(name, readyAt.get(name) ?? performance.now()));
  let looks = 0;
  const count = (message: unknown) => {
    const { method, path } = (message as { request: http.ClientRequest }).request;
    if (method === 'GET' && path.startsWith(pods)) looks += 1;
  };
  diagnostics.subscribe('http.client.request.start', count);
  const made = Array.from({ length: callers }, newNames);
  const cpuBefore = await readCpu(cluster);
  const start = performance.now();
  const answeredAt = await Promise.all(
    made.map(async (names) => {
      // Anew each time: what is prepared has the time of one invocation.
      const create = () => prepare('create', { ...names, ...(way === 'wait_seconds' && { waitSeconds: 20 }) })();
      let { ready } = JSON.parse(await create());
      // So many Pods take a node longer than a caller may wait at once.
      while (!ready && way === 'wait_seconds') ({ ready } = JSON.parse(await create()));
      if (!ready) await untilReady(cluster, names);
      return performance.now();
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const cpuAfter = await readCpu(cluster);
  diagnostics.unsubscribe('http.client.request.start', count);
  all.end();
  await removeThese(cluster.direct, cluster.namespace, made);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const seen = made.flatMap(({ sandboxId }, index) => {
    const ready = readyAt.get(`sandbox-${sandboxId}`);
    return ready === undefined ? [] : [{ ready, answered: answeredAt[index] as number }];
  });
  if (seen.length < made.length) console.error(`bench: ${made.length - seen.length} sandboxes did not become ready`);
  return {
    ready: seen.map(({ ready }) => ready - start),
    delays: seen.map(({ ready, answered }) => answered - ready),
    callsASecond: looks / seconds,
    cpu: cpuBefore === undefined || cpuAfter === undefined ? undefined : (cpuAfter - cpuBefore) / seconds,
  };
}

async function untilReady(cluster: BenchCluster, { sandboxId }: Names): Promise<void> {
  const { pods, pod } = pathsOf(cluster.namespace, sandboxId);
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const watch = await watchReady(cluster, `${pods}?fieldSelector=metadata.name%3D${pod.split('/').at(-1)}`, resolve);
  await promise;
  watch.end();
}

/** Watches these Pods, on a connection of its own, and tells each time that one is seen ready. */
async function watchReady({ address }: BenchCluster, pods: string, onReady: (name: string) => void) {
  const url = new URL(address.url);
  const path = `${url.pathname.replace(/\/$/, '')}${pods}${pods.includes('?') ? '&' : '?'}watch=1`;
  const { get } = url.protocol === 'https:' ? https : http;
  const begun = Promise.withResolvers<http.IncomingMessage>();
  const options = { ...address.tls, agent: false, host: url.hostname, port: url.port, path, headers: address.headers };
  const request = get(options, begun.resolve).on('error', begun.reject);
  const answer = await begun.promise;
  if (answer.statusCode !== 200) throw new Error(`watch: ${answer.statusCode}`);
  const lines = createInterface(answer).on('error', () => {});
  lines.on('line', (line) => {
    const { object } = JSON.parse(line);
    const conditions: { type: string; status: string }[] = object.status?.conditions ?? [];
    if (conditions.some(({ type, status }) => type === 'Ready' && status === 'True')) onReady(object.metadata.name);
  });
  return { end: () => request.destroy() };
}

/** The CPU time that the API server has had, in seconds; undefined where it does not tell. */
async function readCpu({ direct }: BenchCluster): Promise<number | undefined> {
  const { text } = await direct.send('GET', '/metrics', undefined, 404);
  const [, seconds] = /^process_cpu_seconds_total (\S+)$/m.exec(text) ?? [];
  return seconds === undefined ? undefined : Number(seconds);
}
