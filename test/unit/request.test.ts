import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProvisionerError, type RequestIssue } from '../../lib/errors.ts';
import {
  malformedBody,
  parseCreateRequest,
  parseListQuery,
  parseLogRequest,
  parseSandboxId,
  parseUpdate,
  parseWaitSeconds,
} from '../../lib/http/request.ts';
import type { KubernetesObject } from '../../lib/local/kubernetes/objects.ts';
import { validate } from '../../lib/local/kubernetes/validation.ts';
import { metadataPrefix, sandboxIdPattern, threadIdPattern } from '../../lib/model/names.ts';
import type { CreateSandboxRequest, ListFilter } from '../../lib/model/request.ts';

/** The most seconds that the default settings let a caller ask for. */
const week = 604_800;

const sandboxIdText = '^[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?$';
const threadIdText = '^[A-Za-z0-9_-]{1,64}$';
const userIdText = '^[A-Za-z0-9_-]{1,255}$';

/** What a request has that says no more than its ids. */
const unsaid: Partial<CreateSandboxRequest> = {
  userId: undefined,
  ttlSeconds: undefined,
  maxShellSessions: undefined,
  extraMounts: [],
  skillsPath: '/mnt/skills',
  includeLegacySkills: false,
  larkRuntime: false,
  larkBroker: false,
  waitSeconds: 0,
  metadata: {},
};

const mismatch = (place: (string | number)[], input: unknown, pattern: string): RequestIssue => ({
  type: 'string_pattern_mismatch',
  loc: place,
  msg: `String should match pattern '${pattern}'`,
  input,
  ctx: { pattern },
});
const missing = (place: (string | number)[], input: unknown): RequestIssue => ({
  type: 'missing',
  loc: place,
  msg: 'Field required',
  input,
});
const wrongType =
  (type: string, msg: string) =>
  (place: (string | number)[], input: unknown): RequestIssue => ({ type, loc: place, msg, input });
const noString = wrongType('string_type', 'Input should be a valid string');
const noBoolean = wrongType('bool_type', 'Input should be a valid boolean');
const noInteger = wrongType('int_type', 'Input should be a valid integer');
const noList = wrongType('list_type', 'Input should be a valid list');
const noObject = wrongType(
  'model_attributes_type',
  'Input should be a valid dictionary or object to extract fields from',
);

/** What is wrong, as the caller is told; fails where nothing is, or where the error is not ours. */
function issuesOf(parse: () => unknown): RequestIssue[] {
  try {
    parse();
  } catch (error) {
    expect(error).toBeInstanceOf(ProvisionerError);
    expect((error as ProvisionerError).kind).toBe('invalid-request');
    expect((error as ProvisionerError).detail).toBeInstanceOf(Array);
    return (error as ProvisionerError).detail as RequestIssue[];
  }
  throw new Error('accepted');
}

const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);

