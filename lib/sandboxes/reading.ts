import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { ProvisionerError } from '../errors.ts';
import type { ListedPod, ListedService } from '../model/listed.ts';
import { ifSandbox, podName, serviceName } from '../model/names.ts';
import { belongsTo } from '../model/ownership.ts';
import { type SandboxView, viewSandbox } from '../model/status.ts';
import { type Operation, settle, unwrap } from './operation.ts';

/** What there is of a sandbox. */
export type ReadSandbox = { service: V1Service | undefined; pod: V1Pod | undefined };

/** The sandbox's Service and Pod, read side by side. What only bears their names is none of it. */
export async function readSandbox(sandboxId: string, operation: Operation): Promise<ReadSandbox> {
  const { service, pod } = await readNamed(sandboxId, operation);
  return { service: ifSandbox(service, serviceName), pod: ifSandbox(pod, podName) };
}

/** What bears the names of the sandbox's Service and Pod, read side by side. Where there is no Service, the Pod does not matter. */
export async function readNamed(sandboxId: string, { kubernetes, signal }: Operation): Promise<ReadSandbox> {
  const [service, pod] = await Promise.all([
    settle(kubernetes.readService(serviceName(sandboxId), signal)),
    settle(kubernetes.readPod(podName(sandboxId), signal)),
  ]);
  const found = unwrap('Service lookup failed', service);
  return { service: found, pod: found && unwrap('Pod lookup failed', pod) };
}

/**
 * Reads until what was read belongs together, twice at most. Two reads side by side are not of one moment: a sandbox that is
 * deleted or made between them shows one's Service and the other's Pod, or none, and would count as one that has no Pod.
 */
export async function readTogether<T>(read: () => Promise<T>, belongs: (seen: T) => boolean): Promise<T> {
  const seen = await read();
  return belongs(seen) ? seen : read();
}

/** Whether the sandbox has a Pod that will stay; if not, the two may not have been read in one moment. */
export const hasPod = (service: ListedService, pod: ListedPod | undefined): boolean =>
  pod !== undefined && belongsTo(pod, service);

/**
 * The sandbox with its Pod: one round trip, two where it seems to have none. Throws `not-found` only when Kubernetes says that its
 * Service is not there, or has no Pod that stays.
 */
export async function requirePod(sandboxId: string, operation: Operation): Promise<{ service: V1Service; pod: V1Pod }> {
  const { service, pod } = await readTogether(
    () => readSandbox(sandboxId, operation),
    ({ service, pod }) => service === undefined || hasPod(service, pod),
  );
  if (service === undefined || service.metadata?.deletionTimestamp !== undefined) throw notFound(sandboxId);
  if (pod === undefined || !hasPod(service, pod)) throw withoutPod(sandboxId);
  return { service, pod };
}

/** What the caller sees of it. Throws `unavailable` while the Service has no address. */
export function present(
  sandboxId: string,
  service: V1Service,
  pod: V1Pod | undefined,
  { config, now }: Operation,
): SandboxView {
  const view = viewSandbox(sandboxId, service, pod, config, now());
  if (view !== undefined) return view;
  throw new ProvisionerError('unavailable', `Sandbox '${sandboxId}' has no address yet`, {
    headers: { 'retry-after': '1' },
  });
}

/** Kubernetes says that the sandbox's Service is not there. */
export const notFound = (sandboxId: string): ProvisionerError =>
  new ProvisionerError('not-found', `Sandbox '${sandboxId}' not found`);

/** The sandbox's Service is there, and its Pod is not, or is going. */
const withoutPod = (sandboxId: string): ProvisionerError =>
  new ProvisionerError('not-found', `Sandbox '${sandboxId}' not found: it has no Pod until the next create`);
