import fs from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import type { ClusterAccess } from '../../lib/kubernetes/credentials/kubeconfig.ts';
import { openAccess } from '../../lib/kubernetes/credentials/sources.ts';
import { log } from '../../lib/log.ts';
import { makeCertificate } from '../support/certificate.ts';
import { kubeconfigText, startApiServer, temporaryFolder, writeKubeconfig } from './api-server.ts';

const never = new AbortController().signal;
const load = async (env: Record<string, string>, signal = never): Promise<ClusterAccess> => {
  const config = loadConfig({ KUBECONFIG_WAIT_SECONDS: '0', ...env });
  return (await openAccess(config, signal, () => new Date())).get(signal);
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
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

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
    ['a list', '- top-secret'],
    ['a text', 'top-secret'],
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

  it('may not be of another kind', async () => {
    const path = await withText('apiVersion: v1\nkind: Secret\nstringData: {token: top-secret}\n');
    expect(await errorOf({ KUBECONFIG_PATH: path })).toMatchObject({
      outcome: 'misconfigured',
      detail: `Failed to load kubeconfig from ${path}: it is of another kind than Config`,
    });
  });

  it('is one file: what names several, as KUBECONFIG may for kubectl, is refused at once', async () => {
    const [one, other] = [
      await writeKubeconfig({ server: 'https://10.0.0.1' }),
      join(await temporaryFolder(), 'other'),
    ];
    const path = [one, other].join(':');
    const start = performance.now();
    expect(await errorOf({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '30' })).toMatchObject({
      outcome: 'misconfigured',
      detail: `KUBECONFIG_PATH is the path of one file, and no list of files: ${path}`,
    });
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('may have a colon in its name', async () => {
    const path = join(await temporaryFolder(), 'a:b');
    await writeFile(path, kubeconfigText({ server: 'https://10.0.0.1:6443' }));
    expect(await load({ KUBECONFIG_PATH: path })).toMatchObject({ server: 'https://10.0.0.1:6443' });
  });
});

const cluster = { name: 'c', cluster: { server: 'https://10.0.0.1:6443' } };
const user = { name: 'u', user: { token: 'test-token' } };
const context = { name: 'x', context: { cluster: 'c', user: 'u' } };
const whole = { clusters: [cluster], users: [user], contexts: [context], 'current-context': 'x' };
const withLists = (lists: object) => withText(JSON.stringify({ ...whole, ...lists }));

describe('the context of a kubeconfig', () => {
  // The client refused them all, without a name.
  it.each<[string, object]>([
    ['a context that is null', { contexts: [context, { name: 'y', context: null }] }],
    ['a context that names no cluster', { contexts: [{ name: 'y', context: { user: 'u' } }, context] }],
    ['a context without a name', { contexts: [{ context: { cluster: 'd', user: 'v' } }, context] }],
    ['a cluster without a server', { clusters: [{ name: 'd', cluster: {} }, cluster] }],
    ['a cluster that is null', { clusters: [{ name: 'd', cluster: null }, cluster] }],
    ['a cluster of which the server is a number', { clusters: [{ name: 'd', cluster: { server: 7 } }, cluster] }],
    ['a user without a name', { users: [{ user: {} }, user] }],
    ['a user who cannot log in', { users: [user, { name: 'v', user: { exec: {} } }] }],
    ['what is nothing', { clusters: [null, cluster], users: [null, user], contexts: [null, context] }],
    ['the same name twice', { users: [user, { name: 'v', user: {} }, { name: 'v', user: {} }] }],
  ])('is good beside %s', async (_what, lists) => {
    const access = await load({ KUBECONFIG_PATH: await withLists(lists) });
    expect(access).toMatchObject({ server: 'https://10.0.0.1:6443', user: { name: 'u', token: 'test-token' } });
  });

  it.each<[string, object]>([
    ['who has nothing', { users: [{ name: 'u', user: {} }] }],
    ['who is null', { users: [{ name: 'u', user: null }] }],
    ['who has nothing that is not null', { users: [{ name: 'u', user: { token: null, exec: null } }] }],
    ['whom it does not name', { contexts: [{ name: 'x', context: { cluster: 'c' } }], users: null }],
  ])('may be that of nobody, as for kubectl: a user %s', async (_what, lists) => {
    const { user } = await load({ KUBECONFIG_PATH: await withLists(lists) });
    const { name: _name, impersonation = {}, ...rest } = user;
    expect([Object.values(rest).filter((value) => value !== undefined), impersonation]).toEqual([[], {}]);
  });

  it.each<[string, object, string]>([
    [
      'nothing at all',
      { contexts: null, 'current-context': null },
      'The KUBECONFIG has no current-context, and KUBECONFIG_CONTEXT is not set: it has none',
    ],
    [
      'no current context',
      { 'current-context': '' },
      "The KUBECONFIG has no current-context, and KUBECONFIG_CONTEXT is not set: it has 'x'",
    ],
    [
      'a current context that is not there',
      { 'current-context': 'y' },
      "The KUBECONFIG has no context 'y' (current-context): it has 'x'",
    ],
    [
      'a context that is null',
      { contexts: [{ name: 'x', context: null }] },
      "The context 'x' of the KUBECONFIG names no cluster",
    ],
    [
      'a context that is a text',
      { contexts: [{ name: 'x', context: 'top-secret' }] },
      "The context 'x' of the KUBECONFIG is not valid",
    ],
    ['no clusters', { clusters: null }, "The context 'x' of the KUBECONFIG names the cluster 'c', which is not there"],
    ['no users', { users: null }, "The context 'x' of the KUBECONFIG names the user 'u', which is not there"],
    [
      'another user',
      { users: [{ name: 'v', user: {} }] },
      "The context 'x' of the KUBECONFIG names the user 'u', which is not there",
    ],
    ['users that are no list', { users: { u: {} } }, 'The KUBECONFIG is not valid: its users are not a list'],
    ['contexts that are no list', { contexts: 'x' }, 'The KUBECONFIG is not valid: its contexts are not a list'],
    ['a cluster twice', { clusters: [cluster, cluster] }, "The cluster 'c' of the KUBECONFIG is there more than once"],
    [
      'a user twice',
      { users: [user, { name: 'u', user: {} }] },
      "The user 'u' of the KUBECONFIG is there more than once",
    ],
    ['a context twice', { contexts: [context, context] }, "The context 'x' of the KUBECONFIG is there more than once"],
  ])('may not have %s', async (_what, lists, detail) => {
    const path = await withLists(lists);
    const error = await errorOf({ KUBECONFIG_PATH: path });
    expect(error).toMatchObject({
      outcome: 'misconfigured',
      detail: detail.replace('KUBECONFIG', `kubeconfig ${path}`),
    });
  });
});

describe('a cluster of a kubeconfig', () => {
  it.each<[string, object, string]>([
    ['no server', {}, 'has no server'],
    ['an empty server', { server: '' }, 'has no server'],
    ['a server that is a number', { server: 7 }, 'is not valid: its server is not a text'],
    [
      'a CA in a file and in itself',
      { server: 'https://a', 'certificate-authority': 'ca.crt', 'certificate-authority-data': 'dG9wLXNlY3JldA==' },
      'has both certificate-authority and certificate-authority-data',
    ],
    [
      'a switch that is a text',
      { server: 'https://a', 'insecure-skip-tls-verify': 'true' },
      'is not valid: its insecure-skip-tls-verify is not true or false',
    ],
    ...['10.0.0.1:3128', 'proxy:3128', 'ftp://proxy', 'socks6://proxy', 'http://me:top-%secret@proxy', 'http://'].map(
      (proxy): [string, object, string] => [
        `the proxy ${proxy}`,
        { server: 'https://a', 'proxy-url': proxy },
        'has no valid proxy-url: it must be an http://, https:// or socks5:// URL',
      ],
    ),
  ])('may not have %s', async (_what, cluster, problem) => {
    const path = await withLists({ clusters: [{ name: 'c', cluster }] });
    expect(await errorOf({ KUBECONFIG_PATH: path })).toMatchObject({
      outcome: 'misconfigured',
      detail: `The cluster 'c' of the kubeconfig ${path} ${problem}`,
    });
  });

  it.each([
    '10.0.0.1:6443',
    'localhost:6443',
    'https://',
    'https://me:top-secret@kube.example:port',
    'ftp://kube.example',
  ])('may not have a server that is no URL, which is not quoted: %s', async (server) => {
    const path = await writeKubeconfig({ server });
    expect(await errorOf({ KUBECONFIG_PATH: path, K8S_API_SERVER: 'https://10.0.0.2' })).toMatchObject({
      outcome: 'misconfigured',
      detail: `The cluster 'c' of the kubeconfig ${path} has no valid server: it must be an http:// or https:// URL`,
    });
  });
});

describe('a user of a kubeconfig', () => {
  const refusalOf = async (user: unknown) => {
    const path = await withLists({ users: [{ name: 'u', user }] });
    const { outcome, detail } = await errorOf({ KUBECONFIG_PATH: path });
    expect(outcome).toBe('misconfigured');
    return String(detail).replace(`The user 'u' of the kubeconfig ${path}`, 'u');
  };

  const basicAuth =
    'u has a username or a password, which Kubernetes has not taken since 1.19: use a token, a client certificate or a plug-in (exec)';
  const removed = (name: string, plugIn: string) =>
    `u: its auth-provider '${name}' was removed in Kubernetes 1.26: use the plug-in ${plugIn} (exec)`;

  // Who is somebody must not go there as nobody, or with other rights than the file says.
  it.each<[object | string, string]>([
    ['top-secret', 'u is not valid'],
    [{ token: 7 }, 'u is not valid: its token is not a text'],
    [{ token: '' }, 'u has nothing to log in with that we can use: it has token'],
    [{ username: '', password: '' }, 'u has nothing to log in with that we can use: it has username, password'],
    [{ tokenfile: 't', as: 'me' }, 'u has nothing to log in with that we can use: it has tokenfile'],
    // Kubernetes itself has removed these.
    ...[
      { username: 'me', password: 'top-secret' },
      { username: 'me' },
      { password: 'top-secret' },
      { username: 'me', password: 'top-secret', token: 't' },
      { username: 'me', password: 'top-secret', 'client-certificate': 'cert', 'client-key': 'key' },
    ].map((user): [object, string] => [user, basicAuth]),
    [{ password: 7 }, 'u is not valid: its password is not a text'],
    [{ 'client-certificate': 'cert' }, 'u has a client-certificate without a client-key'],
    [{ 'client-certificate-data': 'cert', token: 't' }, 'u has a client-certificate without a client-key'],
    [{ 'client-key-data': 'top-secret' }, 'u has a client-key without a client-certificate'],
    [
      { 'client-certificate': 'cert', 'client-certificate-data': 'cert', 'client-key': 'key' },
      'u has both client-certificate and client-certificate-data',
    ],
    [
      { 'client-certificate': 'cert', 'client-key': 'key', 'client-key-data': 'top-secret' },
      'u has both client-key and client-key-data',
    ],
    [{ exec: {} }, 'u: its exec names no command'],
    [{ exec: 'plug' }, 'u: its exec is not valid'],
    [{ exec: { command: '' }, 'client-certificate': 'c', 'client-key': 'k' }, 'u: its exec names no command'],
    [{ exec: { command: 'plug', args: ['--port', 80] } }, 'u: its exec is not valid: its args is not a list of texts'],
    [{ exec: { command: 'plug', args: '--help' } }, 'u: its exec is not valid: its args is not a list of texts'],
    [{ exec: { command: 'plug', env: { A: 'b' } } }, 'u: its exec is not valid: its env is not a list'],
    [{ exec: { command: 'plug', env: [{ value: 'b' }] } }, 'u: its exec: its env has no name'],
    [
      { exec: { command: 'plug', env: [{ name: 'A', value: 1 }] } },
      'u: its exec: its env is not valid: its value is not a text',
    ],
    [
      { exec: { command: 'plug', interactiveMode: 'maybe' } },
      'u: its exec is not valid: its interactiveMode is unknown',
    ],
    [
      { exec: { command: 'plug' }, 'auth-provider': { name: 'oidc', config: { 'id-token': 't' } } },
      'u has both exec and an auth-provider',
    ],
    ...[
      { 'access-token': 'top-secret', expiry: '2099-01-01T00:00:00Z' },
      { 'cmd-path': 'gcloud', 'cmd-args': 'config config-helper' },
      undefined,
    ].flatMap((config): [object, string][] => [
      [{ 'auth-provider': { name: 'gcp', config } }, removed('gcp', 'gke-gcloud-auth-plugin')],
      [{ 'auth-provider': { name: 'azure', config }, token: 't' }, removed('azure', 'kubelogin')],
    ]),
    // What other clients than kubectl take.
    ...[{ tokenFile: 't' }, { exec: { command: 'plug' } }, undefined].map((config): [object, string] => [
      { 'auth-provider': { name: 'foo', config }, token: 't' },
      "u: its auth-provider 'foo' is none that we know: use a token, a client certificate or a plug-in (exec)",
    ]),
    [{ 'auth-provider': { config: {} } }, 'u: its auth-provider has no name'],
    [{ 'auth-provider': 'oidc' }, 'u: its auth-provider is not valid'],
    [{ 'auth-provider': { name: 'oidc', config: ['top-secret'] } }, "u: its auth-provider 'oidc' is not valid"],
    [
      { 'auth-provider': { name: 'oidc', config: { 'refresh-token': 'top-secret', 'client-id': 'id' } } },
      "u: its auth-provider 'oidc' has no id-token, and only a plug-in (exec) can get one here",
    ],
    [{ token: 't', 'as-groups': ['a'] }, 'u has as-groups without as'],
    [{ token: 't', 'as-uid': '1' }, 'u has as-uid without as'],
    [{ token: 't', 'as-user-extra': { a: ['b'] } }, 'u has as-user-extra without as'],
    [{ token: 't', as: 'me', 'as-groups': 'a' }, 'u is not valid: its as-groups is not a list of texts'],
    [{ token: 't', as: 'me', 'as-user-extra': ['a'] }, 'u: its as-user-extra is not valid'],
    [
      { token: 't', as: 'me', 'as-user-extra': { a: 'b' } },
      'u: its as-user-extra is not valid: its a is not a list of texts',
    ],
    [{ token: 't', as: 'me', 'as-group': ['a'] }, 'u has as-group, which we do not know'],
    [{ token: 't', as: { name: 'me' } }, 'u is not valid: its as is not a text'],
  ])('is used whole or refused: %j', async (user, problem) => {
    const refusal = await refusalOf(user);
    expect(refusal).toBe(problem);
    expect(refusal).not.toContain('top-secret');
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

describe('what a Pod is given', () => {
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount';

  /** As in a Pod: what is in its folder, and where it is told that the API server is. Gives our modules, loaded in there. */
  async function enterPod(host: string, port: number) {
    const account = await temporaryFolder();
    await writeFile(join(account, 'ca.crt'), makeCertificate('authority').certificate);
    await writeFile(join(account, 'token'), 'token-of-the-pod');
    vi.stubEnv('KUBERNETES_SERVICE_HOST', host);
    vi.stubEnv('KUBERNETES_SERVICE_PORT', String(port));
    for (const call of ['stat', 'readFile'] as const) {
      const real = fs[call] as (path: string, ...rest: unknown[]) => void;
      vi.spyOn(fs, call).mockImplementation((path: unknown, ...rest: unknown[]) =>
        real(String(path).replace(folder, account), ...rest),
      );
    }
    vi.spyOn(log, 'warn').mockImplementation(() => {});
    vi.resetModules();
    const { openAccess } = await import('../../lib/kubernetes/credentials/sources.ts');
    return { openAccess, ...(await import('../../lib/kubernetes/index.ts')) };
  }

  it.each([
    ['10.96.0.1', 443, 'https://10.96.0.1:443'],
    ['fd00::1', 6443, 'https://[fd00::1]:6443'],
  ])('is taken where there is no kubeconfig: the API server at %s', async (host, port, server) => {
    const { openAccess } = await enterPod(host, port);
    const config = loadConfig({
      KUBECONFIG_PATH: join(await temporaryFolder(), 'kubeconfig'),
      KUBECONFIG_WAIT_SECONDS: '0',
    });
    const access = await (await openAccess(config, never, () => new Date())).get(never);
    expect(access).toMatchObject({
      server,
      cluster: { caFile: `${folder}/ca.crt` },
      user: { tokenFile: `${folder}/token` },
      uncheckedBy: undefined,
    });
  });

  // It was, while the function was loaded, and stayed for ever.
  it('is not taken in the place of a kubeconfig that is there before the first request is', async () => {
    const [ofPod, ofFile] = [await startApiServer(undefined, makeCertificate('kube.example')), await startApiServer()];
    const { beginToConnect, connectToKubernetes } = await enterPod('127.0.0.1', ofPod.port);
    const path = join(await temporaryFolder(), 'kubeconfig');
    const config = loadConfig({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '0', K8S_TLS_SKIP_VERIFY: 'true' });
    beginToConnect(() => config);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await writeFile(path, kubeconfigText({ server: ofFile.url }));
    await (await connectToKubernetes(config, never)).readService('a', never);
    expect([ofPod.requests.length, ofFile.requests.length]).toEqual([0, 1]);
  });

  it('is taken by the first request where there is still no kubeconfig', async () => {
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    const { beginToConnect, connectToKubernetes } = await enterPod('127.0.0.1', api.port);
    const path = join(await temporaryFolder(), 'kubeconfig');
    const config = loadConfig({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '0', K8S_TLS_SKIP_VERIFY: 'true' });
    beginToConnect(() => config);
    await (await connectToKubernetes(config, never)).readService('a', never);
    expect(api.requests[0]?.headers.authorization).toBe('Bearer token-of-the-pod');
  });
});
