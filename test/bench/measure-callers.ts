import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

import { type BenchCluster, inParallel, removeSandboxes } from './cluster.ts';
import { newNames } from './sandboxes.ts';
import { median, round } from './statistics.ts';
import type { Subject, SubjectName } from './subjects.ts';

/** How many sandboxes a number of callers makes in a second, and how much of the machine each part took for it, in cores. */
export type Throughput = {
  callers: number;
  perSecond: Partial<Record<SubjectName, number>>;
  cores: Partial<Record<SubjectName, Cores>>;
};

/** CPU time for each second, in cores; unknown where the API server is elsewhere. */
type Cores = { apiServer: number | undefined; etcd: number | undefined; bench: number; machine: number };

/** Creates with so many callers at a time, each subject in turn, three rounds; the middle one counts. */
export async function measureCallers(
  cluster: BenchCluster,
  subjects: readonly Subject[],
  callers: readonly number[],
  creates: number,
): Promise<Throughput[]> {
  const found: Throughput[] = [];
  const pids = findApiServer(cluster.localPort);
  for (const width of callers) {
    const rates = new Map<SubjectName, { perSecond: number; cores: Cores }[]>();
    for (let turn = 0; turn < 3; turn += 1) {
      for (const index of subjects.keys()) {
        const subject = subjects[(index + turn) % subjects.length] as Subject;
        // One caller alone needs no more to show its rate, and takes long.
        const count = width === 1 ? Math.ceil(creates / 8) : creates;
        const names = Array.from({ length: count }, newNames);
        const before = readCpu(pids);
        const start = performance.now();
        await inParallel(width, names, (names) => subject.prepare('create', names)());
        const seconds = (performance.now() - start) / 1000;
        const cores = compareCpu(before, readCpu(pids), seconds);
        rates.set(subject.name, [...(rates.get(subject.name) ?? []), { perSecond: count / seconds, cores }]);
        await removeSandboxes(cluster.direct, cluster.namespace);
      }
    }
    const middle = [...rates].map(([name, runs]) => {
      const perSecond = median(runs.map((run) => run.perSecond));
      return [name, runs.find((run) => run.perSecond === perSecond) ?? runs[0]] as const;
    });
    found.push({
      callers: width,
      perSecond: Object.fromEntries(middle.map(([name, run]) => [name, round(run?.perSecond ?? 0)])),
      cores: Object.fromEntries(middle.map(([name, run]) => [name, run?.cores])),
    });
  }
  return found;
}

type Pids = { apiServer: number | undefined; etcd: number | undefined };

/** The processes of an API server on this machine that listens on the port, and of its etcd. */
function findApiServer(port: number | undefined): Pids {
  const none = { apiServer: undefined, etcd: undefined };
  if (port === undefined || process.platform !== 'linux') return none;
  const processes = readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      return [{ pid: Number(pid), words: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') }];
    } catch {
      return [];
    }
  });
  const find = (program: string, ...words: string[]) =>
    processes.find((one) => one.words[0]?.endsWith(program) && words.every((word) => one.words.includes(word)));
  const apiServer = find('kube-apiserver', `--secure-port=${port}`);
  const etcdAt = apiServer?.words.find((word) => word.startsWith('--etcd-servers='))?.slice('--etcd-servers='.length);
  const etcd = etcdAt === undefined ? undefined : find('etcd', '--listen-client-urls', etcdAt);
  return { apiServer: apiServer?.pid, etcd: etcd?.pid };
}

type Cpu = { apiServer: number | undefined; etcd: number | undefined; bench: number; machine: number };

/** CPU seconds used so far. */
function readCpu(pids: Pids): Cpu {
  const { user, system } = process.cpuUsage();
  return {
    apiServer: pids.apiServer && readProcess(pids.apiServer),
    etcd: pids.etcd && readProcess(pids.etcd),
    bench: (user + system) / 1e6,
    machine: process.platform === 'linux' ? readMachine() : 0,
  };
}

const ticks = process.platform === 'linux' ? Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) : 100;

function readProcess(pid: number): number {
  // The program's name, in brackets, may have spaces in it.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

function readMachine(): number {
  // "cpu", then user, nice, system, idle, iowait, irq, softirq; what others took of a virtual machine is not in them.
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softIrq) / ticks;
}

function compareCpu(before: Cpu, after: Cpu, seconds: number): Cores {
  const share = (one: number | undefined, other: number | undefined) =>
    one === undefined || other === undefined ? undefined : round((other - one) / seconds);
  return {
    apiServer: share(before.apiServer, after.apiServer),
    etcd: share(before.etcd, after.etcd),
    bench: round((after.bench - before.bench) / seconds),
    machine: round((after.machine - before.machine) / seconds),
  };
}
