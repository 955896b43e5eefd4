import { PbfReader } from 'pbf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { loadConfig } from '../../lib/config/index.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import { writeProtobuf } from '../../lib/local/kubernetes/protobuf.ts';
import type { ListedPod, ListedService } from '../../lib/model/listed.ts';
import { openTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type KubernetesObject, sendToKubernetes } from '../support/kubernetes-client.ts';
import { type KubernetesProxy, startKubernetesProxy } from '../support/kubernetes-proxy.ts';
import { openKubernetes } from '../support/open-kubernetes.ts';
import { alter, onNoNode, originalPod, originalService, ownedBy } from '../support/original.ts';

let cluster: TestCluster;
let proxy: KubernetesProxy;
let kubernetes: Kubernetes;

const signal = AbortSignal.timeout(60_000);

beforeAll(async () => {
  cluster = await openTestCluster();
  proxy = await startKubernetesProxy(cluster.access);
  const settings = { ...cluster.settings, KUBECONFIG_PATH: proxy.kubeconfig, K8S_NAMESPACE: cluster.namespace };
  kubernetes = await openKubernetes(loadConfig(settings), signal);
  for (const sandboxId of sandboxIds()) await givenObjects(sandboxId);
}, 60_000);

afterAll(async () => {
  // It would hold the namespace as well.
  if (!cluster.isEmbedded) await cluster.kubernetes.patch('pods', 'sandbox-ends', { metadata: { finalizers: null } });
  await proxy.close();
  await cluster.close();
}, 120_000);

/** The embedded Kubernetes removes a Pod on no node at once: none ends there. */
const sandboxIds = () => ['bare', 'ended', ...(cluster.isEmbedded ? [] : ['ends']), 'running'];

const protobufType = 'application/vnd.kubernetes.protobuf';

const since = '2026-11-22T12:00:00Z';

const container = (name: string, ready: boolean, restartCount: number, state: object, lastState?: object) => {
  return { name, ready, restartCount, image: 'x', imageID: 'x', state, ...(lastState && { lastState }) };
};
const conditions = (isReady: 'True' | 'False') => [
  { type: 'Ready', status: isReady, lastProbeTime: null, lastTransitionTime: since },
  { type: 'Initialized', status: 'True', lastProbeTime: null, lastTransitionTime: null },
];
const startedAt = '1969-12-31T23:00:00Z';
const finishedAt = '1969-12-31T23:59:59Z';

const statuses: Record<string, object> = {
  running: {
    phase: 'Running',
    conditions: conditions('True'),
    containerStatuses: [container('sandbox', true, 3, { running: { startedAt: since } })],
  },
  ended: {
    phase: 'Failed',
    message: 'ü "quoted" \\ \u0007 😀',
    conditions: conditions('False'),
    containerStatuses: [
      container(
        'sandbox',
        false,
        0,
        { terminated: { exitCode: 137, startedAt, finishedAt } },
        { terminated: { exitCode: 1, startedAt: since, finishedAt: since } },
      ),
      container('other', false, 0, { waiting: { reason: 'Error' } }),
    ],
  },
};

/** A sandbox's two objects with all that can be said of them in a list; nobody changes the Pod. */
async function givenObjects(sandboxId: string): Promise<void> {
  const names = { sandboxId, threadId: 'thread-a' };
  const labels = { 'metadata.sandbox-provisioner/team': 'red', 'metadata.sandbox-provisioner/empty': '', other: 'x' };
  const annotations = {
    'sandbox-provisioner/thread-id': 'é "\\\n😀'.repeat(200),
    'sandbox-provisioner/ttl-seconds': '',
    'sandbox-provisioner/user-id': 'alice',
    'sandbox-provisioner/spec-hash': '0123456789abcdef',
    'sandbox-provisioner/as-long-as-it': 'x',
    other: 'x',
  };
  const isBare = sandboxId === 'bare';
  const own = originalService(names) as { metadata: { labels: object } };
  const noted = { annotations, labels: { ...own.metadata.labels, ...labels } };
  const service = alter(own, { metadata: isBare ? {} : noted });
  const made = await cluster.kubernetes.create('services', service);
  const pod = originalPod(names, cluster.settings) as { spec: { volumes: object[] } };
  const metadata = {
    ...(!isBare && { ...ownedBy(made), annotations }),
    ...(sandboxId === 'ends' && { finalizers: ['example.com/hold'] }),
  };
  const volumes = [...pod.spec.volumes, { name: 'scratch', emptyDir: {} }];
  const spec = { volumes, schedulerName: 'none', ...onNoNode };
  await cluster.kubernetes.create('pods', alter(pod, { metadata, spec }));
  const status = statuses[sandboxId];
  if (status !== undefined) await cluster.kubernetes.patch('pods', `sandbox-${sandboxId}`, { status }, 'status');
  if (sandboxId === 'ends') await cluster.kubernetes.remove('pods', 'sandbox-ends');
}

