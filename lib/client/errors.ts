import type { Issue } from './api.ts';

/** What an error answer says. */
export type FailedAnswer = Readonly<{
  status: number;
  /** One sentence, or all that is wrong with the request. */
  detail: string | readonly Issue[];
  /** The id that its lines in the provisioner's log have; undefined where it is not the provisioner that answered. */
  requestId?: string | undefined;
  /** After how many seconds to ask again, where it says so. */
  retryAfterSeconds?: number | undefined;
}>;

/** A call that the provisioner refused, or failed at. What has no class of its own is one of these: `status` tells. */
export class SandboxError extends Error {
  readonly status: number;
  readonly detail: string | readonly Issue[];
  readonly requestId: string | undefined;

  constructor({ status, detail, requestId }: FailedAnswer) {
    const text =
      typeof detail === 'string' ? detail : detail.map(({ loc, msg }) => `${loc.join('.')}: ${msg}`).join('; ');
    super(text);
    this.name = new.target.name;
    this.status = status;
    this.detail = detail;
    this.requestId = requestId;
  }
}

/** 400, 413, 415, 422: the request is wrong. `issues` has all that does not validate, where that is why. */
export class InvalidRequest extends SandboxError {
  get issues(): readonly Issue[] {
    return typeof this.detail === 'string' ? [] : this.detail;
  }
}

/** 401: the key or the token is missing or wrong. */
export class Unauthenticated extends SandboxError {}

/** 404: there is no such sandbox, or it has no Pod until the next create. */
export class SandboxNotFound extends SandboxError {}

/** 409: the sandbox belongs to another thread or user, or has room for too few shells. */
export class Conflict extends SandboxError {}

/** 410: the list that a `continue` belongs to is forgotten. Begin again without it. */
export class ListExpired extends SandboxError {}

/** 429: a quota of the namespace is full, or too many calls are made. */
export class QuotaExceeded extends SandboxError {}

/** 503, 504: what fails in passing. The same call may be made again, after so many seconds. */
export class Unavailable extends SandboxError {
  readonly retryAfterSeconds: number;

  constructor(answer: FailedAnswer) {
    super(answer);
    this.retryAfterSeconds = answer.retryAfterSeconds ?? 1;
  }
}

const classes: Readonly<Record<number, new (answer: FailedAnswer) => SandboxError>> = {
  400: InvalidRequest,
  401: Unauthenticated,
  404: SandboxNotFound,
  409: Conflict,
  410: ListExpired,
  413: InvalidRequest,
  415: InvalidRequest,
  422: InvalidRequest,
  429: QuotaExceeded,
  503: Unavailable,
  504: Unavailable,
};

/** The error that an answer with such a status is. */
export const toError = (answer: FailedAnswer): SandboxError => new (classes[answer.status] ?? SandboxError)(answer);

/** The sandbox did not become ready in time, or can no longer become so. */
export class SandboxNotReady extends Error {
  /** The status that it had at last. */
  readonly status: string;

  constructor(sandboxId: string, status: string, options?: ErrorOptions) {
    super(`Sandbox '${sandboxId}' is not ready: ${status}`, options);
    this.name = new.target.name;
    this.status = status;
  }
}
