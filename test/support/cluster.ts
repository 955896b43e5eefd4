import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { eventually } from './eventually.ts';
import {
  type KubernetesAddress,
  type KubernetesClient,
  openKubernetesClient,
  readKubeconfig,
} from './kubernetes-client.ts';

/** The cluster under the tests, and a namespace of it that is theirs alone. */
export interface TestCluster {
  readonly isEmbedded: boolean;
  readonly address: KubernetesAddress;
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

/** Opens the cluster that `KUBECONFIG_PATH` names, or else starts an embedded one. The namespace is not made. */
export async function openTestCluster(): Promise<TestCluster> {
  const namespace = `${testNamespacePrefix()}${randomBytes(2).toString('hex')}`;
  return isEmbeddedCluster ? openEmbeddedCluster(namespace) : openRealCluster(namespace);
}

async function openEmbeddedCluster(namespace: string): Promise<TestCluster> {
  const { startEmbeddedKubernetes } = await import('../../lib/local/embedded-kubernetes.ts');
  // A grace as long as Kubernetes', so that a Pod that terminates is still there when the tests look.
  const embedded = await startEmbeddedKubernetes({ startupMs: 200, readyMs: 300, terminationGraceMs: 30_000 });
  const folder = mkdtempSync(path.join(tmpdir(), 'embedded-kubernetes-'));
  const file = path.join(folder, 'kubeconfig');
  writeFileSync(file, embedded.kubeconfig);
  const address = await readKubeconfig(file);
  return {
    isEmbedded: true,
    address,
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

async function openRealCluster(namespace: string): Promise<TestCluster> {
  const address = await readKubeconfig(process.env.KUBECONFIG_PATH as string);
  const kubernetes = openKubernetesClient(address, namespace);
  return {
    isEmbedded: false,
    address,
    namespace,
    kubernetes,
    settings: {
      SANDBOX_IMAGE: required('SANDBOX_IMAGE'),
      NODE_HOST: required('NODE_HOST'),
      SKILLS_HOST_PATH: required('SKILLS_HOST_PATH'),
      THREADS_HOST_PATH: required('THREADS_HOST_PATH'),
    },
    close: () => removeNamespace(kubernetes),
  };
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

/** Removes every Pod, Service and quota of the namespace at once. */
export async function removeSandboxObjects(kubernetes: KubernetesClient): Promise<void> {
  for (const resource of ['resourcequotas', 'services', 'pods'] as const) {
    const objects = await kubernetes.list(resource);
    await Promise.all(objects.map(({ metadata }) => kubernetes.remove(resource, metadata.name, 0)));
  }
}
