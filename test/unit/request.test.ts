import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProvisionerError, type RequestIssue } from '../../lib/errors.ts';
import {
  type CreateSandboxRequest,
  malformedBody,
  parseCreateRequest,
  parsePage,
  parseSandboxId,
} from '../../lib/http/request.ts';
import { sandboxIdPattern, threadIdPattern } from '../../lib/model/names.ts';

/** The most seconds that the default settings let a caller ask for. */
const week = 604_800;

const sandboxIdText = '^[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?$';
const threadIdText = '^[A-Za-z0-9_-]{1,64}$';

const mismatch = (loc: string[], input: unknown, pattern: string): RequestIssue => {
  return {
    type: 'string_pattern_mismatch',
    loc,
    msg: `String should match pattern '${pattern}'`,
    input,
    ctx: { pattern },
  };
};
const missing = (loc: string[], input: unknown): RequestIssue => {
  return { type: 'missing', loc, msg: 'Field required', input };
};
const noString = (loc: string[], input: unknown): RequestIssue => {
  return { type: 'string_type', loc, msg: 'Input should be a valid string', input };
};
const noObject = (input: unknown): RequestIssue => {
  const msg = 'Input should be a valid dictionary or object to extract fields from';
  return { type: 'model_attributes_type', loc: ['body'], msg, input };
};

/** What is wrong, as the caller is told; fails where nothing is, or where the error is not ours. */
function issuesOf(parse: () => unknown): RequestIssue[] {
  try {
    parse();
  } catch (error) {
    expect(error).toBeInstanceOf(ProvisionerError);
    expect((error as ProvisionerError).outcome).toBe('invalid-request');
    expect((error as ProvisionerError).detail).toBeInstanceOf(Array);
    return (error as ProvisionerError).detail as RequestIssue[];
  }
  throw new Error('accepted');
}

const [id, thread] = [
  ['body', 'sandbox_id'],
  ['body', 'thread_id'],
];

