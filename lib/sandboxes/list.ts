import { describeFailure, ProvisionerError, type RequestIssue } from '../errors.ts';
import { isExpired, isInvalidToken } from '../kubernetes/index.ts';
import { findSandboxId, podName, serviceName } from '../model/names.ts';
import type { PageRequest } from '../model/request.ts';
import { type SandboxView, viewSandbox } from '../model/status.ts';
import { type Operation, settle, unwrap } from './operation.ts';
import { hasPod, readTogether } from './reading.ts';

/**
 * Every sandbox of the namespace, or of these ids, that has an address: one round trip, whatever their number, and one more where a Pod was seen
 * that ends or is behind another Service by now. A sandbox may be without any Pod for long; that alone costs no more.
 */
export async function listSandboxes(operation: Operation, sandboxIds?: readonly string[]): Promise<SandboxView[]> {
  const sandboxes = await readTogether(
    () => readSandboxes(operation, sandboxIds),
    (seen) => seen.every(({ service, pod }) => pod === undefined || hasPod(service, pod)),
  );
  const { config, now } = operation;
  return sandboxes.flatMap(({ sandboxId, service, pod }) => viewSandbox(sandboxId, service, pod, config, now()) ?? []);
}

/**
 * A page of the sandboxes, by name, and where the next one begins, if there is more: two round trips. The pages together are of
 * those that there were at the first one; each is shown as it is now, and not at all if it is gone. Throws `expired` when
 * Kubernetes does not remember any more what there was, after some minutes: the caller then has to begin again.
 */
export async function listSandboxPage(
  { limit, continueToken }: PageRequest,
  operation: Operation,
): Promise<{ sandboxes: SandboxView[]; continue?: string }> {
  const { kubernetes, signal } = operation;
  const page = await kubernetes.readServicePage(limit, continueToken, signal).catch((error) => {
    if (isExpired(error)) {
      throw new ProvisionerError('expired', 'The continue has expired: list again from the start', { cause: error });
    }
    if (continueToken !== undefined && isInvalidToken(error)) throw unknownContinueToken(continueToken, error);
    throw describeFailure('Failed to list services', error);
  });
  const ids = page.items.flatMap((service) => findSandboxId(service, serviceName) ?? []);
  // A page shows the Services as they were at the first one. The Pods that there are now may belong to newer ones, so it only
  // says which sandboxes are meant.
  const sandboxes = ids.length === 0 ? [] : await listSandboxes(operation, ids);
  const { _continue } = page.metadata;
  return { sandboxes, ...(_continue && { continue: _continue }) };
}

async function readSandboxes({ kubernetes, signal }: Operation, sandboxIds: readonly string[] | undefined) {
  const [services, pods] = await Promise.all([
    settle(kubernetes.listServices(signal, sandboxIds)),
    settle(kubernetes.listPods(signal, sandboxIds)),
  ]);
  const found = unwrap('Failed to list services', services);
  const podOf = new Map(unwrap('Failed to list pods', pods).map((pod) => [findSandboxId(pod, podName), pod]));
  return found.flatMap((service) => {
    const sandboxId = findSandboxId(service, serviceName);
    return sandboxId === undefined ? [] : [{ sandboxId, service, pod: podOf.get(sandboxId) }];
  });
}

/** A `continue` that Kubernetes does not know: it never gave it. In the shape of what is wrong with a request. */
function unknownContinueToken(input: string, cause: unknown): ProvisionerError {
  const issue: RequestIssue = {
    type: 'value_error',
    loc: ['query', 'continue'],
    msg: 'Value error, it is not the continue of a page',
    input: input.length <= 254 ? input : `"${input.slice(0, 255)}…`,
  };
  return new ProvisionerError('invalid-request', [issue], { cause });
}
