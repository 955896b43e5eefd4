import { mkdir, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../lib/config.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import type { ClusterAccess } from '../../lib/kubernetes/kubeconfig.ts';
import { openAccess } from '../../lib/kubernetes/sources.ts';
import { kubeconfigText, temporaryFolder, writeKubeconfig } from './api-server.ts';

const never = new AbortController().signal;
const load = async (env: Record<string, string>, signal = never): Promise<ClusterAccess> => {
  const config = loadConfig({ KUBECONFIG_WAIT_SECONDS: '0', ...env });
  return (await openAccess(config, signal, () => new Date())).current(signal);
};

async function errorOf(env: Record<string, string>, signal = never): Promise<ProvisionerError> {
  const error = await load(env, signal).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProvisionerError);
  return error as ProvisionerError;
}

async function withText(text: string): Promise<string> {
  const path = join(await temporaryFolder(), 'kubeconfig');
  await writeFile(path, text);
  return path;
}

// Where the tests themselves run in a Pod, they are not to find its service account.
beforeEach(() => {
  vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
  vi.stubEnv('KUBERNETES_SERVICE_PORT', undefined);
});
afterEach(() => vi.unstubAllEnvs());

describe('the kubeconfig file', () => {
  it('says where the API server is and who we are there', async () => {
    const access = await load({ KUBECONFIG_PATH: await writeKubeconfig({ server: 'https://10.0.0.1:6443/prefix/' }) });
    expect(access).toMatchObject({ server: 'https://10.0.0.1:6443/prefix', certificateHost: undefined });
    expect(access.user).toMatchObject({ name: 'u', token: 'test-token' });
  });

  it('goes before what the Pod has been given', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.96.0.1');
    vi.stubEnv('KUBERNETES_SERVICE_PORT', '443');
    const access = await load({ KUBECONFIG_PATH: await writeKubeconfig({ server: 'https://10.0.0.1:6443' }) });
    expect(access.server).toBe('https://10.0.0.1:6443');
  });

  it('may come while it is waited for', async () => {
    const path = join(await temporaryFolder(), 'later', 'kubeconfig');
    const loading = load({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '10' });
    setTimeout(async () => {
      await mkdir(join(path, '..'));
      await writeFile(path, kubeconfigText({ server: 'https://10.0.0.1:6443' }));
    }, 300);
    await expect(loading).resolves.toMatchObject({ server: 'https://10.0.0.1:6443' });
  });

  it('is waited for no longer than is configured', async () => {
    const path = join(await temporaryFolder(), 'kubeconfig');
    const start = performance.now();
    await errorOf({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '1' });
    expect(performance.now() - start).toBeGreaterThan(700);
    expect(performance.now() - start).toBeLessThan(1500);
  });

  it('is waited for no longer than the operation may take', async () => {
    const path = join(await temporaryFolder(), 'kubeconfig');
    const start = performance.now();
    const error = await errorOf({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '30' }, AbortSignal.timeout(300));
    expect(error.outcome).toBe('unavailable');
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('is not waited for where the wait is 0', async () => {
    const start = performance.now();
    await errorOf({ KUBECONFIG_PATH: join(await temporaryFolder(), 'kubeconfig') });
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('that is not there, outside of a cluster: says what was tried, and when to come again', async () => {
    const path = join(await temporaryFolder(), 'kubeconfig');
    expect(await errorOf({ KUBECONFIG_PATH: path })).toMatchObject({
      outcome: 'unavailable',
      detail: `No kubeconfig at ${path}, and in-cluster config is unavailable: this is not a Pod with a service account`,
      headers: { 'retry-after': '5' },
    });
  });

  it('that is not there, where a Pod has an API server but no service account', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.96.0.1');
    vi.stubEnv('KUBERNETES_SERVICE_PORT', '443');
    const path = join(await temporaryFolder(), 'kubeconfig');
    const error = await errorOf({ KUBECONFIG_PATH: path });
    expect(error).toMatchObject({ outcome: 'unavailable', detail: expect.stringContaining(path) });
    expect(error.detail).toContain('in-cluster config is unavailable');
  });

  it('that would be below a file is not there', async () => {
    const path = join(await withText('x'), 'kubeconfig');
    expect(await errorOf({ KUBECONFIG_PATH: path })).toMatchObject({ outcome: 'unavailable' });
  });

  it('may not be a folder; that is told at once, whatever the wait', async () => {
    const path = await temporaryFolder();
    const start = performance.now();
    expect(await errorOf({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '30' })).toMatchObject({
      outcome: 'misconfigured',
      detail: `Kubeconfig path is a directory, expected a file: ${path}`,
    });
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it.skipIf(process.platform === 'win32')('may not be a device', async () => {
    expect(await errorOf({ KUBECONFIG_PATH: '/dev/null' })).toMatchObject({
      outcome: 'misconfigured',
      detail: 'Kubeconfig path exists but is not a regular file: /dev/null',
    });
  });

  it.skipIf(process.platform === 'win32')('may not be a socket', async () => {
    const path = join(await temporaryFolder(), 's');
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => void server.close());
    expect(await errorOf({ KUBECONFIG_PATH: path })).toMatchObject({
      outcome: 'misconfigured',
      detail: `Kubeconfig path exists but is not a regular file: ${path}`,
    });
  });

  it.each([
    ['no YAML', '{ "clusters": ['],
    ['empty', ''],
    ['null', 'null'],
    ['with an entry that is none', 'clusters: [7]'],
    ['with a cluster without a server', 'clusters: [{name: c, cluster: {}}]'],
    ['with a cluster of which the server is a number', 'clusters: [{name: c, cluster: {server: 7}}]'],
  ])('may not be %s; what is in it is not shown', async (_what, text) => {
    const path = await withText(text);
    const error = await errorOf({ KUBECONFIG_PATH: path });
    expect(error).toMatchObject({
      outcome: 'misconfigured',
      detail: expect.stringMatching(
        new RegExp(`^Failed to load kubeconfig from ${path}: it is not valid( \\(line 1\\))?$`),
      ),
    });
    // The parser's message quotes the file, and the log would have it.
    expect((error as Error).cause).toBeUndefined();
  });

  const cluster = { name: 'c', cluster: { server: 'https://10.0.0.1:6443' } };
  const user = { name: 'u', user: {} };
  const context = { name: 'x', context: { cluster: 'c', user: 'u' } };

  it.each<[string, object, string]>([
    ['nothing at all', {}, "no cluster for its current context ''"],
    [
      'no current context',
      { clusters: [cluster], users: [user], contexts: [context] },
      "no cluster for its current context ''",
    ],
    [
      'a current context that is not there',
      { clusters: [cluster], users: [user], contexts: [context], 'current-context': 'y' },
      "no cluster for its current context 'y'",
    ],
    [
      'no cluster',
      { users: [user], contexts: [context], 'current-context': 'x' },
      "no cluster for its current context 'x'",
    ],
    [
      'no user',
      { clusters: [cluster], contexts: [context], 'current-context': 'x' },
      "no user for its current context 'x'",
    ],
  ])('may not have %s', async (_what, content, missing) => {
    const path = await withText(JSON.stringify(content));
    expect(await errorOf({ KUBECONFIG_PATH: path })).toMatchObject({
      outcome: 'misconfigured',
      detail: `The kubeconfig ${path} has ${missing}`,
    });
  });

  it.each([
    '10.0.0.1:6443',
    'localhost:6443',
    'https://',
    'https://me:top-secret@kube.example:port',
    'ftp://kube.example',
  ])('may not name a server that is no URL, and does not quote it: %s', async (server) => {
    const path = await writeKubeconfig({ server });
    expect(await errorOf({ KUBECONFIG_PATH: path, K8S_API_SERVER: 'https://10.0.0.2' })).toMatchObject({
      outcome: 'misconfigured',
      detail: `The kubeconfig ${path} names no valid server: it must be an http:// or https:// URL`,
    });
  });
});

describe('the name that the certificate must bear', () => {
  it.each<
    [string, string, Record<string, unknown>, Record<string, string>, { server: string; certificateHost?: string }]
  >([
    ["is the server's own", 'https://kube.example:6443', {}, {}, { server: 'https://kube.example:6443' }],
    [
      'stays that of the kubeconfig under K8S_API_SERVER',
      'https://kube.example:6443',
      {},
      { K8S_API_SERVER: 'https://host.docker.internal:6443/' },
      { server: 'https://host.docker.internal:6443', certificateHost: 'kube.example' },
    ],
    [
      'may be an address',
      'https://127.0.0.1:6443',
      {},
      { K8S_API_SERVER: 'https://host.docker.internal:6443' },
      { server: 'https://host.docker.internal:6443', certificateHost: '127.0.0.1' },
    ],
    [
      'has no brackets around an IPv6 address',
      'https://[::1]:6443',
      {},
      { K8S_API_SERVER: 'https://host.docker.internal:6443' },
      { server: 'https://host.docker.internal:6443', certificateHost: '::1' },
    ],
    [
      'is what the kubeconfig says with tls-server-name',
      'https://10.0.0.1:6443',
      { 'tls-server-name': 'kube.example' },
      {},
      { server: 'https://10.0.0.1:6443', certificateHost: 'kube.example' },
    ],
    [
      'is what the kubeconfig says with tls-server-name, under K8S_API_SERVER too',
      'https://10.0.0.1:6443',
      { 'tls-server-name': 'kube.example' },
      { K8S_API_SERVER: 'https://host.docker.internal' },
      { server: 'https://host.docker.internal', certificateHost: 'kube.example' },
    ],
  ])('%s', async (_what, server, cluster, env, expected) => {
    const access = await load({ KUBECONFIG_PATH: await writeKubeconfig({ server, cluster }), ...env });
    expect({ server: access.server, certificateHost: access.certificateHost }).toEqual(expected);
  });
});
