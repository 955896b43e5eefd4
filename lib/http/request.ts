import * as z from 'zod/mini';
import { ProvisionerError, type RequestIssue } from '../errors.ts';
import { containerName, sandboxIdPattern, threadIdPattern, userIdPattern } from '../model/names.ts';
import {
  type CreateSandboxRequest,
  type LogRequest,
  type PageRequest,
  requestDefaults,
  type UrlRequest,
} from '../model/request.ts';

const sandboxId = z.string().check(z.regex(sandboxIdPattern));

/** What a caller may ask for: never to expire (0) only where there is no maximum. */
const ttlSeconds = (maxTtlSeconds: number) =>
  z.optional(
    z.nullable(
      maxTtlSeconds === 0 ? z.int().check(z.gte(0), z.lte(999_999_999)) : z.int().check(z.gte(1), z.lte(maxTtlSeconds)),
    ),
  );

const flag = z._default(z.boolean(), false);

/** The body of `POST /api/sandboxes`, with this maximum for `ttl_seconds`; 0: none. */
export const createBody = (maxTtlSeconds: number) =>
  z.object({
    sandbox_id: sandboxId,
    thread_id: z.optional(z.nullable(z.string().check(z.regex(threadIdPattern)))),
    user_id: z.optional(z.string().check(z.regex(userIdPattern))),
    ttl_seconds: ttlSeconds(maxTtlSeconds),
    max_shell_sessions: z.optional(z.nullable(z.int().check(z.gt(0), z.lte(999_999_999)))),
    extra_mounts: z._default(
      z.array(z.object({ host_path: z.string(), container_path: z.string(), read_only: flag })),
      [],
    ),
    skills_container_path: z._default(z.string(), requestDefaults.skillsPath),
    include_legacy_skills: flag,
    provision_lark_cli_runtime: flag,
    provision_lark_cli_broker: flag,
  });

/** The body of a renewal, with that maximum. */
export const renewalBody = (maxTtlSeconds: number) => z.object({ ttl_seconds: ttlSeconds(maxTtlSeconds) });

/** The body of a URL's request: a day at most, for it is one to be handed to a person. */
export const urlBody = () =>
  z.object({
    ttl_seconds: z._default(z.int().check(z.gte(1), z.lte(86_400)), 900),
    port: z.optional(z.nullable(z.int().check(z.gte(1), z.lte(65_535)))),
  });

/** The parameters of a path with a `sandbox_id`. */
export const sandboxPath = () => z.object({ sandbox_id: sandboxId });

/** The query of a page. */
export const pageQuery = () =>
  z.object({
    limit: z.string().check(z.regex(/^([1-9][0-9]?|100)$/)),
    continue: z.optional(z.string().check(z.regex(/^[!-~]{1,4096}$/))),
  });

/** The query of a log. */
export const logQuery = () =>
  z.object({
    tail: z._default(z.string().check(z.regex(/^([1-9][0-9]{0,2}|[1-4][0-9]{3}|5000)$/)), '200'),
    previous: z._default(z.string().check(z.regex(/^(true|false)$/)), 'false'),
    // What Kubernetes calls containers by: an RFC 1123 label.
    container: z._default(z.string().check(z.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)), containerName),
  });

/** To make a schema takes longer than to use it; the maximum is a setting, so there is one of them in a process. */
const createBodies = new Map<number, ReturnType<typeof createBody>>();

/**
 * The body of `POST /api/sandboxes`. A `thread_id` that is null or absent is the `sandbox_id`, as DeerFlow's client means it;
 * unknown fields are ignored. Throws `invalid-request` with every issue.
 */
export function parseCreateRequest(body: unknown, maxTtlSeconds: number): CreateSandboxRequest {
  const schema = createBodies.get(maxTtlSeconds) ?? createBody(maxTtlSeconds);
  createBodies.set(maxTtlSeconds, schema);
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw invalidRequest('body', body, parsed.error.issues);
  const { sandbox_id, thread_id, extra_mounts, ...rest } = parsed.data;
  return {
    sandboxId: sandbox_id,
    threadId: thread_id ?? sandbox_id,
    userId: rest.user_id,
    ttlSeconds: rest.ttl_seconds ?? undefined,
    maxShellSessions: rest.max_shell_sessions ?? undefined,
    extraMounts: extra_mounts.map((mount) => ({
      hostPath: mount.host_path,
      containerPath: mount.container_path,
      readOnly: mount.read_only,
    })),
    skillsPath: rest.skills_container_path,
    includeLegacySkills: rest.include_legacy_skills,
    larkRuntime: rest.provision_lark_cli_runtime,
    larkBroker: rest.provision_lark_cli_broker,
  };
}

/** The body of a renewal, which may be absent: the `ttl_seconds` it asks for, if any. Throws `invalid-request`. */
export function parseRenewal(body: unknown, maxTtlSeconds: number): number | undefined {
  const parsed = renewalBody(maxTtlSeconds).safeParse(body ?? {});
  if (!parsed.success) throw invalidRequest('body', body, parsed.error.issues);
  return parsed.data.ttl_seconds ?? undefined;
}

/** The body of a URL's request, which may be absent. Throws `invalid-request`. */
export function parseUrlRequest(body: unknown): UrlRequest {
  const parsed = urlBody().safeParse(body ?? {});
  if (!parsed.success) throw invalidRequest('body', body, parsed.error.issues);
  return { ttlSeconds: parsed.data.ttl_seconds, port: parsed.data.port ?? undefined };
}

