import { afterEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { sandboxLabels } from '../../lib/model/names.ts';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { keepSecret } from '../support/secrets.ts';
import {
  type ApiServer,
  answerEmpty,
  answerJson,
  answerNotFound,
  answerStatus,
  startApiServer,
  writeKubeconfig,
} from '../unit/api-server.ts';
import { apiKey, call, callWith, create, destroy, get, keepPrinted, list, load, renew, startCold } from './handlers.ts';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

async function startWith(answer: Parameters<typeof startApiServer>[0], settings = {}): Promise<ApiServer> {
  const api = await startApiServer(answer);
  startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), ...settings });
  return api;
}

type Line = Record<string, unknown>;

/** The lines that are written while this runs; each is one. */
async function linesOf(work: () => Promise<unknown>): Promise<Line[]> {
  const printed = keepPrinted();
  await work();
  vi.restoreAllMocks();
  return printed.flatMap((text) => {
    expect(text.match(/\n/g)).toHaveLength(1);
    return [JSON.parse(text)];
  });
}

const one = (method: string, settings: object = {}) => ({
  method,
  path: '/api/sandboxes/a1b2c3d4',
  routeKey: `${method} /api/sandboxes/{sandbox_id}`,
  pathParameters: { sandbox_id: 'a1b2c3d4' },
  ...settings,
});
describe('the line of a request', () => {
  it('says what was asked, by whom and from where, how it ended, and what it took in Kubernetes', async () => {
    await startWith(answerNotFound);
    expect(await linesOf(() => destroy('a1b2c3d4'))).toEqual([
      {
        level: 'INFO',
        message: 'Answered',
        timestamp: expect.any(String),
        service: 'sandbox-provisioner',
        sampling_rate: 0,
        requestId: '8f507cfc-xmpl-4697-b07a-ac58fc914c95',
        routeKey: 'DELETE /api/sandboxes/{sandbox_id}',
        statusCode: 200,
        durationMs: expect.any(Number),
        kubernetesCalls: 2,
        kubernetesMs: expect.any(Number),
        coldStart: true,
        caller: 'PROVISIONER_API_KEY#1',
        sourceIp: '192.0.2.1',
        sandboxId: 'a1b2c3d4',
        did: 'absent',
        audit: true,
      },
    ]);
    const [again] = await linesOf(() => destroy('a1b2c3d4'));
    expect(again).not.toHaveProperty('coldStart');
  });

  it('is the one line of a request that fails, with its kind and its cause', async () => {
    await startWith((_request, response) => answerStatus(response, 403, 'Forbidden'));
    const lines = await linesOf(() => get('a1b2c3d4'));
    const message = 'Service lookup failed: Kubernetes does not permit it (403 Forbidden)';
    const cause = { code: 403, reason: 'Forbidden', message: 'secret words: Forbidden' };
    expect(lines).toMatchObject([{ level: 'ERROR', message, statusCode: 500, errorKind: 'refused', cause }]);
  });

  it('is written where the code throws what nobody expected, with where it began', async () => {
    startCold();
    const { serve } = await import('../../lib/http/serve.ts');
    const handler = serve({ deadlineSeconds: 8 }, async () => {
      throw new TypeError('a fault of ours');
    });
    const event = httpEvent({ method: 'GET', path: '/api/sandboxes', headers: { 'x-api-key': apiKey } });
    const lines = await linesOf(() => handler(event as HttpEvent, lambdaContext()));
    const cause = {
      name: 'TypeError',
      message: 'a fault of ours',
      stack: expect.stringContaining('request-line.test'),
    };
    expect(lines).toMatchObject([{ level: 'ERROR', message: 'Internal Server Error', statusCode: 500, cause }]);
  });

  it('has no stack of what a caller did wrong', async () => {
    startCold();
    const lines = await linesOf(() => call('create-sandbox', { method: 'POST', path: '/api/sandboxes', body: '{' }));
    expect(lines).toMatchObject([{ level: 'INFO', statusCode: 422, cause: { message: expect.any(String) } }]);
    expect(lines[0]?.cause).not.toHaveProperty('stack');
  });

  it('is written in time where Kubernetes hangs: its time counts as far as it has come', async () => {
    await startWith(() => {});
    await load('get-sandbox');
    const [line, ...others] = await linesOf(() => get('a1b2c3d4', lambdaContext('get-sandbox', 1500)));
    expect(line).toMatchObject({ level: 'ERROR', statusCode: 504, errorKind: 'deadline-exceeded', kubernetesCalls: 2 });
    expect(line?.kubernetesMs).toBeGreaterThan(200);
    expect(line?.kubernetesMs).toBeLessThanOrEqual(line?.durationMs as number);
    expect(others).toEqual([]);
  });

  it('is the only one of a wait that ends while Kubernetes is asked', async () => {
    const labels = sandboxLabels('a1b2c3d4');
    const annotations = { 'sandbox-provisioner/last-used-at': new Date().toISOString() };
    const spec = { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30_000 }] };
    const service = { kind: 'Service', metadata: { name: 'sandbox-a1b2c3d4-svc', labels, annotations }, spec };
    const pod = { kind: 'Pod', metadata: { name: 'sandbox-a1b2c3d4', labels }, status: { phase: 'Pending' } };
    let looks = 0;
    await startWith(({ url }, response) => {
      if (!url.includes('/pods/')) return answerJson(response, service);
      looks += 1;
      if (looks === 1) answerJson(response, pod);
    });
    const lines = await linesOf(() => get('a1b2c3d4', lambdaContext('get-sandbox'), { wait_seconds: '1' }));
    expect(lines).toMatchObject([{ message: 'Answered', statusCode: 200 }]);
    expect(looks).toBeGreaterThan(1);
  });

  it.each<[string, object]>([
    ['null', null as unknown as object],
    ['a ping', { ping: true }],
    ['a list', [1]],
  ])('is written for an event that is none of HTTP: %s', async (_what, event) => {
    startCold();
    const lines = await linesOf(() => callWith('list-sandboxes', event as HttpEvent, lambdaContext()));
    expect(lines).toMatchObject([{ level: 'INFO', statusCode: 401, errorKind: 'unauthenticated', kubernetesCalls: 0 }]);
    expect(lines[0]).not.toHaveProperty('caller');
  });

  const noise = { method: 'GET', path: '/health' };
  const wrongKey = { headers: { 'x-api-key': 'a-wrong-key-of-nobody' } };
  it.each<[string, string, () => Promise<unknown>, object[]]>([
    ['of /health, which is asked all the time', 'INFO', () => call('health', noise), []],
    ['of /health, at DEBUG', 'DEBUG', () => call('health', noise), [{ level: 'DEBUG', routeKey: 'GET /health' }]],
    ['of what goes well, at WARN', 'WARN', () => get('a1b2c3d4'), []],
    ['of what the caller did wrong, at WARN', 'WARN', () => call('get-sandbox', one('GET', wrongKey)), []],
    ['of a change, at WARN', 'WARN', () => destroy('a1b2c3d4'), [{ level: 'INFO', audit: true, did: 'absent' }]],
    ['of a change, at ERROR', 'ERROR', () => renew('a1b2c3d4'), [{ level: 'INFO', audit: true, statusCode: 404 }]],
    ['of a change, at SILENT', 'SILENT', () => destroy('a1b2c3d4'), []],
  ])('is there or not: that %s', async (_what, LOG_LEVEL, work, expected) => {
    await startWith(answerNotFound, { LOG_LEVEL });
    const lines = await linesOf(work);
    expect(lines).toMatchObject(expected);
    expect(lines).toHaveLength(expected.length);
  });

  it.each<[string, () => Promise<unknown>, boolean]>([
    ['that was refused for its key', () => call('destroy-sandbox', one('DELETE', wrongKey)), false],
    ['that was refused for its body', () => create({ sandbox_id: 'No' }), false],
    [
      'of a route that is none',
      () => call('fallback', { method: 'POST', path: '/api/x', routeKey: '$default' }),
      false,
    ],
    ['that only looks', () => get('a1b2c3d4'), false],
    ['that Kubernetes failed at, which may have done it in part', () => destroy('a1b2c3d4'), true],
    ['that failed before anything was made', () => create({ sandbox_id: 'a1b2c3d4' }), true],
  ])('says whether something may have changed: one %s', async (_what, work, isAudited) => {
    await startWith((_request, response) => answerStatus(response, 500, 'InternalError'));
    const lines = await linesOf(work);
    expect(lines.map(({ audit }) => audit === true)).toEqual([isAudited]);
  });

  it('names no key, however it is shown, and no body, at any level', async () => {
    const [first, second] = [keepSecret('the-first-key-of-callers'), keepSecret('the-second-key-of-callers')];
    await startWith(answerNotFound, { PROVISIONER_API_KEY: JSON.stringify([first, second]), LOG_LEVEL: 'TRACE' });
    const secret = keepSecret('the-secret-of-a-thread');
    // Its sender is told of it; in the log it has no business.
    const metadata = { 'a-word-of-the-body!': '' };
    const lines = await linesOf(async () => {
      for (const key of [first, second, `${first}x`]) {
        await call('get-sandbox', one('GET', { headers: { 'x-api-key': key, authorization: key, cookie: key } }));
        await create({ sandbox_id: 'No', metadata, environment: { secret, key } }, { headers: { 'x-api-key': key } });
      }
    });
    expect(lines.map(({ caller }) => caller)).toEqual([
      ...Array(2).fill('PROVISIONER_API_KEY#1'),
      ...Array(2).fill('PROVISIONER_API_KEY#2'),
      ...Array(2).fill(undefined),
    ]);
    for (const text of [first, second, secret, 'a-word']) expect(JSON.stringify(lines)).not.toContain(text);
  });

  const issuer = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'us' };
  const claims = { iss: 'https://issuer.example/', aud: 'us' };
  it.each<[string, object, string]>([
    ['the subject of a token', { ...claims, sub: 'alice' }, 'jwt:alice'],
    ['the program of one without', { ...claims, client_id: 'job' }, 'jwt:job'],
    ['an odd one, cut', { ...claims, sub: 'x'.repeat(999) }, `jwt:${'x'.repeat(200)}`],
  ])('says who called: %s', async (_what, jwt, caller) => {
    await startWith(answerEmpty, issuer);
    const event = httpEvent({ method: 'GET', path: '/api/sandboxes' });
    Object.assign(event.requestContext, { authorizer: { jwt: { claims: jwt } } });
    const lines = await linesOf(() => callWith('list-sandboxes', event as HttpEvent, lambdaContext()));
    expect(lines).toMatchObject([{ caller }]);
  });

  it('says that anybody may call where AUTH is off', async () => {
    await startWith(answerEmpty, { AUTH: 'off' });
    expect(await linesOf(() => list())).toMatchObject([{ caller: 'anybody' }]);
  });

  const nasty = 'a\n{"level":"INFO"}\r\u001b[31m\u009b31m\u2028\u2029\u007f\u0085';
  it('stays one line without a command for a terminal, whatever a caller sends', async () => {
    await startWith(answerNotFound, { AUTH: 'off' });
    const printed = keepPrinted();
    const odd = { path: `/api/${nasty}`, routeKey: nasty, pathParameters: { sandbox_id: nasty }, query: { x: nasty } };
    const event = httpEvent({ method: nasty, headers: { 'x-api-key': nasty, 'content-type': nasty }, ...odd });
    Object.assign(event.requestContext.http, { sourceIp: nasty });
    for (const name of ['get-sandbox', 'create-sandbox', 'fallback', 'list-sandboxes'] as const) {
      await callWith(name, structuredClone(event) as HttpEvent, lambdaContext());
    }
    vi.restoreAllMocks();
    expect(printed).toHaveLength(4);
    for (const line of printed) {
      expect(line).toMatch(/^\{[^\p{Cc}\p{Zl}\p{Zp}]*\}\n$/u);
      expect(JSON.parse(line)).not.toHaveProperty('sandboxId');
    }
  });

  it('has the numbers of its own request, of many side by side, and counts calls that are made again', async () => {
    let refusals = 2;
    await startWith((request, response) => {
      const isPod = request.url.includes('/pods/');
      // Three calls for each Pod of this one: it is refused twice.
      if (isPod && request.url.includes('repeated') && refusals > 0) {
        refusals -= 1;
        answerStatus(response, 503, 'ServiceUnavailable');
      } else setTimeout(() => answerNotFound(request, response), isPod ? 5 : 30);
    });
    const lines = await linesOf(() =>
      Promise.all([
        get('repeated'),
        renew('b'),
        get('c'),
        destroy('d'),
        call('health', noise),
        create({ sandbox_id: 'No' }),
      ]),
    );
    const calls = lines.map(({ routeKey, sandboxId, kubernetesCalls }) => [routeKey, sandboxId, kubernetesCalls]);
    expect(Object.fromEntries(calls.map(([route, id, count]) => [id ?? route, count]))).toEqual({
      repeated: 4,
      b: 2,
      c: 2,
      d: 2,
      'GET /health': 0,
      'POST /api/sandboxes': 0,
    });
    for (const { kubernetesMs, durationMs } of lines) expect(kubernetesMs).toBeLessThanOrEqual(durationMs as number);
  });

  it('counts a list that several wait for once, and its time for each of them', async () => {
    const api = await startWith((request, response) => {
      setTimeout(() => answerEmpty(request, response), 30);
    });
    const lines = await linesOf(() => Promise.all(Array.from({ length: 8 }, () => list())));
    const total = lines.reduce((sum, { kubernetesCalls }) => sum + Number(kubernetesCalls), 0);
    expect(total).toBe(api.requests.length);
    expect(total).toBeLessThan(16);
    for (const { kubernetesMs } of lines) expect(kubernetesMs).toBeGreaterThanOrEqual(25);
  });
});
