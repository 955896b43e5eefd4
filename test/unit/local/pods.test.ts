import { expect, it } from 'vitest';
import { readPods } from '../../../lib/kubernetes/lists.ts';
import { writeProtobuf } from '../../../lib/local/kubernetes/protobuf.ts';
import { failure, MERGE_PATCH, podManifest, SOME_UID, serviceManifest, startTestCluster, until } from './cluster.ts';

// The stand-ins end as slowly as the real sandbox, which ignores SIGTERM.
const { call } = await startTestCluster({ terminationGraceMs: Number.POSITIVE_INFINITY });
const PODS = '/api/v1/namespaces/default/pods';
const SERVICES = '/api/v1/namespaces/default/services';
// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever JSON it is.
type Json = any;

const read = (name: string) => call('GET', `${PODS}/${name}`);
const isGone = ({ status }: { status: number }) => status === 404;
const isTerminating = ({ status, body }: { status: number; body: Json }) =>
  status === 200 && body.metadata.deletionTimestamp !== undefined;

/** Makes a Pod and waits until it is Ready; answers what the create did. */
async function makeReadyPod(name: string, metadata: object = {}): Promise<Json> {
  const { body } = await call('POST', PODS, podManifest(name, { ...metadata }));
  await until(
    () => read(name),
    ({ body }) => body.status.conditions?.some((one: Json) => one.type === 'Ready' && one.status === 'True') === true,
  );
  return body;
}

const eventsOf = async (name: string): Promise<string[]> => {
  const { body } = await call('GET', '/api/v1/namespaces/default/events');
  const own = body.items.filter((event: Json) => event.involvedObject.name === name);
  return own.map((event: Json) => `${event.type} ${event.reason}`);
};

it('takes a Pod from Pending to Ready, with events', async () => {
  const created = await makeReadyPod('life');
  expect(created.status).toEqual({ phase: 'Pending' });
  const { body } = await read('life');
  expect(body.spec.nodeName).toBe('embedded');
  expect(body.status).toMatchObject({
    phase: 'Running',
    podIP: expect.stringMatching(/^10\.244\./),
    startTime: expect.any(String),
    conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({ type, status: 'True' })),
    containerStatuses: [
      { name: 'sandbox', ready: true, started: true, restartCount: 0, image: 'sandbox:1', state: { running: {} } },
    ],
  });
  expect(await eventsOf('life')).toEqual(
    ['Scheduled', 'Pulled', 'Created', 'Started'].map((reason) => `Normal ${reason}`),
  );
});

it('has a Pod run before it is Ready, and says so in lists as well', async () => {
  const { call } = await startTestCluster({ readyMs: 100_000 });
  await call('POST', PODS, podManifest('starting'));
  const { body } = await until(
    () => call('GET', `${PODS}/starting`),
    ({ body }) => body.status.phase === 'Running',
  );
  const message = 'containers with unready status: [sandbox]';
  const isUnready = { type: 'Ready', status: 'False', reason: 'ContainersNotReady', message };
  expect(body.status.conditions).toContainEqual(expect.objectContaining(isUnready));
  const container = { name: 'sandbox', lastState: {}, ready: false, restartCount: 0, started: false };
  const state = { running: { startedAt: expect.anything() } };
  expect(body.status.containerStatuses).toEqual([{ ...container, image: 'sandbox:1', state }]);
  const list = writeProtobuf({ kind: 'PodList', items: [body] } as object) as Buffer;
  const [listed] = readPods(list).items;
  expect(listed?.status?.conditions).toContainEqual(expect.objectContaining(isUnready));
  expect(listed?.status?.containerStatuses).toEqual([{ ...container, state }]);
});

it('finds no node for a Pod that asks for one, and removes it without grace', async () => {
  await call('POST', PODS, podManifest('nodeless', { spec: { nodeSelector: { no: 'such' } } }));
  const isUnschedulable = ({ body }: { body: Json }) => body.status.conditions?.[0].reason === 'Unschedulable';
  await until(() => read('nodeless'), isUnschedulable);
  expect(await eventsOf('nodeless')).toEqual(['Warning FailedScheduling']);
  expect((await call('DELETE', `${PODS}/nodeless`)).body.metadata.deletionGracePeriodSeconds).toBe(0);
  expect((await read('nodeless')).status).toBe(404);
});

it('lets a deleted Pod run on for its grace, which can only be made shorter', async () => {
  const { metadata } = await makeReadyPod('slow');
  const deleted = (await call('DELETE', `${PODS}/slow`)).body;
  const runningOn = { metadata: { deletionGracePeriodSeconds: 30 }, status: { phase: 'Running' } };
  expect(deleted).toMatchObject({ kind: 'Pod', ...runningOn });
  expect(Date.parse(deleted.metadata.deletionTimestamp) - Date.now()).toBeGreaterThan(25_000);
  const words = 'object is being deleted: pods "slow" already exists';
  const taken = failure(409, 'AlreadyExists', words, { name: 'slow', kind: 'pods' });
  expect(await call('POST', PODS, podManifest('slow'))).toEqual({ status: 409, body: taken });
  const longer = (await call('DELETE', `${PODS}/slow`, { gracePeriodSeconds: 60 })).body;
  expect(longer.metadata.deletionTimestamp).toBe(deleted.metadata.deletionTimestamp);
  const shorter = (await call('DELETE', `${PODS}/slow`, { gracePeriodSeconds: 10 })).body;
  const saved = Date.parse(deleted.metadata.deletionTimestamp) - Date.parse(shorter.metadata.deletionTimestamp);
  expect(saved).toBe(20_000);
  expect(await eventsOf('slow')).toContain('Normal Killing');
  const now = { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } };
  expect((await call('DELETE', `${PODS}/slow`, now)).body.metadata).toMatchObject({ deletionGracePeriodSeconds: 0 });
  expect((await read('slow')).status).toBe(404);
  expect((await call('POST', PODS, podManifest('slow'))).status).toBe(201);
});

