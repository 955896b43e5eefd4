import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { makeEksToken } from '../../lib/kubernetes/credentials/eks-token.ts';
import { type Kubernetes, openKubernetes } from '../../lib/kubernetes/index.ts';
import { log } from '../../lib/log.ts';
import { makeCertificate } from '../support/certificate.ts';
import { eventually } from '../support/eventually.ts';
import { startConnectProxy } from '../support/forward-proxies.ts';
import {
  type ApiServer,
  answerNotFound,
  answerStatus,
  kubeconfigText,
  startApiServer,
  temporaryFolder,
  writeKubeconfig,
} from './api-server.ts';

const never = new AbortController().signal;
const base64 = (text: string) => Buffer.from(text).toString('base64');
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

const open = (env: Record<string, string>): Promise<Kubernetes> =>
  openKubernetes(
    loadConfig({ KUBECONFIG_WAIT_SECONDS: '0', KUBECONFIG_PATH: join(tmpdir(), 'that-is-not-there'), ...env }),
    never,
    () => now,
  );

async function errorOf(call: Promise<unknown>): Promise<ProvisionerError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProvisionerError);
  return error as ProvisionerError;
}

/** One call, and what it showed the API server last. */
async function show(kubernetes: Kubernetes, api: ApiServer): Promise<string | undefined> {
  await kubernetes.readService('a', never);
  return api.requests.at(-1)?.headers.authorization;
}

const shown = (api: ApiServer) => api.requests.map(({ headers }) => headers.authorization?.replace('Bearer ', ''));

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
  const env = { ...aws, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(extension.port) };
  return { secret, extension, env };
}

describe('a kubeconfig', () => {
  const text = (api: ApiServer, token = 'test-token') => kubeconfigText({ server: api.url, user: { token } });
  const yaml = (api: ApiServer) =>
    [
      `clusters: [{name: c, cluster: {server: "${api.url}"}}]`,
      'users: [{name: u, user: {token: test-token}}]',
      'contexts: [{name: x, context: {cluster: c, user: u}}]',
      'current-context: x',
      '',
    ].join('\n');

  it.each<[string, (api: ApiServer) => string]>([
    ['JSON', text],
    ['YAML', yaml],
    ['base64', (api) => base64(yaml(api))],
    ['base64 in lines', (api) => `${base64(yaml(api)).replace(/.{76}/g, '$&\n')}\n`],
    ['JSON in base64', (api) => base64(text(api))],
  ])('may be in the environment: %s', async (_how, make) => {
    const api = await startApiServer();
    const kubernetes = await open({ KUBECONFIG_CONTENT: make(api) });
    expect(await show(kubernetes, api)).toBe('Bearer test-token');
  });

  it.each([
    ['no YAML', 'users: [ {token: top-secret', 'it is not valid (line 1)'],
    ['base64 of no YAML', base64('users: [ {token: top-secret'), 'it is not valid (line 1)'],
  ])('in the environment may not be %s, and is not quoted', async (_what, content, problem) => {
    const error = await errorOf(open({ KUBECONFIG_CONTENT: content }));
    expect(error).toMatchObject({
      outcome: 'misconfigured',
      detail: `Failed to load kubeconfig from KUBECONFIG_CONTENT: ${problem}`,
      cause: undefined,
    });
  });

  it.each([
    ['KUBECONFIG_SECRET_ID', '/secretsmanager/get?secretId=agents'],
    ['KUBECONFIG_PARAMETER', '/systemsmanager/parameters/get?name=agents&withDecryption=true'],
  ])('may be a secret: %s', async (setting, url) => {
    const api = await startApiServer();
    const { env, extension } = await startExtension(text(api));
    const kubernetes = await open({ ...env, [setting]: 'agents' });
    expect(await show(kubernetes, api)).toBe('Bearer test-token');
    expect(extension.requests.map((request) => request.url)).toEqual([url]);
  });

  it('that is a secret and no kubeconfig is told by its setting, and is not quoted', async () => {
    const { env } = await startExtension('top-secret: [');
    expect(await errorOf(open({ ...env, KUBECONFIG_SECRET_ID: 'agents' }))).toMatchObject({
      outcome: 'misconfigured',
      detail: expect.stringMatching(/^Failed to load kubeconfig from KUBECONFIG_SECRET_ID 'agents': it is not valid/),
      cause: undefined,
    });
  });

  it('that is a secret which cannot be read is told by its setting, with why', async () => {
    const { env, secret } = await startExtension('');
    secret.isGone = true;
    expect(await errorOf(open({ ...env, KUBECONFIG_SECRET_ID: 'agents' }))).toMatchObject({
      outcome: 'unavailable',
      detail: "No kubeconfig from KUBECONFIG_SECRET_ID: The secret 'agents' could not be read (500)",
      headers: { 'retry-after': '1' },
    });
    expect(await errorOf(open({ KUBECONFIG_PARAMETER: '/agents' }))).toMatchObject({
      outcome: 'misconfigured',
      detail:
        "No kubeconfig from KUBECONFIG_PARAMETER: The parameter '/agents' can only be read on Lambda: there is no AWS_SESSION_TOKEN",
    });
  });

  it('is taken from the first place that is set', async () => {
    const [first, second, third, fourth] = [
      await startApiServer(),
      await startApiServer(),
      await startApiServer(),
      await startApiServer(),
    ];
    const { env, secret, extension } = await startExtension(text(second));
    const eks = {
      EKS_CLUSTER_NAME: 'agents',
      EKS_CLUSTER_ENDPOINT: third.url,
      EKS_CLUSTER_CA: base64(makeCertificate('a').certificate),
    };
    const file = { KUBECONFIG_PATH: await writeKubeconfig({ server: fourth.url }) };
    const asks = async (settings: Record<string, string>, api: ApiServer) => {
      const before = api.requests.length;
      await (await open({ ...env, ...settings })).readService('a', never);
      return api.requests.length - before;
    };
    const all = {
      KUBECONFIG_CONTENT: text(first),
      KUBECONFIG_SECRET_ID: 's',
      KUBECONFIG_PARAMETER: 'p',
      ...eks,
      ...file,
    };
    expect(await asks(all, first)).toBe(1);
    const { KUBECONFIG_CONTENT: _content, ...withSecret } = all;
    expect(await asks(withSecret, second)).toBe(1);
    const { KUBECONFIG_SECRET_ID: _secret, ...withParameter } = withSecret;
    secret.value = text(second, 'other');
    expect(await asks(withParameter, second)).toBe(1);
    expect(extension.requests.map(({ url }) => url.split('?')[0])).toEqual([
      '/secretsmanager/get',
      '/systemsmanager/parameters/get',
    ]);
    expect(await asks({ ...eks, ...file }, third)).toBe(1);
    expect(await asks(file, fourth)).toBe(1);
  });

  describe('with several contexts', () => {
    const content = (api: ApiServer) =>
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: api.url } }],
        users: ['one', 'two'].map((name) => ({ name, user: { token: `token-of-${name}` } })),
        contexts: ['one', 'two'].map((user) => ({ name: `as-${user}`, context: { cluster: 'c', user } })),
        'current-context': 'as-one',
      });

    it.each([
      ['its current one', {}, 'Bearer token-of-one'],
      ['the one of KUBECONFIG_CONTEXT', { KUBECONFIG_CONTEXT: 'as-two' }, 'Bearer token-of-two'],
    ])('is that of %s', async (_which, env, authorization) => {
      const api = await startApiServer();
      const kubernetes = await open({ KUBECONFIG_CONTENT: content(api), ...env });
      expect(await show(kubernetes, api)).toBe(authorization);
    });

    it('says which there are, where it has not the one of KUBECONFIG_CONTEXT', async () => {
      const api = await startApiServer();
      const env = { KUBECONFIG_CONTENT: content(api), KUBECONFIG_CONTEXT: 'as-three' };
      expect(await errorOf(open(env))).toMatchObject({
        outcome: 'misconfigured',
        detail:
          "The kubeconfig KUBECONFIG_CONTENT has no context 'as-three' (KUBECONFIG_CONTEXT): it has 'as-one', 'as-two'",
      });
      expect(await errorOf(open({ ...env, KUBECONFIG_CONTENT: '{"clusters": []}' }))).toMatchObject({
        detail: "The kubeconfig KUBECONFIG_CONTENT has no context 'as-three' (KUBECONFIG_CONTEXT): it has none",
      });
    });
  });
});

