import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { type HttpRequest, httpEvent, lambdaContext } from '../support/events.ts';
import { type ApiServer, answerJson, answerStatus, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { call, callWith, create, destroy, type FunctionName, get, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const text = (length: number) => `${'{"sandbox_id":"-"'.padEnd(length - 1)}}`;

// It refuses everything: a request that comes so far gets a 500.
let api: ApiServer;
beforeEach(async () => {
  api = await startApiServer((_request, response) => answerStatus(response, 403, 'Forbidden'));
  startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
});
afterEach(() => vi.unstubAllEnvs());

const reached = { status: 500, headers: json, body: { detail: expect.stringMatching(/^Service creation failed: /) } };
const noJson = {
  status: 422,
  headers: json,
  body: {
    detail: [
      { type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {}, ctx: { error: 'Not valid JSON' } },
    ],
  },
};
const noBody = {
  status: 422,
  headers: json,
  body: { detail: [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }] },
};
const wrongAt = (...places: string[][]) => ({
  status: 422,
  headers: json,
  body: { detail: places.map((loc) => expect.objectContaining({ loc, msg: expect.any(String) })) },
});
const wrongType = { status: 415, headers: json, body: { detail: 'The content type must be application/json' } };
const tooLarge = { status: 413, headers: json, body: { detail: 'The body is larger than 65536 bytes' } };

describe('POST /api/sandboxes', () => {
  it.each<[string, unknown, Partial<HttpRequest>, object]>([
    ['no body', undefined, {}, noBody],
    ['an empty body', '', {}, noBody],
    ['an empty body of type JSON', '', { headers: json }, noBody],
    ['half a JSON', '{"sandbox_id":', {}, noJson],
    ['no JSON', 'sandbox_id=a', {}, noJson],
    ['a form', 'sandbox_id=a', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }, wrongType],
    // A web page can send this to localhost without asking.
    ['JSON that says it is text', '{"sandbox_id":"a"}', { headers: { 'content-type': 'text/plain' } }, wrongType],
    [
      'JSON that says it is text, in capitals',
      '{"sandbox_id":"a"}',
      { headers: { 'Content-Type': 'TEXT/PLAIN' } },
      wrongType,
    ],
    ['an empty content type', '{"sandbox_id":"a"}', { headers: { 'content-type': '' } }, wrongType],
    ['a list', '[]', {}, wrongAt(['body'])],
    ['null', 'null', {}, wrongAt(['body'])],
    ['a text', '"a"', {}, wrongAt(['body'])],
    ['no sandbox_id', {}, {}, wrongAt(['body', 'sandbox_id'])],
    ['two wrong ids', { sandbox_id: 'A', thread_id: '..' }, {}, wrongAt(['body', 'sandbox_id'], ['body', 'thread_id'])],
    ['a prototype', '{"sandbox_id":"a","__proto__":{"thread_id":"x"}}', {}, noJson],
    ['base64 that is no JSON', Buffer.from('{').toString('base64'), { isBase64Encoded: true }, noJson],
    ['base64 that is none', '***', { isBase64Encoded: true }, noJson],
    ['JSON that says it is base64', '{"sandbox_id":"a"}', { isBase64Encoded: true }, noJson],
    ['exactly 64 KB', text(65_536), {}, wrongAt(['body', 'sandbox_id'])],
    ['a byte more', text(65_537), {}, tooLarge],
    ['fewer characters than 64 K, but more bytes', JSON.stringify({ sandbox_id: 'ü'.repeat(40_000) }), {}, tooLarge],
    [
      'exactly 64 KB behind base64',
      Buffer.from(text(65_536)).toString('base64'),
      { isBase64Encoded: true },
      wrongAt(['body', 'sandbox_id']),
    ],
    ['a byte more behind base64', Buffer.from(text(65_537)).toString('base64'), { isBase64Encoded: true }, tooLarge],
    ['too much of another type', 'x'.repeat(70_000), { headers: { 'content-type': 'text/plain' } }, tooLarge],
  ])('refuses %s, and does not ask Kubernetes', async (_what, body, rest, answer) => {
    expect(await create(body, rest)).toEqual(answer);
    expect(api.requests).toEqual([]);
  });

  // Parsing and showing the sender its body are both recursive: whichever gives up, the caller is told the same.
  it.each([100, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 20_000, 32_000])(
    'refuses a body that is nested %i deep',
    async (depth) => {
      const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
      for (const body of [nested, `{"sandbox_id":${nested}}`, `{"a":${nested}}`]) {
        expect(await create(body)).toMatchObject({ status: 422 });
      }
      expect(api.requests).toEqual([]);
    },
  );

  it.each<[string, unknown, Partial<HttpRequest>]>([
    ['without a content type', '{"sandbox_id":"a"}', {}],
    ['with its own type', '{"sandbox_id":"a"}', { headers: json }],
    ['with its own type in other letters', '{"sandbox_id":"a"}', { headers: { 'Content-Type': 'Application/JSON' } }],
    ['with a character set', '{"sandbox_id":"a"}', { headers: { 'content-type': 'application/json; charset=utf-8' } }],
    ['with a type of its family', '{"sandbox_id":"a"}', { headers: { 'content-type': 'application/vnd.x+json' } }],
    ['with white space around it', ' \n{"sandbox_id":"a"}\n', {}],
    ['behind base64', Buffer.from('{"sandbox_id":"a"}').toString('base64'), { isBase64Encoded: true }],
    ['with fields that nobody knows', { sandbox_id: 'a', constructor: 'x', user_id: null }, {}],
  ])('reads JSON %s', async (_how, body, rest) => {
    expect(await create(body, rest)).toEqual(reached);
    expect(api.requests.length).toBeGreaterThan(0);
  });
});

