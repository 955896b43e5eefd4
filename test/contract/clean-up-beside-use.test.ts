import { beforeAll, describe, expect, it } from 'vitest';

import { cleanUpSandboxes } from '../../lib/cleanup/sweep.ts';
import { log } from '../../lib/log.ts';
import { createSandbox } from '../../lib/sandboxes/create.ts';
import { destroySandbox } from '../../lib/sandboxes/destroy.ts';
import { getSandbox } from '../../lib/sandboxes/get.ts';
import { eventually } from '../support/eventually.ts';
import { callTo, holdCalls } from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, originalService, ownedBy } from '../support/original.ts';
import { startProcess, usePlace } from '../support/place.ts';

const place = usePlace();
let operation: Awaited<ReturnType<typeof startProcess>>;

beforeAll(async () => {
  log.setLogLevel('SILENT');
  operation = await startProcess(place, { SANDBOX_FAILED_RETENTION_SECONDS: '0' });
});

// After every grace, before a Pod has waited for too long.
const later = new Date(Date.now() + 1_200_000);
const anHourLater = new Date(Date.now() + 3_600_000);
const unused = { annotations: { 'sandbox-provisioner/last-used-at': '2020-01-01T00:00:00Z' } };

const create = (resource: 'pods' | 'services', object: object) => place.cluster.kubernetes.create(resource, object);
const setStatus = (sandboxId: string, status: object) =>
  place.cluster.kubernetes.patch('pods', `sandbox-${sandboxId}`, { status }, 'status');

/** A sandbox of ours that was made now, with this Pod in the place of its own: on no node, so that no kubelet changes it. */
async function givenSandbox(sandboxId: string, status: object) {
  const request = { sandboxId, threadId: 'thread-a' };
  await createSandbox(request, operation());
  const { service } = await find(sandboxId);
  await place.cluster.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
  const pod = originalPod(request, place.cluster.settings);
  await create('pods', alter(pod, { metadata: ownedBy(service), spec: onNoNode }));
  await setStatus(sandboxId, status);
  return { request, uid: service?.metadata.uid };
}

/** An original sandbox that was used long ago, with a Pod on no node. */
async function givenUnusedOriginal(sandboxId: string) {
  const names = { sandboxId, threadId: 'thread-a' };
  await create('services', alter(originalService(names), { metadata: unused }));
  await create('pods', alter(originalPod(names, place.cluster.settings), { spec: onNoNode }));
}

const find = async (sandboxId: string) => ({
  service: await place.cluster.kubernetes.find('services', `sandbox-${sandboxId}-svc`),
  pod: await place.cluster.kubernetes.find('pods', `sandbox-${sandboxId}`),
});

const deletionOf = (resource: 'pods' | 'services', sandboxId: string) => callTo('DELETE', resource, sandboxId);

describe('A clean-up beside a use', () => {
  it.each(['services', 'pods'] as const)(
    'keeps a sandbox that got a new Pod in the place of an ended one while the %s were listed',
    async (resource) => {
      const sandboxId = `ended-${resource}`;
      const { request, uid } = await givenSandbox(sandboxId, { phase: 'Failed' });

      // It once judged the Service as it was after the use by the Pod as it was before, when the list took longer than the
      // grace, and took the sandbox away.
      let clock = later;
      const listing = holdCalls(place.proxy, callTo('GET', resource));
      const cleaning = cleanUpSandboxes({ ...operation(), now: () => clock });
      await listing.reached();
      const view = await createSandbox(request, operation(clock));
      clock = new Date(clock.getTime() + 301_000);
      listing.release();
      expect((await cleaning).deleted).toEqual({});

      expect(view.status).toBeOneOf(['Pending', 'Running']);
      const { service, pod } = await find(sandboxId);
      expect(service?.metadata.uid).toBe(uid);
      expect(pod?.metadata.deletionTimestamp).toBeUndefined();
      expect(pod?.status.phase).not.toBe('Failed');
    },
  );

  it('keeps a sandbox whose Pod got to run after it had been listed', async () => {
    const { uid } = await givenSandbox('late', { phase: 'Pending' });
    const reading = holdCalls(place.proxy, callTo('GET', 'pods', 'late'));
    const cleaning = cleanUpSandboxes(operation(anHourLater));
    await reading.reached();
    await setStatus('late', { phase: 'Running' });
    reading.release();
    expect((await cleaning).deleted).toEqual({});
    expect((await find('late')).service?.metadata.uid).toBe(uid);
  });

  it('takes the Pod too when the answer to the deletion of its Service is lost', async () => {
    await givenUnusedOriginal('lost');
    place.proxy.injectFault({ when: deletionOf('services', 'lost'), action: { cut: 'after' }, times: 1 });
    expect((await cleanUpSandboxes(operation(anHourLater))).kept['removed-meanwhile']).toBe(1);
    const { service, pod } = await find('lost');
    expect(service).toBeUndefined();
    expect(pod?.metadata.deletionTimestamp ?? 'gone').toEqual(expect.any(String));
    expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
  });

  it("takes the original's Pod too whose state alone has changed since it was listed", async () => {
    await givenUnusedOriginal('changing');
    const deletion = holdCalls(place.proxy, deletionOf('pods', 'changing'));
    const cleaning = cleanUpSandboxes(operation(anHourLater));
    await deletion.reached();
    await setStatus('changing', { phase: 'Running' });
    deletion.release();
    expect((await cleaning).deleted.expired).toBe(1);
    const { service, pod } = await find('changing');
    expect(service).toBeUndefined();
    expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
  });

  it('takes a Pod at once that should have ended long ago', async () => {
    const request = { sandboxId: 'stuck', threadId: 'thread-a' };
    await createSandbox(request, operation());
    await eventually(
      'running: the Pod',
      () => find('stuck'),
      ({ pod }) => pod?.status.phase === 'Running',
    );
    await destroySandbox('stuck', operation());
    const report = await cleanUpSandboxes(operation(later));
    // A real kubelet may have been faster.
    if (place.cluster.isEmbedded) expect(report.deleted).toEqual({ stuck: 1 });
    expect(await find('stuck')).toEqual({ service: undefined, pod: undefined });
  });

  it('leaves nothing for a look to show', async () => {
    await givenUnusedOriginal('noted');
    const noting = holdCalls(place.proxy, callTo('PATCH', 'services'));
    const looking = getSandbox('noted', operation(anHourLater));
    await noting.reached();
    expect((await cleanUpSandboxes(operation(anHourLater))).deleted.expired).toBe(1);
    noting.release();
    // It was once shown all the same, with an end that was long past.
    await expect(looking).rejects.toMatchObject({ kind: 'not-found' });
  });

  it("keeps the original provisioner's Pod that got a Service, and was taken over, between the two lists", async () => {
    const request = { sandboxId: 'between', threadId: 'thread-a' };
    const made = await create('pods', alter(originalPod(request, place.cluster.settings), { metadata: unused }));
    const listing = holdCalls(place.proxy, callTo('GET', 'pods'));

    // It once took a Pod that has an owner at its word: that the Service which it had not seen was gone.
    const cleaning = cleanUpSandboxes(operation());
    await listing.reached();
    await createSandbox(request, operation());
    listing.release();
    expect((await cleaning).deleted).toEqual({});
    const { service, pod: left } = await find(request.sandboxId);
    expect(left?.metadata).toMatchObject({ uid: made.metadata.uid, ownerReferences: [{ uid: service?.metadata.uid }] });
    expect(left?.metadata.deletionTimestamp).toBeUndefined();
  });
});