describe('EKS without a kubeconfig', () => {
  const { certificate, key } = makeCertificate('kube.example');
  const eks = (endpoint: string) => ({
    EKS_CLUSTER_NAME: 'agents',
    EKS_CLUSTER_ENDPOINT: endpoint,
    EKS_CLUSTER_CA: base64(certificate),
  });
  const token = (at: Date, region = 'eu-central-1') => makeEksToken({ name: 'agents', region }, role, at);

  it('is called with a token that is made here, and checked by its CA', async () => {
    const api = await startApiServer(undefined, { certificate, key });
    // The name of the endpoint leads nowhere from here.
    const endpoint = 'https://kube.example:6443';
    const kubernetes = await open({ ...aws, ...eks(endpoint), K8S_API_SERVER: api.url });
    expect(await show(kubernetes, api)).toBe(`Bearer ${await token(now)}`);
    const other = { EKS_CLUSTER_CA: base64(makeCertificate('kube.example').certificate) };
    const wrong = await open({ ...aws, ...eks(endpoint), ...other, K8S_API_SERVER: api.url });
    expect(await errorOf(wrong.readService('a', never))).toMatchObject({ outcome: 'refused' });
  });

  it('gets a new token before the last one ends, and not with every call', async () => {
    const api = await startApiServer();
    const kubernetes = await open({ ...aws, ...eks(api.url) });
    const begin = now;
    const expected = [];
    for (const minute of [0, 5, 9.9, 10, 15, 19.9, 20, 60]) {
      now = new Date(begin.getTime() + minute * 60_000);
      await kubernetes.readService('a', never);
      const madeAt = minute < 10 ? 0 : minute < 20 ? 10 : minute;
      expected.push(await token(new Date(begin.getTime() + madeAt * 60_000)));
    }
    expect(shown(api)).toEqual(expected);
    // EKS takes one for 15 minutes.
    expect(new Set(expected).size).toBe(4);
  });

  it('gets a new token when the clock was put back: the last one is of a time to come', async () => {
    const api = await startApiServer();
    const kubernetes = await open({ ...aws, ...eks(api.url) });
    await kubernetes.readService('a', never);
    later(-3600);
    expect(await show(kubernetes, api)).toBe(`Bearer ${await token(now)}`);
  });

  it('gets a new token, once, when the API server refuses the one it has', async () => {
    const api = await startStrictServer();
    const kubernetes = await open({ ...aws, ...eks(api.url) });
    const first = await token(now);
    api.good = first;
    await kubernetes.readService('a', never);
    later(60);
    const second = await token(now);
    api.good = second;
    await kubernetes.readService('a', never);
    expect(shown(api)).toEqual([first, first, second]);
    later(60);
    api.good = 'none';
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'refused',
      detail: 'Kubernetes refused our credentials (401 Unauthorized)',
    });
    expect(shown(api).slice(3)).toEqual([second, await token(now)]);
  });

  it('gets one new token for calls side by side that are refused', async () => {
    const api = await startStrictServer();
    const kubernetes = await open({ ...aws, ...eks(api.url) });
    api.good = await token(now);
    await kubernetes.readService('a', never);
    later(60);
    api.good = await token(now);
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => kubernetes.readService(name, never)));
    expect(new Set(shown(api)).size).toBe(2);
  });

  it.each([
    ["the endpoint's", 'https://0A1B.gr7.ap-southeast-2.eks.amazonaws.com', {}, 'ap-southeast-2'],
    ["the function's, where the endpoint names none", 'https://10.0.0.1', { AWS_REGION: 'us-west-2' }, 'us-west-2'],
  ])('is asked for in a region: %s', async (_whose, endpoint, env, region) => {
    const api = await startApiServer();
    const kubernetes = await open({ ...aws, ...eks(endpoint), ...env, K8S_API_SERVER: api.url });
    expect(await show(kubernetes, api)).toBe(`Bearer ${await token(now, region)}`);
  });

  it('says what is missing for a token', async () => {
    const endpoint = 'https://10.0.0.1';
    expect(await errorOf(open(eks(endpoint)))).toMatchObject({
      outcome: 'misconfigured',
      detail:
        "No token for the EKS cluster 'agents' (EKS_CLUSTER_NAME): there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    });
    const { AWS_REGION: _region, ...noRegion } = aws;
    expect(await errorOf(open({ ...noRegion, ...eks(endpoint) }))).toMatchObject({
      outcome: 'misconfigured',
      detail:
        "No token for the EKS cluster 'agents' (EKS_CLUSTER_NAME): neither EKS_CLUSTER_ENDPOINT nor AWS_REGION names a region",
    });
  });
});

