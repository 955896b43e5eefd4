import type { ListedPod, ListedService } from './listed.ts';
import { containerName } from './names.ts';
import { isOwnedByAnother } from './ownership.ts';

/** Why a sandbox is not ready, in Kubernetes' own word where it has one. `docs/troubleshooting.md` has a row for each. */
export type Reason =
  | 'NoPod'
  | 'Terminating'
  | 'Scheduling'
  | 'ContainerCreating'
  // Only events tell these three from `ContainerCreating`: see `reasons-by-events`.
  | 'PullingImage'
  | 'FailedMount'
  | 'FailedCreatePodSandBox'
  | 'InvalidImageName'
  | 'ImagePullBackOff'
  | 'CreateContainerConfigError'
  | 'CreateContainerError'
  | 'Starting'
  | 'Unready'
  | 'CrashLoopBackOff'
  | 'Evicted'
  | 'Error'
  | 'Completed';

/**
 * Whether a sandbox is ready, and if not, why. Callers see the message, so its words are ours, at most 200 characters: it names no
 * node, image, claim, host, path or address.
 */
export type Readiness = { ready: true } | NotReady;
type NotReady = { ready: false; reason: Reason; message: string };

/**
 * For these, a sandbox does not become ready as it is: only the next create brings it a Pod, or another name of an image. With all else
 * Kubernetes goes on by itself: it pulls and starts again after some time, and a node, a folder, a registry may come back.
 */
const lasting: ReadonlySet<Reason> = new Set([
  'NoPod',
  'Terminating',
  'InvalidImageName',
  'Evicted',
  'Error',
  'Completed',
]);

/** Whether a sandbox that is not ready for this reason can become so without another create. */
export const canBecomeReady = (reason: Reason): boolean => !lasting.has(reason);

type PodStatus = NonNullable<ListedPod['status']>;
type Condition = NonNullable<PodStatus['conditions']>[number];
type ContainerStatus = NonNullable<PodStatus['containerStatuses']>[number];

/** Makes one. */
export const notReady = (reason: Reason, message: string): NotReady => ({ ready: false, reason, message });

const nextCreate = 'The next create brings one, behind the same address.';

/**
 * Whether the sandbox of this Service is ready: its Pod stays, and Kubernetes says that it is ready. It costs no call: a container that
 * is not made yet is `ContainerCreating`, whatever holds it up.
 */
export function findReadiness(service: ListedService, pod: ListedPod | undefined, now: Date): Readiness {
  if (service.metadata?.deletionTimestamp !== undefined) return notReady('Terminating', 'It is being removed.');
  if (pod === undefined || isOwnedByAnother(pod, service)) return notReady('NoPod', `It has no Pod. ${nextCreate}`);
  const { deletionTimestamp, creationTimestamp } = pod.metadata ?? {};
  if (deletionTimestamp !== undefined) return notReady('Terminating', `Its Pod is being removed. ${nextCreate}`);
  const { status = {} } = pod;
  if (status.phase === 'Failed' || status.phase === 'Succeeded') return describeEnd(status);
  const { conditions = [], containerStatuses = [] } = status;
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return { ready: true };
  const scheduled = conditions.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status !== 'True' && containerStatuses.length === 0) return describeScheduling(scheduled);
  const unready = containerStatuses.filter((one) => !one.ready);
  const container = unready.find(({ name }) => name === containerName) ?? unready[0];
  if (container === undefined && containerStatuses.length > 0) {
    return notReady('Unready', 'Its node has stopped reporting, or a readiness gate of the cluster is not passed.');
  }
  const found =
    describeCrash(container) ??
    describeRunning(container, ready, now) ??
    describeWaiting(container, creationTimestamp, now);
  if (container === undefined || container.name === containerName) return found;
  return { ...found, message: `${found.message} This is a container that the cluster put beside it.` };
}

/** Patterns of what Kubernetes says, and what it means. */
export type Meanings = readonly (readonly [pattern: RegExp, meaning: string])[];

/** What a text means by the first pattern that it has, behind a colon; nothing where it has none. */
export function explain(meanings: Meanings, text = ''): string {
  const found = meanings.find(([pattern]) => pattern.test(text));
  return found === undefined ? '' : `: ${found[1]}`;
}

