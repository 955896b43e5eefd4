import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { startEmbeddedKubernetes } from '../../../lib/local/kubernetes/index.ts';
import { findFreePorts, isListening } from '../../support/free-ports.ts';
import { failure, failureOf, podManifest, serviceManifest, startTestCluster, until } from './cluster.ts';

const cluster = await startTestCluster();
const { api, call } = cluster;

it('serves the real client what a sandbox is made of', async () => {
  await api.createNamespace({ body: { metadata: { name: 'first' } } });
  const service = await api.createNamespacedService({ namespace: 'first', body: serviceManifest('web') });
  const nodePort = service.spec?.ports?.[0]?.nodePort ?? 0;
  const pod = await api.createNamespacedPod({ namespace: 'first', body: podManifest('web') });
  expect(pod.status?.phase).toBe('Pending');
  const isReady = await until(
    () => api.readNamespacedPod({ namespace: 'first', name: 'web' }),
    ({ status }) => status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true,
  );
  expect(isReady.status).toMatchObject({ phase: 'Running', hostIP: '127.0.0.1' });
  const answer = await fetch(`http://127.0.0.1:${nodePort}/v1/sandbox`);
  const message = 'This is a stand-in of the embedded Kubernetes, not a real sandbox: it runs nothing.';
  expect([answer.status, await answer.json()]).toEqual([200, { status: 'ready', stand_in: true, pod: 'web', message }]);
  expect((await fetch(`http://127.0.0.1:${nodePort}/other`)).status).toBe(404);
  const { items } = await api.listNamespacedPod({ namespace: 'first', labelSelector: 'app=x' });
  expect(items.map(({ metadata }) => metadata?.name)).toEqual(['web']);
  const deleted = await api.deleteNamespacedPod({ namespace: 'first', name: 'web' });
  expect(deleted.metadata?.deletionGracePeriodSeconds).toBe(30);
});

it('resets connections to a NodePort that has no Pod', async () => {
  const service = serviceManifest('lonely', { selector: { no: 'pod' } });
  const { body } = await call('POST', '/api/v1/namespaces/default/services', service);
  await expect(fetch(`http://127.0.0.1:${body.spec.ports[0].nodePort}/v1/sandbox`)).rejects.toThrow('fetch failed');
});

it('permits whoever bears its token everything, and says so; of anything but resources it says nothing', async () => {
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const spec = { resourceAttributes: { namespace: 'default', verb: 'delete', group: '', resource: 'pods' } };
  const review = { kind: 'SelfSubjectAccessReview', apiVersion: 'authorization.k8s.io/v1', metadata: {}, spec };
  expect(await call('POST', path, { spec })).toEqual({ status: 201, body: { ...review, status: { allowed: true } } });
  const others = { nonResourceAttributes: { verb: 'get', path: '/' } };
  expect(await call('POST', path, { spec: others })).toMatchObject({ status: 501 });
});

it.each(['', 'Bearer wrong', 'Basic abc'])('refuses the credentials %j', async (authorization) => {
  const answer = await fetch(`${cluster.kubernetes.server}/api/v1/pods`, { headers: { authorization } });
  expect([answer.status, await answer.json()]).toEqual([401, failure(401, 'Unauthorized', 'Unauthorized')]);
});

it.each([
  ...['/api/v1/nope', '/api/v1/namespaces/default/nope/x', '/api/v1/namespaces/default/pods/x/nope', '/api/v1/pods'],
  ...['/api/v1/namespaces/default/namespaces', '/api/v1/__proto__', '/api/v2', '/nope'],
])('knows no %s', async (path) => {
  const body = failure(404, 'NotFound', 'the server could not find the requested resource', {});
  expect(await call('GET', path)).toEqual({ status: 404, body });
});

it.each([
  ['PUT', '/api/v1/namespaces/default/pods'],
  ['DELETE', '/api/v1/namespaces'],
  ['DELETE', '/api/v1/namespaces/default/services'],
  ['POST', '/api/v1/namespaces/default/pods/x'],
  ['DELETE', '/api/v1/namespaces/default/pods/x/status'],
])('does not allow %s %s', async (method, path) => {
  const message = 'the server does not allow this method on the requested resource';
  const body = failure(405, 'MethodNotAllowed', message, {});
  expect(await call(method, path, method === 'DELETE' ? undefined : {})).toEqual({ status: 405, body });
});

