import { randomInt } from 'node:crypto';
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
  for (;;) {
    // Another run of the tests looks for its own at the same moment.
    const port = 24_000 + 3 * randomInt(1_000);
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
const { call } = await startTestCluster({ nodePortRange: range });
// Another one, in which nothing is deleted before: that would have the quotas counted at any moment.
const limited = await startTestCluster({ quotaResyncMs: 1000, startupMs: 100_000 });

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
  const words = `Internal error occurred: ${message}`;
  const full = { status: 500, body: failure(500, 'InternalError', words, { causes: [{ message }] }) };
  expect(await call('POST', SERVICES, serviceManifest('three'))).toEqual(full);
  // The port is looked for before the name: also a repeated create fails so.
  expect(await call('POST', SERVICES, serviceManifest('one'))).toEqual(full);

  await call('DELETE', `${SERVICES}/one`);
  expect(await isListening(nodePortOf(one))).toBe(false);
  const again = (await call('POST', SERVICES, serviceManifest('again'))).body;
  expect(nodePortOf(again)).toBe(nodePortOf(one));
});

/** A namespace with one quota, once that is counted. */
async function makeQuota(namespace: string, hard: object): Promise<() => Promise<Json>> {
  await limited.call('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
  const path = `/api/v1/namespaces/${namespace}/resourcequotas`;
  await limited.call('POST', path, { metadata: { name: 'q' }, spec: { hard } });
  const used = async () => (await limited.call('GET', `${path}/q`)).body.status.used;
  await until(used, (found) => found !== undefined);
  return used;
}

it('refuses what a quota does not have, and forgives what failed creates were charged', async () => {
  const used = await makeQuota('quota', { services: '2', 'services.nodeports': '2', pods: '2', 'count/pods': '5' });
  const path = '/api/v1/namespaces/quota/services';
  await limited.call('POST', path, serviceManifest('a'));
  expect(await limited.call('POST', path, serviceManifest('a'))).toMatchObject({ status: 409 });
  expect(await used()).toEqual({ 'count/pods': '0', pods: '0', services: '2', 'services.nodeports': '2' });
  // The quota is looked at before the name.
  const words =
    'services "a" is forbidden: exceeded quota: q, requested: services=1,services.nodeports=1, ' +
    'used: services=2,services.nodeports=2, limited: services=2,services.nodeports=2';
  const body = failure(403, 'Forbidden', words, { name: 'a', kind: 'services' });
  expect(await limited.call('POST', path, serviceManifest('a'))).toEqual({ status: 403, body });
  await until(used, ({ services }) => services === '1');
  expect((await limited.call('POST', path, serviceManifest('b'))).status).toBe(201);
  await limited.call('DELETE', `${path}/a`);
  await until(used, ({ services }) => services === '1');
  await limited.call('DELETE', `${path}/b`);
});

it('counts a Pod that has ended as an object alone', async () => {
  const used = await makeQuota('ended', { pods: '1', 'count/pods': '2' });
  const path = '/api/v1/namespaces/ended/pods';
  await limited.call('POST', path, podManifest('a'));
  expect((await limited.call('POST', path, podManifest('b'))).body.message).toBe(
    'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
  );
  await limited.call('PATCH', `${path}/a/status`, { status: { phase: 'Succeeded' } }, MERGE_PATCH);
  expect(await until(used, ({ pods }) => pods === '0')).toEqual({ pods: '0', 'count/pods': '1' });
  expect((await limited.call('POST', path, podManifest('b'))).status).toBe(201);
});

it('takes no quota that it does not count', async () => {
  const quota = { metadata: { name: 'q' }, spec: { hard: { 'requests.cpu': '1' } } };
  const { status, body } = await limited.call('POST', '/api/v1/namespaces/default/resourcequotas', quota);
  expect([status, body.message]).toEqual([501, 'the embedded Kubernetes does not support a quota of requests.cpu']);
});
