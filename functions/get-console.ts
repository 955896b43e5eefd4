import { isConsoleOn } from '../lib/config/index.ts';
import { renderConsole } from '../lib/console/page.ts';
import { unknownPath } from '../lib/http/routes.ts';
import { html, serve } from '../lib/http/serve.ts';

/** `GET /` and `GET /console`: 200 with the console, for anybody, because there is no data in it; 404 where it is off. */
export const handler = serve({ deadlineSeconds: 8, isOpen: () => true }, async () => {
  if (!isConsoleOn()) throw unknownPath();
  return html(renderConsole());
});
