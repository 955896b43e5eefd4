import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';

import { describeApi, type Json } from '../../lib/openapi/index.ts';
import { lean, useWorld } from '../support/world.ts';

const world = useWorld(lean);
afterAll(() => world.clear());

/** How many requests are made up: `npm run fuzz` makes more. */
const requests = Number(process.env.FUZZ_REQUESTS ?? 300);
const description = describeApi({ authentication: 'api-key', maxTtlSeconds: 604_800 });

it('is served as npm run openapi prints it, to anybody', async () => {
  const { status, body } = await world.call('GET', '/openapi.json', { headers: { 'x-api-key': '' } });
  expect({ status, body }).toEqual({ status: 200, body: description });
});

/** Values that a schema lets pass, and now and then another. */
function valuesOf(schema: Json): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 30, arbitrary: fittingValues(schema) }, { weight: 1, arbitrary: fc.jsonValue() });
}

function fittingValues(schema: Json): fc.Arbitrary<unknown> {
  const { $ref, anyOf, type, pattern, items, properties = {}, required = [], propertyNames } = schema;
  if (typeof $ref === 'string')
    return fittingValues(description.components.schemas[$ref.split('/').at(-1) ?? ''] ?? {});
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  if (Array.isArray(anyOf)) return fc.oneof(...anyOf.map(valuesOf));
  if (type === 'object' && propertyNames !== undefined) {
    const [keys, values] = [propertyNames, schema.additionalProperties].map((part) => valuesOf(part as Json));
    const names = keys?.filter((name) => typeof name === 'string') as fc.Arbitrary<string>;
    return fc.dictionary(names, values ?? fc.string(), { maxKeys: 18 });
  }
  if (type === 'object') {
    const fields = Object.entries(properties as Record<string, Json>).map(([name, field]) => [name, valuesOf(field)]);
    return fc.record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<unknown>>, {
      requiredKeys: required as string[],
    });
  }
  if (type === 'array') return fc.array(valuesOf(items as Json), { maxLength: 12 });
  if (type === 'integer') {
    const { minimum: min = 1, maximum: max } = schema as { minimum?: number; maximum?: number };
    return fc.oneof(fc.integer({ min, max: Math.min(max ?? 1e9, 1e9) }), fc.constantFrom(min, min - 1, (max ?? 0) + 1));
  }
  if (type === 'boolean') return fc.boolean();
  if (type === 'null') return fc.constant(null);
  const examples = (schema.examples ?? []) as unknown[];
  const texts = typeof pattern === 'string' ? fc.stringMatching(new RegExp(pattern)) : fc.string();
  return examples.length > 0 ? fc.oneof(fc.constantFrom(...examples), texts) : texts;
}

/** Requests for what the description has, with values that it lets pass, and now and then with others. */
const anyRequest = fc
  .constantFrom(
    ...Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    ),
  )
  .chain(({ path, method, operation: { parameters = [], requestBody } }) => {
    const usually = (value: fc.Arbitrary<string>, ...others: string[]) =>
      fc.oneof({ weight: 20, arbitrary: value }, { weight: 1, arbitrary: fc.constantFrom(...others) });
    const exploded = parameters.flatMap((parameter) => (parameter.explode === true ? [parameter.name] : []));
    const fields = parameters.map(({ name, in: place, schema }) => [
      name,
      place === 'path' ? valuesOf(schema) : fc.option(valuesOf(schema), { nil: undefined }),
    ]);
    const json = requestBody?.content['application/json']?.schema;
    return fc.record({
      method: fc.constant(method),
      path: fc.constant(path),
      exploded: fc.constant(exploded),
      values: fc.record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<unknown>>),
      body:
        json === undefined
          ? fc.constant(undefined)
          : fc.oneof(...[json, json, {}].map(valuesOf), fc.constant(undefined)),
      key: usually(fc.constant(''), 'wrong'),
      type: usually(fc.constant('application/json'), 'text/plain', 'application/x-www-form-urlencoded', 'a b'),
      origin: usually(fc.constant(''), 'https://elsewhere.example', 'null'),
    });
  });

it(`says what each of ${requests} requests that are made up from it is answered`, { timeout: 600_000 }, async () => {
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(anyRequest, async ({ method, path, exploded, values, body, key, type, origin }) => {
      const toText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(values)) {
        if (value === undefined || path.includes(`{${name}}`)) continue;
        // A parameter for each of its fields.
        const isFields = exploded.includes(name) && typeof value === 'object' && value !== null;
        const asked: [string, unknown][] = isFields ? Object.entries(value) : [[name, value]];
        for (const [field, one] of asked) query.append(field, toText(one));
      }
      // The parser of URLs takes `.` and `..` for folders.
      const encode = (value: unknown) => encodeURIComponent(toText(value).toWellFormed()).replace(/^\.{0,2}$/, 'a');
      const filled = path.replace(/\{(\w+)\}/g, (_match, name) => encode(values[name]));
      const headers = { 'content-type': type, ...(key && { 'x-api-key': key }), ...(origin && { origin }) };
      // The answer is checked against the description where it comes in.
      const { status } = await world.call(method, `${filled}?${query}`, {
        headers,
        ...(body !== undefined && { body }),
      });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      expect(status).not.toBe(500);
    }),
    { numRuns: requests },
  );
  // It has come further than to be refused.
  for (const status of [200, 401, 403, 404, 422]) expect([...statuses.keys()]).toContain(status);
  console.log(`Answers by status: ${JSON.stringify(Object.fromEntries([...statuses].toSorted(([a], [b]) => a - b)))}`);
});
