import fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import type { ClusterAccess } from '../../lib/kubernetes/credentials/kubeconfig.ts';
import { openAccess } from '../../lib/kubernetes/credentials/sources.ts';
import { log } from '../../lib/log.ts';
import { makeCertificate } from '../support/certificate.ts';
import { kubeconfigText, startApiServer, temporaryFolder, writeKubeconfig } from './api-server.ts';
import { never, read, thrownBy } from './opened.ts';

const load = async (path: string, env: Record<string, string> = {}, signal = never): Promise<ClusterAccess> => {
  const config = loadConfig({ KUBECONFIG_WAIT_SECONDS: '0', KUBECONFIG_PATH: path, ...env });
  return (await openAccess(config, signal, () => new Date())).get(signal);
};
const misconfigured = (detail: string) => ({ kind: 'misconfigured', detail });

async function withText(text: string, name = 'kubeconfig'): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, text);
  return path;
}
const noFile = async () => join(await temporaryFolder(), 'kubeconfig');

/** What `KUBERNETES_SERVICE_…` says in a Pod. Where the tests themselves run in one, they are not to find its service account. */
const stubPod = (host?: string, port?: string) => {
  vi.stubEnv('KUBERNETES_SERVICE_HOST', host);
  vi.stubEnv('KUBERNETES_SERVICE_PORT', port);
};
beforeEach(() => stubPod());
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('the kubeconfig file', () => {
  it('says where the API server is and who we are there, before what the Pod has been given; it may have a colon in its name', async () => {
    stubPod('10.96.0.1', '443');
    const path = await withText(kubeconfigText({ server: 'https://10.0.0.1:6443/prefix/' }), 'a:b');
    const access = await load(path);
    expect(access).toMatchObject({ server: 'https://10.0.0.1:6443/prefix', certificateHost: undefined });
    expect(access.user).toMatchObject({ name: 'u', token: 'test-token' });
    // An IPv6 address has no brackets where certificates are checked.
    const rewritten = await load(await writeKubeconfig({ server: 'https://[::1]:6443' }), {
      K8S_API_SERVER: 'https://a/',
    });
    expect(rewritten).toMatchObject({ server: 'https://a', certificateHost: '::1' });
  });

  // That it is waited for is seen in contract/kubeconfig.test.ts.
  it.each<[string, { path?: string; waitSeconds?: string; signalMs?: number; isPod?: true }]>([
    ['which is not waited for', {}],
    ['for as long as is configured', { waitSeconds: '1' }],
    ['for as long as the operation may take', { waitSeconds: '3600', signalMs: 300 }],
    ['where a Pod has an API server but no service account', { isPod: true }],
    ['as it would be below a file', { path: '/etc/hosts/kubeconfig' }],
  ])('that is not there, %s, is told with what was tried, and when to come again', async (_how, settings) => {
    const { path = await noFile(), waitSeconds = '0', signalMs = 60_000, isPod } = settings;
    if (isPod) stubPod('10.96.0.1', '443');
    const tried = `No kubeconfig at ${path}, and in-cluster config is unavailable`;
    const loading = load(path, { KUBECONFIG_WAIT_SECONDS: waitSeconds }, AbortSignal.timeout(signalMs));
    await expect(loading).rejects.toMatchObject({
      kind: 'unavailable',
      detail: `${tried}: this is not a Pod with a service account`,
      headers: { 'retry-after': '5' },
    });
  });

  it.each<[string, () => Promise<string>, string]>([
    ['a folder', temporaryFolder, 'Kubeconfig path is a directory, expected a file: HERE'],
    ['a device', async () => '/dev/null', 'Kubeconfig path exists but is not a regular file: HERE'],
    [
      'several, as KUBECONFIG may name for kubectl',
      async () => `${await writeKubeconfig({ server: 'https://10.0.0.1' })}:${await noFile()}`,
      'KUBECONFIG_PATH is the path of one file, and no list of files: HERE',
    ],
    [
      'another kind',
      () => withText('apiVersion: v1\nkind: Secret\nstringData: {token: top-secret}\n'),
      'Failed to load kubeconfig from HERE: it is of another kind than Config',
    ],
  ])('may not be %s; that is told at once, whatever the wait', async (_what, make, problem) => {
    const path = await make();
    const error = misconfigured(problem.replace('HERE', path));
    await expect(load(path, { KUBECONFIG_WAIT_SECONDS: '3600' })).rejects.toMatchObject(error);
  });

  it.each([
    ['no YAML', '{ "clusters": ['],
    ['empty', ''],
    ['null', 'null'],
    ['a list', '- top-secret'],
    ['a text', 'top-secret'],
  ])('may not be %s; what is in it is not shown', async (_what, text) => {
    const path = await withText(text);
    const problem = new RegExp(`^Failed to load kubeconfig from ${path}: it is not valid( \\(line 1\\))?$`);
    // The parser's message quotes the file, and the log would have it.
    const error = { kind: 'misconfigured', detail: expect.stringMatching(problem), cause: undefined };
    await expect(load(path)).rejects.toMatchObject(error);
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
    const access = await load(await withLists(lists));
    expect(access).toMatchObject({ server: 'https://10.0.0.1:6443', user: { name: 'u', token: 'test-token' } });
  });

  it.each<[string, object]>([
    ['who has nothing', { users: [{ name: 'u', user: {} }] }],
    ['who is null', { users: [{ name: 'u', user: null }] }],
    ['who has nothing that is not null', { users: [{ name: 'u', user: { token: null, exec: null } }] }],
    ['whom it does not name', { contexts: [{ name: 'x', context: { cluster: 'c' } }], users: null }],
  ])('may be that of nobody, as for kubectl: a user %s', async (_what, lists) => {
    const { name: _name, impersonation = {}, ...rest } = (await load(await withLists(lists))).user;
    expect([Object.values(rest).filter((value) => value !== undefined), impersonation]).toEqual([[], {}]);
  });

  const noContext = 'THE FILE has no current-context, and KUBECONFIG_CONTEXT is not set: it has';
  const noUser = "The context 'x' of the FILE names the user 'u', which is not there";
  it.each<[object, string]>([
    [{ contexts: null, 'current-context': null }, `${noContext} none`],
    [{ 'current-context': '' }, `${noContext} 'x'`],
    [{ 'current-context': 'y' }, "THE FILE has no context 'y' (current-context): it has 'x'"],
    [{ contexts: [{ name: 'x', context: null }] }, "The context 'x' of the FILE names no cluster"],
    [{ contexts: [{ name: 'x', context: 'top-secret' }] }, "The context 'x' of the FILE is not valid"],
    [{ clusters: null }, "The context 'x' of the FILE names the cluster 'c', which is not there"],
    [{ users: null }, noUser],
    [{ users: [{ name: 'v', user: {} }] }, noUser],
    [{ users: { u: {} } }, 'THE FILE is not valid: its users are not a list'],
    [{ contexts: 'x' }, 'THE FILE is not valid: its contexts are not a list'],
    [{ clusters: [cluster, cluster] }, "The cluster 'c' of the FILE is there more than once"],
    [{ users: [user, { name: 'u', user: {} }] }, "The user 'u' of the FILE is there more than once"],
    [{ contexts: [context, context] }, "The context 'x' of the FILE is there more than once"],
  ])('may not have %j', async (lists, problem) => {
    const path = await withLists(lists);
    const detail = problem.replace('THE FILE', 'The FILE').replace('FILE', `kubeconfig ${path}`);
    await expect(load(path)).rejects.toMatchObject(misconfigured(detail));
  });
});