it.each([
  ['GET', '/pods?watch=true', undefined, 'watch'],
  ['GET', '/pods?fieldSelector=metadata.name%3Dx', undefined, 'fieldSelector'],
  ['POST', '/pods?dryRun=All', {}, 'dryRun'],
  ['DELETE', '/pods/x', { propagationPolicy: 'Orphan' }, 'propagationPolicy'],
])('says what it does not support: %s %s', async (method, path, body, what) => {
  await call('POST', '/api/v1/namespaces/default/pods', podManifest('x'));
  expect(await call(method, `/api/v1/namespaces/default${path}`, body)).toEqual({
    status: 501,
    body: failure(501, 'NotImplemented', `the embedded Kubernetes does not support ${what}`),
  });
});

it('leaves nothing open when it is closed', async () => {
  // Ports that nobody else takes once they are free.
  const [port = 0, nodePort = 0] = await findFreePorts(2);
  const nodePortRange = [nodePort, nodePort] as const;
  const other = await startEmbeddedKubernetes({ port, nodePortRange, startupMs: 0, readyMs: 0 });
  const { users } = JSON.parse(other.kubeconfig);
  const headers = { authorization: `Bearer ${users[0].user.token}`, 'content-type': 'application/json' };
  const created = await fetch(`${other.server}/api/v1/namespaces/default/services`, {
    method: 'POST',
    headers,
    body: JSON.stringify(serviceManifest('web')),
  });
  const { spec } = (await created.json()) as { spec: { ports: { nodePort: number }[] } };
  const ports = [Number(new URL(other.server).port), spec.ports[0]?.nodePort ?? 0];
  // A connection that nobody closes must not hold it up.
  const idle = connect(ports[0] ?? 0, '127.0.0.1').on('error', () => {});
  await new Promise((resolve) => idle.once('connect', resolve));
  await other.close();
  for (const port of ports) expect(await isListening(port)).toBe(false);
});

it('rejects when its port is taken', async () => {
  const port = Number(new URL(cluster.kubernetes.server).port);
  await expect(startEmbeddedKubernetes({ port })).rejects.toThrow('EADDRINUSE');
});

it('creates nothing in a namespace that is missing or on its way out', async () => {
  expect(await failureOf(api.createNamespacedPod({ namespace: 'nope', body: podManifest('a') }))).toEqual({
    code: 404,
    body: failure(404, 'NotFound', 'namespaces "nope" not found', { name: 'nope', kind: 'namespaces' }),
  });
  expect((await call('GET', '/api/v1/namespaces/nope/pods')).body).toMatchObject({ kind: 'PodList', items: [] });

  await call('POST', '/api/v1/namespaces', { metadata: { name: 'going' } });
  await call('POST', '/api/v1/namespaces/going/services', serviceManifest('web'));
  await call('POST', '/api/v1/namespaces/going/pods', podManifest('web'));
  await until(
    () => call('GET', '/api/v1/namespaces/going/pods/web'),
    ({ body }) => body.status.phase === 'Running',
  );
  const { body } = await call('DELETE', '/api/v1/namespaces/going');
  expect(body).toMatchObject({ kind: 'Namespace', status: { phase: 'Terminating' } });
  const message =
    'pods "b" is forbidden: unable to create new content in namespace going because it is being terminated';
  expect(await call('POST', '/api/v1/namespaces/going/pods', podManifest('b'))).toEqual({
    status: 403,
    body: failure(403, 'Forbidden', message, {
      name: 'b',
      kind: 'pods',
      causes: [
        { reason: 'NamespaceTerminating', message: 'namespace going is being terminated', field: 'metadata.namespace' },
      ],
    }),
  });
  const gone = () => call('GET', '/api/v1/namespaces/going');
  await until(gone, ({ status }) => status === 404);
  expect((await call('GET', '/api/v1/namespaces/going/services')).body.items).toEqual([]);
});
