import { readFileSync } from 'node:fs';
import { loadYaml } from '@kubernetes/client-node';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '../../lib/errors.ts';
import { isApiPath, refuse, routes, type StrayRequest } from '../../lib/http/routes.ts';

type Service = { functions: Record<string, { events?: { httpApi?: string; schedule?: string }[] }> };
const service = loadYaml<Service>(readFileSync(new URL('../../serverless.yml', import.meta.url), 'utf8'));

/** Through the API's own domain, with its one stage, unless told otherwise. */
const stray = (
  method: string,
  rawPath: string,
  { query = '', ...context }: { query?: string; stage?: string; domainName?: string } = {},
): StrayRequest => {
  const apiId = 'abcdef1234';
  const domainName = `${apiId}.execute-api.eu-central-1.amazonaws.com`;
  const requestContext = { apiId, domainName, stage: '$default', ...context, http: { method } };
  return { rawPath, rawQueryString: query, requestContext };
};
const told = (error: ProvisionerError) => ({ kind: error.kind, detail: error.detail, headers: error.headers });
const notFound = { kind: 'unknown-path', detail: 'Not Found', headers: {} };
const notAllowed = (allow: string) => ({
  kind: 'method-not-allowed',
  detail: 'Method Not Allowed',
  headers: { allow },
});
const moved = (location: string) => ({
  kind: 'moved',
  detail: 'The path has a slash too many',
  headers: { location },
});

describe('the routes', () => {
  it('are those of serverless.yml', () => {
    const events = Object.values(service.functions).flatMap(({ events = [] }) => events.map(({ httpApi }) => httpApi));
    const deployed = events.filter((event) => event !== undefined && event !== '*');
    const known = routes.flatMap(({ path, methods }) => methods.map((method) => `${method} ${path}`));
    expect(deployed.toSorted()).toEqual(known.toSorted());
  });

  it('are not all that is deployed: one function runs on a schedule', () => {
    const scheduled = Object.entries(service.functions).flatMap(([name, { events = [] }]) =>
      events.flatMap(({ schedule }) => (schedule === undefined ? [] : [[name, schedule]])),
    );
    expect(scheduled).toEqual([['cleanup-sandboxes', expect.stringContaining('CLEANUP_SCHEDULE')]]);
  });

  it('leave the rest to one function', () => {
    const catchers = Object.entries(service.functions).filter(([, { events = [] }]) =>
      events.some(({ httpApi }) => httpApi === '*'),
    );
    expect(catchers.map(([name]) => name)).toEqual(['fallback']);
  });
});

