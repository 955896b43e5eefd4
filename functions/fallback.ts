import { serve } from '../lib/http.ts';
import { refuse } from '../lib/routes.ts';

/** Whatever no route matches: 307 for a path with a slash too many, 405 for a method that the path has not, 404. */
export const handler = serve({ deadlineSeconds: 8 }, async (event) => {
  const { stage, http } = event.requestContext;
  throw refuse(http.method, event.rawPath, stage);
});
