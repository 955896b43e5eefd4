import { currentConfig } from '../lib/config/index.ts';
import { parseSandboxId } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { openDiagnostics } from '../lib/kubernetes/diagnostics.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { tellEvents } from '../lib/sandboxes/events.ts';

beginToConnect(currentConfig);

/** `GET /api/sandboxes/{sandbox_id}/events`: 200 with what happened to the sandbox's Pod, newest first; 404, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8 }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  const operation = { ...invocation, config, kubernetes: cluster.inNamespace(config.namespace) };
  return json(await tellEvents(sandboxId, operation, openDiagnostics(cluster, config.namespace)));
});
