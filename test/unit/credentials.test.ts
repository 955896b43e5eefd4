import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
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
import { base64, never, read, thrownBy } from './opened.ts';

const aws = {
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'ASIAEXAMPLEEXAMPLE00',
  AWS_SECRET_ACCESS_KEY: 'secret-access-key',
  AWS_SESSION_TOKEN: 'session-token',
};
const role = {
  accessKeyId: aws.AWS_ACCESS_KEY_ID,
  secretAccessKey: aws.AWS_SECRET_ACCESS_KEY,
  sessionToken: aws.AWS_SESSION_TOKEN,
};
const misconfigured = (detail: unknown) => ({ outcome: 'misconfigured', detail });

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

const open = (env: Record<string, string>): Promise<Kubernetes> =>
  openKubernetes(
    loadConfig({ KUBECONFIG_WAIT_SECONDS: '0', KUBECONFIG_PATH: join(tmpdir(), 'that-is-not-there'), ...env }),
    never,
    () => now,
  );
const withUser = async (api: ApiServer, user: object, env: Record<string, string> = {}) =>
  open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, user: { ...user } }), ...env });

/** The tokens that were shown, call by call. */
const shown = (api: ApiServer) => api.requests.map(({ headers }) => headers.authorization?.replace('Bearer ', ''));

