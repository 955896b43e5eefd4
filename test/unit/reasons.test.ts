import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ListedPod } from '../../lib/model/listed.ts';
import { canBecomeReady, findReadiness, type Readiness, type Reason } from '../../lib/model/reasons.ts';
import { type PodEvent, refineByEvents } from '../../lib/model/reasons-by-events.ts';
import { at, madeAt, type Seen, seenPods } from './reasons-fixtures.ts';

const service = { metadata: { uid: 'this-service' } };

const podOf = ({ status, deletionTimestamp }: Pick<Seen, 'status' | 'deletionTimestamp'>): ListedPod => ({
  metadata: { creationTimestamp: madeAt, ...(deletionTimestamp && { deletionTimestamp }) },
  status,
});

/** The reason and the message as one line, which a caller may see. */
function tell(readiness: Readiness): string {
  if (readiness.ready) return 'ready';
  const { reason, message } = readiness;
  expect(message).toMatch(/^[A-Z][\w ,.:;()'-]{1,198}\.$/);
  expect(message).not.toMatch(/\d\.\d|node-1|deer-flow|registry\.|absent|no-such|containerd/);
  return `${reason}: ${message}`;
}

const again = 'The next create brings one, behind the same address.';
const making = 'ContainerCreating: Its image is being pulled, or its folders are being mounted.';
const makingForLong =
  'ContainerCreating: Its container is not made yet: its image is large, or a folder or claim that it mounts is missing.';
const restarted = 'CrashLoopBackOff: Its process ends and is started again';
const starting = 'Starting: Its process runs and does not answer yet.';
const unready = 'Unready: Its process runs and does not answer. If that lasts, it is started again.';
const outOfMemory = 'it wanted more memory than it may have (OOMKilled)';

describe('a sandbox whose Pod Kubernetes tells of', () => {
  it.each<[keyof typeof seenPods, byStatus: string, byEvents?: string]>([
    ['new', 'Scheduling: It waits for a node.'],
    ['too little CPU', 'Scheduling: No node takes it. They lack: CPU.'],
    ['too little memory', 'Scheduling: No node takes it. They lack: memory.'],
    ['no such label', 'Scheduling: No node takes it. They lack: a label that it asks for.'],
    ['missing claim', 'Scheduling: No node takes it. They lack: the volume of a claim.'],
    ['unbound claim', 'Scheduling: No node takes it. They lack: the volume of a claim.'],
    ['being made', making],
    ['slow pull', makingForLong, 'PullingImage: Its image is being pulled.'],
    [
      'missing folder',
      makingForLong,
      "FailedMount: The volume 'skills' cannot be mounted: its folder is not on the node.",
    ],
    [
      'unknown runtime',
      makingForLong,
      'FailedCreatePodSandBox: Its node cannot set up its network, or does not have its runtime class.',
    ],
    ['no legal image name', 'InvalidImageName: The name of its image is no legal one.'],
    ['unknown registry', 'ImagePullBackOff: Its image cannot be pulled: its registry does not answer.'],
    [
      'unknown registry, later',
      'ImagePullBackOff: Its image cannot be pulled.',
      'ImagePullBackOff: Its image cannot be pulled: its registry does not answer.',
    ],
    ['absent image', 'ImagePullBackOff: Its image cannot be pulled: its registry does not have it.'],
    ['private image', 'ImagePullBackOff: Its image cannot be pulled: its registry refuses it without a login.'],
    [
      'root under restricted',
      'CreateContainerConfigError: Its container cannot be made: its image runs as root, which is forbidden.',
    ],
    ['just started', starting],
    ['answered once', starting],
    ['never answers', starting],
    ['started again', `${starting} The one before ended: ${outOfMemory}.`],
    ['ready', 'ready'],
    ['stopped answering', unready],
    ['crashed once', `${restarted} (restarts: 0): exit code 1.`],
    ['crash loop', `${restarted} (restarts: 1): exit code 1.`],
    ['exits with 0', `${restarted} (restarts: 1): exit code 0.`],
    ['unknown command', `${restarted} (restarts: 0): its command cannot be run (StartError).`],
    ['unknown command, later', `${restarted} (restarts: 1): its command cannot be run (StartError).`],
    ['out of memory', `${restarted} (restarts: 1): ${outOfMemory}.`],
    ['out of memory, ended', `Error: Its Pod has ended: ${outOfMemory}. ${again}`],
    ['too much disk', `Evicted: Its Pod was evicted: it wrote more to the disk than it may. ${again}`],
    ['completed', `Completed: Its Pod has ended: exit code 0. ${again}`],
    ['failed', `Error: Its Pod has ended: exit code 3. ${again}`],
    ['deleted', `Terminating: Its Pod is being removed. ${again}`],
  ])('%s', (name, byStatus, byEvents = byStatus) => {
    const seen: Seen = seenPods[name];
    const now = at(seen.seconds);
    const readiness = findReadiness(service, podOf(seen), now);
    expect(tell(readiness)).toBe(byStatus);
    expect(tell(refineByEvents(readiness, seen.events ?? []))).toBe(byEvents);
  });

  // Of the source and the documentation of Kubernetes: not made to happen on a cluster.
  const { status: ready } = seenPods.ready;
  const [container] = ready.containerStatuses ?? [];
  const notReady = { type: 'Ready', status: 'False' };
  const waiting = (reason: string, name = 'sandbox') => ({ name, state: { waiting: { reason } } });
  const ended = (reason: string, message = '') => ({ phase: 'Failed', reason, message });
  it.each<[string, Seen['status'], string]>([
    [
      'whose node is lost',
      { ...ready, conditions: [notReady] },
      'Unready: Its node has stopped reporting, or a readiness gate of the cluster is not passed.',
    ],
    ['without a startup probe', { containerStatuses: [{ ...container, ready: false }] }, unready],
    [
      "that waits for a webhook's container",
      { containerStatuses: [{ ...container }, waiting('ErrImagePull', 'proxy')] },
      'ImagePullBackOff: Its image cannot be pulled. This is a container that the cluster put beside it.',
    ],
    [
      'that the runtime cannot make',
      { containerStatuses: [waiting('PreCreateHookError')] },
      'CreateContainerError: Its node cannot make its container.',
    ],
    [
      'that lacks all there is',
      unscheduled(
        '0/9 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Insufficient ephemeral-storage, 1 Too many pods, ' +
          '1 node(s) had volume node affinity conflict, 2 node(s) had untolerated taint {a: b}, 1 node(s) were unschedulable. ' +
          'preemption: 0/9 nodes are available',
      ),
      'Scheduling: No node takes it. They lack: CPU, memory, disk, room for another Pod, a way to its volume, the will to take it (taints).',
    ],
    ['that the scheduler cannot judge', unscheduled('boom', 'SchedulerError'), 'Scheduling: It waits for a node.'],
    [
      'whose node ran out of memory',
      ended('Evicted', 'The node was low on resource: memory. Container sandbox was using 1Gi.'),
      `Evicted: Its Pod was evicted: its node ran out of memory. ${again}`,
    ],
    ['whose node was shut down', ended('NodeShutdown'), `Error: Its Pod has ended: NodeShutdown. ${again}`],
    ['that somebody declared ended', ended(''), `Error: Its Pod has ended: nobody knows why. ${again}`],
  ])('or may tell of: one %s', (_what, status, expected) => {
    expect(tell(findReadiness(service, podOf({ status }), at(70)))).toBe(expected);
  });

  function unscheduled(message: string, reason = 'Unschedulable'): Seen['status'] {
    return { conditions: [{ type: 'PodScheduled', status: 'False', reason, message }] };
  }

  it.each<[string, PodEvent[], string]>([
    ['nothing yet', [], makingForLong],
    // After two minutes the kubelet says this last.
    [
      'a mount that the kubelet gave up',
      [
        { reason: 'FailedMount', message: 'Unable to attach or mount volumes: unmounted volumes=[skills]: timed out' },
        ...(seenPods['missing folder'].events ?? []),
      ],
      "FailedMount: The volume 'skills' cannot be mounted: its folder is not on the node.",
    ],
    [
      'a volume that the cluster names',
      [{ reason: 'FailedAttachVolume', message: 'Multi-Attach error for volume "pvc-1" Volume is already used' }],
      'FailedMount: A volume cannot be mounted: another node has it.',
    ],
    [
      'a pull after a mount came about',
      [...(seenPods['slow pull'].events ?? []), ...(seenPods['missing folder'].events ?? [])],
      'PullingImage: Its image is being pulled.',
    ],
  ])('is being made for long, and its events tell of %s', (_what, events, expected) => {
    const pod = podOf(seenPods['slow pull']);
    expect(tell(refineByEvents(findReadiness(service, pod, at(130)), events))).toBe(expected);
  });
});

it.each<[string, Parameters<typeof findReadiness>[0], ListedPod | undefined, string]>([
  ['has no Pod', service, undefined, `NoPod: It has no Pod. ${again}`],
  [
    "has another Service's Pod",
    service,
    { ...podOf(seenPods.ready), metadata: { ownerReferences: [{ uid: 'gone' }] } },
    `NoPod: It has no Pod. ${again}`,
  ],
  [
    'is being removed',
    { metadata: { deletionTimestamp: at(0) } },
    podOf(seenPods.ready),
    'Terminating: It is being removed.',
  ],
])('a sandbox that %s is not ready', (_what, itsService, pod, expected) => {
  expect(tell(findReadiness(itsService, pod, at(60)))).toBe(expected);
});

it('has a row on the page for each reason, and some are not worth to be waited for', () => {
  /** Whether it can become ready as it is. */
  const each: Record<Reason, boolean> = {
    NoPod: false,
    Terminating: false,
    Scheduling: true,
    ContainerCreating: true,
    PullingImage: true,
    FailedMount: true,
    FailedCreatePodSandBox: true,
    InvalidImageName: false,
    ImagePullBackOff: true,
    CreateContainerConfigError: true,
    CreateContainerError: true,
    Starting: true,
    Unready: true,
    CrashLoopBackOff: true,
    Evicted: false,
    Error: false,
    Completed: false,
  };
  const page = readFileSync(new URL('../../docs/troubleshooting.md', import.meta.url), 'utf8');
  const [, section = ''] = page.split('\n## Why a sandbox is not ready\n');
  const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason);
  expect(rows.toSorted()).toEqual(Object.keys(each).toSorted());
  expect(Object.fromEntries(rows.map((reason) => [reason, canBecomeReady(reason as Reason)]))).toEqual(each);
});
