import { afterEach, describe, expect, it } from 'vitest';

import { expectError, expectUnprocessable } from '../support/answers.ts';
import { findListeningPorts } from '../support/listening-ports.ts';
import { lean, useWorld } from '../support/world.ts';

const world = useWorld(lean);

// Whatever a test here sends, Kubernetes is not asked: the original found out what was wrong after it had made a Pod.
afterEach(() => {
  const calls = world.proxy.calls.map(({ method, path }) => `${method} ${path}`);
  world.proxy.reset();
  expect(calls).toEqual([]);
});

const ok = { sandbox_id: '0123456789abcdef', thread_id: 'a-thread' };
const megabyte = 1_000_000;
const json = { 'content-type': 'application/json' };

describe('a body that does not validate', () => {
  it('is answered as FastAPI answers it', async () => {
    const answer = await world.create({ thread_id: 'a-thread' });
    const input = { thread_id: 'a-thread' };
    expectUnprocessable(answer, ['body', 'sandbox_id']);
    expect(answer.body).toEqual({
      detail: [{ type: 'missing', loc: ['body', 'sandbox_id'], msg: 'Field required', input }],
    });
  });

  it.each<[field: 'sandbox_id' | 'thread_id', how: string, values: unknown[]]>([
    ['sandbox_id', 'absent, or no text', [undefined, null, 12345678, true, ['a'], { id: 'a' }]],
    ['sandbox_id', 'too short or too long', ['', ' ', '-', 'a'.repeat(52), 'a'.repeat(60_000)]],
    ['sandbox_id', 'of other characters', ['ABCDEF01', 'a_b', 'a.b', 'abc\n', 'a\u0000b', 'äöü', '١٢٣']],
    ['sandbox_id', 'a path, a selector, or a dash too many', ['a/b', '../../etc', 'a,sandbox-id!=a', '-a', 'a-']],
    ['thread_id', 'no text', [1, false, [], {}]],
    ['thread_id', 'too short or too long', ['', 'a'.repeat(65), 'a'.repeat(60_000)]],
    // It becomes a path on the node: the original mounted whatever it said.
    ['thread_id', 'a path', ['.', '..', '../../../etc', 'a/b', 'a\\b']],
    ['thread_id', 'of other characters', ['a b', 'abc\n', 'a\u0000', 'ünï']],
  ])('422: a %s that is %s', async (field, _how, values) => {
    for (const value of values) {
      const answer = await world.create({ ...ok, [field]: value });
      expectUnprocessable(answer, ['body', field]);
      expect(answer.text.length).toBeLessThan(2_000);
    }
  });

  it('says of every field what is wrong with it', async () => {
    const answer = await world.create({ sandbox_id: 'A', thread_id: '..' });
    expectUnprocessable(answer, ['body', 'sandbox_id'], ['body', 'thread_id']);
    expectUnprocessable(await world.create({}), ['body', 'sandbox_id']);
  });

  it.each<[string, (string | undefined)[]]>([
    ['other JSON', ['null', '[]', JSON.stringify([ok]), '"sandbox_id"', '42', 'true']],
    ['deeply nested JSON', [`${'['.repeat(30_000)}${']'.repeat(30_000)}`, '{"a":'.repeat(10_000) + '}'.repeat(10_000)]],
    ['JSON with a prototype', ['{"__proto__": {"sandbox_id": "abc"}}', '{"sandbox_id":"a","__proto__":{"a":"x"}}']],
    ['no JSON', [undefined, '', ' \n', 'sandbox_id=abc&thread_id=abc', 'NaN', '['.repeat(60_000)]],
    [
      'almost JSON',
      ['{"sandbox_id": "abc"', "{'sandbox_id': 'abc'}", '{"sandbox_id":"a"}{}', '{"sandbox_id":"a"} // x'],
    ],
  ])('422: %s', async (_what, bodies) => {
    for (const body of bodies) {
      const answer = await world.create(body);
      expectUnprocessable(answer);
      expect(answer.body.detail[0].loc[0]).toBe('body');
    }
    expectUnprocessable(await world.create(undefined, { headers: {} }));
  });
});