/** The token that a call shows. */
async function show(kubernetes: Kubernetes, api: ApiServer): Promise<string | undefined> {
  await read(kubernetes);
  return shown(api).at(-1);
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

/** An API server that asks for a certificate, and the names in those that it got. */
async function startCertificateServer() {
  const authority = { name: 'authority', ...makeCertificate('authority') };
  const names: unknown[] = [];
  const api = await startApiServer(
    (request, response) => {
      names.push((response.req.socket as TLSSocket).getPeerCertificate().subject?.CN);
      answerNotFound(request, response);
    },
    makeCertificate('kube.example'),
    { requestCert: true, rejectUnauthorized: false, ca: authority.certificate },
  );
  return { api, authority, names, cluster: { 'insecure-skip-tls-verify': true } };
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

  it.each([
    ['KUBECONFIG_SECRET_ID', '/secretsmanager/get?secretId=agents'],
    ['KUBECONFIG_PARAMETER', '/systemsmanager/parameters/get?name=agents&withDecryption=true'],
  ])('may be a secret: %s', async (setting, url) => {
    const api = await startApiServer();
    const { env, extension } = await startExtension(text(api));
    expect(await show(await open({ ...env, [setting]: 'agents' }), api)).toBe('test-token');
    expect(extension.requests.map((request) => request.url)).toEqual([url]);
  });

  const broken = 'users: [ {token: top-secret';
  it.each<[string, Record<string, string>, string]>([
    ['no YAML', { KUBECONFIG_CONTENT: broken }, 'KUBECONFIG_CONTENT'],
    ['base64 of no YAML', { KUBECONFIG_CONTENT: base64(broken) }, 'KUBECONFIG_CONTENT'],
    ['a secret that is no YAML', { KUBECONFIG_SECRET_ID: 'agents' }, "KUBECONFIG_SECRET_ID 'agents'"],
  ])('may not be %s, which is told by its setting and not quoted', async (_what, settings, origin) => {
    const { env } = await startExtension(broken.replace('users', 'a-secret'));
    await expect(open({ ...env, ...settings })).rejects.toMatchObject({
      ...misconfigured(`Failed to load kubeconfig from ${origin}: it is not valid (line 1)`),
      cause: undefined,
    });
  });

  it('that is a secret which cannot be read is told by its setting, with why', async () => {
    const { env, secret } = await startExtension('');
    secret.isGone = true;
    await expect(open({ ...env, KUBECONFIG_SECRET_ID: 'agents' })).rejects.toMatchObject({
      outcome: 'unavailable',
      detail: "No kubeconfig from KUBECONFIG_SECRET_ID: The secret 'agents' could not be read (500)",
      headers: { 'retry-after': '1' },
    });
    const onLambda = "The parameter '/agents' can only be read on Lambda: there is no AWS_SESSION_TOKEN";
    const problem = misconfigured(`No kubeconfig from KUBECONFIG_PARAMETER: ${onLambda}`);
    await expect(open({ KUBECONFIG_PARAMETER: '/agents' })).rejects.toMatchObject(problem);
  });

  it('is taken from the first place that is set', async () => {
    const apis = await Promise.all(Array.from({ length: 5 }, () => startApiServer()));
    const [content, bySecret, byParameter, byEks, byFile] = apis as [
      ApiServer,
      ApiServer,
      ApiServer,
      ApiServer,
      ApiServer,
    ];
    const { env, secret } = await startExtension(text(bySecret));
    const places: [Record<string, string>, ApiServer][] = [
      [{ KUBECONFIG_CONTENT: text(content) }, content],
      [{ KUBECONFIG_SECRET_ID: 's' }, bySecret],
      [{ KUBECONFIG_PARAMETER: 'p' }, byParameter],
      [
        {
          EKS_CLUSTER_NAME: 'e',
          EKS_CLUSTER_ENDPOINT: byEks.url,
          EKS_CLUSTER_CA: base64(makeCertificate('a').certificate),
        },
        byEks,
      ],
      [{ KUBECONFIG_PATH: await writeKubeconfig({ server: byFile.url }) }, byFile],
    ];
    for (const [place, [, api]] of places.entries()) {
      if (api === byParameter) secret.value = text(byParameter, 'other');
      await read(await open(Object.assign({ ...env }, ...places.slice(place).map(([settings]) => settings))));
      expect(apis.map(({ requests }) => requests.length)).toEqual(apis.map((_, index) => (index <= place ? 1 : 0)));
    }
  });

  it.each<[string, Record<string, string>, string]>([
    ['its current one', {}, 'token-of-one'],
    ['the one of KUBECONFIG_CONTEXT', { KUBECONFIG_CONTEXT: 'as-two' }, 'token-of-two'],
    [
      'another one',
      { KUBECONFIG_CONTEXT: 'as-three' },
      "has no context 'as-three' (KUBECONFIG_CONTEXT): it has 'as-one', 'as-two'",
    ],
    [
      'none',
      { KUBECONFIG_CONTEXT: 'x', KUBECONFIG_CONTENT: '{"clusters": []}' },
      "has no context 'x' (KUBECONFIG_CONTEXT): it has none",
    ],
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
    await expect(read(wrong)).rejects.toMatchObject({ outcome: 'refused' });
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
    const before = shown(api).length;
    const second = api.good;
    api.good = 'none';
    await expect(read(kubernetes)).rejects.toMatchObject({
      outcome: 'refused',
      detail: 'Kubernetes refused our credentials (401 Unauthorized)',
    });
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

  const { AWS_REGION: _region, ...noRegion } = aws;
  it.each<[Record<string, string>, string]>([
    [{}, 'there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)'],
    [noRegion, 'neither EKS_CLUSTER_ENDPOINT nor AWS_REGION names a region'],
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
  const regional = ['AWS_DEFAULT_REGION=eu-west-1', 'AWS_STS_REGIONAL_ENDPOINTS=regional']
    .map((variable) => variable.split('='))
    .map(([name, value]) => ({ name, value }));
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
    ['with the region in a variable', exec('aws-iam-authenticator', ['token', '-i', 'agents'], { env: regional })],
  ])('needs no program, %s', async (_how, user, region = 'eu-west-1') => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, user, aws);
    for (const seconds of [0, 600]) {
      later(seconds);
      expect(await show(kubernetes, api)).toBe(await makeEksToken({ name: 'agents', region }, role, now));
    }
  });

  it.each<[string, object, string, Record<string, string>?]>([
    ['a role to assume', getToken('--role-arn', 'arn:aws:iam::1:role/r'), 'we know nothing of its argument --role-arn'],
    ['a profile', withVariable('AWS_PROFILE', 'p'), 'the kubeconfig asks for a profile'],
    ['a profile as an argument', getToken('--profile', 'p'), 'we know nothing of its argument --profile'],
    ['its own credentials', withVariable('AWS_ACCESS_KEY_ID', 'x'), 'we know nothing of AWS_ACCESS_KEY_ID'],
    [
      'credentials, and there are none',
      getToken(),
      'there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)',
      {},
    ],
    ['a region that is none', getToken('--region', 'x.example/'), 'neither it nor AWS_REGION names a region'],
    ['a token for no cluster', exec('aws', args.slice(0, 4)), 'the kubeconfig names no cluster'],
  ])('needs the program where it asks for %s, and says why if it is not there', async (_what, user, why, env = aws) => {
    const api = await startApiServer();
    const missing =
      "the plug-in 'aws' of the kubeconfig is not installed; its token cannot be made without it, because";
    await expect(read(await withUser(api, user, env))).rejects.toMatchObject(misconfigured(`${missing} ${why}`));
    expect(api.requests).toEqual([]);
  });

  it('runs the program where it asks for a role to assume, and it is there', async () => {
    const folder = await temporaryFolder();
    const credential = { kind: 'ExecCredential', status: { token: 'of-the-program' } };
    await writeFile(join(folder, 'aws'), `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`);
    await chmod(join(folder, 'aws'), 0o755);
    vi.stubEnv('PATH', `${folder}:/bin:/usr/bin`);
    const api = await startApiServer();
    const kubernetes = await withUser(api, getToken('--role-arn', 'arn:aws:iam::1:role/r'), aws);
    expect(await show(kubernetes, api)).toBe('of-the-program');
  });

  it('is no other call of the same program', async () => {
    const kubernetes = await withUser(
      await startApiServer(),
      exec('aws', ['sts', 'get-token', '--cluster-name', 'a']),
      aws,
    );
    await expect(read(kubernetes)).rejects.toMatchObject({
      detail: "the plug-in 'aws' of the kubeconfig is not installed",
    });
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
    [
      'again shortly before what it gave ends',
      "expirationTimestamp: '2026-11-22T12:05:00Z'",
      [0, 200, 80, 15],
      [1, 1, 1, 1, 1, 2],
    ],
  ])('is run %s', async (_when, end, times, runs) => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, await plugIn(`{ token: 'run-' + run, ${end} }`));
    await Promise.all(['b', 'c'].map((name) => read(kubernetes, name)));
    for (const seconds of times) {
      later(seconds);
      await read(kubernetes);
    }
    expect(shown(api)).toEqual(runs.map((run) => `run-${run}`));
  });

  it('is run again, once, when the API server refuses what it gave', async () => {
    const api = await startStrictServer();
    const kubernetes = await withUser(api, await plugIn());
    for (const good of ['run-1', 'run-2']) {
      api.good = good;
      await read(kubernetes);
    }
    api.good = 'none';
    await expect(read(kubernetes)).rejects.toMatchObject({ outcome: 'refused' });
    expect(shown(api)).toEqual(['run-1', 'run-1', 'run-2', 'run-2', 'run-3']);
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
    await eventually(
      'made: the late call',
      () => api.requests.length,
      (count) => count === 1,
    );
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
      const api = await startApiServer();
      const told = readTold(await show(await withUser(api, await tellTale({})), api));
      expect(told).toEqual([{ apiVersion, kind: 'ExecCredential', spec: { interactive: false } }, 'yes']);
    });

    // Of the CA in a file, the proxy and its own extension it was told nothing.
    it.each(['in a file', 'in itself'])('all of the cluster that it may know: the CA is %s', async (where) => {
      const identity = makeCertificate('kube.example');
      const api = await startApiServer(undefined, identity);
      const proxy = await startConnectProxy(api.port);
      onTestFinished(() => proxy.close());
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
    const { api, authority, names, cluster } = await startCertificateServer();
    const client = makeCertificate('me', { signedBy: authority });
    const asText = JSON.stringify({ clientCertificateData: client.certificate, clientKeyData: client.key });
    const own = { 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) };
    for (const user of [await plugIn(asText), { ...own, ...exec('no-such-plug-in') }]) {
      const path = await writeKubeconfig({ server: api.url, cluster, user });
      await read(await open({ KUBECONFIG_PATH: path }));
    }
    expect(names).toEqual(['me', 'me']);
    expect(shown(api)).toEqual([undefined, undefined]);
  });

  const print = (credential: object) => `console.log(${JSON.stringify(JSON.stringify(credential))})`;
  it.each<[string, string, string]>([
    ['fails', 'console.error("it hurts"); process.exit(7)', 'failed (exit code 7)'],
    ['is killed', 'process.kill(process.pid, "SIGTERM")', 'failed (SIGTERM)'],
    ['prints nothing', '', 'printed no credential'],
    ['prints no JSON', 'console.log("top-secret")', 'printed no credential'],
    ['prints something else', print({ kind: 'Token', status: { token: 'top-secret' } }), 'printed no credential'],
    ['prints a credential with nothing in it', print({ kind: 'ExecCredential', status: {} }), 'printed no credential'],
    [
      'prints a certificate without a key',
      print({ kind: 'ExecCredential', status: { clientCertificateData: 'top-secret' } }),
      'printed no credential',
    ],
    [
      'prints without end',
      'const more = () => process.stdout.write("top-secret".repeat(10_000), more); more()',
      'failed (ERR_CHILD_PROCESS_STDIO_MAXBUFFER)',
    ],
  ])('that %s is named, without what it printed', async (_what, code, problem) => {
    const api = await startApiServer();
    const error = await thrownBy(read(await withUser(api, exec(process.execPath, ['-e', code]))));
    expect(error).toMatchObject(misconfigured(`the plug-in '${process.execPath}' of the kubeconfig ${problem}`));
    expect(inspect(error, { depth: null, maxStringLength: null })).not.toContain('top-secret');
    expect(api.requests).toEqual([]);
  });

  it.each<[string, object, string, string?]>([
    ['is not there', {}, 'is not installed'],
    ['is not there, with how it is installed for the log', { installHint: 'Ask us' }, 'is not installed', 'Ask us'],
    [
      'cannot do without somebody to ask',
      { interactiveMode: 'Always' },
      'wants to ask somebody (interactiveMode), and nobody is there',
    ],
  ])('that %s is named', async (_what, rest, problem, cause) => {
    const kubernetes = await withUser(await startApiServer(), exec('no-such-plug-in', [], rest));
    const detail = `the plug-in 'no-such-plug-in' of the kubeconfig ${problem}`;
    await expect(read(kubernetes)).rejects.toMatchObject({ ...misconfigured(detail), cause });
  });

  it('that may not be run is named', async () => {
    const file = join(await temporaryFolder(), 'plug');
    await writeFile(file, '');
    const detail = `the plug-in '${file}' of the kubeconfig may not be run`;
    await expect(read(await withUser(await startApiServer(), exec(file)))).rejects.toMatchObject(misconfigured(detail));
  });

  it.each(['Never', 'IfAvailable'])('that can do without somebody to ask is run: %s', async (interactiveMode) => {
    const api = await startApiServer();
    expect(await show(await withUser(api, await plugIn(undefined, { interactiveMode })), api)).toBe('run-1');
  });

  it('that hangs is ended with the last call that waits for it, and each waits for its own time', async () => {
    const pidFile = join(await temporaryFolder(), 'pid');
    const code = `require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000)`;
    const kubernetes = await withUser(await startApiServer(), exec(process.execPath, ['-e', code]));
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
      outcome: 'deadline-exceeded',
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
  const extra = { Scopes: ['a', 'b'], scopes: ['c'], 'acme.example/project (ü)': ['ü'], none: [] };
  it.each<[Record<string, unknown>, string[]]>([
    [{ as: null, 'as-groups': null }, []],
    [{ as: 'Jürgen Ж 漢' }, ['User: Jürgen Ж 漢']],
    [{ as: 'me', 'as-groups': ['one', 'two, three'] }, ['User: me', 'Group: one', 'Group: two, three']],
    [{ as: 'me', 'as-uid': '06f6ce97' }, ['User: me', 'Uid: 06f6ce97']],
    [
      { as: 'me', 'as-user-extra': extra },
      [
        'User: me',
        ...['a', 'b', 'c'].map((scope) => `Extra-scopes: ${scope}`),
        'Extra-acme.example%2fproject%20%28%c3%bc%29: ü',
      ],
    ],
  ])('says so, whole: %j', async (as, expected) => {
    let seen: string[] = [];
    const api = await startApiServer((request, response) => {
      seen = response.req.rawHeaders.map((text) => Buffer.from(text, 'latin1').toString());
      answerNotFound(request, response);
    });
    expect(await show(await withUser(api, { token: 'test-token', ...as }), api)).toBe('test-token');
    const headers = seen.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${seen[index + 1]}`] : []));
    expect(headers.filter((header) => header.startsWith('Impersonate-'))).toEqual(
      expected.map((header) => `Impersonate-${header}`),
    );
  });
});

// kubectl takes no other auth-provider than oidc.
describe('the id-token of the auth-provider oidc', () => {
  const jwt = (exp: unknown) =>
    ['{}', JSON.stringify({ exp }), 'signature'].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const start = async (token: string) => {
    const api = await startApiServer();
    const config = { 'id-token': token, 'refresh-token': 'top-secret' };
    return { api, kubernetes: await withUser(api, { 'auth-provider': { name: 'oidc', config } }) };
  };

  it('is shown until it ends, and then refused', async () => {
    const token = jwt(now.getTime() / 1000 + 60);
    const { api, kubernetes } = await start(token);
    expect(await show(kubernetes, api)).toBe(token);
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
    const { api, kubernetes } = await start(token);
    later(86_400);
    expect(await show(kubernetes, api)).toBe(token);
  });
});

describe('credentials that cannot be had', () => {
  const missing = join(tmpdir(), 'sandbox-provisioner-test-that-is-not-there');
  // ENOENT of a file once read as if Kubernetes could not be reached, with the advice to come again in a second.
  it.each<[string, { cluster?: Record<string, unknown>; user?: Record<string, unknown> }, string]>([
    ['the CA', { cluster: { 'certificate-authority': missing } }, `ENOENT: ${missing}`],
    ['the certificate', { user: { 'client-certificate': missing, 'client-key': missing } }, `ENOENT: ${missing}`],
    ["the token's file", { user: { tokenFile: missing } }, `ENOENT: ${missing}`],
    ['a token that no header may have', { user: { token: 'two\nlines' } }, 'ERR_INVALID_CHAR'],
    ['a user to act as that no header may have', { user: { token: 't', as: 'two\nlines' } }, 'ERR_INVALID_CHAR'],
  ])('are our failure, not that Kubernetes is unreachable: %s', async (_what, access, why) => {
    const api = await startApiServer();
    const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, ...access }) });
    const detail = `the credentials of the kubeconfig cannot be had (${why})`;
    await expect(read(kubernetes)).rejects.toMatchObject(misconfigured(detail));
    expect(api.requests).toEqual([]);
  });
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
    const api = await startApiServer();
    const { write, kubernetes } = await startWithFile(api);
    expect(await show(kubernetes, api)).toBe('first');
    await write('second');
    later(0.9);
    expect(await show(kubernetes, api)).toBe('first');
    later(0.2);
    // All but the first showed what they had: after a plug-in that hung was gone from the kubeconfig, it was waited for again.
    await Promise.all(['a', 'b', 'c'].map((name) => read(kubernetes, name)));
    expect(shown(api).slice(2)).toEqual(['second', 'second', 'second']);
  });

  it('is warned of, once, where from now on the certificate of the API server is not to be checked', async () => {
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    const { path, write, kubernetes } = await startWithFile(api);
    await expect(read(kubernetes)).rejects.toMatchObject({ outcome: 'refused' });
    expect(warnings()).toEqual([]);
    for (const more of [{}, { 'tls-server-name': 'kube.example' }]) {
      await write('first', api, { 'insecure-skip-tls-verify': true, ...more });
      later(2);
      await read(kubernetes);
    }
    const setting = `insecure-skip-tls-verify of the kubeconfig ${path}`;
    expect(warnings()).toEqual([[expect.stringContaining('is not checked'), { setting }]]);
  });

  it("leads to another API server, if the kubeconfig's file says so", async () => {
    const [one, other] = [await startApiServer(), await startApiServer()];
    const { write, kubernetes } = await startWithFile(one);
    await read(kubernetes);
    await write('second', other);
    later(2);
    await read(kubernetes);
    expect([shown(one), shown(other)]).toEqual([['first'], ['second']]);
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
    await expect(read(kubernetes)).rejects.toMatchObject({ outcome: 'refused' });
    expect(shown(api)).toEqual(['first', 'first', 'second', 'second']);
  });

  it('is not asked for where the API server says that we may not', async () => {
    const api = await startApiServer((_request, response) => answerStatus(response, 403, 'Forbidden'));
    const { env, extension } = await startExtension(kubeconfigText({ server: api.url }));
    const kubernetes = await open({ ...env, KUBECONFIG_SECRET_ID: 'agents' });
    await expect(read(kubernetes)).rejects.toMatchObject({ outcome: 'refused' });
    expect([api.requests.length, extension.requests.length]).toEqual([1, 1]);
  });

  it('is read again: a secret, after five minutes, and at once when the API server refuses it', async () => {
    const api = await startStrictServer();
    const content = (token: string) => kubeconfigText({ server: api.url, user: { token } });
    const { env, secret, extension } = await startExtension(content('first'));
    const kubernetes = await open({ ...env, KUBECONFIG_SECRET_ID: 'agents' });
    api.good = 'first';
    for (const [seconds, readings] of [
      [0, 1],
      [299, 1],
      [2, 2],
    ] as const) {
      later(seconds);
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
    for (let look = 0; look < 2; look += 1) {
      if (look === 0) await showNext('fourth', undefined, 2);
      later(2);
      await read(kubernetes);
    }
    expect(shown(api).join(' ')).toBe('first second! second! third!!! third!!! third!!! fourth fourth fourth fourth');
    expect(warnings().map(([, details]) => details)).toEqual([
      { path: file, code: 'EMPTY' },
      { path: file, code: 'ENOENT' },
    ]);
  });

  it('is used from the next call on, and the calls under way go on with what they have', async () => {
    const { certificate, key } = makeCertificate('kube.example');
    const api = await startApiServer(
      (request, response) => {
        setTimeout(() => answerNotFound(request, response), request.url.endsWith('/slow') ? 500 : 0);
      },
      { certificate, key },
    );
    const ca = join(await temporaryFolder(), 'ca.crt');
    await writeFile(ca, certificate);
    const cluster = { 'certificate-authority': ca, 'tls-server-name': 'kube.example' };
    const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster }) });
    const slow = read(kubernetes, 'slow');
    await eventually(
      'seen: the slow call',
      () => api.requests.length,
      (count) => count === 1,
    );
    await writeFile(ca, certificate + makeCertificate('new.example').certificate);
    later(2);
    expect([await read(kubernetes, 'fast'), await slow]).toEqual([undefined, undefined]);
    expect(api.connections()).toBe(2);
  });
});
