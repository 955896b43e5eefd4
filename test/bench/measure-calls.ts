import { type BenchCluster, inParallel, removeSandboxes } from './cluster.ts';
import type { Operation } from './floor.ts';
import { makeSandboxes, type Names, newNames, removeThese } from './sandboxes.ts';
import type { Subject } from './subjects.ts';
import { type Cell, median, printTable, showOver } from './tables.ts';

/** One sandbox's life, in this order. */
const lifecycle = ['create', 'create-again', 'get', 'renew', 'delete'] as const satisfies Operation[];

/** Milliseconds, by what was measured, and by subject. */
type Log = Map<string, Map<string, number[]>>;

async function take(log: Log, row: string, subject: Subject, operation: Operation, names: Names): Promise<void> {
  const call = subject.prepare(operation, names);
  const start = performance.now();
  await call();
  const ms = performance.now() - start;
  const bySubject = log.get(row) ?? new Map<string, number[]>();
  log.set(row, bySubject.set(subject.name, [...(bySubject.get(subject.name) ?? []), ms]));
}

/** A round for each sample, in which every subject has its turn, another one first each time: what disturbs one disturbs all. */
export async function inTurns<S>(
  subjects: readonly S[],
  rounds: number,
  turn: (subject: S, round: number) => Promise<void>,
) {
  for (let round = 0; round < rounds; round += 1) {
    for (const index of subjects.keys()) await turn(subjects[(index + round) % subjects.length] as S, round);
  }
}

/** So many rounds are made before those that count. */
const warmUps = 3;

function printLog(title: string, log: Log, subjects: readonly Subject[]): void {
  const names = subjects.map(({ name }) => name);
  const rows = [...log].map(([row, samples]): Cell[] => {
    const [floor = [], handler = [], ...others] = names.map((name) => samples.get(name) ?? []);
    return [row, floor, handler, showOver(handler, floor), ...others];
  });
  printTable(title, ['', ...names.slice(0, 2), 'over the floor', ...names.slice(2)], rows);
}

/** The wanted operations on one sandbox, warm; it is created and deleted in any case. */
export async function measureWarm(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  samples: number,
  wanted: ReadonlySet<Operation>,
): Promise<void> {
  const [log, unwanted]: [Log, Log] = [new Map(), new Map()];
  const led = lifecycle.filter((one) => wanted.has(one) || one === 'create' || one === 'delete');
  await inTurns(subjects, samples + warmUps, async (subject, round) => {
    const logFor = (operation: Operation) => (round >= warmUps && wanted.has(operation) ? log : unwanted);
    const names = newNames();
    for (const operation of led) await take(logFor(operation), operation, subject, operation, names);
    if (!wanted.has('create-elsewhere')) return;
    const made = await makeSandboxes(cluster, 1);
    await take(logFor('create-elsewhere'), 'create-elsewhere', subject, 'create-elsewhere', made[0] as Names);
    await removeThese(cluster.direct, cluster.namespace, made);
  });
  printLog('Calls, ms', log, subjects);
}

/** The list, as the namespace fills up to each of these numbers with sandboxes that run. They stay. */
export async function measureLists(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  samples: number,
  sizes: readonly number[],
): Promise<void> {
  const [log, warm]: [Log, Log] = [new Map(), new Map()];
  let there = 0;
  for (const size of sizes) {
    await makeSandboxes(cluster, size - there, { isRunning: true });
    there = size;
    // A list of thousands takes long enough to need fewer of them.
    await inTurns(subjects, (size > 500 ? Math.min(samples, 12) : samples) + warmUps, (subject, round) =>
      take(round < warmUps ? warm : log, `list of ${size}`, subject, 'list', newNames()),
    );
  }
  printLog('Lists, ms', log, subjects);
}

/** How many sandboxes so many callers make in a second; of three rounds, the middle one counts. */
export async function measureCallers(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  widths: readonly number[],
  creates: number,
): Promise<void> {
  const rows: Cell[][] = [];
  for (const width of widths) {
    const rates = new Map(subjects.map(({ name }) => [name, [] as number[]]));
    await inTurns(subjects, 3, async (subject) => {
      // One caller alone needs no more to show its rate, and takes long.
      const names = Array.from({ length: width === 1 ? Math.ceil(creates / 8) : creates }, newNames);
      const start = performance.now();
      await inParallel(width, names, (names) => subject.prepare('create', names)());
      rates.get(subject.name)?.push((names.length / (performance.now() - start)) * 1000);
      await removeSandboxes(cluster.direct, cluster.namespace);
    });
    rows.push([width, ...[...rates.values()].map(median)]);
  }
  printTable('Creates a second', ['callers', ...subjects.map(({ name }) => name)], rows);
}
