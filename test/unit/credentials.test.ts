import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { makeEksToken } from '../../lib/kubernetes/credentials/eks-token.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import { log } from '../../lib/log.ts';
import { makeCertificate } from '../support/certificate.ts';
import { eventually } from '../support/eventually.ts';
import { startConnectProxy } from '../support/forward-proxies.ts';
import { openKubernetes } from '../support/open-kubernetes.ts';
import {
  type ApiServer,
  answerNotFound,
  answerStatus,
  kubeconfigText,
  startApiServer,
  temporaryFolder,
  writeKubeconfig,
} from './api-server.ts';
import { base64, during, made, never, read, startMutualTls, thrownBy } from './opened.ts';

const [accessKeyId, secretAccessKey, sessionToken] = ['ASIAEXAMPLEEXAMPLE00', 'secret-access-key', 'session-token'];
const role = { accessKeyId, secretAccessKey, sessionToken };
const keys = {
  AWS_ACCESS_KEY_ID: accessKeyId,
  AWS_SECRET_ACCESS_KEY: secretAccessKey,
  AWS_SESSION_TOKEN: sessionToken,
};
const aws = { AWS_REGION: 'eu-central-1', ...keys };
const nowhere = join(tmpdir(), 'sandbox-provisioner-test-that-is-not-there');
const misconfigured = (detail: unknown) => ({ kind: 'misconfigured', detail });

let now: Date;
const later = (seconds: number) => {
  now = new Date(now.getTime() + seconds * 1000);
};

beforeEach(() => {
  now = new Date('2026-11-22T12:00:00Z');
  // Where the tests themselves run in a Pod, they are not to find its service account.
  vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
  vi.spyOn(log, 'warn').mockImplementation(() => {});
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});
const warnings = () => vi.mocked(log.warn).mock.calls;

const open = (env: Record<string, string>): Promise<Kubernetes> => {
  const config = loadConfig({ KUBECONFIG_WAIT_SECONDS: '0', KUBECONFIG_PATH: nowhere, ...env });
  return openKubernetes(config, never, () => now);
};
const withUser = async (api: ApiServer, user: object, env: Record<string, string> = {}) =>
  open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, user: { ...user } }), ...env });

/** The tokens that were shown, call by call. */
const shown = (api: ApiServer) => api.requests.map(({ headers }) => headers.authorization?.replace('Bearer ', ''));

/** The token that a call shows. */
async function show(kubernetes: Kubernetes, api: ApiServer): Promise<string | undefined> {
  await read(kubernetes);
  return shown(api).at(-1);
}

/** A client of this user of a kubeconfig, and what each call shows its API server. */
async function start(user: object, env: Record<string, string> = {}) {
  const api = await startApiServer();
  const kubernetes = await withUser(api, user, env);
  return { api, kubernetes, show: () => show(kubernetes, api) };
}

/** Sees to it that a call of this user fails before the API server hears of it, without a secret in what is told. */
async function expectRefusal(
  user: object,
  detail: string,
  { env = {}, cause }: { env?: object; cause?: unknown } = {},
) {
  const { api, kubernetes } = await start(user, { ...env });
  const error = await thrownBy(read(kubernetes));
  expect(error).toMatchObject({ ...misconfigured(detail), ...(cause !== undefined && { cause }) });
  expect(inspect(error, { depth: null, maxStringLength: null })).not.toContain('top-secret');
  expect(api.requests).toEqual([]);
}

/** An API server that takes only the token that is good at the moment. */
async function startStrictServer(): Promise<ApiServer & { good: string }> {
  const strict = { good: '' };
  const api = await startApiServer((request, response) => {
    if (request.headers.authorization === `Bearer ${strict.good}`) answerNotFound(request, response);
    else answerStatus(response, 401, 'Unauthorized');
  });
  return Object.assign(strict, api);
}

/** The extension of Lambda that reads secrets, with one in it. */
async function startExtension(value: string) {
  const secret = { value, isGone: false };
  const extension = await startApiServer((_request, response) => {
    response.writeHead(secret.isGone ? 500 : 200);
    response.end(JSON.stringify({ SecretString: secret.value, Parameter: { Value: secret.value } }));
  });
  return { secret, extension, env: { ...aws, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(extension.port) } };
}

