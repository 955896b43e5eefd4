import { ProvisionerError } from '../errors.ts';

/** The paths that are served, each with its methods. serverless.yml routes the same ones; a test holds the two together. */
export const routes: readonly { path: string; methods: readonly string[] }[] = [
  { path: '/health', methods: ['GET'] },
  { path: '/ready', methods: ['GET'] },
  { path: '/openapi.json', methods: ['GET'] },
  { path: '/docs', methods: ['GET'] },
  { path: '/', methods: ['GET'] },
  { path: '/console', methods: ['GET'] },
  { path: '/api/capabilities', methods: ['GET'] },
  { path: '/api/sandboxes', methods: ['GET', 'POST'] },
  { path: '/api/sandboxes/{sandbox_id}', methods: ['DELETE', 'GET', 'PATCH'] },
  { path: '/api/sandboxes/{sandbox_id}/presence', methods: ['GET'] },
  { path: '/api/sandboxes/{sandbox_id}/events', methods: ['GET'] },
  { path: '/api/sandboxes/{sandbox_id}/logs', methods: ['GET'] },
  { path: '/api/sandboxes/{sandbox_id}/renew', methods: ['POST'] },
  { path: '/api/sandboxes/{sandbox_id}/url', methods: ['POST'] },
];

/** What is read of a request that no route matched: parts of an event of an HTTP API. */
export type StrayRequest = Readonly<{
  rawPath?: string | undefined;
  rawQueryString: string;
  requestContext: Readonly<{ http: Readonly<{ method: string }>; stage?: string; apiId?: string; domainName?: string }>;
}>;

/**
 * What a request that no route matched is told: where to go instead, if only a slash at the end of its path is too many (as
 * FastAPI does, with the method, the query and the body kept); which methods the path has; or that there is nothing.
 */
export function refuse({ rawPath = '', rawQueryString, requestContext }: StrayRequest): ProvisionerError {
  // Of a slash that is the whole path, none is too many; of two at its end, one is not enough.
  const path = /[^/]\/$/.test(rawPath) ? rawPath.slice(0, -1) : rawPath;
  const methods = findMethods(pathsWithin(path, requestContext));
  if (methods === undefined) return unknownPath();
  if (!methods.includes(requestContext.http.method)) {
    return new ProvisionerError('method-not-allowed', 'Method Not Allowed', { headers: { allow: methods.join(', ') } });
  }
  // A route would have matched: what the path begins with is no base path.
  if (path === rawPath) return unknownPath();
  // Relative, because only API Gateway and the caller know what else the path begins with. rawPath has been decoded: it may hold
  // anything, and must not become a header as it is.
  const location = `../${encodeURIComponent(path.slice(path.lastIndexOf('/') + 1).toWellFormed())}`;
  const query = rawQueryString.toWellFormed().replace(/[^!-~]|#/gu, encodeURIComponent);
  return new ProvisionerError('moved', 'The path has a slash too many', {
    headers: { location: query === '' ? location : `${location}?${query}` },
  });
}

/**
 * What of a path can be the part that routes know, the likeliest first. The path of a named stage begins with it. A custom
 * domain may lead to the API under a base path: the event has the path with it (others report so; it was not tried here) and does
 * not say which it is, so it may be any.
 */
function pathsWithin(path: string, { stage = '$default', apiId, domainName = '' }: StrayRequest['requestContext']) {
  // serverless-offline names no domain, but a word without dots.
  const isCustomDomain = domainName.includes('.') && !domainName.startsWith(`${apiId}.execute-api.`);
  if (isCustomDomain) return [...path.matchAll(/\//g)].map(({ index }) => path.slice(index));
  return stage !== '$default' && path.startsWith(`/${stage}/`) ? [path.slice(stage.length + 1)] : [path];
}

function findMethods(paths: readonly string[]): readonly string[] | undefined {
  for (const path of paths) {
    const found = routes.find((route) => toPattern(route.path).test(path));
    if (found !== undefined) return found.methods;
  }
  return undefined;
}

/**
 * Whether a path may belong to the API, so that only its callers learn what is there: if any part of it begins with `api`,
 * however it is written, because anything may stand before it (a stage, a base path); and whatever has no path at all.
 */
export const isApiPath = (rawPath: string | undefined): boolean => !rawPath || /(^|[/\\])api/i.test(rawPath);

/** What a request is told whose path there is not. */
export const unknownPath = (): ProvisionerError => new ProvisionerError('unknown-path', 'Not Found');

const toPattern = (path: string): RegExp => new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`);
