import { currentConfig } from '../lib/config/index.ts';
import { tellOfRequest } from '../lib/events/index.ts';
import { parseSandboxId, parseWaitSeconds } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { withUrlKeys } from '../lib/http/url-keys.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { getSandbox } from '../lib/sandboxes/get.ts';

beginToConnect(currentConfig);

/** `GET /api/sandboxes/{sandbox_id}`: 200 with the sandbox; 404, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8, tell: tellOfRequest }, async (event, invocation) => {
  const sandboxId = parseSandboxId(event.pathParameters);
  const endOfWait = invocation.waitFor(parseWaitSeconds(event.queryStringParameters));
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  const operation = { ...invocation, endOfWait, config: await withUrlKeys(config, invocation.signal) };
  return json(await getSandbox(sandboxId, { ...operation, kubernetes: cluster.inNamespace(config.namespace) }));
});
