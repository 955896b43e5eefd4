import { randomInt } from 'node:crypto';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { log } from '../../lib/log.ts';
import { runChaos } from '../support/chaos-run.ts';
import { isEmbeddedCluster, openTestCluster, type TestCluster } from '../support/cluster.ts';

// On the embedded Kubernetes each run is the same, so that a change is judged by itself; on a real one each is another.
// CHAOS_SEED replays a run, CHAOS_STEPS makes it longer; a long run takes some 30 ms a step, more on a real cluster.
const seed = Number(process.env.CHAOS_SEED || (isEmbeddedCluster ? 1 : randomInt(1_000_000)));
const steps = Number(process.env.CHAOS_STEPS || 300);

let cluster: TestCluster;

beforeAll(async () => {
  // Thousands of operations fail here on purpose.
  log.setLogLevel('SILENT');
  cluster = await openTestCluster();
});

afterAll(() => cluster.close(), 120_000);

/** What a run that is worth anything has seen at least, in so many steps: about a third of what it usually does. */
const leastSteps = 300;
const least = {
  kinds: {
    'create ok': 30,
    'create conflict': 1,
    'renew ok': 6,
    'get ok': 6,
    'list ok': 2,
    'destroy ok': 3,
    'clean-up ok': 25,
    'pass ok': 3,
  },
  deleted: { expired: 6, 'service-without-pod': 1 },
  kept: { 'in-use': 20, 'used-meanwhile': 6, 'fresh-orphan': 1 },
  faults: { 'cut-before': 3, 'cut-after': 5, answer: 5, delay: 20, 'time-out': 1, held: 15 },
};

function expectAtLeast(counts: Record<string, number>, wanted: Record<string, number>): void {
  const missing = Object.entries(wanted).filter(([what, number]) => (counts[what] ?? 0) < number);
  expect(missing, JSON.stringify(counts)).toEqual([]);
}

it(
  `leaks nothing and loses nothing that lives: ${steps} steps of seed ${seed}, every tenth call failing`,
  async () => {
    const report = await runChaos(cluster, seed, steps);
    console.info(`chaos: seed ${seed}`, JSON.stringify(report));
    expect(report.steps).toBeGreaterThanOrEqual(steps);
    if (steps < leastSteps) return;
    // A run in which nothing fails, or nothing is done, proves nothing.
    expect(report.settled).toBeGreaterThanOrEqual(Math.floor(steps / 150));
    const failed = ['cut-before', 'cut-after', 'answer', 'delay-answer', 'delay'].map(
      (kind) => report.faults[kind] ?? 0,
    );
    const rate = failed.reduce((sum, number) => sum + number, 0) / report.calls;
    expect(rate).toBeGreaterThan(0.07);
    expect(rate).toBeLessThan(0.25);
    expectAtLeast(report.kinds, least.kinds);
    expectAtLeast(report.deleted, least.deleted);
    expectAtLeast(report.kept, least.kept);
    expectAtLeast(report.faults, least.faults);
    expect(report.adopted).toBeGreaterThanOrEqual(3);
  },
  60_000 + steps * 500,
);
