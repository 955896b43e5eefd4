import { createHash } from 'node:crypto';
import { buildConsole } from './build.ts';

let page: { html: string; policy: string } | undefined;

/**
 * The console, all of it in one page, and the Content-Security-Policy that it works under: it runs no script and wears no style but its
 * own, calls nobody but us, makes no markup of a text, and nobody frames it. It finds the API beside its own address.
 */
export function renderConsole(): { html: string; policy: string } {
  page ??= makePage();
  return page;
}

function makePage() {
  const { script, style } = buildConsole();
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Sandboxes</title>
<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(icon)}">
<style>${style}</style>
</head>
<body>
<div id="console"><noscript>This page needs JavaScript.</noscript></div>
<script type="module">${script}</script>
</body>
</html>
`;
  return { html, policy: policy.join('; ') };
}

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2f6feb"/><path d="M4 6.5 8 4l4 2.5v4L8 13l-4-2.5zM4 6.5 8 9l4-2.5M8 9v4" fill="none" stroke="#fff"/></svg>';

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
