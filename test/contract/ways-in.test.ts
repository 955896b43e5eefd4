import { randomBytes } from 'node:crypto';

import { afterEach, describe, expect, it } from 'vitest';

import type { HttpAnswer } from '../support/http-call.ts';
import { callRaw } from '../support/raw-call.ts';
import { useWorld } from '../support/world.ts';

// Several keys, as while one is replaced by the other; and odd ones.
const [key, oldKey] = [randomBytes(32).toString('hex'), randomBytes(32).toString('base64')];
const oddKey = `${randomBytes(8).toString('hex')}, "[o'dd]" ü`;
const world = useWorld({ PROVISIONER_API_KEY: JSON.stringify([key, oldKey, oddKey, '8 chars!']) });
const wrongKey = randomBytes(32).toString('hex');
const withKey = [`X-API-Key: ${key}`];

type Row = [what: string, requestLine: string, headers?: string[] | undefined, body?: string | undefined];

/** An answer with all its headers but those of the connection; the id of the request has only to be one. */
function whole({ status, headers, body, text }: HttpAnswer) {
  const { date, connection, 'content-length': length, 'accept-ranges': ranges, ...rest } = headers;
  const { 'x-request-id': id, ...known } = rest;
  // What serverless-offline adds.
  if (known['content-type']) known['content-type'] = known['content-type'].replace('; charset=utf-8', '');
  return { status, headers: known, hasId: /^[0-9a-f-]{36}$/.test(String(id)), body: body ?? text };
}

const ours = (status: number, body: unknown, headers: Record<string, string> = {}) => ({
  status,
  headers: {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  },
  hasId: true,
  body,
});
const refused = ours(
  401,
  { detail: 'A valid X-API-Key is required' },
  { 'www-authenticate': 'ApiKey realm="sandbox-provisioner"' },
);
const notFound = ours(404, { detail: 'Not Found' });
const noSandboxes = ours(200, { sandboxes: [], count: 0 });
const healthy = ours(200, { status: 'ok' });
const notAnId = expect.objectContaining({
  status: 422,
  body: { detail: [expect.objectContaining({ loc: ['path', 'sandbox_id'] })] },
});

const read = (path: string) => `GET ${path}`;
const ask = ([, requestLine, headers, body]: Row) => callRaw(world.provisioner.url, requestLine, headers, body);

afterEach(() => world.proxy.reset());