describe('the body of POST /api/sandboxes', () => {
  it.each<[string, unknown, Partial<CreateSandboxRequest>]>([
    ['both ids', { sandbox_id: 'a1', thread_id: 'T_1' }, { sandboxId: 'a1', threadId: 'T_1' }],
    // Today's client sends null for a sandbox without a thread, older ones leave it out.
    ['a thread_id that is null', { sandbox_id: 'a1', thread_id: null }, { sandboxId: 'a1', threadId: 'a1' }],
    ['no thread_id', { sandbox_id: 'a1' }, { sandboxId: 'a1', threadId: 'a1' }],
    ['unknown fields', { sandbox_id: 'a1', userId: 7, threadId: '..' }, { sandboxId: 'a1', threadId: 'a1' }],
    [
      'the longest ids',
      { sandbox_id: 'x'.repeat(51), thread_id: 'y'.repeat(64), user_id: 'Z'.repeat(255) },
      { sandboxId: 'x'.repeat(51), threadId: 'y'.repeat(64), userId: 'Z'.repeat(255) },
    ],
    [
      "what today's client sends",
      {
        sandbox_id: '0123456789abcdef',
        thread_id: 'T_1',
        user_id: 'alice',
        include_legacy_skills: true,
        skills_container_path: '/srv/skills',
        provision_lark_cli_runtime: true,
        provision_lark_cli_broker: true,
        max_shell_sessions: 13,
        // Whether paths may be mounted is not for the form to say.
        extra_mounts: [
          { host_path: 'a', container_path: '', read_only: true, more: 1 },
          { host_path: '', container_path: '/' },
        ],
      },
      {
        sandboxId: '0123456789abcdef',
        threadId: 'T_1',
        userId: 'alice',
        includeLegacySkills: true,
        skillsPath: '/srv/skills',
        larkRuntime: true,
        larkBroker: true,
        maxShellSessions: 13,
        extraMounts: [
          { hostPath: 'a', containerPath: '', readOnly: true },
          { hostPath: '', containerPath: '/', readOnly: false },
        ],
      },
    ],
    ['a wait', { sandbox_id: 'a', wait_seconds: 20 }, { sandboxId: 'a', threadId: 'a', waitSeconds: 20 }],
    ['no wish for shells', { sandbox_id: 'a', max_shell_sessions: null }, { sandboxId: 'a', threadId: 'a' }],
  ])('may have %s', (_what, body, request) => {
    expect(parseCreateRequest(body, week)).toStrictEqual({ ...unsaid, ...request });
  });

  it.each<[string, unknown, RequestIssue[]]>([
    ['nothing', {}, [missing(['body', 'sandbox_id'], {})]],
    ['no sandbox_id', { thread_id: 't' }, [missing(['body', 'sandbox_id'], { thread_id: 't' })]],
    ['a sandbox_id that is null', { sandbox_id: null }, [noString(['body', 'sandbox_id'], null)]],
    ['a sandbox_id that is a number', { sandbox_id: 12345678 }, [noString(['body', 'sandbox_id'], 12345678)]],
    ['a sandbox_id that is a list', { sandbox_id: ['a'] }, [noString(['body', 'sandbox_id'], ['a'])]],
    ['an empty sandbox_id', { sandbox_id: '' }, [mismatch(['body', 'sandbox_id'], '', sandboxIdText)]],
    ['capitals', { sandbox_id: 'ABC' }, [mismatch(['body', 'sandbox_id'], 'ABC', sandboxIdText)]],
    ['a line break', { sandbox_id: 'abc\n' }, [mismatch(['body', 'sandbox_id'], 'abc\n', sandboxIdText)]],
    ['an empty thread_id', { sandbox_id: 'a', thread_id: '' }, [mismatch(['body', 'thread_id'], '', threadIdText)]],
    ['a way out', { sandbox_id: 'a', thread_id: '../b' }, [mismatch(['body', 'thread_id'], '../b', threadIdText)]],
    ['a thread_id that is a number', { sandbox_id: 'a', thread_id: 7 }, [noString(['body', 'thread_id'], 7)]],
    ['a thread_id that is false', { sandbox_id: 'a', thread_id: false }, [noString(['body', 'thread_id'], false)]],
    [
      'two wrong ids: both are told',
      { sandbox_id: '-', thread_id: {} },
      [mismatch(['body', 'sandbox_id'], '-', sandboxIdText), noString(['body', 'thread_id'], {})],
    ],
    ['a list for a body', [], [noObject(['body'], [])]],
    ['a text for a body', 'abc', [noObject(['body'], 'abc')]],
    ['a number for a body', 7, [noObject(['body'], 7)]],
    ['null for a body', null, [noObject(['body'], null)]],
    ...[null, 7].map((user_id): [string, unknown, RequestIssue[]] => [
      `the user_id ${user_id}`,
      { sandbox_id: 'a', user_id },
      [noString(['body', 'user_id'], user_id)],
    ]),
    ...['', 'a.b', '../b'].map((user_id): [string, unknown, RequestIssue[]] => [
      `the user_id '${user_id}'`,
      { sandbox_id: 'a', user_id },
      [mismatch(['body', 'user_id'], user_id, userIdText)],
    ]),
    [
      'a user_id that no folder can be named by',
      { sandbox_id: 'a', user_id: 'x'.repeat(256) },
      [mismatch(['body', 'user_id'], `"${'x'.repeat(255)}…`, userIdText)],
    ],
    ...[0, -1].map((max_shell_sessions): [string, unknown, RequestIssue[]] => [
      `${max_shell_sessions} shells`,
      { sandbox_id: 'a', max_shell_sessions },
      [
        {
          type: 'greater_than',
          loc: ['body', 'max_shell_sessions'],
          msg: 'Input should be greater than 0',
          input: max_shell_sessions,
          ctx: { gt: 0 },
        },
      ],
    ]),
    [
      'values of other types',
      {
        sandbox_id: 'a',
        max_shell_sessions: '13',
        extra_mounts: null,
        skills_container_path: null,
        include_legacy_skills: 'true',
        provision_lark_cli_runtime: 1,
        provision_lark_cli_broker: null,
      },
      [
        noInteger(['body', 'max_shell_sessions'], '13'),
        noList(['body', 'extra_mounts'], null),
        noString(['body', 'skills_container_path'], null),
        noBoolean(['body', 'include_legacy_skills'], 'true'),
        noBoolean(['body', 'provision_lark_cli_runtime'], 1),
        noBoolean(['body', 'provision_lark_cli_broker'], null),
      ],
    ],
    [
      'extra mounts that are none',
      { sandbox_id: 'a', extra_mounts: [7, { host_path: '/a', read_only: 'no' }] },
      [
        noObject(['body', 'extra_mounts', 0], 7),
        missing(['body', 'extra_mounts', 1, 'container_path'], { host_path: '/a', read_only: 'no' }),
        noBoolean(['body', 'extra_mounts', 1, 'read_only'], 'no'),
      ],
    ],
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

  it('is told of twenty things at most, of however many', () => {
    const extra_mounts = Array.from({ length: 20_000 }, () => 0);
    const issues = issuesOf(() => parseCreateRequest({ sandbox_id: 'a', extra_mounts }, week));
    expect(issues).toStrictEqual(
      Array.from({ length: 20 }, (_, index) => noObject(['body', 'extra_mounts', index], 0)),
    );
  });

  // Showing the sender its body is recursive. The parser before it gives up at some 2,300 levels, long before this does.
  it.each([100, 1_000, 2_300])('is refused, not fallen over, where it is nested %i deep', (depth) => {
    expect(issuesOf(() => parseCreateRequest(nested(depth), week))).toMatchObject([{ type: 'model_attributes_type' }]);
    expect(issuesOf(() => parseCreateRequest({ sandbox_id: nested(depth) }, week))).toMatchObject([
      { type: 'string_type' },
    ]);
    expect(issuesOf(() => parseCreateRequest({ thread_id: nested(depth) }, week))).toMatchObject([
      { type: 'missing', loc: ['body', 'sandbox_id'] },
      { type: 'string_type', loc: ['body', 'thread_id'] },
    ]);
  });

  it('is either two legal ids or an error of ours, whatever it is', () => {
    const id = fc.oneof(
      fc.jsonValue(),
      fc.string(),
      fc.stringMatching(sandboxIdPattern),
      fc.stringMatching(threadIdPattern),
    );
    const body = fc.oneof(
      fc.jsonValue(),
      fc.record({ sandbox_id: id, thread_id: id, more: fc.jsonValue() }, { requiredKeys: [] }),
    );
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

describe('metadata', () => {
  const labelled = (key: string, value: string) => {
    const metadata = { name: 'a', namespace: 'b', uid: 'c', resourceVersion: '1', creationTimestamp: '' };
    const labels = { [`${metadataPrefix}${key}`]: value };
    return { apiVersion: 'v1', kind: 'Service', metadata: { ...metadata, labels } } as unknown as KubernetesObject;
  };
  const fitting = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9]$/);
  const likely = fc.stringMatching(/^[A-Za-z0-9._-]{0,70}$/);
  const text = fc.oneof(
    fitting,
    fitting,
    likely,
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('', 'a\n', 'é'.repeat(40)),
  );

  // The embedded Kubernetes' rules, which are those of the real one: test/contract/metadata goes to their edge there.
  it('is what Kubernetes takes for labels, and nothing else, in a create, in a change and in a query', () => {
    // The parser of bodies refuses this one before: see test/contract/metadata.
    const keys = text.filter((one) => one !== '__proto__');
    let taken = 0;
    fc.assert(
      fc.property(keys, text, (key, value) => {
        const isLegal = validate(labelled(key, value)).length === 0;
        const pair = { [key]: value };
        const parsers: (() => unknown)[] = [
          () => parseCreateRequest({ sandbox_id: 'a', metadata: pair }, week).metadata,
          () => parseUpdate({ metadata: pair }),
          () => parseListQuery({ [`metadata.${key}`]: value }).filter.metadata,
        ];
        for (const parse of parsers) {
          if (isLegal) expect(parse()).toEqual(pair);
          else expect(issuesOf(parse).length).toBeGreaterThan(0);
        }
        if (isLegal) taken += 1;
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  it('is refused in words of a bounded length, however long its keys are', () => {
    const metadata = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`${index}${'x'.repeat(500)}`, 'v']));
    for (const parse of [
      () => parseCreateRequest({ sandbox_id: 'a', metadata }, week),
      () => parseUpdate({ metadata }),
    ]) {
      const issues = issuesOf(parse);
      expect(issues).toHaveLength(20);
      for (const issue of issues) expect(JSON.stringify(issue).length).toBeLessThan(1_000);
    }
  });

  it('has 16 pairs at most; a change may name more, to take them away', () => {
    const pairs = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
    expect(parseCreateRequest({ sandbox_id: 'a', metadata: pairs(16) }, week).metadata).toEqual(pairs(16));
    const msg = 'Dictionary should have at most 16 items after validation, not 17';
    const ctx = { field_type: 'Dictionary', max_length: 16, actual_length: 17 };
    expect(issuesOf(() => parseCreateRequest({ sandbox_id: 'a', metadata: pairs(17) }, week))).toMatchObject([
      { type: 'too_long', loc: ['body', 'metadata'], msg, ctx },
    ]);
    const gone = Object.fromEntries(Object.keys(pairs(40)).map((name) => [name, null]));
    expect(parseUpdate({ metadata: gone })).toEqual(gone);
  });
});

describe('the sandbox_id of a path', () => {
  it.each(['a', '0123456789abcdef', 'x'.repeat(51)])('may be %j', (sandboxId) => {
    expect(parseSandboxId({ sandbox_id: sandboxId })).toBe(sandboxId);
  });

  it.each(['', 'A', 'a_b', 'a/b', '..', 'a\r\nlocation: x', 'x'.repeat(52)])('may not be %j', (sandboxId) => {
    expect(issuesOf(() => parseSandboxId({ sandbox_id: sandboxId }))).toStrictEqual([
      mismatch(['path', 'sandbox_id'], sandboxId, sandboxIdText),
    ]);
  });

  it.each([[undefined], [{}], [{ sandbox_id: undefined }], [{ id: 'a' }]])('must be there: %j', (pathParameters) => {
    expect(issuesOf(() => parseSandboxId(pathParameters))).toMatchObject([
      { type: 'missing', loc: ['path', 'sandbox_id'], msg: 'Field required' },
    ]);
  });

  it('is legal or an error of ours, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(sandboxIdPattern)), (given) => {
        let sandboxId: string;
        try {
          sandboxId = parseSandboxId({ sandbox_id: given });
        } catch (error) {
          expect(error).toBeInstanceOf(ProvisionerError);
          return;
        }
        expect(sandboxId).toMatch(sandboxIdPattern);
        expect(sandboxId).toBe(given);
      }),
    );
  });
});

describe('a body that cannot be parsed', () => {
  it.each([[undefined], ['']])('is missing where it is %j', (body) => {
    const cause = new Error('from the parser');
    const error = malformedBody(body, cause);
    expect(error).toMatchObject({ kind: 'invalid-request', cause });
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
      { limit: '100', continue: 'eyJ2Ijo=' },
      { limit: 100, continueToken: 'eyJ2Ijo=' },
    ],
  ])('of %j is %j', (query, page) => {
    expect(parseListQuery(query).page).toEqual(page);
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
    expect(placesOf(() => parseListQuery(query))).toEqual(fields.map((field) => ['query', field]));
  });
});

describe('a filter', () => {
  const nothing: ListFilter = {
    status: undefined,
    ready: undefined,
    threadId: undefined,
    userId: undefined,
    metadata: undefined,
  };

  it.each<[Record<string, string> | undefined, Partial<ListFilter>]>([
    [undefined, {}],
    [{ limit: '5', other: 'x', Metadata: 'y' }, {}],
    [{ status: 'NotFound' }, { status: 'NotFound' }],
    [{ ready: 'false' }, { ready: false }],
    [
      { ready: 'true', thread_id: 't', user_id: 'u', 'metadata.a': '', 'metadata.b.c': 'd' },
      { ready: true, threadId: 't', userId: 'u', metadata: { a: '', 'b.c': 'd' } },
    ],
  ])('of %j is %j', (query, filter) => {
    expect(parseListQuery(query).filter).toStrictEqual({ ...nothing, ...filter });
  });
});

describe('the wait of a look', () => {
  it.each<[Record<string, string> | undefined, number]>([
    [undefined, 0],
    [{ other: '1' }, 0],
    [{ wait_seconds: '0' }, 0],
    [{ wait_seconds: '9' }, 9],
    [{ wait_seconds: '10' }, 10],
    [{ wait_seconds: '20' }, 20],
  ])('with %j is %i s', (query, seconds) => {
    expect(parseWaitSeconds(query)).toBe(seconds);
  });

  it.each(['21', '100', '-1', '1.5', '01', '1e1', '', ' 1'])('with %j is refused', (wait_seconds) => {
    expect(placesOf(() => parseWaitSeconds({ wait_seconds }))).toEqual([['query', 'wait_seconds']]);
  });
});

describe('a log', () => {
  const whole = { tail: 200, previous: false, container: 'sandbox' };
  it.each([
    [undefined, whole],
    [{ other: '1' }, whole],
    [
      { tail: '1', previous: 'true' },
      { ...whole, tail: 1, previous: true },
    ],
    [
      { tail: '5000', previous: 'false', container: 'istio-proxy' },
      { tail: 5_000, previous: false, container: 'istio-proxy' },
    ],
  ])('of %j is %j', (query, request) => {
    expect(parseLogRequest(query)).toEqual(request);
  });

  it.each([
    ...['0', '5001', '6000', '10000', '01', '1e1', '-1', ''].map((tail) => [{ tail }, ['tail']] as const),
    ...['yes', 'True', '1', ''].map((previous) => [{ previous }, ['previous']] as const),
    ...['', 'A', '-a', 'a/b', 'a&b', 'a'.repeat(64)].map((container) => [{ container }, ['container']] as const),
    [{ tail: 'x', previous: 'x', container: '..' }, ['tail', 'previous', 'container']] as const,
  ])('of %j is refused', (query, fields) => {
    expect(placesOf(() => parseLogRequest(query))).toEqual(fields.map((field) => ['query', field]));
  });
});

/** Where what is thrown says that something is wrong. */
function placesOf(parse: () => unknown): unknown[] {
  let thrown: unknown;
  try {
    parse();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(ProvisionerError);
  return ((thrown as ProvisionerError).detail as RequestIssue[]).map(({ loc }) => loc);
}
