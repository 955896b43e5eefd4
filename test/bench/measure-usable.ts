import { callHttp } from '../support/http-call.ts';
import type { BenchCluster } from './cluster.ts';
import { pathsOf } from './floor.ts';
import { inTurns } from './measure-calls.ts';
import { type Names, newNames, removeThese } from './sandboxes.ts';
import type { Subject } from './subjects.ts';
import { printTable } from './tables.ts';

/** How often is looked, and how long the cluster rests between two: kube-proxy writes its rules once a second, removed ones too. */
const [lookMs, restMs] = [20, 3_000];

/** Whether a Pod can run here: an embedded Kubernetes has a node that it does not tell of. */
export async function hasNode(cluster: BenchCluster): Promise<boolean> {
  const { status, text } = await cluster.direct.send('GET', '/api/v1/nodes', undefined, 404);
  return status === 404 || (JSON.parse(text).items as unknown[]).length > 0;
}

/** Makes one sandbox after the other, and waits for each until its container has started and its URL answers. */
export async function measureUsable(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  samples: number,
): Promise<void> {
  const log = new Map(subjects.map(({ name }) => [name, [] as [number, number, number][]]));
  await inTurns(subjects, samples + 1, async ({ name, prepare }, round) => {
    const names = newNames();
    const sample = await makeOne(cluster, prepare('create', names), names);
    // The first of all fetches the image, and fills caches.
    if (round > 0) log.get(name)?.push(sample);
  });
  const rows = [...log].map(([name, all]) => [
    name,
    ...[0, 1, 2].map((index) => all.map((sample) => sample[index] as number)),
  ]);
  printTable('Until a sandbox answers, ms', ['', 'answer of the create', 'container has started', 'first 200'], rows);
}

async function makeOne(
  cluster: BenchCluster,
  create: () => Promise<string>,
  names: Names,
): Promise<[number, number, number]> {
  const { pod } = pathsOf(cluster.namespace, names.sandboxId);
  const start = performance.now();
  const url = JSON.parse(await create()).sandbox_url;
  const answered = performance.now() - start;
  const readPod = async () => JSON.parse((await cluster.direct.send('GET', pod)).text);
  const [started, usable] = await Promise.all([
    timeUntil(start, async () => (await readPod()).status.containerStatuses?.[0]?.state?.running !== undefined),
    timeUntil(start, beginLooks(`${url}/v1/sandbox`)),
  ]);
  await removeThese(cluster.direct, cluster.namespace, [names]);
  await timeUntil(start, async () => (await cluster.direct.send('GET', pod, undefined, 404)).status === 404);
  await new Promise((resolve) => setTimeout(resolve, restMs));
  return [answered, started, usable];
}

/**
 * Begins a look at each call, and says whether one has seen a 200 by now. None waits for another: a connection that is made while
 * kube-proxy writes its rules hangs, where others a moment later are answered.
 */
function beginLooks(url: string): () => Promise<boolean> {
  let hasAnswered = false;
  return async () => {
    callHttp({ method: 'GET', url, timeoutMs: 2_000 }).then(
      ({ status }) => {
        hasAnswered ||= status === 200;
      },
      () => {},
    );
    return hasAnswered;
  };
}

/** Looks until it is so, two minutes at most, and gives the time since `start`. */
async function timeUntil(start: number, look: () => Promise<boolean>): Promise<number> {
  while (!(await look())) {
    if (performance.now() - start > 120_000) throw new Error('a sandbox is not usable after two minutes');
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  return performance.now() - start;
}
