import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KubernetesError } from '../../lib/errors.ts';
import * as errors from '../../lib/kubernetes/errors.ts';
import { findRetryDelay } from '../../lib/kubernetes/retries.ts';
import { makeCertificate } from '../support/certificate.ts';

const { deadlineError, explainRefusal, isRefusalOfUs, networkError, whileStarting } = errors;
const statusError = (code: number, body: string, retryAfter?: string) => errors.statusError(code, retryAfter, body);

const status = (reason: string, message: string, details?: object): string =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, details });
const pod = { name: 'sandbox-a', kind: 'pods' };
const forbidden = (words: string, causes?: object[]): string =>
  status('Forbidden', `pods "sandbox-a" is forbidden: ${words}`, { ...pod, causes });
const conflictOn = (kind: string, name: string, why: string): string =>
  status('Conflict', `Operation cannot be fulfilled on ${kind} "${name}": ${why}`, { name, kind });
const html = '<html><head><title>Bad</title></head><body>nginx</body></html>';

const told = (error: KubernetesError) => ({ kind: error.kind, reason: error.reason, headers: error.headers });
const final = (kind: string, reason: string) => ({ kind, reason, headers: {} });
const passing = (reason: string, seconds = '1') => {
  return { kind: 'unavailable', reason, headers: { 'retry-after': seconds } };
};

const { isNotFound, isConflict, isAlreadyExists, isExpired, isInvalidToken, ...others } = errors;
const { isNamespaceMissing, isNamespaceTerminating, isTestFailed } = others;
const predicates = { isNotFound, isConflict, isAlreadyExists, isExpired, isInvalidToken, isNamespaceMissing };
const holding = (error: unknown): string =>
  Object.entries({ ...predicates, isNamespaceTerminating, isTestFailed })
    .flatMap(([name, holds]) => (holds(error) ? [name] : []))
    .join();

const noPod = status('NotFound', 'pods "sandbox-a" not found', pod);
const noNamespace = status('NotFound', 'namespaces "agents" not found', { name: 'agents', kind: 'namespaces' });
const noPath = status('NotFound', 'the server could not find the requested resource', {});
const right = 'User "system:serviceaccount:a:b" cannot create resource "pods" in API group "" in the namespace "a"';
const noRight = status('Forbidden', `pods is forbidden: ${right}`, { kind: 'pods' });
const quotaFull = forbidden('exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1');
const uncounted = forbidden('status unknown for quota: q, resources: pods');
const ending = forbidden('unable to create new content in namespace agents because it is being terminated', [
  { reason: 'NamespaceTerminating', message: 'x', field: 'metadata.namespace' },
]);
const noPort = 'failed to allocate a nodePort: range is full';
const portsFull = status('InternalError', `Internal error occurred: ${noPort}`, { causes: [{ message: noPort }] });
const addressesFull = status('InternalError', 'Internal error occurred: failed to allocate IP 10.0.0.0: range is full');
const modified = 'the object has been modified; please apply your changes to the latest version and try again';
const otherUid = 'the UID in the precondition (x) does not match the UID in record (y)';
const taken = 'pods "sandbox-a" already exists';
const noToken = status('ServerTimeout', 'No API token found for service account "default", retry after', {
  ...{ name: 'create pod', kind: 'serviceaccounts', retryAfterSeconds: 1 },
});
const limited = forbidden('maximum cpu usage per Container is 500m, but limit is 1');
const tooMany = status('TooManyRequests', 'the server has received too many requests');

const gone = final('not-found', 'Not Found');
const conflict = final('conflict', 'Conflict');
const notPermitted = final('refused', 'Kubernetes does not permit it (403 Forbidden)');
const badCredentials = final('refused', 'Kubernetes refused our credentials (401 Unauthorized)');
const foreign404 = final('failed', 'what answered was not the Kubernetes API (404)');
const full = final('quota-exceeded', 'the cluster has no NodePort or Service address left');
const hindered = passing('Kubernetes was hindered by another change (409 Conflict)');
const notReady = (code: number) => passing(`Kubernetes is overloaded or not ready (${code})`);