/** The `sandbox_id` of a path. Throws `invalid-request` for one that no sandbox can have. */
export function parseSandboxId(pathParameters: Readonly<Record<string, string | undefined>> | undefined): string {
  const path = { sandbox_id: pathParameters?.sandbox_id };
  const parsed = sandboxPath().safeParse(path);
  if (!parsed.success) throw invalidRequest('path', path, parsed.error.issues);
  return parsed.data.sandbox_id;
}

/**
 * What a page is asked for with: a `limit` from 1 to 100 and, from the second page on, the `continue` of the one before. Undefined
 * where neither is there: the whole list. Throws `invalid-request`.
 */
export function parsePage(query: Readonly<Record<string, string | undefined>> | undefined): PageRequest | undefined {
  if (query?.limit === undefined && query?.continue === undefined) return undefined;
  const parsed = pageQuery().safeParse(query);
  if (!parsed.success) throw invalidRequest('query', query, parsed.error.issues);
  return { limit: Number(parsed.data.limit), continueToken: parsed.data.continue };
}

/** Which part of a log is asked for; 200 lines of the sandbox's own container where the query says nothing. Throws `invalid-request`. */
export function parseLogRequest(query: Readonly<Record<string, string | undefined>> | undefined): LogRequest {
  const parsed = logQuery().safeParse(query ?? {});
  if (!parsed.success) throw invalidRequest('query', query, parsed.error.issues);
  const { tail, previous, container } = parsed.data;
  return { tail: Number(tail), previous: previous === 'true', container };
}

/** A body that is there but is no JSON, or is not there at all (`body` undefined). */
export function malformedBody(body: string | undefined, cause: unknown): ProvisionerError {
  const issue: RequestIssue =
    body === undefined || body === ''
      ? { type: 'missing', loc: ['body'], msg: 'Field required', input: null }
      : {
          type: 'json_invalid',
          loc: ['body', 0],
          msg: 'JSON decode error',
          input: {},
          ctx: { error: 'Not valid JSON' },
        };
  return new ProvisionerError('invalid-request', [issue], { cause });
}

type Where = 'body' | 'path' | 'query';

function invalidRequest(where: Where, value: unknown, issues: readonly z.core.$ZodIssue[]): ProvisionerError {
  // A number beyond all bounds breaks the library's own before ours, which comes last: its sender is told of one.
  const told = issues.filter(({ path }, index) => String(path) !== String(issues[index + 1]?.path));
  return new ProvisionerError(
    'invalid-request',
    told.slice(0, maxIssues).map((issue) => describeIssue(where, value, issue)),
  );
}

/** How many issues a caller is told of: a list has room for thousands, and each is answered with more than it has. */
const maxIssues = 20;

/** What is said of a value of the wrong type. */
const wrongTypes: Partial<Record<string, [type: string, msg: string]>> = {
  object: ['model_attributes_type', 'Input should be a valid dictionary or object to extract fields from'],
  array: ['list_type', 'Input should be a valid list'],
  boolean: ['bool_type', 'Input should be a valid boolean'],
  string: ['string_type', 'Input should be a valid string'],
};

/** A zod issue in the words of FastAPI (pydantic 2), which the original's callers and operators know. */
function describeIssue(where: Where, value: unknown, issue: z.core.$ZodIssue): RequestIssue {
  const loc = [where, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  const read = (path: PropertyKey[]) =>
    path.reduce<unknown>((part, key) => (part as Record<PropertyKey, unknown>)[key], value);
  const input = read(issue.path);
  if (input === undefined && issue.path.length > 0) {
    return { type: 'missing', loc, msg: 'Field required', input: excerpt(read(issue.path.slice(0, -1))) };
  }
  if (issue.code === 'invalid_type') {
    const [type, msg] = wrongTypes[issue.expected] ?? ['int_type', 'Input should be a valid integer'];
    return { type, loc, msg, input: excerpt(input) };
  }
  if (issue.code === 'too_small' && !issue.inclusive) {
    const msg = `Input should be greater than ${issue.minimum}`;
    return { type: 'greater_than', loc, msg, input, ctx: { gt: issue.minimum } };
  }
  if (issue.code === 'too_small') {
    const msg = `Input should be greater than or equal to ${issue.minimum}`;
    return { type: 'greater_than_equal', loc, msg, input, ctx: { ge: issue.minimum } };
  }
  if (issue.code === 'too_big') {
    const msg = `Input should be less than or equal to ${issue.maximum}`;
    return { type: 'less_than_equal', loc, msg, input, ctx: { le: issue.maximum } };
  }
  const pattern = issue.code === 'invalid_format' && 'pattern' in issue ? String(issue.pattern).slice(1, -1) : '';
  return {
    type: 'string_pattern_mismatch',
    loc,
    msg: `String should match pattern '${pattern}'`,
    input: excerpt(input),
    ctx: { pattern },
  };
}

/** What a caller sent, but no more of it than helps to see what was wrong. */
function excerpt(input: unknown): unknown {
  const text = JSON.stringify(input) ?? 'null';
  return text.length <= 256 ? input : `${text.slice(0, 256)}…`;
}