/** What nodes lack, as the scheduler says it: all that apply. */
const lacks: Meanings = [
  [/Insufficient cpu/, 'CPU'],
  [/Insufficient memory/, 'memory'],
  [/Insufficient ephemeral-storage/, 'disk'],
  [/Too many pods/, 'room for another Pod'],
  [/persistentvolumeclaim/i, 'the volume of a claim'],
  [/volume node affinity|max volume count/, 'a way to its volume'],
  [/match (Pod's )?node (affinity|selector)/, 'a label that it asks for'],
  [/taint|unschedulable/, 'the will to take it (taints)'],
];

/** Why no node has taken a Pod, by its condition, or by an event. */
export function describeScheduling(scheduled: Condition | undefined): NotReady {
  if (scheduled?.reason !== 'Unschedulable') return notReady('Scheduling', 'It waits for a node.');
  const lacking = lacks.flatMap(([pattern, what]) => (pattern.test(scheduled.message ?? '') ? [what] : []));
  return notReady('Scheduling', `No node takes it${lacking.length === 0 ? '' : `. They lack: ${lacking.join(', ')}`}.`);
}

/** Of a container that has ended and is started again, or cannot be: Kubernetes waits longer each time. */
function describeCrash(container: ContainerStatus | undefined): NotReady | undefined {
  const { state, lastState, restartCount = 0 } = container ?? {};
  const { reason = '' } = state?.waiting ?? {};
  const isRestarting = reason === 'CrashLoopBackOff' || reason === 'RunContainerError';
  if (!isRestarting && state?.terminated === undefined) return undefined;
  const exit = describeExit(state?.terminated ?? lastState?.terminated);
  return notReady('CrashLoopBackOff', `Its process ends and is started again (restarts: ${restartCount}): ${exit}.`);
}

/** How a process ended. Kubernetes' message may be the process' own words. */
function describeExit({ reason = '', exitCode }: { reason?: string; exitCode?: number } = {}): string {
  if (reason === 'OOMKilled') return 'it wanted more memory than it may have (OOMKilled)';
  if (reason === 'StartError' || reason === 'ContainerCannotRun') return `its command cannot be run (${reason})`;
  return exitCode === undefined ? 'nobody knows why' : `exit code ${exitCode}`;
}

/** After how many seconds a process that never answered is no longer one that starts, where nothing waits for its start. */
const startingSeconds = 60;

/** Of a container that runs. */
function describeRunning(
  container: ContainerStatus | undefined,
  ready: Condition | undefined,
  now: Date,
): NotReady | undefined {
  const { state, lastState, started } = container ?? {};
  if (state?.running === undefined) return undefined;
  const { startedAt = now } = state.running;
  // The startup probe has been answered. Where the Pod was ready since the start, it is not any more.
  const wasReady = (ready?.lastTransitionTime ?? startedAt) > startedAt;
  if (started && (wasReady || now.getTime() - startedAt.getTime() > startingSeconds * 1000)) {
    return notReady('Unready', 'Its process runs and does not answer. If that lasts, it is started again.');
  }
  const last = lastState?.terminated;
  const before = last === undefined ? '' : ` The one before ended: ${describeExit(last)}.`;
  return notReady('Starting', `Its process runs and does not answer yet.${before}`);
}

/** Why an image was not pulled, as the kubelet says it. */
export const pullFailures: Meanings = [
  [/no space left/, 'its node has no room for it'],
  [/toomanyrequests|429 Too Many/i, 'its registry limits how often'],
  [/x509|certificate/, 'the certificate of its registry is not trusted'],
  [/dial tcp|no such host|timeout|timed out|connection re/i, 'its registry does not answer'],
  [/unauthorized|forbidden|denied|authorization/i, 'its registry refuses it without a login'],
  [/: not found|manifest unknown|code = NotFound/, 'its registry does not have it'],
];

/** Why a container cannot be made, likewise. */
export const configFailures: Meanings = [
  [/image will run as root/, 'its image runs as root, which is forbidden'],
  [/non-numeric user/, 'its image does not say by number which user it runs as'],
  [/subPath/i, 'a folder of a volume cannot be mounted'],
  [/not found/, 'something that it refers to is not there'],
];

/** Of a container that is not made yet, or cannot be. */
function describeWaiting(container: ContainerStatus | undefined, createdAt: Date | undefined, now: Date): NotReady {
  const { reason = 'ContainerCreating', message } = container?.state?.waiting ?? {};
  switch (reason) {
    case '':
    case 'ContainerCreating':
    case 'PodInitializing':
      return describeMaking(createdAt, now);
    case 'InvalidImageName':
      return notReady(reason, 'The name of its image is no legal one.');
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'ErrImageNeverPull':
    case 'ImageInspectError':
    case 'RegistryUnavailable':
      return notReady('ImagePullBackOff', `Its image cannot be pulled${explain(pullFailures, message)}.`);
    case 'CreateContainerConfigError':
      return notReady(reason, `Its container cannot be made${explain(configFailures, message)}.`);
    default:
      return notReady('CreateContainerError', 'Its node cannot make its container.');
  }
}

/** After how many seconds a container has not been made for long. */
const makingSeconds = 20;

/** Of a container that the kubelet says is being made, whatever holds it up. */
function describeMaking(createdAt: Date | undefined, now: Date): NotReady {
  const isLong = now.getTime() - (createdAt ?? now).getTime() >= makingSeconds * 1000;
  return notReady(
    'ContainerCreating',
    isLong
      ? 'Its container is not made yet: its image is large, or a folder or claim that it mounts is missing.'
      : 'Its image is being pulled, or its folders are being mounted.',
  );
}

/** Why a Pod was evicted. */
export const evictions: Meanings = [
  [/exceed/, 'it wrote more to the disk than it may'],
  [/low on resource: memory/, 'its node ran out of memory'],
  [/low on resource: (ephemeral-storage|nodefs|imagefs|inodes)/, 'its node ran out of disk'],
];

/** Of a Pod that has ended: its container is not started again. */
function describeEnd({ phase, reason = '', message, containerStatuses = [] }: PodStatus): NotReady {
  if (reason === 'Evicted') {
    return notReady(reason, `Its Pod was evicted${explain(evictions, message)}. ${nextCreate}`);
  }
  const exit = containerStatuses.find(({ state }) => state?.terminated !== undefined)?.state?.terminated;
  // Such as `NodeShutdown`.
  const why = /^[A-Za-z]{1,40}$/.test(reason) ? reason : describeExit(exit);
  return notReady(phase === 'Succeeded' ? 'Completed' : 'Error', `Its Pod has ended: ${why}. ${nextCreate}`);
}
