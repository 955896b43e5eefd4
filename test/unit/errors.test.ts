import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KubernetesError } from '../../lib/errors.ts';
import {
  deadlineError,
  explainRefusal,
  isAlreadyExists,
  isConflict,
  isExpired,
  isInvalidToken,
  isNamespaceMissing,
  isNamespaceTerminating,
  isNotFound,
  isRefusalOfUs,
  isTestFailed,
  networkError,
  statusError,
  whileStarting,
} from '../../lib/kubernetes/errors.ts';
import { findRetryDelay } from '../../lib/kubernetes/retries.ts';
import { makeCertificate } from '../support/certificate.ts';

const status = (code: number, reason: string, message: string, details?: object): string =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, details, code });

const expired = makeCertificate('me', { validTo: new Date(Date.now() - 60_000) }).certificate;

const told = (error: KubernetesError) => ({ outcome: error.outcome, reason: error.reason, headers: error.headers });
const retryAfter = (seconds: string) => ({ 'retry-after': seconds });

// The messages are Kubernetes 1.3x's own, down to the names.
const answers = {
  podMissing: status(404, 'NotFound', 'pods "sandbox-a" not found', { name: 'sandbox-a', kind: 'pods' }),
  namespaceMissing: status(404, 'NotFound', 'namespaces "agents" not found', { name: 'agents', kind: 'namespaces' }),
  pathUnknown: status(404, 'NotFound', 'the server could not find the requested resource', {}),
  pathUnknownPlain: '404 page not found\n',
  alreadyExists: status(409, 'AlreadyExists', 'pods "sandbox-a" already exists', { name: 'sandbox-a', kind: 'pods' }),
  beingDeleted: status(409, 'AlreadyExists', 'object is being deleted: pods "sandbox-a" already exists', {
    name: 'sandbox-a',
    kind: 'pods',
  }),
  precondition: status(
    409,
    'Conflict',
    'Operation cannot be fulfilled on Pod "sandbox-a": the UID in the precondition (x) does not match',
  ),
  forbidden: status(
    403,
    'Forbidden',
    'pods is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods" in API group ""',
    { kind: 'pods' },
  ),
  quota: status(
    403,
    'Forbidden',
    'pods "sandbox-a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
    { name: 'sandbox-a', kind: 'pods' },
  ),
  quotaUncounted: status(
    403,
    'Forbidden',
    'pods "sandbox-a" is forbidden: status unknown for quota: q, resources: pods',
    {
      name: 'sandbox-a',
      kind: 'pods',
    },
  ),
  terminating: status(
    403,
    'Forbidden',
    'pods "sandbox-a" is forbidden: unable to create new content in namespace agents because it is being terminated',
    {
      name: 'sandbox-a',
      kind: 'pods',
      causes: [{ reason: 'NamespaceTerminating', message: 'x', field: 'metadata.namespace' }],
    },
  ),
  nodePortsFull: status(500, 'InternalError', 'Internal error occurred: failed to allocate a nodePort: range is full', {
    causes: [{ message: 'failed to allocate a nodePort: range is full' }],
  }),
  addressesFull: status(500, 'InternalError', 'Internal error occurred: failed to allocate IP 10.0.0.0: range is full'),
  unauthorized: status(401, 'Unauthorized', 'Unauthorized'),
  invalid: status(422, 'Invalid', 'Pod "sandbox-a" is invalid: spec.containers[0].image: Required value'),
  testFailed: status(422, 'Invalid', 'the server rejected our request due to an error in our request'),
  tooMany: status(
    429,
    'TooManyRequests',
    'the server has received too many requests and has asked us to try again later',
  ),
  etcdGone: status(500, 'InternalError', 'etcdserver: leader changed'),
  timeout: status(504, 'Timeout', 'Timeout: request did not complete within requested timeout'),
  starting: status(503, 'ServiceUnavailable', 'apiserver not ready'),
  quotaChanged: status(
    409,
    'Conflict',
    'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes to the latest version and try again',
    { name: 'q', kind: 'resourcequotas' },
  ),
  serviceChanged: status(
    409,
    'Conflict',
    'Operation cannot be fulfilled on services "sandbox-a-svc": the object has been modified; please apply your changes',
    { name: 'sandbox-a-svc', kind: 'services' },
  ),
  otherUid: status(
    409,
    'Conflict',
    'Operation cannot be fulfilled on Pod "sandbox-a": the UID in the precondition (x) does not match the UID in record (y)',
    { name: 'sandbox-a', kind: 'Pod' },
  ),
  tokenMissing: status(
    500,
    'ServerTimeout',
    'No API token found for service account "default", retry after the token is automatically created',
    { name: 'create pod', kind: 'serviceaccounts', retryAfterSeconds: 1 },
  ),
  badRequest: status(400, 'BadRequest', 'the object provided is unrecognized'),
  limited: status(
    403,
    'Forbidden',
    'pods "sandbox-a" is forbidden: maximum cpu usage per Container is 500m, but limit is 1',
    {
      name: 'sandbox-a',
      kind: 'pods',
    },
  ),
  html: '<html><head><title>Bad</title></head><body>nginx</body></html>',
};

