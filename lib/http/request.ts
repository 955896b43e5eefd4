import * as z from 'zod/mini';
import { ProvisionerError, type RequestIssue } from '../errors.ts';
import { type MetadataChange, maxMetadataPairs, tooManyPairs } from '../model/metadata.ts';
import {
  containerName,
  metadataKeyPattern,
  metadataValuePattern,
  sandboxIdPattern,
  threadIdPattern,
  userIdPattern,
} from '../model/names.ts';
import {
  type CreateSandboxRequest,
  type ListFilter,
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

/** For how long an answer waits at most: API Gateway gives up after 30 s, and the look before it takes its time. */
const maxWaitSeconds = 20;

const flag = z._default(z.boolean(), false);

/**
 * Values by keys of the caller's own, so many at most. Smaller than the library's record. It leaves out a key `__proto__`; the parser
 * of bodies has refused it before.
 */
const pairsOf = <Value extends z.ZodMiniType>(keyPattern: RegExp, value: Value, most = Number.POSITIVE_INFINITY) =>
  z.catchall(z.object({}), value).check(({ value, issues }) => {
    const keys = Object.keys(value);
    for (const key of keys) {
      if (keyPattern.test(key)) continue;
      issues.push({ code: 'custom', path: [key], params: { pattern: keyPattern.source }, input: value });
    }
    if (keys.length > most) issues.push({ code: 'too_big', origin: 'object', maximum: most, input: value });
  });

const metadataValue = () => z.string().check(z.regex(metadataValuePattern));

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
    wait_seconds: z._default(z.int().check(z.gte(0), z.lte(maxWaitSeconds)), 0),
    metadata: z._default(pairsOf(metadataKeyPattern, metadataValue(), maxMetadataPairs), {}),
  });

/** The body of a renewal, with that maximum. */
export const renewalBody = (maxTtlSeconds: number) => z.object({ ttl_seconds: ttlSeconds(maxTtlSeconds) });

/** The body of a change: null takes a key away. */
export const updateBody = () => z.object({ metadata: pairsOf(metadataKeyPattern, z.nullable(metadataValue())) });

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

/** The query of a look at one sandbox. */
export const lookQuery = () => z.object({ wait_seconds: z.string().check(z.regex(/^(1?[0-9]|20)$/)) });

/** What a parameter of a query is called that says what metadata a sandbox is to have: `metadata.` and a key. */
export const metadataParameterPattern = new RegExp(`^metadata\\.${metadataKeyPattern.source.slice(1)}`);

/** The query that says which sandboxes a list is to have; `metadata` are all parameters of that name and a key. */
export const filterQuery = () =>
  z.object({
    status: z.optional(z.string().check(z.regex(/^(Pending|Running|Succeeded|Failed|Unknown|NotFound)$/))),
    ready: z.optional(z.string().check(z.regex(/^(true|false)$/))),
    thread_id: z.optional(z.string().check(z.regex(threadIdPattern))),
    user_id: z.optional(z.string().check(z.regex(userIdPattern))),
    metadata: z.optional(pairsOf(metadataParameterPattern, metadataValue())),
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
    waitSeconds: rest.wait_seconds,
    metadata: rest.metadata,
  };
}

/** The body of a renewal, which may be absent: the `ttl_seconds` it asks for, if any. Throws `invalid-request`. */
export function parseRenewal(body: unknown, maxTtlSeconds: number): number | undefined {
  const parsed = renewalBody(maxTtlSeconds).safeParse(body ?? {});
  if (!parsed.success) throw invalidRequest('body', body, parsed.error.issues);
  return parsed.data.ttl_seconds ?? undefined;
}

