import { writeFile } from 'node:fs/promises';
import type https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { KubernetesError } from '../../lib/errors.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import { log } from '../../lib/log.ts';
import { type Identity, makeCertificate } from '../support/certificate.ts';
import { startConnectProxy, startSocksProxy } from '../support/forward-proxies.ts';
import { openKubernetes } from '../support/open-kubernetes.ts';
import { startRelay } from '../support/relay.ts';
import { keepSecret } from '../support/secrets.ts';
import { answerNotFound, answerStatus, startApiServer, temporaryFolder, writeKubeconfig } from './api-server.ts';

const never = new AbortController().signal;
const base64 = (text: string) => Buffer.from(text).toString('base64');
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
const host = 'kube.example';

beforeEach(() => void vi.spyOn(log, 'warn').mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

const authority = { name: 'authority', ...makeCertificate('authority') };
const trust = { 'certificate-authority-data': base64(authority.certificate) };
const server = makeCertificate(host, { signedBy: authority });

type Access = { server: string; cluster?: Record<string, unknown>; user?: Record<string, unknown> };
const open = async (access: Access, env: Record<string, string> = {}, now?: () => Date): Promise<Kubernetes> =>
  openKubernetes(loadConfig({ KUBECONFIG_PATH: await writeKubeconfig(access), ...env }), never, now);

async function errorOf(call: Promise<unknown>): Promise<KubernetesError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(KubernetesError);
  return error as KubernetesError;
}

describe("the API server's certificate", () => {
  it.each<[string, Parameters<typeof makeCertificate>, string]>([
    ['has expired', [host, { signedBy: authority, validTo: inDays(-0.5) }], 'has expired (CERT_HAS_EXPIRED)'],
    [
      'is not valid yet',
      [host, { signedBy: authority, validFrom: inDays(0.5) }],
      'is not valid yet (CERT_NOT_YET_VALID)',
    ],
    [
      'is for another host',
      ['other.example', { signedBy: authority }],
      'is for another host name (ERR_TLS_CERT_ALTNAME_INVALID)',
    ],
    [
      'is of another authority',
      [host, { signedBy: { name: 'another', ...makeCertificate('another') } }],
      "is not signed by the cluster's CA (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
    ],
    [
      'is of another authority of the same name',
      [host, { signedBy: { name: 'authority', ...makeCertificate('authority') } }],
      "is not signed by the cluster's CA (CERT_SIGNATURE_FAILURE)",
    ],
    ['is signed by itself', [host], "is not signed by the cluster's CA (DEPTH_ZERO_SELF_SIGNED_CERT)"],
  ])('is refused with which it is, where it %s', async (_what, certificate, fault) => {
    const api = await startApiServer(undefined, makeCertificate(...certificate));
    const kubernetes = await open({ server: `https://${host}:6443`, cluster: trust }, { K8S_API_SERVER: api.url });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'refused',
      reason: `the certificate of the API server ${fault}`,
    });
    expect(api.requests).toEqual([]);
  });

  // Node asks the environment where nobody says.
  it('is checked whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const api = await startApiServer(undefined, makeCertificate(host));
    const proxy = await startConnectProxy(api.port);
    onTestFinished(() => proxy.close());
    const proxied = await open({ server: `https://${host}:6443`, cluster: { ...trust, 'proxy-url': proxy.url } });
    const direct = await open({ server: api.url, cluster: { ...trust, 'tls-server-name': host } });
    for (const kubernetes of [direct, proxied]) {
      expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({ outcome: 'refused' });
    }
    expect(api.requests).toEqual([]);
  });

  it('is checked by a CA that was rotated a moment ago, and the call that found out is made once more', async () => {
    const api = await startApiServer(undefined, server);
    const file = join(await temporaryFolder(), 'ca.crt');
    await writeFile(file, makeCertificate('authority').certificate);
    const cluster = { 'certificate-authority': file, 'tls-server-name': host };
    const kubernetes = await open({ server: api.url, cluster });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({ outcome: 'refused' });
    await writeFile(file, authority.certificate);
    await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
  });

  // OpenSSL leaves out what it cannot read, and nobody's certificate would then be signed by the CA.
  it.each([
    ['none', 'top-secret'],
    ['broken', '-----BEGIN CERTIFICATE-----\ntop-secret\n-----END CERTIFICATE-----\n'],
    ['half of one', authority.certificate.slice(0, 200)],
    ['a key', keepSecret(authority.key)],
  ])('cannot be checked by a CA that is %s, which is told as ours', async (_what, text) => {
    const api = await startApiServer(undefined, server);
    const cluster = { 'certificate-authority-data': base64(text), 'tls-server-name': host };
    const kubernetes = await open({ server: api.url, cluster });
    const error = await errorOf(kubernetes.readService('a', never));
    expect(error).toMatchObject({
      outcome: 'misconfigured',
      reason: expect.stringMatching(/^the CA of the kubeconfig cannot be used \(ERR_OSSL_\w+\)$/),
    });
    expect(inspect(error, { depth: null })).not.toContain('top-secret');
    expect(api.requests).toEqual([]);
  });

  it('is checked by the last good CA while the new one is half written or empty', async () => {
    let now = new Date();
    const api = await startApiServer(answerNotFound, server);
    const file = join(await temporaryFolder(), 'ca.crt');
    await writeFile(file, authority.certificate);
    const cluster = { 'certificate-authority': file, 'tls-server-name': host };
    const kubernetes = await open({ server: api.url, cluster }, {}, () => now);
    for (const text of [authority.certificate, authority.certificate.slice(0, 100), '', '\n', authority.certificate]) {
      await writeFile(file, text);
      now = new Date(now.getTime() + 2000);
      await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
    }
    expect(vi.mocked(log.warn)).toHaveBeenCalledTimes(2);
  });
});

