import { currentConfig } from '../lib/config.ts';
import { json, serve } from '../lib/http.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes.ts';
import { parseSandboxId } from '../lib/request.ts';
import { getSandbox } from '../lib/sandboxes.ts';

beginToConnect(currentConfig);

/** `GET /api/sandboxes/{sandbox_id}`: 200 with the sandbox; 404, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8 }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const config = currentConfig();
  const kubernetes = await connectToKubernetes(config, invocation.signal);
  return json(await getSandbox(sandboxId, { ...invocation, config, kubernetes }));
});
