import { X509Certificate } from 'node:crypto';
import { KubernetesError, type KubernetesStatus } from '../errors.ts';

const defaultRetryAfterSeconds = 1;

/** What Kubernetes' reasons look like, one word each (`InternalError`): nothing else is shown to a caller. */
const reasonPattern = /^[A-Za-z]{1,40}$/;

/**
 * What an answer of the API server with a status from 400 up means.
 *
 * @param body its text, or what it says: a `Status`, if Kubernetes itself answered
 * @param isRepeated whether the call had been made before without an answer
 */
export function statusError(
  code: number,
  retryAfter: string | undefined,
  body: unknown,
  isRepeated = false,
): KubernetesError {
  const retryAfterSeconds = readSeconds(retryAfter);
  const { isStatus, ...said } = readStatus(code, body);
  const status = {
    ...said,
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(isRepeated && { isRepeated }),
  };
  const extras = { status, cause: status };
  const retry = { ...extras, headers: { 'retry-after': String(retryAfterSeconds ?? defaultRetryAfterSeconds) } };
  // Before anything else: a webhook and a policy choose the code, the reason and the causes that they refuse with.
  const policy = isStatus ? judgePolicy(status) : undefined;
  if (policy !== undefined) {
    return new KubernetesError(policy.kind, policy.reason, policy.kind === 'unavailable' ? retry : extras);
  }
  if (status.causes.includes('NamespaceTerminating')) {
    return new KubernetesError('unavailable', 'its namespace is being deleted', retry);
  }
  if (code === 403 && status.message.includes('exceeded quota')) {
    return new KubernetesError('quota-exceeded', 'exceeded quota', extras);
  }
  // A quota that was made a moment ago: the API server has not counted what there is.
  if (code === 403 && status.message.includes('status unknown for quota')) {
    return new KubernetesError('unavailable', 'a quota of its namespace is not counted yet', retry);
  }
  // The Service registry's words when all NodePorts, or all addresses of Services, are taken.
  if (/failed to allocate .*range is full/s.test(status.message)) {
    return new KubernetesError('quota-exceeded', 'the cluster has no NodePort or Service address left', extras);
  }
  switch (code) {
    case 401:
      return new KubernetesError('refused', 'Kubernetes refused our credentials (401 Unauthorized)', extras);
    case 403: {
      const wait = isStatus ? passingRefusals.find(([words]) => words.test(status.message))?.[1] : undefined;
      if (wait !== undefined) return new KubernetesError('unavailable', wait, retry);
      // The authorizer tells who may not do what; whatever else forbids it is a plug-in of the API server.
      if (!isStatus || !/ is forbidden: (?!User )/.test(status.message)) {
        return new KubernetesError('refused', 'Kubernetes does not permit it (403 Forbidden)', extras);
      }
      const plugIn = plugIns.find(([words]) => words.test(status.message))?.[1];
      const who = plugIn ?? readPodSecurityLevel(status.message) ?? 'a plug-in of the API server';
      return new KubernetesError('not-admitted', refusedBy(who, code), extras);
    }
    case 404:
      // A proxy's 404, or that of an unknown path, says nothing about any object.
      if (status.reason === 'NotFound' && status.kind !== undefined)
        return new KubernetesError('not-found', 'Not Found', extras);
      return foreignAnswerError(code, status);
    case 409:
      // Kubernetes itself was hindered, by a quota that other requests change at the same moment, for one.
      if (status.kind !== undefined && !ourKinds.test(status.kind)) {
        return new KubernetesError('unavailable', 'Kubernetes was hindered by another change (409 Conflict)', retry);
      }
      return new KubernetesError('conflict', 'Conflict', extras);
    case 429:
    case 502:
    case 503:
    case 504:
      return new KubernetesError('unavailable', `Kubernetes is overloaded or not ready (${code})`, retry);
    default:
      // Its own word for what passes: a new namespace's service account has no token yet.
      if (status.reason === 'ServerTimeout') {
        return new KubernetesError('unavailable', `Kubernetes is overloaded or not ready (${code})`, retry);
      }
      return new KubernetesError(
        'failed',
        reasonPattern.test(status.reason) ? `${status.reason} (${code})` : `HTTP ${code}`,
        extras,
      );
  }
}

