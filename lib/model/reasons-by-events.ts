import { explain, type Meanings, notReady, pullFailures, type Readiness } from './reasons.ts';

/** What is looked at of an event. */
export type PodEvent = { reason?: string; message?: string };

/** Why a volume is not mounted, as the kubelet says it. */
const mountFailures: Meanings = [
  [/type check failed|is not a directory|does not exist|no such file/, 'its folder is not on the node'],
  [/not found/, 'its claim is not there'],
  [/permission denied|access denied/i, 'its server refuses it'],
  [/Multi-Attach/, 'another node has it'],
];

/**
 * The same, or what the events of the sandbox's Pod, newest first, tell beyond it: what holds up a container that is not made yet, and
 * why its image was not pulled.
 */
export function refineByEvents(readiness: Readiness, events: readonly PodEvent[]): Readiness {
  if (readiness.ready) return readiness;
  if (readiness.reason === 'ContainerCreating') return findHindrance(events) ?? readiness;
  if (readiness.reason !== 'ImagePullBackOff' || readiness.message.includes(':')) return readiness;
  const failure = events.find(({ reason, message }) => reason === 'Failed' && message?.startsWith('Failed to pull'));
  return { ...readiness, message: readiness.message.replace('.', `${explain(pullFailures, failure?.message)}.`) };
}

/** What the newest event that tells it says. */
export function findHindrance(events: readonly PodEvent[]): Readiness | undefined {
  for (const { reason = '', message = '' } of events) {
    if (reason === 'Pulling') return notReady('PullingImage', 'Its image is being pulled.');
    if (reason === 'FailedCreatePodSandBox') {
      return notReady(reason, 'Its node cannot set up its network, or does not have its runtime class.');
    }
    if (reason === 'FailedMount' || reason === 'FailedAttachVolume') {
      // The kubelet gives up after two minutes, and says so without a cause.
      const isCause = (one: PodEvent) => one.reason === reason && !one.message?.startsWith('Unable to attach or mount');
      const cause = events.find(isCause)?.message ?? message;
      // The names that manifests give volumes; others are the cluster's.
      const [, name] = /volume "((?:skills|user-data|extra)[a-z0-9-]{0,20})"/.exec(cause) ?? [];
      const what = name === undefined ? 'A volume' : `The volume '${name}'`;
      return notReady('FailedMount', `${what} cannot be mounted${explain(mountFailures, cause)}.`);
    }
  }
  return undefined;
}