// biome-ignore lint/suspicious/noExplicitAny: what there is in the JSON of Kubernetes
type Json = any;

const pick = (object: Json, ...names: string[]): Json =>
  Object.fromEntries(names.filter((name) => object?.[name] != null).map((name) => [name, object[name]]));

const noted = ['thread-id', 'user-id', 'last-used-at', 'ttl-seconds', 'spec-hash'].map(
  (name) => `sandbox-provisioner/${name}`,
);

const labelsOf = (labels: Json): Json =>
  pick(labels, 'app', 'sandbox-id', ...Object.keys(labels).filter((name) => name.startsWith('metadata.')));

const metadataOf = ({ metadata }: KubernetesObject): Json => ({
  ...pick(metadata, 'name', 'uid', 'resourceVersion', 'creationTimestamp', 'deletionTimestamp'),
  ...(metadata.labels && { labels: labelsOf(metadata.labels) }),
  ...(metadata.annotations && { annotations: pick(metadata.annotations, ...noted) }),
  ...(metadata.ownerReferences && { ownerReferences: metadata.ownerReferences.map((owner) => pick(owner, 'uid')) }),
});

/** What is to be read of a Pod, out of its JSON. */
const podOf = (pod: KubernetesObject): Json => ({
  metadata: metadataOf(pod),
  ...(pod.metadata.ownerReferences === undefined && { spec: volumesOf(pod) }),
  image: pod.spec.containers[0].image,
  status: { phase: pod.status.phase, ...(pod.status.phase === 'Failed' && endOf(pod)) },
});

const volumesOf = ({ spec }: KubernetesObject): Json => ({
  volumes: spec.volumes.map(({ name, hostPath }: Json) => ({
    name,
    ...(hostPath && { hostPath: pick(hostPath, 'path') }),
  })),
});

const endOf = ({ status }: KubernetesObject): Json => ({
  conditions: (status.conditions ?? []).map((condition: Json) => pick(condition, 'lastTransitionTime')),
  containerStatuses: (status.containerStatuses ?? []).map(({ state }: Json) => ({
    state: state.terminated ? { terminated: pick(state.terminated, 'finishedAt') } : {},
  })),
});

const serviceOf = (service: KubernetesObject): Json => ({
  metadata: metadataOf(service),
  spec: { ports: service.spec.ports.map((port: Json) => pick(port, 'name', 'nodePort')) },
});

/** What was read of a list, as JSON with nothing but that in it: a server that writes JSON tells more. */
const asJson = (items: ListedPod[] | ListedService[], read: (object: KubernetesObject) => Json): Json =>
  items.map((item) => read(JSON.parse(JSON.stringify(item).replaceAll('.000Z"', 'Z"'))));

type ReadField = { number: number; value: number | Buffer };

/** The fields of a message; undefined where the bytes are none. */
function readFields(message: Buffer): ReadField[] | undefined {
  const reader = new PbfReader(message);
  const fields: ReadField[] = [];
  try {
    for (let number = reader.nextField(); number !== 0; number = reader.nextField()) {
      const isBytes = reader.type === 2;
      fields.push({ number, value: isBytes ? (reader.readBytes() as Buffer) : reader.readVarint(true) });
    }
  } catch {
    return undefined;
  }
  return reader.pos === message.length ? fields : undefined;
}