/** How Kubernetes spells the kinds of what our calls are about: as a resource, or, in a precondition, as a kind. */
const ourKinds = /^(pods?|services?|namespaces?|networkpolic(y|ies))$/i;

/** What forbids something for a while only, by its words, and ours for it. */
const passingRefusals: [RegExp, string][] = [
  [/not yet ready to handle request/, 'Kubernetes is overloaded or not ready (403)'],
  // While it starts, bindings are known before the roles that they name. It may be missing for good, too.
  [/: RBAC: .*\bnot found/s, 'a role that our rights come from is not there, or not yet (403 Forbidden)'],
  // Each namespace gets one, a moment after it was made.
  [/error looking up service account /i, 'the service account of its namespace is not there yet'],
];

/** The plug-ins of the API server that refuse what a sandbox may be refused for, by their words, and ours for them. */
const plugIns: [RegExp, string][] = [
  [/(minimum|maximum) \S+ usage per |max limit to request ratio per /i, 'a LimitRange'],
  [/failed quota: |insufficient quota to match/, 'a ResourceQuota'],
  [/PodSecurityPolicy|pod security policy/, 'PodSecurityPolicy'],
  [/security context constraint/, 'SecurityContextConstraints'],
  [/RuntimeClass/, 'its RuntimeClass'],
];

/** Kubernetes 1.22 and later: `violates PodSecurity "restricted:v1.30": …`. */
function readPodSecurityLevel(message: string): string | undefined {
  const level = /violates PodSecurity "([a-z]{1,20}:[a-z0-9.]{1,20})"/.exec(message)?.[1];
  return level === undefined ? undefined : `Pod Security '${level}'`;
}

const refusedBy = (who: string, code: number): string => `admission refuses it: ${who} (${code})`;

/** What the API server says of a webhook, in front of the webhook's own words, and of a ValidatingAdmissionPolicy. */
const webhookWords = /^(?:[^:]*: )?(?:admission webhook "([^"]*)" denied the request|failed calling webhook "([^"]*)")/;
const policyWords = /^[^:]* is forbidden: ValidatingAdmissionPolicy '([^']*)' .{0,300}?denied request/s;

/**
 * What a refusal means that comes from a webhook or a policy of the operator's; undefined for any other. They are named, as the
 * operator has named them. A webhook that cannot be asked, or says that it is itself not well, may be well again soon.
 */
function judgePolicy({ code, message }: KubernetesStatus): Pick<KubernetesError, 'kind' | 'reason'> | undefined {
  const [isWebhook, denying, failing] = webhookWords.exec(message) ?? [];
  if (isWebhook !== undefined) {
    const webhook = nameOf('webhook', denying ?? failing);
    if (failing !== undefined || code === 429 || code >= 500) {
      return { kind: 'unavailable', reason: `admission fails: ${webhook} (${code})` };
    }
    return { kind: 'not-admitted', reason: refusedBy(webhook, code) };
  }
  const [isPolicy, policy] = policyWords.exec(message) ?? [];
  if (isPolicy === undefined) return undefined;
  return { kind: 'not-admitted', reason: refusedBy(nameOf('ValidatingAdmissionPolicy', policy), code) };
}

/** Only what is a name is shown as one. */
const nameOf = (kind: string, name = ''): string =>
  /^[a-z0-9][a-z0-9.-]{0,99}$/.test(name) ? `the ${kind} '${name}'` : `a ${kind}`;

/** What answered was something else: a proxy, a login page, another path of the server. `cause` is for the log. */
export function foreignAnswerError(code: number, status?: KubernetesStatus, cause: unknown = status): KubernetesError {
  const extras = { ...(status && { status }), ...(cause !== undefined && { cause }) };
  return new KubernetesError('failed', `what answered was not the Kubernetes API (${code})`, extras);
}