/** What is answered, in Kubernetes 1.3x's own words, down to the names; what it means; which predicates hold. */
const answers: [what: string, code: number, body: string, means: object, holds?: string][] = [
  ['an object that is not there', 404, noPod, gone, 'isNotFound'],
  ['a namespace that is not there', 404, noNamespace, gone, 'isNotFound,isNamespaceMissing'],
  ['a path that the API server does not know', 404, noPath, foreign404],
  ['the same, in plain text', 404, '404 page not found\n', foreign404],
  ["a proxy's 404", 404, html, foreign404],
  ["another API's 404", 404, '{"error":"NotFound"}', foreign404],
  ['a 404 without a body', 404, '', foreign404],
  ['a name that is taken', 409, status('AlreadyExists', taken, pod), conflict, 'isConflict,isAlreadyExists'],
  ['one that ends', 409, status('AlreadyExists', `going: ${taken}`, pod), conflict, 'isConflict,isAlreadyExists'],
  ['a precondition', 409, status('Conflict', `Operation cannot be fulfilled: ${otherUid}`), conflict, 'isConflict'],
  ['another Pod by now', 409, conflictOn('Pod', 'sandbox-a', otherUid), conflict, 'isConflict'],
  ['our own object, changed', 409, conflictOn('services', 'sandbox-a-svc', modified), conflict, 'isConflict'],
  ['a quota that other requests change', 409, conflictOn('resourcequotas', 'q', modified), hindered],
  ['a right that we have not', 403, noRight, notPermitted],
  ["a proxy's 403", 403, html, notPermitted],
  ['credentials that are refused', 401, status('Unauthorized', 'Unauthorized'), badCredentials],
  ['a quota that was made a moment ago', 403, uncounted, passing('a quota of its namespace is not counted yet')],
  ['a quota that is full', 403, quotaFull, final('quota-exceeded', 'exceeded quota')],
  ['NodePorts that are all taken', 500, portsFull, full],
  ['addresses that are all taken', 500, addressesFull, full],
  ['a namespace that ends', 403, ending, passing('its namespace is being deleted'), 'isNamespaceTerminating'],
  ['overload', 429, tooMany, notReady(429)],
  ['a proxy without a server', 502, html, notReady(502)],
  ['a server that starts', 503, status('ServiceUnavailable', 'apiserver not ready'), notReady(503)],
  ["a server's own time-out", 504, status('Timeout', 'Timeout: request did not complete'), notReady(504)],
  ['a service account without its token yet', 500, noToken, notReady(500)],
  [
    'an object that is not valid',
    422,
    status('Invalid', 'is invalid'),
    final('failed', 'Invalid (422)'),
    'isTestFailed',
  ],
  ['a list that is forgotten', 410, status('Expired', 'too old'), final('failed', 'Expired (410)'), 'isExpired'],
  ['what is not understood', 400, status('BadRequest', 'x y'), final('failed', 'BadRequest (400)'), 'isInvalidToken'],
  ['an internal error', 500, status('InternalError', 'etcdserver: gone'), final('failed', 'InternalError (500)')],
  ['an internal error of a proxy', 500, html, final('failed', 'HTTP 500')],
  ['a status that nobody knows', 418, '', final('failed', 'HTTP 418')],
];

