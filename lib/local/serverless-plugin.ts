import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Authentication, accessSources, isShortKey } from '../config/callers.ts';
import { clusterSettings, clusterSources } from '../config/cluster.ts';
import { readSettings } from '../config/setting.ts';
import { findStrays, isForFunctions, readTexts, readValue } from '../config/themes.ts';
import { readVolumes, volumeSettings } from '../config/volumes.ts';
import { describeVolumes } from '../model/volumes/sources.ts';
import type { EmbeddedKubernetes } from './kubernetes/index.ts';

type Environment = Record<string, string | undefined>;
type Serverless = {
  serviceDir: string;
  service: {
    functions: Record<string, { handler: string }>;
    provider: { environment?: Environment };
    custom: {
      'serverless-offline': { host?: string; httpPort?: string | number; lambdaPort?: string | number };
      offline?: { customAuthenticationProvider: string };
    };
  };
};
type Options = { host?: string; httpPort?: string | number };
/** A logger of one level and one name; those of the same level are found from its root. */
type PluginLog = { notice(message: string): void; levelRoot?: NamedLog };
type NamedLog = { get(name: string): NamedLog; disable(): void };
type Utils = { log: PluginLog };

const defaultKubeconfigPath = clusterSettings.KUBECONFIG_PATH.default;

/**
 * The plug-in of Serverless that says who may call the functions under serverless-offline and which cluster they talk to,
 * and starts the embedded one where there is no other. It hooks into nothing but `serverless offline start`.
 */
export default class LocalClusterPlugin {
  readonly hooks: Record<string, () => Promise<void>>;

  constructor(serverless: Serverless, options: Options, { log }: Utils) {
    const { provider, custom } = serverless.service;
    let cluster: EmbeddedKubernetes | undefined;

    this.hooks = {
      'before:offline:start:init': async () => {
        await showPlainly(log);
        // Only this user can look into it.
        const folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-'));
        process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
        // serverless-offline has a second server, that invokes any function with any event for anybody who asks. On a
        // socket in that folder no web page and no network can ask.
        custom['serverless-offline'].lambdaPort = join(folder, 'lambda.sock');
        // For tests: the folder with the bundles, to be run as they are deployed.
        const bundles = process.env.OFFLINE_BUNDLES;
        if (bundles) {
          const { runBundles } = await import('./bundled-functions.ts');
          runBundles(serverless.service.functions, serverless.serviceDir, bundles);
        }
        const environment: Environment = readTexts(process.env, isForFunctions);
        provider.environment = environment;
        for (const stray of findStrays(process.env)) log.notice(stray);
        // Where they are wrong, the functions say it.
        const { values } = readSettings(volumeSettings, environment);
        if (values !== undefined) log.notice(`Volumes: ${describeVolumes(readVolumes(values))}`);
        log.notice(`Callers: ${await guard(environment, custom, options.host ?? custom['serverless-offline'].host)}`);
        if (!isEmbeddedWanted(process.env, existsSync)) {
          log.notice(`Kubernetes: ${describeCluster(process.env)}`);
          return;
        }
        // Only here: to package or deploy, it is not even loaded.
        const { startEmbeddedKubernetes } = await import('./kubernetes/index.ts');
        cluster = await startEmbeddedKubernetes();
        // What goes before the kubeconfig's file must not lead elsewhere.
        const others = [...clusterSources, 'EKS_CLUSTER_ENDPOINT', 'EKS_CLUSTER_CA', 'KUBECONFIG_CONTEXT'];
        for (const name of others) {
          delete environment[name];
          // The handlers run in this process, and see what it was started with as well.
          delete process.env[name];
        }
        environment.KUBECONFIG_PATH = join(folder, 'kubeconfig');
        environment.NODE_HOST ??= '127.0.0.1';
        await writeFile(environment.KUBECONFIG_PATH, cluster.kubeconfig, { mode: 0o600 });
        log.notice(`Kubernetes: embedded, at ${cluster.server} (kubeconfig ${environment.KUBECONFIG_PATH})`);
        log.notice('Its sandboxes are stand-ins without any tools. For real ones, set KUBECONFIG_PATH.');
      },
      'after:offline:start:init': async () => {
        const { host, httpPort } = { ...custom['serverless-offline'], ...options };
        log.notice(`Server ready: http://${host}:${httpPort} 🚀`);
      },
      'offline:start:end': async () => {
        endAtNextSignal();
        const { closeGateway } = await import('./api-gateway.ts');
        // What is under way still needs the cluster.
        await closeGateway((calls) => log.notice(`Waiting for ${calls} under way. A second signal ends all at once.`));
        await cluster?.close();
      },
    };
  }
}

