import { createConfig, lintFromString } from '@redocly/openapi-core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseListQuery } from '../../lib/http/request.ts';
import { routes } from '../../lib/http/routes.ts';
import { type Circumstances, describeApi } from '../../lib/openapi/index.ts';
import { renderPage } from '../../lib/openapi/page.ts';

const describeWith = (given: Partial<Circumstances> = {}) =>
  describeApi({ authentication: 'api-key', maxTtlSeconds: 604_800, ...given });

it('describes every route, and nothing else', () => {
  const described = Object.entries(describeWith().paths).map(([path, methods]) => [
    path,
    Object.keys(methods)
      .map((method) => method.toUpperCase())
      .toSorted(),
  ]);
  expect(Object.fromEntries(described)).toEqual(Object.fromEntries(routes.map(({ path, methods }) => [path, methods])));
});

it.each<Circumstances['authentication']>(['api-key', 'stored-api-key', 'jwt', 'off'])(
  'passes the recommended rules of Redocly: %s',
  async (authentication) => {
    const source = JSON.stringify(describeWith({ authentication }));
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({ source, absoluteRef: '/openapi.json', config });
    expect(problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
  },
);

it('asks for what the settings ask for', () => {
  const securityOf = (authentication: Circumstances['authentication']) => {
    const { security, paths, components } = describeWith({ authentication });
    const own = ['/health', '/docs'].map((path) => paths[path]?.get?.security);
    return { security, own, schemes: Object.keys(components.securitySchemes ?? {}) };
  };
  expect(securityOf('stored-api-key')).toEqual({
    ...{ security: [{ ApiKey: [] }], own: [[], [{}, { ApiKey: [] }]], schemes: ['ApiKey'] },
  });
  expect(securityOf('jwt')).toEqual({
    ...{ security: [{ Token: [] }], own: [[], [{}, { Token: [] }]], schemes: ['Token'] },
  });
  expect(securityOf('off')).toEqual({ security: [], own: [undefined, undefined], schemes: [] });
});

it.each([
  [3_600, { type: 'integer', minimum: 1, maximum: 3_600 }],
  [0, { type: 'integer', minimum: 0, maximum: 999_999_999 }],
])('bounds ttl_seconds by the settings: %i', (maxTtlSeconds, bounds) => {
  const { CreateRequest, RenewRequest } = describeWith({ maxTtlSeconds }).components.schemas;
  for (const schema of [CreateRequest, RenewRequest]) {
    expect(schema).toMatchObject({ properties: { ttl_seconds: { anyOf: [bounds, { type: 'null' }] } } });
  }
});

it('says of a limit, which is text in a query, which numbers it may be', () => {
  const parameters = describeWith().paths['/api/sandboxes']?.get?.parameters ?? [];
  expect(parameters.find(({ name }) => name === 'limit')).toMatchObject({
    schema: { type: 'integer', minimum: 1, maximum: 100 },
  });
  fc.assert(
    fc.property(fc.oneof(fc.integer(), fc.integer({ min: -1, max: 102 })), (number) => {
      const parse = () => parseListQuery({ limit: String(number) }).page;
      if (number >= 1 && number <= 100) expect(parse()).toEqual({ limit: number });
      else expect(parse).toThrow();
    }),
  );
});

it('is shown by a page whose script nothing ends, and which names no other place', () => {
  const { html, policy } = renderPage();
  expect(html.match(/<\/?script/gi)).toEqual(['<script', '</script']);
  expect(html.replace(/<script.*<\/script>/s, '')).not.toMatch(/https?:/);
  expect(policy).not.toMatch(/https?:|unsafe-eval|\*/);
  expect(Buffer.byteLength(html)).toBeLessThan(1_500_000);
});
