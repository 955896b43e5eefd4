import { randomBytes } from 'node:crypto';

import { type Config, loadConfig } from '../../lib/config/index.ts';
import { buildPod, buildService } from '../../lib/model/manifests.ts';
import { type BenchCluster, inParallel } from './cluster.ts';
import { type Bodies, ownerPlaceholder, pathsOf, withOwner } from './floor.ts';
import type { RawClient } from './raw-client.ts';

/** A sandbox that is measured with, and for how long its create waits for it. */
export type Names = { sandboxId: string; threadId: string; waitSeconds?: number };

export function newNames(): Names {
  const id = randomBytes(8).toString('hex');
  return { sandboxId: id, threadId: `thread-${id}` };
}

/** The settings of every provisioner that the bench starts. Where Pods are to run, the environment says what runs there. */
export const settingsOf = ({ namespace, kubeconfigPath }: BenchCluster) => ({
  K8S_NAMESPACE: namespace,
  KUBECONFIG_PATH: kubeconfigPath,
  SANDBOX_IMAGE: process.env.SANDBOX_IMAGE ?? 'sandbox.example/all-in-one:1',
  SKILLS_HOST_PATH: process.env.SKILLS_HOST_PATH ?? '/skills',
  THREADS_HOST_PATH: process.env.THREADS_HOST_PATH ?? '/threads',
  NODE_HOST: process.env.NODE_HOST ?? '127.0.0.1',
  LOG_LEVEL: 'WARN',
  AUTH: 'off',
});

/** What the functions send to Kubernetes for this sandbox. */
export function bodiesOf(names: Names, config: Config, at = new Date()): Bodies {
  const request = { ...names, ttlSeconds: undefined };
  const use = { at, requestId: randomBytes(16).toString('hex'), ttlSeconds: config.sandboxTtlSeconds };
  const service = buildService(request, use, config.namespace, config);
  const owner = { metadata: { ...service.metadata, uid: ownerPlaceholder } };
  return {
    service: JSON.stringify(service),
    pod: JSON.stringify(buildPod(request, owner, config)),
    use: JSON.stringify([
      { op: 'test', path: '/metadata/labels/app', value: 'deer-flow-sandbox' },
      { op: 'test', path: '/metadata/labels/sandbox-id', value: names.sandboxId },
      { op: 'test', path: '/metadata/deletionTimestamp', value: null },
      { op: 'test', path: '/metadata/annotations/sandbox-provisioner~1thread-id', value: names.threadId },
      { op: 'add', path: '/metadata/annotations/sandbox-provisioner~1last-used-at', value: at.toISOString() },
      { op: 'add', path: '/metadata/annotations/sandbox-provisioner~1last-used-by', value: use.requestId },
    ]),
  };
}

/** The configuration that the functions read out of these settings. */
export const configOf = (cluster: BenchCluster): Config => loadConfig(settingsOf(cluster));

/**
 * Makes sandboxes past the functions and without the delay, as another process would have; their Pods no scheduler takes.
 * Where they are to look as running, they get the status that a kubelet would write, and with it the size.
 */
export async function makeSandboxes(
  cluster: BenchCluster,
  count: number,
  { at, isRunning }: { at?: Date; isRunning?: boolean } = {},
): Promise<Names[]> {
  const config = configOf(cluster);
  const made = Array.from({ length: count }, newNames);
  await inParallel(16, made, async (names) => {
    const paths = pathsOf(cluster.namespace, names.sandboxId);
    const { service, pod } = bodiesOf(names, config, at);
    const answer = await cluster.direct.send('POST', paths.services, service);
    await cluster.direct.send('POST', paths.pods, unscheduled(withOwner(pod, answer.text)));
    if (isRunning) await cluster.direct.send('PATCH', `${paths.pod}/status`, runningStatus);
  });
  return made;
}

/** Nobody reads the name of a scheduler that is not there, so Kubernetes has nothing to do with the Pod. */
function unscheduled(pod: string): string {
  const { spec, ...others } = JSON.parse(pod);
  return JSON.stringify({ ...others, spec: { ...spec, schedulerName: 'none', nodeSelector: { 'no-such': 'node' } } });
}

const startedAt = '2026-11-22T12:00:00Z';

/** What the kubelet of a node reports of a sandbox that runs. */
const runningStatus = JSON.stringify({
  status: {
    phase: 'Running',
    hostIP: '10.0.1.17',
    podIP: '10.244.0.17',
    podIPs: [{ ip: '10.244.0.17' }],
    startTime: startedAt,
    conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => {
      return { type, status: 'True', lastProbeTime: null, lastTransitionTime: startedAt };
    }),
    containerStatuses: [
      {
        name: 'sandbox',
        ready: true,
        started: true,
        restartCount: 0,
        lastState: {},
        state: { running: { startedAt } },
        image: 'sandbox.example/all-in-one:1',
        imageID: `sandbox.example/all-in-one@sha256:${'0'.repeat(64)}`,
        containerID: `containerd://${'0'.repeat(64)}`,
      },
    ],
  },
});

/** Removes these sandboxes, past the functions and without the delay. */
export async function removeThese(client: RawClient, namespace: string, sandboxes: readonly Names[]): Promise<void> {
  await inParallel(16, sandboxes, async ({ sandboxId }) => {
    const { service, pod } = pathsOf(namespace, sandboxId);
    await client.send('DELETE', service, undefined, 404);
    await client.send('DELETE', pod, '{"gracePeriodSeconds":0}', 404);
  });
}
