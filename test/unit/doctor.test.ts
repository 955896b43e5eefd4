import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { startEmbeddedKubernetes } from '../../lib/local/kubernetes/index.ts';
import { log } from '../../lib/log.ts';
import { judgeQuota } from '../../lib/tools/doctor/cluster.ts';
import { examine } from '../../lib/tools/doctor/examine.ts';
import type { Finding } from '../../lib/tools/doctor/finding.ts';
import { formatFinding, formatJson, judge, readOptions, summarize } from '../../lib/tools/doctor/report.ts';
import { type Identity, makeCertificate } from '../support/certificate.ts';
import { openKubernetesClient, readKubeconfig } from '../support/kubernetes-client.ts';
import { type FaultAction, type KubernetesCall, startKubernetesProxy } from '../support/kubernetes-proxy.ts';
import { keepSecret } from '../support/secrets.ts';
import { answerStatus, kubeconfigText, startApiServer, temporaryFolder, writeKubeconfig } from './api-server.ts';
import { base64, never } from './opened.ts';

log.setLogLevel('SILENT');
afterEach(() => vi.restoreAllMocks());

const host = 'kube.example';
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
const authority = { name: 'authority', ...makeCertificate('authority') };
const signed = (name: string, options: Parameters<typeof makeCertificate>[1] = {}) =>
  makeCertificate(name, { signedBy: authority, ...options });
const named = {
  'certificate-authority-data': base64(authority.certificate),
  'tls-server-name': host,
};

/** What is found with these settings and no others; nothing that anybody would keep to themselves is in it. */
async function find(env: Record<string, string>, now = () => new Date()): Promise<Finding[]> {
  const findings: Finding[] = [];
  await examine({ env, sandbox: false, tell: (finding) => findings.push(finding), signal: never, now });
  expect(JSON.stringify(findings)).not.toContain('top-secret');
  // Whoever is told that something is wrong is told what to do, and where that stands.
  for (const { level, advice, page } of findings) {
    const isWell = level === 'ok' || level === 'skipped';
    expect([advice, page].map((text) => text !== undefined)).toEqual([!isWell, !isWell]);
  }
  return findings;
}

/** What is not well of it, each in one line. */
const wrongOf = (findings: Finding[]): string[] =>
  findings
    .filter(({ level }) => level === 'warning' || level === 'failed')
    .map(({ check, level, message }) => `${level} ${check}: ${message}`);

/** An API server of which the doctor learns how TLS, the clock and the log-in are: all who come are refused. */
async function startRefusing(identity?: Identity) {
  return startApiServer((_request, response) => answerStatus(response, 401, 'Unauthorized'), identity);
}
const refusal = 'failed kubernetes: Kubernetes refused our credentials (401 Unauthorized)';

