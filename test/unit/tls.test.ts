import { writeFile } from 'node:fs/promises';
import type https from 'node:https';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KubernetesError } from '../../lib/errors.ts';
import { log } from '../../lib/log.ts';
import { type Identity, makeCertificate } from '../support/certificate.ts';
import { startConnectProxy, startSocksProxy } from '../support/forward-proxies.ts';
import { startRelay } from '../support/relay.ts';
import { keepSecret } from '../support/secrets.ts';
import { answerNotFound, answerStatus, startApiServer, temporaryFolder } from './api-server.ts';
import { base64, during, listen, never, open, read, startMutualTls, thrownBy } from './opened.ts';

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
const host = 'kube.example';
const named = `https://${host}:6443`;

beforeEach(() => void vi.spyOn(log, 'warn').mockImplementation(() => {}));
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const authority = { name: 'authority', ...makeCertificate('authority') };
const signed = (name: string, options: Parameters<typeof makeCertificate>[1] = {}) =>
  makeCertificate(name, { signedBy: authority, ...options });
const trustIn = ({ certificate }: Identity) => ({ 'certificate-authority-data': base64(certificate) });
const trust = trustIn(authority);
const trustNamed = { ...trust, 'tls-server-name': host };
const server = signed(host);
const insecure = { 'insecure-skip-tls-verify': true };

/** What a call throws, of which nothing may show a secret. */
async function errorOf(call: Promise<unknown>): Promise<KubernetesError> {
  const error = await thrownBy(call);
  expect(error).toBeInstanceOf(KubernetesError);
  expect(inspect(error, { depth: null })).not.toContain('top-secret');
  return error as KubernetesError;
}

