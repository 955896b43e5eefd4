import type { ListedPod, ListedState } from '../../lib/model/listed.ts';
import type { PodEvent } from '../../lib/model/reasons-by-events.ts';

/** A Pod as Kubernetes 1.20 told of it, so many whole seconds after it was made; its events, newest first, where they were kept. */
export type Seen = {
  seconds: number;
  deletionTimestamp?: Date;
  status: NonNullable<ListedPod['status']>;
  events?: readonly PodEvent[];
};

/** When the Pods were made. */
export const madeAt = new Date('2026-11-25T18:00:00Z');

/** So many seconds later. */
export const at = (seconds: number): Date => new Date(madeAt.getTime() + seconds * 1000);

/** A Pod that is on a node, with its one container. */
function seen(
  seconds: number,
  phase: string,
  state: ListedState,
  rest: { lastState?: ListedState; restartCount?: number; started?: boolean; ready?: boolean } = {},
  events: readonly PodEvent[] = [],
  changedAt = at(0),
): Seen {
  const container = { name: 'sandbox', state, ready: false, started: false, restartCount: 0, ...rest };
  const conditions = [
    { type: 'Ready', status: container.ready ? 'True' : 'False', lastTransitionTime: changedAt },
    { type: 'PodScheduled', status: 'True' },
  ];
  return { seconds, status: { phase, conditions, containerStatuses: [container] }, events };
}

/** A Pod that no node takes, a second after it was made. */
const unscheduled = (message: string): Seen => ({
  seconds: 1,
  status: {
    phase: 'Pending',
    conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }],
  },
});

