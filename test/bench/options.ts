import { parseArgs } from 'node:util';

/** What can be measured, each alone by `--only`. */
export const topics = [
  'usable',
  'create',
  'get',
  'renew',
  'delete',
  'list',
  'cold',
  'callers',
  'cleanup',
  'connections',
  'bundles',
] as const;

export type Topic = (typeof topics)[number];

/** What the bench is asked to do. */
export type Options = Readonly<{
  topics: ReadonlySet<Topic>;
  quick: boolean;
  /** What the proxy adds to each round trip, in milliseconds. */
  delayMs: number;
  /** How often each call is made warm; cold ones, which cost a process each, a third of it. */
  samples: number;
  callers: readonly number[];
  /** How many creates a number of callers shares. */
  creates: number;
  listSizes: readonly number[];
  /** How many expired sandboxes one clean-up removes. */
  expired: number;
  json: string;
  peer: URL | undefined;
  peerKey: string | undefined;
}>;

export const usage = `npm run bench -- [options]
Measures the functions beside the bare calls to Kubernetes, on the cluster that KUBECONFIG_PATH names, in a namespace of its own
that it removes; without KUBECONFIG_PATH, on the embedded Kubernetes. Best is a control plane without nodes, on an idle machine;
but 'usable', how soon a sandbox answers, needs a node that is on this machine, and SANDBOX_IMAGE, SKILLS_HOST_PATH and
THREADS_HOST_PATH that are good there.
  --delay MS        what is added to each round trip to Kubernetes (10)
  --samples N       calls of each kind (30; 5 with --quick)
  --callers LIST    creates a second with so many callers (1,16,64)
  --only LIST       of ${topics.join(', ')}
  --quick           few samples, short lists: to see that it works, not to measure
  --json FILE       where the figures go (.bench/latest.json)
  --peer URL        another provisioner with the same calls, measured over HTTP beside this one: start it with the namespace and
                    the kubeconfig that are printed, the bench waits for it
  --peer-key KEY    sent to it as X-API-Key`;

/** Reads the command line. Throws an error that says what is wrong with it; undefined if help is asked for. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      delay: { type: 'string', default: '10' },
      samples: { type: 'string' },
      callers: { type: 'string' },
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string', default: '.bench/latest.json' },
      peer: { type: 'string' },
      'peer-key': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { quick } = values;
  if (values['peer-key'] !== undefined && values.peer === undefined) throw new Error('--peer-key needs --peer');
  return {
    quick,
    topics: new Set(values.only === undefined ? topics : values.only.split(',').map(readTopic)),
    delayMs: readNumber('--delay', values.delay, 0, 1000),
    samples: readNumber('--samples', values.samples ?? (quick ? '5' : '30'), 1, 1000),
    callers: (values.callers ?? (quick ? '1,4' : '1,16,64'))
      .split(',')
      .map((text) => readNumber('--callers', text, 1, 256)),
    creates: quick ? 20 : 320,
    // A cluster has 2768 NodePorts; some are left for what is made beside the lists.
    listSizes: quick ? [10, 50] : [10, 100, 1000, 2700],
    expired: quick ? 20 : 1000,
    json: readText('--json', values.json),
    peer: values.peer === undefined ? undefined : readUrl(values.peer),
    peerKey: values['peer-key'],
  };
}

function readTopic(text: string): Topic {
  const found = topics.find((topic) => topic === text);
  if (found === undefined) throw new Error(`--only: '${text}' is none of ${topics.join(', ')}`);
  return found;
}

function readNumber(name: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new Error(`${name}: '${text}' is no whole number from ${least} to ${most}`);
}

function readText(name: string, text: string): string {
  if (text === '') throw new Error(`${name} is empty`);
  return text;
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new Error(`--peer: '${text}' is no http or https address`);
}