const predicates = {
  isNotFound,
  isConflict,
  isAlreadyExists,
  isExpired,
  isInvalidToken,
  isNamespaceMissing,
  isNamespaceTerminating,
  isTestFailed,
};
const holding = (error: unknown) => Object.entries(predicates).flatMap(([name, holds]) => (holds(error) ? [name] : []));

const words = {
  podMissing: ['not-found', 'Not Found'],
  forbidden: ['refused', 'Kubernetes does not permit it (403 Forbidden)'],
  unauthorized: ['refused', 'Kubernetes refused our credentials (401 Unauthorized)'],
  foreign404: ['failed', 'what answered was not the Kubernetes API (404)'],
  full: ['quota-exceeded', 'the cluster has no NodePort or Service address left'],
} as const;

describe('what Kubernetes answers', () => {
  it.each<[string, number, string | undefined, string, readonly [string, string], Record<string, string>]>([
    ['an object that is not there', 404, undefined, answers.podMissing, words.podMissing, {}],
    ['a namespace that is not there', 404, undefined, answers.namespaceMissing, words.podMissing, {}],
    ['a path that the API server does not know', 404, undefined, answers.pathUnknown, words.foreign404, {}],
    ['the same, in plain text', 404, undefined, answers.pathUnknownPlain, words.foreign404, {}],
    ["a proxy's 404", 404, undefined, answers.html, words.foreign404, {}],
    ["another API's 404", 404, undefined, '{"error":"NotFound"}', words.foreign404, {}],
    ['a 404 without a body', 404, undefined, '', words.foreign404, {}],
    ['a name that is taken', 409, undefined, answers.alreadyExists, ['conflict', 'Conflict'], {}],
    ['a precondition that does not hold', 409, undefined, answers.precondition, ['conflict', 'Conflict'], {}],
    ['a right that we have not', 403, undefined, answers.forbidden, words.forbidden, {}],
    ["a proxy's 403", 403, undefined, answers.html, words.forbidden, {}],
    ['credentials that are refused', 401, undefined, answers.unauthorized, words.unauthorized, {}],
    [
      'a quota that was made a moment ago',
      403,
      undefined,
      answers.quotaUncounted,
      ['unavailable', 'a quota of its namespace is not counted yet'],
      retryAfter('1'),
    ],
    ['a quota that is full', 403, undefined, answers.quota, ['quota-exceeded', 'exceeded quota'], {}],
    ['NodePorts that are all taken', 500, undefined, answers.nodePortsFull, words.full, {}],
    ['addresses that are all taken', 500, undefined, answers.addressesFull, words.full, {}],
    [
      'a namespace that is being deleted',
      403,
      undefined,
      answers.terminating,
      ['unavailable', 'its namespace is being deleted'],
      retryAfter('1'),
    ],
    [
      'overload',
      429,
      '7',
      answers.tooMany,
      ['unavailable', 'Kubernetes is overloaded or not ready (429)'],
      retryAfter('7'),
    ],
    [
      'a proxy without a server',
      502,
      undefined,
      answers.html,
      ['unavailable', 'Kubernetes is overloaded or not ready (502)'],
      retryAfter('1'),
    ],
    [
      'a server that starts',
      503,
      undefined,
      answers.starting,
      ['unavailable', 'Kubernetes is overloaded or not ready (503)'],
      retryAfter('1'),
    ],
    [
      "a server's own time-out",
      504,
      undefined,
      answers.timeout,
      ['unavailable', 'Kubernetes is overloaded or not ready (504)'],
      retryAfter('1'),
    ],
    [
      'a quota that other requests change',
      409,
      undefined,
      answers.quotaChanged,
      ['unavailable', 'Kubernetes was hindered by another change (409 Conflict)'],
      retryAfter('1'),
    ],
    ['our own object that another has changed', 409, undefined, answers.serviceChanged, ['conflict', 'Conflict'], {}],
    ['our own object that is another by now', 409, undefined, answers.otherUid, ['conflict', 'Conflict'], {}],
    [
      'a service account without its token yet',
      500,
      undefined,
      answers.tokenMissing,
      ['unavailable', 'Kubernetes is overloaded or not ready (500)'],
      retryAfter('1'),
    ],
    ['an object that is not valid', 422, undefined, answers.invalid, ['failed', 'Invalid (422)'], {}],
    ['a request that is not understood', 400, undefined, answers.badRequest, ['failed', 'BadRequest (400)'], {}],
    ['an internal error', 500, undefined, answers.etcdGone, ['failed', 'InternalError (500)'], {}],
    ['an internal error of a proxy', 500, undefined, answers.html, ['failed', 'HTTP 500'], {}],
    ['a status that nobody knows', 418, undefined, '', ['failed', 'HTTP 418'], {}],
  ])('means, for %s', (_what, code, after, body, [outcome, reason], headers) => {
    expect(told(statusError(code, after, body))).toEqual({ outcome, reason, headers });
  });

  it.each(Object.entries(answers))('is kept for the log and not shown: %s', (_name, body) => {
    for (const code of [400, 401, 403, 404, 409, 422, 429, 500, 503]) {
      const error = statusError(code, undefined, body);
      const message = body.startsWith('{') ? (JSON.parse(body).message as string) : body.trim();
      // `Unauthorized` alone is message and reason at once.
      if (message !== 'Unauthorized') expect(error.reason).not.toContain(message);
      expect(error.reason).not.toMatch(/sandbox-a|system:|nginx|etcd|<html/);
      expect(error.reason.length).toBeLessThan(80);
      expect(error.status).toMatchObject({ code, message: body.startsWith('{') ? message : body });
      expect(error.cause).toEqual(error.status);
    }
  });

  it.each([429, 502, 503, 504])('says when to come again only where that is a number of seconds: %i', (code) => {
    for (const seconds of ['0', '7', '9999']) {
      expect(statusError(code, seconds, answers.tooMany).headers).toEqual(retryAfter(seconds));
    }
    const others = ['', ' ', '-1', '1.5', '1e3', ' 7', '7 ', '7\n', '7, 7', '0x1', '٧', '99999', 'soon'];
    for (const other of [...others, 'Wed, 21 Oct 2026 07:28:00 GMT', '1\r\nset-cookie: a=b', '<script>']) {
      expect(statusError(code, other, answers.tooMany).headers, other).toEqual(retryAfter('1'));
    }
  });

  it('is shown with its reason only where that is one word, as those of Kubernetes are', () => {
    expect(statusError(500, undefined, status(500, 'InternalError', '')).reason).toBe('InternalError (500)');
    const others = [
      '',
      ' ',
      'Internal Error',
      'InternalError\n',
      'a\r\nset-cookie: b',
      '<b>',
      '{"a":1}',
      'ü',
      'x'.repeat(999),
    ];
    for (const other of others) {
      expect(statusError(500, undefined, status(500, other, '')).reason, other).toBe('HTTP 500');
    }
    const reason = fc.oneof(fc.string({ unit: 'binary' }), fc.anything({ withNullPrototype: false }));
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 599 }), reason, (code, given) => {
        const error = statusError(code, undefined, JSON.stringify({ kind: 'Status', reason: given }));
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
    const error = statusError(500, undefined, JSON.stringify({ kind: 'Status', ...fields }));
    expect(error).toMatchObject({ outcome: 'failed', reason: 'HTTP 500' });
    expect(error.status).toEqual({ code: 500, reason: '', message: '', causes: ['', '', ''] });
  });

  it('is shortened for the log where it is not from Kubernetes', () => {
    expect(statusError(500, undefined, 'x'.repeat(100_000)).status?.message).toBe('x'.repeat(1000));
  });

  it('is read whatever it is', () => {
    const body = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record(
          {
            reason: fc.string(),
            message: fc.string(),
            details: fc.record({ kind: fc.string() }, { requiredKeys: [] }),
          },
          { requiredKeys: [] },
        )
        .map((fields) => JSON.stringify({ kind: 'Status', ...fields })),
    );
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 599 }), body, (code, text) => {
        expect(statusError(code, undefined, text)).toBeInstanceOf(KubernetesError);
      }),
      { numRuns: 500 },
    );
  });
});

