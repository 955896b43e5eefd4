import * as z from 'zod/mini';
import { ProvisionerError, type RequestIssue } from '../errors.ts';
import { sandboxIdPattern, threadIdPattern } from '../model/names.ts';

/** A validated request for a sandbox. Without `ttlSeconds` it lives as long as the settings, or an earlier request, say. */
export type CreateSandboxRequest = Readonly<{ sandboxId: string; threadId: string; ttlSeconds?: number | undefined }>;

const sandboxId = z.string().check(z.regex(sandboxIdPattern));

/** What a caller may ask for: never to expire (0) only where there is no maximum. */
const ttlSeconds = (maxTtlSeconds: number) =>
  z.optional(
    z.nullable(
      maxTtlSeconds === 0 ? z.int().check(z.gte(0), z.lte(999_999_999)) : z.int().check(z.gte(1), z.lte(maxTtlSeconds)),
    ),
  );

const createBody = (maxTtlSeconds: number) =>
  z.object({
    sandbox_id: sandboxId,
    thread_id: z.optional(z.nullable(z.string().check(z.regex(threadIdPattern)))),
    ttl_seconds: ttlSeconds(maxTtlSeconds),
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
  const { sandbox_id, thread_id, ttl_seconds } = parsed.data;
  return { sandboxId: sandbox_id, threadId: thread_id ?? sandbox_id, ttlSeconds: ttl_seconds ?? undefined };
}

/** The body of a renewal, which may be absent: the `ttl_seconds` it asks for, if any. Throws `invalid-request`. */
export function parseRenewal(body: unknown, maxTtlSeconds: number): number | undefined {
  const parsed = z.object({ ttl_seconds: ttlSeconds(maxTtlSeconds) }).safeParse(body ?? {});
  if (!parsed.success) throw invalidRequest('body', body, parsed.error.issues);
  return parsed.data.ttl_seconds ?? undefined;
}

/** The `sandbox_id` of a path. Throws `invalid-request` for one that no sandbox can have. */
export function parseSandboxId(pathParameters: Readonly<Record<string, string | undefined>> | undefined): string {
  const path = { sandbox_id: pathParameters?.sandbox_id };
  const parsed = z.object({ sandbox_id: sandboxId }).safeParse(path);
  if (!parsed.success) throw invalidRequest('path', path, parsed.error.issues);
  return parsed.data.sandbox_id;
}

/** A page of a list: how many at most, and from where on. */
export type PageRequest = Readonly<{ limit: number; continueToken?: string | undefined }>;

/**
 * What a page is asked for with: a `limit` from 1 to 100 and, from the second page on, the `continue` of the one before. Undefined
 * where neither is there: the whole list. Throws `invalid-request`.
 */
export function parsePage(query: Readonly<Record<string, string | undefined>> | undefined): PageRequest | undefined {
  if (query?.limit === undefined && query?.continue === undefined) return undefined;
  const page = z.object({
    limit: z.string().check(z.regex(/^([1-9][0-9]?|100)$/)),
    continue: z.optional(z.string().check(z.regex(/^[!-~]{1,4096}$/))),
  });
  const parsed = page.safeParse(query);
  if (!parsed.success) throw invalidRequest('query', query, parsed.error.issues);
  return { limit: Number(parsed.data.limit), continueToken: parsed.data.continue };
}

/** A `continue` that Kubernetes does not know: it never gave it. */
export function unknownContinueToken(input: string, cause: unknown): ProvisionerError {
  const issue: RequestIssue = {
    type: 'value_error',
    loc: ['query', 'continue'],
    msg: 'Value error, it is not the continue of a page',
    input: excerpt(input),
  };
  return new ProvisionerError('invalid-request', [issue], { cause });
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
    told.map((issue) => describeIssue(where, value, issue)),
  );
}

/** A zod issue in the words of FastAPI (pydantic 2), which the original's callers and operators know. */
function describeIssue(where: Where, value: unknown, issue: z.core.$ZodIssue): RequestIssue {
  const loc = [where, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  const input = issue.path.reduce<unknown>((part, key) => (part as Record<PropertyKey, unknown>)[key], value);
  if (issue.path.length === 0) {
    const msg = 'Input should be a valid dictionary or object to extract fields from';
    return { type: 'model_attributes_type', loc, msg, input: excerpt(input) };
  }
  if (input === undefined) return { type: 'missing', loc, msg: 'Field required', input: excerpt(value) };
  if (issue.code === 'too_small') {
    const msg = `Input should be greater than or equal to ${issue.minimum}`;
    return { type: 'greater_than_equal', loc, msg, input, ctx: { ge: issue.minimum } };
  }
  if (issue.code === 'too_big') {
    const msg = `Input should be less than or equal to ${issue.maximum}`;
    return { type: 'less_than_equal', loc, msg, input, ctx: { le: issue.maximum } };
  }
  if (issue.code === 'invalid_type' && issue.expected !== 'string') {
    return { type: 'int_type', loc, msg: 'Input should be a valid integer', input: excerpt(input) };
  }
  if (typeof input !== 'string') {
    return { type: 'string_type', loc, msg: 'Input should be a valid string', input: excerpt(input) };
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
