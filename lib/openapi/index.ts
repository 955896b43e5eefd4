import * as z from 'zod/mini';
import packageJson from '../../package.json' with { type: 'json' };
import type { Authentication } from '../config/callers.ts';
import { answers } from './answers.ts';
import {
  callerFailures,
  commonFailures,
  type FailureStatus,
  failures,
  type Operation,
  operations,
  tags,
} from './operations.ts';
import { requestBodies, requestParameters, type Words } from './requests.ts';
import { describeWebhooks, eventSchemas } from './webhooks.ts';

/** A JSON Schema, or another part of the description. */
export type Json = { [name: string]: unknown };

/** What a description says of one operation. */
export type DescribedOperation = Json & {
  operationId: string;
  parameters?: { name: string; in: string; required: boolean; explode?: boolean; schema: Json }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Json }> };
  responses: Record<string, Response | { $ref: string }>;
};
type Response = {
  description: string;
  headers: Record<string, { $ref: string }>;
  content: Record<string, { schema: Json }>;
};

/** A description in OpenAPI 3.1. */
export type Description = Json & {
  webhooks: Json;
  paths: Record<string, Record<string, DescribedOperation>>;
  components: {
    securitySchemes?: Json;
    schemas: Record<string, Json>;
    headers: Record<string, { schema: Json }>;
    responses: Record<string, Response>;
  };
};

/** What the description depends on: how callers are told apart, the longest `ttl_seconds`, and what its own path begins with. */
export type Circumstances = Readonly<{
  authentication: Authentication['kind'];
  maxTtlSeconds: number;
  basePath?: string;
}>;

/** The API in OpenAPI 3.1: made of the schemas that requests are checked with, and of those of the answers. Pure. */
export function describeApi({ authentication, maxTtlSeconds, basePath = '' }: Circumstances): Description {
  const isForAnybody = authentication === 'off';
  const scheme = authentication === 'jwt' ? 'Token' : 'ApiKey';
  const used = new Set<FailureStatus>();
  const paths: Description['paths'] = {};
  for (const operation of operations) {
    const isOpen = isForAnybody || operation.open === 'always';
    const failing = [...commonFailures, ...(isOpen ? [] : callerFailures), ...operation.fails];
    const statuses = [...new Set(failing)].toSorted();
    for (const status of statuses) used.add(status);
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method]: {
        operationId: operation.operationId,
        tags: [operation.tag],
        summary: operation.summary,
        ...(operation.description !== undefined && { description: operation.description }),
        ...(isOpen && !isForAnybody && { security: [] }),
        ...(operation.open === 'by setting' && !isForAnybody && { security: [{}, { [scheme]: [] }] }),
        ...(operation.takes && { parameters: operation.takes.flatMap(describeParameters) }),
        ...(operation.body && { requestBody: describeBody(operation.body) }),
        responses: {
          200: describeAnswer(operation),
          ...Object.fromEntries(
            statuses.map((status) => [status, { $ref: `#/components/responses/${failures[status].name}` }]),
          ),
        },
      },
    };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Sandbox provisioner',
      version: packageJson.version,
      summary: packageJson.description,
      description: introduction,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: basePath === '' ? '/' : basePath }],
    security: isForAnybody ? [] : [{ [scheme]: [] }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    webhooks: describeWebhooks(),
    components: {
      ...(!isForAnybody && { securitySchemes: { [scheme]: securitySchemes[scheme] } }),
      schemas: describeSchemas(maxTtlSeconds, authentication === 'jwt'),
      headers: isForAnybody ? withoutKey : headers,
      responses: Object.fromEntries(
        [...used].toSorted().map((status) => [failures[status].name, describeFailure(status, authentication)]),
      ),
    },
  };
}

const introduction = `Every thread of an agent gets its own sandbox.

- Every error of ours has a JSON body with \`detail\`. A request that does not validate is told all that is wrong with it, as FastAPI does.
- API Gateway makes some errors itself: its 413, 429 and 503, and its authorizer's 401. They have its shape, \`{"message"}\`.
- A path with a slash too many at its end is answered with 307, a method that a path does not have with 405 and \`Allow\`, any other path with 404.
- Fields that are not described are ignored in requests.`;

const securitySchemes = {
  ApiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The key of callers.' },
  Token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A token of the settings' issuer." },
};

