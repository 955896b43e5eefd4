import { posix } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { parseCreateRequest } from '../../lib/http/request.ts';
import { buildPod, buildService } from '../../lib/model/manifests.ts';
import type { CreateSandboxRequest } from '../../lib/model/request.ts';
import { hostileId } from '../support/hostile-ids.ts';

// What Kubernetes itself checks (k8s.io/apimachinery/pkg/util/validation); a Pod's name is its host name as well.
const isLabel = (name: unknown) =>
  typeof name === 'string' && name.length <= 63 && /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name);
const isLabelValue = (value: unknown) =>
  typeof value === 'string' && value.length <= 63 && /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/.test(value);

/** The request in a body, undefined if it is refused; throws if it is refused otherwise than with a word of ours. */
function parse(body: unknown): CreateSandboxRequest | undefined {
  try {
    return parseCreateRequest(body, 0);
  } catch (error) {
    if (error instanceof ProvisionerError && error.kind === 'invalid-request') return undefined;
    throw error;
  }
}

/** What is wrong with the objects that would be made, undefined if nothing is. */
function findFault(request: CreateSandboxRequest, THREADS_HOST_PATH: string): string | undefined {
  const config = loadConfig({ THREADS_HOST_PATH });
  const folder = THREADS_HOST_PATH.replace(/\/$/, '');
  const service = buildService(request, { at: new Date(0), requestId: 'r' }, config.namespace, config);
  const pod = buildPod(request, service, config);
  for (const { metadata } of [service, pod]) {
    if (!isLabel(metadata?.name)) return `the name ${metadata?.name}`;
    for (const value of Object.values(metadata?.labels ?? {})) if (!isLabelValue(value)) return `the label ${value}`;
  }
  for (const value of Object.values(service.spec?.selector ?? {}))
    if (!isLabelValue(value)) return `the selector ${value}`;
  const paths = pod.spec?.volumes?.map(({ hostPath }) => posix.normalize(hostPath?.path ?? '')) ?? [];
  const wanted = ['/skills', `${folder}/${request.threadId}/user-data`];
  if (JSON.stringify(paths) !== JSON.stringify(wanted)) return `the paths ${paths}`;
  // However a path is read, its folder is exactly one level below the one of all threads.
  for (const read of [posix.normalize, decodeURIComponent, (path: string) => path.normalize('NFKC')]) {
    const own = posix.dirname(read(wanted[1] ?? ''));
    if (posix.dirname(own) !== (folder || '/') || posix.basename(own) !== request.threadId) return `the folder ${own}`;
  }
  return undefined;
}

const numRuns = 10_000;

/** Makes requests with hostile ids, and looks at what comes of those that are accepted. */
function tryHostileIds(name: 'sandboxId' | 'threadId', folder: string, toBody: (id: string) => object): void {
  let accepted = 0;
  fc.assert(
    fc.property(hostileId, (id) => {
      const request = parse(toBody(id));
      if (request === undefined) return;
      accepted += 1;
      if (request[name] !== id) throw new Error('it was changed');
      const fault = findFault(request, folder);
      if (fault !== undefined) throw new Error(fault);
    }),
    { numRuns },
  );
  // Both are tried in earnest.
  expect(accepted).toBeGreaterThan(numRuns / 20);
  expect(accepted).toBeLessThan(numRuns / 2);
}

describe('of 10,000 ids, random and hostile,', () => {
  it('a sandbox_id that is accepted makes legal names and labels, and a folder of its own; others make nothing', () => {
    tryHostileIds('sandboxId', '/srv/threads', (id) => ({ sandbox_id: id }));
  });

  it.each(['/srv/threads', '/srv/threads/', '/'])(
    'a thread_id that is accepted is a folder exactly one level below THREADS_HOST_PATH %s; others make nothing',
    (folder) => tryHostileIds('threadId', folder, (id) => ({ sandbox_id: 'a', thread_id: id })),
  );
});