describe('nobody gets in', () => {
  it.each<Row>([
    ['no key', 'GET /api/sandboxes'],
    ['no key, to make something', 'POST /api/sandboxes', ['Content-Type: application/json'], '{"sandbox_id":"abc"}'],
    ['no key, to take something away', 'DELETE /api/sandboxes/abc'],
    ['no key, to look', 'GET /api/sandboxes/abc'],
    ['no key, to change something', 'PATCH /api/sandboxes/abc', ['Content-Type: application/json'], '{"metadata":{}}'],
    ['no key, to renew', 'POST /api/sandboxes/abc/renew'],
    ['no key, to ask for a Pod', 'GET /api/sandboxes/abc/presence'],
    ['no key, to ask what happened', 'GET /api/sandboxes/abc/events'],
    ['no key, to read what was printed', 'GET /api/sandboxes/abc/logs'],
    ['no key, to ask what there is', 'GET /api/capabilities'],
    ['a wrong key', 'GET /api/sandboxes', [`X-API-Key: ${wrongKey}`]],
    ['an empty key', 'GET /api/sandboxes', ['X-API-Key:']],
    ['the beginning of a key', 'GET /api/sandboxes', [`X-API-Key: ${key.slice(0, -1)}`]],
    ['a key and more', 'GET /api/sandboxes', [`X-API-Key: ${key}0`]],
    ['a key in capitals', 'GET /api/sandboxes', [`X-API-Key: ${key.toUpperCase()}`]],
    ['a key in quotes', 'GET /api/sandboxes', [`X-API-Key: "${key}"`]],
    ['both keys in one header', 'GET /api/sandboxes', [`X-API-Key: ${key},${oldKey}`]],
    ['the key, then a wrong one', 'GET /api/sandboxes', [`X-API-Key: ${key}`, `X-API-Key: ${wrongKey}`]],
    ['a wrong one, then the key', 'GET /api/sandboxes', [`X-API-Key: ${wrongKey}`, `X-API-Key: ${key}`]],
    ['the key twice', 'GET /api/sandboxes', [...withKey, ...withKey]],
    ['the key and a byte beyond ASCII', 'GET /api/sandboxes', [`X-API-Key: ${key}\xff`]],
    ['bytes that are no UTF-8', 'GET /api/sandboxes', ['X-API-Key: \xff\xfe\x80\xc3\x28\xed\xa0\x80']],
    ['bytes that are UTF-8', 'GET /api/sandboxes', ['X-API-Key: \xf0\x9f\x94\x91\xf0\x9f\x94\x91\xf0\x9f\x94\x91']],
    ['a tab', 'GET /api/sandboxes', [`X-API-Key: ${key.slice(0, 9)}\t${key.slice(9)}`]],
    ['a key of 8 KB', 'GET /api/sandboxes', [`X-API-Key: ${'a'.repeat(8_000)}`]],
    ['a name out of a prototype', 'GET /api/sandboxes', ['X-API-Key: __proto__', '__proto__: x', 'constructor: x']],
    ['the key in the query', `GET /api/sandboxes?x-api-key=${key}&X-API-Key=${key}&api_key=${key}`],
    ['the key as a bearer token', 'GET /api/sandboxes', [`Authorization: Bearer ${key}`]],
    ['the key in a cookie', 'GET /api/sandboxes', [`Cookie: X-API-Key=${key}`]],
    ['a cookie that is none', 'GET /api/sandboxes', ['Cookie: a=b=c; =;;"']],
    ['the key by another name', 'GET /api/sandboxes', [`X-API-Key-: ${key}`, `XAPI-Key: ${key}`, `X_API_Key: ${key}`]],
    ['a body that is too large', 'POST /api/sandboxes', ['Content-Type: application/json'], `"${'a'.repeat(100_000)}"`],
    ['a body that is no JSON', 'POST /api/sandboxes', ['Content-Type: text/plain'], '{'],
    ['an id that is none', 'GET /api/sandboxes/NO_ID'],
    // Of serverless-offline: whoever sends it says what the authorizer found.
    ['a forged authorizer', 'GET /api/sandboxes', ['sls-offline-authorizer-override: {"jwt":{"claims":{"iss":"x"}}}']],
    ['another method in a header', 'POST /api/sandboxes', ['X-HTTP-Method-Override: GET', 'X-HTTP-Method: GET']],
    ...[
      ...['OPTIONS', 'TRACE', 'PUT', 'PROPFIND'].map((method) => `${method} /api/sandboxes`),
      ...['PATCH /api/sandboxes/abc', 'GET http://elsewhere.example/api/sandboxes'],
      ...['/api/nowhere', '/api', '/api/', '/api/sandboxes/', '//api/sandboxes', '/api//sandboxes'].map(read),
      ...['/API/sandboxes', '/api/./sandboxes', '/health/../api/sandboxes', '/health/%2e%2e/api/sandboxes'].map(read),
      ...['/health/%2E%2E/api/sandboxes', '/health;/../api/sandboxes', '/%61pi/sandboxes', '/api%2fsandboxes'].map(
        read,
      ),
      ...['/api\\sandboxes', '/api/sandboxes;a=b', '/api/sandboxes.', '/api/sandboxes%00'].map(read),
      ...['/api/sandboxes/a%2fb', '/api/sandboxes/%2e%2e', '/api/sandboxes/%00'].map(read),
    ].map((requestLine): Row => [requestLine, requestLine]),
    ['another host', 'GET /api/sandboxes', ['Host: localhost']],
    ['proxies’ headers', 'GET /api/sandboxes', ['X-Forwarded-For: 127.0.0.1', 'X-Original-URL: /health', 'Via: x']],
  ])('with %s', async (...row) => {
    expect(whole(await ask(row))).toEqual(refused);
    expect(world.proxy.calls).toEqual([]);
  });

  it('with HEAD, which has no body', async () => {
    expect(whole(await callRaw(world.provisioner.url, 'HEAD /api/sandboxes'))).toEqual({ ...refused, body: '' });
    expect(world.proxy.calls).toEqual([]);
  });

  // Node and hapi refuse these before they are ours; API Gateway does so as well.
  it.each<Row>([
    ['a NUL in the header', 'GET /api/sandboxes', ['X-API-Key: a\x00b']],
    ['a control character in the header', 'GET /api/sandboxes', ['X-API-Key: a\x01b']],
    ['a header of 20 KB', 'GET /api/sandboxes', [`X-API-Key: ${'a'.repeat(20_000)}`]],
    ['half an escape in the path', 'GET /api/sandboxes%'],
    ['an escape that is none', 'GET /api/sandboxes/%zz'],
    ['an escape that is no UTF-8', 'GET /api/sandboxes/%ff'],
    ['no path at all', 'OPTIONS *'],
    ['a path without a slash', 'GET api/sandboxes'],
    ['backslashes', 'GET \\api\\sandboxes'],
    ['a method that nobody knows', 'FOO /api/sandboxes'],
    ['a method in small letters', 'get /api/sandboxes'],
  ])('with %s', async (...row) => {
    const { status, text } = await ask(row);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(text).not.toContain('sandboxes"');
    expect(world.proxy.calls).toEqual([]);
  });
});