describe('what is wrong before anybody is asked', () => {
  it('is every setting that is wrong, at once, and what looks like one', async () => {
    const findings = await find({ K8S_NAMESPACE: 'A', SANDBOX_MEMORY_LIMIT: 'top-secret', SANDBOX_TTL: '1' });
    expect(wrongOf(findings)).toEqual([
      'warning settings: SANDBOX_TTL is no setting: nothing reads it',
      'failed settings: K8S_NAMESPACE must be a legal namespace name (RFC 1123 label)',
      'failed settings: SANDBOX_MEMORY_LIMIT must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
    ]);
    const both = await find({ SANDBOX_MEMORY_REQUEST: '2Gi' });
    expect(wrongOf(both)).toEqual([expect.stringMatching(/^failed settings: SANDBOX_MEMORY_REQUEST \(2Gi\) must not/)]);
    expect(both.filter(({ level }) => level === 'skipped').map(({ check }) => check)).toContain('cluster');
  });

  const user = { 'client-certificate': '/not/there.crt', 'client-key': '/not/there.key' };
  const expired = signed('me', { validTo: inDays(-0.5) });
  const plugIn = { exec: { command: 'not-installed-plug-in', apiVersion: 'client.authentication.k8s.io/v1' } };
  const withUser = (user: object) => kubeconfigText({ server: 'https://127.0.0.1:1', user: { ...user } });
  it.each<[string, string | undefined, RegExp, RegExp]>([
    ['no kubeconfig', undefined, /^failed kubeconfig: No kubeconfig at .*absent/, /Set KUBECONFIG_PATH/],
    [
      'a folder',
      'FOLDER',
      /^failed kubeconfig: Kubeconfig path is a directory/,
      /remove the folder, and mount the file/,
    ],
    ['no YAML', 'a: [top-secret', /^failed kubeconfig: .*it is not valid/, /no YAML/],
    [
      'no context',
      '{"contexts":[{"name":"x"}]}',
      /^failed kubeconfig: .*no current-context.*it has 'x'/,
      /KUBECONFIG_CONTEXT/,
    ],
    [
      'no file of a certificate',
      withUser(user),
      /^failed credentials: .*ENOENT: \/not\/there.crt/,
      /Put the file there/,
    ],
    [
      'no plug-in',
      withUser(plugIn),
      /^failed credentials: the plug-in 'not-installed-plug-in' .* is not installed/,
      /install it/,
    ],
    [
      'a key of another certificate',
      withUser({ 'client-certificate-data': base64(expired.certificate), 'client-key-data': base64(signed('me').key) }),
      /^failed credentials: .*do not belong together/,
      /written anew/,
    ],
  ])('is told with what to do: %s', async (_what, text, wrong, advice) => {
    const path = join(await temporaryFolder(), 'absent');
    if (text === 'FOLDER') await mkdir(path);
    else if (text !== undefined) await writeFile(path, text);
    const findings = await find({ KUBECONFIG_PATH: path });
    expect(wrongOf(findings)).toEqual([expect.stringMatching(wrong)]);
    expect(findings.find(({ level }) => level === 'failed')?.advice).toMatch(advice);
    expect(findings.at(-1)).toMatchObject({ check: 'cluster', level: 'skipped' });
  });

  it.each<[string, object, string, string[]]>([
    [
      'a client certificate that is over',
      { 'client-certificate-data': base64(expired.certificate), 'client-key-data': base64(keepSecret(expired.key)) },
      "failed credentials: the client certificate of 'me' expired at ",
      ['failed kubernetes: '],
    ],
    [
      'one that ends soon',
      pairOf(signed('me', { validTo: inDays(3) })),
      "warning credentials: the client certificate of 'me', good until ",
      [refusal],
    ],
    ['a token that is over', { token: tokenUntil(inDays(-1)) }, 'failed credentials: a token expired at ', [refusal]],
    ['nothing', {}, 'warning credentials: there are none: we are nobody to the API server', [refusal]],
  ])('is told of what it logs in with: %s', async (_what, user, wrong, others) => {
    const api = await startRefusing(signed(host, { validTo: inDays(30) }));
    const path = await writeKubeconfig({ server: api.url, cluster: named, user: user as Record<string, unknown> });
    const found = wrongOf(await find({ KUBECONFIG_PATH: path }));
    expect(found).toEqual(
      [wrong, ...others].map((begin) => expect.stringMatching(new RegExp(`^${begin.replace(/[()]/g, '\\$&')}`))),
    );
  });
});

function pairOf({ certificate, key }: Identity): object {
  return { 'client-certificate-data': base64(certificate), 'client-key-data': base64(keepSecret(key)) };
}

function tokenUntil(end: Date): string {
  const part = (json: object) => Buffer.from(JSON.stringify(json)).toString('base64url');
  return `${part({ alg: 'none' })}.${part({ exp: Math.floor(end.getTime() / 1000) })}.top-secret`;
}

