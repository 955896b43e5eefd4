import { defaultWidth } from '../../lib/cleanup/sweep.ts';
import { scheduledEvent } from '../support/events.ts';
import { type BenchCluster, inParallel, removeSandboxes } from './cluster.ts';
import { pathsOf } from './floor.ts';
import { runFresh } from './measure-cold.ts';
import { openRawClient } from './raw-client.ts';
import { makeSandboxes } from './sandboxes.ts';
import { printTable } from './tables.ts';

/** One clean-up of so many expired sandboxes, beside the same lists and deletions as bare calls. */
export async function measureCleanUp(cluster: BenchCluster, cleanUp: string, expired: number): Promise<void> {
  await removeSandboxes(cluster.direct, cluster.namespace);
  const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000);
  await makeSandboxes(cluster, expired, { at: twoDaysAgo });
  const before = await cluster.connections();
  const { answer, calls, peakBytes } = await runFresh(cluster, cleanUp, [scheduledEvent()]);
  const connections = (await cluster.connections()) - before;
  const { deleted } = answer as { deleted?: { expired?: number } };
  if (deleted?.expired !== expired) throw new Error(`the clean-up removed ${JSON.stringify(answer)}, not ${expired}`);

  await makeSandboxes(cluster, expired, { at: twoDaysAgo });
  const client = openRawClient(cluster.address);
  const start = performance.now();
  const { pods, services } = pathsOf(cluster.namespace, '');
  await client.readList(pods);
  type List = { items: { metadata: { name: string; uid: string; resourceVersion: string } }[] };
  const { items }: List = JSON.parse((await client.send('GET', services)).text);
  await inParallel(defaultWidth, items, async ({ metadata: { name, uid, resourceVersion } }) => {
    await client.send('DELETE', `${services}/${name}`, JSON.stringify({ preconditions: { uid, resourceVersion } }));
    await client.send('DELETE', `${pods}/${name.replace(/-svc$/, '')}`, undefined, 404);
  });
  const floorMs = performance.now() - start;
  client.close();
  const row = [expired, floorMs / 1000, (calls[0] as number) / 1000, connections, peakBytes / 1e6];
  printTable('Clean-up', ['expired', 'floor, s', 'function, s', 'connections', 'most memory, MB'], [row]);
}