/** What the kubeconfig's user is to show could not be read or made: a file or a plug-in is missing, a plug-in failed. */
export function credentialsError(error: unknown): KubernetesError {
  if (error instanceof KubernetesError) return error;
  const { path } = (error ?? {}) as NodeJS.ErrnoException;
  const code = findCode(error);
  const why = code === '' ? '' : ` (${code}${path === undefined ? '' : `: ${path}`})`;
  return new KubernetesError('misconfigured', `the credentials of the kubeconfig cannot be had${why}`, {
    cause: error,
  });
}

/** OpenSSL's and Node's codes for a certificate that was not accepted. */
const certificateCodes =
  /^(CERT_|ERR_TLS_CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_)/;

/** What they say of the API server's certificate, where that is more than that it is not trusted. */
const certificateFaults: [RegExp, string][] = [
  [/^CERT_HAS_EXPIRED$/, 'has expired'],
  [/^CERT_NOT_YET_VALID$/, 'is not valid yet'],
  [/^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/, 'is for another host name'],
  [
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE|CERT_UNTRUSTED)$/,
    "is not signed by the cluster's CA",
  ],
];

/**
 * The alerts of TLS by which the other side says what is wrong with our certificate (RFC 8446, 6.2), as OpenSSL has them in its
 * messages. The code of such an error can be a mere EPROTO.
 */
const clientCertificateAlert = /SSL alert number (4[2-689]|116)\b/;

/** The number of the alert that says that our certificate was not accepted. */
function findAlert(error: unknown): string | undefined {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === 'string' ? clientCertificateAlert.exec(message)?.[1] : undefined;
}

/**
 * What it means that there was no answer: the connection could not be made or trusted, or was cut. With `isSecured`, TLS had been
 * agreed on: what is wrong with it then is wrong with the connection.
 */
export function networkError(error: unknown, isSecured = false): KubernetesError {
  if (error instanceof KubernetesError) return error;
  const code = findCode(error);
  const extras = { cause: error };
  // With TLS 1.3, the word about our certificate comes after we are done.
  const alert = findAlert(error);
  if (alert !== undefined) {
    return new KubernetesError('refused', `the API server refused our client certificate (TLS alert ${alert})`, extras);
  }
  if (isSecured && isTlsCode(code)) return unreachable(error, code);
  if (certificateCodes.test(code)) {
    const fault = certificateFaults.find(([codes]) => codes.test(code))?.[1] ?? 'is not trusted';
    return new KubernetesError('refused', `the certificate of the API server ${fault} (${code})`, extras);
  }
  // The handshake failed for another reason: what is at the address speaks another version of TLS, or none.
  if (/^ERR_(SSL|TLS)_/.test(code)) {
    return new KubernetesError('refused', `TLS could not be agreed on with the API server (${code})`, extras);
  }
  // What connections are made with was good to be read, and not to be used.
  if (code.startsWith('ERR_OSSL_')) {
    const what = 'the CA, the client certificate or its key in the kubeconfig cannot be read';
    return new KubernetesError('misconfigured', `${what} (${code})`, extras);
  }
  // A token with a line break, for one.
  if (code.startsWith('ERR_INVALID_')) return credentialsError(error);
  if (code === '') return new KubernetesError('failed', 'the call could not be made', extras);
  return unreachable(error, code);
}

const unreachable = (cause: unknown, code: string): KubernetesError =>
  new KubernetesError('unavailable', `Kubernetes is unreachable (${code})`, {
    cause,
    headers: { 'retry-after': String(defaultRetryAfterSeconds) },
  });

/** Node's and OpenSSL's codes for what is wrong with TLS. */
const isTlsCode = (code: string): boolean => /^ERR_(SSL|TLS|OSSL)_/.test(code);

/**
 * Whether a connection that was kept turned out to be dead, by the error of the call that took it: closed by the other side, or
 * garbled.
 */
export function isDeadConnection(error: unknown): boolean {
  const code = findCode(error);
  return code === 'ECONNRESET' || code === 'EPIPE' || isTlsCode(code);
}

/**
 * What it means that there is no way through the proxy, which `proxy` names.
 *
 * @param error what the agents of the client throw: hpagent and socks, which say most of it in words
 */