describe('the body of POST /api/sandboxes', () => {
  const long = 'x'.repeat(51);
  it.each<[string, unknown, Partial<CreateSandboxRequest>]>([
    ['both ids', { sandbox_id: 'a1', thread_id: 'T_1' }, { sandboxId: 'a1', threadId: 'T_1' }],
    // Today's client sends null for a sandbox without a thread, older ones leave it out.
    ['a thread_id that is null', { sandbox_id: 'a1', thread_id: null }, { sandboxId: 'a1', threadId: 'a1' }],
    ['no thread_id', { sandbox_id: 'a1' }, { sandboxId: 'a1', threadId: 'a1' }],
    ['unknown fields', { sandbox_id: 'a1', user_id: 7, threadId: '..' }, { sandboxId: 'a1', threadId: 'a1' }],
    ['the longest ids', { sandbox_id: long, thread_id: long }, { sandboxId: long, threadId: long }],
  ])('may have %s', (_what, body, request) => {
    expect(parseCreateRequest(body, week)).toStrictEqual({ ttlSeconds: undefined, ...request });
  });

  it.each<[string, unknown, RequestIssue[]]>([
    ['nothing', {}, [missing(id, {})]],
    ['no sandbox_id', { thread_id: 't' }, [missing(id, { thread_id: 't' })]],
    ['a sandbox_id that is null', { sandbox_id: null }, [noString(id, null)]],
    ['a sandbox_id that is a list', { sandbox_id: ['a'] }, [noString(id, ['a'])]],
    ['an empty sandbox_id', { sandbox_id: '' }, [mismatch(id, '', sandboxIdText)]],
    ['a line break', { sandbox_id: 'abc\n' }, [mismatch(id, 'abc\n', sandboxIdText)]],
    ['a way out', { sandbox_id: 'a', thread_id: '../b' }, [mismatch(thread, '../b', threadIdText)]],
    ['a thread_id that is a number', { sandbox_id: 'a', thread_id: 7 }, [noString(thread, 7)]],
    ['a thread_id that is false', { sandbox_id: 'a', thread_id: false }, [noString(thread, false)]],
    ['two wrong', { sandbox_id: '-', thread_id: {} }, [mismatch(id, '-', sandboxIdText), noString(thread, {})]],
    ['a list for a body', [], [noObject([])]],
    ['a text for a body', 'abc', [noObject('abc')]],
    ['null for a body', null, [noObject(null)]],
  ])('may not have %s', (_what, body, issues) => {
    expect(issuesOf(() => parseCreateRequest(body, week))).toStrictEqual(issues);
  });

  it.each<[number, string, object]>([
    [1e300, 'less_than_equal', { le: week }],
    [2 ** 53, 'less_than_equal', { le: week }],
    [-1e300, 'greater_than_equal', { ge: 1 }],
  ])(
    'is told once that %d is beyond its bounds, though it is beyond the library’s as well',
    (ttl_seconds, type, ctx) => {
      const issues = issuesOf(() => parseCreateRequest({ sandbox_id: 'a', ttl_seconds }, week));
      expect(issues).toMatchObject([{ type, loc: ['body', 'ttl_seconds'], ctx }]);
    },
  );

  it.each<[string, unknown]>([
    ['a long id', { sandbox_id: 'X'.repeat(60_000) }],
    ['a long field beside a missing one', { other: 'x'.repeat(60_000) }],
    ['a long list', { sandbox_id: Array.from({ length: 10_000 }, (_, index) => index) }],
    ['a long body of another kind', 'x'.repeat(60_000)],
  ])('is shown to its sender in an excerpt where it has %s', (_what, body) => {
    const [issue, ...others] = issuesOf(() => parseCreateRequest(body, week));
    expect(others).toEqual([]);
    expect(issue?.input).toMatch(/^.{256}…$/);
    expect(JSON.stringify(issue).length).toBeLessThan(1000);
  });

  it('is either two legal ids or an error of ours, whatever it is', () => {
    const legal = [fc.stringMatching(sandboxIdPattern), fc.stringMatching(threadIdPattern)];
    const anyId = fc.oneof(fc.jsonValue(), fc.string(), ...legal);
    const fields = { sandbox_id: anyId, thread_id: anyId, more: fc.jsonValue() };
    const body = fc.oneof(fc.jsonValue(), fc.record(fields, { requiredKeys: [] }));
    fc.assert(
      fc.property(body, (given) => {
        let request: ReturnType<typeof parseCreateRequest>;
        try {
          request = parseCreateRequest(given, week);
        } catch (error) {
          expect(error).toBeInstanceOf(ProvisionerError);
          const { detail } = error as ProvisionerError;
          expect(JSON.stringify(detail).length).toBeLessThan(2000);
          return;
        }
        expect(request.sandboxId).toMatch(sandboxIdPattern);
        expect(request.threadId).toMatch(threadIdPattern);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the sandbox_id of a path', () => {
  it.each(['a', '0123456789abcdef', 'x'.repeat(51)])('may be %j', (sandboxId) => {
    expect(parseSandboxId({ sandbox_id: sandboxId })).toBe(sandboxId);
  });

  it.each(['', 'A', '..', 'a\r\nlocation: x', 'x'.repeat(52)])('may not be %j', (given) => {
    const issues = issuesOf(() => parseSandboxId({ sandbox_id: given }));
    expect(issues).toStrictEqual([mismatch(['path', 'sandbox_id'], given, sandboxIdText)]);
  });

  it.each([[undefined], [{}], [{ sandbox_id: undefined }], [{ id: 'a' }]])('must be there: %j', (pathParameters) => {
    expect(issuesOf(() => parseSandboxId(pathParameters))).toMatchObject([
      { type: 'missing', loc: ['path', 'sandbox_id'], msg: 'Field required' },
    ]);
  });
});

describe('a body that cannot be parsed', () => {
  it.each([[undefined], ['']])('is missing where it is %j', (body) => {
    const cause = new Error('from the parser');
    const error = malformedBody(body, cause);
    expect(error).toMatchObject({ outcome: 'invalid-request', cause });
    expect(error.detail).toStrictEqual([missing(['body'], null)]);
  });

  it('is no JSON otherwise', () => {
    expect(malformedBody('{"sandbox_id":', undefined).detail).toStrictEqual([
      { type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {}, ctx: { error: 'Not valid JSON' } },
    ]);
  });
});

describe('a page of a list', () => {
  it.each([
    [undefined, undefined],
    [{}, undefined],
    [{ other: '1' }, undefined],
    [{ limit: '1' }, { limit: 1, continueToken: undefined }],
    [
      { limit: '100', continue: 'eyJ2=' },
      { limit: 100, continueToken: 'eyJ2=' },
    ],
  ])('of %j is %j', (query, page) => {
    expect(parsePage(query)).toEqual(page);
  });

  it.each([
    [{ limit: '0' }, ['limit']],
    [{ limit: '101' }, ['limit']],
    [{ limit: '01' }, ['limit']],
    [{ limit: '1e1' }, ['limit']],
    [{ limit: '-1' }, ['limit']],
    [{ limit: '' }, ['limit']],
    [{ continue: 'x' }, ['limit']],
    [{ limit: '1', continue: '' }, ['continue']],
    [{ limit: '1', continue: 'a b' }, ['continue']],
    [{ limit: '1', continue: 'x'.repeat(4097) }, ['continue']],
    [{ limit: 'x', continue: 'a\n' }, ['limit', 'continue']],
  ])('of %j is refused', (query, fields) => {
    expect(issuesOf(() => parsePage(query)).map(({ loc }) => loc)).toEqual(fields.map((field) => ['query', field]));
  });
});