describe('a request that no route matches', () => {
  it.each([
    ...['', '//', '/api', '/api/', '/healthz', '/health/x', '/health//', '//health/', '/HEALTH/', '/health\n', '/doc'],
    ...['/api/sandboxes//', '/api/sandboxes/a/b', '/api/sandboxes/a/b/', '/api/sandboxes//renew', '/api/sandbox'],
    ...['/api/sandboxes/a/renew/b', '/x/api/sandboxes/', '//evil.com/', '//evil.com/health/', '/\\evil.com/'],
    ...['https://evil.com/', '/api/sandboxes/../health/'],
  ])('is told that there is nothing: %j', (path) => {
    for (const method of ['GET', 'POST']) expect(told(refuse(stray(method, path)))).toEqual(notFound);
  });

  it.each([
    ['POST', '/', 'GET'],
    ['POST', '/health', 'GET'],
    ['HEAD', '/health', 'GET'],
    ['OPTIONS', '/api/sandboxes', 'GET, POST'],
    ['PUT', '/api/sandboxes', 'GET, POST'],
    ['DELETE', '/api/sandboxes', 'GET, POST'],
    ['POST', '/api/sandboxes/a', 'DELETE, GET, PATCH'],
    ['PUT', '/api/sandboxes/a', 'DELETE, GET, PATCH'],
    ['GET', '/api/sandboxes/a/renew', 'POST'],
    ['DELETE', '/api/sandboxes/a/renew/', 'POST'],
    // There is nothing to go to for this method at the right path either.
    ['DELETE', '/api/sandboxes/', 'GET, POST'],
    ['POST', '/health/', 'GET'],
    ['POST', '/api/sandboxes/a/', 'DELETE, GET, PATCH'],
  ])('is told which methods the path has: %s %s', (method, path, allow) => {
    expect(told(refuse(stray(method, path)))).toEqual(notAllowed(allow));
  });

  it.each([
    ['GET', '/health/', '../health'],
    ['GET', '/api/sandboxes/', '../sandboxes'],
    ['POST', '/api/sandboxes/', '../sandboxes'],
    ['GET', '/api/sandboxes/abc/', '../abc'],
    ['DELETE', '/api/sandboxes/abc/', '../abc'],
    ['POST', '/api/sandboxes/abc/renew/', '../renew'],
    // rawPath has been decoded: what it holds goes into the header encoded.
    ['GET', '/api/sandboxes/a b/', '../a%20b'],
    ['GET', '/api/sandboxes/a\r\nset-cookie: x=1/', '../a%0D%0Aset-cookie%3A%20x%3D1'],
    ['GET', '/api/sandboxes/?next=x#y/', '../%3Fnext%3Dx%23y'],
    ['GET', '/api/sandboxes/\\evil.com/', '../%5Cevil.com'],
    ['GET', '/api/sandboxes/ü/', '../%C3%BC'],
    ['GET', '/api/sandboxes/%0d%0a/', '../%250d%250a'],
    ['GET', '/api/sandboxes/\ud800/', '../%EF%BF%BD'],
  ])('is sent where it is right without its last slash: %s %j', (method, path, location) => {
    expect(told(refuse(stray(method, path)))).toEqual(moved(location));
  });

  it.each([
    ['limit=5&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ%3D%3D', 'limit=5&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ%3D%3D'],
    ['a=1&a=2&b', 'a=1&a=2&b'],
    ['next=https://evil.com/?x', 'next=https://evil.com/?x'],
    // What no query of HTTP can hold goes into the header encoded.
    ['a=b c', 'a=b%20c'],
    ['a=\r\nset-cookie: x=1', 'a=%0D%0Aset-cookie:%20x=1'],
    ['a=#b', 'a=%23b'],
    ['a=ü€😀', 'a=%C3%BC%E2%82%AC%F0%9F%98%80'],
    ['a=\ud800', 'a=%EF%BF%BD'],
  ])('takes its query there: %j', (query, kept) => {
    expect(told(refuse(stray('GET', '/api/sandboxes/', { query })))).toEqual(moved(`../sandboxes?${kept}`));
  });

  describe('of a stage with a name', () => {
    it.each([
      ['GET', '/prod/health/', moved('../health')],
      ['POST', '/prod/api/sandboxes/', moved('../sandboxes')],
      ['PUT', '/prod/api/sandboxes', notAllowed('GET, POST')],
      ['GET', '/prod/nothing', notFound],
      ['GET', '/prod', notFound],
      ['GET', '/prod/', notFound],
      ['GET', '/production/health/', notFound],
      ['GET', '/prod//evil.com/', notFound],
      // A custom domain maps the stage away.
      ['GET', '/health/', moved('../health')],
      ['POST', '/health', notAllowed('GET')],
    ])('keeps the stage: %s %s', (method, path, answer) => {
      expect(told(refuse(stray(method, path, { stage: 'prod' })))).toEqual(answer);
    });

    it('keeps a stage that is called like the first part of a path', () => {
      expect(told(refuse(stray('GET', '/api/api/sandboxes/', { stage: 'api' })))).toEqual(moved('../sandboxes'));
    });
  });

  // The event has the path as the caller sent it, and does not say which part of it the mapping took.
  describe('behind a custom domain', () => {
    it.each([
      ['GET', '/health/', moved('../health')],
      ['POST', '/health', notAllowed('GET')],
      ['GET', '/v1/health/', moved('../health')],
      ['HEAD', '/v1/health', notAllowed('GET')],
      ['POST', '/v1/api/sandboxes/', moved('../sandboxes')],
      ['PUT', '/v1/api/sandboxes', notAllowed('GET, POST')],
      ['DELETE', '/teams/agents/v1/api/sandboxes/abc/', moved('../abc')],
      ['PUT', '/teams/agents/v1/api/sandboxes/abc', notAllowed('DELETE, GET, PATCH')],
      ['GET', '/api/health/', moved('../health')],
      // The longest of the routes that it can be.
      ['POST', '/api/sandboxes/health', notAllowed('DELETE, GET, PATCH')],
      ['GET', '/v1', notFound],
      ['GET', '/v1/', notFound],
      ['GET', '/v1/nothing', notFound],
      ['GET', '/v1/api/sandbox/', notFound],
      ['GET', '/v1/healthz/', notFound],
      ['GET', '/v1/api/sandboxes//', notFound],
      // With its base path a route would have matched it.
      ['GET', '/v2/api/sandboxes', notFound],
      ['GET', '/api/sandboxes/a/health', notFound],
    ])('is told the same under any base path: %s %s', (method, path, answer) => {
      expect(told(refuse(stray(method, path, { domainName: 'api.example.com' })))).toEqual(answer);
    });

    it('is not looked for where no domain is named', () => {
      const domainName = 'offlineContext_domainName';
      expect(told(refuse(stray('PUT', '/v1/api/sandboxes', { domainName })))).toEqual(notFound);
    });
  });

  it('gets an error of ours, and a Location only within this API, whatever its path', () => {
    const parts = '/ // api sandboxes renew health .. . \\ %2f evil.com : ? # é'.split(' ');
    const part = fc.constantFrom('\r\n', ...parts);
    const path = fc.oneof(
      fc.string(),
      fc.array(part).map((parts) => `/${parts.join('')}`),
      fc.string().map((id) => `/api/sandboxes/${id}/`),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'POST', 'DELETE', 'PUT'),
        path,
        fc.constantFrom({}, { stage: 'prod' }, { domainName: 'api.example.com' }),
        fc.string(),
        (method, rawPath, context, query) => {
          const error = refuse(stray(method, rawPath, { ...context, query }));
          expect(error).toBeInstanceOf(ProvisionerError);
          const { location } = error.headers;
          if (location === undefined) return;
          expect(location).toMatch(/^\.\.\/[\w%!'()*~.-]+(\?[!-"$-~]+)?$/);
          const { origin, hash } = new URL(location, 'https://api.example.com/api/sandboxes/');
          expect([origin, hash]).toEqual(['https://api.example.com', '']);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('a path is a matter of those who belong', () => {
  it.each([
    ...[
      undefined,
      '',
      '/api',
      '/api/',
      '/api/sandboxes',
      '/apix',
      'api/x',
      '//api/x',
      '/\\api',
      '/API/x',
      '/prod/api/x',
    ],
    ...['/v1/api/sandboxes', '/teams/agents/api/x', '/teams//api/x', '/v1\\api', '/health/../api/sandboxes'],
  ])('if it may be of the API: %j', (path) => expect(isApiPath(path)).toBe(true));

  it.each(['/', '/health', '/health/', '/x', '/v1/health/', '/docs', '/v1/', '/map/ip'])('but not: %j', (path) => {
    expect(isApiPath(path)).toBe(false);
  });

  it('whatever stands before it', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('/api', '/Api', '\\api'), fc.string(), (before, api, after) => {
        expect(isApiPath(before + api + after)).toBe(true);
      }),
    );
  });
});
