import { currentConfig } from '../lib/config/index.ts';
import { parseSandboxId, parseUrlRequest } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { withUrlKeys } from '../lib/http/url-keys.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { giveUrl } from '../lib/sandboxes/give-url.ts';

beginToConnect(currentConfig);

/** `POST /api/sandboxes/{sandbox_id}/url`: 200 with a URL of the sandbox for a while; 400, 404, 409, 413, 415, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8, jsonBody: 'optional' }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const request = parseUrlRequest(event.body);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  const kubernetes = cluster.inNamespace(config.namespace);
  const operation = { ...invocation, config: await withUrlKeys(config, invocation.signal), kubernetes };
  return json(await giveUrl(sandboxId, request, operation));
});