describe("the API server's certificate", () => {
  const expired = 'has expired (CERT_HAS_EXPIRED)';
  const early = 'is not valid yet (CERT_NOT_YET_VALID)';
  const otherName = 'is for another host name (ERR_TLS_CERT_ALTNAME_INVALID)';
  const otherCA = (code: string) => `is not signed by the cluster's CA (${code})`;
  const selfSigned = otherCA('DEPTH_ZERO_SELF_SIGNED_CERT');
  const stranger = (name: string) => makeCertificate(host, { signedBy: { name, ...makeCertificate(name) } });
  const direct = { at: '' };
  const unsigned = otherCA('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  const skip = { cluster: {}, env: { K8S_TLS_SKIP_VERIFY: 'true' } };
  /** The server in the kubeconfig is the API server's own address if `at` is empty; otherwise K8S_API_SERVER leads there. */
  type Case = { certificate?: Identity; at?: string; cluster?: Record<string, unknown>; env?: Record<string, string> };
  // The original turned the check off with K8S_API_SERVER.
  it.each<[string, Case, string | undefined]>([
    ['the name in the kubeconfig, where K8S_API_SERVER names another address', {}, undefined],
    ['another name, there', { certificate: signed('other.example') }, otherName],
    ['another name', { certificate: signed('other.example'), ...direct }, otherName],
    ['a name, where the kubeconfig has an address', { at: 'https://10.0.0.1:6443' }, otherName],
    ['the name of tls-server-name, beside K8S_API_SERVER', { cluster: trustNamed, at: 'https://10.0.0.1' }, undefined],
    ['the name of tls-server-name', { ...direct, cluster: trustNamed }, undefined],
    ['another name than tls-server-name', { ...direct, cluster: { ...trust, 'tls-server-name': 'other' } }, otherName],
    ['an end that is over', { certificate: signed(host, { validTo: inDays(-0.5) }) }, expired],
    ['a beginning to come', { certificate: signed(host, { validFrom: inDays(0.5) }) }, early],
    ['another authority', { certificate: stranger('another') }, unsigned],
    ['another one of the same name', { certificate: stranger('authority') }, otherCA('CERT_SIGNATURE_FAILURE')],
    ['nobody but itself', { certificate: makeCertificate(host) }, selfSigned],
    ['nobody but itself, with no CA', { certificate: makeCertificate(host), cluster: {} }, selfSigned],
    ['itself for a CA', { certificate: authority, cluster: { ...trust, 'tls-server-name': 'authority' } }, undefined],
    // The client makes no agent for plain HTTP unless the check is off; that must not turn it off for another address.
    ['another CA, where the kubeconfig names http://', { at: `http://${host}:8001`, cluster: {} }, unsigned],
    ['anything, by K8S_TLS_SKIP_VERIFY', { ...direct, ...skip }, undefined],
    ['anything, by it beside K8S_API_SERVER', skip, undefined],
    ['anything, by insecure-skip-tls-verify', { ...direct, cluster: insecure }, undefined],
  ])('is taken, or refused with which it is: %s', async (_what, access, fault) => {
    const { certificate = server, at = named, cluster = trust, env } = access;
    const api = await startApiServer(undefined, certificate);
    const rewritten: Record<string, string> = at === '' ? {} : { K8S_API_SERVER: api.url };
    const call = read(await open({ server: at || api.url, cluster }, { ...rewritten, ...env }));
    if (fault === undefined) return expect(await call).toBeUndefined();
    const reason = `the certificate of the API server ${fault}`;
    expect(await errorOf(call)).toMatchObject({ kind: 'refused', reason });
    expect(api.requests).toEqual([]);
  });

  it('is no matter at the http:// address of K8S_API_SERVER, nor of a server without TLS', async () => {
    const api = await startApiServer();
    await read(await open({ server: named }, { K8S_API_SERVER: api.url }));
    const secure = await open({ server: api.url.replace('http:', 'https:') });
    expect(await errorOf(read(secure, 'a', AbortSignal.timeout(2000)))).toMatchObject({ status: undefined });
    expect(api.requests).toHaveLength(1);
  });

  // Node asks the environment where nobody says.
  it('is checked whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const api = await startApiServer(undefined, makeCertificate(host));
    const proxy = await during(startConnectProxy(api.port));
    const proxied = await open({ server: named, cluster: { ...trust, 'proxy-url': proxy.url } });
    const direct = await open({ server: api.url, cluster: trustNamed });
    for (const kubernetes of [direct, proxied]) {
      expect(await errorOf(read(kubernetes))).toMatchObject({ kind: 'refused' });
    }
    expect(api.requests).toEqual([]);
  });

  it('is checked by a CA that was rotated a moment ago, and by the last good one while a new one is half written or empty', async () => {
    let now = new Date();
    const api = await startApiServer(answerNotFound, server);
    const file = join(await temporaryFolder(), 'ca.crt');
    await writeFile(file, makeCertificate('authority').certificate);
    const cluster = { 'certificate-authority': file, 'tls-server-name': host };
    const kubernetes = await open({ server: api.url, cluster }, {}, () => now);
    expect(await errorOf(read(kubernetes))).toMatchObject({ kind: 'refused' });
    // The call that finds out is made once more, with no time between.
    await writeFile(file, authority.certificate);
    await read(kubernetes);
    for (const text of [authority.certificate.slice(0, 100), '', '\n', authority.certificate]) {
      await writeFile(file, text);
      now = new Date(now.getTime() + 2000);
      await read(kubernetes);
    }
    expect(vi.mocked(log.warn)).toHaveBeenCalledTimes(2);
  });

  const inText = (text: string) => ({ 'certificate-authority-data': base64(text) });
  const cannotBeUsed = /^the CA of the kubeconfig cannot be used \(ERR_OSSL_\w+\)$/;
  const nowhere = { 'certificate-authority': '/that/is/not/there' };
  // OpenSSL leaves out what it cannot read, and nobody's certificate would then be signed by the CA.
  it.each<[string, object, RegExp]>([
    ['none', inText('top-secret'), cannotBeUsed],
    ['broken', inText('-----BEGIN CERTIFICATE-----\ntop-secret\n-----END CERTIFICATE-----\n'), cannotBeUsed],
    ['half of one', inText(authority.certificate.slice(0, 200)), cannotBeUsed],
    ['a key', inText(keepSecret(authority.key)), cannotBeUsed],
    ['not there', nowhere, /^the credentials of the kubeconfig cannot be had \(ENOENT: \/that\/is\/not\/there\)$/],
  ])('cannot be checked by a CA that is %s, which is told as ours', async (_what, ca, reason) => {
    const api = await startApiServer(undefined, server);
    const error = await errorOf(read(await open({ server: api.url, cluster: { ...ca, 'tls-server-name': host } })));
    expect(error).toMatchObject({ kind: 'misconfigured', reason: expect.stringMatching(reason) });
    expect(api.requests).toEqual([]);
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
    const relay = await during(startRelay(api.port));
    return { api, relay, kubernetes: await open({ server: `https://127.0.0.1:${relay.port}`, cluster: trustNamed }) };
  }

  // It read `TLS could not be agreed on`, and nobody tried again.
  it('in the middle of an answer is a broken connection as any other: the call is made again, up to three times', async () => {
    const { api, kubernetes } = await start(4);
    const reason = expect.stringMatching(/^Kubernetes is unreachable \(E\w+\)$/);
    const error = { kind: 'unavailable', reason, headers: { 'retry-after': '1' } };
    expect(await errorOf(read(kubernetes))).toMatchObject(error);
    expect(api.requests).toHaveLength(4);
    await read(kubernetes);
  });

  it('while nobody uses it is not noticed either, not even by the creation of a Service', async () => {
    const { api, relay, kubernetes } = await start(0);
    await read(kubernetes);
    relay.garble();
    expect(await errorOf(kubernetes.createService({}, never))).toMatchObject({ status: { code: 404 } });
    expect(api.connections()).toBe(2);
  });
});

describe('a client certificate', () => {
  const userOf = ({ certificate, key }: Identity) => ({
    'client-certificate-data': base64(certificate),
    'client-key-data': base64(key),
  });
  const validTo = inDays(-0.5);
  const expired = signed('me', { validTo });
  // A certificate knows whole seconds.
  const expiredAt = `: the client certificate expired at ${validTo.toISOString().slice(0, 19)}Z`;
  const asking = { ca: authority.certificate, requestCert: true };

  const call = async (identity: Identity, options: https.ServerOptions) => {
    const refuse: typeof answerNotFound = (_request, response) => answerStatus(response, 401, 'Unauthorized');
    const api = await startApiServer(refuse, server, { ...asking, ...options });
    return errorOf(read(await open({ server: api.url, cluster: trustNamed, user: userOf(identity) })));
  };

  // Kubernetes' own server takes every certificate, and says 401 to one that has expired.
  const comes = inDays(0.5);
  const notYet = `: the client certificate is not valid before ${comes.toISOString().slice(0, 19)}Z`;
  it.each<[string, Identity, string]>([
    ['has expired', expired, expiredAt],
    ['is not valid yet', signed('me', { validFrom: comes }), notYet],
    ['is nobody there', signed('me'), ''],
  ])('that gets a 401 is said to be what it is, where it %s', async (_what, identity, why) => {
    const reason = `Kubernetes refused our credentials (401 Unauthorized)${why}`;
    const error = { kind: 'refused', status: { code: 401 }, reason };
    expect(await call(identity, { rejectUnauthorized: false })).toMatchObject(error);
  });

  // A proxy in front of Kubernetes may check it, and answer the handshake with a fatal alert (RFC 8446, 6).
  it.each([
    ['bad_certificate', 42],
    ['certificate_expired', 45],
    ['unknown_ca', 48],
    ['certificate_required', 116],
  ])('that TLS is ended for is said to have been refused, and to have expired: %s', async (_name, alert) => {
    const port = await listen((socket) => {
      socket.once('data', () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, alert])));
    });
    const refusal = `the API server refused our client certificate (TLS alert ${alert})`;
    for (const [why, identity] of Object.entries({ '': signed('me'), [expiredAt]: expired })) {
      const kubernetes = await open({ server: `https://127.0.0.1:${port}`, user: userOf(identity) });
      expect(await errorOf(read(kubernetes))).toMatchObject({ kind: 'refused', reason: refusal + why });
    }
  });

  // Node's own server says nothing before it hangs up.
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('that is hung up on is said to have expired, with %s', async (version) => {
    const reason = 'Kubernetes is unreachable (ECONNRESET)';
    const options = { minVersion: version, maxVersion: version };
    const hungUp = { kind: 'refused', reason: reason + expiredAt };
    expect(await call(expired, options)).toMatchObject(hungUp);
    expect(await call(makeCertificate('me'), options)).toMatchObject({ kind: 'unavailable', reason });
  });

  // What our own TLS does not take was the server's fault.
  const [used, apart] = ['of the kubeconfig cannot be used', 'and its key do not belong together'];
  it.each<[string, Identity, string]>([
    ['is none', { ...expired, certificate: 'top-secret' }, `${used} (ERR_OSSL_PEM_NO_START_LINE)`],
    ['has a key that is none', { ...expired, key: 'top-secret' }, `${used} (ERR_OSSL_`],
    ["has another certificate's key", { ...expired, key: makeCertificate('x').key }, apart],
    ['has a key of another kind', { ...expired, key: signed('x', { rsaBits: 2048 }).key }, apart],
    ['is of 1024 bits', signed('me', { rsaBits: 1024 }), `${used} (ERR_SSL_EE_KEY_TOO_SMALL)`],
  ])('that %s is told as ours before anything is sent, through a proxy too', async (_what, identity, problem) => {
    const api = await startApiServer(answerNotFound, server, asking);
    const proxy = await during(startConnectProxy(api.port));
    for (const more of [{}, { 'proxy-url': proxy.url }]) {
      const access = { server: api.url, cluster: { ...trustNamed, ...more }, user: userOf(identity) };
      const error = await errorOf(read(await open(access)));
      expect(error.kind).toBe('misconfigured');
      expect(error.reason).toMatch(/^(the key of )?the client certificate of the kubeconfig /);
      expect(error.reason).toContain(problem);
    }
    expect([api.requests, proxy.targets]).toEqual([[], []]);
  });

  describe('in files', () => {
    const [first, second] = [signed('me-1'), signed('me-2')];

    async function start(certificate = first.certificate) {
      let now = new Date();
      const { api, names } = await startMutualTls(server, authority.certificate);
      const folder = await temporaryFolder();
      const write = (name: 'cert' | 'key', text: string) => writeFile(join(folder, name), text);
      await write('cert', certificate);
      await write('key', first.key);
      const user = { 'client-certificate': join(folder, 'cert'), 'client-key': join(folder, 'key') };
      const kubernetes = await open({ server: api.url, cluster: trustNamed, user }, {}, () => now);
      const call = async () => {
        now = new Date(now.getTime() + 2000);
        await read(kubernetes);
        return names.at(-1);
      };
      return { api, write, call };
    }

    // Those who rotate a certificate replace one file after the other.
    it.each<['cert' | 'key', 'cert' | 'key']>([
      ['cert', 'key'],
      ['key', 'cert'],
    ])('stays in use with its key until both are new: the %s comes first', async (early, late) => {
      const { api, write, call } = await start();
      const texts = { cert: second.certificate, key: second.key };
      expect(await call()).toBe('me-1');
      await write(early, texts[early]);
      expect([await call(), await call()]).toEqual(['me-1', 'me-1']);
      const reason = expect.stringContaining('do not belong together');
      const warning = 'New credentials of the cluster cannot be used yet';
      expect(vi.mocked(log.warn).mock.calls).toEqual([[warning, { reason }]]);
      await write(late, texts[late]);
      // What was opened with another certificate serves nobody else.
      expect([await call(), api.connections()]).toEqual(['me-2', 2]);
    });

    it('stays in use while the new one is half written, empty, or too weak', async () => {
      const { write, call } = await start();
      const weak = signed('weak', { rsaBits: 1024 });
      expect(await call()).toBe('me-1');
      for (const certificate of [second.certificate.slice(0, 100), '', weak.certificate]) {
        await write('cert', certificate);
        expect(await call()).toBe('me-1');
      }
      await write('key', weak.key);
      expect(await call()).toBe('me-1');
      await write('cert', second.certificate);
      await write('key', second.key);
      expect(await call()).toBe('me-2');
    });

    it('is used as soon as it is one with its key, where it was not at first', async () => {
      const { write, call } = await start(second.certificate);
      await expect(call()).rejects.toMatchObject({ kind: 'misconfigured' });
      await write('key', second.key);
      expect(await call()).toBe('me-2');
    });
  });
});

