import { callHttp } from '../support/http-call.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { originalPod, originalService } from '../support/original.ts';
import type { BenchCluster } from './cluster.ts';
import { pathsOf } from './floor.ts';
import { openRawClient } from './raw-client.ts';
import { type Names, newNames, removeThese, settingsOf } from './sandboxes.ts';
import { type Spread, spread } from './statistics.ts';
import type { Subject, SubjectName } from './subjects.ts';

/** How long it takes from a create until each of these, in milliseconds. */
export type Usable = {
  subject: SubjectName;
  /** Its answer. */
  answered: Spread;
  /** The Pod's status says that its container runs: what no provisioner can hasten. */
  started: Spread;
  /** The first 200 of `sandbox_url` + `/v1/sandbox`. */
  usable: Spread;
};

type Sample = { answered: number; started: number; usable: number };

/** How often is looked, and how long the cluster rests between two: kube-proxy writes its rules once a second, removed ones too. */
const [lookMs, restMs] = [20, 3_000];

/** The original's objects, made in the original's order. */
export function openOriginal(cluster: BenchCluster): Pick<Subject, 'name' | 'prepare'> {
  const client = openRawClient(cluster.address);
  const settings = settingsOf(cluster);
  return {
    name: 'original',
    prepare: (_operation, names) => async () => {
      const { pods, services } = pathsOf(cluster.namespace, names.sandboxId);
      await client.require('POST', pods, JSON.stringify(originalPod(names, settings)));
      const made = JSON.parse((await client.require('POST', services, JSON.stringify(originalService(names)))).text);
      return JSON.stringify({ sandbox_url: `http://${settings.NODE_HOST}:${made.spec.ports[0].nodePort}` });
    },
  };
}

/** Whether a Pod can run here: an embedded Kubernetes has a node that it does not tell of. */
export async function hasNode(cluster: BenchCluster): Promise<boolean> {
  const { status, text } = await cluster.direct.require('GET', '/api/v1/nodes', undefined, 404);
  return status === 404 || (JSON.parse(text).items as unknown[]).length > 0;
}

/** Makes one sandbox after the other, and waits for each until it answers; who comes first changes with every round. */
export async function measureUsable(
  cluster: BenchCluster,
  subjects: readonly Pick<Subject, 'name' | 'prepare'>[],
  samples: number,
): Promise<Usable[]> {
  const log = new Map(subjects.map(({ name }) => [name, [] as Sample[]]));
  // The first of all fetches the image, and fills caches.
  for (let round = 0; round < samples + 1; round += 1) {
    for (const index of subjects.keys()) {
      const { name, prepare } = subjects[(index + round) % subjects.length] as Subject;
      const names = newNames();
      const sample = await makeOne(cluster, prepare('create', names), names);
      if (round > 0) log.get(name)?.push(sample);
    }
  }
  return [...log].map(([subject, all]) => {
    const of = (field: keyof Sample) => spread(all.map((sample) => sample[field]));
    return { subject, answered: of('answered'), started: of('started'), usable: of('usable') };
  });
}

async function makeOne(cluster: BenchCluster, create: () => Promise<string>, names: Names): Promise<Sample> {
  const paths = pathsOf(cluster.namespace, names.sandboxId);
  const start = performance.now();
  const url = JSON.parse(await create()).sandbox_url;
  const answered = performance.now() - start;
  const [started, usable] = await Promise.all([
    timeUntil(start, async () => isStarted(JSON.parse((await cluster.direct.require('GET', paths.pod)).text))),
    timeUntil(start, beginLooks(`${url}/v1/sandbox`)),
  ]);
  await removeThese(cluster.direct, cluster.namespace, [names]);
  await timeUntil(start, async () => (await cluster.direct.require('GET', paths.pod, undefined, 404)).status === 404);
  await new Promise((resolve) => setTimeout(resolve, restMs));
  return { answered, started, usable };
}

const isStarted = ({ status }: KubernetesObject): boolean =>
  status.containerStatuses?.[0]?.state?.running !== undefined;

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
