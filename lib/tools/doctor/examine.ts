import type { Environment } from '../../config/setting.ts';
import { openDiagnostics } from '../../kubernetes/diagnostics.ts';
import { openKubernetes } from '../../kubernetes/index.ts';
import { openInspection } from '../../kubernetes/inspection.ts';
import { checkAccess } from './access.ts';
import { checkCluster } from './cluster.ts';
import { checkConnection } from './connection.ts';
import type { Tell } from './finding.ts';
import { trySandbox } from './sandbox.ts';
import { checkSettings } from './settings.ts';

export type Examination = Readonly<{
  /** The settings are read from there. */
  env: Environment;
  /** Whether a sandbox is made. */
  sandbox: boolean;
  tell: Tell;
  signal: AbortSignal;
  now: () => Date;
}>;

/**
 * Looks at all that the provisioner needs, in the order in which one thing needs the other, with the code of the functions. What
 * cannot be looked at because something before it failed is told of as skipped. Without `sandbox` it changes nothing.
 */
export async function examine({ env, sandbox, tell, signal, now }: Examination): Promise<void> {
  const skip = (...checks: string[]) => {
    for (const check of checks) tell({ check, level: 'skipped', message: 'not looked at: something before it failed' });
  };
  const ofSandbox = sandbox ? ['sandbox'] : [];
  const config = checkSettings(env, tell);
  if (config === undefined) return skip('kubeconfig', 'connection', 'cluster', ...ofSandbox);
  const credentials = await checkAccess(config, tell, signal, now);
  if (credentials === undefined) return skip('connection', 'cluster', ...ofSandbox);
  if (!(await checkConnection(credentials, tell, signal, now))) return skip('cluster', ...ofSandbox);

  const cluster = await openKubernetes(config, signal, now);
  const kubernetes = cluster.inNamespace(config.namespace);
  const inspection = openInspection(cluster, config.namespace);
  const isWell = await checkCluster({ config, kubernetes, inspection }, tell, signal);
  if (!sandbox) {
    const asks = `only a sandbox tells whether its image, its folders (${describeSkills(config.volumes.skills)}) and NODE_HOST are right: --sandbox makes one`;
    tell({ check: 'sandbox', level: 'skipped', message: asks });
  } else if (isWell && !signal.aborted) {
    const diagnostics = openDiagnostics(cluster, config.namespace);
    await trySandbox({ config, kubernetes, diagnostics, now }, tell, signal);
  } else {
    skip('sandbox');
  }
}

const describeSkills = (skills: { in: string; path?: string; root?: string; claim?: string }): string =>
  `skills: ${skills.path ?? skills.root ?? `the claim ${skills.claim}`}`;
