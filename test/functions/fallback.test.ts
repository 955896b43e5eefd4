import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { apiKey, call, callWith, startCold } from './handlers.ts';

beforeEach(() => startCold());
afterEach(() => vi.unstubAllEnvs());

// What it answers otherwise: test/unit/routes, and over HTTP test/contract/bad-input.
describe('the fallback', () => {
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