const exec = (command: string, args: string[] = [], rest: object = {}) => ({
  exec: { apiVersion: 'client.authentication.k8s.io/v1beta1', command, args, ...rest },
});
const withUser = async (api: ApiServer, user: Record<string, unknown>, env: Record<string, string> = {}) =>
  open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, user }), ...env });

describe('a kubeconfig of `aws eks update-kubeconfig`', () => {
  const getToken = (...more: string[]) =>
    exec('aws', ['--region', 'eu-west-1', 'eks', 'get-token', '--cluster-name', 'agents', ...more]);
  // Not even a PATH: what runs is nobody's program.
  beforeEach(() => vi.stubEnv('PATH', '/nonexistent'));

  it.each<[string, object, string?]>([
    ['as it is written today', getToken('--output', 'json')],
    ['as it was written once', getToken()],
    ['with an env that is null', exec('aws', getToken().exec.args, { env: null })],
    ['with a path to the program', exec('/usr/local/bin/aws', getToken().exec.args)],
    [
      'with = between option and value',
      exec('aws', ['eks', 'get-token', '--region=eu-west-1', '--cluster-name=agents']),
    ],
    ['of aws-iam-authenticator', exec('aws-iam-authenticator', ['token', '-i', 'agents', '--region', 'eu-west-1'])],
    [
      'of aws-iam-authenticator, without a region',
      exec('aws-iam-authenticator', ['token', '--cluster-id', 'agents']),
      'eu-central-1',
    ],
    [
      'with the region in a variable',
      exec('aws-iam-authenticator', ['token', '-i', 'agents'], {
        env: [
          { name: 'AWS_DEFAULT_REGION', value: 'eu-west-1' },
          { name: 'AWS_STS_REGIONAL_ENDPOINTS', value: 'regional' },
        ],
      }),
    ],
  ])('needs no program, %s', async (_how, user, region = 'eu-west-1') => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, user as Record<string, unknown>, aws);
    expect(await show(kubernetes, api)).toBe(`Bearer ${await makeEksToken({ name: 'agents', region }, role, now)}`);
    later(600);
    expect(await show(kubernetes, api)).toBe(`Bearer ${await makeEksToken({ name: 'agents', region }, role, now)}`);
  });

  it.each<[string, object, Record<string, string>, RegExp]>([
    [
      'a role to assume',
      getToken('--role-arn', 'arn:aws:iam::1:role/r'),
      aws,
      /we know nothing of its argument --role-arn$/,
    ],
    [
      'a profile',
      exec('aws', getToken().exec.args, { env: [{ name: 'AWS_PROFILE', value: 'p' }] }),
      aws,
      /asks for a profile$/,
    ],
    ['a profile as an argument', getToken('--profile', 'p'), aws, /its argument --profile$/],
    [
      'credentials of its own',
      exec('aws', getToken().exec.args, { env: [{ name: 'AWS_ACCESS_KEY_ID', value: 'x' }] }),
      aws,
      /we know nothing of AWS_ACCESS_KEY_ID$/,
    ],
    [
      'credentials, and there are none',
      getToken(),
      {},
      /no AWS credentials in the environment \(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\)$/,
    ],
    [
      'a region that is none',
      exec('aws', ['eks', 'get-token', '--region', 'x.example/', '--cluster-name', 'a']),
      aws,
      /names a region$/,
    ],
    ['a token for no cluster', exec('aws', ['eks', 'get-token', '--region', 'eu-west-1']), aws, /names no cluster$/],
  ])('needs the program where it asks for %s, and says why if it is not there', async (_what, user, env, why) => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, user as Record<string, unknown>, env);
    const error = await errorOf(kubernetes.readService('a', never));
    expect(error.outcome).toBe('misconfigured');
    expect(error.detail).toMatch(
      /^the plug-in 'aws' of the kubeconfig is not installed; its token cannot be made without it, because /,
    );
    expect(error.detail).toMatch(why);
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
    expect(await show(kubernetes, api)).toBe('Bearer of-the-program');
  });

  it('is no other call of the same program', async () => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, exec('aws', ['sts', 'get-token', '--cluster-name', 'a']), aws);
    const error = await errorOf(kubernetes.readService('a', never));
    expect(error.detail).toBe("the plug-in 'aws' of the kubeconfig is not installed");
  });
});