describe('a body of 1 MB', () => {
  it.each<[string, string]>([
    ['of a legal request and a field that nobody knows', JSON.stringify({ ...ok, padding: 'a'.repeat(megabyte) })],
    ['of an id', JSON.stringify({ ...ok, sandbox_id: 'a'.repeat(megabyte) })],
    ['of an array', `[${'0,'.repeat(megabyte / 2 - 10)}0]`],
    ['of arrays in arrays', `${'['.repeat(megabyte / 2)}${']'.repeat(megabyte / 2)}`],
    ['of letters', 'a'.repeat(megabyte)],
  ])('413: %s', async (_what, body) => {
    expectError(await world.create(body), 413);
  });

  it('is refused as well where it is too much for what stands in front of us', async () => {
    const answer = await world.create({ ...ok, padding: 'a'.repeat(3 * megabyte) });
    expect(answer).toMatchObject({ status: 413, body: expect.any(Object) });
  });
});

describe('the content type', () => {
  // A web page can send these to localhost without asking anybody.
  it.each([
    ...[
      'text/plain',
      'TEXT/PLAIN',
      'text/plain; charset=utf-8',
      'text/plain; a=application/json',
      'application/jsonish',
    ],
    ...['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml'],
    'application/octet-stream',
  ])('415: %s', async (contentType) => {
    const answer = await world.create(JSON.stringify(ok), { headers: { 'content-type': contentType } });
    expectError(answer, 415, 'The content type must be application/json');
  });

  it.each<[string, Record<string, string>]>([
    ['missing', {}],
    ['in capitals', { 'content-type': 'Application/JSON' }],
    ['with a charset', { 'content-type': 'application/json; charset=utf-8' }],
    ['of its family', { 'content-type': 'application/vnd.x+json' }],
    ['and its name in capitals', { 'Content-Type': 'application/json' }],
  ])('is read as JSON: %s', async (_what, headers) => {
    // Seen by what is wrong in it; text that was not read would have no sandbox_id.
    const answer = await world.create(` \n${JSON.stringify({ ...ok, thread_id: '..' })}\n`, { headers });
    expectUnprocessable(answer, ['body', 'thread_id']);
  });
});

describe('a web page', () => {
  // Without CORS_ALLOWED_ORIGINS there is none of ours, with a key or without.
  const origins: [string, () => string][] = [
    ['of another origin', () => 'https://elsewhere.example'],
    ['of another port of this machine', () => 'http://localhost:3000'],
    ['in a sandboxed frame', () => 'null'],
    ['that does not say where it is from', () => ''],
  ];
  const requests: [string, string][] = [
    ['POST', '/api/sandboxes'],
    ['GET', '/api/sandboxes'],
    ['GET', '/api/sandboxes/abc'],
    ['DELETE', '/api/sandboxes/abc'],
    ['PATCH', '/api/sandboxes/abc'],
    ['GET', '/health'],
    ['GET', '/nowhere'],
    ['PUT', '/api/sandboxes'],
  ];

  it.each(origins)('%s gets 403, and does nothing by asking whether it may', async (_what, originOf) => {
    for (const [method, path] of requests) {
      const body = method === 'GET' ? {} : { body: ok };
      const asks = { 'access-control-request-method': method, 'access-control-request-headers': 'content-type' };
      for (const answer of [
        await world.call(method, path, { headers: { Origin: originOf(), ...json }, ...body }),
        await world.call('OPTIONS', path, { headers: { origin: originOf(), ...asks } }),
      ]) {
        expectError(answer, 403, 'Calls from web pages are refused');
        // serverless-offline says yes to every page by itself.
        expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
      }
    }
  });
});

