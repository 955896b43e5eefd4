import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { Context } from 'aws-lambda';
import { runScheduled } from '../../lib/cleanup/schedule.ts';
import { type CleanupReport, cleanUpSandboxes } from '../../lib/cleanup/sweep.ts';
import { loadConfig } from '../../lib/config/index.ts';
import { functionFile } from './bundles.ts';
import { openKubernetes } from './open-kubernetes.ts';
import type { World } from './world.ts';

/** Where to clean up, and through which proxy. */
export type Place = Pick<World, 'proxy' | 'namespace'>;

/** What became of one clean-up. */
export interface CleanupRun {
  readonly exitCode: number | null;
  /** As it was logged, which a run that fails does too; undefined where it came to none. */
  readonly report: CleanupReport | undefined;
  readonly output: string;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Runs the clean-up once as its schedule does, in this process, through the world's proxy; with these settings beside its own. */
export async function cleanUp(world: Place, settings: Record<string, string> = {}): Promise<CleanupRun> {
  const config = loadConfig({
    KUBECONFIG_PATH: world.proxy.kubeconfig,
    KUBECONFIG_WAIT_SECONDS: '0',
    K8S_NAMESPACE: world.namespace,
    ...settings,
  });
  let report: CleanupReport | undefined;
  const handler = runScheduled(async (invocation) => {
    const kubernetes = await openKubernetes(config, invocation.signal);
    report = await cleanUpSandboxes({ ...invocation, config, kubernetes });
    return report;
  });
  try {
    await handler({}, { awsRequestId: randomUUID() } as Context);
    return { exitCode: 0, report, output: JSON.stringify(report) };
  } catch (error) {
    return { exitCode: 1, report, output: String(error) };
  }
}

/** Runs the clean-up once as `npm run cleanup` does, in a process of its own. */
export async function cleanUpByHand(world: Place, settings: Record<string, string> = {}): Promise<CleanupRun> {
  const command = ['lib/tools/invoke.ts', functionFile('cleanup-sandboxes')];
  const child = spawn(process.execPath, command, {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH,
      KUBECONFIG_PATH: world.proxy.kubeconfig,
      KUBECONFIG_WAIT_SECONDS: '0',
      K8S_NAMESPACE: world.namespace,
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output += text;
    });
  }
  await once(child, 'close');
  const logged = output.split('\n').findLast((line) => line.includes('"report":'));
  return {
    exitCode: child.exitCode,
    report: logged === undefined ? undefined : (JSON.parse(logged).report as CleanupReport),
    output,
  };
}

/** A report with these numbers, and nothing else done. */
export const aReport = (numbers: Partial<CleanupReport>): CleanupReport => ({
  examined: 0,
  deleted: {},
  kept: {},
  adopted: 0,
  failed: {},
  remaining: 0,
  dryRun: false,
  ...numbers,
});

/** The annotations of an object that was last used that many seconds ago, with its own time where one is given. */
export const usedAgo = (seconds: number, ttlSeconds?: number): Record<string, string> => ({
  'sandbox-provisioner/last-used-at': new Date(Date.now() - seconds * 1000).toISOString(),
  ...(ttlSeconds !== undefined && { 'sandbox-provisioner/ttl-seconds': String(ttlSeconds) }),
});

/** Makes a sandbox look as if it had been used last that many seconds ago. */
export async function makeUnused(world: World, sandboxId: string, seconds: number, ttlSeconds?: number): Promise<void> {
  const annotations = usedAgo(seconds, ttlSeconds);
  await world.kubernetes.patch('services', `sandbox-${sandboxId}-svc`, { metadata: { annotations } });
}

/** Something that waits until it is let go. */
export function latch(): { readonly hold: Promise<void>; release(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { hold: promise, release: resolve };
}
