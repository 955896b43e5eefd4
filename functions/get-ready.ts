import { currentConfig } from '../lib/config/index.ts';
import { json, serve } from '../lib/http/serve.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { openInspection } from '../lib/kubernetes/inspection.ts';
import { keepReadiness } from '../lib/sandboxes/readiness.ts';

beginToConnect(currentConfig);

const findReadiness = keepReadiness(
  currentConfig,
  async (config, signal) => {
    const cluster = await connectToKubernetes(config, signal);
    const { namespace } = config;
    return { config, kubernetes: cluster.inNamespace(namespace), inspection: openInspection(cluster, namespace) };
  },
  () => new Date(),
);

/** `GET /ready`: 200 where sandboxes can be made, for anybody; 503 with the checks that fail. */
export const handler = serve({ deadlineSeconds: 8, isOpen: () => true }, async (_event, { signal }) =>
  json(await findReadiness(signal)),
);