// Or one that made its own name lead here: of that name is what it calls as well.
it('a web page of our own address gets no further without the key', async () => {
  const headers = { ...json, origin: new URL(world.provisioner.url).origin };
  const answers = [
    await world.create(ok, { headers: { ...headers, 'x-api-key': '' } }),
    await world.create({}, { headers }),
    await world.call('OPTIONS', '/api/sandboxes', { headers: { ...headers, 'access-control-request-method': 'POST' } }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([401, 422, 405]);
  for (const answer of answers) expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
});

describe('the functions', () => {
  // serverless-offline has a second server that invokes any of them with any event, for web pages too.
  it.each([
    ['POST', '/2015-03-31/functions/sandbox-provisioner-production-create-sandbox/invocations'],
    ['POST', '/2015-03-31/functions/create-sandbox/invocations'],
    ['POST', '/2014-11-13/functions/sandbox-provisioner-production-create-sandbox/invoke-async/'],
    ['GET', '/2015-03-31/functions'],
  ])('are not invoked by name: %s %s', async (method, path) => {
    const event = { version: '2.0', routeKey: 'POST /api/sandboxes', headers: {}, body: JSON.stringify(ok) };
    const rest = method === 'POST' ? { headers: json, body: event } : {};
    expectError(await world.call(method, path, rest), 404, 'Not Found');
  });

  it.skipIf(process.platform !== 'linux')('are reached over one TCP port, and no other', async () => {
    expect(await findListeningPorts(world.provisioner.pid)).toEqual(world.provisioner.ports);
  });
});

describe('an id in a path that is no id', () => {
  const paths = 'ABC a_b a.b - -a a- a%20b %C3%BC abc%0A %00 %0d%0a ..%2F..%2Fx a,b'.split(' ');
  it.each([...paths, 'a'.repeat(52), 'a'.repeat(10_000)])('422: %s', async (id) => {
    for (const answer of [await world.get(id), await world.destroy(id)]) {
      expectUnprocessable(answer, ['path', 'sandbox_id']);
      expect(answer.text.length).toBeLessThan(1_000);
    }
  });

  it('is no 200 when it cannot be decoded', async () => {
    const { status } = await world.get('%E0%A4%A');
    expect([status >= 400, status < 500]).toEqual([true, true]);
  });
});

describe('paths and methods', () => {
  it.each([
    ...['GET /api', 'GET /api/sandbox', 'GET /API/sandboxes', 'POST /api/sandboxes/a/start', 'GET /healthz'],
    ...['GET /api/sandboxes/a/b/c', 'DELETE /api', 'GET /favicon.ico', 'GET /v1/sandbox'],
  ])('404: %s', async (request) => {
    const [method = '', path = ''] = request.split(' ');
    expectError(await world.call(method, path), 404, 'Not Found');
  });

  it.each([
    ['/', 'POST PUT', ['GET']],
    ['/api/sandboxes', 'PUT PATCH DELETE', ['GET', 'POST']],
    ['/api/sandboxes/abc', 'POST PUT', ['DELETE', 'GET', 'PATCH']],
    ['/health', 'POST DELETE', ['GET']],
  ])('405: %s with %s, which tells the right ones', async (path, methods, allowed) => {
    for (const method of methods.split(' ')) {
      const body = method === 'DELETE' ? undefined : ok;
      const answer = await world.call(method, path, { body, headers: json });
      expectError(answer, 405, 'Method Not Allowed');
      const allow = (answer.headers.allow ?? '').split(/,\s*/).filter((name) => name !== 'HEAD' && name !== 'OPTIONS');
      expect(allow.sort()).toEqual(allowed);
    }
  });

  // API Gateway sees another path there and serverless-offline does not, so an answer comes at once or after a redirect.
  it.each([
    ['GET', '/health/', { status: 'ok' }],
    ['GET', '/api/sandboxes/ABC/', { detail: expect.any(Array) }],
    ['POST', '/api/sandboxes/', { detail: expect.any(Array) }],
  ])('a slash at the end changes no answer: %s %s', async (method, path, body) => {
    const rest = method === 'POST' ? { body: {}, headers: json } : {};
    const straight = await world.call(method, path.slice(0, -1), rest);
    let answer = await world.call(method, path, rest);
    if (answer.status === 307) {
      const { pathname } = new URL(answer.headers.location as string, `${world.provisioner.url}${path}`);
      answer = await world.call(method, pathname, rest);
    }
    expect(answer.status).toBe(straight.status);
    expect(answer.body).toEqual(straight.body);
    expect(answer.body).toEqual(body);
  });
});