describe('a plug-in of the kubeconfig', () => {
  /** A plug-in that counts its runs in a file, and prints what the code makes of that count and its environment. */
  async function plugIn(status: string, rest: object = {}) {
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

  it('is run once for many calls, where what it gives does not end', async () => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, await plugIn("{ token: 'run-' + run }"));
    await Promise.all(['a', 'b', 'c'].map((name) => kubernetes.readService(name, never)));
    later(86_400);
    await kubernetes.readService('a', never);
    expect(shown(api)).toEqual(['run-1', 'run-1', 'run-1', 'run-1']);
  });

  it('is run again shortly before what it gave ends', async () => {
    const api = await startApiServer();
    const status = "{ token: 'run-' + run, expirationTimestamp: '2026-11-22T12:05:00Z' }";
    const kubernetes = await withUser(api, await plugIn(status));
    for (const seconds of [0, 200, 80, 15]) {
      later(seconds);
      await kubernetes.readService('a', never);
    }
    expect(shown(api)).toEqual(['run-1', 'run-1', 'run-1', 'run-2']);
  });

  it('is run again, once, when the API server refuses what it gave', async () => {
    const api = await startStrictServer();
    const kubernetes = await withUser(api, await plugIn("{ token: 'run-' + run }"));
    api.good = 'run-1';
    await kubernetes.readService('a', never);
    api.good = 'run-2';
    await kubernetes.readService('a', never);
    api.good = 'none';
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({ outcome: 'refused' });
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
    const kubernetes = await withUser(api, await plugIn("{ token: 'run-' + run }"));
    const late = kubernetes.readService('late', never);
    await eventually(
      'made: the late call',
      () => api.requests.length,
      (count) => count === 1,
    );
    await kubernetes.readService('early', never);
    refuseLate();
    await late;
    expect(shown(api)).toEqual(['run-1', 'run-1', 'run-2', 'run-2']);
  });

  /** A plug-in whose token is what it was told, and one of its variables. */
  const tellTale = (rest: object) =>
    plugIn("{ token: Buffer.from(JSON.stringify([info, process.env.GIVEN])).toString('hex') }", {
      env: [{ name: 'GIVEN', value: 'yes' }],
      ...rest,
    });
  const readTold = (shown: string | undefined) =>
    JSON.parse(Buffer.from(shown?.replace('Bearer ', '') ?? '', 'hex').toString());

  it('is told nothing of the cluster unless it asks for it', async () => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, await tellTale({}));
    const info = {
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      kind: 'ExecCredential',
      spec: { interactive: false },
    };
    expect(readTold(await show(kubernetes, api))).toEqual([info, 'yes']);
  });

  // Of the CA in a file, the proxy and its own extension it was told nothing.
  it.each(['in a file', 'in itself'])('is told all of the cluster that it may know: the CA is %s', async (where) => {
    const identity = makeCertificate('kube.example');
    const api = await startApiServer(undefined, identity);
    const proxy = await startConnectProxy(api.port);
    onTestFinished(() => proxy.close());
    const ca = join(await temporaryFolder(), 'ca.crt');
    await writeFile(ca, identity.certificate);
    const config = { audience: ['agents'], deep: { er: 1 } };
    const cluster = {
      'tls-server-name': 'kube.example',
      'proxy-url': proxy.url,
      extensions: [
        { name: 'another.example/exec', extension: { audience: 'other' } },
        { name: 'client.authentication.k8s.io/exec', extension: config },
      ],
      ...(where === 'in a file'
        ? { 'certificate-authority': ca }
        : { 'certificate-authority-data': base64(identity.certificate) }),
    };
    const user = await tellTale({ provideClusterInfo: true });
    const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster, user }) });
    const [{ spec }] = readTold(await show(kubernetes, api));
    expect(spec).toEqual({
      interactive: false,
      cluster: {
        server: api.url,
        'tls-server-name': 'kube.example',
        'insecure-skip-tls-verify': false,
        'certificate-authority-data': base64(identity.certificate),
        'proxy-url': proxy.url,
        config,
      },
    });
  });

  it('is told of the cluster as we reach it, where K8S_API_SERVER says how', async () => {
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    const user = await tellTale({ provideClusterInfo: true });
    const path = await writeKubeconfig({ server: 'https://kube.example:6443', user });
    const kubernetes = await open({ KUBECONFIG_PATH: path, K8S_API_SERVER: api.url, K8S_TLS_SKIP_VERIFY: 'true' });
    const [{ spec }] = readTold(await show(kubernetes, api));
    expect(spec.cluster).toEqual({
      server: api.url,
      'tls-server-name': 'kube.example',
      'insecure-skip-tls-verify': true,
    });
  });

  it('may give a client certificate', async () => {
    const authority = { name: 'authority', ...makeCertificate('authority') };
    const client = makeCertificate('me', { signedBy: authority });
    const { certificate, key } = makeCertificate('127.0.0.1');
    const seen: unknown[] = [];
    const api = await startApiServer(
      (request, response) => {
        seen.push((response.req.socket as TLSSocket).getPeerCertificate().subject?.CN);
        answerNotFound(request, response);
      },
      { certificate, key },
      { requestCert: true, rejectUnauthorized: false, ca: authority.certificate },
    );
    const { exec: plug } = await plugIn(
      `{ clientCertificateData: ${JSON.stringify(client.certificate)}, clientKeyData: ${JSON.stringify(client.key)} }`,
    );
    const cluster = { 'insecure-skip-tls-verify': true };
    const kubernetes = await open({
      KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster, user: { exec: plug } }),
    });
    await kubernetes.readService('a', never);
    expect(seen).toEqual(['me']);
  });

  it.each<[string, string, RegExp]>([
    ['fails', 'console.error("it hurts"); process.exit(7)', /failed \(exit code 7\)$/],
    ['is killed', 'process.kill(process.pid, "SIGTERM")', /failed \(SIGTERM\)$/],
    ['prints nothing', '', /printed no credential$/],
    ['prints no JSON', 'console.log("top-secret")', /printed no credential$/],
    [
      'prints something else',
      'console.log(JSON.stringify({ kind: "Token", status: { token: "top-secret" } }))',
      /printed no credential$/,
    ],
    [
      'prints a credential with nothing in it',
      'console.log(JSON.stringify({ kind: "ExecCredential", status: {} }))',
      /printed no credential$/,
    ],
    [
      'prints a certificate without a key',
      'console.log(JSON.stringify({ kind: "ExecCredential", status: { clientCertificateData: "top-secret" } }))',
      /printed no credential$/,
    ],
    [
      'prints without end',
      'const more = () => process.stdout.write("top-secret".repeat(10_000), more); more()',
      /failed \(ERR_CHILD_PROCESS_STDIO_MAXBUFFER\)$/,
    ],
  ])('that %s is named, without what it printed', async (_what, code, problem) => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, exec(process.execPath, ['-e', code]));
    const error = await errorOf(kubernetes.readService('a', never));
    expect(error.outcome).toBe('misconfigured');
    expect(error.detail).toMatch(/^the plug-in '.*node' of the kubeconfig /);
    expect(error.detail).toMatch(problem);
    expect(inspect(error, { depth: null, maxStringLength: null })).not.toContain('top-secret');
    expect(api.requests).toEqual([]);
  });

  it('that is not there, or may not be run, is named', async () => {
    const api = await startApiServer();
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'plug'), '');
    for (const [command, problem] of [
      [join(folder, 'missing'), 'is not installed'],
      [join(folder, 'plug'), 'may not be run'],
    ] as const) {
      const kubernetes = await withUser(api, exec(command));
      expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
        outcome: 'misconfigured',
        detail: `the plug-in '${command}' of the kubeconfig ${problem}`,
      });
    }
  });

  it('that cannot do without somebody to ask is refused, and not run', async () => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, exec('no-such-plug-in', [], { interactiveMode: 'Always' }));
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'misconfigured',
      detail:
        "the plug-in 'no-such-plug-in' of the kubeconfig wants to ask somebody (interactiveMode), and nobody is there",
    });
  });

  it.each(['Never', 'IfAvailable'])('that can do without somebody to ask is run: %s', async (interactiveMode) => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, await plugIn("{ token: 'run-' + run }", { interactiveMode }));
    expect(await show(kubernetes, api)).toBe('Bearer run-1');
  });

  it('that is not there says in the log how it is installed', async () => {
    const api = await startApiServer();
    const installHint = 'Install it from https://plug.example';
    const kubernetes = await withUser(api, exec('no-such-plug-in', [], { installHint }));
    const error = await errorOf(kubernetes.readService('a', never));
    expect([error.detail, error.cause]).toEqual([
      "the plug-in 'no-such-plug-in' of the kubeconfig is not installed",
      installHint,
    ]);
  });

  it('is not run, as by kubectl, for who has a client certificate', async () => {
    const { certificate, key } = makeCertificate('me');
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    const user = {
      'client-certificate-data': base64(certificate),
      'client-key-data': base64(key),
      ...exec('no-such-plug-in'),
    };
    const cluster = { 'insecure-skip-tls-verify': true };
    const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster, user }) });
    expect(await show(kubernetes, api)).toBeUndefined();
  });

  it('that hangs is ended with the last call that waits for it, and each waits for its own time', async () => {
    const api = await startApiServer();
    const folder = await temporaryFolder();
    const code = `require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'pid'))}, String(process.pid)); setInterval(() => {}, 1000)`;
    const kubernetes = await withUser(api, exec(process.execPath, ['-e', code]));
    const [short, long] = [new AbortController(), new AbortController()];
    const calls = [short, long].map(({ signal }) => errorOf(kubernetes.readService('a', signal)));
    const pid = Number(
      await eventually(
        'running: the plug-in',
        () => readFile(join(folder, 'pid'), 'utf8').catch(() => ''),
        (text) => text !== '',
      ),
    );
    const isRunning = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    short.abort();
    // It was Kubernetes that was blamed.
    const blamed = {
      outcome: 'deadline-exceeded',
      detail: `the plug-in '${process.execPath}' of the kubeconfig did not end in time: it may wait for somebody to log in`,
    };
    expect(await calls[0]).toMatchObject(blamed);
    expect(isRunning()).toBe(true);
    long.abort();
    expect(await calls[1]).toMatchObject(blamed);
    await eventually('gone: the plug-in', isRunning, (running) => !running);
  });
});

