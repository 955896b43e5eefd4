import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedKubernetes } from './embedded-kubernetes.ts';

type Environment = Record<string, string | null | undefined>;
type Serverless = {
  service: {
    provider: { environment: Environment };
    custom: { 'serverless-offline': { lambdaPort?: string | number } };
  };
};
type Utils = { log: { notice(message: string): void } };

const defaultKubeconfigPath = '/root/.kube/config';

/** The settings that name a cluster and go before the kubeconfig's file. */
const settingsBeforeFile = ['KUBECONFIG_CONTENT', 'KUBECONFIG_SECRET_ID', 'KUBECONFIG_PARAMETER', 'EKS_CLUSTER_NAME'];

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
        // It would hand an unset setting on as the text 'null'.
        for (const [name, value] of Object.entries(environment)) if (value === null) delete environment[name];
        if (!isEmbeddedWanted(process.env, existsSync)) {
          log.notice(`Kubernetes: ${describeCluster(process.env)}`);
          return;
        }
        // Only here: to package or deploy, it is not even loaded.
        const { startEmbeddedKubernetes } = await import('./embedded-kubernetes.ts');
        cluster = await startEmbeddedKubernetes();
        // What goes before the kubeconfig's file must not lead elsewhere.
        const others = [...settingsBeforeFile, 'EKS_CLUSTER_ENDPOINT', 'EKS_CLUSTER_CA', 'KUBECONFIG_CONTEXT'];
        for (const name of others) {
          delete environment[name];
          // The handlers run in this process, and see what it was started with as well.
          delete process.env[name];
        }
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
 * other cluster: no KUBECONFIG_PATH nor any setting that goes before it, no file at its default, and we are no Pod. Throws
 * for any other value.
 */
export function isEmbeddedWanted(env: Environment, exists: (path: string) => boolean): boolean {
  const wanted = env.EMBEDDED_KUBERNETES;
  if (wanted === 'true') return true;
  if (wanted === 'false') return false;
  if (wanted !== undefined) throw new Error(`EMBEDDED_KUBERNETES must be 'true' or 'false', not '${wanted}'`);
  if (settingsBeforeFile.some((name) => env[name])) return false;
  return !env.KUBECONFIG_PATH && !exists(defaultKubeconfigPath) && !env.KUBERNETES_SERVICE_HOST;
}

function describeCluster(env: Environment): string {
  const setting = settingsBeforeFile.find((name) => env[name]);
  if (setting !== undefined) return `the cluster of ${setting}`;
  const path = env.KUBECONFIG_PATH ?? defaultKubeconfigPath;
  if (existsSync(path) || !env.KUBERNETES_SERVICE_HOST) return `the cluster of kubeconfig ${path}`;
  return 'the cluster that this Pod runs in';
}
