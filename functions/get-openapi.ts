import { describedMaxTtlSeconds, isDescriptionOpen } from '../lib/config/index.ts';
import { json, readAccessConfig, serve } from '../lib/http/serve.ts';
import { describeApi } from '../lib/openapi/index.ts';

/** `GET /openapi.json`: 200 with the description of the API as it is set up here; 401 where it is for callers only. */
export const handler = serve({ deadlineSeconds: 8, isOpen: isDescriptionOpen }, async ({ rawPath = '' }) =>
  json(
    describeApi({
      authentication: readAccessConfig().authentication.kind,
      maxTtlSeconds: describedMaxTtlSeconds(),
      basePath: rawPath.replace(/\/openapi\.json$/, ''),
    }),
  ),
);