describe('what Kubernetes answers', () => {
  it.each(answers)('means, for %s', (_what, code, body, means, holds = '') => {
    const error = statusError(code, body);
    expect([told(error), holding(error)]).toEqual([means, holds]);
  });

  it.each(answers.filter(([, , body]) => body !== ''))('is kept for the log and not shown: %s', (...[, , body]) => {
    for (const code of [400, 401, 403, 404, 409, 422, 429, 500, 503]) {
      const error = statusError(code, body);
      const isStatus = body.startsWith('{"kind"');
      const message = isStatus ? (JSON.parse(body).message as string) : body;
      // `Unauthorized` alone is message and reason at once.
      if (message !== 'Unauthorized') expect(error.reason).not.toContain(message.trim());
      expect(error.reason).not.toMatch(/sandbox-a|system:|nginx|etcd|<html/);
      expect(error.reason.length).toBeLessThan(80);
      expect(error.status).toMatchObject({ code, ...(!body.startsWith('{"error') && { message }) });
      expect(error.cause).toEqual(error.status);
    }
  });

  it.each([429, 502, 503, 504])('says when to come again only where that is a number of seconds: %i', (code) => {
    const headersFor = (retryAfter: string) => statusError(code, tooMany, retryAfter).headers['retry-after'];
    for (const seconds of ['0', '7', '9999']) expect(headersFor(seconds)).toBe(seconds);
    const others = ['', ' ', '-1', '1.5', '1e3', ' 7', '7 ', '7\n', '7, 7', '0x1', '٧', '99999', 'soon'];
    for (const other of [...others, 'Wed, 21 Oct 2026 07:28:00 GMT', '1\r\nset-cookie: a=b', '<script>']) {
      expect(headersFor(other), other).toBe('1');
    }
  });

  it('is shown with its reason only where that is one word, as those of Kubernetes are', () => {
    expect(statusError(500, status('InternalError', '')).reason).toBe('InternalError (500)');
    const odd = ['', ' ', 'Internal Error', 'InternalError\n', 'a\r\nset-cookie: b', '<b>', '{"a":1}', 'ü'];
    for (const other of [...odd, 'x'.repeat(999)]) {
      expect(statusError(500, status(other, '')).reason, other).toBe('HTTP 500');
    }
    const reason = fc.oneof(fc.string({ unit: 'binary' }), fc.anything({ withNullPrototype: false }));
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 599 }), reason, (code, given) => {
        const error = statusError(code, JSON.stringify({ kind: 'Status', reason: given }));
        expect(error.reason).toMatch(/^[A-Za-z0-9 ()]{1,80}$/);
      }),
    );
  });

  it.each<[string, unknown]>([
    ['an object', {}],
    ['an object that cannot be made text', { toString: 1, valueOf: 1 }],
    ['a list', ['NamespaceTerminating']],
    ['a number', 7],
  ])('is read without what is no text: %s', (_what, odd) => {
    const fields = { reason: odd, message: odd, details: { kind: odd, causes: [odd, { reason: odd }, null] } };
    const error = statusError(500, JSON.stringify({ kind: 'Status', ...fields }));
    expect(error).toMatchObject({ kind: 'failed', reason: 'HTTP 500' });
    expect(error.status).toEqual({ code: 500, reason: '', message: '', causes: ['', '', ''] });
  });

  it('is shortened for the log where it is not from Kubernetes', () => {
    expect(statusError(500, 'x'.repeat(100_000)).status?.message).toBe('x'.repeat(1000));
  });

  it('is read whatever it is', () => {
    const details = fc.record({ kind: fc.string() }, { requiredKeys: [] });
    const fields = fc.record({ reason: fc.string(), message: fc.string(), details }, { requiredKeys: [] });
    const ours = fields.map((given) => JSON.stringify({ kind: 'Status', ...given }));
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 599 }), fc.oneof(fc.string(), fc.json(), ours), (code, text) => {
        expect(statusError(code, text)).toBeInstanceOf(KubernetesError);
      }),
      { numRuns: 500 },
    );
  });
});

