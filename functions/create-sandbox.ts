import { currentConfig } from '../lib/config.ts';
import { json, serve } from '../lib/http.ts';
import { connectToKubernetes } from '../lib/kubernetes.ts';
import { parseCreateRequest } from '../lib/request.ts';
import { createSandbox } from '../lib/sandboxes.ts';

/** `POST /api/sandboxes`: 200 with the sandbox, new or not; 409, 413, 415, 422, 429, 5xx. */
export const handler = serve({ deadlineSeconds: 25, jsonBody: true }, async (event, invocation) => {
  const request = parseCreateRequest(event.body);
  const config = currentConfig();
  const kubernetes = await connectToKubernetes(config, invocation.signal);
  return json(await createSandbox(request, { ...invocation, config, kubernetes }));
});
