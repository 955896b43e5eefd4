import { isApiPath, refuse } from '../lib/http/routes.ts';
import { serve } from '../lib/http/serve.ts';

/**
 * Whatever no route matches: 307 for a path with a slash too many, 405 for a method that the path has not, 404; 401 under
 * /api.
 */
export const handler = serve({ deadlineSeconds: 8, isOpen: (event) => !isApiPath(event.rawPath) }, async (event) => {
  throw refuse(event);
});