describe('the way to the API server', () => {
  const notFound = /^failed dns: Kubernetes is unreachable \((ENOTFOUND|EAI_AGAIN)\)$/;
  it.each<[string, () => Promise<string>, RegExp, RegExp]>([
    [
      'a port where nobody listens',
      async () => 'https://127.0.0.1:1',
      /^failed tcp: Kubernetes is unreachable \(ECONNREFUSED\)$/,
      /Nothing listens/,
    ],
    ['a name that nobody has', async () => 'https://kube.invalid:6443', notFound, /Look at the name/],
    [
      'no TLS',
      async () => (await startApiServer()).url.replace('http:', 'https:'),
      /^failed tls: TLS could not be agreed on/,
      /http:\/\/ and https:\/\//,
    ],
  ])('ends at %s', async (_what, open, wrong, advice) => {
    const path = await writeKubeconfig({ server: await open() });
    const findings = await find({ KUBECONFIG_PATH: path });
    expect(wrongOf(findings)).toEqual([expect.stringMatching(wrong)]);
    expect(findings.find(({ level }) => level === 'failed')?.advice).toMatch(advice);
  });

  const ofServer = 'failed certificate: the certificate of the API server';
  const stranger = signedBy('another');
  function signedBy(name: string): Identity {
    return makeCertificate(host, { signedBy: { name, ...makeCertificate(name) } });
  }
  it.each<[string, Identity, string[]]>([
    ['what is well', signed(host, { validTo: inDays(30) }), []],
    ['another CA', stranger, [`${ofServer} is not signed by the cluster's CA (UNABLE_TO_VERIFY_LEAF_SIGNATURE)`]],
    [
      'nobody but itself',
      makeCertificate(host),
      [`${ofServer} is not signed by the cluster's CA (DEPTH_ZERO_SELF_SIGNED_CERT)`],
    ],
    [
      'an end that is over',
      signed(host, { validTo: inDays(-0.5) }),
      [`${ofServer} has expired (CERT_HAS_EXPIRED): at `],
    ],
    [
      'a beginning to come',
      signed(host, { validFrom: inDays(0.5) }),
      [`${ofServer} is not valid yet (CERT_NOT_YET_VALID): it is from `],
    ],
    [
      'another name, and an end that is over',
      signed('other.example', { validTo: inDays(-0.5) }),
      [
        `${ofServer} has expired (CERT_HAS_EXPIRED): at `,
        `${ofServer} is for another host name (ERR_TLS_CERT_ALTNAME_INVALID): it is for DNS:other.example, and not for ${host}`,
      ],
    ],
    ['an end that is near', signed(host), ['warning certificate: that of the API server is for kube.example']],
  ])('tells all that is wrong with the certificate: %s', async (_what, identity, wrong) => {
    const api = await startRefusing(identity);
    const found = wrongOf(await find({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url, cluster: named }) }));
    const isFailed = wrong.some((one) => one.startsWith('failed'));
    expect(found.filter((one) => one !== refusal)).toEqual(wrong.map((one) => expect.stringContaining(one)));
    // Nobody shows a token to whom it does not trust.
    expect(found.includes(refusal)).toBe(!isFailed);
    for (const { headers } of isFailed ? api.requests : []) expect(headers.authorization).toBeUndefined();
  });

  it('warns where the certificate is not checked', async () => {
    const api = await startRefusing(stranger);
    const path = await writeKubeconfig({ server: api.url });
    const found = wrongOf(await find({ KUBECONFIG_PATH: path, K8S_TLS_SKIP_VERIFY: 'true' }));
    expect(found).toEqual([
      expect.stringMatching(/^warning certificate: .*not checked \(K8S_TLS_SKIP_VERIFY\)/),
      refusal,
    ]);
  });

  it.each([
    [0, []],
    [-20, [/^warning clock: the clock of this machine is \d\d\.\d s behind that of the API server$/]],
    [3600, [/^failed clock: .* s before that of the API server$/]],
  ])('compares the clocks: one that is %i s off', async (seconds, wrong) => {
    const path = await writeKubeconfig({ server: (await startRefusing()).url });
    const found = wrongOf(await find({ KUBECONFIG_PATH: path }, () => new Date(Date.now() + seconds * 1000)));
    expect(found).toEqual([...wrong.map((one) => expect.stringMatching(one)), refusal]);
  });

  it('tells a login page from the API server', async () => {
    const api = await startApiServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
    );
    const found = wrongOf(await find({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) }));
    expect(found).toEqual(['failed kubernetes: what answered was not the Kubernetes API (200)']);
  });
});