const header = (description: string, schema: Json, example: unknown) => ({ description, schema, example });
const headers = {
  'Cache-Control': header('An answer is about one moment.', { const: 'no-store' }, 'no-store'),
  'X-Content-Type-Options': header('It is what its content type says.', { const: 'nosniff' }, 'nosniff'),
  'X-Request-Id': header('The id that its lines in the log have.', { type: 'string' }, 'f7a1…'),
  'WWW-Authenticate': header('How to show that you belong.', { type: 'string' }, 'ApiKey realm="sandbox-provisioner"'),
  'Retry-After': header('After how many seconds to ask again.', { type: 'integer', minimum: 0 }, 1),
  'X-DeerFlow-Capability-Refresh': header(
    "Has DeerFlow's gateway ask for our capabilities anew.",
    { const: 'lark-broker' },
    'lark-broker',
  ),
  'Content-Security-Policy': header(
    'What the page may load: nothing but its own script.',
    { type: 'string' },
    "default-src 'none'",
  ),
};
const { 'WWW-Authenticate': _, ...withoutKey } = headers;
type HeaderName = keyof typeof headers;
const everyHeader: readonly HeaderName[] = ['Cache-Control', 'X-Content-Type-Options', 'X-Request-Id'];
const headersOf: Partial<Record<FailureStatus, readonly HeaderName[]>> = {
  401: ['WWW-Authenticate'],
  503: ['Retry-After', 'X-DeerFlow-Capability-Refresh'],
};
const referTo = (...names: readonly HeaderName[]) =>
  Object.fromEntries([...everyHeader, ...names].map((name) => [name, { $ref: `#/components/headers/${name}` }]));

const schemaOf = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const jsonOf = (schema: Json) => ({ 'application/json': { schema } });

function describeAnswer({ answer: [description, body] }: Operation): Response {
  if (body === 'page') {
    const content = { 'text/html; charset=utf-8': { schema: { type: 'string' } } };
    return { description, headers: referTo('Content-Security-Policy'), content };
  }
  if (body === 'text') {
    return {
      description,
      headers: referTo(),
      content: { 'text/plain; charset=utf-8': { schema: { type: 'string' } } },
    };
  }
  return {
    description,
    headers: referTo(),
    content: jsonOf(body === 'description' ? { type: 'object' } : schemaOf(body)),
  };
}

function describeFailure(status: FailureStatus, authentication: Authentication['kind']): Response {
  const { means, detail } = failures[status];
  const example = status === 401 && authentication === 'jwt' ? 'A token of the issuer is required' : detail;
  const body: Json = {
    schema: status === 422 ? schemaOf('InvalidRequest') : schemaOf('Failure'),
    ...(example !== undefined && { example: { detail: example } }),
  };
  // Behind its authorizer, nobody without a token reaches the function.
  if (status === 401 && authentication === 'jwt')
    body.schema = { anyOf: [schemaOf('Failure'), schemaOf('GatewayFailure')] };
  return {
    description: means,
    headers: referTo(...(headersOf[status] ?? [])),
    content: { 'application/json': body as { schema: Json } },
  };
}

function describeBody({ name, required }: NonNullable<Operation['body']>) {
  return { required, content: jsonOf(schemaOf(name)) };
}

function describeParameters(name: keyof typeof requestParameters) {
  const parameters = requestParameters[name];
  const { properties = {}, required = [] } = z.toJSONSchema(parameters.schema(), { io: 'input' });
  const means: Record<string, Json> = 'means' in parameters ? parameters.means : {};
  const styles: Record<string, Json> = 'styles' in parameters ? parameters.styles : {};
  const words: Readonly<Record<string, Words>> = parameters.words;
  return Object.entries(words).map(([field, { description, ...said }]) => ({
    name: field,
    in: parameters.in,
    // A page need not be asked for.
    required: parameters.in === 'path' && required.includes(field),
    description,
    ...styles[field],
    schema: { ...(means[field] ?? (properties[field] as Json)), ...said },
  }));
}

/** The schemas of all bodies, by their names. */
function describeSchemas(maxTtlSeconds: number, hasGateway: boolean): Record<string, Json> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries({ ...answers, ...eventSchemas }))
    if (hasGateway || id !== 'GatewayFailure') registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}` });
  const described = Object.entries(requestBodies(maxTtlSeconds)).map(([name, { schema, words }]) => {
    const made: Json = z.toJSONSchema(schema, { io: 'input' });
    addWords(made, words);
    return [name, made] as const;
  });
  return Object.fromEntries(
    [...described, ...Object.entries(schemas)].map(([name, { $schema, $id, ...schema }]) => [name, schema]),
  );
}

function addWords(schema: Json, words: Readonly<Record<string, Words>>): void {
  const fields = schema.properties as Record<string, Json>;
  for (const [name, { items, ...said }] of Object.entries(words)) {
    Object.assign(fields[name] as Json, said);
    if (items !== undefined) addWords(fields[name]?.items as Json, items);
  }
}
