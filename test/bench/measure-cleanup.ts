import { scheduledEvent } from '../support/events.ts';
import type { Built } from './build.ts';
import { type BenchCluster, inParallel, removeSandboxes } from './cluster.ts';
import { pathsOf } from './floor.ts';
import { runFresh } from './measure-cold.ts';
import { openRawClient } from './raw-client.ts';
import { makeSandboxes, twoDaysAgo } from './sandboxes.ts';
import { round } from './statistics.ts';

/** How long it took to remove so many expired sandboxes, in milliseconds, and over how many connections. */
export type CleanUpTimes = {
  expired: number;
  functionMs: number;
  floorMs: number;
  connections: number;
  peakRss: number;
};

/** One clean-up of expired sandboxes, beside the same lists and deletions as bare calls. */
export async function measureCleanUp(
  cluster: BenchCluster,
  cleanUp: Built,
  expired: number,
  width: number,
): Promise<CleanUpTimes> {
  await removeSandboxes(cluster.direct, cluster.namespace);
  await makeSandboxes(cluster, expired, { at: twoDaysAgo() });
  const before = await cluster.traffic();
  const run = await runFresh(cluster, cleanUp, [scheduledEvent()], {
    LOG_LEVEL: 'INFO',
  });
  const after = await cluster.traffic();
  const { deleted } = run.report as { deleted: { expired?: number } };
  if (deleted.expired !== expired)
    throw new Error(`the clean-up removed ${JSON.stringify(run.report)}, not ${expired}`);

  await makeSandboxes(cluster, expired, { at: twoDaysAgo() });
  const client = openRawClient(cluster.address);
  const start = performance.now();
  const { pods, services } = pathsOf(cluster.namespace, '');
  await listPages(client.require, pods);
  const found = (await listPages(client.require, services)).map(({ metadata }) => metadata);
  await inParallel(width, found, async ({ name, uid, resourceVersion }) => {
    await client.require('DELETE', `${services}/${name}`, JSON.stringify({ preconditions: { uid, resourceVersion } }));
    await client.require('DELETE', `${pods}/${name.replace(/-svc$/, '')}`, undefined, 404);
  });
  const floorMs = performance.now() - start;
  client.close();
  return {
    expired,
    functionMs: round(run.calls[0] as number),
    floorMs: round(floorMs),
    connections: after.connections - before.connections,
    peakRss: run.peakRss,
  };
}

type Item = { metadata: { name: string; uid: string; resourceVersion: string } };

async function listPages(
  get: (method: string, path: string) => Promise<{ text: string }>,
  path: string,
): Promise<Item[]> {
  const items: Item[] = [];
  const query = '?labelSelector=app%3Ddeer-flow-sandbox&limit=500';
  for (let next = ''; ; ) {
    const page = JSON.parse((await get('GET', path + query + next)).text);
    items.push(...page.items);
    if (!page.metadata.continue) return items;
    next = `&continue=${encodeURIComponent(page.metadata.continue)}`;
  }
}