describe('a TLS stream that breaks', () => {
  /** The server begins each of so many answers, and the stream is spoilt then. */
  async function start(broken: number) {
    const api = await startApiServer((request, response) => {
      if (api.requests.length > broken) return answerNotFound(request, response);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"kind":', () => setTimeout(() => relay.garble(), 50));
    }, server);
    const relay = await startRelay(api.port);
    onTestFinished(() => relay.close());
    const cluster = { ...trust, 'tls-server-name': host };
    return { api, relay, kubernetes: await open({ server: `https://127.0.0.1:${relay.port}`, cluster }) };
  }

  // It read `TLS could not be agreed on`, and nobody tried again.
  it('in the middle of an answer is a broken connection as any other', async () => {
    const { api, kubernetes } = await start(4);
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'unavailable',
      reason: expect.stringMatching(/^Kubernetes is unreachable \(E\w+\)$/),
      headers: { 'retry-after': '1' },
    });
    expect(api.requests).toHaveLength(4);
  });

  it('once is not noticed', async () => {
    const { api, kubernetes } = await start(1);
    await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
    expect(api.requests).toHaveLength(2);
  });

  it('while nobody uses it is not noticed either, not even by the creation of a Service', async () => {
    const { api, relay, kubernetes } = await start(0);
    await kubernetes.readService('a', never);
    relay.garble();
    expect(await errorOf(kubernetes.createService({}, never))).toMatchObject({ status: { code: 404 } });
    expect(api.connections()).toBe(2);
  });
});