describe('a kubeconfig', () => {
  const text = (api: ApiServer, token = 'test-token') => kubeconfigText({ server: api.url, user: { token } });
  const yaml = (api: ApiServer) => `
clusters: [{name: c, cluster: {server: "${api.url}"}}]
users: [{name: u, user: {token: test-token}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`;

  it.each<[string, (api: ApiServer) => string]>([
    ['JSON', text],
    ['YAML', yaml],
    ['base64', (api) => base64(yaml(api))],
    ['base64 in lines', (api) => `${base64(yaml(api)).replace(/.{76}/g, '$&\n')}\n`],
    ['JSON in base64', (api) => base64(text(api))],
  ])('may be in the environment: %s', async (_how, make) => {
    const api = await startApiServer();
    expect(await show(await open({ KUBECONFIG_CONTENT: make(api) }), api)).toBe('test-token');
  });

  const broken = 'users: [ {token: top-secret';
  it.each<[string, Record<string, string>, string]>([
    ['no YAML', { KUBECONFIG_CONTENT: broken }, 'KUBECONFIG_CONTENT'],
    ['base64 of no YAML', { KUBECONFIG_CONTENT: base64(broken) }, 'KUBECONFIG_CONTENT'],
    ['a secret that is no YAML', { KUBECONFIG_SECRET_ID: 'agents' }, "KUBECONFIG_SECRET_ID 'agents'"],
  ])('may not be %s, which is told by its setting and not quoted', async (_what, settings, origin) => {
    const { env } = await startExtension(broken.replace('users', 'a-secret'));
    const error = misconfigured(`Failed to load kubeconfig from ${origin}: it is not valid (line 1)`);
    await expect(open({ ...env, ...settings })).rejects.toMatchObject({ ...error, cause: undefined });
  });

  it('that is a secret which cannot be read is told by its setting, with why', async () => {
    const { env, secret } = await startExtension('');
    secret.isGone = true;
    await expect(open({ ...env, KUBECONFIG_SECRET_ID: 'agents' })).rejects.toMatchObject({
      kind: 'unavailable',
      detail: "No kubeconfig from KUBECONFIG_SECRET_ID: The secret 'agents' could not be read (500)",
      headers: { 'retry-after': '1' },
    });
  });

  it('is taken from the first place that is set', async () => {
    const [content, bySecret, byParameter] = [await startApiServer(), await startApiServer(), await startApiServer()];
    const [byEks, byFile] = [await startApiServer(), await startApiServer()];
    const apis = [content, bySecret, byParameter, byEks, byFile];
    const { env, secret, extension } = await startExtension(text(bySecret));
    const ca = base64(makeCertificate('a').certificate);
    const places: [Record<string, string>, ApiServer][] = [
      [{ KUBECONFIG_CONTENT: text(content) }, content],
      [{ KUBECONFIG_SECRET_ID: 's' }, bySecret],
      [{ KUBECONFIG_PARAMETER: 'p' }, byParameter],
      [{ EKS_CLUSTER_NAME: 'e', EKS_CLUSTER_ENDPOINT: byEks.url, EKS_CLUSTER_CA: ca }, byEks],
      [{ KUBECONFIG_PATH: await writeKubeconfig({ server: byFile.url }) }, byFile],
    ];
    for (const [place, [, api]] of places.entries()) {
      if (api === byParameter) secret.value = text(byParameter, 'other');
      await read(await open(Object.assign({ ...env }, ...places.slice(place).map(([settings]) => settings))));
      expect(apis.map(({ requests }) => requests.length)).toEqual(apis.map((_, index) => (index <= place ? 1 : 0)));
    }
    const paths = ['/secretsmanager/get?secretId=s', '/systemsmanager/parameters/get?name=p&withDecryption=true'];
    expect(extension.requests.map(({ url }) => url)).toEqual(paths);
  });

  it.each<[string, Record<string, string>, string]>([
    ['its current one', {}, 'token-of-one'],
    ['the one of KUBECONFIG_CONTEXT', { KUBECONFIG_CONTEXT: 'as-two' }, 'token-of-two'],
    ['another one', { KUBECONFIG_CONTEXT: 'y' }, "has no context 'y' (KUBECONFIG_CONTEXT): it has 'as-one', 'as-two'"],
  ])('with several contexts is that of %s, or says which there are', async (_which, env, expected) => {
    const api = await startApiServer();
    const content = JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: api.url } }],
      users: ['one', 'two'].map((name) => ({ name, user: { token: `token-of-${name}` } })),
      contexts: ['one', 'two'].map((user) => ({ name: `as-${user}`, context: { cluster: 'c', user } })),
      'current-context': 'as-one',
    });
    const opening = open({ KUBECONFIG_CONTENT: content, ...env });
    if (expected.startsWith('token')) return expect(await show(await opening, api)).toBe(expected);
    await expect(opening).rejects.toMatchObject(misconfigured(`The kubeconfig KUBECONFIG_CONTENT ${expected}`));
  });
});

