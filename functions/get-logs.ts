import { currentConfig } from '../lib/config/index.ts';
import { parseLogRequest, parseSandboxId } from '../lib/http/request.ts';
import { serve, text } from '../lib/http/serve.ts';
import { openDiagnostics } from '../lib/kubernetes/diagnostics.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { readLog } from '../lib/sandboxes/logs.ts';

beginToConnect(currentConfig);

/** `GET /api/sandboxes/{sandbox_id}/logs`: 200 with what the sandbox has printed, as plain text; 404, 409, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8 }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const request = parseLogRequest(event.queryStringParameters);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  const operation = { ...invocation, config, kubernetes: cluster.inNamespace(config.namespace) };
  return text(await readLog(sandboxId, request, operation, openDiagnostics(cluster, config.namespace)));
});
