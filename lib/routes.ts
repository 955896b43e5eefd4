import { ProvisionerError } from './errors.ts';

/** The paths that are served, each with its methods. serverless.yml routes the same ones; a test holds the two together. */
export const routes: readonly { path: string; methods: readonly string[] }[] = [
  { path: '/health', methods: ['GET'] },
  { path: '/api/sandboxes', methods: ['GET', 'POST'] },
  { path: '/api/sandboxes/{sandbox_id}', methods: ['DELETE', 'GET'] },
  { path: '/api/sandboxes/{sandbox_id}/renew', methods: ['POST'] },
];

/**
 * What a request that no route matched is told: where to go instead, if only a slash at the end of its path is too many (as
 * FastAPI does, with the method and the body kept); which methods the path has; or that there is nothing.
 */
export function refuse(method: string, rawPath: string, stage: string): ProvisionerError {
  const prefix = stagePrefix(rawPath, stage);
  const path = rawPath.slice(prefix.length);
  const trimmed = path.endsWith('/') ? path.slice(0, -1) : path;
  const methods = routes.find((route) => toPattern(route.path).test(trimmed))?.methods;
  if (methods === undefined) return new ProvisionerError('unknown-path', 'Not Found');
  if (!methods.includes(method) || trimmed === path) {
    return new ProvisionerError('method-not-allowed', 'Method Not Allowed', { headers: { allow: methods.join(', ') } });
  }
  // rawPath has been decoded: it may hold anything, and must not become a header as it is.
  const location = prefix + trimmed.toWellFormed().split('/').map(encodeURIComponent).join('/');
  return new ProvisionerError('moved', 'The path has a slash too many', { headers: { location } });
}

/**
 * Whether a path belongs to the API, so that only its callers learn what is there: everything that begins with /api,
 * however it is written, and whatever has no path at all.
 */
export function isApiPath(event: { rawPath?: string; requestContext?: { stage?: string } }): boolean {
  const { rawPath = '/api', requestContext: { stage = '$default' } = {} } = event;
  return /^[/\\]*api/i.test(rawPath.slice(stagePrefix(rawPath, stage).length));
}

/** The path of a named stage begins with it. */
const stagePrefix = (rawPath: string, stage: string): string =>
  stage !== '$default' && rawPath.startsWith(`/${stage}/`) ? `/${stage}` : '';

const toPattern = (path: string): RegExp => new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`);