describe('EKS without a kubeconfig', () => {
  const { certificate, key } = makeCertificate('kube.example');
  const eks = (endpoint: string) => ({
    EKS_CLUSTER_NAME: 'agents',
    EKS_CLUSTER_ENDPOINT: endpoint,
    EKS_CLUSTER_CA: base64(certificate),
  });
  const token = (region = 'eu-central-1') => makeEksToken({ name: 'agents', region }, role, now);

  it('is called with a token that is made here, and checked by its CA', async () => {
    const api = await startApiServer(undefined, { certificate, key });
    // The name of the endpoint leads nowhere from here.
    const env = { ...aws, ...eks('https://kube.example:6443'), K8S_API_SERVER: api.url };
    expect(await show(await open(env), api)).toBe(await token());
    const wrong = await open({ ...env, EKS_CLUSTER_CA: base64(makeCertificate('kube.example').certificate) });
    await expect(read(wrong)).rejects.toMatchObject({ kind: 'refused' });
  });

  it('gets a new token after ten minutes, of the 15 that EKS takes one for, and not with every call', async () => {
    const api = await startApiServer();
    const kubernetes = await open({ ...aws, ...eks(api.url) });
    const first = await token();
    expect(await show(kubernetes, api)).toBe(first);
    later(9.9 * 60);
    expect(await show(kubernetes, api)).toBe(first);
    later(0.1 * 60);
    expect(await show(kubernetes, api)).toBe(await token());
    expect(shown(api)[2]).not.toBe(first);
  });

  it('gets a new token, once, when the API server refuses the one it has, also for calls side by side', async () => {
    const api = await startStrictServer();
    const kubernetes = await open({ ...aws, ...eks(api.url) });
    api.good = await token();
    await read(kubernetes);
    later(60);
    api.good = await token();
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => read(kubernetes, name)));
    expect(new Set(shown(api)).size).toBe(2);
    later(60);
    const [before, second] = [shown(api).length, api.good];
    api.good = 'none';
    const detail = 'Kubernetes refused our credentials (401 Unauthorized)';
    await expect(read(kubernetes)).rejects.toMatchObject({ kind: 'refused', detail });
    expect(shown(api).slice(before)).toEqual([second, await token()]);
  });

  it.each([
    ["the endpoint's", 'https://0A1B.gr7.ap-southeast-2.eks.amazonaws.com', {}, 'ap-southeast-2'],
    ["the function's, where the endpoint names none", 'https://10.0.0.1', { AWS_REGION: 'us-west-2' }, 'us-west-2'],
  ])('is asked for in a region: %s', async (_whose, endpoint, env, region) => {
    const api = await startApiServer();
    const kubernetes = await open({ ...aws, ...eks(endpoint), ...env, K8S_API_SERVER: api.url });
    expect(await show(kubernetes, api)).toBe(await token(region));
  });

  it.each<[Record<string, string>, string]>([
    [{}, 'there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)'],
    [keys, 'neither EKS_CLUSTER_ENDPOINT nor AWS_REGION names a region'],
  ])('says what is missing for a token: with %j', async (env, problem) => {
    const detail = `No token for the EKS cluster 'agents' (EKS_CLUSTER_NAME): ${problem}`;
    await expect(open({ ...env, ...eks('https://10.0.0.1') })).rejects.toMatchObject(misconfigured(detail));
  });
});

const exec = (command: string, args: string[] = [], rest: object = {}) => ({
  exec: { apiVersion: 'client.authentication.k8s.io/v1beta1', command, args, ...rest },
});

