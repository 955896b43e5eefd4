import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { type HttpRequest, httpEvent, lambdaContext } from '../support/events.ts';
import { type ApiServer, answerEmpty, answerStatus, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { call, callWith, create, destroy, type FunctionName, get, keepPrinted, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const text = (length: number) => `${'{"sandbox_id":"-"'.padEnd(length - 1)}}`;

// It refuses everything: a request that comes so far gets a 500.
let api: ApiServer;
beforeEach(async () => {
  api = await startApiServer((_request, response) => answerStatus(response, 403, 'Forbidden'));
  startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
});
afterEach(() => vi.unstubAllEnvs());

const noJson = {
  type: 'json_invalid',
  loc: ['body', 0],
  msg: 'JSON decode error',
  input: {},
  ctx: { error: 'Not valid JSON' },
};
const base64 = (body: string): [string, Partial<HttpRequest>] => [
  Buffer.from(body).toString('base64'),
  { isBase64Encoded: true },
];

// What is wrong otherwise with a body, its type or its origin: test/contract/bad-input.
describe('POST /api/sandboxes', () => {
  const wrongId = [expect.objectContaining({ loc: ['body', 'sandbox_id'], msg: expect.any(String) })];
  const wrongType = 'The content type must be application/json';
  const tooLarge = 'The body is larger than 65536 bytes';

  it.each<[string, number, unknown, string, Partial<HttpRequest>?]>([
    ['no body', 422, [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }], ''],
    ['an empty content type', 415, wrongType, '{"sandbox_id":"a"}', { headers: { 'content-type': '' } }],
    ['base64 that is no JSON', 422, [noJson], ...base64('{')],
    ['base64 that is none', 422, [noJson], '***', { isBase64Encoded: true }],
    ['JSON that says it is base64', 422, [noJson], '{"sandbox_id":"a"}', { isBase64Encoded: true }],
    ['exactly 64 KB', 422, wrongId, text(65_536)],
    ['a byte more', 413, tooLarge, text(65_537)],
    ['fewer characters, but more bytes', 413, tooLarge, JSON.stringify({ sandbox_id: 'ü'.repeat(40_000) })],
    ['exactly 64 KB behind base64', 422, wrongId, ...base64(text(65_536))],
    ['a byte more behind base64', 413, tooLarge, ...base64(text(65_537))],
    ['too much of another type', 413, tooLarge, 'x'.repeat(70_000), { headers: { 'content-type': 'text/plain' } }],
  ])('refuses %s, and does not ask Kubernetes', async (_what, status, detail, body, rest) => {
    expect(await create(body, rest)).toEqual({ status, headers: json, body: { detail } });
    expect(api.requests).toEqual([]);
  });

  // Parsing and showing the sender its body are both recursive: whichever gives up, the caller is told the same.
  it('refuses a body however deep it is nested', async () => {
    for (const depth of [100, 1_000, 2_000, 2_300, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 20_000, 32_000]) {
      const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
      for (const body of [nested, `{"sandbox_id":${nested}}`, `{"a":${nested}}`]) {
        expect(await create(body), `${depth}`).toMatchObject({ status: 422 });
      }
    }
    expect(api.requests).toEqual([]);
  });

  it('reads JSON behind base64', async () => {
    const detail = expect.stringMatching(/^Service creation failed: /);
    expect(await create(...base64('{"sandbox_id":"a"}'))).toEqual({ status: 500, headers: json, body: { detail } });
    expect(api.requests.length).toBeGreaterThan(0);
  });
});

describe('what a caller sends', () => {
  it('is not in the log, whatever is wrong with it', async () => {
    const mark = 'Said-By-A-Caller';
    const written = keepPrinted();
    const headers = { [mark]: mark, authorization: mark, cookie: mark, 'user-agent': mark };
    const stray = (method: string, path: string, headers: Record<string, string>) =>
      call('fallback', { method, path, routeKey: '$default', headers });
    const answers = [
      await create({ sandbox_id: mark, thread_id: `${mark}/` }, { headers, query: { mark } }),
      await create({ sandbox_id: 'a', ttl_seconds: mark }),
      await create(`{"${mark}`),
      await create(mark, { headers: { 'content-type': mark } }),
      await create('x'.repeat(70_000) + mark),
      await get(mark),
      await destroy(mark),
      await stray(mark, `/api/sandboxes/${mark}/`, headers),
      await stray('GET', `/${mark}`, { ...headers, 'x-api-key': mark }),
      await call('list-sandboxes', { method: 'GET', path: '/api/sandboxes', headers: { 'x-api-key': mark.repeat(2) } }),
      await call('list-sandboxes', { method: 'GET', path: '/api/sandboxes', headers: { origin: mark } }),
    ];
    vi.restoreAllMocks();
    expect(answers.map(({ status }) => status)).toEqual([422, 422, 422, 415, 413, 422, 422, 405, 404, 401, 403]);
    expect(written.length).toBe(answers.length);
    expect(written.filter((line) => line.toLowerCase().includes(mark.toLowerCase()))).toEqual([]);
  });
});

describe('an event that API Gateway does not make', () => {
  const event = httpEvent({ method: 'GET', path: '/nothing' });
  const target = { path: '/api/sandboxes/a', httpMethod: 'GET', headers: event.headers, isBase64Encoded: false };
  const elb = { targetGroupArn: 'arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/x/1' };
  const ofLoadBalancer = { ...target, requestContext: { elb }, queryStringParameters: {}, body: '' };
  const stage = { resourcePath: '/{proxy+}', httpMethod: 'GET', path: '/prod/api/sandboxes/a', stage: 'prod' };
  const parameters = { multiValueHeaders: {}, queryStringParameters: null, pathParameters: { proxy: target.path } };
  const ofRestApi = { ...target, ...parameters, resource: '/{proxy+}', requestContext: stage, body: null };
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
    ['of a load balancer', ofLoadBalancer],
    ['of a REST API', ofRestApi],
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
    ['update-sandbox', 422],
    ['destroy-sandbox', 422],
    ['health', 200],
    ['fallback', 404],
  ];

  it.each(events)('gets the answer that a stray request gets: %s', async (_how, odd) => {
    const empty = await startApiServer(answerEmpty);
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
      const isOpen = name === 'health' || (name === 'fallback' && rawPath === '/nothing');
      expect(await callWith(name, structuredClone(odd) as HttpEvent, lambdaContext(name)), name).toMatchObject({
        status: isOpen ? status : 401,
      });
    }
    expect(api.requests).toEqual([]);
  });
});
