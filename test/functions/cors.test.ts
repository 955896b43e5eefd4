import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpRequest } from '../support/events.ts';
import { type ApiServer, answerEmpty, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { type Answer, call, create, type FunctionName, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const origin = 'https://app.example';
const granted = {
  'access-control-allow-origin': origin,
  'access-control-allow-methods': 'DELETE, GET, PATCH, POST',
  'access-control-allow-headers': 'authorization, content-type, x-api-key',
  'access-control-expose-headers': 'retry-after, x-request-id',
  'access-control-max-age': '600',
  vary: 'origin',
};
const refused = { status: 403, headers: json, body: { detail: 'Calls from web pages are refused' } };

let api: ApiServer;
let kubeconfig: string;
beforeEach(async () => {
  api = await startApiServer(answerEmpty);
  kubeconfig = await writeKubeconfig({ server: api.url });
});
afterEach(() => vi.unstubAllEnvs());

const start = (settings: Record<string, string> = {}) => startCold({ KUBECONFIG_PATH: kubeconfig, ...settings });
const list = (headers: Record<string, string>): Promise<Answer> =>
  call('list-sandboxes', { method: 'GET', path: '/api/sandboxes', headers });
const preflight = (from: string, path = '/api/sandboxes', asked = 'POST'): Promise<Answer> => {
  const headers = { origin: from, 'access-control-request-method': asked, 'x-api-key': '' };
  return call('fallback', { method: 'OPTIONS', path, routeKey: '$default', headers });
};

// Without CORS_ALLOWED_ORIGINS, no page may call but our own: test/contract/bad-input.
it.each([
  ['our own page calls, as its browser says', 'same-origin', 422],
  ['no other page of the same site does', 'same-site', 403],
  ['no page of another site does', 'cross-site', 403],
])('%s', async (_what, site, status) => {
  start();
  const headers = { ...json, origin, 'sec-fetch-site': site };
  expect(await create({}, { headers })).toMatchObject({ status });
});

// Over plain HTTP and another name than localhost, a browser does not say whose page it is.
it.each<[string, Record<string, string>, Record<string, string>, number]>([
  ['our own page calls over plain HTTP', {}, {}, 422],
  ['it does so by a token', { JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'a' }, {}, 401],
  ['without the key it is nobody, as a page whose own name was made to lead here', {}, { 'x-api-key': '' }, 401],
  ['nor is such a page let in where no key keeps it out', { AUTH: 'off' }, {}, 403],
  ['no page of another port calls', {}, { host: 'provisioner:8003' }, 403],
  ['no page does that came over HTTPS', {}, { origin: 'https://provisioner:8002' }, 403],
  ['no page does of which its browser says that it is of elsewhere', {}, { 'sec-fetch-site': 'cross-site' }, 403],
])('%s', async (_what, settings, more, status) => {
  start(settings);
  const headers = { ...json, origin: 'http://provisioner:8002', host: 'provisioner:8002', ...more };
  expect(await create({}, { headers })).toMatchObject({ status });
});

describe('with CORS_ALLOWED_ORIGINS', () => {
  const settings = { CORS_ALLOWED_ORIGINS: `http://localhost:3000, ${origin}` };

  it('a page of such an origin calls with a key, and reads what it is told', async () => {
    start(settings);
    const answer = await list({ origin });
    expect(answer).toEqual({ status: 200, headers: { ...json, ...granted }, body: { sandboxes: [], count: 0 } });
    const local = { 'access-control-allow-origin': 'http://localhost:3000' };
    expect(await list({ Origin: 'http://localhost:3000' })).toMatchObject({ status: 200, headers: local });
    const headers = { origin, ...json };
    expect(await create({}, { headers })).toMatchObject({ status: 422, headers: granted });
    const asText = await create('', { headers: { ...headers, 'content-type': 'text/plain' } });
    expect(asText).toMatchObject({ status: 415, headers: granted });
    expect(await list({ origin, 'x-api-key': '' })).toMatchObject({ status: 401, headers: granted });
  });

  it.each<[string, FunctionName, HttpRequest]>([
    ['the health', 'health', { method: 'GET', path: '/health' }],
    ['nothing', 'fallback', { method: 'GET', path: '/x', routeKey: '$default' }],
  ])('it reads %s', async (_what, name, request) => {
    start(settings);
    expect(await call(name, { ...request, headers: { origin } })).toMatchObject({ headers: granted });
  });

  it('its browser is told so beforehand, without a key', async () => {
    start(settings);
    for (const path of ['/api/sandboxes', '/api/sandboxes/abc', '/api/nowhere', '/health']) {
      expect(await preflight(origin, path)).toEqual({ status: 204, headers: granted, body: undefined });
    }
    expect(api.requests).toEqual([]);
  });

  it.each([
    ...['https://app.example.evil.example', 'https://app.example/', 'https://app.example:443', 'http://app.example'],
    ...['HTTPS://APP.EXAMPLE', 'https://localhost:3000', 'null', '', '*', `${origin}, https://evil.example`],
  ])('no page of another one calls, or is told that it may: %j', async (other) => {
    start(settings);
    expect(await list({ origin: other })).toEqual(refused);
    expect(await preflight(other)).toEqual(refused);
    expect(api.requests).toEqual([]);
  });

  it('OPTIONS that asks for nothing is a method like another', async () => {
    start(settings);
    const request = { method: 'OPTIONS', path: '/api/sandboxes', routeKey: '$default' };
    const told = await call('fallback', { ...request, headers: { origin } });
    expect(told).toMatchObject({ status: 405, headers: granted });
    expect(await call('fallback', { ...request, headers: { origin, 'x-api-key': '' } })).toMatchObject({ status: 401 });
    const asks = { 'access-control-request-method': 'GET' };
    const other = await call('fallback', { ...request, headers: asks });
    expect(other).toMatchObject({ status: 405, headers: { allow: 'GET, POST' } });
  });

  it('other callers get no word about it', async () => {
    start(settings);
    expect(await list({})).toEqual({ status: 200, headers: json, body: { sandboxes: [], count: 0 } });
  });
});
