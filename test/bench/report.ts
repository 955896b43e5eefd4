import type { Throughput } from './measure-callers.ts';
import type { Cost, Timed } from './measure-calls.ts';
import type { CleanUpTimes } from './measure-cleanup.ts';
import type { Cold, Connections, Footprint } from './measure-cold.ts';
import type { Usable } from './measure-usable.ts';
import type { Options } from './options.ts';
import { round, type Spread } from './statistics.ts';

/** Everything that one run found; what was not asked for is not there. Written as JSON as it is. */
export type Report = {
  at: string;
  node: string;
  /** Of this machine; the load is that of the minute before the bench, and should be far below the cores. */
  cores: number;
  load: number;
  cluster: string;
  version: string;
  delayMs: number;
  /** What one round trip takes, in milliseconds: without the proxy, and through it. */
  roundTrip: { directMs: number; delayedMs: number };
  quick: boolean;
  usable?: Usable[];
  warm?: Timed[];
  lists?: Timed[];
  costs?: Cost[];
  cold?: Cold[];
  callers?: Throughput[];
  cleanUp?: CleanUpTimes;
  connections?: Connections[];
  footprints?: Footprint[];
};

type Row = readonly (string | number | undefined)[];

/** The report as Markdown tables. Milliseconds are medians, with the 95th percentile in brackets. */
export function formatReport(report: Report, { peer }: Pick<Options, 'peer'>): string {
  const { roundTrip } = report;
  const parts = [
    `Kubernetes: ${report.cluster} (${report.version}); Node ${report.node}; ${report.cores} cores, load ${report.load}; ${report.at}`,
    `One round trip: ${round(roundTrip.delayedMs)} ms through the proxy that adds ${report.delayMs}, ${round(roundTrip.directMs)} ms without it.`,
    'Milliseconds: median (95th percentile). floor: the bare calls. over: the handler, bundled and called in its process, less the floor. CPU: of this process, floor / handler.',
  ];
  if (report.quick) parts.push('QUICK: too few samples to go by.');
  const subjects = ['floor', 'handler', 'http', ...(peer ? (['peer'] as const) : [])] as const;
  const timing = ({ operation, times, cpu }: Timed, names: readonly (keyof Timed['times'])[]): Row => [
    operation,
    ...names.slice(0, 1).map((name) => show(times[name])),
    ...names.slice(1, 2).map((name) => show(times[name])),
    over(times.handler, times.floor),
    `${cpu.floor?.median} / ${cpu.handler?.median}`,
    ...names.slice(2).map((name) => show(times[name])),
  ];
  const add = (title: string, head: Row, rows: readonly Row[] | undefined) => {
    if (rows !== undefined && rows.length > 0) parts.push(`## ${title}\n\n${formatTable(head, rows)}`);
  };
  const original = report.usable?.find(({ subject }) => subject === 'original');
  add(
    'From a create until the sandbox answers',
    ['', 'answer of the create', 'container started', 'first 200', 'times as fast as the original'],
    report.usable?.map(({ subject, answered, started, usable }) => [
      subject,
      show(answered),
      show(started),
      show(usable),
      original && round(original.usable.median / usable.median),
    ]),
  );
  add(
    'Warm',
    ['', 'floor', 'handler', 'over', 'CPU', ...subjects.slice(2)],
    report.warm?.map((row) => timing(row, subjects)),
  );
  add(
    'Lists',
    ['', 'floor', 'handler', 'over', 'CPU', ...subjects.slice(2), 'floor, as JSON, parsed'],
    report.lists?.map((row) => timing(row, [...subjects, 'json'])),
  );
  add(
    'Cold: the first request of a new process',
    ['', 'import', 'first', 'second', 'floor, first', 'floor, second', 'over, first', 'over, second'],
    report.cold?.map(({ operation, importMs, first, second, floorFirst, floorSecond }) => [
      operation,
      show(importMs),
      show(first),
      show(second),
      show(floorFirst),
      show(floorSecond),
      over(first, floorFirst),
      over(second, floorSecond),
    ]),
  );
  add(
    'What one warm call asks of Kubernetes (list: of 10)',
    ['', 'subject', 'calls', 'bytes sent', 'bytes received'],
    report.costs?.map((cost) => [cost.operation, cost.subject, cost.calls, cost.bytesSent, cost.bytesReceived]),
  );
  add(
    'Creates a second (in brackets, cores: API server + etcd / this process / the whole machine)',
    ['callers', ...subjects],
    report.callers?.map(({ callers, perSecond, cores }) => [
      callers,
      ...subjects.map((name) => {
        const used = cores[name];
        if (perSecond[name] === undefined || used === undefined) return undefined;
        const server = used.apiServer === undefined ? '?' : round(used.apiServer + (used.etcd ?? 0));
        return `${perSecond[name]} (${server} / ${used.bench} / ${used.machine})`;
      }),
    ]),
  );
  const { cleanUp } = report;
  add(
    'Clean-up',
    ['', 'floor', 'function', 'connections', 'most memory, MB'],
    cleanUp && [
      [
        `of ${cleanUp.expired} expired`,
        cleanUp.floorMs,
        cleanUp.functionMs,
        cleanUp.connections,
        megabytes(cleanUp.peakRss),
      ],
    ],
  );
  add(
    'Connections',
    ['function', 'requests in a row', 'connections'],
    report.connections?.map(({ name, requests, connections }) => [name, requests, connections]),
  );
  add(
    'Functions (KB, ms, MB; memory in a 256 MB function, after its operation beside the longest list)',
    ['', 'import', 'plain', 'size', 'plain', 'gzip', 'plain', 'zip', 'RSS loaded', 'RSS', 'most', 'heap', 'answer'],
    report.footprints?.map((one) => [
      one.name,
      one.importMs,
      one.plain?.importMs,
      kilobytes(one.bytes),
      kilobytes(one.plain?.bytes),
      kilobytes(one.gzipBytes),
      kilobytes(one.plain?.gzipBytes),
      kilobytes(one.zipBytes),
      megabytes(one.importedRss),
      megabytes(one.rss),
      megabytes(one.peakRss),
      megabytes(one.heapUsed),
      kilobytes(one.answerBytes),
    ]),
  );
  return parts.join('\n\n');
}

const show = (spread: Spread | undefined): string | undefined => spread && `${spread.median} (${spread.p95})`;

function over(subject: Spread | undefined, floor: Spread | undefined): string | undefined {
  if (subject === undefined || floor === undefined) return undefined;
  const ms = round(subject.median - floor.median);
  return `${ms} = ${Math.round((ms / floor.median) * 100)} %`;
}

const kilobytes = (bytes: number | undefined): number | undefined => bytes && Math.round(bytes / 1000);
const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;

/** A Markdown table whose columns are as wide as they need to be. */
export function formatTable(head: Row, rows: readonly Row[]): string {
  const lines = [head, ...rows].map((row) => head.map((_, column) => String(row[column] ?? '')));
  const widths = head.map((_, column) => Math.max(3, ...lines.map((line) => line[column]?.length ?? 0)));
  const format = (line: readonly string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [first = [], ...others] = lines;
  return [format(first), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...others.map(format)].join(
    '\n',
  );
}
