import { readFileSync } from 'node:fs';
import { loadYaml } from '@kubernetes/client-node';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '../../lib/errors.ts';
import { refuse, routes } from '../../lib/routes.ts';

type Service = { functions: Record<string, { events?: { httpApi?: string; schedule?: string }[] }> };
const service = loadYaml<Service>(readFileSync(new URL('../../serverless.yml', import.meta.url), 'utf8'));

const told = (error: ProvisionerError) => ({ outcome: error.outcome, detail: error.detail, headers: error.headers });
const notFound = { outcome: 'unknown-path', detail: 'Not Found', headers: {} };
const notAllowed = (allow: string) => ({
  outcome: 'method-not-allowed',
  detail: 'Method Not Allowed',
  headers: { allow },
});
const moved = (location: string) => ({
  outcome: 'moved',
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
    expect(scheduled).toEqual([['cleanup-sandboxes', expect.stringContaining('rate(5 minutes)')]]);
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
    ['GET', '/'],
    ['GET', ''],
    ['GET', '/api'],
    ['GET', '/api/'],
    ['GET', '/healthz'],
    ['GET', '/health/x'],
    ['GET', '/health//'],
    ['GET', '//health/'],
    ['GET', '/HEALTH/'],
    ['GET', '/health\n'],
    ['GET', '/api/sandboxes//'],
    ['GET', '/api/sandboxes/a/b'],
    ['GET', '/api/sandboxes/a/b/'],
    ['POST', '/api/sandboxes//renew'],
    ['POST', '/api/sandboxes/a/renew/b'],
    ['GET', '/x/api/sandboxes/'],
    ['POST', '/api/sandbox'],
    ['GET', '//evil.com/'],
    ['GET', '//evil.com/health/'],
    ['GET', '/\\evil.com/'],
    ['GET', 'https://evil.com/'],
    ['GET', '/api/sandboxes/../health/'],
    ['GET', '/docs'],
  ])('is told that there is nothing: %s %j', (method, path) => {
    expect(told(refuse(method, path, '$default'))).toEqual(notFound);
  });

  it.each([
    ['POST', '/health', 'GET'],
    ['HEAD', '/health', 'GET'],
    ['OPTIONS', '/api/sandboxes', 'GET, POST'],
    ['PUT', '/api/sandboxes', 'GET, POST'],
    ['DELETE', '/api/sandboxes', 'GET, POST'],
    ['POST', '/api/sandboxes/a', 'DELETE, GET'],
    ['PATCH', '/api/sandboxes/a', 'DELETE, GET'],
    ['GET', '/api/sandboxes/a/renew', 'POST'],
    ['DELETE', '/api/sandboxes/a/renew/', 'POST'],
    // There is nothing to go to for this method at the right path either.
    ['DELETE', '/api/sandboxes/', 'GET, POST'],
    ['POST', '/health/', 'GET'],
    ['POST', '/api/sandboxes/a/', 'DELETE, GET'],
  ])('is told which methods the path has: %s %s', (method, path, allow) => {
    expect(told(refuse(method, path, '$default'))).toEqual(notAllowed(allow));
  });

  it.each([
    ['GET', '/health/', '/health'],
    ['GET', '/api/sandboxes/', '/api/sandboxes'],
    ['POST', '/api/sandboxes/', '/api/sandboxes'],
    ['GET', '/api/sandboxes/abc/', '/api/sandboxes/abc'],
    ['DELETE', '/api/sandboxes/abc/', '/api/sandboxes/abc'],
    ['POST', '/api/sandboxes/abc/renew/', '/api/sandboxes/abc/renew'],
    // rawPath has been decoded: what it holds goes into the header encoded.
    ['GET', '/api/sandboxes/a b/', '/api/sandboxes/a%20b'],
    ['GET', '/api/sandboxes/a\r\nset-cookie: x=1/', '/api/sandboxes/a%0D%0Aset-cookie%3A%20x%3D1'],
    ['GET', '/api/sandboxes/?next=x#y/', '/api/sandboxes/%3Fnext%3Dx%23y'],
    ['GET', '/api/sandboxes/\\evil.com/', '/api/sandboxes/%5Cevil.com'],
    ['GET', '/api/sandboxes/ü/', '/api/sandboxes/%C3%BC'],
    ['GET', '/api/sandboxes/%0d%0a/', '/api/sandboxes/%250d%250a'],
  ])('is sent where it is right without its last slash: %s %j', (method, path, location) => {
    expect(told(refuse(method, path, '$default'))).toEqual(moved(location));
  });

  describe('of a stage with a name', () => {
    it.each([
      ['GET', '/prod/health/', moved('/prod/health')],
      ['POST', '/prod/api/sandboxes/', moved('/prod/api/sandboxes')],
      ['PUT', '/prod/api/sandboxes', notAllowed('GET, POST')],
      ['GET', '/prod/nothing', notFound],
      ['GET', '/prod', notFound],
      ['GET', '/prod/', notFound],
      ['GET', '/production/health/', notFound],
      ['GET', '/prod//evil.com/', notFound],
      // A custom domain maps the stage away.
      ['GET', '/health/', moved('/health')],
      ['POST', '/health', notAllowed('GET')],
    ])('keeps the stage: %s %s', (method, path, answer) => {
      expect(told(refuse(method, path, 'prod'))).toEqual(answer);
    });

    it('keeps a stage that is called like the first part of a path', () => {
      expect(told(refuse('GET', '/api/api/sandboxes/', 'api'))).toEqual(moved('/api/api/sandboxes'));
    });
  });

  it('gets an error of ours, and a Location only within this API, whatever its path', () => {
    const part = fc.constantFrom(
      '/',
      '//',
      'api',
      'sandboxes',
      'renew',
      'health',
      '..',
      '.',
      '\\',
      '%2f',
      '\r\n',
      'evil.com',
      ':',
      '?',
      '#',
      'é',
    );
    const path = fc.oneof(
      fc.string(),
      fc.array(part).map((parts) => `/${parts.join('')}`),
      fc.string().map((id) => `/api/sandboxes/${id}/`),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'POST', 'DELETE', 'PUT'),
        path,
        fc.constantFrom('$default', 'prod'),
        (method, rawPath, stage) => {
          const error = refuse(method, rawPath, stage);
          expect(error).toBeInstanceOf(ProvisionerError);
          const { location } = error.headers;
          if (location !== undefined)
            expect(location).toMatch(/^(\/prod)?\/(health|api\/sandboxes(\/[\w%!'()*~.-]+(\/renew)?)?)$/);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
