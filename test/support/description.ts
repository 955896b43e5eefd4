import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

import { type DescribedOperation, describeApi, type Json } from '../../lib/openapi/index.ts';
import type { HttpAnswer } from './http-call.ts';

const description = describeApi({ authentication: 'api-key', maxTtlSeconds: 604_800 });
const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);
ajv.addSchema(description, 'openapi.json');

/** What carries an answer, and what browsers are told of other pages: no part of the API. */
const carried =
  /^(connection|keep-alive|date|content-length|content-type|transfer-encoding|accept-ranges|vary|access-control-.*)$/;

/** What is told to who asks for what the API does not have. */
const unknown = {
  statuses: [204, 307, 401, 403, 404, 405, 500, 503, 504],
  headers: [
    'cache-control',
    'x-content-type-options',
    'x-request-id',
    'www-authenticate',
    'allow',
    'location',
    'retry-after',
  ],
};

/**
 * Throws where an answer of our functions, known by the id that it bears, is not what the description says: its status, its headers,
 * its content type, its body.
 */
export function checkDescribed(method: string, url: string, answer: HttpAnswer): void {
  // What stands in for a function in some tests bears none.
  if (!/^[0-9a-f-]{36}$/.test(String(answer.headers['x-request-id']))) return;
  const faults = findFaults(findOperation(method, new URL(url).pathname.replace(/(.)\/$/, '$1')), answer);
  if (faults.length === 0) return;
  throw new Error(
    `not as described: ${method} ${url}: ${faults.join('; ')}\n${answer.status} ${answer.text.slice(0, 2_000)}`,
  );
}

function findOperation(method: string, path: string): DescribedOperation | undefined {
  const found = Object.entries(description.paths).find(([template]) =>
    new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  return found?.[1][method.toLowerCase()];
}

function findFaults(operation: DescribedOperation | undefined, { status, headers, text, body }: HttpAnswer): string[] {
  const type = headers['content-type']?.split(';')[0];
  const names = Object.keys(headers).filter((name) => !carried.test(name));
  const strangers = (known: string[]) =>
    names.filter((name) => !known.includes(name)).map((name) => `the header ${name}`);
  if (operation === undefined) {
    if (!unknown.statuses.includes(status)) return [`the status ${status}`];
    // No answer to HEAD, and none to a preflight, has a body.
    return [...strangers(unknown.headers), ...(text === '' ? [] : findBodyFaults('Failure', body))];
  }
  const response = resolve(operation.responses[status]);
  if (response === undefined) return [`the status ${status}`];
  const described = response.headers as Record<string, Json>;
  const [contentType = '', { schema } = { schema: {} }] =
    Object.entries(response.content as Record<string, { schema: Json }>)[0] ?? [];
  return [
    ...strangers(Object.keys(described).map((name) => name.toLowerCase())),
    ...Object.entries(described).flatMap(([name, header]) => {
      const value = headers[name.toLowerCase()];
      const { schema } = resolve(header) as { schema: Json };
      if (value === undefined) return [];
      const read = schema.type === 'integer' ? Number(value) : value;
      return ajv.validate(schema, read) ? [] : [`the header ${name} (${value})`];
    }),
    ...(type === contentType.split(';')[0] ? [] : [`the content type ${type}`]),
    ...(type === 'application/json' ? findBodyFaults(schema, body) : ajv.validate(schema, text) ? [] : ['the text']),
  ];
}

const compiled = new Map<string, ValidateFunction>();

function findBodyFaults(schema: Json | string, body: unknown): string[] {
  const $ref = typeof schema === 'string' ? `#/components/schemas/${schema}` : String(schema.$ref);
  if (typeof schema !== 'string' && schema.$ref === undefined) return ajv.validate(schema, body) ? [] : ['the body'];
  const validate = compiled.get($ref) ?? ajv.compile({ $ref: `openapi.json${$ref}` });
  compiled.set($ref, validate);
  return validate(body) ? [] : [ajv.errorsText(validate.errors, { dataVar: 'body' })];
}

/** What a part of the description is, or what it refers to. */
function resolve(part: Json | undefined): Json | undefined {
  if (typeof part?.$ref !== 'string') return part;
  return part.$ref
    .split('/')
    .slice(1)
    .reduce<Json>((found, name) => found[name] as Json, description);
}

/** What of an event is not as it is described. */
export function findEventFaults(event: { type: string }): string[] {
  const { post } = (description.webhooks[event.type] ?? {}) as {
    post?: { requestBody: { content: Record<string, { schema: Json }> } };
  };
  const schema = post?.requestBody.content['application/json']?.schema;
  return schema === undefined ? [`there is no event ${event.type}`] : findBodyFaults(schema, event);
}
