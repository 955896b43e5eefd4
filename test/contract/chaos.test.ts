import { afterAll, beforeAll, expect, it } from 'vitest';

import { log } from '../../lib/log.ts';
import { runChaos } from '../support/chaos-run.ts';
import { openTestCluster, removeNamespace, type TestCluster } from '../support/cluster.ts';
import { openKubernetesClient } from '../support/kubernetes-client.ts';

// CHAOS_SEED replays a run, CHAOS_STEPS makes it longer; a long run takes some 30 ms a step, more on a real cluster.
const seed = Number(process.env.CHAOS_SEED || Math.floor(Math.random() * 1_000_000));
const steps = Number(process.env.CHAOS_STEPS || 300);

let cluster: TestCluster;

beforeAll(async () => {
  // Thousands of operations fail here on purpose.
  log.setLogLevel('SILENT');
  cluster = await openTestCluster();
});

afterAll(async () => {
  // The run has a second namespace, beside that of the tests.
  await removeNamespace(openKubernetesClient(cluster.address, `${cluster.namespace}b`));
  await cluster.close();
}, 120_000);

it(
  `leaks nothing and loses nothing that lives: ${steps} steps of seed ${seed}, every tenth call failing`,
  async () => {
    const report = await runChaos(cluster, seed, steps);
    console.info(`chaos: seed ${seed}`, JSON.stringify(report));
    expect(report.steps).toBeGreaterThanOrEqual(steps);
  },
  60_000 + steps * 500,
);