// Others than the user alone were dropped, and with them the rights that the kubeconfig asks for, or gives up.
describe('a user who acts as another one', () => {
  const headersOf = async (as: Record<string, unknown>) => {
    let seen: string[] = [];
    const api = await startApiServer((request, response) => {
      seen = response.req.rawHeaders.map((text) => Buffer.from(text, 'latin1').toString());
      answerNotFound(request, response);
    });
    const kubernetes = await withUser(api, { token: 'test-token', ...as });
    expect(await show(kubernetes, api)).toBe('Bearer test-token');
    const headers = seen.flatMap((name, index) => (index % 2 === 0 ? [[name, seen[index + 1]]] : []));
    return headers.filter(([name]) => name?.startsWith('Impersonate'));
  };

  it.each<[string, Record<string, unknown>, string[][]]>([
    ['nobody', { as: null, 'as-groups': null }, []],
    ['a user', { as: 'me' }, [['Impersonate-User', 'me']]],
    ['a user of another alphabet', { as: 'Jürgen Ж 漢' }, [['Impersonate-User', 'Jürgen Ж 漢']]],
    [
      'a user of groups',
      { as: 'me', 'as-groups': ['one', 'two, three'] },
      [
        ['Impersonate-User', 'me'],
        ['Impersonate-Group', 'one'],
        ['Impersonate-Group', 'two, three'],
      ],
    ],
    [
      'a user with a UID',
      { as: 'me', 'as-uid': '06f6ce97' },
      [
        ['Impersonate-User', 'me'],
        ['Impersonate-Uid', '06f6ce97'],
      ],
    ],
    [
      'a user with more',
      { as: 'me', 'as-user-extra': { Scopes: ['a', 'b'], scopes: ['c'], 'acme.example/project (ü)': ['ü'], none: [] } },
      [
        ['Impersonate-User', 'me'],
        ['Impersonate-Extra-scopes', 'a'],
        ['Impersonate-Extra-scopes', 'b'],
        ['Impersonate-Extra-scopes', 'c'],
        ['Impersonate-Extra-acme.example%2fproject%20%28%c3%bc%29', 'ü'],
      ],
    ],
  ])('says so, whole: %s', async (_who, as, expected) => {
    expect(await headersOf(as)).toEqual(expected);
  });

  it('is refused where it cannot be said', async () => {
    const api = await startApiServer();
    const kubernetes = await withUser(api, { token: 't', as: 'two\nlines' });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'misconfigured',
      detail: 'the credentials of the kubeconfig cannot be had (ERR_INVALID_CHAR)',
    });
  });
});