describe('what admission says', () => {
  const hook = 'validation.gatekeeper.sh';
  const refusedBy = (who: string, code = 403) => final('not-admitted', `admission refuses it: ${who} (${code})`);

  // Kubernetes 1.20's own words, seen there, some of them cut; those of newer versions, which say so, are their sources'.
  it.each([
    ['a LimitRange', 'maximum cpu usage per Container is 500m, but limit is 1'],
    [
      'a LimitRange',
      '[cpu max limit to request ratio per Container is 2, but provided is 10, minimum cpu usage per Pod]',
    ],
    ['a ResourceQuota', 'failed quota: q: must specify limits.memory'],
    ['PodSecurityPolicy', 'PodSecurityPolicy: unable to admit pod: [spec.volumes[0]: Invalid value: "hostPath"]'],
    ['PodSecurityPolicy', 'PodSecurityPolicy: no providers available to validate pod request'],
    // 1.22.
    [
      "Pod Security 'restricted:v1.30'",
      'violates PodSecurity "restricted:v1.30": host path volumes (volumes "skills")',
    ],
    ['SecurityContextConstraints', 'unable to validate against any security context constraint: [provider "anyuid"]'],
    ['its RuntimeClass', 'pod rejected: RuntimeClass "gvisor" not found'],
    ['a plug-in of the API server', 'no PriorityClass with name secret was found'],
  ])('is told apart from rights: %s, %s', (who, words) => {
    const error = statusError(403, forbidden(words));
    expect(told(error)).toEqual(refusedBy(who));
    expect(findRetryDelay(error, 1)).toBeUndefined();
  });

  const noRole = 'a role that our rights come from is not there, or not yet (403 Forbidden)';
  const [role, clusterRole] = ['role.rbac.authorization.k8s.io "y"', 'clusterrole.rbac.authorization.k8s.io "x"'];
  const noAccount = 'error looking up service account agents/default: serviceaccount "default" not found';
  it.each([
    ['not yet ready to handle request', 'Kubernetes is overloaded or not ready (403)'],
    [noAccount, 'the service account of its namespace is not there yet'],
    [`${right}: RBAC: ${role} not found`, noRole],
    [`${right}: RBAC: [${clusterRole} not found, ${role} not found]`, noRole],
  ])('for a while only is passing: %s', (words, reason) => {
    const error = statusError(403, forbidden(words));
    expect(told(error)).toEqual(passing(reason));
    expect(findRetryDelay(error, 1)).toBeDefined();
  });

  // A webhook chooses its code, its reason and its causes. They were read as Kubernetes' own.
  it.each<[number, string, object | undefined]>([
    [400, '', undefined],
    [403, 'Forbidden', { causes: [{ reason: 'NamespaceTerminating' }] }],
    [404, 'NotFound', { kind: 'pods' }],
    [404, 'NotFound', { kind: 'namespaces' }],
    [409, 'AlreadyExists', { kind: 'services' }],
    [409, 'Conflict', { kind: 'resourcequotas' }],
    [410, 'Expired', undefined],
    [401, 'Unauthorized', undefined],
    [422, 'Invalid', undefined],
  ])('is what a webhook says, whatever it chooses: %i %s', (code, reason, details) => {
    const message = `admission webhook "${hook}" denied the request: [secret-policy] exceeded quota`;
    // As an intermediate version had it.
    for (const prefix of ['', 'pods "sandbox-a" is forbidden: ']) {
      const error = statusError(code, status(reason, `${prefix}${message}`, details));
      expect(told(error)).toEqual(refusedBy(`the webhook '${hook}'`, code));
      expect([holding(error), isRefusalOfUs(error)]).toEqual(['', false]);
      expect(findRetryDelay(error, 1)).toBeUndefined();
    }
  });

  const failing = (name: string, why: string) => `Internal error occurred: failed calling webhook "${name}": ${why}`;
  const post = 'Post "https://secret.svc:443/v1?timeout=2s"';
  it.each<[string, number, string]>([
    ['that is down', 500, failing(hook, `${post}: dial tcp 10.0.0.1:443: connect: connection refused`)],
    ['that hangs', 500, failing(hook, `${post}: context deadline exceeded`)],
    ['that answers with an error', 500, failing(hook, 'an error on the server')],
    ['that says itself that it failed', 500, `admission webhook "${hook}" denied the request: secret`],
    ['that asks for patience', 429, `admission webhook "${hook}" denied the request: secret`],
  ])('of a webhook %s is passing, and names it', (_what, code, message) => {
    const error = statusError(code, status(code === 500 ? 'InternalError' : '', message));
    expect(told(error)).toEqual(passing(`admission fails: the webhook '${hook}' (${code})`));
    expect(findRetryDelay(error, 1)).toBeDefined();
  });

  it.each([
    [403, 'Forbidden'],
    [422, 'Invalid'],
    [401, 'Unauthorized'],
  ])('is what a ValidatingAdmissionPolicy says (1.26), with %i', (code, reason) => {
    const words = "ValidatingAdmissionPolicy 'no-host-paths' with binding 'secret' denied request: secret";
    const details = { ...pod, causes: [{ message: words }] };
    const error = statusError(code, status(reason, `pods "sandbox-a" is forbidden: ${words}`, details));
    expect(told(error)).toEqual(refusedBy("the ValidatingAdmissionPolicy 'no-host-paths'", code));
    expect(holding(error)).toBe('');
    const expired = makeCertificate('me', { validTo: new Date(Date.now() - 60_000) }).certificate;
    expect(explainRefusal(error, expired, new Date()).kind).toBe('not-admitted');
  });

  it('names a webhook only where that is a name', () => {
    for (const name of ['', '<script>', 'a b', 'x'.repeat(200), 'https://secret.svc', 'ü.example']) {
      const denied = status('', `admission webhook "${name}" denied the request without explanation`);
      expect(statusError(400, denied).reason).toBe('admission refuses it: a webhook (400)');
      const failed = status('InternalError', failing(name, 'secret'));
      expect(statusError(500, failed).reason).toBe('admission fails: a webhook (500)');
    }
  });

  it('is not said by who is no Kubernetes', () => {
    const page = 'pods is forbidden: admission webhook "x.y.z" denied the request, not yet ready to handle request';
    expect(told(statusError(403, page))).toEqual(notPermitted);
  });
});