describe('a client certificate', () => {
  const userOf = ({ certificate, key }: { certificate: string; key: string }) => ({
    'client-certificate-data': base64(certificate),
    'client-key-data': base64(key),
  });
  const validTo = inDays(-0.5);
  const expired = makeCertificate('me', { signedBy: authority, validTo });
  // A certificate knows whole seconds.
  const expiredAt = `${validTo.toISOString().slice(0, 19)}Z`;

  const call = async (identity: { certificate: string; key: string }, options: https.ServerOptions) => {
    const unauthorized: Parameters<typeof startApiServer>[0] = (_request, response) =>
      answerStatus(response, 401, 'Unauthorized');
    const api = await startApiServer(unauthorized, server, {
      ca: authority.certificate,
      requestCert: true,
      ...options,
    });
    const cluster = { ...trust, 'tls-server-name': host };
    const kubernetes = await open({ server: api.url, cluster, user: userOf(identity) });
    return errorOf(kubernetes.readService('a', never));
  };

  // Kubernetes' own server takes every certificate, and says 401 to one that has expired.
  it.each<[string, Parameters<typeof makeCertificate>[1], string]>([
    ['has expired', { validTo }, `: the client certificate expired at ${expiredAt}`],
    [
      'is not valid yet',
      { validFrom: inDays(0.5) },
      `: the client certificate is not valid before ${inDays(0.5).toISOString().slice(0, 15)}`,
    ],
    ['is nobody there', {}, ''],
  ])('that gets a 401 is said to be what it is, where it %s', async (_what, options, why) => {
    const identity = makeCertificate('me', { signedBy: authority, ...options });
    const error = await call(identity, { rejectUnauthorized: false });
    expect(error).toMatchObject({ outcome: 'refused', status: { code: 401 } });
    expect(error.reason).toMatch(/^Kubernetes refused our credentials \(401 Unauthorized\)/);
    expect(error.reason).toContain(why);
    if (why === '') expect(error.reason).not.toContain('certificate');
  });

  /** Answers the beginning of a handshake with a fatal alert (RFC 8446, 6), as a server does that will have none of us. */
  async function startAlerting(alert: number): Promise<string> {
    const alerting = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, alert])));
    });
    await new Promise<void>((resolve) => alerting.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void alerting.close());
    return `https://127.0.0.1:${(alerting.address() as net.AddressInfo).port}`;
  }

  // A proxy in front of Kubernetes may check it.
  it.each([
    ['bad_certificate', 42],
    ['certificate_expired', 45],
    ['unknown_ca', 48],
    ['certificate_required', 116],
  ])('that TLS is ended for is said to have been refused, and to have expired: %s', async (_name, alert) => {
    const url = await startAlerting(alert);
    const refusal = `the API server refused our client certificate (TLS alert ${alert})`;
    const good = await open({ server: url, user: userOf(makeCertificate('me', { signedBy: authority })) });
    expect(await errorOf(good.readService('a', never))).toMatchObject({ outcome: 'refused', reason: refusal });
    const bad = await open({ server: url, user: userOf(expired) });
    expect(await errorOf(bad.readService('a', never))).toMatchObject({
      outcome: 'refused',
      reason: `${refusal}: the client certificate expired at ${expiredAt}`,
    });
  });

  // Node's own server says nothing before it hangs up.
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('that is hung up on is said to have expired, with %s', async (version) => {
    expect(await call(expired, { minVersion: version, maxVersion: version })).toMatchObject({
      outcome: 'refused',
      reason: `Kubernetes is unreachable (ECONNRESET): the client certificate expired at ${expiredAt}`,
    });
    const unknown = makeCertificate('me');
    expect(await call(unknown, { minVersion: version, maxVersion: version })).toMatchObject({
      outcome: 'unavailable',
      reason: 'Kubernetes is unreachable (ECONNRESET)',
    });
  });

  // What our own TLS does not take was the server's fault.
  it.each<[string, { certificate: string; key: string }, RegExp]>([
    [
      'is none',
      { certificate: 'top-secret', key: expired.key },
      /^the client certificate of the kubeconfig cannot be used \(ERR_OSSL_PEM_NO_START_LINE\)$/,
    ],
    [
      'has a key that is none',
      { certificate: expired.certificate, key: 'top-secret' },
      /^the key of the client certificate of the kubeconfig cannot be used \(ERR_OSSL_\w+\)$/,
    ],
    [
      "has another certificate's key",
      { certificate: expired.certificate, key: makeCertificate('x').key },
      /^the client certificate of the kubeconfig and its key do not belong together$/,
    ],
    [
      'has a key of another kind',
      { certificate: expired.certificate, key: makeCertificate('x', { signedBy: authority, rsaBits: 2048 }).key },
      /^the client certificate of the kubeconfig and its key do not belong together$/,
    ],
    [
      'is of 1024 bits',
      makeCertificate('me', { signedBy: authority, rsaBits: 1024 }),
      /^the client certificate of the kubeconfig cannot be used \(ERR_SSL_EE_KEY_TOO_SMALL\)$/,
    ],
  ])('that %s is told as ours before anything is sent, through a proxy too', async (_what, identity, reason) => {
    const api = await startApiServer(answerNotFound, server, { ca: authority.certificate, requestCert: true });
    const proxy = await startConnectProxy(api.port);
    onTestFinished(() => proxy.close());
    const cluster = { ...trust, 'tls-server-name': host };
    for (const more of [{}, { 'proxy-url': proxy.url }]) {
      const access = { server: api.url, cluster: { ...cluster, ...more }, user: userOf(identity) };
      const error = await errorOf((await open(access)).readService('a', never));
      expect(error).toMatchObject({ outcome: 'misconfigured', reason: expect.stringMatching(reason) });
      expect(inspect(error, { depth: null })).not.toContain('top-secret');
    }
    expect([api.requests, proxy.targets]).toEqual([[], []]);
  });

  describe('in files', () => {
    const [first, second] = [1, 2].map((number) => makeCertificate(`me-${number}`, { signedBy: authority }));

    async function start(certificate = first?.certificate ?? '') {
      let now = new Date();
      const seen: string[] = [];
      const api = await startApiServer(
        (request, response) => {
          seen.push((response.req.socket as TLSSocket).getPeerCertificate().subject?.CN as string);
          answerNotFound(request, response);
        },
        server,
        { ca: authority.certificate, requestCert: true },
      );
      const folder = await temporaryFolder();
      const write = (name: 'cert' | 'key', text = '') => writeFile(join(folder, name), text);
      await write('cert', certificate);
      await write('key', first?.key);
      const access = {
        server: api.url,
        cluster: { ...trust, 'tls-server-name': host },
        user: { 'client-certificate': join(folder, 'cert'), 'client-key': join(folder, 'key') },
      };
      const kubernetes = await open(access, {}, () => now);
      const call = async () => {
        now = new Date(now.getTime() + 2000);
        await kubernetes.readService('a', never);
        return seen.at(-1);
      };
      return { write, call };
    }

    // Those who rotate a certificate replace one file after the other.
    it.each<[string, 'cert' | 'key', 'cert' | 'key']>([
      ['certificate', 'cert', 'key'],
      ['key', 'key', 'cert'],
    ])('stays in use with its key until both are new: the %s comes first', async (_which, early, late) => {
      const { write, call } = await start();
      const texts = { cert: second?.certificate, key: second?.key };
      expect(await call()).toBe('me-1');
      await write(early, texts[early]);
      expect([await call(), await call()]).toEqual(['me-1', 'me-1']);
      expect(vi.mocked(log.warn).mock.calls).toEqual([
        [
          'New credentials of the cluster cannot be used yet',
          { reason: expect.stringContaining('do not belong together') },
        ],
      ]);
      await write(late, texts[late]);
      expect(await call()).toBe('me-2');
    });

    it('stays in use while the new one is half written, empty, or too weak', async () => {
      const { write, call } = await start();
      const weak = makeCertificate('weak', { signedBy: authority, rsaBits: 1024 });
      expect(await call()).toBe('me-1');
      for (const certificate of [second?.certificate.slice(0, 100), '', weak.certificate]) {
        await write('cert', certificate);
        expect(await call()).toBe('me-1');
      }
      await write('key', weak.key);
      expect(await call()).toBe('me-1');
      await write('cert', second?.certificate);
      await write('key', second?.key);
      expect(await call()).toBe('me-2');
    });

    it('is used as soon as it is one with its key, where it was not at first', async () => {
      const { write, call } = await start(second?.certificate);
      await expect(call()).rejects.toMatchObject({ outcome: 'misconfigured' });
      await write('key', second?.key);
      expect(await call()).toBe('me-2');
    });
  });
});