describe('a kubeconfig of `aws eks update-kubeconfig`', () => {
  const args = ['--region', 'eu-west-1', 'eks', 'get-token', '--cluster-name', 'agents'];
  const getToken = (...more: string[]) => exec('aws', [...args, ...more]);
  const withVariable = (name: string, value: string) => exec('aws', args, { env: [{ name, value }] });
  const authenticator = (...more: string[]) => exec('aws-iam-authenticator', ['token', ...more]);
  const region = { name: 'AWS_DEFAULT_REGION', value: 'eu-west-1' };
  const regional = { env: [region, { name: 'AWS_STS_REGIONAL_ENDPOINTS', value: 'regional' }] };
  // Not even a PATH: what runs is nobody's program.
  beforeEach(() => vi.stubEnv('PATH', '/nonexistent'));

  it.each<[string, object, string?]>([
    ['as it is written today', getToken('--output', 'json')],
    ['as it was written once', getToken()],
    ['with an env that is null', exec('aws', args, { env: null })],
    ['with a path to the program', exec('/usr/local/bin/aws', args)],
    ['with =', exec('aws', ['eks', 'get-token', '--region=eu-west-1', '--cluster-name=agents'])],
    ['of aws-iam-authenticator', authenticator('-i', 'agents', '--region', 'eu-west-1')],
    ['of it, without a region', authenticator('--cluster-id', 'agents'), 'eu-central-1'],
    ['with the region in a variable', exec('aws-iam-authenticator', ['token', '-i', 'agents'], regional)],
  ])('needs no program, %s', async (_how, user, region = 'eu-west-1') => {
    const { show } = await start(user, aws);
    expect(await show()).toBe(await makeEksToken({ name: 'agents', region }, role, now));
  });

  const noKeys = 'there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)';
  it.each<[string, object, string, Record<string, string>?]>([
    ['a role to assume', getToken('--role-arn', 'arn:aws:iam::1:role/r'), 'we know nothing of its argument --role-arn'],
    ['a profile', withVariable('AWS_PROFILE', 'p'), 'the kubeconfig asks for a profile'],
    ['a profile as an argument', getToken('--profile', 'p'), 'we know nothing of its argument --profile'],
    ['its own credentials', withVariable('AWS_ACCESS_KEY_ID', 'x'), 'we know nothing of AWS_ACCESS_KEY_ID'],
    ['credentials, and there are none', getToken(), noKeys, {}],
    ['a region that is none', getToken('--region', 'x.example/'), 'neither it nor AWS_REGION names a region'],
    ['a token for no cluster', exec('aws', args.slice(0, 4)), 'the kubeconfig names no cluster'],
  ])('needs the program where it asks for %s, and says why if it is not there', async (_what, user, why, env = aws) => {
    const missing = 'is not installed; its token cannot be made without it, because';
    await expectRefusal(user, `the plug-in 'aws' of the kubeconfig ${missing} ${why}`, { env });
  });

  it('runs the program where it asks for a role to assume, and it is there', async () => {
    const folder = await temporaryFolder();
    const credential = { kind: 'ExecCredential', status: { token: 'of-the-program' } };
    await writeFile(join(folder, 'aws'), `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`);
    await chmod(join(folder, 'aws'), 0o755);
    vi.stubEnv('PATH', `${folder}:/bin:/usr/bin`);
    const { show } = await start(getToken('--role-arn', 'arn:aws:iam::1:role/r'), aws);
    expect(await show()).toBe('of-the-program');
  });

  it('is no other call of the same program', async () => {
    const user = exec('aws', ['sts', 'get-token', '--cluster-name', 'a']);
    await expectRefusal(user, "the plug-in 'aws' of the kubeconfig is not installed", { env: aws });
  });
});

