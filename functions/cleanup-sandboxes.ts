import { runScheduled } from '../lib/cleanup/schedule.ts';
import { cleanUpSandboxes } from '../lib/cleanup/sweep.ts';
import { currentConfig } from '../lib/config/index.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes/index.ts';
import { readQuotaLeft } from '../lib/kubernetes/quotas.ts';

beginToConnect(currentConfig);

/** On a schedule: removes the sandboxes that nobody uses any more, and gives the report. Fails if one could not be removed. */
export const handler = runScheduled(async (invocation) => {
  const config = currentConfig();
  const cluster = await connectToKubernetes(config, invocation.signal);
  invocation.noteQuota?.(readQuotaLeft(cluster, config.namespace, invocation.signal));
  return cleanUpSandboxes({ ...invocation, config, kubernetes: cluster.inNamespace(config.namespace) });
});
