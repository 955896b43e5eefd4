import type { IncomingMessage } from 'node:http';
import { routes } from '../http/routes.ts';
import type { HttpEvent } from '../http/serve.ts';

/** The part of a path that a route gives this name to: `{sandbox_id}`. */
const parameter = /^\{(.+)\}$/;

/** The server's own, which API Gateway does not have. */
const metricsRoute = { path: '/metrics', methods: ['GET'] };

const known = [...routes, metricsRoute].flatMap(({ path, methods }) =>
  methods.map((method) => ({ method, parts: path.split('/'), routeKey: `${method} ${path}` })),
);

/** The route of what no other route matches, in API Gateway's word. */
export const fallbackRoute = '$default';

/**
 * The event that an HTTP API makes of a request (payload 2.0), as far as the functions read one. Undefined for a request that asks
 * for no path.
 */
export function toEvent(
  { method = '', url = '', rawHeaders, socket }: IncomingMessage,
  body: string,
): HttpEvent | undefined {
  // It may ask for a whole URL, as it would a proxy.
  const target = url.startsWith('/') ? `http://localhost${url}` : url;
  if (!URL.canParse(target)) return undefined;
  const { pathname, searchParams } = new URL(target);
  const parts = pathname.split('/').map(decode);
  const { routeKey, pathParameters } = findRoute(method, parts);
  return {
    routeKey,
    rawPath: parts.join('/'),
    rawQueryString: searchParams.toString(),
    pathParameters,
    queryStringParameters: join(searchParams),
    headers: join(pairs(rawHeaders)),
    requestContext: {
      http: { method, ...(socket?.remoteAddress && { sourceIp: socket.remoteAddress }) },
      stage: fallbackRoute,
    },
    // Of all types, the functions read none but JSON, which is text.
    ...(body !== '' && { body }),
    isBase64Encoded: false,
  };
}

/** By the decoded parts of the path: `/%61pi` is `/api`, but an encoded slash divides nothing. */
function findRoute(method: string, given: readonly string[]): Pick<HttpEvent, 'routeKey' | 'pathParameters'> {
  const isMet = (part: string, index: number) => part === given[index] || (parameter.test(part) && given[index] !== '');
  const route = known.find(
    ({ method: wanted, parts }) => wanted === method && parts.length === given.length && parts.every(isMet),
  );
  const parameters = route?.parts.map((part, index) => [parameter.exec(part)?.[1], given[index]]) ?? [];
  return {
    routeKey: route?.routeKey ?? fallbackRoute,
    pathParameters: Object.fromEntries(parameters.filter(([name]) => name !== undefined)),
  };
}

/** What cannot be decoded stays as it is: a function refuses it. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function* pairs(rawHeaders: readonly string[]): Generator<[string, string]> {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    yield [rawHeaders[index]?.toLowerCase() ?? '', rawHeaders[index + 1] ?? ''];
  }
}

/** Those of one name as one, with commas. */
function join(entries: Iterable<[string, string]>): Record<string, string> {
  const joined = new Map<string, string>();
  for (const [name, value] of entries) {
    const before = joined.get(name);
    joined.set(name, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(joined);
}