describe('a plug-in of the kubeconfig', () => {
  /** A plug-in that counts its runs in a file, and prints what the code makes of that count and its environment. */
  async function plugIn(status = "{ token: 'run-' + run }", rest: object = {}) {
    const count = join(await temporaryFolder(), 'count');
    const code = `
      const { appendFileSync, readFileSync } = require('node:fs');
      appendFileSync(process.argv[1], '.');
      const run = readFileSync(process.argv[1]).length;
      const info = JSON.parse(process.env.KUBERNETES_EXEC_INFO);
      console.log(JSON.stringify({ apiVersion: info.apiVersion, kind: 'ExecCredential', status: ${status} }));
    `;
    return exec(process.execPath, ['-e', code, count], rest);
  }

  it.each<[string, string, number[], number[]]>([
    ['once for many calls, where what it gives does not end', '', [0, 86_400], [1, 1, 1, 1]],
    ['again shortly before it ends', "expirationTimestamp: '2026-11-22T12:05:00Z'", [280, 15], [1, 1, 1, 2]],
  ])('is run %s', async (_when, end, times, runs) => {
    const { api, kubernetes } = await start(await plugIn(`{ token: 'run-' + run, ${end} }`));
    await Promise.all(['b', 'c'].map((name) => read(kubernetes, name)));
    for (const seconds of times) {
      later(seconds);
      await read(kubernetes);
    }
    expect(shown(api)).toEqual(runs.map((run) => `run-${run}`));
  });

  it('is not run again for a call that was refused before another one had it run again', async () => {
    let refuseLate = () => {};
    const api = await startApiServer((request, response) => {
      if (request.headers.authorization === 'Bearer run-2') return answerNotFound(request, response);
      const refuse = () => answerStatus(response, 401, 'Unauthorized');
      if (request.url.endsWith('/late')) refuseLate = refuse;
      else refuse();
    });
    const kubernetes = await withUser(api, await plugIn());
    const late = read(kubernetes, 'late');
    await made(api, 1);
    await read(kubernetes, 'early');
    refuseLate();
    await late;
    expect(shown(api)).toEqual(['run-1', 'run-1', 'run-2', 'run-2']);
  });

  describe('is told', () => {
    /** A plug-in whose token is what it was told, and one of its variables. */
    const tellTale = (rest: object) =>
      plugIn("{ token: Buffer.from(JSON.stringify([info, process.env.GIVEN])).toString('hex') }", {
        env: [{ name: 'GIVEN', value: 'yes' }],
        ...rest,
      });
    const readTold = (token = '') => JSON.parse(Buffer.from(token, 'hex').toString());
    const apiVersion = 'client.authentication.k8s.io/v1beta1';

    it('nothing of the cluster unless it asks for it', async () => {
      const { show } = await start(await tellTale({}));
      const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
      expect(readTold(await show())).toEqual([info, 'yes']);
    });

    // Of the CA in a file, the proxy and its own extension it was told nothing.
    it.each(['in a file', 'in itself'])('all of the cluster that it may know: the CA is %s', async (where) => {
      const identity = makeCertificate('kube.example');
      const api = await startApiServer(undefined, identity);
      const proxy = await during(startConnectProxy(api.port));
      const ca = join(await temporaryFolder(), 'ca.crt');
      await writeFile(ca, identity.certificate);
      const config = { audience: ['agents'], deep: { er: 1 } };
      const data = base64(identity.certificate);
      const cluster = {
        'tls-server-name': 'kube.example',
        'proxy-url': proxy.url,
        extensions: [
          { name: 'another.example/exec', extension: { audience: 'other' } },
          { name: 'client.authentication.k8s.io/exec', extension: config },
        ],
        ...(where === 'in a file' ? { 'certificate-authority': ca } : { 'certificate-authority-data': data }),
      };
      const user = await tellTale({ provideClusterInfo: true });
      const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster, user }) });
      const [{ spec }] = readTold(await show(kubernetes, api));
      expect(spec.cluster).toEqual({
        server: api.url,
        'tls-server-name': 'kube.example',
        'insecure-skip-tls-verify': false,
        'certificate-authority-data': data,
        'proxy-url': proxy.url,
        config,
      });
    });

    it('of the cluster as we reach it, where K8S_API_SERVER says how', async () => {
      const api = await startApiServer(undefined, makeCertificate('kube.example'));
      const user = await tellTale({ provideClusterInfo: true });
      const path = await writeKubeconfig({ server: 'https://kube.example:6443', user });
      const kubernetes = await open({ KUBECONFIG_PATH: path, K8S_API_SERVER: api.url, K8S_TLS_SKIP_VERIFY: 'true' });
      const [{ spec }] = readTold(await show(kubernetes, api));
      const known = { 'tls-server-name': 'kube.example', 'insecure-skip-tls-verify': true };
      expect(spec.cluster).toEqual({ server: api.url, ...known });
    });
  });

  it('may give a client certificate, and is not run, as by kubectl, for who has one', async () => {
    const authority = { name: 'authority', ...makeCertificate('authority') };
    const { api, names } = await startMutualTls(makeCertificate('kube.example'), authority.certificate, false);
    const client = makeCertificate('me', { signedBy: authority });
    const asText = JSON.stringify({ clientCertificateData: client.certificate, clientKeyData: client.key });
    const own = { 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) };
    for (const user of [await plugIn(asText), { ...own, ...exec('no-such-plug-in') }]) {
      await read(await withUser(api, user, { K8S_TLS_SKIP_VERIFY: 'true' }));
    }
    expect(names).toEqual(['me', 'me']);
    expect(shown(api)).toEqual([undefined, undefined]);
  });

  const print = (credential: object) => `console.log(${JSON.stringify(JSON.stringify(credential))})`;
  const node = (code: string) => exec(process.execPath, ['-e', code]);
  const missing = (rest: object = {}) => exec('no-such-plug-in', [], rest);
  const half = { kind: 'ExecCredential', status: { clientCertificateData: 'top-secret' } };
  const endless = 'const more = () => process.stdout.write("top-secret".repeat(10_000), more); more()';
  const nobody = 'wants to ask somebody (interactiveMode), and nobody is there';
  it.each<[string, { exec: { command: string } }, string, string?]>([
    ['fails', node('console.error("it hurts"); process.exit(7)'), 'failed (exit code 7)'],
    ['is killed', node('process.kill(process.pid, "SIGTERM")'), 'failed (SIGTERM)'],
    ['prints nothing', node(''), 'printed no credential'],
    ['prints no JSON', node('console.log("top-secret")'), 'printed no credential'],
    ['prints another kind', node(print({ ...half, kind: 'Token' })), 'printed no credential'],
    ['prints one with nothing in it', node(print({ ...half, status: {} })), 'printed no credential'],
    ['prints a certificate without a key', node(print(half)), 'printed no credential'],
    ['prints without end', node(endless), 'failed (ERR_CHILD_PROCESS_STDIO_MAXBUFFER)'],
    ['may not be run', exec('/etc/passwd'), 'may not be run'],
    ['is not there', missing(), 'is not installed'],
    ['is not there, with how to get it for the log', missing({ installHint: 'Ask us' }), 'is not installed', 'Ask us'],
    ['cannot do without somebody to ask', missing({ interactiveMode: 'Always' }), nobody],
  ])('that %s is named, without what it printed', async (_what, user, problem, cause) => {
    await expectRefusal(user, `the plug-in '${user.exec.command}' of the kubeconfig ${problem}`, { cause });
  });

  it.each(['Never', 'IfAvailable'])('that can do without somebody to ask is run: %s', async (interactiveMode) => {
    const { show } = await start(await plugIn(undefined, { interactiveMode }));
    expect(await show()).toBe('run-1');
  });

  it('that hangs is ended with the last call that waits for it, and each waits for its own time', async () => {
    const pidFile = join(await temporaryFolder(), 'pid');
    const code = `require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000)`;
    const { kubernetes } = await start(node(code));
    const [short, long] = [new AbortController(), new AbortController()];
    const [shortCall, longCall] = [short, long].map(({ signal }) => thrownBy(read(kubernetes, 'a', signal)));
    const readPid = () => readFile(pidFile, 'utf8').catch(() => '');
    const pid = Number(await eventually('running: the plug-in', readPid, (text) => text !== ''));
    const isRunning = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    // It was Kubernetes that was blamed.
    const blamed = {
      kind: 'deadline-exceeded',
      detail: `the plug-in '${process.execPath}' of the kubeconfig did not end in time: it may wait for somebody to log in`,
    };
    short.abort();
    expect(await shortCall).toMatchObject(blamed);
    expect(isRunning()).toBe(true);
    long.abort();
    expect(await longCall).toMatchObject(blamed);
    await eventually('gone: the plug-in', isRunning, (running) => !running);
  });
});

