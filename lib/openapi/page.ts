import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The viewer: one script, which asks nobody for anything but the description. It lies beside the bundle in the zip. */
export const viewerFile = 'openapi-explorer/dist/browser/openapi-explorer.min.js';

let page: { html: string; policy: string } | undefined;

/**
 * The page that shows the description which lies beside it, and the Content-Security-Policy that it works under: it runs no script
 * but its own, calls nobody but us, and nobody frames it. Its styles are in its elements, by the thousand.
 */
export function renderPage(): { html: string; policy: string } {
  page ??= makePage();
  return page;
}

function makePage() {
  const script = readFileSync(createRequire(import.meta.filename).resolve(viewerFile), 'utf8');
  const hash = createHash('sha256').update(script).digest('base64');
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${hash}'`,
    "style-src 'unsafe-inline'",
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sandbox provisioner</title>
<link rel="icon" href="data:,">
</head>
<body>
<openapi-explorer spec-url="openapi.json" hide-server-selection="true"></openapi-explorer>
<script type="module">${script}</script>
</body>
</html>
`;
  return { html, policy: policy.join('; ') };
}
