import { dirname, isAbsolute, join } from 'node:path';
import { type Cluster, KubeConfig, loadYaml, type User } from '@kubernetes/client-node';
import type { Config } from '../config.ts';
import { ProvisionerError } from '../errors.ts';
import type { AwsCredentials, EksCluster } from './eks-token.ts';

/** How to reach the API server and who we are there. */
export type ClusterAccess = Readonly<{
  cluster: Cluster;
  user: User;
  /** The file that the user's token is in, which the client does not know of. */
  tokenFile: string | undefined;
  /** Where the user is one of AWS' and no kubeconfig says how to ask for a token. */
  eks: { cluster: EksCluster; credentials: AwsCredentials } | undefined;
  server: string;
  /** The name that the API server's certificate must bear, where that is not the host of `server`. */
  certificateHost: string | undefined;
  /** What says that the API server's certificate is not to be checked, if anything does. */
  uncheckedBy: string | undefined;
}>;

/**
 * Reads a kubeconfig. Throws `misconfigured`, with `origin` and of what is in it at most the names of contexts, for one that does
 * not parse or lacks what its context names.
 *
 * @param origin where it is from, for errors
 * @param path the file that it is in, if it is in one: relative paths in it begin there
 */
export function parseKubeconfig(text: string, origin: string, config: Config, path?: string): ClusterAccess {
  const source = `kubeconfig ${origin}`;
  const kubeconfig = new KubeConfig();
  let tokenFiles: Map<string, string>;
  try {
    tokenFiles = findTokenFiles(text);
    kubeconfig.loadFromString(text);
  } catch (error) {
    throw new ProvisionerError('misconfigured', `Failed to load kubeconfig from ${origin}: ${describeProblem(error)}`);
  }
  if (config.kubeconfigContext !== undefined) chooseContext(kubeconfig, config.kubeconfigContext, source);
  const access = findAccess(kubeconfig, source, config);
  const folder = path === undefined ? undefined : dirname(path);
  if (folder !== undefined) kubeconfig.makePathsAbsolute(folder);
  // A plug-in with a slash in its name is found from the kubeconfig, any other on the PATH.
  const command: unknown = access.user.exec?.command;
  if (typeof command === 'string' && command.includes('/')) access.user.exec.command = resolveIn(folder, command);
  const tokenFile = tokenFiles.get(access.user.name);
  return { ...access, tokenFile: tokenFile && resolveIn(folder, tokenFile) };
}

/** The same for a kubeconfig that needs no parsing: the one that the client made up of what there is in a Pod, or ours for EKS. */
export function findAccess(
  kubeconfig: KubeConfig,
  source: string,
  config: Config,
  eks?: ClusterAccess['eks'],
): ClusterAccess {
  const cluster = kubeconfig.getCurrentCluster();
  const user = kubeconfig.getCurrentUser();
  if (!cluster || !user) {
    const missing = cluster ? 'user' : 'cluster';
    const context = kubeconfig.getCurrentContext() ?? '';
    throw new ProvisionerError('misconfigured', `The ${source} has no ${missing} for its current context '${context}'`);
  }
  if (!isServer(cluster.server)) {
    // Not what it names: that may hold a password.
    const what = 'names no valid server: it must be an http:// or https:// URL';
    throw new ProvisionerError('misconfigured', `The ${source} ${what}`);
  }
  // A rewritten address keeps the check of the certificate, against the name that the kubeconfig knew the server by.
  const originalHost = config.apiServer === undefined ? undefined : new URL(cluster.server).hostname;
  const server = (config.apiServer ?? cluster.server).replace(/\/+$/, '');
  return {
    cluster,
    user,
    tokenFile: undefined,
    eks,
    server,
    certificateHost: cluster.tlsServerName ?? originalHost?.replace(/^\[|\]$/g, ''),
    uncheckedBy: server.startsWith('http:') ? undefined : findUncheckedBy(cluster, source, config),
  };
}

/** `localhost:6443` is a URL too, of the scheme `localhost:`. */
const isServer = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text);

function findUncheckedBy(cluster: Cluster, source: string, config: Config): string | undefined {
  if (config.skipTlsVerify) return 'K8S_TLS_SKIP_VERIFY';
  return cluster.skipTLSVerify ? `insecure-skip-tls-verify of the ${source}` : undefined;
}

function chooseContext(kubeconfig: KubeConfig, name: string, source: string): void {
  if (kubeconfig.getContextObject(name) === null) {
    const names = kubeconfig.getContexts().map((context) => `'${context.name}'`);
    const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
    throw new ProvisionerError(
      'misconfigured',
      `The ${source} has no context '${name}' (KUBECONFIG_CONTEXT): ${known}`,
    );
  }
  kubeconfig.setCurrentContext(name);
}

/** The users of which the token is in a file, which has precedence over a token. The client knows no `tokenFile`. */
function findTokenFiles(text: string): Map<string, string> {
  if (!/\btokenFile\b/.test(text)) return new Map();
  const { users } = loadYaml<{ users?: { name: string; user?: { tokenFile?: string } }[] }>(text);
  return new Map(users?.flatMap(({ name, user }) => (user?.tokenFile ? [[name, user.tokenFile] as const] : [])));
}

const resolveIn = (folder: string | undefined, path: string): string =>
  folder === undefined || isAbsolute(path) ? path : join(folder, path);

/** What is wrong with a kubeconfig, and where. What the parser says quotes the file, secrets and all. */
function describeProblem(error: unknown): string {
  const { mark } = error as { mark?: { line?: number } };
  return mark?.line === undefined ? 'it is not valid' : `it is not valid (line ${mark.line + 1})`;
}
