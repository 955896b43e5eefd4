import { routes } from './routes.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** Whether a browser asks (Fetch standard, CORS-preflight request) if a page of another origin may make a call. */
export const isPreflight = (method: string | undefined, headers: Headers): boolean =>
  method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;

const methods = [...new Set(routes.flatMap((route) => route.methods))].toSorted().join(', ');

/** The headers by which a browser lets a page of this origin make our calls, and read their answers. */
export const grantPage = (origin: string): Record<string, string> => ({
  'access-control-allow-origin': origin,
  'access-control-allow-methods': methods,
  'access-control-allow-headers': 'authorization, content-type, x-api-key',
  'access-control-expose-headers': 'retry-after, x-request-id',
  'access-control-max-age': '600',
  vary: 'origin',
});
