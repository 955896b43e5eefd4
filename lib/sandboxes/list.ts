import { describeFailure, ProvisionerError, type RequestIssue } from '../errors.ts';
import { isExpired, isInvalidToken } from '../kubernetes/index.ts';
import type { ListedPod, ListedService } from '../model/listed.ts';
import { findUnmetMetadata, type Metadata, metadataLabels } from '../model/metadata.ts';
import { findSandboxId, podName, sandboxIdPattern, serviceName } from '../model/names.ts';
import type { ListFilter, PageRequest } from '../model/request.ts';
import { type SandboxView, viewSandbox } from '../model/status.ts';
import { type Operation, settle, unwrap } from './operation.ts';
import { hasPod, readTogether } from './reading.ts';

/** A page of a list; with `continue` there is more. */
export type SandboxPage = { sandboxes: SandboxView[]; continue?: string };

/**
 * Every sandbox of the namespace that has an address and that a caller sees to be as the filter says: one round trip, whatever their
 * number, and one more where a Pod was seen that ends or is behind another Service by now. A sandbox may be without any Pod for long;
 * that alone costs no more. Kubernetes selects by the metadata of a filter: the Services that bear it, and then their Pods.
 */
export async function listSandboxes(operation: Operation, filter: ListFilter = {}): Promise<SandboxView[]> {
  const { metadata } = filter;
  const read = metadata ? () => selectSandboxes(metadata, operation) : () => readSandboxes(operation);
  return (await viewTogether(read, operation)).filter((view) => isAsked(view, filter));
}

/**
 * A page of them, by name, and where the next one begins, if there is more.
 *
 * Without a filter, or with metadata alone in it, it is a page of Kubernetes': two round trips. The pages together are then of the
 * sandboxes that there were at the first one; each is shown as it is now, and not at all if it is gone. Throws `expired` when Kubernetes
 * does not remember any more what there was, after some minutes: the caller then has to begin again.
 *
 * What else is in a filter shows only where a sandbox is looked at. Such a page costs a whole list, and goes on behind the last name of
 * the one before: it is full if there is more, none comes twice, and none is left out that is as the filter says all the while.
 *
 * Throws `invalid-request` where the page before was one of the other kind, or none.
 */
export async function listSandboxPage(
  page: PageRequest,
  operation: Operation,
  filter: ListFilter = {},
): Promise<SandboxPage> {
  const { metadata, ...seen } = filter;
  const isSelected = Object.values(seen).every((value) => value === undefined);
  return isSelected ? readPage(page, operation, metadata ?? {}) : cutPage(page, operation, filter);
}

async function readPage(
  { limit, continueToken }: PageRequest,
  operation: Operation,
  metadata: Metadata,
): Promise<SandboxPage> {
  const { kubernetes, signal } = operation;
  const labels = metadataLabels(metadata);
  const page = await kubernetes.readServicePage(limit, continueToken, signal, labels).catch((error) => {
    if (isExpired(error)) {
      throw new ProvisionerError('expired', 'The continue has expired: list again from the start', { cause: error });
    }
    if (continueToken !== undefined && isInvalidToken(error)) throw unknownContinueToken(continueToken, error);
    throw describeFailure('Failed to list services', error);
  });
  const ids = page.items.flatMap((service) => findSandboxId(service, serviceName) ?? []);
  // A page shows the Services as they were at the first one. The Pods that there are now may belong to newer ones, so it only
  // says which sandboxes are meant.
  const sandboxes = ids.length === 0 ? [] : await viewTogether(() => readSandboxes(operation, ids), operation);
  const { _continue } = page.metadata;
  return {
    sandboxes: sandboxes.filter((view) => isAsked(view, { metadata })),
    ...(_continue && { continue: _continue }),
  };
}