export function proxyError(error: unknown, proxy: string): KubernetesError {
  const { message = '' } = (error ?? {}) as Partial<Error>;
  const extras = { cause: error };
  const [, status, rejection] = /^Bad response: (\d+)$|rejected connection - (\w+)/.exec(message) ?? [];
  const answer = status ?? rejection;
  if (answer === '407' || /authentication/i.test(message)) {
    const reason = `${proxy} wants a log-in, or another one${status === undefined ? '' : ` (${status})`}`;
    return new KubernetesError('misconfigured', reason, extras);
  }
  if (answer !== undefined && /^4|^NotAllowed$/.test(answer)) {
    return new KubernetesError('refused', `${proxy} does not let us through to the API server (${answer})`, extras);
  }
  const code = findCode(error) || (/\bE[A-Z]{3,}\b/.exec(message)?.[0] ?? '');
  if (certificateCodes.test(code)) {
    return new KubernetesError('refused', `the certificate of ${proxy} is not trusted (${code})`, extras);
  }
  const why = answer === undefined ? 'is unreachable' : 'does not reach the API server';
  return new KubernetesError('unavailable', `${proxy} ${why}${answer || code ? ` (${answer ?? code})` : ''}`, {
    ...extras,
    headers: { 'retry-after': String(defaultRetryAfterSeconds) },
  });
}

/**
 * Whether the call was refused for who we are or for whom we take the API server, or could not be made with what we have: with
 * other credentials, or another CA, it may succeed. A certificate may have been read before its key was replaced as well. Not
 * what we may not do: other credentials of the same user change nothing.
 */
export const isRefusalOfUs = (error: KubernetesError): boolean =>
  error.kind === 'misconfigured' ||
  (error.kind === 'refused' && (error.status === undefined || error.status.code === 401));

/**
 * Says more of a refusal where our own client certificate tells why: the API server only says 401, or hangs up, and of an alert
 * before that nothing may be left. A connection that was cut is a refusal, if the certificate explains it.
 *
 * @param certificate the client certificate that was shown, as PEM
 */
export function explainRefusal(error: KubernetesError, certificate: string | undefined, now: Date): KubernetesError {
  const code = findCode(error.cause);
  const isHungUp = findAlert(error.cause) !== undefined || code === 'ECONNRESET' || code === 'EPIPE';
  if (certificate === undefined || !(error.status === undefined ? isHungUp : isRefusalOfUs(error))) return error;
  const fault = findClientCertificateFault(certificate, now);
  if (fault === undefined) return error;
  const { status, cause } = error;
  return new KubernetesError('refused', `${error.reason}: the client certificate ${fault}`, {
    cause,
    ...(status && { status }),
  });
}

/** A certificate knows whole seconds. */
const describeTime = (time: Date): string => time.toISOString().replace('.000Z', 'Z');

function findClientCertificateFault(certificate: string, now: Date): string | undefined {
  try {
    const { validFromDate, validToDate } = new X509Certificate(certificate);
    if (validToDate < now) return `expired at ${describeTime(validToDate)}`;
    return validFromDate > now ? `is not valid before ${describeTime(validFromDate)}` : undefined;
  } catch {
    return undefined;
  }
}

/** What it means that the operation's time was over before the answer came; or before the call was made, with another reason. */
export function deadlineError(signal: AbortSignal, reason = 'Kubernetes did not answer in time'): KubernetesError {
  return new KubernetesError('deadline-exceeded', reason, { cause: signal.reason });
}

/**
 * What a refusal of rights means, and an answer that does not come, where the API server was away a moment ago: it is only starting.
 * As long as it has not read the rights, it says what it says where there are none.
 */
export function whileStarting(error: KubernetesError, wasAway: boolean): KubernetesError {
  if (!wasAway) return error;
  const { kind, reason, status, cause } = error;
  const isRight = kind === 'refused' && / is forbidden: User "[^"]*" cannot \S+ resource "/.test(status?.message ?? '');
  if (!isRight && kind !== 'deadline-exceeded') return error;
  const what = isRight
    ? 'Kubernetes does not permit it, or is only starting (403 Forbidden)'
    : `${reason}: it was away before`;
  return new KubernetesError('unavailable', what, {
    ...(status && { status }),
    cause,
    headers: { 'retry-after': String(defaultRetryAfterSeconds) },
  });
}