describe('who has a key gets in', () => {
  it.each<Row>([
    ['the new one', 'GET /api/sandboxes', withKey],
    ['the old one', 'GET /api/sandboxes', [`X-API-Key: ${oldKey}`]],
    ['one of 8 characters', 'GET /api/sandboxes', ['X-API-Key: 8 chars!']],
    ['an odd one, in Latin-1', 'GET /api/sandboxes', [`X-API-Key: ${oddKey}`]],
    ['an odd one, in UTF-8', 'GET /api/sandboxes', [`X-API-Key: ${Buffer.from(oddKey).toString('latin1')}`]],
    ['the name in other letters', 'GET /api/sandboxes', [`x-aPi-kEY: ${key}`]],
    ['blanks around it', 'GET /api/sandboxes', [`X-API-Key: \t  ${key}  \t`]],
    // These are the same path to what stands in front of us, here; they ask for the key all the same (see above).
    ['two dots, encoded', 'GET /health/%2e%2e/api/sandboxes', withKey],
    ['a letter, encoded', 'GET /%61pi/sandboxes', withKey],
  ])('with %s', async (...row) => {
    expect(whole(await ask(row))).toEqual(noSandboxes);
  });

  type Told = [...Required<Row>, unknown];
  const toNotFound = (path: string): Told => [path, `GET ${path}`, withKey, '', notFound];
  const toNoId = (requestLine: string): Told => [requestLine, requestLine, withKey, '', notAnId];
  it.each<Told>([
    ...['//api/sandboxes', '/api//sandboxes', '/API/sandboxes', '/api/sandboxes.', '/api/sandboxes;a=b'].map(
      toNotFound,
    ),
    ...['/api/sandboxes%00', '/api/sandboxes/%2e%2e'].map(toNotFound),
    ...['GET /api/sandboxes/a%2fb', 'DELETE /api/sandboxes/%2e%2e%2f%2e%2e%2fpods', 'GET /api/sandboxes/a%00'].map(
      toNoId,
    ),
    ...['DELETE /api/sandboxes/abc.', 'DELETE /api/sandboxes/abc;a=b', 'DELETE /api/sandboxes/ABC'].map(toNoId),
    [
      'another method in a header',
      'PUT /api/sandboxes',
      [...withKey, 'X-HTTP-Method-Override: GET'],
      '',
      ours(405, { detail: 'Method Not Allowed' }, { allow: 'GET, POST' }),
    ],
  ])('but reaches nothing with %s', async (what, requestLine, headers, body, answer) => {
    expect(whole(await ask([what, requestLine, headers, body]))).toEqual(answer);
    expect(world.proxy.calls).toEqual([]);
  });
});

describe('everybody', () => {
  it.each<[...Row, unknown]>([
    ['the health', 'GET /health', [], '', healthy],
    ['the health, with a wrong key', 'GET /health', [`X-API-Key: ${wrongKey}`], '', healthy],
    ['the health, with odd bytes for a key', 'GET /health', ['X-API-Key: \xff\xfe'], '', healthy],
    ['the health, and another method in a header', 'GET /health', ['X-HTTP-Method-Override: DELETE'], '', healthy],
    ['that elsewhere there is nothing', 'GET /nowhere', [], '', notFound],
    ['that there is nothing there', 'GET /nothing', [], '', notFound],
    ['that there is no such path', 'GET /health/..%2fapi/sandboxes', [], '', notFound],
  ])('is told %s', async (what, requestLine, headers, body, answer) => {
    expect(whole(await ask([what, requestLine, headers, body]))).toEqual(answer);
    expect(world.proxy.calls).toEqual([]);
  });
});

describe('the log', () => {
  it('says of each call that was refused which it was, by the id that its answer bore', async () => {
    const { headers } = await callRaw(world.provisioner.url, 'GET /api/sandboxes', [`X-API-Key: ${wrongKey}`]);
    const lines = world.provisioner.output().split('\n');
    const line = lines.find((text) => text.includes(String(headers['x-request-id'])));
    expect(line).toMatch(/GET \/api\/sandboxes\b.*\b401\b/);
    // Nor does it hold the keys that were right; that is looked for in every test file.
    expect(world.provisioner.output()).not.toContain(wrongKey);
  });
});