// The client's own agents for proxies knew neither of K8S_API_SERVER nor of K8S_TLS_SKIP_VERIFY.
describe.each([
  ['CONNECT', startConnectProxy],
  ['SOCKS', startSocksProxy],
] as const)("through the kubeconfig's proxy-url, %s,", (how, startProxy) => {
  type Settings = { cluster?: Record<string, unknown>; env?: Record<string, string>; at?: string; login?: string };

  /** An API server behind a proxy, and what opens a client of it. */
  async function start(identity = server, options: Parameters<typeof startProxy>[1] = {}, answer = answerNotFound) {
    const api = await startApiServer(answer, identity);
    const proxy = await during(startProxy(api.port, options));
    const through = ({ cluster, env = {}, at = named, login = '' }: Settings = {}) => {
      const url = proxy.url.replace('://', `://${login && `${login}@`}`);
      return open({ server: at, cluster: { ...trust, 'proxy-url': url, ...cluster } }, env);
    };
    return { api, proxy, through };
  }

  it('calls go over one connection', async () => {
    const { api, proxy, through } = await start();
    const kubernetes = await through();
    for (let call = 0; call < 3; call += 1) await expect(read(kubernetes)).resolves.toBeUndefined();
    expect([proxy.targets, api.requests.length, api.connections()]).toEqual([[`${host}:6443`], 3, 1]);
  });

  const elsewhere = { K8S_API_SERVER: 'https://elsewhere.example:7443' };
  it.each<[string, Identity, Settings, string | undefined]>([
    ['by the name in the kubeconfig, where K8S_API_SERVER names another', server, { env: elsewhere }, undefined],
    ['by another name, there', server, { env: elsewhere, at: 'https://other.example:6443' }, 'another host name'],
    ['by the address in the kubeconfig', server, { env: elsewhere, at: 'https://10.0.0.1:6443' }, 'another host name'],
    ['by the CA', makeCertificate(host), {}, "not signed by the cluster's CA"],
    ['not for K8S_TLS_SKIP_VERIFY', makeCertificate('x'), { env: { K8S_TLS_SKIP_VERIFY: 'true' } }, undefined],
    ['not for insecure-skip-tls-verify', makeCertificate('x'), { cluster: insecure }, undefined],
  ])('the certificate is checked: %s', async (_what, identity, settings, fault) => {
    const { api, proxy, through } = await start(identity);
    const call = read(await through(settings));
    if (fault === undefined) expect(await call).toBeUndefined();
    else expect(await errorOf(call)).toMatchObject({ kind: 'refused', reason: expect.stringContaining(fault) });
    expect(proxy.targets).toEqual([settings.env === elsewhere ? 'elsewhere.example:7443' : `${host}:6443`]);
    expect(api.requests).toHaveLength(fault === undefined ? 1 : 0);
  });

  it('a call ends when its signal does', async () => {
    const { through } = await start(server, {}, () => {});
    const call = read(await through(), 'a', AbortSignal.timeout(300));
    expect(await errorOf(call)).toMatchObject({ kind: 'deadline-exceeded' });
  });

  it('calls show the log-in of its URL to the proxy, which may have an IPv6 address, and to nobody else', async () => {
    const { api, proxy, through } = await start(server, { login: 'me:top secret@', address: '::1' });
    await expect(read(await through({ login: 'me:top%20secret%40' }))).resolves.toBeUndefined();
    expect(proxy.targets).toEqual([`${host}:6443`]);
    expect(JSON.stringify(api.requests)).not.toMatch(/proxy-authorization|top/i);
  });

  // It was Kubernetes that was said to be unreachable, or that the call could not be made.
  const isConnect = how === 'CONNECT';
  const wantsLogin = /^PROXY wants a log-in, or another one( \(407\))?$/;
  const noWay = /^PROXY does not let us through to the API server \((403|NotAllowed)\)$/;
  const notReached = /^PROXY does not reach the API server \((502|HostUnreachable)\)$/;
  it.each<[string, Parameters<typeof startProxy>[1], string, string, RegExp]>([
    ['wants a log-in', { login: 'me:right' }, '', 'misconfigured', wantsLogin],
    ['wants another log-in', { login: 'me:right' }, 'me:top-secret', 'misconfigured', wantsLogin],
    ['does not let us through', { refusal: isConnect ? 403 : 2 }, 'me:top-secret', 'refused', noWay],
    ['does not reach it', { refusal: isConnect ? 502 : 4 }, 'me:top-secret', 'unavailable', notReached],
  ])('a proxy that %s is named, without its log-in', async (_what, options, login, kind, reason) => {
    const { api, proxy, through } = await start(server, options);
    const error = await errorOf(read(await through({ login })));
    expect(error.kind).toBe(kind);
    expect(error.reason.replace(`the proxy ${proxy.url} of the kubeconfig`, 'PROXY')).toMatch(reason);
    expect(api.requests).toEqual([]);
  });

  it('a proxy that is down, or is none, is named, without its log-in', async () => {
    const { proxy, through } = await start();
    await proxy.close();
    const [scheme] = proxy.url.split('://');
    // Whatever is at this address hangs up, or says something else.
    const { port } = await startApiServer();
    for (const [address, problem] of [
      [`127.0.0.1:${proxy.port}`, 'is unreachable (ECONNREFUSED)'],
      ['proxy.invalid:3128', 'is unreachable (ENOTFOUND)'],
      [`127.0.0.1:${port}`, 'is unreachable'],
    ] as const) {
      const cluster = { 'proxy-url': `${scheme}://me:top-secret@${address}` };
      const error = await errorOf(read(await through({ cluster })));
      expect(error.kind).toBe('unavailable');
      expect(error.reason).toContain(`the proxy ${scheme}://${address} of the kubeconfig ${problem}`);
    }
  });
});