describe('a refusal of rights while Kubernetes may be starting', () => {
  // An API server that has not read its bindings yet says just what it says where there are none. Seen on 1.20.
  it.each(['pods', 'pods "sandbox-a"'])('may be passing: %s', (object) => {
    const refusal = statusError(403, status('Forbidden', `${object} is forbidden: ${right}`));
    expect(told(refusal)).toMatchObject({ kind: 'refused' });
    expect(whileStarting(refusal, false)).toBe(refusal);
    const reason = 'Kubernetes does not permit it, or is only starting (403 Forbidden)';
    expect(told(whileStarting(refusal, true))).toEqual(passing(reason));
  });

  it('may be why there was no answer in time', () => {
    const late = whileStarting(deadlineError(AbortSignal.abort()), true);
    expect(told(late)).toEqual(passing('Kubernetes did not answer in time: it was away before'));
  });

  it.each<[string, KubernetesError]>([
    ["a proxy's", statusError(403, html)],
    ['of credentials', statusError(401, status('Unauthorized', 'Unauthorized'))],
    ['of admission', statusError(403, limited)],
    ['of a quota', statusError(403, quotaFull)],
  ])('stays what it is where it is another one: %s', (_what, error) => {
    expect(whileStarting(error, true)).toBe(error);
  });
});