it('ends a Pod when its grace is over', async () => {
  await makeReadyPod('brief');
  await call('DELETE', `${PODS}/brief`, { gracePeriodSeconds: 1 });
  expect((await read('brief')).body.status.phase).toBe('Running');
  await until(() => read('brief'), isGone);
});

it('keeps what is deleted until its finalizers are taken away, a Pod once its grace is over', async () => {
  await makeReadyPod('held', { finalizers: ['example.com/held'] });
  await call('DELETE', `${PODS}/held`, { gracePeriodSeconds: 1 });
  await until(
    () => read('held'),
    ({ body }) => body.metadata.deletionGracePeriodSeconds === 0,
  );
  expect((await call('DELETE', `${PODS}/held`, { gracePeriodSeconds: 0 })).status).toBe(200);
  expect((await read('held')).body.metadata).toMatchObject({ finalizers: ['example.com/held'] });
  const freed = await call('PATCH', `${PODS}/held`, { metadata: { finalizers: null } }, MERGE_PATCH);
  expect(freed.body.metadata).not.toHaveProperty('finalizers');
  expect((await read('held')).status).toBe(404);
});

it('says of an image whose registry cannot be that it cannot be had', async () => {
  const pod = podManifest('imageless') as { spec: object };
  await call('POST', PODS, { ...pod, spec: { containers: [{ name: 'sandbox', image: 'registry.invalid:5000/x' }] } });
  const { body } = await until(
    () => read('imageless'),
    ({ body }) => body.status.containerStatuses?.[0].state.waiting.reason === 'ImagePullBackOff',
  );
  expect(body.status.phase).toBe('Pending');
});

it('deletes only what the preconditions name', async () => {
  const { metadata } = await makeReadyPod('guarded');
  const remove = (preconditions: object) => call('DELETE', `${PODS}/guarded`, { preconditions });
  const conflict = (what: string, one: string, other: string, why: string) => {
    const words = `the ${what} in the precondition (${one}) does not match the ${what} in record (${other}). ${why}`;
    const message = `Operation cannot be fulfilled on Pod "guarded": ${words}`;
    return failure(409, 'Conflict', message, { name: 'guarded', kind: 'Pod' });
  };
  const recreated = 'The object might have been deleted and then recreated';
  expect((await remove({ uid: SOME_UID })).body).toEqual(conflict('UID', SOME_UID, metadata.uid, recreated));
  const { resourceVersion } = (await read('guarded')).body.metadata;
  const modified = conflict('ResourceVersion', '1', resourceVersion, 'The object might have been modified');
  expect((await remove({ resourceVersion: '1' })).body).toEqual(modified);
  expect((await remove({ uid: metadata.uid, resourceVersion })).status).toBe(200);
  expect((await call('DELETE', `${PODS}/nope`)).status).toBe(404);
});

it('leaves a Pod ended that is declared so, and removes it without grace', async () => {
  await makeReadyPod('evicted');
  const status = { phase: 'Failed', reason: 'Evicted' };
  await call('PATCH', `${PODS}/evicted/status`, { status }, MERGE_PATCH);
  expect((await read('evicted')).body.status).toMatchObject(status);
  expect((await call('DELETE', `${PODS}/evicted`)).body.metadata.deletionGracePeriodSeconds).toBe(0);
  expect((await read('evicted')).status).toBe(404);
});

it('answers the delete of a Service with a Status, and then collects its Pods', async () => {
  const service = (await call('POST', SERVICES, serviceManifest('owner'))).body;
  const { uid } = service.metadata;
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Service', name: 'owner', uid }];
  await makeReadyPod('owned', { ownerReferences });
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
  const told = { ...status, details: { name: 'owner', kind: 'services', uid } };
  expect(await call('DELETE', `${SERVICES}/owner`)).toEqual({ status: 200, body: told });
  const { body } = await until(() => read('owned'), isTerminating);
  expect(body.metadata.deletionGracePeriodSeconds).toBe(30);
});

it.each([
  ['a UID that nobody has', 'there', SOME_UID],
  ["a name that is not the owner's", 'other', undefined],
])('collects a Pod whose owner reference has %s', async (_what, name, uid) => {
  const { body } = await call('POST', SERVICES, serviceManifest('there', { type: 'ClusterIP' }));
  const known = body.metadata.uid ?? (await call('GET', `${SERVICES}/there`)).body.metadata.uid;
  const pod = `orphan-${name}`;
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Service', name, uid: uid ?? known }];
  await call('POST', PODS, podManifest(pod, { ownerReferences }));
  await until(() => read(pod), isTerminating);
});
