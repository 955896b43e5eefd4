import { randomBytes } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { expect, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { type HttpRequest, httpEvent, lambdaContext } from '../support/events.ts';
import { keepSecret, watchText } from '../support/secrets.ts';
import { settings as settingNames } from '../support/settings.ts';

const modules = {
  'create-sandbox': () => import('../../functions/create-sandbox.ts'),
  'get-sandbox': () => import('../../functions/get-sandbox.ts'),
  'list-sandboxes': () => import('../../functions/list-sandboxes.ts'),
  'renew-sandbox': () => import('../../functions/renew-sandbox.ts'),
  'update-sandbox': () => import('../../functions/update-sandbox.ts'),
  'destroy-sandbox': () => import('../../functions/destroy-sandbox.ts'),
  health: () => import('../../functions/health.ts'),
  'get-openapi': () => import('../../functions/get-openapi.ts'),
  'get-docs': () => import('../../functions/get-docs.ts'),
  'get-console': () => import('../../functions/get-console.ts'),
  fallback: () => import('../../functions/fallback.ts'),
};

/** The names of the functions that answer HTTP, those of serverless.yml. */
export type FunctionName = keyof typeof modules;

/** An answer of a function; the names of its headers in lower case, its body parsed. */
export type Answer = { status: number; headers: Record<string, unknown>; body: unknown };

/** What `call` shows that it belongs. */
export const apiKey = keepSecret(randomBytes(32).toString('hex'));

/** Every variable that the functions read, or that would make them find another cluster. */
const variables = [
  ...settingNames,
  'AWS_REGION',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AWS_ENDPOINT_URL_EVENTBRIDGE',
  'PARAMETERS_SECRETS_EXTENSION_HTTP_PORT',
  'KUBERNETES_SERVICE_HOST',
  'KUBERNETES_SERVICE_PORT',
  'AWS_LAMBDA_FUNCTION_NAME',
  'IS_OFFLINE',
];

/**
 * A cold start: modules that remember nothing, with these settings and no others. Callers need the key, unless they say
 * how else.
 */
export function startCold(settings: Record<string, string> = {}): void {
  vi.resetModules();
  for (const name of variables) vi.stubEnv(name, undefined);
  const hasAccess = ['AUTH', 'PROVISIONER_API_KEY_SECRET_ID', 'PROVISIONER_API_KEY_PARAMETER', 'JWT_ISSUER'].some(
    (name) => name in settings,
  );
  const access = hasAccess ? {} : { PROVISIONER_API_KEY: apiKey };
  const environment = { KUBECONFIG_WAIT_SECONDS: '0', LOG_LEVEL: 'DEBUG', ...access, ...settings };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
}

/** Loads a function, as Lambda does before it counts an invocation's time. */
export const load = (name: FunctionName): Promise<unknown> => modules[name]();

/** Calls a function with an event as API Gateway makes it, and with the key. */
export function call(name: FunctionName, request: HttpRequest, context = lambdaContext(name)): Promise<Answer> {
  const headers = { 'x-api-key': apiKey, ...request.headers };
  return callWith(name, httpEvent({ ...request, headers }) as HttpEvent, context);
}

/** Calls a function with any event; sees to what every answer bears, and leaves that out. */
export async function callWith(name: FunctionName, event: HttpEvent, context: Context): Promise<Answer> {
  const { handler } = await modules[name]();
  const { statusCode = 0, headers = {}, body = '' } = await handler(event, context);
  watchText(`an answer of ${name}`, JSON.stringify({ headers, body }));
  const {
    'cache-control': caching,
    'x-content-type-options': sniffing,
    'x-request-id': id,
    ...rest
  } = Object.fromEntries(Object.entries(headers).map(([header, value]) => [header.toLowerCase(), value]));
  expect([caching, sniffing, id]).toEqual(['no-store', 'nosniff', context.awsRequestId]);
  return { status: statusCode, headers: rest, body: body === '' ? undefined : JSON.parse(body) };
}

/** `POST /api/sandboxes`; what is no text is sent as JSON. */
export const create = (body: unknown, rest: Partial<HttpRequest> = {}, context?: Context): Promise<Answer> =>
  call('create-sandbox', { method: 'POST', path: '/api/sandboxes', body, ...rest }, context);

const one = (method: string, sandboxId: string): HttpRequest => ({
  method,
  path: `/api/sandboxes/${sandboxId}`,
  routeKey: `${method} /api/sandboxes/{sandbox_id}`,
  pathParameters: { sandbox_id: sandboxId },
});

/** `GET /api/sandboxes/{sandbox_id}` */
export const get = (sandboxId: string, context?: Context, query: Record<string, string> = {}): Promise<Answer> =>
  call('get-sandbox', { ...one('GET', sandboxId), query }, context);

/** `POST /api/sandboxes/{sandbox_id}/renew` */
export const renew = (sandboxId: string, body?: unknown, context?: Context): Promise<Answer> => {
  const { pathParameters = {} } = one('POST', sandboxId);
  const path = `/api/sandboxes/${sandboxId}/renew`;
  return call('renew-sandbox', { method: 'POST', path, pathParameters, body }, context);
};

/** `PATCH /api/sandboxes/{sandbox_id}` */
export const update = (sandboxId: string, body: unknown, context?: Context): Promise<Answer> =>
  call('update-sandbox', { ...one('PATCH', sandboxId), body }, context);

/** `DELETE /api/sandboxes/{sandbox_id}` */
export const destroy = (sandboxId: string, context?: Context): Promise<Answer> =>
  call('destroy-sandbox', one('DELETE', sandboxId), context);

/** `GET /api/sandboxes` */
export const list = (context?: Context): Promise<Answer> =>
  call('list-sandboxes', { method: 'GET', path: '/api/sandboxes' }, context);

/** The six functions that ask Kubernetes, each called with what would do. */
export const askingFunctions: [FunctionName, (context?: Context) => Promise<Answer>][] = [
  ['create-sandbox', (context) => create({ sandbox_id: 'a1b2c3d4' }, {}, context)],
  ['get-sandbox', (context) => get('a1b2c3d4', context)],
  ['list-sandboxes', list],
  ['renew-sandbox', (context) => renew('a1b2c3d4', undefined, context)],
  ['update-sandbox', (context) => update('a1b2c3d4', { metadata: { team: 'red' } }, context)],
  ['destroy-sandbox', (context) => destroy('a1b2c3d4', context)],
];

/** All that is printed from here on, until mocks are restored; it is shown nowhere else. */
export function keepPrinted(): string[] {
  const printed: string[] = [];
  const keep = (text: string | Uint8Array) => printed.push(String(text)) > 0;
  for (const stream of [process.stdout, process.stderr]) vi.spyOn(stream, 'write').mockImplementation(keep);
  return printed;
}
