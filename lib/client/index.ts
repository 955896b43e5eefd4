import createClient, { type Client } from 'openapi-fetch';
import type {
  Capabilities,
  CreatedSandbox,
  CreateRequest,
  Issue,
  Presence,
  paths,
  Removal,
  RenewRequest,
  Sandbox,
  SandboxEvents,
  SandboxList,
  SandboxUrl,
  UpdateRequest,
  UrlRequest,
} from './api.ts';
import { SandboxNotReady, toError, Unavailable } from './errors.ts';

export {
  Conflict,
  InvalidRequest,
  ListExpired,
  QuotaExceeded,
  SandboxError,
  SandboxNotFound,
  SandboxNotReady,
  Unauthenticated,
  Unavailable,
} from './errors.ts';
export type {
  Capabilities,
  CreatedSandbox,
  CreateRequest,
  Issue,
  Presence,
  Removal,
  RenewRequest,
  Sandbox,
  SandboxEvents,
  SandboxList,
  SandboxUrl,
  UpdateRequest,
  UrlRequest,
};

/** Where the provisioner is, and how this caller shows that it belongs: by a key, or by a token. */
export type SandboxClientOptions = Readonly<{
  url: string;
  key?: string | undefined;
  token?: string | undefined;
  /** For what calls HTTP in another way. */
  fetch?: (request: Request) => Promise<Response>;
}>;

/** What ends a call before its answer. */
export type CallOptions = Readonly<{ signal?: AbortSignal }>;

/** How long to wait for a sandbox, in seconds; 60 by default, as DeerFlow does. */
export type WaitOptions = CallOptions & Readonly<{ timeoutSeconds?: number }>;

/** Which sandboxes a list is to have: those that have all of this. */
export type ListFilter = Readonly<{
  status?: Sandbox['status'];
  ready?: boolean;
  thread_id?: string;
  user_id?: string;
  metadata?: Readonly<Record<string, string>>;
}>;

/** A page of a list: how many at most, and the `continue` of the page before, which had the same filter. */
export type ListPage = Readonly<{ limit?: number; continue?: string }>;

type Answered<Data> = { data?: Data; error?: unknown; response: Response };

/**
 * The provisioner's API. Each call rejects with a `SandboxError` (its classes tell what it is) where the provisioner refuses it, and
 * with what `fetch` rejects with where there is no answer.
 */
export class SandboxClient {
  readonly #api: Client<paths>;

