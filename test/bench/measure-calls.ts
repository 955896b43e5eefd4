import { subscribe, unsubscribe } from 'node:diagnostics_channel';

import { type BenchCluster, removeSandboxes } from './cluster.ts';
import type { Operation } from './floor.ts';
import { makeSandboxes, type Names, newNames, removeThese } from './sandboxes.ts';
import { type Spread, spread } from './statistics.ts';
import { openJsonFloor, type Subject, type SubjectName } from './subjects.ts';

/** The times of one operation, and what CPU time of this process went into it, both in milliseconds, a subject each. */
export type Timed = {
  operation: string;
  times: Partial<Record<SubjectName, Spread>>;
  cpu: Partial<Record<SubjectName, Spread>>;
};

/** What one warm call of an operation costs on the network; `calls` is unknown for what runs in another process. */
export type Cost = {
  operation: Operation;
  subject: SubjectName;
  calls: number | undefined;
  bytesSent: number;
  bytesReceived: number;
};

/** One sandbox's life, in this order. The last but one needs a sandbox that another process made. */
const lifecycle = ['create', 'create-again', 'get', 'renew', 'delete'] as const satisfies Operation[];

type Sample = { ms: number; cpuMs: number };

async function take(call: () => Promise<unknown>): Promise<Sample> {
  const before = process.cpuUsage();
  const start = performance.now();
  await call();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return { ms, cpuMs: (user + system) / 1000 };
}

/** A round for each sample, in which every subject has its turn, another one first each time: what disturbs one disturbs all. */
async function inTurns(
  subjects: readonly Subject[],
  samples: number,
  turn: (subject: Subject, isWarm: boolean) => Promise<void>,
) {
  const warmUps = Math.min(3, samples);
  for (let sample = 0; sample < samples + warmUps; sample += 1) {
    for (const index of subjects.keys()) {
      const subject = subjects[(index + sample) % subjects.length] as Subject;
      await turn(subject, sample >= warmUps);
    }
  }
}

function createLog() {
  const log = new Map<string, Map<SubjectName, Sample[]>>();
  return {
    add(operation: string, subject: SubjectName, sample: Sample) {
      const samples = log.get(operation) ?? new Map<SubjectName, Sample[]>();
      log.set(operation, samples.set(subject, [...(samples.get(subject) ?? []), sample]));
    },
    read: (): Timed[] =>
      [...log].map(([operation, bySubject]) => {
        const read = (field: keyof Sample) =>
          Object.fromEntries([...bySubject].map(([name, all]) => [name, spread(all.map((sample) => sample[field]))]));
        return { operation, times: read('ms'), cpu: read('cpuMs') };
      }),
  };
}

/** Every operation on one sandbox, warm. A whole life is measured where any part of it is wanted. */
export async function measureWarm(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  samples: number,
  wanted: ReadonlySet<Operation>,
): Promise<Timed[]> {
  const log = createLog();
  await inTurns(subjects, samples, async (subject, isWarm) => {
    const names = newNames();
    for (const operation of lifecycle) {
      if (subject.lacks.has(operation)) continue;
      const sample = await take(subject.prepare(operation, names));
      if (isWarm && wanted.has(operation)) log.add(operation, subject.name, sample);
    }
    if (!wanted.has('create-elsewhere')) return;
    const made = await makeSandboxes(cluster, 1);
    const sample = await take(subject.prepare('create-elsewhere', made[0] as Names));
    if (isWarm) log.add('create-elsewhere', subject.name, sample);
    await removeThese(cluster.direct, cluster.namespace, made);
  });
  return log.read();
}

/** The list, as the namespace fills up to each of these numbers with sandboxes that run. They stay. */
export async function measureLists(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  samples: number,
  sizes: readonly number[],
): Promise<Timed[]> {
  await removeSandboxes(cluster.direct, cluster.namespace);
  const log = createLog();
  const json = openJsonFloor(cluster);
  const [floor, ...others] = subjects as [Subject, ...Subject[]];
  let there = 0;
  for (const size of sizes) {
    await makeSandboxes(cluster, size - there, { isRunning: true });
    there = size;
    // A list of thousands takes long enough to need fewer of them.
    const rounds = size > 500 ? Math.min(samples, 12) : samples;
    await inTurns([floor, json, ...others], rounds, async (subject, isWarm) => {
      const sample = await take(subject.prepare('list', newNames()));
      if (isWarm) log.add(`list of ${size}`, subject.name, sample);
    });
  }
  json.close();
  return log.read();
}

/** What each operation sends and receives, once, warm: on a namespace that has ten sandboxes. */
export async function measureCosts(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  wanted: ReadonlySet<Operation>,
): Promise<Cost[]> {
  const others = await makeSandboxes(cluster, 10);
  const costs: Cost[] = [];
  const all = [...lifecycle, 'list'] as const;
  for (const subject of subjects) {
    // A handshake is no part of a warm call.
    const first = newNames();
    for (const operation of all) await subject.prepare(operation, first)();
    const names = newNames();
    for (const operation of all) {
      const call = subject.prepare(operation, names);
      const before = await cluster.traffic();
      const calls = await countRequests(call);
      const after = await cluster.traffic();
      if (!wanted.has(operation)) continue;
      costs.push({
        operation,
        subject: subject.name,
        calls: subject.name === 'http' ? undefined : calls,
        bytesSent: after.bytesSent - before.bytesSent,
        bytesReceived: after.bytesReceived - before.bytesReceived,
      });
    }
  }
  await removeThese(cluster.direct, cluster.namespace, others);
  return costs;
}

/** How many HTTP requests this process begins meanwhile. */
async function countRequests(call: () => Promise<unknown>): Promise<number> {
  let requests = 0;
  const count = () => {
    requests += 1;
  };
  subscribe('http.client.request.start', count);
  try {
    await call();
  } finally {
    unsubscribe('http.client.request.start', count);
  }
  return requests;
}
