import { stat } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import type { Config } from '../config.ts';
import { ProvisionerError } from '../errors.ts';

/** How to reach the API server and who we are there: a kubeconfig of which cluster and user are known to be there. */
export type ClusterAccess = {
  kubeconfig: KubeConfig;
  server: string;
  /** The name that the API server's certificate must bear, where that is not the host of `server`. */
  certificateHost: string | undefined;
};

const lookAgainMs = 250;

/**
 * Loads the kubeconfig file, or, where there is none, what Kubernetes gives every Pod. A file that is not there is waited for
 * up to `kubeconfigWaitSeconds`, and no longer than `signal` allows. Throws `misconfigured` for a path that is no regular
 * file and for a file that does not parse, `unavailable` when there is neither: that one may heal.
 */
export async function loadClusterAccess(config: Config, signal: AbortSignal): Promise<ClusterAccess> {
  const kubeconfig = new KubeConfig();
  const path = config.kubeconfigPath;
  if (await waitForFile(path, config.kubeconfigWaitSeconds, signal)) {
    try {
      kubeconfig.loadFromFile(path);
    } catch (error) {
      throw new ProvisionerError('misconfigured', `Failed to load kubeconfig from ${path}: ${describeProblem(error)}`);
    }
    return findAccess(kubeconfig, `kubeconfig ${path}`, config);
  }
  const tried = `No kubeconfig at ${path}`;
  kubeconfig.loadFromCluster();
  const cluster = kubeconfig.getCurrentCluster();
  // The client builds `https://undefined:undefined` outside of a cluster without a word.
  if (cluster === null || cluster.server.includes('undefined') || !(await isFile(cluster.caFile ?? ''))) {
    throw new ProvisionerError(
      'unavailable',
      `${tried}, and in-cluster config is unavailable: this is not a Pod with a service account`,
      { headers: { 'retry-after': '5' } },
    );
  }
  return findAccess(kubeconfig, 'in-cluster config', config);
}

function findAccess(kubeconfig: KubeConfig, source: string, config: Config): ClusterAccess {
  const cluster = kubeconfig.getCurrentCluster();
  const user = kubeconfig.getCurrentUser();
  if (!cluster || !user) {
    const missing = cluster ? 'user' : 'cluster';
    const context = kubeconfig.getCurrentContext() ?? '';
    throw new ProvisionerError('misconfigured', `The ${source} has no ${missing} for its current context '${context}'`);
  }
  if (!URL.canParse(cluster.server)) {
    throw new ProvisionerError('misconfigured', `The ${source} names no valid server: '${cluster.server}'`);
  }
  // A rewritten address keeps the check of the certificate, against the name that the kubeconfig knew the server by.
  const originalHost = config.apiServer === undefined ? undefined : new URL(cluster.server).hostname;
  const server = (config.apiServer ?? cluster.server).replace(/\/+$/, '');
  // Over plain HTTP (kubectl proxy, the embedded Kubernetes) there is no certificate to check, but the client refuses to
  // make its agent unless the check is off. What it makes it for is the server that is really called.
  Object.assign(cluster, { server, ...(server.startsWith('http:') && { skipTLSVerify: true }) });
  return { kubeconfig, server, certificateHost: cluster.tlsServerName ?? originalHost?.replace(/^\[|\]$/g, '') };
}

/** True as soon as the file is there, false if it is not after the wait. */
async function waitForFile(path: string, waitSeconds: number, signal: AbortSignal): Promise<boolean> {
  const end = performance.now() + waitSeconds * 1000;
  for (;;) {
    if (await isFile(path)) return true;
    if (performance.now() + lookAgainMs > end) return false;
    try {
      await pause(lookAgainMs, undefined, { signal });
    } catch {
      // The operation's deadline came first: what there is in the cluster is still worth a try.
      return false;
    }
  }
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw new ProvisionerError('misconfigured', `Cannot read kubeconfig path ${path}: ${error.code}`, { cause: error });
  });
  if (found === undefined) return false;
  if (found.isFile()) return true;
  const what = found.isDirectory() ? 'is a directory, expected a file' : 'exists but is not a regular file';
  throw new ProvisionerError('misconfigured', `Kubeconfig path ${what}: ${path}`);
}

/** What is wrong with a kubeconfig, and where. What the parser says quotes the file, secrets and all. */
function describeProblem(error: unknown): string {
  const { code, mark } = error as { code?: string; mark?: { line?: number } };
  if (code !== undefined) return code;
  return mark?.line === undefined ? 'it is not valid' : `it is not valid (line ${mark.line + 1})`;
}