/** What was seen, cut to what counts; hosts and folders have other names here. */
export const seenPods = {
  'new': { seconds: 1, status: { phase: 'Pending' } },
  'being made': seen(1, 'Pending', { waiting: { reason: 'ContainerCreating' } }),
  'just started': seen(2, 'Running', { running: { startedAt: at(1) } }),
  'answered once': seen(2, 'Running', { running: { startedAt: at(1) } }, { started: true }),
  ready: seen(6, 'Running', { running: { startedAt: at(1) } }, { started: true, ready: true }),
  'no legal image name': seen(2, 'Pending', {
    waiting: {
      reason: 'InvalidImageName',
      message:
        'Failed to apply default image tag "Registry/Sandbox:1": couldn\'t parse image reference "Registry/Sandbox:1": invalid reference format: repository name must be lowercase',
    },
  }),
  'unknown registry': seen(2, 'Pending', {
    waiting: {
      reason: 'ErrImagePull',
      message:
        'rpc error: code = Unknown desc = failed to pull and unpack image "registry.invalid/sandbox:1": failed to resolve reference "registry.invalid/sandbox:1": failed to do request: Head "https://registry.invalid/v2/sandbox/manifests/1": dial tcp: lookup registry.invalid on 10.0.0.10:53: no such host',
    },
  }),
  'unknown registry, later': seen(
    15,
    'Pending',
    { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "registry.invalid/sandbox:1"' } },
    {},
    [
      { reason: 'Pulling', message: 'Pulling image "registry.invalid/sandbox:1"' },
      { reason: 'BackOff', message: 'Back-off pulling image "registry.invalid/sandbox:1"' },
      { reason: 'Failed', message: 'Error: ImagePullBackOff' },
      { reason: 'Failed', message: 'Error: ErrImagePull' },
      {
        reason: 'Failed',
        message:
          'Failed to pull image "registry.invalid/sandbox:1": rpc error: code = Unknown desc = failed to pull and unpack image "registry.invalid/sandbox:1": failed to resolve reference "registry.invalid/sandbox:1": failed to do request: Head "https://registry.invalid/v2/sandbox/manifests/1": dial tcp: lookup registry.invalid on 10.0.0.10:53: no such host',
      },
    ],
  ),
  'absent image': seen(2, 'Pending', {
    waiting: {
      reason: 'ErrImagePull',
      message:
        'rpc error: code = NotFound desc = failed to pull and unpack image "registry.example:5000/absent/sandbox:1": failed to resolve reference "registry.example:5000/absent/sandbox:1": registry.example:5000/absent/sandbox:1: not found',
    },
  }),
  'private image': seen(2, 'Pending', {
    waiting: {
      reason: 'ErrImagePull',
      message:
        'rpc error: code = Unknown desc = failed to pull and unpack image "registry.example:5000/private/sandbox:1": failed to resolve reference "registry.example:5000/private/sandbox:1": pulling from host registry.example:5000 failed with status code [manifests 1]: 401 Unauthorized',
    },
  }),
  'slow pull': seen(25, 'Pending', { waiting: { reason: 'ContainerCreating' } }, {}, [
    { reason: 'Pulling', message: 'Pulling image "registry.example:5000/sandbox:1"' },
  ]),
  'missing folder': seen(25, 'Pending', { waiting: { reason: 'ContainerCreating' } }, {}, [
    {
      reason: 'FailedMount',
      message:
        'MountVolume.SetUp failed for volume "skills" : hostPath type check failed: /srv/skills is not a directory',
    },
  ]),
  'too little CPU': unscheduled('0/1 nodes are available: 1 Insufficient cpu.'),
  'too little memory': unscheduled('0/1 nodes are available: 1 Insufficient memory.'),
  'no such label': unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity."),
  'missing claim': unscheduled('0/1 nodes are available: 1 persistentvolumeclaim "absent" not found.'),
  'unbound claim': unscheduled('0/1 nodes are available: 1 pod has unbound immediate PersistentVolumeClaims.'),
  'unknown runtime': seen(25, 'Pending', { waiting: { reason: 'ContainerCreating' } }, {}, [
    {
      reason: 'FailedCreatePodSandBox',
      message:
        'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "no-such-handler" is configured',
    },
  ]),
  'root under restricted': seen(2, 'Pending', {
    waiting: {
      reason: 'CreateContainerConfigError',
      message:
        'container has runAsNonRoot and image will run as root (pod: "sandbox-root-restricted_deer-flow(1281877d-edc6-485a-ba72-647a00095710)", container: sandbox)',
    },
  }),
  'crashed once': seen(2, 'Running', { terminated: { exitCode: 1, reason: 'Error', finishedAt: at(1) } }),
  'crash loop': seen(
    4,
    'Running',
    {
      waiting: {
        reason: 'CrashLoopBackOff',
        message:
          'back-off 10s restarting failed container=sandbox pod=sandbox-crash_deer-flow(4ffd1951-7b9d-4530-9cfc-effe7e55ba95)',
      },
    },
    { lastState: { terminated: { exitCode: 1, reason: 'Error', finishedAt: at(2) } }, restartCount: 1 },
  ),
  'exits with 0': seen(
    4,
    'Running',
    {
      waiting: {
        reason: 'CrashLoopBackOff',
        message:
          'back-off 10s restarting failed container=sandbox pod=sandbox-exit-0_deer-flow(dc5774e5-b382-4548-85fd-4a8fbea41eb0)',
      },
    },
    { lastState: { terminated: { exitCode: 0, reason: 'Completed', finishedAt: at(2) } }, restartCount: 1 },
  ),
  'unknown command': seen(
    2,
    'Running',
    {
      waiting: {
        reason: 'RunContainerError',
        message:
          'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown',
      },
    },
    { lastState: { terminated: { exitCode: 128, reason: 'StartError', finishedAt: at(2) } } },
  ),
  'unknown command, later': seen(
    4,
    'Running',
    {
      waiting: {
        reason: 'CrashLoopBackOff',
        message:
          'back-off 10s restarting failed container=sandbox pod=sandbox-no-command_deer-flow(c65ee6ea-9bad-45a1-863e-7eb08214b86d)',
      },
    },
    { lastState: { terminated: { exitCode: 128, reason: 'StartError', finishedAt: at(2) } }, restartCount: 1 },
  ),
  'out of memory': seen(
    5,
    'Running',
    {
      waiting: {
        reason: 'CrashLoopBackOff',
        message:
          'back-off 10s restarting failed container=sandbox pod=sandbox-oom_deer-flow(aaa34426-a946-41b1-926a-d175aec36a94)',
      },
    },
    { lastState: { terminated: { exitCode: 137, reason: 'OOMKilled', finishedAt: at(4) } }, restartCount: 1 },
  ),
  'started again': seen(
    3,
    'Running',
    { running: { startedAt: at(3) } },
    { lastState: { terminated: { exitCode: 137, reason: 'OOMKilled', finishedAt: at(2) } }, restartCount: 1 },
  ),
  'out of memory, ended': seen(1, 'Failed', { terminated: { exitCode: 137, reason: 'OOMKilled', finishedAt: at(1) } }),
  'too much disk': {
    seconds: 15,
    status: {
      phase: 'Failed',
      message: 'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ',
      reason: 'Evicted',
    },
  },
  'stopped answering': seen(27, 'Running', { running: { startedAt: at(2) } }, { started: true }, [], at(27)),
  'never answers': seen(40, 'Running', { running: { startedAt: at(2) } }),
  completed: seen(3, 'Succeeded', { terminated: { exitCode: 0, reason: 'Completed', finishedAt: at(2) } }),
  failed: seen(4, 'Failed', { terminated: { exitCode: 3, reason: 'Error', finishedAt: at(3) } }),
  deleted: {
    ...seen(12, 'Running', { running: { startedAt: at(2) } }, { started: true, ready: true }),
    deletionTimestamp: at(42),
  },
} satisfies Record<string, Seen>;
