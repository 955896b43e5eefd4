import type { V1Pod } from '@kubernetes/client-node';
import { describeFailure, ProvisionerError } from '../errors.ts';
import type { Diagnostics } from '../kubernetes/diagnostics.ts';
import { isNotFound } from '../kubernetes/index.ts';
import { podName } from '../model/names.ts';
import type { LogRequest } from '../model/request.ts';
import type { Operation } from './operation.ts';
import { notFound, requirePod } from './reading.ts';

/** How much of a log is answered at most, in bytes. As JSON, which Lambda makes of it, that is at most the 6 MB that it takes. */
const mostBytes = 1_000_000;

/** How much is read of it at once at most: half as many lines, where they are much alike, still fill an answer. */
const readBytes = 2 * mostBytes;

/** Stands first in a log that is cut. */
const cutLine = '[sandbox-provisioner: cut here, as an answer has room for 1 MB]\n';

/**
 * The last lines of what a container of the sandbox has printed, as it is, at most 1 MB. Where that is less than what was asked for, a
 * first line says so: it is cut at the front. Two round trips, and one more each time that the lines turn out to be too long; no use of
 * the sandbox. Throws as `requirePod` does, `not-found` where there is no such container, `conflict` where it has no such log, and what
 * calls to Kubernetes throw.
 */
export async function readLog(
  sandboxId: string,
  { tail, previous, container }: LogRequest,
  operation: Operation,
  diagnostics: Diagnostics,
): Promise<string> {
  const { pod } = await requirePod(sandboxId, operation);
  const { spec, status } = pod;
  const isIt = ({ name }: { name: string }) => name === container;
  if (![...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].some(isIt)) {
    throw new ProvisionerError('not-found', `Sandbox '${sandboxId}' has no container '${container}'`);
  }
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  if (!hasLog(statuses.find(isIt), previous)) throw withoutLog(sandboxId, container, previous);
  // Kubernetes takes the first bytes of the last lines, but the last bytes are what counts.
  for (let tailLines = tail; ; tailLines = Math.ceil(tailLines / 2)) {
    const selection = { container, previous, tailLines, limitBytes: readBytes };
    const log = await diagnostics.readLog(podName(sandboxId), selection, operation.signal).catch((error) => {
      throw isNotFound(error) ? notFound(sandboxId) : describeFailure('Log lookup failed', error);
    });
    if (log === undefined) throw withoutLog(sandboxId, container, previous);
    if (log.length < readBytes || tailLines === 1) return cutFront(log, tailLines < tail);
  }
}

type ContainerStatus = NonNullable<NonNullable<V1Pod['status']>['containerStatuses']>[number];

/** As the kubelet sees it: of a container that waits to be started again, the log is that of its last run. */
function hasLog(status: ContainerStatus | undefined, previous: boolean): boolean {
  const { state, lastState } = status ?? {};
  const hasEnded = lastState?.terminated !== undefined;
  return hasEnded || (!previous && (state?.running !== undefined || state?.terminated !== undefined));
}

const withoutLog = (sandboxId: string, container: string, previous: boolean): ProvisionerError =>
  new ProvisionerError(
    'conflict',
    previous
      ? `Container '${container}' of sandbox '${sandboxId}' has no earlier log: it was not started again, or nothing is left of it`
      : `Container '${container}' of sandbox '${sandboxId}' has no log: it has not started, or nothing is left of it`,
  );

/** The log as text, or its end from the start of a line on, if it is too long. */
function cutFront(log: Buffer, isCut: boolean): string {
  // What is no UTF-8 becomes longer.
  const bytes = Buffer.from(log.toString());
  if (!isCut && bytes.length <= mostBytes) return bytes.toString();
  const from = Math.max(0, bytes.length - mostBytes + cutLine.length);
  const rest = bytes.subarray(from);
  const start = from === 0 ? 0 : rest.indexOf('\n') + 1;
  // A line that is longer than all that may be answered is cut in its midst, perhaps within a character.
  return cutLine + (start < rest.length ? rest.subarray(start) : rest).toString().replace(/^\uFFFD+/, '');
}
