import { currentConfig } from '../lib/config.ts';
import { json, serve } from '../lib/http.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes.ts';
import { parseSandboxId } from '../lib/request.ts';
import { destroySandbox } from '../lib/sandboxes.ts';

beginToConnect(currentConfig);

/** `DELETE /api/sandboxes/{sandbox_id}`: 200 when the sandbox is gone or was not there; 422, 5xx. */
export const handler = serve({ deadlineSeconds: 12 }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const config = currentConfig();
  const kubernetes = await connectToKubernetes(config, invocation.signal);
  await destroySandbox(sandboxId, { ...invocation, config, kubernetes });
  return json({ ok: true, sandbox_id: sandboxId });
});