describe('what admission says', () => {
  const pod = { name: 'sandbox-a', kind: 'pods' };
  const forbidden = (words: string) => status(403, 'Forbidden', `pods "sandbox-a" is forbidden: ${words}`, pod);
  const hook = 'validation.gatekeeper.sh';

  // Kubernetes 1.20's own words, seen there; those of newer versions, which say so, are their sources'.
  it.each<[string, string, string]>([
    ['LimitRange', 'maximum cpu usage per Container is 500m, but limit is 1', 'a LimitRange'],
    [
      'LimitRange, of several',
      '[cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000, minimum cpu usage per Pod is 3, but request is 100m]',
      'a LimitRange',
    ],
    ['ResourceQuota', 'failed quota: q: must specify limits.memory', 'a ResourceQuota'],
    [
      'PodSecurityPolicy',
      'PodSecurityPolicy: unable to admit pod: [spec.volumes[0]: Invalid value: "hostPath": hostPath volumes are not allowed to be used]',
      'PodSecurityPolicy',
    ],
    [
      'PodSecurityPolicy, of which there is none',
      'PodSecurityPolicy: no providers available to validate pod request',
      'PodSecurityPolicy',
    ],
    [
      'PodSecurity (1.22)',
      'violates PodSecurity "restricted:v1.30": host path volumes (volumes "skills", "user-data"), allowPrivilegeEscalation != false',
      "Pod Security 'restricted:v1.30'",
    ],
    [
      "OpenShift's SecurityContextConstraints",
      'unable to validate against any security context constraint: [provider "anyuid": Forbidden: not usable by user]',
      'SecurityContextConstraints',
    ],
    ['RuntimeClass', 'pod rejected: RuntimeClass "gvisor" not found', 'its RuntimeClass'],
    ['whatever else there is', 'no PriorityClass with name secret was found', 'a plug-in of the API server'],
  ])('is told apart from rights: %s', (_what, words, who) => {
    const error = statusError(403, undefined, forbidden(words));
    expect(told(error)).toEqual({ outcome: 'not-admitted', reason: `admission refuses it: ${who} (403)`, headers: {} });
    expect(findRetryDelay(error, 1)).toBeUndefined();
  });

  it.each([
    ['not yet ready to handle request', 'Kubernetes is overloaded or not ready (403)'],
    [
      'error looking up service account agents/default: serviceaccount "default" not found',
      'the service account of its namespace is not there yet',
    ],
    [
      'User "system:serviceaccount:a:b" cannot create resource "pods" in API group "" in the namespace "a": RBAC: role.rbac.authorization.k8s.io "provisioner" not found',
      'a role that our rights come from is not there, or not yet (403 Forbidden)',
    ],
    [
      'User "me" cannot get resource "pods" in API group "" in the namespace "a": RBAC: [clusterrole.rbac.authorization.k8s.io "x" not found, role.rbac.authorization.k8s.io "y" not found]',
      'a role that our rights come from is not there, or not yet (403 Forbidden)',
    ],
  ])('for a while only is passing: %s', (words, reason) => {
    const error = statusError(403, undefined, forbidden(words));
    expect(told(error)).toEqual({ outcome: 'unavailable', reason, headers: retryAfter('1') });
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
      const error = statusError(code, undefined, status(code, reason, `${prefix}${message}`, details));
      expect(told(error)).toEqual({
        outcome: 'not-admitted',
        reason: `admission refuses it: the webhook '${hook}' (${code})`,
        headers: {},
      });
      expect(holding(error)).toEqual([]);
      expect(isRefusalOfUs(error)).toBe(false);
      expect(findRetryDelay(error, 1)).toBeUndefined();
    }
  });

  it.each<[string, number, string]>([
    [
      'that is down',
      500,
      `Internal error occurred: failed calling webhook "${hook}": Post "https://secret.svc:443/v1?timeout=2s": dial tcp 10.0.0.1:443: connect: connection refused`,
    ],
    [
      'that hangs',
      500,
      `Internal error occurred: failed calling webhook "${hook}": Post "https://secret.svc:443/v1?timeout=2s": context deadline exceeded`,
    ],
    [
      'that answers with an error',
      500,
      `Internal error occurred: failed calling webhook "${hook}": an error on the server`,
    ],
    ['that says itself that it failed', 500, `admission webhook "${hook}" denied the request: secret`],
    ['that asks for patience', 429, `admission webhook "${hook}" denied the request: secret`],
  ])('of a webhook %s is passing, and names it', (_what, code, message) => {
    const error = statusError(code, undefined, status(code, code === 500 ? 'InternalError' : '', message));
    expect(told(error)).toEqual({
      outcome: 'unavailable',
      reason: `admission fails: the webhook '${hook}' (${code})`,
      headers: retryAfter('1'),
    });
    expect(findRetryDelay(error, 1)).toBeDefined();
  });

  it.each([
    [403, 'Forbidden'],
    [422, 'Invalid'],
    [401, 'Unauthorized'],
  ])('is what a ValidatingAdmissionPolicy says (1.26), with %i', (code, reason) => {
    const words = "ValidatingAdmissionPolicy 'no-host-paths' with binding 'secret' denied request: secret";
    const message = `pods "sandbox-a" is forbidden: ${words}`;
    const error = statusError(code, undefined, status(code, reason, message, { ...pod, causes: [{ message: words }] }));
    expect(told(error)).toEqual({
      outcome: 'not-admitted',
      reason: `admission refuses it: the ValidatingAdmissionPolicy 'no-host-paths' (${code})`,
      headers: {},
    });
    expect(holding(error)).toEqual([]);
    expect(explainRefusal(error, expired, new Date()).outcome).toBe('not-admitted');
  });

  it('names a webhook only where that is a name', () => {
    for (const name of ['', '<script>', 'a b', 'x'.repeat(200), 'https://secret.svc', 'ü.example']) {
      const denied = `admission webhook "${name}" denied the request without explanation`;
      expect(statusError(400, undefined, status(400, '', denied)).reason).toBe('admission refuses it: a webhook (400)');
      const failed = `Internal error occurred: failed calling webhook "${name}": secret`;
      expect(statusError(500, undefined, status(500, 'InternalError', failed)).reason).toBe(
        'admission fails: a webhook (500)',
      );
    }
  });

  it('is not said by who is no Kubernetes', () => {
    const page =
      'access to pods is forbidden: admission webhook "x.y.z" denied the request, not yet ready to handle request';
    expect(told(statusError(403, undefined, page))).toEqual({
      outcome: 'refused',
      reason: words.forbidden[1],
      headers: {},
    });
  });
});