// The client's own agents for proxies knew neither of K8S_API_SERVER nor of K8S_TLS_SKIP_VERIFY.
describe.each([
  ['CONNECT', startConnectProxy],
  ['SOCKS', startSocksProxy],
] as const)("through the kubeconfig's proxy-url, %s,", (how, startProxy) => {
  async function start(identity = server) {
    const api = await startApiServer(answerNotFound, identity);
    const proxy = await startProxy(api.port);
    onTestFinished(() => proxy.close());
    return { api, proxy, cluster: { ...trust, 'proxy-url': proxy.url } };
  }

  it('calls go over one connection, and the certificate is checked', async () => {
    const { api, proxy, cluster } = await start();
    const kubernetes = await open({ server: `https://${host}:6443`, cluster });
    for (let call = 0; call < 3; call += 1) {
      await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
    }
    expect([proxy.targets, api.requests.length, api.connections()]).toEqual([[`${host}:6443`], 3, 1]);
  });

  it('the certificate is checked against the name in the kubeconfig where K8S_API_SERVER names another address', async () => {
    const { proxy, cluster } = await start();
    const env = { K8S_API_SERVER: 'https://elsewhere.example:7443' };
    const right = await open({ server: `https://${host}:6443`, cluster }, env);
    await expect(right.readService('a', never)).resolves.toBeUndefined();
    expect(proxy.targets).toEqual(['elsewhere.example:7443']);
    const wrong = await open({ server: 'https://other.example:6443', cluster }, env);
    expect(await errorOf(wrong.readService('a', never))).toMatchObject({
      outcome: 'refused',
      reason: expect.stringContaining('another host name'),
    });
  });

  it('the certificate is checked by the CA, and by the address where the kubeconfig has one', async () => {
    const { api, cluster } = await start(makeCertificate(host));
    const kubernetes = await open({ server: `https://${host}:6443`, cluster });
    expect(await errorOf(kubernetes.readService('a', never))).toMatchObject({
      outcome: 'refused',
      reason: expect.stringContaining("not signed by the cluster's CA"),
    });
    const { cluster: byAddress } = await start();
    const other = await open(
      { server: 'https://10.0.0.1:6443', cluster: byAddress },
      { K8S_API_SERVER: `https://${host}` },
    );
    expect(await errorOf(other.readService('a', never))).toMatchObject({
      outcome: 'refused',
      reason: expect.stringContaining('another host name'),
    });
    expect(api.requests).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, Record<string, string>]>([
    ['K8S_TLS_SKIP_VERIFY', {}, { K8S_TLS_SKIP_VERIFY: 'true' }],
    ['insecure-skip-tls-verify', { 'insecure-skip-tls-verify': true }, {}],
  ])('the certificate is not checked where %s says so', async (_what, more, env) => {
    const { cluster } = await start(makeCertificate('other.example'));
    const kubernetes = await open({ server: `https://${host}:6443`, cluster: { ...cluster, ...more } }, env);
    await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
  });

  it('a call ends when its signal does', async () => {
    const api = await startApiServer(() => {}, server);
    const proxy = await startProxy(api.port);
    onTestFinished(() => proxy.close());
    const kubernetes = await open({ server: `https://${host}:6443`, cluster: { ...trust, 'proxy-url': proxy.url } });
    expect(await errorOf(kubernetes.readService('a', AbortSignal.timeout(300)))).toMatchObject({
      outcome: 'deadline-exceeded',
    });
  });

  const loginOf = (url: string, login: string) => url.replace('://', `://${login}@`);

  it('calls show the log-in of its URL to the proxy, and to nobody else', async () => {
    const api = await startApiServer(answerNotFound, server);
    const proxy = await startProxy(api.port, { login: 'me:top secret@' });
    onTestFinished(() => proxy.close());
    const cluster = { ...trust, 'proxy-url': loginOf(proxy.url, 'me:top%20secret%40') };
    const kubernetes = await open({ server: `https://${host}:6443`, cluster });
    await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
    expect(proxy.targets).toEqual([`${host}:6443`]);
    expect(JSON.stringify(api.requests)).not.toMatch(/proxy-authorization|top/i);
  });

  it('the proxy may have an IPv6 address', async () => {
    const api = await startApiServer(answerNotFound, server);
    const proxy = await startProxy(api.port, { address: '::1' });
    onTestFinished(() => proxy.close());
    const kubernetes = await open({ server: `https://${host}:6443`, cluster: { ...trust, 'proxy-url': proxy.url } });
    await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
  });

  // It was Kubernetes that was said to be unreachable, or that the call could not be made.
  it.each<[string, Parameters<typeof startProxy>[1], string, string, RegExp]>([
    ['wants a log-in', { login: 'me:right' }, '', 'misconfigured', /^PROXY wants a log-in, or another one( \(407\))?$/],
    [
      'wants another log-in',
      { login: 'me:right' },
      'me:top-secret',
      'misconfigured',
      /^PROXY wants a log-in, or another one( \(407\))?$/,
    ],
    [
      'does not let us through',
      { refusal: how === 'CONNECT' ? 403 : 2 },
      'me:top-secret',
      'refused',
      /^PROXY does not let us through to the API server \((403|NotAllowed)\)$/,
    ],
    [
      'does not reach the API server',
      { refusal: how === 'CONNECT' ? 502 : 4 },
      'me:top-secret',
      'unavailable',
      /^PROXY does not reach the API server \((502|HostUnreachable)\)$/,
    ],
  ])('a proxy that %s is named, without its log-in', async (_what, options, login, outcome, reason) => {
    const api = await startApiServer(answerNotFound, server);
    const proxy = await startProxy(api.port, options);
    onTestFinished(() => proxy.close());
    const url = login === '' ? proxy.url : loginOf(proxy.url, login);
    const kubernetes = await open({ server: `https://${host}:6443`, cluster: { ...trust, 'proxy-url': url } });
    const error = await errorOf(kubernetes.readService('a', never));
    expect(error.outcome).toBe(outcome);
    expect(error.reason.replace(`the proxy ${proxy.url} of the kubeconfig`, 'PROXY')).toMatch(reason);
    expect(inspect(error, { depth: null })).not.toContain('top-secret');
    expect(api.requests).toEqual([]);
  });

  it('a proxy that is down, or is none, is named, without its log-in', async () => {
    const { proxy } = await start();
    await proxy.close();
    const [scheme] = proxy.url.split('://');
    // Whatever is at this address hangs up, or says something else.
    const { port } = await startApiServer();
    for (const [address, problem] of [
      [`127.0.0.1:${proxy.port}`, 'is unreachable (ECONNREFUSED)'],
      ['proxy.invalid:3128', 'is unreachable (ENOTFOUND)'],
      [`127.0.0.1:${port}`, 'is unreachable'],
    ] as const) {
      const cluster = { ...trust, 'proxy-url': `${scheme}://me:top-secret@${address}` };
      const kubernetes = await open({ server: `https://${host}:6443`, cluster });
      const error = await errorOf(kubernetes.readService('a', never));
      expect(error.outcome).toBe('unavailable');
      expect(error.reason).toContain(`the proxy ${scheme}://${address} of the kubeconfig ${problem}`);
      expect(inspect(error, { depth: null })).not.toContain('top-secret');
    }
  });
});

describe("a kubeconfig's proxy", () => {
  it.each(['socks5', 'socks5h', 'socks', 'SOCKS5'])('of %s:// looks up the name of the API server', async (scheme) => {
    const api = await startApiServer(answerNotFound, server);
    const proxy = await startSocksProxy(api.port);
    onTestFinished(() => proxy.close());
    const cluster = { ...trust, 'proxy-url': proxy.url.replace(/^socks5/, scheme) };
    const kubernetes = await open({ server: `https://${host}:6443`, cluster });
    await expect(kubernetes.readService('a', never)).resolves.toBeUndefined();
    expect(proxy.targets).toEqual([`${host}:6443`]);
  });

  // As kubectl has it, which knows no other authority than the cluster's.
  it('of https:// shows a certificate that the CA of the cluster signed', async () => {
    const api = await startApiServer(answerNotFound, server);
    const of = async (identity: Identity) => {
      const proxy = await startConnectProxy(api.port, { identity });
      onTestFinished(() => proxy.close());
      const url = `https://localhost:${proxy.port}`;
      const kubernetes = await open({ server: `https://${host}:6443`, cluster: { ...trust, 'proxy-url': url } });
      return { url, answer: kubernetes.readService('a', never) };
    };
    await expect((await of(makeCertificate('localhost', { signedBy: authority }))).answer).resolves.toBeUndefined();
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { url, answer } = await of(makeCertificate('localhost'));
    expect(await errorOf(answer)).toMatchObject({
      outcome: 'refused',
      reason: `the certificate of the proxy ${url} of the kubeconfig is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)`,
    });
  });
});
