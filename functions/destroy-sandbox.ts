import { currentConfig } from '../lib/config/index.ts';
import { tellOfRequest } from '../lib/events/index.ts';
import { parseSandboxId } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { destroySandbox } from '../lib/sandboxes/destroy.ts';

beginToConnect(currentConfig);

/** `DELETE /api/sandboxes/{sandbox_id}`: 200 when the sandbox is gone or was not there; 422, 5xx. */
export const handler = serve({ deadlineSeconds: 12, tell: tellOfRequest }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  await destroySandbox(sandboxId, { ...invocation, config, kubernetes: cluster.inNamespace(config.namespace) });
  return json({ ok: true, sandbox_id: sandboxId });
});