/** The change of metadata that a body asks for. Throws `invalid-request`. */
export function parseUpdate(body: unknown): MetadataChange {
  const parsed = updateBody().safeParse(body);
  if (!parsed.success) throw invalidRequest('body', body, parsed.error.issues);
  return parsed.data.metadata;
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
 * What a list is asked for: which sandboxes, and which page of them, with a `limit` from 1 to 100 and, from the second page on, the
 * `continue` of the one before; the page is undefined where neither is there: the whole list. What begins as a filter by metadata and is
 * none is refused: whoever sends it would take the whole list for the answer. Throws `invalid-request`.
 */
export function parseListQuery(query: Readonly<Record<string, string | undefined>> = {}): {
  filter: ListFilter;
  page: PageRequest | undefined;
} {
  const { status, ready, thread_id, user_id } = query;
  const pairs = Object.entries(query).filter(([name]) => /^metadata\b/.test(name));
  const metadata = pairs.length > 0 ? Object.fromEntries(pairs) : undefined;
  const filter = filterQuery().safeParse({ status, ready, thread_id, user_id, metadata });
  const isPage = query.limit !== undefined || query.continue !== undefined;
  const page = isPage ? pageQuery().safeParse(query) : undefined;
  if (!filter.success || page?.success === false) {
    // Each pair is a parameter of its own.
    const issues = [...(filter.error?.issues ?? []), ...(page?.error?.issues ?? [])];
    throw invalidRequest(
      'query',
      query,
      issues.map((issue) => ({ ...issue, path: issue.path.slice(-1) })),
    );
  }
  return {
    filter: {
      status: filter.data.status as ListFilter['status'],
      ready: ready === undefined ? undefined : ready === 'true',
      threadId: thread_id,
      userId: user_id,
      metadata:
        metadata && Object.fromEntries(pairs.map(([name, value = '']) => [name.slice('metadata.'.length), value])),
    },
    page: page && { limit: Number(page.data.limit), continueToken: page.data.continue },
  };
}

/** A list that no answer has room for. In the shape of what is wrong with a request: it lacks a `limit`. */
export function listTooLong(count: number): ProvisionerError {
  const msg = `Value error, an answer has no room for ${count} sandboxes: ask for them in pages, or for fewer by a filter`;
  return new ProvisionerError('invalid-request', [{ type: 'value_error', loc: ['query', 'limit'], msg, input: null }]);
}

/** For how many seconds a look waits for the sandbox to be ready; 0 where the query says nothing. Throws `invalid-request`. */
export function parseWaitSeconds(query: Readonly<Record<string, string | undefined>> | undefined): number {
  if (query?.wait_seconds === undefined) return 0;
  const parsed = lookQuery().safeParse(query);
  if (!parsed.success) throw invalidRequest('query', query, parsed.error.issues);
  return Number(parsed.data.wait_seconds);
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
  const loc = [where, ...issue.path.map((part) => (typeof part === 'number' ? part : shorten(String(part))))];
  // A key is told of as what is wrong there.
  if (issue.code === 'custom') return mismatch([...loc, '[key]'], loc.at(-1), String(issue.params?.pattern));
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
  if (issue.code === 'too_big' && issue.origin === 'object') {
    return tooManyPairs(Object.keys(Object(input)).length, excerpt(input));
  }
  if (issue.code === 'too_big') {
    const msg = `Input should be less than or equal to ${issue.maximum}`;
    return { type: 'less_than_equal', loc, msg, input, ctx: { le: issue.maximum } };
  }
  const pattern = issue.code === 'invalid_format' && 'pattern' in issue ? String(issue.pattern).slice(1, -1) : '';
  return mismatch(loc, excerpt(input), pattern);
}

const mismatch = (loc: (string | number)[], input: unknown, pattern: string): RequestIssue => ({
  type: 'string_pattern_mismatch',
  loc,
  msg: `String should match pattern '${pattern}'`,
  input,
  ctx: { pattern },
});

/** What a caller sent, but no more of it than helps to see what was wrong. */
function excerpt(input: unknown): unknown {
  const text = JSON.stringify(input) ?? 'null';
  return text.length <= 256 ? input : shorten(text);
}

const shorten = (text: string): string => (text.length <= 256 ? text : `${text.slice(0, 256)}…`);