describe("a kubeconfig's proxy", () => {
  it.each(['socks5', 'socks5h', 'socks', 'SOCKS5'])('of %s:// looks up the name of the API server', async (scheme) => {
    const api = await startApiServer(answerNotFound, server);
    const proxy = await during(startSocksProxy(api.port));
    const cluster = { ...trust, 'proxy-url': proxy.url.replace(/^socks5/, scheme) };
    await expect(read(await open({ server: named, cluster }))).resolves.toBeUndefined();
    expect(proxy.targets).toEqual([`${host}:6443`]);
  });

  // Node does not tell of the end of a request that has no connection yet.
  it.each(['http', 'socks5h'])(
    'of %s:// that does not answer is waited for no longer than the signal',
    async (scheme) => {
      const port = await listen(() => {});
      const kubernetes = await open({ server: named, cluster: { 'proxy-url': `${scheme}://127.0.0.1:${port}` } });
      const waiting = new Promise((resolve) => setTimeout(resolve, 5_000, 'still waiting'));
      const ended = errorOf(read(kubernetes, 'a', AbortSignal.timeout(300)));
      expect(await Promise.race([ended, waiting])).toMatchObject({ kind: 'deadline-exceeded' });
    },
  );

  // As kubectl has it, which knows no other authority than the cluster's.
  it('of https:// shows a certificate that the CA of the cluster signed', async () => {
    const api = await startApiServer(answerNotFound, server);
    const of = async (identity: Identity) => {
      const proxy = await during(startConnectProxy(api.port, { identity }));
      const url = `https://localhost:${proxy.port}`;
      return { url, answer: read(await open({ server: named, cluster: { ...trust, 'proxy-url': url } })) };
    };
    await expect((await of(signed('localhost'))).answer).resolves.toBeUndefined();
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const { url, answer } = await of(makeCertificate('localhost'));
    expect(await errorOf(answer)).toMatchObject({
      kind: 'refused',
      reason: `the certificate of the proxy ${url} of the kubeconfig is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)`,
    });
  });
});
