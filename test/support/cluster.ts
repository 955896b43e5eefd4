import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { eventually } from './eventually.ts';
import {
  type KubernetesAddress,
  type KubernetesClient,
  type KubernetesObject,
  openKubernetesClient,
  readKubeconfig,
} from './kubernetes-client.ts';
import { grantPrintedRights, type Rights } from './rights.ts';

/** The cluster under the tests, and a namespace of it that is theirs alone. */
export interface TestCluster {
  readonly isEmbedded: boolean;
  /** The cluster as the tests see it, who may do everything. */
  readonly address: KubernetesAddress;
  /** The cluster as the provisioner is to see it: as one who has the printed rights and no others. */
  readonly access: KubernetesAddress;
  /** The Role or ClusterRole of whoever comes through `access`; undefined on the embedded Kubernetes, which has none. */
  readonly role: KubernetesObject | undefined;
  readonly namespace: string;
  /** A client of the tests' own for that namespace. */
  readonly kubernetes: KubernetesClient;
  readonly settings: SandboxSettings;
  /** Removes the namespace with all that is in it, and stops the cluster where the tests started it. */
  close(): Promise<void>;
}

/** The provisioner's settings that decide what a sandbox looks like. */
export interface SandboxSettings {
  readonly SANDBOX_IMAGE: string;
  readonly NODE_HOST: string;
  readonly SKILLS_HOST_PATH: string;
  readonly THREADS_HOST_PATH: string;
}

/** True where the suite runs on the embedded Kubernetes: the environment names no other. */
export const isEmbeddedCluster = (process.env.KUBECONFIG_PATH ?? '') === '';

/**
 * What the namespaces of one run of the tests begin with. The run's id comes from `namespaces.ts`, which removes at the end
 * what an interrupted file has left.
 */
export const testNamespacePrefix = (): string => `sandbox-test-${process.env.SANDBOX_TEST_RUN ?? ''}`;

/**
 * Opens the cluster that `KUBECONFIG_PATH` names, or else starts an embedded one. The namespace is made, unless the rights
 * are those of one who may make it. `settings` are the provisioner's, by which the rights are printed.
 */
export async function openTestCluster(
  rights: Rights = 'namespace',
  settings: Record<string, string> = {},
): Promise<TestCluster> {
  const namespace = `${testNamespacePrefix()}${randomBytes(2).toString('hex')}`;
  if (!isEmbeddedCluster) return openRealCluster(namespace, rights, settings);
  const cluster = await openEmbeddedCluster(namespace);
  if (rights === 'namespace') await cluster.kubernetes.createNamespace();
  return cluster;
}

async function openEmbeddedCluster(namespace: string): Promise<TestCluster> {
  const { startEmbeddedKubernetes } = await import('../../lib/local/kubernetes/index.ts');
  // A grace as long as Kubernetes', so that a Pod that terminates is still there when the tests look.
  const embedded = await startEmbeddedKubernetes({ startupMs: 200, readyMs: 300, terminationGraceMs: 30_000 });
  const folder = mkdtempSync(path.join(tmpdir(), 'embedded-kubernetes-'));
  const file = path.join(folder, 'kubeconfig');
  writeFileSync(file, embedded.kubeconfig);
  const address = await readKubeconfig(file);
  return {
    isEmbedded: true,
    address,
    // It has no RBAC: whoever bears its token may do everything.
    access: address,
    role: undefined,
    namespace,
    kubernetes: openKubernetesClient(address, namespace),
    settings: {
      SANDBOX_IMAGE: 'sandbox.example/all-in-one:1',
      NODE_HOST: '127.0.0.1',
      SKILLS_HOST_PATH: '/srv/skills',
      THREADS_HOST_PATH: '/srv/threads',
    },
    async close() {
      rmSync(folder, { recursive: true, force: true });
      await embedded.close();
    },
  };
}

async function openRealCluster(
  namespace: string,
  rights: Rights,
  settings: Record<string, string>,
): Promise<TestCluster> {
  const address = await readKubeconfig(process.env.KUBECONFIG_PATH as string);
  const kubernetes = openKubernetesClient(address, namespace);
  // The account of one who may make the namespace must outlive it.
  const home = rights === 'namespace' ? kubernetes : openKubernetesClient(address, `${namespace}-account`);
  await makeNamespace(home);
  const account = await grantPrintedRights(address, {
    home: home.namespace,
    rights,
    settings: { ...settings, K8S_NAMESPACE: namespace },
  });
  return {
    isEmbedded: false,
    address,
    access: account.address,
    role: account.role,
    namespace,
    kubernetes,
    settings: {
      SANDBOX_IMAGE: required('SANDBOX_IMAGE'),
      NODE_HOST: required('NODE_HOST'),
      SKILLS_HOST_PATH: required('SKILLS_HOST_PATH'),
      THREADS_HOST_PATH: required('THREADS_HOST_PATH'),
    },
    async close() {
      await account.revoke();
      await removeNamespace(kubernetes);
      if (home !== kubernetes) await removeNamespace(home);
    },
  };
}

/** Makes the namespace where it is missing. Kubernetes takes no Pods into one before it has a service account. */
export async function makeNamespace(kubernetes: KubernetesClient): Promise<void> {
  if ((await kubernetes.getNamespace()) === undefined) await kubernetes.createNamespace();
  if (isEmbeddedCluster) return;
  await eventually(
    'there: the service account of the namespace',
    () => kubernetes.find('serviceaccounts', 'default'),
    (account) => account !== undefined,
  );
}

function required(name: keyof SandboxSettings): string {
  const value = process.env[name] ?? '';
  if (value === '') throw new Error(`${name} is needed beside KUBECONFIG_PATH: it must fit the cluster's nodes`);
  return value;
}

/** Removes a namespace and waits until it is gone. Its Pods get no grace: nobody needs their last words. */
export async function removeNamespace(kubernetes: KubernetesClient): Promise<void> {
  await eventually(
    'gone: the namespace of the tests',
    async () => {
      await removeSandboxObjects(kubernetes);
      await kubernetes.deleteNamespace();
      return kubernetes.getNamespace();
    },
    (found) => found === undefined,
    60_000,
  );
}

/** Removes every Pod, Service, quota and network policy of the namespace at once. */
export async function removeSandboxObjects(kubernetes: KubernetesClient): Promise<void> {
  for (const resource of ['resourcequotas', 'services', 'pods', 'networkpolicies'] as const) {
    const objects = await kubernetes.list(resource);
    await Promise.all(objects.map(({ metadata }) => kubernetes.remove(resource, metadata.name, 0)));
  }
}