describe('what a caller sends', () => {
  it('is not in the log, whatever is wrong with it', async () => {
    const mark = 'Said-By-A-Caller';
    const written: string[] = [];
    const keep = (chunk: string | Uint8Array) => {
      written.push(String(chunk));
      return true;
    };
    vi.spyOn(process.stdout, 'write').mockImplementation(keep);
    vi.spyOn(process.stderr, 'write').mockImplementation(keep);
    const headers = { [mark]: mark, authorization: mark, cookie: mark, 'user-agent': mark };
    const answers = [
      await create({ sandbox_id: mark, thread_id: `${mark}/` }, { headers, query: { mark } }),
      await create({ sandbox_id: 'a', ttl_seconds: mark }),
      await create(`{"${mark}`),
      await create(mark, { headers: { 'content-type': mark } }),
      await create('x'.repeat(70_000) + mark),
      await get(mark),
      await destroy(mark),
      await call('fallback', { method: mark, path: `/api/sandboxes/${mark}/`, routeKey: '$default', headers }),
      await call('fallback', {
        method: 'GET',
        path: `/${mark}`,
        routeKey: '$default',
        headers: { ...headers, 'x-api-key': mark },
      }),
      await call('list-sandboxes', { method: 'GET', path: '/api/sandboxes', headers: { 'x-api-key': mark.repeat(2) } }),
      await call('list-sandboxes', { method: 'GET', path: '/api/sandboxes', headers: { origin: mark } }),
    ];
    vi.restoreAllMocks();
    expect(answers.map(({ status }) => status)).toEqual([422, 422, 422, 415, 413, 422, 422, 405, 404, 401, 403]);
    expect(written.length).toBe(answers.length);
    expect(written.filter((line) => line.toLowerCase().includes(mark.toLowerCase()))).toEqual([]);
  });
});

describe('a request of a web page', () => {
  const requests: [FunctionName, HttpRequest][] = [
    ['create-sandbox', { method: 'POST', path: '/api/sandboxes', body: { sandbox_id: 'a' } }],
    ['get-sandbox', { method: 'GET', path: '/api/sandboxes/a', pathParameters: { sandbox_id: 'a' } }],
    ['list-sandboxes', { method: 'GET', path: '/api/sandboxes' }],
    ['destroy-sandbox', { method: 'DELETE', path: '/api/sandboxes/a', pathParameters: { sandbox_id: 'a' } }],
    ['health', { method: 'GET', path: '/health' }],
    ['fallback', { method: 'GET', path: '/' }],
  ];

  it.each(requests)('is refused by %s, wherever the page is from', async (name, request) => {
    const host = String(httpEvent(request).headers.host);
    for (const origin of ['https://elsewhere.example', `https://${host}`, 'null', '']) {
      for (const header of ['origin', 'Origin', 'ORIGIN']) {
        expect(await call(name, { ...request, headers: { [header]: origin } })).toEqual({
          status: 403,
          headers: json,
          body: { detail: 'Calls from web pages are refused' },
        });
      }
    }
    expect(api.requests).toEqual([]);
  });
});

