import { currentConfig } from '../lib/config/index.ts';
import { parseRenewal, parseSandboxId } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { withUrlKeys } from '../lib/http/url-keys.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { renewSandbox } from '../lib/sandboxes/renew.ts';

beginToConnect(currentConfig);

/** `POST /api/sandboxes/{sandbox_id}/renew`: 200 with the sandbox and its new `expires_at`; 404, 413, 415, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8, jsonBody: 'optional' }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const config = currentConfig();
  const ttlSeconds = parseRenewal(event.body, config.sandboxMaxTtlSeconds);
  const cluster = await connectToKubernetes(config, invocation.signal);
  const kubernetes = cluster.inNamespace(config.namespace);
  const operation = { ...invocation, config: await withUrlKeys(config, invocation.signal), kubernetes };
  return json(await renewSandbox(sandboxId, ttlSeconds, operation));
});