describe('a cluster of a kubeconfig', () => {
  const server = 'https://a';
  const noServer = 'has no valid server: it must be an http:// or https:// URL';
  const noProxy = 'has no valid proxy-url: it must be an http://, https:// or socks5:// URL';
  const both = { 'certificate-authority': 'ca.crt', 'certificate-authority-data': 'dG9wLXNlY3JldA==' };
  const servers = ['10.0.0.1:6443', 'localhost:6443', 'https://', 'https://me:top-secret@a:port', 'ftp://a'];
  const proxies = '10.0.0.1:3128 proxy:3128 ftp://proxy socks6://proxy http://me:top-%secret@a http://'.split(' ');
  it.each<[object, string]>([
    [{}, 'has no server'],
    [{ server: '' }, 'has no server'],
    [{ server: 7 }, 'is not valid: its server is not a text'],
    [{ server, ...both }, 'has both certificate-authority and certificate-authority-data'],
    [{ server, 'insecure-skip-tls-verify': 'true' }, 'is not valid: its insecure-skip-tls-verify is not true or false'],
    // What is no URL is not quoted: it may hold a password.
    ...servers.map((server): [object, string] => [{ server }, noServer]),
    ...proxies.map((proxy): [object, string] => [{ server, 'proxy-url': proxy }, noProxy]),
  ])('may not have %j', async (fields, problem) => {
    const path = await withLists({ clusters: [{ name: 'c', cluster: fields }] });
    const error = misconfigured(`The cluster 'c' of the kubeconfig ${path} ${problem}`);
    for (const env of [{}, { K8S_API_SERVER: 'https://10.0.0.2' }]) {
      await expect(load(path, env)).rejects.toMatchObject(error);
    }
  });
});