// Others than the user alone were dropped, and with them the rights that the kubeconfig asks for, or gives up.
describe('a user who acts as another one', () => {
  const project = 'Extra-acme.example%2fproject%20%28%c3%bc%29: ü';
  const scopes = ['a', 'b', 'c'].map((scope) => `Extra-scopes: ${scope}`);
  const extra = { Scopes: ['a', 'b'], scopes: ['c'], 'acme.example/project (ü)': ['ü'], none: [] };
  it.each<[Record<string, unknown>, string[]]>([
    [{ as: null, 'as-groups': null }, []],
    [{ as: 'Jürgen Ж 漢' }, ['User: Jürgen Ж 漢']],
    [{ as: 'me', 'as-groups': ['one', 'two, three'] }, ['User: me', 'Group: one', 'Group: two, three']],
    [{ as: 'me', 'as-uid': '06f6ce97' }, ['User: me', 'Uid: 06f6ce97']],
    [{ as: 'me', 'as-user-extra': extra }, ['User: me', ...scopes, project]],
  ])('says so, whole: %j', async (as, expected) => {
    let seen: string[] = [];
    const api = await startApiServer((request, response) => {
      seen = response.req.rawHeaders.map((text) => Buffer.from(text, 'latin1').toString());
      answerNotFound(request, response);
    });
    expect(await show(await withUser(api, { token: 'test-token', ...as }), api)).toBe('test-token');
    const headers = seen.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${seen[index + 1]}`] : []));
    const acting = headers.filter((header) => header.startsWith('Impersonate-'));
    expect(acting.map((header) => header.replace('Impersonate-', ''))).toEqual(expected);
  });
});

// kubectl takes no other auth-provider than oidc.
describe('the id-token of the auth-provider oidc', () => {
  const jwt = (exp: unknown) =>
    ['{}', JSON.stringify({ exp }), 'signature'].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const withToken = (token: string) =>
    start({ 'auth-provider': { name: 'oidc', config: { 'id-token': token, 'refresh-token': 'top-secret' } } });

  it('is shown until it ends, and then refused', async () => {
    const token = jwt(now.getTime() / 1000 + 60);
    const { api, kubernetes, show } = await withToken(token);
    expect(await show()).toBe(token);
    later(61);
    const error = await thrownBy(read(kubernetes));
    const ended = "the token of the auth-provider 'oidc' of the kubeconfig has ended";
    expect(error).toMatchObject(misconfigured(`${ended}, and only a plug-in (exec) can get a new one here`));
    expect(inspect(error, { depth: null })).not.toContain('top-secret');
    expect(api.requests).toHaveLength(1);
  });

  it.each([
    ['says nothing', jwt(undefined)],
    ['is no JWT', 'opaque'],
  ])('is shown for ever where it %s of an end', async (_what, token) => {
    const { show } = await withToken(token);
    later(86_400);
    expect(await show()).toBe(token);
  });
});

// ENOENT of a file once read as if Kubernetes could not be reached, with the advice to come again in a second.
it.each<[string, object, string]>([
  ['a certificate that is not there', { 'client-certificate': nowhere, 'client-key': nowhere }, `ENOENT: ${nowhere}`],
  ["a token's file", { tokenFile: nowhere }, `ENOENT: ${nowhere}`],
  ['a token that no header may have', { token: 'two\nlines' }, 'ERR_INVALID_CHAR'],
  ['a user to act as that no header may have', { token: 't', as: 'two\nlines' }, 'ERR_INVALID_CHAR'],
])('credentials that cannot be had are not an unreachable Kubernetes: %s', async (_what, user, why) => {
  await expectRefusal(user, `the credentials of the kubeconfig cannot be had (${why})`);
});

describe('what is rotated', () => {
  /** A client of a kubeconfig's file, and how to write another token, server or cluster into it. */
  async function startWithFile(api: ApiServer) {
    const path = join(await temporaryFolder(), 'kubeconfig');
    const write = (token: string, { url } = api, cluster: Record<string, unknown> = {}) =>
      writeFile(path, kubeconfigText({ server: url, cluster, user: { token } }));
    await write('first');
    return { path, write, kubernetes: await open({ KUBECONFIG_PATH: path }) };
  }

  it("is read again: the kubeconfig's file, at most once a second, and by calls side by side", async () => {
    const [api, other] = [await startApiServer(), await startApiServer()];
    const { write, kubernetes } = await startWithFile(api);
    expect(await show(kubernetes, api)).toBe('first');
    await write('second');
    later(0.9);
    expect(await show(kubernetes, api)).toBe('first');
    later(0.2);
    // All but the first showed what they had: after a plug-in that hung was gone from the kubeconfig, it was waited for again.
    await Promise.all(['a', 'b', 'c'].map((name) => read(kubernetes, name)));
    expect(shown(api).slice(2)).toEqual(['second', 'second', 'second']);
    await write('third', other);
    later(2);
    expect(await show(kubernetes, other)).toBe('third');
  });

  it('is warned of, once, where from now on the certificate of the API server is not to be checked', async () => {
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    const { path, write, kubernetes } = await startWithFile(api);
    await expect(read(kubernetes)).rejects.toMatchObject({ kind: 'refused' });
    expect(warnings()).toEqual([]);
    for (const more of [{}, { 'tls-server-name': 'kube.example' }]) {
      await write('first', api, { 'insecure-skip-tls-verify': true, ...more });
      later(2);
      await read(kubernetes);
    }
    const setting = `insecure-skip-tls-verify of the kubeconfig ${path}`;
    expect(warnings()).toEqual([[expect.stringContaining('is not checked'), { setting }]]);
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['is not there', (path) => rm(path)],
    ['is half written', (path) => writeFile(path, 'users: [ {token: top-secret')],
    ['is empty', (path) => writeFile(path, '')],
  ])('stays as it was while its file %s, which is logged once', async (_what, spoil) => {
    const api = await startApiServer();
    const { path, write, kubernetes } = await startWithFile(api);
    await spoil(path);
    for (let second = 0; second < 3; second += 1) {
      later(2);
      expect(await show(kubernetes, api)).toBe('first');
    }
    const reason = expect.stringContaining(`Failed to load kubeconfig from ${path}`);
    expect(warnings()).toEqual([[expect.any(String), { reason }]]);
    expect(JSON.stringify(warnings())).not.toContain('top-secret');
    await write('second');
    later(2);
    expect(await show(kubernetes, api)).toBe('second');
  });

  it('is read again when the API server refuses it, however young, and not shown twice where it has not changed', async () => {
    const api = await startStrictServer();
    const { write, kubernetes } = await startWithFile(api);
    api.good = 'first';
    await read(kubernetes);
    await write('second');
    api.good = 'second';
    await read(kubernetes);
    api.good = 'third';
    await expect(read(kubernetes)).rejects.toMatchObject({ kind: 'refused' });
    expect(shown(api)).toEqual(['first', 'first', 'second', 'second']);
  });

  it('is read again: a secret, after five minutes, and at once when the API server refuses it', async () => {
    const api = await startStrictServer();
    const content = (token: string) => kubeconfigText({ server: api.url, user: { token } });
    const { env, secret, extension } = await startExtension(content('first'));
    const kubernetes = await open({ ...env, KUBECONFIG_SECRET_ID: 'agents' });
    api.good = 'first';
    const begin = now.getTime();
    for (const [seconds, readings] of Object.entries({ 0: 1, 299: 1, 300: 2 })) {
      now = new Date(begin + Number(seconds) * 1000);
      await read(kubernetes);
      expect(extension.requests).toHaveLength(readings);
    }
    secret.value = content('second');
    api.good = 'second';
    await Promise.all(['a', 'b', 'c'].map((name) => read(kubernetes, name)));
    expect(new Set(shown(api).slice(-3))).toEqual(new Set(['second']));
    secret.isGone = true;
    later(3600);
    expect(await show(kubernetes, api)).toBe('second');
    expect(warnings()).toHaveLength(1);
  });

  it("is read again: a token's file beside the kubeconfig, which goes before a token", async () => {
    const api = await startStrictServer();
    const path = await writeKubeconfig({ server: api.url, user: { tokenFile: 'token', token: 'old' } });
    const file = join(path, '..', 'token');
    await writeFile(file, '\n');
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    const empty = `the credentials of the kubeconfig cannot be had (EMPTY: ${file})`;
    await expect(read(kubernetes)).rejects.toMatchObject(misconfigured(empty));
    const showNext = async (token: string, text: string | undefined, seconds: number) => {
      if (text === undefined) await rm(file);
      else await writeFile(file, text);
      api.good = token;
      later(seconds);
      await read(kubernetes);
    };
    await showNext('first', 'first\n', 2);
    await showNext('second!', 'second!\n', 2);
    // It is refused, and read again at once.
    await showNext('third!!!', 'third!!!\n', 0);
    for (const text of ['', '\n']) await showNext('third!!!', text, 2);
    await showNext('fourth', 'fourth', 2);
    await showNext('fourth', undefined, 2);
    later(2);
    await read(kubernetes);
    expect(shown(api).join(' ')).toBe('first second! second! third!!! third!!! third!!! fourth fourth fourth');
    expect(warnings().map(([, details]) => details)).toEqual(['EMPTY', 'ENOENT'].map((code) => ({ path: file, code })));
  });

  it('is used from the next call on, and the calls under way go on with what they have', async () => {
    const { certificate, key } = makeCertificate('kube.example');
    const answerSlowly: typeof answerNotFound = (request, response) => {
      setTimeout(() => answerNotFound(request, response), request.url.endsWith('/slow') ? 500 : 0);
    };
    const api = await startApiServer(answerSlowly, { certificate, key });
    const ca = join(await temporaryFolder(), 'ca.crt');
    await writeFile(ca, certificate);
    const cluster = { 'certificate-authority': ca, 'tls-server-name': 'kube.example' };
    const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster }) });
    const slow = read(kubernetes, 'slow');
    await made(api, 1);
    await writeFile(ca, certificate + makeCertificate('new.example').certificate);
    later(2);
    expect([await read(kubernetes, 'fast'), await slow]).toEqual([undefined, undefined]);
    expect(api.connections()).toBe(2);
  });
});