describe('the cluster', () => {
  async function open() {
    const embedded = await startEmbeddedKubernetes({ startupMs: 1, readyMs: 1 });
    const file = join(await temporaryFolder(), 'kubeconfig');
    await writeFile(file, embedded.kubeconfig);
    const address = await readKubeconfig(file);
    const proxy = await startKubernetesProxy(address);
    onTestFinished(async () => {
      await proxy.close();
      await embedded.close();
    });
    const kubernetes = openKubernetesClient(address, 'deer-flow');
    await kubernetes.createNamespace();
    return { proxy, kubernetes, env: { KUBECONFIG_PATH: proxy.kubeconfig, SANDBOX_NETWORK_POLICY: 'isolated' } };
  }
  const missingPolicy = 'warning network-policy: the network policy is not there: the first create makes it';

  it('is well, and what is not there yet is only warned of', async () => {
    const { env } = await open();
    expect(wrongOf(await find({ ...env, SANDBOX_NETWORK_POLICY: '' }))).toEqual([]);
    expect(wrongOf(await find({ ...env, K8S_NAMESPACE: 'elsewhere' }))).toEqual([
      "warning namespace: the namespace 'elsewhere' is not there: the first create makes it",
      missingPolicy,
    ]);
  });

  it('names each right that is missing, and a quota that may not be looked at', async () => {
    const { env, proxy } = await open();
    const isReview = ({ path }: KubernetesCall) => path.endsWith('selfsubjectaccessreviews');
    const denied: FaultAction = {
      rewrite: (answer) => ({ ...answer, text: answer.text.replace('"allowed":true', '"allowed":false') }),
    };
    proxy.injectFault({ when: (call) => isReview(call) && call.body.includes('"delete"'), action: denied });
    const forbidden = {
      status: 403,
      headers: { 'content-type': 'application/json' },
      text: '{"kind":"Status","message":"x is forbidden: User \\"u\\" cannot list it"}',
    };
    proxy.injectFault({ when: ({ path }) => path.endsWith('resourcequotas'), action: { answer: forbidden } });
    const findings = await find(env);
    expect(wrongOf(findings)).toEqual(['failed rights: not permitted: delete pods, delete services', missingPolicy]);
    expect(findings.find(({ check }) => check === 'rights')?.advice).toContain('npm run rbac');
    expect(findings.find(({ check }) => check === 'quota')).toMatchObject({
      level: 'skipped',
      message: expect.stringContaining('may not list'),
    });
  });

  it('names a quota that is full, and a network policy that somebody removed', async () => {
    const { env, kubernetes } = await open();
    const labels = { app: 'deer-flow-sandbox' };
    await kubernetes.create('pods', {
      metadata: { name: 'p', labels },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    await kubernetes.create('resourcequotas', { metadata: { name: 'q' }, spec: { hard: { pods: '1' } } });
    const findings = await find(env);
    expect(wrongOf(findings)).toEqual([
      'failed network-policy: the network policy is not there, and there are sandboxes',
      "failed quota: 'q' has 1 of 1 pods in use: no room for a sandbox",
    ]);
    expect(judge(findings)).toBe(2);
  });

  const hard = { pods: '10', 'requests.memory': '10Gi' };
  it.each<[string, Record<string, string>, string[], string[]]>([
    ['room', { pods: '8', 'requests.memory': '8Gi' }, [], []],
    [
      'less than a tenth',
      { pods: '0', 'requests.memory': '9.5Gi' },
      [],
      ["warning: 'q' has 9.5Gi of 10Gi requests.memory in use: less than 10 % is left"],
    ],
    [
      'too little for one',
      { pods: '10', 'requests.memory': '9.9Gi' },
      [],
      [
        "failed: 'q' has 10 of 10 pods in use: no room for a sandbox",
        "failed: 'q' has 9.9Gi of 10Gi requests.memory in use: no room for a sandbox",
      ],
    ],
    ['nothing, for others', { pods: '10' }, ['BestEffort'], []],
    [
      'nothing, for all that has no end',
      { pods: '10' },
      ['NotTerminating'],
      ["failed: 'q' has 10 of 10 pods in use: no room for a sandbox"],
    ],
  ])('judges a quota by what a sandbox needs: %s', (_what, used, scopes, wrong) => {
    const found = judgeQuota({ name: 'q', scopes, hard, used }, loadConfig({}));
    expect(found.map(({ level, message }) => `${level}: ${message}`)).toEqual(wrong);
  });
});

it('leads to pages and places of them that there are', async () => {
  const root = new URL('../../', import.meta.url);
  const folder = new URL('lib/tools/doctor/', root);
  const sources = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), 'utf8')));
  const places = new Set(sources.join().match(/\bdocs\/[\w.-]+\.md(#[\w-]+)?/g));
  expect(places.size).toBeGreaterThan(10);
  for (const place of places) {
    const [page = '', anchor] = place.split('#');
    const titles = [...(await readFile(new URL(page, root), 'utf8')).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replaceAll(' ', '-'),
    );
    if (anchor !== undefined) expect(titles, place).toContain(anchor);
  }
});

describe('what is printed', () => {
  const ok: Finding = { check: 'tcp', level: 'ok', message: 'it answers', ms: 3 };
  const warning: Finding = { check: 'clock', level: 'warning', message: 'off', advice: 'Set it.', page: 'docs/x.md' };
  const failed: Finding = { ...warning, level: 'failed' };
  const skipped: Finding = { check: 'quota', level: 'skipped', message: 'not known' };

  it('is one line for what is well, and another for what to do', () => {
    expect(formatFinding(ok)).toBe('ok       tcp             it answers (3 ms)');
    expect(formatFinding(failed)).toBe('FAILED   clock           off\n         -> Set it. See docs/x.md');
  });

  it.each<[Finding[], number, string, string]>([
    [[ok, skipped], 0, 'well', 'All is well.'],
    [[ok, warning, skipped], 1, 'warnings', 'Failed: 0. Warnings: 1.'],
    [[warning, failed], 2, 'failed', 'Failed: 1. Warnings: 1.'],
  ])('ends by severity: %#', (findings, status, word, line) => {
    expect(judge(findings)).toBe(status);
    expect(JSON.parse(formatJson(findings, false))).toEqual({ status: word, findings });
    expect(JSON.parse(formatJson(findings, true)).status).toBe('interrupted');
    expect(summarize(findings, false)).toBe(line);
  });

  it('is as the options ask', () => {
    expect(readOptions(['--sandbox', '--json'])).toEqual({ sandbox: true, json: true, help: false });
    expect(readOptions(['--else'])).toContain('--else');
  });
});