// kubectl takes no other auth-provider than oidc.
describe('the id-token of the auth-provider oidc', () => {
  const jwt = (exp: unknown) =>
    ['{}', JSON.stringify({ exp }), 'signature'].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const withToken = (api: ApiServer, token: string) =>
    withUser(api, { 'auth-provider': { name: 'oidc', config: { 'id-token': token, 'refresh-token': 'top-secret' } } });

  it('is shown until it ends, and then refused', async () => {
    const api = await startApiServer();
    const token = jwt(now.getTime() / 1000 + 60);
    const kubernetes = await withToken(api, token);
    expect(await show(kubernetes, api)).toBe(`Bearer ${token}`);
    later(61);
    const error = await errorOf(kubernetes.readService('a', never));
    expect(error).toMatchObject({
      outcome: 'misconfigured',
      detail:
        "the token of the auth-provider 'oidc' of the kubeconfig has ended, and only a plug-in (exec) can get a new one here",
    });
    expect(inspect(error, { depth: null })).not.toContain('top-secret');
    expect(api.requests).toHaveLength(1);
  });

  it.each([
    ['says nothing', jwt(undefined)],
    ['is no JWT', 'opaque'],
  ])('is shown for ever where it %s of an end', async (_what, token) => {
    const api = await startApiServer();
    const kubernetes = await withToken(api, token);
    later(86_400);
    expect(await show(kubernetes, api)).toBe(`Bearer ${token}`);
  });
});

