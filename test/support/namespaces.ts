import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { webhooksPath } from './admission-webhook.ts';
import { isEmbeddedCluster, removeNamespace, testNamespacePrefix } from './cluster.ts';
import {
  type KubernetesAddress,
  type KubernetesObject,
  openKubernetesClient,
  readKubeconfig,
} from './kubernetes-client.ts';

/**
 * Names the run, before the contract suite, once for all its parts; gives what runs after it. Interrupted or not, it leaves
 * nothing on a real cluster.
 */
export function setup(): () => Promise<void> {
  process.env.SANDBOX_TEST_RUN ??= randomBytes(2).toString('hex');
  if (isEmbeddedCluster) return async () => {};
  // Vitest ends at once when it is interrupted: no hook runs, and there is no time for anything but another process.
  const removeInOtherProcess = () => spawnSync(process.execPath, [fileURLToPath(import.meta.url)], { timeout: 60_000 });
  process.once('exit', removeInOtherProcess);
  return async () => {
    await removeNamespacesOfRun();
    process.removeListener('exit', removeInOtherProcess);
  };
}

async function removeNamespacesOfRun(): Promise<void> {
  const address = await readKubeconfig(process.env.KUBECONFIG_PATH as string);
  const all = await openKubernetesClient(address, 'default').request('GET', '/api/v1/namespaces');
  const names = (all.body.items as KubernetesObject[]).map(({ metadata }) => metadata.name);
  const left = names.filter((name) => name.startsWith(testNamespacePrefix()));
  await Promise.all(left.map((name) => removeNamespace(openKubernetesClient(address, name))));
  // The rights of those who may make a namespace are in none, nor are webhooks.
  for (const kind of ['clusterrolebindings', 'clusterroles']) {
    await removeFromCluster(
      `/apis/rbac.authorization.k8s.io/v1/${kind}`,
      `sandbox-provisioner:${testNamespacePrefix()}`,
      address,
    );
  }
  await removeFromCluster(webhooksPath, testNamespacePrefix(), address);
  for (const kind of ['validatingadmissionpolicybindings', 'validatingadmissionpolicies']) {
    await removeFromCluster(
      `/apis/admissionregistration.k8s.io/v1/${kind}`,
      `sandbox-provisioner.${testNamespacePrefix()}`,
      address,
    );
  }
}

async function removeFromCluster(path: string, prefix: string, address: KubernetesAddress): Promise<void> {
  const { request } = openKubernetesClient(address, 'default');
  // Before Kubernetes 1.30 there are no policies.
  const items = ((await request('GET', path)).body.items ?? []) as KubernetesObject[];
  const names = items.map(({ metadata }) => metadata.name);
  for (const name of names) if (name.startsWith(prefix)) await request('DELETE', `${path}/${name}`);
}

if (import.meta.main) await removeNamespacesOfRun();
