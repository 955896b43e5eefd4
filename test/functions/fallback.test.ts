import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { apiKey, call, callWith, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const unmatched = (method: string, path: string) => call('fallback', { method, path, routeKey: '$default' });

beforeEach(() => startCold());
afterEach(() => vi.unstubAllEnvs());

describe('the fallback', () => {
  it.each(['/', '/api', '/docs', '//evil.com/', '/health\r\n'])(
    'answers an unknown path with 404: %j',
    async (path) => {
      expect(await unmatched('GET', path)).toEqual({ status: 404, headers: json, body: { detail: 'Not Found' } });
    },
  );

  it.each([
    ['PUT', '/api/sandboxes', 'GET, POST'],
    ['POST', '/api/sandboxes/a', 'DELETE, GET'],
    ['OPTIONS', '/health', 'GET'],
  ])('answers a wrong method with 405 and the right ones: %s %s', async (method, path, allow) => {
    expect(await unmatched(method, path)).toEqual({
      status: 405,
      headers: { ...json, allow },
      body: { detail: 'Method Not Allowed' },
    });
  });

  it.each([
    ['GET', '/health/', '../health'],
    ['POST', '/api/sandboxes/', '../sandboxes'],
    ['DELETE', '/api/sandboxes/a/', '../a'],
    ['GET', '/api/sandboxes/a\r\nset-cookie: x/', '../a%0D%0Aset-cookie%3A%20x'],
  ])('sends a slash too many away with 307, which keeps method and body: %s %j', async (method, path, location) => {
    expect(await unmatched(method, path)).toEqual({
      status: 307,
      headers: { ...json, location },
      body: { detail: 'The path has a slash too many' },
    });
  });

  it('sends the query with it', async () => {
    const query = { limit: '5', continue: 'eyJ2IjoibWV0YSJ9==' };
    expect(
      await call('fallback', { method: 'GET', path: '/api/sandboxes/', routeKey: '$default', query }),
    ).toMatchObject({
      status: 307,
      headers: { location: '../sandboxes?limit=5&continue=eyJ2IjoibWV0YSJ9%3D%3D' },
    });
  });

  it.each([
    ['a stage', '/prod', { stage: 'prod' }],
    ['a base path of a custom domain', '/teams/v1', { domainName: 'api.example.com', domainPrefix: 'api' }],
  ])('knows the paths behind %s', async (_what, before, context) => {
    const ask = (method: string, path: string, headers = { 'x-api-key': apiKey }) => {
      const event = httpEvent({ method, path: before + path, routeKey: '$default', headers });
      Object.assign(event.requestContext, context);
      return callWith('fallback', event as HttpEvent, lambdaContext());
    };
    expect(await ask('GET', '/health/')).toMatchObject({ status: 307, headers: { location: '../health' } });
    expect(await ask('PUT', '/api/sandboxes')).toMatchObject({ status: 405, headers: { allow: 'GET, POST' } });
    expect(await ask('GET', '/api/nothing')).toMatchObject({ status: 404 });
    for (const path of ['/api/sandboxes/', '/api/sandboxes', '/api/nothing', '/api']) {
      expect(await ask('PUT', path, { 'x-api-key': 'no' }), path).toMatchObject({ status: 401 });
    }
  });

  it('does not read the body', async () => {
    const request = { method: 'POST', path: '/x', routeKey: '$default', body: '{', headers: { 'content-type': 'x/y' } };
    expect(await call('fallback', request)).toMatchObject({ status: 404 });
  });
});