describe('a refusal of rights while Kubernetes may be starting', () => {
  // An API server that has not read its bindings yet says just what it says where there are none. Seen on 1.20.
  it('may be passing', () => {
    const words = 'User "system:serviceaccount:a:b" cannot list resource "pods" in API group "" in the namespace "a"';
    for (const object of ['pods', 'pods "sandbox-a"']) {
      const refusal = statusError(403, undefined, status(403, 'Forbidden', `${object} is forbidden: ${words}`));
      expect(told(refusal)).toMatchObject({ outcome: 'refused' });
      expect(whileStarting(refusal, false)).toBe(refusal);
      expect(told(whileStarting(refusal, true))).toEqual({
        outcome: 'unavailable',
        reason: 'Kubernetes does not permit it, or is only starting (403 Forbidden)',
        headers: retryAfter('1'),
      });
    }
  });

  it('may be why there was no answer in time', () => {
    expect(told(whileStarting(deadlineError(AbortSignal.abort()), true))).toEqual({
      outcome: 'unavailable',
      reason: 'Kubernetes did not answer in time: it was away before',
      headers: retryAfter('1'),
    });
  });

  it.each<[string, KubernetesError]>([
    ["a proxy's", statusError(403, undefined, answers.html)],
    ['of credentials', statusError(401, undefined, answers.unauthorized)],
    ['of admission', statusError(403, undefined, answers.limited)],
    ['of a quota', statusError(403, undefined, answers.quota)],
  ])('stays what it is where it is another one: %s', (_what, error) => {
    expect(whileStarting(error, true)).toBe(error);
  });
});

