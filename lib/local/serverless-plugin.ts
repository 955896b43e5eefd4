import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedKubernetes } from './embedded-kubernetes.ts';

type Environment = Record<string, string | null | undefined>;
type Serverless = {
  serviceDir: string;
  service: {
    functions: Record<string, { handler: string }>;
    provider: { environment: Environment };
    custom: { 'serverless-offline': { lambdaPort?: string | number } };
  };
};
type Utils = { log: { notice(message: string): void } };

const defaultKubeconfigPath = '/root/.kube/config';

/**
 * The plug-in of Serverless that says which cluster the functions talk to under serverless-offline, and starts the embedded
 * one where there is no other. It hooks into nothing but `serverless offline start`.
 */
export default class LocalClusterPlugin {
  readonly hooks: Record<string, () => Promise<void>>;

  constructor(serverless: Serverless, _options: unknown, { log }: Utils) {
    const { provider, custom } = serverless.service;
    const { environment } = provider;
    let cluster: EmbeddedKubernetes | undefined;

    this.hooks = {
      'before:offline:start:init': async () => {
        // Only this user can look into it.
        const folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-'));
        process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
        // serverless-offline has a second server, that invokes any function with any event for anybody who asks. On a
        // socket in that folder no web page and no network can ask.
        custom['serverless-offline'].lambdaPort = join(folder, 'lambda.sock');
        const bundles = process.env.OFFLINE_BUNDLES;
        if (bundles) {
          const { runBundles } = await import('./bundled-functions.ts');
          runBundles(serverless.service.functions, serverless.serviceDir, bundles);
        }
        // It would hand an unset setting on as the text 'null'.
        for (const [name, value] of Object.entries(environment)) if (value === null) delete environment[name];
        if (!isEmbeddedWanted(process.env, existsSync)) {
          log.notice(`Kubernetes: ${describeCluster(process.env)}`);
          return;
        }
        // Only here: to package or deploy, it is not even loaded.
        const { startEmbeddedKubernetes } = await import('./embedded-kubernetes.ts');
        cluster = await startEmbeddedKubernetes();
        environment.KUBECONFIG_PATH = join(folder, 'kubeconfig');
        environment.NODE_HOST = process.env.NODE_HOST ?? '127.0.0.1';
        await writeFile(environment.KUBECONFIG_PATH, cluster.kubeconfig, { mode: 0o600 });
        log.notice(`Kubernetes: embedded, at ${cluster.server} (kubeconfig ${environment.KUBECONFIG_PATH})`);
        log.notice('Its sandboxes are stand-ins without any tools. For real ones, set KUBECONFIG_PATH.');
      },
      'offline:start:end': async () => {
        await cluster?.close();
      },
    };
  }
}

/**
 * Whether the embedded Kubernetes is to be started: as EMBEDDED_KUBERNETES says, and where it says nothing, if there is no
 * other cluster: no KUBECONFIG_PATH, no file at its default, and we are no Pod. Throws for any other value.
 */
export function isEmbeddedWanted(env: Environment, exists: (path: string) => boolean): boolean {
  const wanted = env.EMBEDDED_KUBERNETES;
  if (wanted === 'true') return true;
  if (wanted === 'false') return false;
  if (wanted !== undefined) throw new Error(`EMBEDDED_KUBERNETES must be 'true' or 'false', not '${wanted}'`);
  return !env.KUBECONFIG_PATH && !exists(defaultKubeconfigPath) && !env.KUBERNETES_SERVICE_HOST;
}

function describeCluster(env: Environment): string {
  const path = env.KUBECONFIG_PATH ?? defaultKubeconfigPath;
  if (existsSync(path) || !env.KUBERNETES_SERVICE_HOST) return `the cluster of kubeconfig ${path}`;
  return 'the cluster that this Pod runs in';
}
