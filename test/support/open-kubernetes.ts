import type { Config } from '../../lib/config/index.ts';
import { type Kubernetes, openKubernetes as openCluster } from '../../lib/kubernetes/index.ts';

/** A client of its own in the namespace of the settings, as a function has it. */
export async function openKubernetes(config: Config, signal: AbortSignal, now?: () => Date): Promise<Kubernetes> {
  return (await openCluster(config, signal, now)).inNamespace(config.namespace);
}
