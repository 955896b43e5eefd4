import { currentConfig } from '../lib/config.ts';
import { json, serve } from '../lib/http.ts';
import { connectToKubernetes } from '../lib/kubernetes.ts';
import { listSandboxes } from '../lib/sandboxes.ts';

/** `GET /api/sandboxes`: 200 with all sandboxes and their number; 5xx. */
export const handler = serve({ deadlineSeconds: 8 }, async (_event, invocation) => {
  const config = currentConfig();
  const kubernetes = await connectToKubernetes(config, invocation.signal);
  const sandboxes = await listSandboxes({ ...invocation, config, kubernetes });
  return json({ sandboxes, count: sandboxes.length });
});