describe('no answer', () => {
  const errorOf = (code: string) => Object.assign(new Error(`something with 10.0.0.1 ${code}`), { code });

  it.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ENOTFOUND',
    'EAI_AGAIN',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
  ])('means that Kubernetes cannot be reached: %s', (code) => {
    const cause = errorOf(code);
    const error = networkError(cause);
    expect(told(error)).toEqual({
      outcome: 'unavailable',
      reason: `Kubernetes is unreachable (${code})`,
      headers: retryAfter('1'),
    });
    expect(error.cause).toBe(cause);
  });

  it.each([
    ['CERT_HAS_EXPIRED', 'has expired'],
    ['CERT_NOT_YET_VALID', 'is not valid yet'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'is for another host name'],
    ['HOSTNAME_MISMATCH', 'is for another host name'],
    ['CERT_UNTRUSTED', "is not signed by the cluster's CA"],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', "is not signed by the cluster's CA"],
    ['SELF_SIGNED_CERT_IN_CHAIN', "is not signed by the cluster's CA"],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', "is not signed by the cluster's CA"],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', "is not signed by the cluster's CA"],
    ['CERT_SIGNATURE_FAILURE', "is not signed by the cluster's CA"],
    // Node's codes for a certificate of another use have no prefix.
    ['INVALID_CA', 'is not trusted'],
    ['INVALID_PURPOSE', 'is not trusted'],
  ])('means that its certificate is not trusted, and why: %s', (code, why) => {
    expect(told(networkError(errorOf(code)))).toEqual({
      outcome: 'refused',
      reason: `the certificate of the API server ${why} (${code})`,
      headers: {},
    });
  });

  it.each([
    [
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      'tlsv1 alert unknown ca:../ssl/record/rec_layer_s3.c:916:SSL alert number 48',
      '48',
    ],
    [
      'EPROTO',
      'write EPROTO 0A000415:SSL routines::ssl/tls alert certificate expired:rec.c:916:SSL alert number 45\n',
      '45',
    ],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'tlsv13 alert certificate required:SSL alert number 116', '116'],
  ])('means that our own certificate is refused: %s, %s', (code, message, alert) => {
    expect(told(networkError(Object.assign(new Error(message), { code })))).toEqual({
      outcome: 'refused',
      reason: `the API server refused our client certificate (TLS alert ${alert})`,
      headers: {},
    });
  });

  it.each([
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'wrong version number'],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'sslv3 alert handshake failure:SSL alert number 40'],
    ['ERR_TLS_INVALID_PROTOCOL_VERSION', 'x'],
  ])('is no word about a certificate where TLS failed for another reason: %s', (code, message) => {
    expect(told(networkError(Object.assign(new Error(message), { code })))).toEqual({
      outcome: 'refused',
      reason: `TLS could not be agreed on with the API server (${code})`,
      headers: {},
    });
  });

  it.each(['ERR_SSL_BAD_RECORD_TYPE', 'ERR_TLS_RENEGOTIATION_DISABLED', 'ERR_OSSL_EVP_BAD_DECRYPT'])(
    'is a broken connection where TLS had been agreed on: %s',
    (code) => {
      expect(told(networkError(errorOf(code), true))).toEqual({
        outcome: 'unavailable',
        reason: `Kubernetes is unreachable (${code})`,
        headers: retryAfter('1'),
      });
    },
  );

  it('is a word about our certificate where TLS had been agreed on for our part', () => {
    const alert = Object.assign(new Error('SSL alert number 116'), {
      code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    });
    expect(networkError(alert, true)).toMatchObject({ outcome: 'refused' });
  });

  it('is no word about our certificate where the alert is another one', () => {
    const error = Object.assign(new Error('alert internal error:SSL alert number 80'), { code: 'EPROTO' });
    expect(networkError(error).reason).toBe('Kubernetes is unreachable (EPROTO)');
  });

  it.each(['ERR_OSSL_PEM_NO_START_LINE', 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'])(
    'means that what the kubeconfig has for TLS is broken: %s',
    (code) => {
      expect(told(networkError(errorOf(code)))).toEqual({
        outcome: 'misconfigured',
        reason: `the CA, the client certificate or its key in the kubeconfig cannot be read (${code})`,
        headers: {},
      });
    },
  );

  it('is named after the first address that was tried, where there were several', () => {
    const error = networkError(new AggregateError([errorOf('ECONNREFUSED'), errorOf('ENETUNREACH')]));
    expect(error).toMatchObject({ outcome: 'unavailable', reason: 'Kubernetes is unreachable (ECONNREFUSED)' });
  });

  it('is named by its own code where it has one and holds others too', () => {
    const error = Object.assign(new AggregateError([errorOf('ENETUNREACH')]), { code: 'ETIMEDOUT' });
    expect(networkError(error).reason).toBe('Kubernetes is unreachable (ETIMEDOUT)');
  });

  it.each<[string, unknown]>([
    ['an error without a code', new Error('secret')],
    ['an error of which the code is a number', Object.assign(new Error('secret'), { code: 7 })],
    ['an empty collection of errors', new AggregateError([])],
    ['a text', 'secret'],
  ])('is a failure of ours for %s', (_what, thrown) => {
    expect(told(networkError(thrown))).toEqual({
      outcome: 'failed',
      reason: 'the call could not be made',
      headers: {},
    });
  });

  it('is not judged twice', () => {
    const error = statusError(404, undefined, answers.podMissing);
    expect(networkError(error)).toBe(error);
  });

  it('in time means just that', () => {
    const reason = new Error('over');
    const error = deadlineError(AbortSignal.abort(reason));
    expect(told(error)).toEqual({
      outcome: 'deadline-exceeded',
      reason: 'Kubernetes did not answer in time',
      headers: {},
    });
    expect(error.cause).toBe(reason);
  });
});