describe('a user of a kubeconfig', () => {
  const nothing = 'u has nothing to log in with that we can use: it has';
  const successors = 'use a token, a client certificate or a plug-in (exec)';
  const basicAuth = `u has a username or a password, which Kubernetes has not taken since 1.19: ${successors}`;
  const removed = (name: string, plugIn: string) =>
    `u: its auth-provider '${name}' was removed in Kubernetes 1.26: use the plug-in ${plugIn} (exec)`;
  const noArguments = 'u: its exec is not valid: its args is not a list of texts';
  const exec = (fields: object) => ({ exec: { command: 'plug', ...fields } });
  const provider = (name: string, config?: unknown) => ({ 'auth-provider': { name, config } });
  const [certificate, key] = [{ 'client-certificate': 'cert' }, { 'client-key': 'key' }];
  const pair = { ...certificate, ...key };
  const token = { token: 't' };
  const noToken = "u: its auth-provider 'oidc' has no id-token, and only a plug-in (exec) can get one here";
  const foreign = `u: its auth-provider 'foo' is none that we know: ${successors}`;
  const noTexts = 'u: its as-user-extra is not valid: its a is not a list of texts';

  // Who is somebody must not go there as nobody, or with other rights than the file says.
  it.each<[object | string, string]>([
    ['top-secret', 'u is not valid'],
    [{ token: 7 }, 'u is not valid: its token is not a text'],
    [{ token: '' }, `${nothing} token`],
    [{ username: '', password: '' }, `${nothing} username, password`],
    [{ tokenfile: 't', as: 'me' }, `${nothing} tokenfile`],
    [certificate, 'u has a client-certificate without a client-key'],
    [{ 'client-certificate-data': 'cert', ...token }, 'u has a client-certificate without a client-key'],
    [{ 'client-key-data': 'top-secret' }, 'u has a client-key without a client-certificate'],
    [{ ...pair, 'client-certificate-data': 'cert' }, 'u has both client-certificate and client-certificate-data'],
    [{ ...pair, 'client-key-data': 'top-secret' }, 'u has both client-key and client-key-data'],
    [{ exec: {} }, 'u: its exec names no command'],
    [{ exec: 'plug' }, 'u: its exec is not valid'],
    [{ ...certificate, ...key, ...exec({ command: '' }) }, 'u: its exec names no command'],
    [exec({ args: ['--port', 80] }), noArguments],
    [exec({ args: '--help' }), noArguments],
    [exec({ env: { A: 'b' } }), 'u: its exec is not valid: its env is not a list'],
    [exec({ env: [{ value: 'b' }] }), 'u: its exec: its env has no name'],
    [exec({ env: [{ name: 'A', value: 1 }] }), 'u: its exec: its env is not valid: its value is not a text'],
    [exec({ interactiveMode: 'maybe' }), 'u: its exec is not valid: its interactiveMode is unknown'],
    [{ ...exec({}), ...provider('oidc', { 'id-token': 't' }) }, 'u has both exec and an auth-provider'],
    // Kubernetes itself has removed these.
    [{ username: 'me', password: 'top-secret' }, basicAuth],
    [{ username: 'me' }, basicAuth],
    [{ password: 'top-secret' }, basicAuth],
    [{ username: 'me', password: 'top-secret', ...token }, basicAuth],
    [{ username: 'me', password: 'top-secret', ...certificate, ...key }, basicAuth],
    [{ password: 7 }, 'u is not valid: its password is not a text'],
    [provider('gcp', { 'access-token': 'top-secret' }), removed('gcp', 'gke-gcloud-auth-plugin')],
    [provider('gcp', { 'cmd-path': 'gcloud' }), removed('gcp', 'gke-gcloud-auth-plugin')],
    [{ ...provider('azure', { 'access-token': 'top-secret' }), ...token }, removed('azure', 'kubelogin')],
    [provider('azure'), removed('azure', 'kubelogin')],
    // What other clients than kubectl take.
    [{ ...provider('foo', { tokenFile: 't' }), ...token }, foreign],
    [provider('foo', exec({})), foreign],
    [provider('foo'), foreign],
    [{ 'auth-provider': { config: {} } }, 'u: its auth-provider has no name'],
    [{ 'auth-provider': 'oidc' }, 'u: its auth-provider is not valid'],
    [provider('oidc', ['top-secret']), "u: its auth-provider 'oidc' is not valid"],
    [provider('oidc', { 'refresh-token': 'top-secret', 'client-id': 'id' }), noToken],
    [{ ...token, 'as-groups': ['a'] }, 'u has as-groups without as'],
    [{ ...token, 'as-uid': '1' }, 'u has as-uid without as'],
    [{ ...token, 'as-user-extra': { a: ['b'] } }, 'u has as-user-extra without as'],
    [{ ...token, as: 'me', 'as-groups': 'a' }, 'u is not valid: its as-groups is not a list of texts'],
    [{ ...token, as: 'me', 'as-user-extra': ['a'] }, 'u: its as-user-extra is not valid'],
    [{ ...token, as: 'me', 'as-user-extra': { a: 'b' } }, noTexts],
    [{ ...token, as: 'me', 'as-group': ['a'] }, 'u has as-group, which we do not know'],
    [{ ...token, as: { name: 'me' } }, 'u is not valid: its as is not a text'],
  ])('is used whole or refused: %j', async (user, problem) => {
    const path = await withLists({ users: [{ name: 'u', user }] });
    const error = await thrownBy(load(path));
    expect(error).toMatchObject(misconfigured(problem.replace('u', `The user 'u' of the kubeconfig ${path}`)));
    expect(String(error)).not.toContain('top-secret');
  });
});