/** The fields of a message, and of those within it, that are not so in another message, which may have more of them. */
function findForeign(message: Buffer, other: Buffer, path = ''): string[] {
  const others = readFields(other) ?? [];
  let at = 0;
  return (readFields(message) ?? []).flatMap(({ number, value }) => {
    at = others.findIndex((field, index) => index >= at && field.number === number);
    const found = others[at]?.value;
    at = at < 0 ? others.length : at + 1;
    const place = `${path}/${number}`;
    if (!(value instanceof Buffer && found instanceof Buffer)) return value === found ? [] : [`${place}: ${value}`];
    if (value.equals(found)) return [];
    return readFields(value) && readFields(found) ? findForeign(value, found, place) : [`${place}: ${value}`];
  });
}

const byName = (one: KubernetesObject, other: KubernetesObject) => (one.metadata.name < other.metadata.name ? -1 : 1);

describe('lists', () => {
  it('tell of Pods what their JSON does, with their times as Dates', async () => {
    const expected = (await cluster.kubernetes.list('pods')).toSorted(byName);
    const items = await kubernetes.listPods(signal);
    expect(asJson(items, podOf)).toEqual(expected.map(podOf));
    expect(items.map(({ metadata }) => metadata?.name)).toEqual(sandboxIds().map((id) => `sandbox-${id}`));
    const [bare, ended] = items;
    expect(bare?.metadata?.creationTimestamp).toBeInstanceOf(Date);
    expect(bare?.metadata).not.toHaveProperty('deletionTimestamp');
    const ends = items.filter(({ metadata }) => metadata?.deletionTimestamp instanceof Date);
    expect(ends.length).toBe(cluster.isEmbedded ? 0 : 1);
    const terminated = ended?.status?.containerStatuses?.[0]?.state?.terminated;
    expect(terminated?.finishedAt).toEqual(new Date(finishedAt));
  });

  it('tell of Services what their JSON does', async () => {
    const expected = (await cluster.kubernetes.list('services')).toSorted(byName);
    const items = await kubernetes.listServices(signal);
    expect(items.length).toBe(sandboxIds().length);
    expect(asJson(items, serviceOf)).toEqual(expected.map(serviceOf));
  });

  it('are asked for as protobuf', async () => {
    proxy.reset();
    await kubernetes.listPods(signal);
    await kubernetes.listServices(signal);
    expect(proxy.calls.map(({ clusterType }) => clusterType)).toEqual([protobufType, protobufType]);
  });

  it.each([
    ['pods', ''],
    ['services', '?limit=2'],
    ['services', '?continue=no-token'],
  ])('are written in protobuf by the embedded Kubernetes as by every other: %s%s', async (resource, query) => {
    const path = `/api/v1/namespaces/${cluster.namespace}/${resource}${query}`;
    const ask = (accept: string) =>
      sendToKubernetes(cluster.address, { method: 'GET', path, headers: { accept }, text: '' });
    // A list bears the revision of the whole cluster, which others may change.
    const { json, protobuf } = await eventually(
      'the same before and after: a list',
      async () => ({
        json: await ask('application/json'),
        protobuf: await ask(protobufType),
        after: await ask('application/json'),
      }),
      ({ json, after }) => json.text === after.text,
    );
    const written = writeProtobuf(JSON.parse(json.text)) as Buffer;
    const answered = protobuf.bytes as Buffer;
    expect(written.subarray(0, 4)).toEqual(answered.subarray(0, 4));
    expect(findForeign(written.subarray(4), answered.subarray(4))).toEqual([]);
  });

  it('are refused in protobuf as well, in words that are understood', async () => {
    proxy.reset();
    await expect(kubernetes.readServicePage(2, 'no token of Kubernetes', signal)).rejects.toMatchObject({
      name: 'KubernetesError',
      status: { code: 400, reason: 'BadRequest', message: expect.stringContaining('continue key is not valid') },
    });
    expect(proxy.calls.map(({ clusterType }) => clusterType)).toEqual([protobufType]);
  });
});
