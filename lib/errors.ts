/** What kinds of errors there are, in our own words. lib/http makes an HTTP status of each. */
export type ErrorKind =
  | 'invalid-request'
  | 'bad-request'
  | 'unauthenticated'
  | 'web-page'
  | 'unsupported-media-type'
  | 'body-too-large'
  | 'unknown-path'
  | 'method-not-allowed'
  | 'moved'
  | 'not-found'
  | 'conflict'
  | 'expired'
  | 'quota-exceeded'
  | 'unavailable'
  | 'deadline-exceeded'
  | 'refused'
  | 'not-admitted'
  | 'failed'
  | 'misconfigured';

/** One thing that is wrong with a request, in the shape that FastAPI gave the original's callers. */
export type RequestIssue = {
  type: string;
  loc: (string | number)[];
  msg: string;
  input: unknown;
  ctx?: Record<string, unknown>;
};

type Extras = { cause?: unknown; headers?: Record<string, string> };

/**
 * An error that a caller is told of. `detail` is all that the caller sees: our words, and of Kubernetes' at most the one
 * that names a reason; `cause` is for the log alone; `headers` go with the answer.
 */
export class ProvisionerError extends Error {
  readonly kind: ErrorKind;
  readonly detail: string | RequestIssue[];
  readonly headers: Record<string, string>;

  constructor(kind: ErrorKind, detail: string | RequestIssue[], { cause, headers = {} }: Extras = {}) {
    // Of a request, only what is wrong and where: what it held is for its sender alone, and the message goes into the log.
    super(
      typeof detail === 'string' ? detail : detail.map(({ type, loc }) => `${nameWhere(loc)}: ${type}`).join('; '),
      {
        cause,
      },
    );
    this.name = 'ProvisionerError';
    this.kind = kind;
    this.detail = detail;
    this.headers = headers;
  }
}

/** Where something is wrong, without the keys of metadata: these are the caller's own words. */
const nameWhere = (loc: RequestIssue['loc']): string =>
  loc.join('.').replace(/^((?:body|query)\.metadata)\b.*$/s, '$1');

/** What the API server said with a refusal: the parts of its `Status` that decisions are made by. */
export type KubernetesStatus = {
  code: number;
  /** Kubernetes' own word for it, `AlreadyExists` for one; empty when the answer was not a `Status`. */
  reason: string;
  message: string;
  /** The kind of the object that the refusal is about, as Kubernetes spells it (`namespaces`). */
  kind?: string;
  /** How long to wait before the next try, if it said so. */
  retryAfterSeconds?: number;
  /** The reasons of the causes, `NamespaceTerminating` for one. */
  causes: string[];
  /** The call had been made before, and no answer come: it may be what refuses this one. */
  isRepeated?: true;
};

/** A call to Kubernetes that did not succeed. `reason` is short and fit for a caller; `status` is there if it answered. */
export class KubernetesError extends ProvisionerError {
  readonly reason: string;
  readonly status: KubernetesStatus | undefined;

  constructor(kind: ErrorKind, reason: string, extras: Extras & { status?: KubernetesStatus } = {}) {
    super(kind, reason, extras);
    this.name = 'KubernetesError';
    this.reason = reason;
    this.status = extras.status;
  }
}

/**
 * Says what was being done when `error` happened: `Pod creation failed: Kubernetes …`. Its kind stays what it was, but for
 * a 404 and a 409 of Kubernetes: where nobody expected them, they say nothing about the sandbox that our caller asked for.
 */
export function describeFailure(what: string, error: unknown, reason?: string): unknown {
  if (!(error instanceof KubernetesError)) return error;
  const kind = error.kind === 'not-found' || error.kind === 'conflict' ? 'failed' : error.kind;
  return new ProvisionerError(kind, `${what}: ${reason ?? error.reason}`, { cause: error, headers: error.headers });
}