async function cutPage(
  { limit, continueToken }: PageRequest,
  operation: Operation,
  filter: ListFilter,
): Promise<SandboxPage> {
  const after = continueToken === undefined ? '' : serviceName(readContinueToken(continueToken));
  // In the order of Kubernetes' pages.
  const following = (await listSandboxes(operation, filter))
    .map((view) => ({ view, name: serviceName(view.sandbox_id) }))
    .filter(({ name }) => name > after)
    .toSorted((one, other) => (one.name < other.name ? -1 : 1));
  const sandboxes = following.slice(0, limit).map(({ view }) => view);
  const last = sandboxes.at(-1);
  const hasMore = last !== undefined && following.length > limit;
  return { sandboxes, ...(hasMore && { continue: makeContinueToken(last.sandbox_id) }) };
}

/** Whether what a caller sees of a sandbox is as the filter says. */
const isAsked = (view: SandboxView, { status, ready, threadId, userId, metadata = {} }: ListFilter): boolean =>
  (status === undefined || view.status === status) &&
  (ready === undefined || view.ready === ready) &&
  (threadId === undefined || view.thread_id === threadId) &&
  (userId === undefined || view.user_id === userId) &&
  findUnmetMetadata(metadata, view.metadata).length === 0;

type ListedSandbox = { sandboxId: string; service: ListedService; pod: ListedPod | undefined };

async function viewTogether(read: () => Promise<ListedSandbox[]>, { config, now }: Operation): Promise<SandboxView[]> {
  const sandboxes = await readTogether(read, (seen) =>
    seen.every(({ service, pod }) => pod === undefined || hasPod(service, pod)),
  );
  return sandboxes.flatMap(({ sandboxId, service, pod }) => viewSandbox(sandboxId, service, pod, config, now()) ?? []);
}

/** All sandboxes, or those of these ids. */
async function readSandboxes(
  { kubernetes, signal }: Operation,
  sandboxIds?: readonly string[],
): Promise<ListedSandbox[]> {
  const [services, pods] = await Promise.all([
    settle(kubernetes.listServices(signal, sandboxIds)),
    settle(kubernetes.listPods(signal, sandboxIds)),
  ]);
  return pair(unwrap('Failed to list services', services), unwrap('Failed to list pods', pods));
}

/** How many ids go into the address of one call: as many as there are in a page. */
const maxIds = 100;

/** Those that bear this metadata. Pods do not bear it: those of a few sandboxes are asked for by id, those of many are read with all. */
async function selectSandboxes(metadata: Metadata, { kubernetes, signal }: Operation): Promise<ListedSandbox[]> {
  const selected = await settle(kubernetes.selectServices(metadataLabels(metadata), signal));
  const services = unwrap('Failed to list services', selected);
  if (services.length === 0) return [];
  const ids = services.flatMap((service) => findSandboxId(service, serviceName) ?? []);
  const pods = await settle(kubernetes.listPods(signal, ids.length > maxIds ? undefined : ids));
  return pair(services, unwrap('Failed to list pods', pods));
}

function pair(services: readonly ListedService[], pods: readonly ListedPod[]): ListedSandbox[] {
  const podOf = new Map(pods.map((pod) => [findSandboxId(pod, podName), pod]));
  return services.flatMap((service) => {
    const sandboxId = findSandboxId(service, serviceName);
    return sandboxId === undefined ? [] : [{ sandboxId, service, pod: podOf.get(sandboxId) }];
  });
}

/** Tells our tokens from Kubernetes' own. */
const tokenVersion = 'sandbox-provisioner/v1';

const makeContinueToken = (after: string): string =>
  Buffer.from(JSON.stringify({ v: tokenVersion, after })).toString('base64url');

/** The sandbox that a page goes on behind. Throws `invalid-request` for what is no token of ours. */
function readContinueToken(token: string): string {
  try {
    const { v, after } = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (v === tokenVersion && typeof after === 'string' && sandboxIdPattern.test(after)) return after;
  } catch {
    // Said below.
  }
  throw unknownContinueToken(token);
}

/** A `continue` that is of no page of this kind. In the shape of what is wrong with a request. */
function unknownContinueToken(input: string, cause?: unknown): ProvisionerError {
  const issue: RequestIssue = {
    type: 'value_error',
    loc: ['query', 'continue'],
    msg: 'Value error, it is not the continue of a page',
    input: input.length <= 254 ? input : `"${input.slice(0, 255)}…`,
  };
  return new ProvisionerError('invalid-request', [issue], { cause });
}
