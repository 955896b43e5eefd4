import { currentConfig } from '../lib/config/index.ts';
import { parseSandboxId, parseUpdate } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { withUrlKeys } from '../lib/http/url-keys.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { updateSandbox } from '../lib/sandboxes/update.ts';

beginToConnect(currentConfig);

/** `PATCH /api/sandboxes/{sandbox_id}`: 200 with the sandbox and its new metadata; 404, 413, 415, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8, jsonBody: 'required' }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const change = parseUpdate(event.body);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  const kubernetes = cluster.inNamespace(config.namespace);
  const operation = { ...invocation, config: await withUrlKeys(config, invocation.signal), kubernetes };
  return json(await updateSandbox(sandboxId, change, operation));
});