describe('an id in a path', () => {
  it.each(['A', 'a_b', '-', '..', 'a/b', 'a b', 'a\r\nb', '%61', 'x'.repeat(52), 'x'.repeat(10_000)])(
    'that is not legal is refused, and Kubernetes is not asked: %j',
    async (sandboxId) => {
      for (const answer of [await get(sandboxId), await destroy(sandboxId)]) {
        expect(answer).toMatchObject({
          status: 422,
          headers: json,
          body: { detail: [{ type: 'string_pattern_mismatch', loc: ['path', 'sandbox_id'] }] },
        });
        expect(JSON.stringify(answer).length).toBeLessThan(1000);
      }
      expect(api.requests).toEqual([]);
    },
  );
});

describe('an event that API Gateway does not make', () => {
  const event = httpEvent({ method: 'GET', path: '/' });
  const { headers } = event;
  const events: [string, unknown][] = [
    ['empty', {}],
    ['without headers and request context', { ...event, headers: undefined, requestContext: undefined }],
    ['with headers that are null', { ...event, headers: null, body: null, pathParameters: null }],
    ['with headers that are no texts', { ...event, headers: { 'x-api-key': ['a'], 'content-type': 7, cookie: null } }],
    ['with a body that is an object', { ...event, body: { sandbox_id: 'a' } }],
    ['with a content type that is undefined', { ...event, headers: { 'content-type': undefined } }],
    ['without http in its request context', { ...event, requestContext: { stage: '$default' } }],
    ['with a request context of nulls', { ...event, requestContext: { http: null, stage: null, authorizer: null } }],
    ['with a path that is no text', { ...event, rawPath: 7, rawQueryString: null, queryStringParameters: 'limit=5' }],
    ['of a schedule', { 'detail-type': 'Scheduled Event', detail: {} }],
    ['of a queue', { Records: [{ messageId: 'x', eventSource: 'aws:sqs', body: '{"sandbox_id":"a"}' }] }],
    ['of a plug-in that keeps functions warm', { source: 'serverless-plugin-warmup' }],
    [
      'of a load balancer',
      {
        requestContext: { elb: { targetGroupArn: 'arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/x/1' } },
        httpMethod: 'GET',
        path: '/api/sandboxes/a',
        queryStringParameters: {},
        headers,
        body: '',
        isBase64Encoded: false,
      },
    ],
    [
      'of a REST API',
      {
        resource: '/{proxy+}',
        path: '/api/sandboxes/a',
        httpMethod: 'GET',
        headers,
        multiValueHeaders: {},
        queryStringParameters: null,
        pathParameters: { proxy: 'api/sandboxes/a' },
        requestContext: { resourcePath: '/{proxy+}', httpMethod: 'GET', path: '/prod/api/sandboxes/a', stage: 'prod' },
        body: null,
        isBase64Encoded: false,
      },
    ],
    ['that is null', null],
    ['that is a text', 'ping'],
    ['that is a number', 0],
    ['that is a list', [event]],
  ];
  // A list is asked for by nothing but its route.
  const answers: [FunctionName, number][] = [
    ['create-sandbox', 422],
    ['get-sandbox', 422],
    ['list-sandboxes', 200],
    ['renew-sandbox', 422],
    ['destroy-sandbox', 422],
    ['health', 200],
    ['fallback', 404],
  ];

  it.each(events)('gets the answer that a stray request gets: %s', async (_how, odd) => {
    const empty = await startApiServer(({ url }, response) =>
      answerJson(response, { kind: url.includes('/pods') ? 'PodList' : 'ServiceList', apiVersion: 'v1', items: [] }),
    );
    startCold({ AUTH: 'off', KUBECONFIG_PATH: await writeKubeconfig({ server: empty.url }) });
    for (const [name, status] of answers) {
      // Each function may change its event.
      const answer = await callWith(name, structuredClone(odd) as HttpEvent, lambdaContext(name));
      expect(answer, name).toMatchObject({ status, headers: json });
    }
  });

  it.each(events)('gets past nobody who asks for a key: %s', async (_how, odd) => {
    startCold({ AUTH: 'required' });
    for (const [name, status] of answers) {
      const { rawPath } = Object(odd) as { rawPath?: unknown };
      const isOpen = name === 'health' || (name === 'fallback' && rawPath === '/');
      expect(await callWith(name, structuredClone(odd) as HttpEvent, lambdaContext(name)), name).toMatchObject({
        status: isOpen ? status : 401,
      });
    }
    expect(api.requests).toEqual([]);
  });
});