describe('what is rotated', () => {
  const fileWith = async (path: string, api: ApiServer, token: string) =>
    writeFile(path, kubeconfigText({ server: api.url, user: { token } }));

  it("is read again: the kubeconfig's file, at most once a second", async () => {
    const api = await startApiServer();
    const path = join(await temporaryFolder(), 'kubeconfig');
    await fileWith(path, api, 'first');
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    expect(await show(kubernetes, api)).toBe('Bearer first');
    await fileWith(path, api, 'second');
    later(0.9);
    expect(await show(kubernetes, api)).toBe('Bearer first');
    later(0.2);
    expect(await show(kubernetes, api)).toBe('Bearer second');
    expect(api.connections()).toBeLessThanOrEqual(2);
  });

  // All but the first showed what they had: after a plug-in that hung was gone from the kubeconfig, it was waited for again.
  it('is shown by all calls that begin side by side', async () => {
    const api = await startApiServer();
    const path = join(await temporaryFolder(), 'kubeconfig');
    await fileWith(path, api, 'first');
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    await kubernetes.readService('a', never);
    await fileWith(path, api, 'second');
    later(2);
    await Promise.all(['a', 'b', 'c'].map((name) => kubernetes.readService(name, never)));
    expect(shown(api)).toEqual(['first', 'second', 'second', 'second']);
  });

  it('is warned of, once, where from now on the certificate of the API server is not to be checked', async () => {
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    const path = join(await temporaryFolder(), 'kubeconfig');
    const write = (cluster: object) => writeFile(path, kubeconfigText({ server: api.url, cluster: { ...cluster } }));
    await write({});
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({ outcome: 'refused' });
    expect(vi.mocked(log.warn)).not.toHaveBeenCalled();
    for (const more of [{}, { 'tls-server-name': 'kube.example' }]) {
      await write({ 'insecure-skip-tls-verify': true, ...more });
      later(2);
      await kubernetes.readService('a', never);
    }
    expect(vi.mocked(log.warn).mock.calls).toEqual([
      [expect.stringContaining('is not checked'), { setting: `insecure-skip-tls-verify of the kubeconfig ${path}` }],
    ]);
  });

  it("leads to another API server, if the kubeconfig's file says so", async () => {
    const [one, other] = [await startApiServer(), await startApiServer()];
    const path = join(await temporaryFolder(), 'kubeconfig');
    await fileWith(path, one, 'first');
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    await kubernetes.readService('a', never);
    await fileWith(path, other, 'second');
    later(2);
    await kubernetes.readService('a', never);
    expect([shown(one), shown(other)]).toEqual([['first'], ['second']]);
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['is not there', (path) => rm(path)],
    ['is half written', (path) => writeFile(path, 'users: [ {token: top-secret')],
    ['is empty', (path) => writeFile(path, '')],
  ])('stays as it was while its file %s, which is logged once', async (_what, spoil) => {
    const api = await startApiServer();
    const path = join(await temporaryFolder(), 'kubeconfig');
    await fileWith(path, api, 'first');
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    await spoil(path);
    for (let second = 0; second < 3; second += 1) {
      later(2);
      expect(await show(kubernetes, api)).toBe('Bearer first');
    }
    expect(vi.mocked(log.warn).mock.calls).toEqual([
      [expect.any(String), { reason: expect.stringContaining(`Failed to load kubeconfig from ${path}`) }],
    ]);
    expect(JSON.stringify(vi.mocked(log.warn).mock.calls)).not.toContain('top-secret');
    await fileWith(path, api, 'second');
    later(2);
    expect(await show(kubernetes, api)).toBe('Bearer second');
  });

  it('is read again when the API server refuses it, however young, and the call is made once more', async () => {
    const api = await startStrictServer();
    const path = join(await temporaryFolder(), 'kubeconfig');
    await fileWith(path, api, 'first');
    api.good = 'first';
    const kubernetes = await open({ KUBECONFIG_PATH: path });
    await kubernetes.readService('a', never);
    await fileWith(path, api, 'second');
    api.good = 'second';
    await kubernetes.readService('a', never);
    expect(shown(api)).toEqual(['first', 'first', 'second']);
  });

  it('is not shown twice where it has not changed', async () => {
    const api = await startStrictServer();
    const kubernetes = await open({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({ outcome: 'refused' });
    expect(api.requests).toHaveLength(1);
  });

  it('is not asked for where the API server says that we may not', async () => {
    const api = await startApiServer((_request, response) => answerStatus(response, 403, 'Forbidden'));
    const { env, extension } = await startExtension(kubeconfigText({ server: api.url }));
    const kubernetes = await open({ ...env, KUBECONFIG_SECRET_ID: 'agents' });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({ outcome: 'refused' });
    expect([api.requests.length, extension.requests.length]).toEqual([1, 1]);
  });

  it('is read again: a secret, after five minutes, and at once when the API server refuses it', async () => {
    const api = await startStrictServer();
    const content = (token: string) => kubeconfigText({ server: api.url, user: { token } });
    const { env, secret, extension } = await startExtension(content('first'));
    const kubernetes = await open({ ...env, KUBECONFIG_SECRET_ID: 'agents' });
    api.good = 'first';
    for (const seconds of [0, 100, 199]) {
      later(seconds);
      await kubernetes.readService('a', never);
    }
    expect(extension.requests).toHaveLength(1);
    later(2);
    await kubernetes.readService('a', never);
    expect(extension.requests).toHaveLength(2);
    secret.value = content('second');
    api.good = 'second';
    await Promise.all(['a', 'b', 'c'].map((name) => kubernetes.readService(name, never)));
    expect(new Set(shown(api).slice(-3))).toEqual(new Set(['second']));
    secret.isGone = true;
    later(3600);
    await kubernetes.readService('a', never);
    expect(shown(api).at(-1)).toBe('second');
    expect(vi.mocked(log.warn)).toHaveBeenCalledTimes(1);
  });

  it("is read again: a token's file, which goes before a token", async () => {
    const api = await startStrictServer();
    const file = join(await temporaryFolder(), 'token');
    await writeFile(file, 'first\n');
    api.good = 'first';
    const kubernetes = await withUser(api, { tokenFile: file, token: 'old' });
    await kubernetes.readService('a', never);
    await writeFile(file, 'second!\n');
    later(2);
    api.good = 'second!';
    await kubernetes.readService('a', never);
    await writeFile(file, 'third!!!\n');
    api.good = 'third!!!';
    await kubernetes.readService('a', never);
    await rm(file);
    for (let look = 0; look < 2; look += 1) {
      later(2);
      await kubernetes.readService('a', never);
    }
    expect(shown(api)).toEqual(['first', 'second!', 'second!', 'third!!!', 'third!!!', 'third!!!']);
    expect(vi.mocked(log.warn).mock.calls).toEqual([[expect.any(String), { path: file, code: 'ENOENT' }]]);
  });

  it('is not an empty file of a token: the last one stays, and where there was none, it is told', async () => {
    const api = await startApiServer();
    const file = join(await temporaryFolder(), 'token');
    await writeFile(file, '\n');
    const kubernetes = await withUser(api, { tokenFile: file });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'misconfigured',
      detail: `the credentials of the kubeconfig cannot be had (EMPTY: ${file})`,
    });
    for (const text of ['first', '', 'second']) {
      await writeFile(file, text);
      later(2);
      await kubernetes.readService('a', never);
    }
    expect(shown(api)).toEqual(['first', 'first', 'second']);
    expect(vi.mocked(log.warn).mock.calls).toEqual([[expect.any(String), { path: file, code: 'EMPTY' }]]);
  });

  it('is a file beside the kubeconfig, where its path is relative', async () => {
    const api = await startApiServer();
    const path = await writeKubeconfig({ server: api.url, user: { tokenFile: 'token' } });
    await writeFile(join(path, '..', 'token'), 'from-beside');
    expect(await show(await open({ KUBECONFIG_PATH: path }), api)).toBe('Bearer from-beside');
  });

  it('is shown over a new connection where it is a client certificate', async () => {
    const authority = { name: 'authority', ...makeCertificate('authority') };
    const folder = await temporaryFolder();
    const seen: string[] = [];
    const api = await startApiServer(
      (request, response) => {
        seen.push((response.req.socket as TLSSocket).getPeerCertificate().subject?.CN as string);
        answerNotFound(request, response);
      },
      makeCertificate('kube.example'),
      { requestCert: true, ca: authority.certificate },
    );
    const write = async (name: string) => {
      const { certificate, key } = makeCertificate(name, { signedBy: authority });
      await writeFile(join(folder, 'cert'), certificate);
      await writeFile(join(folder, 'key'), key);
    };
    await write('first');
    const kubernetes = await open({
      KUBECONFIG_PATH: await writeKubeconfig({
        server: api.url,
        cluster: { 'insecure-skip-tls-verify': true },
        user: { 'client-certificate': join(folder, 'cert'), 'client-key': join(folder, 'key') },
      }),
    });
    await kubernetes.readService('a', never);
    await kubernetes.readService('a', never);
    await write('second');
    later(2);
    await kubernetes.readService('a', never);
    expect([seen, api.connections()]).toEqual([['first', 'first', 'second'], 2]);
  });
});
