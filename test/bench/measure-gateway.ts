import { lookup } from 'node:dns/promises';
import http from 'node:http';
import { signToken } from '../../lib/model/address.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway } from '../support/gateway.ts';
import { callHttp } from '../support/http-call.ts';
import type { BenchCluster } from './cluster.ts';
import { newNames } from './sandboxes.ts';
import type { Subject } from './subjects.ts';
import { median, percentile, printTable } from './tables.ts';

/** How many requests a way has in a turn. */
const turn = 20;

/**
 * Asks a sandbox by its NodePort, and through the gateway, which takes the same NodePort: what is between them is the gateway. In turns,
 * by one caller and by four: more would wait for the small server of the tests' own image.
 */
export async function measureGateway(cluster: BenchCluster, { prepare }: Subject, samples: number): Promise<void> {
  const names = newNames();
  const url = new URL(JSON.parse(await prepare('create', names)()).sandbox_url);
  const { address } = await lookup(url.hostname, 4);
  const [key, port] = ['k'.repeat(64), Number(url.port)];
  const token = signToken({ namespace: cluster.namespace, sandboxId: names.sandboxId, port }, 0, key);
  const settings = { K8S_NAMESPACE: cluster.namespace, SANDBOX_CONTAINER_PORT: url.port, SANDBOX_URL_KEY: key };
  const template = 'https://any/{sandbox_id}/{token}';
  const gateway = await startGateway({ ...settings, SANDBOX_URL_TEMPLATE: template }, () => address);
  const ways = [
    ['by the NodePort', `${url.origin}/v1/sandbox`],
    ['through the gateway', `${gateway.url}/${names.sandboxId}/${token}/v1/sandbox`],
  ] as const;
  try {
    const isOpen = () =>
      callHttp({ method: 'GET', url: ways[0][1] }).then(
        ({ status }) => status,
        () => 0,
      );
    await eventually('open: the sandbox', isOpen, (status) => status === 200, 120_000);
    const rows = [];
    for (const callers of [1, 4]) {
      const agent = new http.Agent({ keepAlive: true, maxSockets: callers });
      const taken = ways.map((): number[] => []);
      for (let round = 0; round <= samples; round += 1) {
        for (const [index, [, target]] of ways.entries()) {
          const times = await ask(target, agent, callers);
          // The first of all opens the connections.
          if (round > 0) taken[index]?.push(...times);
        }
      }
      agent.destroy();
      const [direct = [], through = []] = taken;
      rows.push(
        ...ways.map(([name], index) => [
          name,
          callers,
          median(taken[index] ?? []),
          percentile(taken[index] ?? [], 0.99),
        ]),
      );
      const added = [0.5, 0.99].map((share) => percentile(through, share) - percentile(direct, share));
      rows.push(['added', callers, ...added]);
    }
    printTable('A request to a sandbox, ms', ['', 'callers', 'median', '99th percentile'], rows);
  } finally {
    await gateway.stop();
  }
}

async function ask(target: string, agent: http.Agent, callers: number): Promise<number[]> {
  const times: number[] = [];
  let begun = 0;
  const oneCaller = async () => {
    while (begun < turn) {
      begun += 1;
      const start = performance.now();
      await new Promise<void>((resolve, reject) => {
        http
          .get(target, { agent }, (response) => {
            if (response.statusCode !== 200) reject(new Error(`${response.statusCode} of ${new URL(target).host}`));
            response.resume().on('end', resolve).on('error', reject);
          })
          .on('error', reject)
          .setTimeout(10_000, () => reject(new Error('a sandbox has not answered in 10 s')));
      });
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: callers }, oneCaller));
  return times;
}