/** Whether time was over. */
export const isDeadlineExceeded = (error: unknown): boolean => isOfKind(error, 'deadline-exceeded');

/** Whether Kubernetes said that the object is not there. */
export const isNotFound = (error: unknown): boolean => isOfKind(error, 'not-found');

/** Whether a precondition did not hold: another UID, another resource version. */
export const isConflict = (error: unknown): boolean => isOfKind(error, 'conflict');

/** Whether an object of that name is already there, or still there: a Pod keeps its name while it terminates. */
export const isAlreadyExists = (error: unknown): boolean =>
  isConflict(error) && error instanceof KubernetesError && error.status?.reason === 'AlreadyExists';

/** Whether an object could not be made because its namespace is not there. */
export const isNamespaceMissing = (error: unknown): boolean =>
  isNotFound(error) && error instanceof KubernetesError && error.status?.kind === 'namespaces';

/** Whether an object could not be made because its namespace is being deleted. */
export const isNamespaceTerminating = (error: unknown): boolean =>
  isOfKind(error, 'unavailable') &&
  error instanceof KubernetesError &&
  (error.status?.causes.includes('NamespaceTerminating') ?? false);

/** Whether a page of a list was asked for with a token that Kubernetes did not make. */
export const isInvalidToken = (error: unknown): boolean => isFailure(error, 400);

/** Whether the rest of a list is not kept any more: it has to be read from its start. */
export const isExpired = (error: unknown): boolean => isFailure(error, 410);

/**
 * Whether the call may have taken effect all the same: there was no answer, or one that something went wrong, or it had been made
 * before. Not if there was nobody to take it.
 */
export function isUncertain(error: unknown): boolean {
  if (!(error instanceof KubernetesError)) return false;
  if (error.status !== undefined) return error.status.code >= 500 || error.status.isRepeated === true;
  return !/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/.test(findCode(error.cause));
}

/** Whether a JSON patch was refused because one of its tests failed (RFC 6902; Kubernetes answers 422). */
export const isTestFailed = (error: unknown): boolean => isFailure(error, 422);

/** Whether it is for Kubernetes itself that the call failed with this code. */
const isFailure = (error: unknown, code: number): boolean =>
  error instanceof KubernetesError && error.kind === 'failed' && error.status?.code === code;

function isOfKind(error: unknown, kind: KubernetesError['kind']): boolean {
  return error instanceof KubernetesError && error.kind === kind;
}

/** Seconds to wait, as the API server says them; whoever else answers may say anything. */
const readSeconds = (retryAfter: string | undefined): number | undefined =>
  retryAfter !== undefined && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) : undefined;

function readStatus(code: number, body: unknown): KubernetesStatus & { isStatus: boolean } {
  const status = (typeof body === 'string' ? parse(body) : body) as RawStatus | null | undefined;
  if (status?.kind !== 'Status') {
    return { isStatus: false, code, reason: '', message: readText(body).slice(0, 1000), causes: [] };
  }
  const { kind, causes } = status.details ?? {};
  return {
    isStatus: true,
    code,
    reason: readText(status.reason),
    message: readText(status.message),
    ...(typeof kind === 'string' && { kind }),
    causes: Array.isArray(causes) ? causes.map((cause) => readText(cause?.reason)) : [],
  };
}

const readText = (value: unknown): string => (typeof value === 'string' ? value : '');

type RawStatus = { kind?: unknown; reason?: unknown; message?: unknown; details?: Details };
type Details = { kind?: unknown; causes?: ({ reason?: unknown } | null)[] } | null;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The system's or OpenSSL's code of an error; that of the first try where several addresses were tried. */
export function findCode(error: unknown): string {
  const { code, errors } = (error ?? {}) as { code?: unknown; errors?: unknown[] };
  if (typeof code === 'string') return code;
  return Array.isArray(errors) && errors.length > 0 ? findCode(errors[0]) : '';
}
