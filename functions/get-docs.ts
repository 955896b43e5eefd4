import { isDescriptionOpen } from '../lib/config/index.ts';
import { html, serve } from '../lib/http/serve.ts';
import { renderPage } from '../lib/openapi/page.ts';

/** `GET /docs`: 200 with a page that shows the description; 401 where it is for callers only. */
export const handler = serve({ deadlineSeconds: 8, isOpen: isDescriptionOpen }, async () => html(renderPage()));
