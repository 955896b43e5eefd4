import { afterEach, describe, expect, it } from 'vitest';

import { expectError, expectUnprocessable } from '../support/answers.ts';
import { findListeningPorts } from '../support/listening-ports.ts';
import { useWorld } from '../support/world.ts';

const world = useWorld();

// Whatever a test here sends, Kubernetes is not asked: the original found out what was wrong after it had made a Pod.
afterEach(() => {
  const calls = world.proxy.calls.map(({ method, path }) => `${method} ${path}`);
  world.proxy.reset();
  expect(calls).toEqual([]);
});

const ok = { sandbox_id: '0123456789abcdef', thread_id: 'a-thread' };
const megabyte = 1_000_000;

describe('a body that does not validate', () => {
  it('is answered as FastAPI answers it', async () => {
    const answer = await world.create({ thread_id: 'a-thread' });
    expect(answer.status).toBe(422);
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    expect(answer.body).toEqual({
      detail: [
        { type: 'missing', loc: ['body', 'sandbox_id'], msg: 'Field required', input: { thread_id: 'a-thread' } },
      ],
    });
  });

  it.each<[string, unknown]>([
    ['absent', undefined],
    ['null', null],
    ['a number', 12345678],
    ['a boolean', true],
    ['an array', ['a']],
    ['an object', { id: 'a' }],
    ['empty', ''],
    ['a blank', ' '],
    ['52 characters long', 'a'.repeat(52)],
    ['60 000 characters long', 'a'.repeat(60_000)],
    ['in capitals', 'ABCDEF01'],
    ['with an underscore', 'a_b'],
    ['with a dot', 'a.b'],
    ['with a slash', 'a/b'],
    ['a path', '../../etc'],
    ['a dash alone', '-'],
    ['with a dash in front', '-a'],
    ['with a dash at its end', 'a-'],
    ['with a newline at its end', 'abc\n'],
    ['with a NUL', 'a\u0000b'],
    ['with letters beyond ASCII', 'äöü'],
    ['with digits beyond ASCII', '١٢٣'],
    ['a label selector', 'a,sandbox-id!=a'],
  ])('422: a sandbox_id that is %s', async (_what, sandbox_id) => {
    const answer = await world.create({ ...ok, sandbox_id });
    expectUnprocessable(answer, ['body', 'sandbox_id']);
    expect(answer.text.length).toBeLessThan(2_000);
  });

  it.each<[string, unknown]>([
    ['empty', ''],
    ['a number', 1],
    ['a boolean', false],
    ['an array', []],
    ['an object', {}],
    ['65 characters long', 'a'.repeat(65)],
    ['60 000 characters long', 'a'.repeat(60_000)],
    ['a dot', '.'],
    ['two dots', '..'],
    ['a path to elsewhere', '../../../etc'],
    ['with a slash', 'a/b'],
    ['with a backslash', 'a\\b'],
    ['with a blank', 'a b'],
    ['with a newline at its end', 'abc\n'],
    ['with a NUL', 'a\u0000'],
    ['with letters beyond ASCII', 'ünï'],
  ])('422: a thread_id that is %s', async (_what, thread_id) => {
    // It becomes a path on the node: the original mounted whatever it said.
    const answer = await world.create({ ...ok, thread_id });
    expectUnprocessable(answer, ['body', 'thread_id']);
    expect(answer.text.length).toBeLessThan(2_000);
  });

  it('says of every field what is wrong with it', async () => {
    expectUnprocessable(
      await world.create({ sandbox_id: 'A', thread_id: '..' }),
      ['body', 'sandbox_id'],
      ['body', 'thread_id'],
    );
    expectUnprocessable(await world.create({}), ['body', 'sandbox_id']);
  });

  it.each<[string, string]>([
    ['null', 'null'],
    ['an array', '[]'],
    ['an array of requests', JSON.stringify([ok])],
    ['a string', '"sandbox_id"'],
    ['a number', '42'],
    ['a boolean', 'true'],
    ['an array nested 30 000 deep', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
    ['an object nested 10 000 deep', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
  ])('422: %s for a body', async (_what, body) => {
    const answer = await world.create(body);
    expectUnprocessable(answer);
    expect(answer.body.detail[0].loc[0]).toBe('body');
  });

  it('does not take what stands in a prototype for a field', async () => {
    expectUnprocessable(await world.create('{"__proto__": {"sandbox_id": "abc"}}'));
  });
});

describe('a body that is not JSON', () => {
  it.each<[string, string]>([
    ['empty', ''],
    ['blank', ' \n'],
    ['cut off', '{"sandbox_id": "abc"'],
    ['in single quotes', "{'sandbox_id': 'abc'}"],
    ['a form', 'sandbox_id=abc&thread_id=abc'],
    ['two documents', '{"sandbox_id":"abc"}{"sandbox_id":"abc"}'],
    ['with a comment', '{"sandbox_id":"abc"} // mine'],
    ['arrays that are never closed', '['.repeat(60_000)],
    ['NaN', 'NaN'],
  ])('422: %s', async (_what, body) => {
    const answer = await world.create(body);
    expectUnprocessable(answer);
    expect(answer.body.detail[0].loc[0]).toBe('body');
  });

  it('422: none at all', async () => {
    expectUnprocessable(await world.create(undefined));
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
    expect(answer.status).toBe(413);
    expect(answer.body).toEqual(expect.any(Object));
  });
});

describe('the content type', () => {
  // A web page can send these to localhost without asking anybody.
  it.each([
    'text/plain',
    'text/plain; charset=utf-8',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/octet-stream',
    'text/plain; a=application/json',
    'application/jsonish',
  ])('415: %s', async (contentType) => {
    expectError(await world.create(JSON.stringify(ok), { headers: { 'content-type': contentType } }), 415);
  });

  it.each<[string, Record<string, string>]>([
    ['missing', {}],
    ['in capitals', { 'content-type': 'Application/JSON' }],
    ['with a charset', { 'content-type': 'application/json; charset=utf-8' }],
    ['and its name in capitals', { 'Content-Type': 'application/json' }],
  ])('is read as JSON: %s', async (_what, headers) => {
    // Seen by what is wrong in it; text that was not read would have no sandbox_id.
    const answer = await world.create(JSON.stringify({ ...ok, thread_id: '..' }), { headers });
    expectUnprocessable(answer, ['body', 'thread_id']);
  });
});

describe('a web page', () => {
  // Without CORS_ALLOWED_ORIGINS there is none of ours, with a key or without.
  const origins: [string, () => string][] = [
    ['of another origin', () => 'https://elsewhere.example'],
    ['of another port of this machine', () => 'http://localhost:3000'],
    // What a page has that made its own name lead here.
    ['of our own address', () => new URL(world.provisioner.url).origin],
    ['in a sandboxed frame', () => 'null'],
    ['that does not say where it is from', () => ''],
  ];
  const requests: [string, string][] = [
    ['POST', '/api/sandboxes'],
    ['GET', '/api/sandboxes'],
    ['GET', '/api/sandboxes/abc'],
    ['DELETE', '/api/sandboxes/abc'],
    ['GET', '/health'],
    ['GET', '/nowhere'],
    ['PUT', '/api/sandboxes'],
  ];

  it.each(origins.flatMap(([what, originOf]) => requests.map((request) => [what, ...request, originOf] as const)))(
    '%s gets 403 for %s %s',
    async (_what, method, path, originOf) => {
      const headers = { Origin: originOf(), 'content-type': 'application/json' };
      const rest = { headers, ...(method === 'GET' ? {} : { body: ok }) };
      const answer = await world.call(method, path, rest);
      expectError(answer, 403, 'Calls from web pages are refused');
      // serverless-offline says yes to every page by itself.
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    },
  );

  it.each(requests)('does nothing by asking whether it may: %s %s', async (method, path) => {
    const asks = { 'access-control-request-method': method, 'access-control-request-headers': 'content-type' };
    const answer = await world.call('OPTIONS', path, { headers: { origin: 'https://elsewhere.example', ...asks } });
    expectError(answer, 403, 'Calls from web pages are refused');
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
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
    const headers = { 'content-type': 'application/json' };
    expectError(await world.call(method, path, method === 'POST' ? { headers, body: event } : {}), 404, 'Not Found');
  });

  it.skipIf(process.platform !== 'linux')('are reached over one TCP port, and no other', async () => {
    expect(await findListeningPorts(world.provisioner.pid)).toEqual(world.provisioner.ports);
  });
});

describe('an id in a path that is no id', () => {
  const paths = [
    'ABC',
    'a_b',
    'a.b',
    '-',
    '-a',
    'a-',
    'a%20b',
    '%C3%BC',
    'a'.repeat(52),
    'abc%0A',
    '%00',
    '..%2F..%2Fx',
    'a,b',
  ];

  it.each(paths)('422: GET %s', async (id) => {
    expectUnprocessable(await world.get(id), ['path', 'sandbox_id']);
  });

  it.each(paths)('422: DELETE %s', async (id) => {
    expectUnprocessable(await world.destroy(id), ['path', 'sandbox_id']);
  });

  it('is no 200 when it cannot be decoded', async () => {
    const answer = await world.get('%E0%A4%A');
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
  });
});

describe('paths and methods', () => {
  it.each([
    ['GET', '/'],
    ['GET', '/api'],
    ['GET', '/api/sandbox'],
    ['GET', '/API/sandboxes'],
    ['POST', '/api/sandboxes/a/start'],
    ['GET', '/api/sandboxes/a/b/c'],
    ['GET', '/healthz'],
    ['POST', '/'],
    ['DELETE', '/api'],
    ['GET', '/favicon.ico'],
    ['GET', '/v1/sandbox'],
  ])('404: %s %s', async (method, path) => {
    expectError(await world.call(method, path), 404);
  });

  it.each([
    ['PUT', '/api/sandboxes', ['GET', 'POST']],
    ['PATCH', '/api/sandboxes', ['GET', 'POST']],
    ['DELETE', '/api/sandboxes', ['GET', 'POST']],
    ['POST', '/api/sandboxes/abc', ['DELETE', 'GET']],
    ['PUT', '/api/sandboxes/abc', ['DELETE', 'GET']],
    ['PATCH', '/api/sandboxes/abc', ['DELETE', 'GET']],
    ['POST', '/health', ['GET']],
    ['DELETE', '/health', ['GET']],
  ])('405: %s %s, which tells the right ones', async (method, path, allowed) => {
    const body = method === 'DELETE' ? undefined : ok;
    const answer = await world.call(method, path, { body, headers: { 'content-type': 'application/json' } });
    expectError(answer, 405);
    const allow = (answer.headers.allow ?? '').split(/,\s*/).filter((name) => name !== 'HEAD' && name !== 'OPTIONS');
    expect(allow.sort()).toEqual(allowed);
  });

  // API Gateway sees another path there and serverless-offline does not, so an answer comes at once or after a redirect.
  it.each([
    ['GET', '/health/', { status: 'ok' }],
    ['GET', '/api/sandboxes/ABC/', { detail: expect.any(Array) }],
    ['POST', '/api/sandboxes/', { detail: expect.any(Array) }],
  ])('a slash at the end changes no answer: %s %s', async (method, path, body) => {
    const rest = method === 'POST' ? { body: {}, headers: { 'content-type': 'application/json' } } : {};
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
