import { createServer, type Server } from 'node:net';
import { afterAll, expect, it } from 'vitest';
import { failure, MERGE_PATCH, podManifest, serviceManifest, startTestCluster, until } from './cluster.ts';

// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever JSON it is.
type Json = any;

/** Two neighbouring ports of which the second is in use by this test. */
async function findRange(): Promise<{ range: [number, number]; taken: Server }> {
  const listen = (port: number) =>
    new Promise<Server | undefined>((resolve) => {
      const server = createServer().once('error', () => resolve(undefined));
      server.listen(port, '127.0.0.1', () => resolve(server));
    });
  for (let port = 24_000; ; port += 3) {
    const servers = await Promise.all([listen(port), listen(port + 1), listen(port + 2)]);
    const [first, second, third] = servers;
    first?.close();
    third?.close();
    if (first && second && third) return { range: [port, port + 2], taken: second };
    second?.close();
  }
}

const { range, taken } = await findRange();
afterAll(() => taken.close());
const { call } = await startTestCluster({ nodePortRange: range, quotaResyncMs: 300, startupMs: 100_000 });

const SERVICES = '/api/v1/namespaces/default/services';
const nodePortOf = (service: Json): number => service.spec.ports[0].nodePort;
const isListening = async (port: number) =>
  fetch(`http://127.0.0.1:${port}`).then(
    () => true,
    (error: { cause?: { code?: string } }) => error.cause?.code !== 'ECONNREFUSED',
  );

it('runs out of NodePorts, passes over one in use, and gives a freed one out again', async () => {
  const one = (await call('POST', SERVICES, serviceManifest('one'))).body;
  const two = (await call('POST', SERVICES, serviceManifest('two'))).body;
  expect([nodePortOf(one), nodePortOf(two)].sort()).toEqual([range[0], range[1]]);
  const message = 'failed to allocate a nodePort: range is full';
  const full = {
    status: 500,
    body: failure(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] }),
  };
  expect(await call('POST', SERVICES, serviceManifest('three'))).toEqual(full);
  // The port is looked for before the name: also a repeated create fails so.
  expect(await call('POST', SERVICES, serviceManifest('one'))).toEqual(full);

  const ports = [{ port: 1, nodePort: nodePortOf(two) }];
  expect((await call('POST', SERVICES, serviceManifest('three', { ports }))).body.details.causes).toEqual([
    {
      reason: 'FieldValueInvalid',
      message: `Invalid value: ${nodePortOf(two)}: provided port is already allocated`,
      field: 'spec.ports[0].nodePort',
    },
  ]);
  await call('DELETE', `${SERVICES}/one`);
  expect(await isListening(nodePortOf(one))).toBe(false);
  const again = (await call('POST', SERVICES, serviceManifest('again'))).body;
  expect(nodePortOf(again)).toBe(nodePortOf(one));
});

it('gives a port back that a Service no longer has', async () => {
  const { body } = await call('PATCH', `${SERVICES}/again`, { spec: { type: 'ClusterIP' } }, MERGE_PATCH);
  expect(body.spec).not.toHaveProperty('externalTrafficPolicy');
  expect(body.spec.ports).toEqual([{ name: 'http', port: 8080, protocol: 'TCP', targetPort: 8080 }]);
  const next = await call('PATCH', `${SERVICES}/again`, { spec: { type: 'NodePort' } }, MERGE_PATCH);
  expect(nodePortOf(next.body)).toEqual(expect.any(Number));
  await call('DELETE', `${SERVICES}/again`);
  await call('DELETE', `${SERVICES}/two`);
});

/** A namespace with one quota, once that is counted. */
async function makeQuota(namespace: string, hard: object): Promise<() => Promise<Json>> {
  await call('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
  const path = `/api/v1/namespaces/${namespace}/resourcequotas`;
  await call('POST', path, { metadata: { name: 'q' }, spec: { hard } });
  const used = async () => (await call('GET', `${path}/q`)).body.status.used;
  await until(used, (found) => found !== undefined);
  return used;
}

it('refuses what a quota does not have, and forgives what failed creates were charged', async () => {
  const used = await makeQuota('quota', { services: '2', 'services.nodeports': '2', pods: '2', 'count/pods': '5' });
  const path = '/api/v1/namespaces/quota/services';
  await call('POST', path, serviceManifest('a'));
  expect(await call('POST', path, serviceManifest('a'))).toMatchObject({ status: 409 });
  expect(await used()).toEqual({ 'count/pods': '0', pods: '0', services: '2', 'services.nodeports': '2' });
  // The quota is looked at before the name.
  expect(await call('POST', path, serviceManifest('a'))).toEqual({
    status: 403,
    body: failure(
      403,
      'Forbidden',
      'services "a" is forbidden: exceeded quota: q, requested: services=1,services.nodeports=1, ' +
        'used: services=2,services.nodeports=2, limited: services=2,services.nodeports=2',
      { name: 'a', kind: 'services' },
    ),
  });
  await until(used, ({ services }) => services === '1');
  expect((await call('POST', path, serviceManifest('b'))).status).toBe(201);
  await call('DELETE', `${path}/a`);
  await until(used, ({ services }) => services === '1');
  await call('DELETE', `${path}/b`);
});

it('counts a Pod that has ended as an object alone', async () => {
  const used = await makeQuota('ended', { pods: '1', 'count/pods': '2' });
  const path = '/api/v1/namespaces/ended/pods';
  await call('POST', path, podManifest('a'));
  expect((await call('POST', path, podManifest('b'))).body.message).toBe(
    'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
  );
  await call('PATCH', `${path}/a/status`, { status: { phase: 'Succeeded' } }, MERGE_PATCH);
  expect(await until(used, ({ pods }) => pods === '0')).toEqual({ pods: '0', 'count/pods': '1' });
  expect((await call('POST', path, podManifest('b'))).status).toBe(201);
});

it('counts what Pods ask for', async () => {
  const used = await makeQuota('compute', { 'requests.cpu': '1', 'limits.memory': '1Gi' });
  const path = '/api/v1/namespaces/compute/pods';
  const pod = (name: string, resources: object) =>
    podManifest(name, { spec: { containers: [{ name: 'a', image: 'b', resources }] } });
  const post = async (name: string, resources: object) => (await call('POST', path, pod(name, resources))).body.message;
  expect(await post('a', {})).toBe('pods "a" is forbidden: failed quota: q: must specify limits.memory,requests.cpu');
  const resources = { requests: { cpu: '600m' }, limits: { memory: '512Mi' } };
  expect(await post('a', resources)).toBe(undefined);
  expect(await used()).toEqual({ 'limits.memory': '512Mi', 'requests.cpu': '600m' });
  expect(await post('b', resources)).toBe(
    'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, ' +
      'limited: requests.cpu=1',
  );
});
