import { KubernetesError, type KubernetesStatus } from '../errors.ts';

const defaultRetryAfterSeconds = 1;

/** What Kubernetes' reasons look like, one word each (`InternalError`): nothing else is shown to a caller. */
const reasonPattern = /^[A-Za-z]{1,40}$/;

/** What an answer of the API server with a status from 400 up means. `body` is a `Status` if Kubernetes itself answered. */
export function statusError(code: number, retryAfter: string | undefined, body: string): KubernetesError {
  const retryAfterSeconds = readSeconds(retryAfter);
  const status = { ...readStatus(code, body), ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
  const extras = { status, cause: status };
  const retry = { ...extras, headers: { 'retry-after': String(retryAfterSeconds ?? defaultRetryAfterSeconds) } };
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
    case 403:
      return new KubernetesError('refused', 'Kubernetes does not permit it (403 Forbidden)', extras);
    case 404:
      // A proxy's 404, or that of an unknown path, says nothing about any object.
      if (status.reason === 'NotFound' && status.kind !== undefined)
        return new KubernetesError('not-found', 'Not Found', extras);
      return foreignAnswerError(code, status);
    case 409:
      return new KubernetesError('conflict', 'Conflict', extras);
    case 429:
    case 502:
    case 503:
    case 504:
      return new KubernetesError('unavailable', `Kubernetes is overloaded or not ready (${code})`, retry);
    default:
      return new KubernetesError(
        'failed',
        reasonPattern.test(status.reason) ? `${status.reason} (${code})` : `HTTP ${code}`,
        extras,
      );
  }
}

/** What answered was something else: a proxy, a login page, another path of the server. */
export function foreignAnswerError(code: number, status?: KubernetesStatus): KubernetesError {
  const extras = status && { status, cause: status };
  return new KubernetesError('failed', `what answered was not the Kubernetes API (${code})`, extras);
}

/** What the kubeconfig's user is to show could not be read or made: a file or a plug-in is missing, a plug-in failed. */
export function credentialsError(error: unknown): KubernetesError {
  const code = findCode(error);
  const why = code === '' ? '' : ` (${code})`;
  return new KubernetesError('misconfigured', `the credentials of the kubeconfig cannot be had${why}`, {
    cause: error,
  });
}

/** OpenSSL's and Node's codes for a certificate that was not accepted, and for a handshake that failed. */
const certificateCodes =
  /^(CERT_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_)/;

/** What it means that there was no answer: the connection could not be made or trusted, or was cut. */
export function networkError(error: unknown): KubernetesError {
  if (error instanceof KubernetesError) return error;
  const code = findCode(error);
  if (certificateCodes.test(code)) {
    return new KubernetesError('refused', `the certificate of the API server is not trusted (${code})`, {
      cause: error,
    });
  }
  // A token with a line break, for one.
  if (code.startsWith('ERR_INVALID_')) return credentialsError(error);
  if (code === '') return new KubernetesError('failed', 'the call could not be made', { cause: error });
  return new KubernetesError('unavailable', `Kubernetes is unreachable (${code})`, {
    cause: error,
    headers: { 'retry-after': String(defaultRetryAfterSeconds) },
  });
}

/** What it means that the operation's time was over before the answer came. */
export function deadlineError(signal: AbortSignal): KubernetesError {
  return new KubernetesError('deadline-exceeded', 'Kubernetes did not answer in time', { cause: signal.reason });
}

/** Whether Kubernetes said that the object is not there. */
export const isNotFound = (error: unknown): boolean => isOutcome(error, 'not-found');

/** Whether a precondition did not hold: another UID, another resource version. */
export const isConflict = (error: unknown): boolean => isOutcome(error, 'conflict');

/** Whether an object of that name is already there, or still there: a Pod keeps its name while it terminates. */
export const isAlreadyExists = (error: unknown): boolean =>
  error instanceof KubernetesError && error.status?.reason === 'AlreadyExists';

/** Whether an object could not be made because its namespace is not there. */
export const isNamespaceMissing = (error: unknown): boolean =>
  isNotFound(error) && error instanceof KubernetesError && error.status?.kind === 'namespaces';

/** Whether an object could not be made because its namespace is being deleted. */
export const isNamespaceTerminating = (error: unknown): boolean =>
  error instanceof KubernetesError && (error.status?.causes.includes('NamespaceTerminating') ?? false);

/** Whether a page of a list was asked for with a token that Kubernetes did not make. */
export const isInvalidToken = (error: unknown): boolean =>
  error instanceof KubernetesError && error.status?.code === 400;

/** Whether the rest of a list is not kept any more: it has to be read from its start. */
export const isExpired = (error: unknown): boolean => error instanceof KubernetesError && error.status?.code === 410;

/**
 * Whether the call may have taken effect all the same: there was no answer, or one that something went wrong. Not if there
 * was nobody to take it.
 */
export function isUncertain(error: unknown): boolean {
  if (!(error instanceof KubernetesError)) return false;
  if (error.status !== undefined) return error.status.code >= 500;
  return !/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/.test(findCode(error.cause));
}

/** Whether a JSON patch was refused because one of its tests failed (RFC 6902; Kubernetes answers 422). */
export const isTestFailed = (error: unknown): boolean => error instanceof KubernetesError && error.status?.code === 422;

function isOutcome(error: unknown, outcome: KubernetesError['outcome']): boolean {
  return error instanceof KubernetesError && error.outcome === outcome;
}

/** Seconds to wait, as the API server says them; whoever else answers may say anything. */
const readSeconds = (retryAfter: string | undefined): number | undefined =>
  retryAfter !== undefined && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) : undefined;

function readStatus(code: number, body: string): KubernetesStatus {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  const status = (parsed ?? {}) as { kind?: unknown; reason?: unknown; message?: unknown; details?: Details };
  if (status.kind !== 'Status') return { code, reason: '', message: body.slice(0, 1000), causes: [] };
  const { kind, causes } = status.details ?? {};
  return {
    code,
    reason: readText(status.reason),
    message: readText(status.message),
    ...(typeof kind === 'string' && { kind }),
    causes: Array.isArray(causes) ? causes.map((cause) => readText(cause?.reason)) : [],
  };
}

const readText = (value: unknown): string => (typeof value === 'string' ? value : '');

type Details = { kind?: unknown; causes?: ({ reason?: unknown } | null)[] } | null;

/** The system's or OpenSSL's code of an error; that of the first try where several addresses were tried. */
function findCode(error: unknown): string {
  const { code, errors } = (error ?? {}) as { code?: unknown; errors?: unknown[] };
  if (typeof code === 'string') return code;
  return Array.isArray(errors) && errors.length > 0 ? findCode(errors[0]) : '';
}
