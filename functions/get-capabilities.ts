import { json, serve } from '../lib/http/serve.ts';
import { capabilities } from '../lib/model/lark.ts';

/** `GET /api/capabilities`: 200 with what sandboxes can be planned with. Does not ask Kubernetes. */
export const handler = serve({ deadlineSeconds: 8 }, async () => json(capabilities));
