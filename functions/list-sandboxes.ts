import { currentConfig } from '../lib/config/index.ts';
import { listTooLong, parseListQuery } from '../lib/http/request.ts';
import { isTooLargeForLambda, json, serve } from '../lib/http/serve.ts';
import { withUrlKeys } from '../lib/http/url-keys.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { listSandboxes, listSandboxPage } from '../lib/sandboxes/list.ts';

beginToConnect(currentConfig);

/** `GET /api/sandboxes`: 200 with all sandboxes, or those that are asked for, or a page of them, and their number; 410, 422, 5xx. */
export const handler = serve({ deadlineSeconds: 8 }, async (event, invocation) => {
  const { filter, page } = parseListQuery(event.queryStringParameters);
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  const kubernetes = cluster.inNamespace(config.namespace);
  const operation = { ...invocation, config: await withUrlKeys(config, invocation.signal), kubernetes };
  const found = page
    ? await listSandboxPage(page, operation, filter)
    : { sandboxes: await listSandboxes(operation, filter) };
  const answer = json({ ...found, count: found.sandboxes.length });
  if (config.aws.isLambda && isTooLargeForLambda(answer)) throw listTooLong(found.sandboxes.length);
  return answer;
});
