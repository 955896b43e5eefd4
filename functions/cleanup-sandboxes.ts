import { cleanUpSandboxes } from '../lib/cleanup.ts';
import { currentConfig } from '../lib/config.ts';
import { beginToConnect, connectToKubernetes } from '../lib/kubernetes.ts';
import { runScheduled } from '../lib/schedule.ts';

beginToConnect(currentConfig);

/** On a schedule: removes the sandboxes that nobody uses any more, and gives the report. Fails if one could not be removed. */
export const handler = runScheduled(async (invocation) => {
  const config = currentConfig();
  const kubernetes = await connectToKubernetes(config, invocation.signal);
  return cleanUpSandboxes({ ...invocation, config, kubernetes });
});
