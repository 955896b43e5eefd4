import { currentConfig } from '../lib/config/index.ts';
import { tellOfRequest } from '../lib/events/index.ts';
import { parseCreateRequest } from '../lib/http/request.ts';
import { json, serve } from '../lib/http/serve.ts';
import { withUrlKeys } from '../lib/http/url-keys.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { createSandbox } from '../lib/sandboxes/create.ts';

beginToConnect(currentConfig);

/** `POST /api/sandboxes`: 200 with the sandbox, new or not; 400, 409, 413, 415, 422, 429, 5xx. */
export const handler = serve(
  { deadlineSeconds: 25, takeBackSeconds: 2.5, jsonBody: 'required', tell: tellOfRequest },
  async (event, invocation) => {
    const config = currentConfig();
    const request = parseCreateRequest(event.body, config.sandboxMaxTtlSeconds);
    const cluster = await connectToKubernetes(config, invocation.signal);
    const operation = {
      ...invocation,
      endOfWait: invocation.waitFor(request.waitSeconds ?? 0),
      config: await withUrlKeys(config, invocation.signal),
    };
    return json(await createSandbox(request, { ...operation, kubernetes: cluster.inNamespace(config.namespace) }));
  },
);
