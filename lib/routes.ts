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
  // The path of a named stage begins with it.
  const prefix = stage !== '$default' && rawPath.startsWith(`/${stage}/`) ? `/${stage}` : '';
  const path = rawPath.slice(prefix.length);
  const trimmed = path.endsWith('/') ? path.slice(0, -1) : path;
  const methods = routes.find((route) => toPattern(route.path).test(trimmed))?.methods;
  if (methods === undefined) return new ProvisionerError('unknown-path', 'Not Found');
  if (!methods.includes(method) || trimmed === path) {
    return new ProvisionerError('method-not-allowed', 'Method Not Allowed', { headers: { allow: methods.join(', ') } });
  }
  // rawPath has been decoded: it may hold anything, and must not become a header as it is.
  const location = prefix + trimmed.toWellFormed().split('/').map(encodeURIComponent).join('/');
  return new ProvisionerError('moved', `The path is ${location}`, { headers: { location } });
}

const toPattern = (path: string): RegExp => new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`);