/**
 * Shows the functions' log as lines for a person, and nothing of what serverless-offline says beside its warnings and errors: a table of
 * routes that do not exist beyond it, and two lines for each request, which has one of ours.
 */
async function showPlainly(log: PluginLog): Promise<void> {
  log.levelRoot?.get('serverless').get('plugin').get('serverless-offline').disable();
  const { showLog } = await import('../log.ts');
  const { showLine } = await import('./terminal.ts');
  showLog(showLine);
}

/** Who sends a second signal does not want to wait. At the first, a terminal and npm may both send one. */
function endAtNextSignal(): void {
  const begun = performance.now();
  for (const name of ['SIGINT', 'SIGTERM']) {
    process.on(name, (_name, number: number) => {
      if (performance.now() - begun > 1_000) process.exit(128 + number);
    });
  }
}

const localNames = ['localhost', '127.0.0.1', '::1'];

/** Decides who may call, and puts what API Gateway does in front of the functions; says what it is, in words. */
async function guard(
  environment: Environment,
  custom: Serverless['service']['custom'],
  host: string | undefined,
): Promise<string> {
  const isLocal = host !== undefined && localNames.includes(host);
  const isUnset = ['AUTH', ...accessSources].every((name) => environment[name] === undefined);
  // On this machine alone, and where nobody said how callers are told apart, none are.
  if (isUnset && isLocal) environment.AUTH = 'off';
  // Only here: to package or deploy, they are not even loaded.
  const { configureGateway } = await import('./api-gateway.ts');
  const { loadAccessConfig } = await import('../config/index.ts');
  custom.offline = { customAuthenticationProvider: fileURLToPath(new URL('./api-gateway.ts', import.meta.url)) };
  let authentication: Authentication;
  try {
    ({ authentication } = loadAccessConfig(environment));
  } catch (error) {
    // The functions say so too, and refuse everybody.
    return `all are refused. ${(error as Error).message}`;
  }
  configureGateway({
    ...(authentication.kind === 'jwt' && { jwt: authentication }),
    ...(environment.API_DOCS === 'callers' && { guardedPaths: ['/docs', '/openapi.json'] }),
    ...(authentication.kind === 'off' && isLocal && { hostNames: [...localNames, 'host.docker.internal', host] }),
  });
  return describeCallers(authentication, isUnset && isLocal);
}

function describeCallers(authentication: Authentication, isByDefault: boolean): string {
  if (authentication.kind === 'jwt') return `those with a token of ${authentication.issuer}`;
  if (authentication.kind === 'stored-api-key') return `those with a key that '${authentication.source.id}' holds`;
  if (authentication.kind === 'api-key') {
    const { keys } = authentication;
    if (keys.length === 0) return 'all are refused until PROVISIONER_API_KEY is set';
    const warning = keys.some(isShortKey) ? ' (one has fewer than 16 characters, and could be guessed)' : '';
    return `those with a PROVISIONER_API_KEY${warning}`;
  }
  return isByDefault ? 'anybody on this machine (AUTH is off: no PROVISIONER_API_KEY is set)' : 'anybody (AUTH is off)';
}

/**
 * Whether the embedded Kubernetes is to be started: as EMBEDDED_KUBERNETES says, and where it says nothing, if there is no
 * other cluster: no KUBECONFIG_PATH nor any setting that goes before it, no file at its default, and we are no Pod. Throws
 * for any other value.
 */
export function isEmbeddedWanted(env: Environment, exists: (path: string) => boolean): boolean {
  const wanted = readValue(env, 'EMBEDDED_KUBERNETES');
  if (wanted !== undefined) return wanted === true;
  if (clusterSources.some((name) => env[name])) return false;
  return !env.KUBECONFIG_PATH && !exists(defaultKubeconfigPath) && !env.KUBERNETES_SERVICE_HOST;
}

function describeCluster(env: Environment): string {
  const setting = clusterSources.find((name) => env[name]);
  if (setting !== undefined) return `the cluster of ${setting}`;
  const path = env.KUBECONFIG_PATH || defaultKubeconfigPath;
  if (existsSync(path) || !env.KUBERNETES_SERVICE_HOST) return `the cluster of kubeconfig ${path}`;
  return 'the cluster that this Pod runs in';
}