describe('what a Pod is given', () => {
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount';

  /** As in a Pod: what is in its folder, and where it is told that the API server is. Gives our modules, loaded in there. */
  async function enterPod(host: string, port: number) {
    const account = await temporaryFolder();
    await writeFile(join(account, 'ca.crt'), makeCertificate('authority').certificate);
    await writeFile(join(account, 'token'), 'token-of-the-pod');
    stubPod(host, String(port));
    for (const call of ['stat', 'readFile'] as const) {
      const real = fs[call] as (path: string, ...rest: unknown[]) => void;
      vi.spyOn(fs, call).mockImplementation((path: unknown, ...rest: unknown[]) =>
        real(String(path).replace(folder, account), ...rest),
      );
    }
    vi.spyOn(log, 'warn').mockImplementation(() => {});
    vi.resetModules();
    const { openAccess } = await import('../../lib/kubernetes/credentials/sources.ts');
    const path = await noFile();
    const config = loadConfig({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '0', K8S_TLS_SKIP_VERIFY: 'true' });
    return { path, config, openAccess, ...(await import('../../lib/kubernetes/index.ts')) };
  }

  it.each([
    ['10.96.0.1', 443, 'https://10.96.0.1:443'],
    ['fd00::1', 6443, 'https://[fd00::1]:6443'],
  ])('is taken where there is no kubeconfig: the API server at %s', async (host, port, server) => {
    const { openAccess, config } = await enterPod(host, port);
    const opened = await openAccess({ ...config, skipTlsVerify: false }, never, () => new Date());
    expect(await opened.get(never)).toMatchObject({
      server,
      cluster: { caFile: `${folder}/ca.crt` },
      user: { tokenFile: `${folder}/token` },
      uncheckedBy: undefined,
    });
  });

  // It was, while the function was loaded, and stayed for ever.
  it.each([
    ['by the first request where there is still no kubeconfig', false, [1, 0]],
    ['not in the place of a kubeconfig that is there before the first request is', true, [0, 1]],
  ])('is taken %s', async (_when, comes, requests) => {
    const [ofPod, ofFile] = [await startApiServer(undefined, makeCertificate('kube.example')), await startApiServer()];
    const { path, config, beginToConnect, connectToKubernetes } = await enterPod('127.0.0.1', ofPod.port);
    beginToConnect(() => config);
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (comes) await writeFile(path, kubeconfigText({ server: ofFile.url }));
    await read((await connectToKubernetes(config, never)).inNamespace('a'));
    expect([ofPod.requests.length, ofFile.requests.length]).toEqual(requests);
    if (!comes) expect(ofPod.requests[0]?.headers.authorization).toBe('Bearer token-of-the-pod');
  });
});
