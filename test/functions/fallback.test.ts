import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http.ts';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { call, callWith, startCold } from './handlers.ts';

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
    ['GET', '/health/', '/health'],
    ['POST', '/api/sandboxes/', '/api/sandboxes'],
    ['DELETE', '/api/sandboxes/a/', '/api/sandboxes/a'],
    ['GET', '/api/sandboxes/a\r\nset-cookie: x/', '/api/sandboxes/a%0D%0Aset-cookie%3A%20x'],
  ])('sends a slash too many away with 307, which keeps method and body: %s %j', async (method, path, location) => {
    expect(await unmatched(method, path)).toEqual({
      status: 307,
      headers: { ...json, location },
      body: { detail: 'The path has a slash too many' },
    });
  });

  it('keeps the stage in the address', async () => {
    const event = httpEvent({ method: 'GET', path: '/prod/health/', routeKey: '$default' });
    event.requestContext.stage = 'prod';
    expect(await callWith('fallback', event as HttpEvent, lambdaContext())).toMatchObject({
      status: 307,
      headers: { location: '/prod/health' },
    });
  });

  it('does not read the body', async () => {
    const request = { method: 'POST', path: '/x', routeKey: '$default', body: '{', headers: { 'content-type': 'x/y' } };
    expect(await call('fallback', request)).toMatchObject({ status: 404 });
  });
});