describe('the predicates', () => {
  it.each<[string, unknown, string[]]>([
    ['an object that is not there', statusError(404, undefined, answers.podMissing), ['isNotFound']],
    [
      'a namespace that is not there',
      statusError(404, undefined, answers.namespaceMissing),
      ['isNotFound', 'isNamespaceMissing'],
    ],
    ["a proxy's 404", statusError(404, undefined, answers.html), []],
    ['a name that is taken', statusError(409, undefined, answers.alreadyExists), ['isConflict', 'isAlreadyExists']],
    ['a Pod that terminates', statusError(409, undefined, answers.beingDeleted), ['isConflict', 'isAlreadyExists']],
    ['a precondition', statusError(409, undefined, answers.precondition), ['isConflict']],
    ['a quota that others change', statusError(409, undefined, answers.quotaChanged), []],
    ['a list that is forgotten', statusError(410, undefined, status(410, 'Expired', 'too old')), ['isExpired']],
    ['a token of nobody', statusError(400, undefined, answers.badRequest), ['isInvalidToken']],
    ['a namespace that terminates', statusError(403, undefined, answers.terminating), ['isNamespaceTerminating']],
    ['a patch of which a test failed', statusError(422, undefined, answers.testFailed), ['isTestFailed']],
    ['a right that we have not', statusError(403, undefined, answers.forbidden), []],
    ['no connection', networkError(Object.assign(new Error(), { code: 'ECONNREFUSED' })), []],
    ['another error', new Error('not found'), []],
    ['nothing', undefined, []],
  ])('tell of %s', (_what, error, names) => {
    expect(holding(error)).toEqual(names);
  });
});