describe('no answer', () => {
  const errorOf = (code: string, message = `something with 10.0.0.1 ${code}`) =>
    Object.assign(new Error(message), { code });
  const unreachable = (code: string) => passing(`Kubernetes is unreachable (${code})`);
  const itsCertificate = (why: string) => (code: string) =>
    final('refused', `the certificate of the API server ${why} (${code})`);
  const ourCertificate = (alert: number) => () =>
    final('refused', `the API server refused our client certificate (TLS alert ${alert})`);
  const noTls = (code: string) => final('refused', `TLS could not be agreed on with the API server (${code})`);
  const notOurs = itsCertificate("is not signed by the cluster's CA");
  // Node's codes for a certificate of another use have no prefix.
  const notTrusted = itsCertificate('is not trusted');
  const broken = (code: string) =>
    final('misconfigured', `the CA, the client certificate or its key in the kubeconfig cannot be read (${code})`);
  const isWhole = 'agreed on';

  it.each<[codes: string, means: (code: string) => object, message?: string, isAgreed?: typeof isWhole]>([
    ['ECONNREFUSED ECONNRESET EPIPE ENOTFOUND EAI_AGAIN ETIMEDOUT EHOSTUNREACH ENETUNREACH', unreachable],
    ['CERT_HAS_EXPIRED', itsCertificate('has expired')],
    ['CERT_NOT_YET_VALID', itsCertificate('is not valid yet')],
    ['ERR_TLS_CERT_ALTNAME_INVALID HOSTNAME_MISMATCH', itsCertificate('is for another host name')],
    ['CERT_UNTRUSTED DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN', notOurs],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT_LOCALLY CERT_SIGNATURE_FAILURE', notOurs],
    ['INVALID_CA INVALID_PURPOSE', notTrusted],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', ourCertificate(48), 'unknown ca:rec.c:916:SSL alert number 48'],
    ['EPROTO', ourCertificate(45), 'write EPROTO 0A000415:SSL routines::expired:rec.c:916:SSL alert number 45\n'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', ourCertificate(116), 'required:SSL alert number 116'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', ourCertificate(116), 'SSL alert number 116', isWhole],
    ['EPROTO', unreachable, 'alert internal error:SSL alert number 80'],
    ['ERR_SSL_WRONG_VERSION_NUMBER ERR_TLS_INVALID_PROTOCOL_VERSION', noTls],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', noTls, 'sslv3 alert handshake failure:SSL alert number 40'],
    ['ERR_SSL_BAD_RECORD_TYPE ERR_TLS_RENEGOTIATION_DISABLED ERR_OSSL_EVP_BAD_DECRYPT', unreachable, 'x', isWhole],
    ['ERR_OSSL_PEM_NO_START_LINE ERR_OSSL_X509_KEY_VALUES_MISMATCH', broken],
  ])('means, with %s', (codes, means, message, isAgreed) => {
    for (const code of codes.split(' ')) {
      const cause = errorOf(code, message);
      const error = networkError(cause, isAgreed !== undefined);
      expect(told(error)).toEqual(means(code));
      expect(error.cause).toBe(cause);
    }
  });

  it('is named after the first address that was tried, where there were several, but for a code of its own', () => {
    const several = new AggregateError([errorOf('ECONNREFUSED'), errorOf('ENETUNREACH')]);
    expect(told(networkError(several))).toEqual(unreachable('ECONNREFUSED'));
    const own = Object.assign(new AggregateError([errorOf('ENETUNREACH')]), { code: 'ETIMEDOUT' });
    expect(told(networkError(own))).toEqual(unreachable('ETIMEDOUT'));
  });

  it.each<[string, unknown]>([
    ['an error without a code', new Error('secret')],
    ['an error of which the code is a number', Object.assign(new Error('secret'), { code: 7 })],
    ['an empty collection of errors', new AggregateError([])],
    ['a text', 'secret'],
  ])('is a failure of ours for %s', (_what, thrown) => {
    expect(told(networkError(thrown))).toEqual(final('failed', 'the call could not be made'));
  });

  it('is not judged twice', () => {
    const error = statusError(404, noPod);
    expect(networkError(error)).toBe(error);
  });

  it('in time means just that', () => {
    const reason = new Error('over');
    const error = deadlineError(AbortSignal.abort(reason));
    expect(told(error)).toEqual(final('deadline-exceeded', 'Kubernetes did not answer in time'));
    expect(error.cause).toBe(reason);
  });
});

it.each([networkError({ code: 'ECONNREFUSED' }), new Error('not found'), undefined])(
  'no predicate holds of what is no answer: %s',
  (error) => expect(holding(error)).toBe(''),
);