  constructor({ url, key, token, fetch }: SandboxClientOptions) {
    this.#api = createClient<paths>({
      baseUrl: url.replace(/\/$/, ''),
      headers: {
        ...(key !== undefined && { 'X-API-Key': key }),
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      },
      ...(fetch !== undefined && { fetch }),
      querySerializer: { object: { style: 'form', explode: true } },
    });
  }

  /** Makes a sandbox, or finds it. To repeat it does no harm. With `wait_seconds` in its body, it waits as `get` does. */
  create(body: CreateRequest, options: CallOptions = {}): Promise<CreatedSandbox> {
    return read(this.#api.POST('/api/sandboxes', { ...options, body }));
  }

  /**
   * The sandbox as it is now; counts as a use. With `wait_seconds`, as soon as it is ready or can no longer become so, at the latest
   * after that time.
   */
  get(sandboxId: string, { wait_seconds, ...options }: CallOptions & { wait_seconds?: number } = {}): Promise<Sandbox> {
    const query = wait_seconds === undefined ? {} : { wait_seconds };
    const params = { path: { sandbox_id: sandboxId }, query };
    return read(this.#api.GET('/api/sandboxes/{sandbox_id}', { ...options, params }));
  }

  /**
   * All sandboxes, or those that have all that the filter says; with `limit` a page of them, and the `continue` of the next one if there
   * is more.
   */
  list({ metadata = {}, ...query }: ListFilter & ListPage = {}, options: CallOptions = {}): Promise<SandboxList> {
    const pairs = Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value]);
    const params = { query: { ...query, metadata: Object.fromEntries(pairs) } };
    return read(this.#api.GET('/api/sandboxes', { ...options, params }));
  }

  /** Changes the sandbox's metadata, where null takes a key away; no use of it. */
  update(sandboxId: string, body: UpdateRequest, options: CallOptions = {}): Promise<Sandbox> {
    return read(this.#api.PATCH('/api/sandboxes/{sandbox_id}', { ...options, ...at(sandboxId), body }));
  }

  /** Puts the sandbox's expiry off; with `ttl_seconds`, it may go unused for that long from now on. */
  renew(sandboxId: string, body: RenewRequest = {}, options: CallOptions = {}): Promise<Sandbox> {
    return read(this.#api.POST('/api/sandboxes/{sandbox_id}/renew', { ...options, ...at(sandboxId), body }));
  }

  /** A URL of the sandbox for a person, good for `ttl_seconds`; of another `port` where the settings allow it. */
  signUrl(sandboxId: string, body: UrlRequest = {}, options: CallOptions = {}): Promise<SandboxUrl> {
    return read(this.#api.POST('/api/sandboxes/{sandbox_id}/url', { ...options, ...at(sandboxId), body }));
  }

  /** Removes the sandbox; it may be gone already. */
  destroy(sandboxId: string, options: CallOptions = {}): Promise<Removal> {
    return read(this.#api.DELETE('/api/sandboxes/{sandbox_id}', { ...options, ...at(sandboxId) }));
  }

  /** Whether the sandbox has a Pod, and which. */
  presence(sandboxId: string, options: CallOptions = {}): Promise<Presence> {
    return read(this.#api.GET('/api/sandboxes/{sandbox_id}/presence', { ...options, ...at(sandboxId) }));
  }

  /** What happened to the sandbox's Pod, newest first, and whether it is ready. */
  events(sandboxId: string, options: CallOptions = {}): Promise<SandboxEvents> {
    return read(this.#api.GET('/api/sandboxes/{sandbox_id}/events', { ...options, ...at(sandboxId) }));
  }

  /** The last lines of what the sandbox has printed, with any secret in it. */
  logs(
    sandboxId: string,
    query: { tail?: number; previous?: boolean; container?: string } = {},
    options: CallOptions = {},
  ): Promise<string> {
    const params = { path: { sandbox_id: sandboxId }, query };
    return read(this.#api.GET('/api/sandboxes/{sandbox_id}/logs', { ...options, params, parseAs: 'text' }));
  }

  /** What sandboxes can be planned with. */
  capabilities(options: CallOptions = {}): Promise<Capabilities> {
    return read(this.#api.GET('/api/capabilities', options));
  }

  /**
   * Waits until the sandbox is ready and its process answers at `sandbox_url`, which this caller must be able to reach. Rejects with
   * `SandboxNotReady` where it does not in time, or can no longer; and as `get` does, but for what fails in passing.
   */
  async waitUntilReady(sandboxId: string, { timeoutSeconds = 60, signal }: WaitOptions = {}): Promise<Sandbox> {
    const end = performance.now() + timeoutSeconds * 1000;
    let status = 'Unknown';
    let cause: unknown;
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 1.5, 2_000)) {
      let leastMs = 0;
      try {
        const leftSeconds = Math.floor((end - performance.now()) / 1000);
        const wait_seconds = Math.max(0, Math.min(leftSeconds, longestWaitSeconds));
        const sandbox = await this.get(sandboxId, { wait_seconds, ...(signal && { signal }) });
        status = sandbox.status;
        if (sandbox.ready && (await isOpen(sandbox, signal))) return sandbox;
        const isHopeless = sandbox.reason === 'InvalidImageName' || status === 'Failed' || status === 'Succeeded';
        if (isHopeless) throw new SandboxNotReady(sandboxId, status);
        cause = undefined;
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        cause = error;
        leastMs = error.retryAfterSeconds * 1000;
      }
      const pauseMs = Math.max(waitMs, leastMs);
      if (performance.now() + pauseMs > end) throw new SandboxNotReady(sandboxId, status, { cause });
      await pause(pauseMs, signal);
    }
  }
}

/** How long one call waits at most. */
const longestWaitSeconds = 20;

const at = (sandboxId: string) => ({ params: { path: { sandbox_id: sandboxId } } });

async function read<Data>(answered: Promise<Answered<Data>>): Promise<Data> {
  const { data, error, response } = await answered;
  if (response.ok && data !== undefined) return data;
  // Of ours, `detail`; of API Gateway's, `message`; of what else may stand between, anything.
  const { detail, message } = (typeof error === 'object' ? error : undefined) as {
    detail?: string | Issue[];
    message?: string;
  };
  throw toError({
    status: response.status,
    detail: detail ?? message ?? `HTTP ${response.status}`,
    requestId: response.headers.get('x-request-id') ?? undefined,
    retryAfterSeconds: Number(response.headers.get('retry-after')) || undefined,
  });
}

/** Whether the sandbox's own process answers, within two seconds. */
async function isOpen({ sandbox_url }: Sandbox, signal: AbortSignal | undefined): Promise<boolean> {
  const inTime = AbortSignal.timeout(2_000);
  try {
    const answer = await fetch(`${sandbox_url}/v1/sandbox`, {
      signal: signal ? AbortSignal.any([signal, inTime]) : inTime,
    });
    await answer.body?.cancel();
    return answer.ok;
  } catch (error) {
    if (signal?.aborted) throw error;
    return false;
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', end);
      resolve();
    }, ms);
    if (signal?.aborted) end();
    else signal?.addEventListener('abort', end, { once: true });
  });
}
