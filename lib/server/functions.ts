import { handler as createSandbox } from '../../functions/create-sandbox.ts';
import { handler as destroySandbox } from '../../functions/destroy-sandbox.ts';
import { handler as fallback } from '../../functions/fallback.ts';
import { handler as getCapabilities } from '../../functions/get-capabilities.ts';
import { handler as getConsole } from '../../functions/get-console.ts';
import { handler as getDocs } from '../../functions/get-docs.ts';
import { handler as getEvents } from '../../functions/get-events.ts';
import { handler as getLogs } from '../../functions/get-logs.ts';
import { handler as getOpenapi } from '../../functions/get-openapi.ts';
import { handler as getPresence } from '../../functions/get-presence.ts';
import { handler as getReady } from '../../functions/get-ready.ts';
import { handler as getSandbox } from '../../functions/get-sandbox.ts';
import { handler as health } from '../../functions/health.ts';
import { handler as listSandboxes } from '../../functions/list-sandboxes.ts';
import { handler as renewSandbox } from '../../functions/renew-sandbox.ts';
import { handler as signUrl } from '../../functions/sign-url.ts';
import { handler as updateSandbox } from '../../functions/update-sandbox.ts';
import type { Functions } from './server.ts';

/** The functions by their routes, as in serverless.yml: a test holds the two together. */
export const functions: Functions = {
  'GET /health': health,
  'GET /ready': getReady,
  'GET /openapi.json': getOpenapi,
  'GET /docs': getDocs,
  'GET /': getConsole,
  'GET /console': getConsole,
  'GET /api/capabilities': getCapabilities,
  'GET /api/sandboxes': listSandboxes,
  'POST /api/sandboxes': createSandbox,
  'GET /api/sandboxes/{sandbox_id}': getSandbox,
  'PATCH /api/sandboxes/{sandbox_id}': updateSandbox,
  'DELETE /api/sandboxes/{sandbox_id}': destroySandbox,
  'GET /api/sandboxes/{sandbox_id}/presence': getPresence,
  'GET /api/sandboxes/{sandbox_id}/events': getEvents,
  'GET /api/sandboxes/{sandbox_id}/logs': getLogs,
  'POST /api/sandboxes/{sandbox_id}/renew': renewSandbox,
  'POST /api/sandboxes/{sandbox_id}/url': signUrl,
  $default: fallback,
};
