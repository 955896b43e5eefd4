import { currentConfig } from '../lib/config/index.ts';
import { parseSandboxId } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { findPresence } from '../lib/sandboxes/presence.ts';

beginToConnect(currentConfig);

/** `GET /api/sandboxes/{sandbox_id}/presence`: 200 with whether the sandbox has a Pod, and which; 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8 }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  return json(
    await findPresence(sandboxId, { ...invocation, config, kubernetes: cluster.inNamespace(config.namespace) }),
  );
});
