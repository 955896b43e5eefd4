import { delimiter } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isRegion } from '../../aws-regions.ts';
import { type CachedValue, cacheValue } from '../../cached-value.ts';
import { apiServerOfPod, type Config } from '../../config/index.ts';
import { ProvisionerError } from '../../errors.ts';
import { log } from '../../log.ts';
import { readSecret } from '../../secrets.ts';
import { type ClusterAccess, findAccess, parseKubeconfig } from './kubeconfig.ts';
import { fileGoodForMs, readFile, stat } from './watched-file.ts';

/** Where a kubeconfig, or what stands for one, comes from. */
type Source = {
  /** For how long what was read is good, in milliseconds. */
  goodForMs: number;
  read(signal: AbortSignal): Promise<string>;
  parse(text: string): ClusterAccess;
};

/** For how long a secret is good, and how long reading it again may keep a call, in milliseconds. */
const [secretGoodForMs, secretWaitMs] = [5 * 60_000, 2000];

const fileWaitMs = 250;

/**
 * Finds the access to the cluster at the first of these that is set: the kubeconfig in the environment, in a secret, in a
 * parameter; an EKS cluster; the kubeconfig's file, or, where there is none, what Kubernetes gives every Pod. The file is
 * waited for up to `kubeconfigWaitSeconds`, and no longer than `signal` allows. Throws `misconfigured` or `unavailable` (that
 * one may heal), with what was tried. Warns where the API server's certificate is not to be checked, now or from a change on.
 *
 * The value is kept up to date with where it comes from. Its `get` never throws: what is wrong with a new one is logged.
 */
export async function openAccess(
  config: Config,
  signal: AbortSignal,
  now: () => Date,
): Promise<CachedValue<ClusterAccess>> {
  const { goodForMs, read, parse } = await findSource(config, signal);
  const text = await read(signal);
  const first = { text, access: parse(text) };
  warnIfUnchecked(first.access);
  const cached = cacheValue({
    async read(signal, last = first) {
      const text = await read(AbortSignal.any([signal, AbortSignal.timeout(secretWaitMs)]));
      if (text === last.text) return last;
      const access = parse(text);
      if (last.access.uncheckedBy === undefined) warnIfUnchecked(access);
      return { text, access };
    },
    goodForMs,
    retryAfterMs: goodForMs,
    onStale(error) {
      log.warn('The credentials of the cluster cannot be read again', { reason: (error as Error).message });
    },
    now,
    first,
  });
  return { ...cached, get: async (signal) => (await cached.get(signal)).access };
}

function warnIfUnchecked({ uncheckedBy }: ClusterAccess): void {
  if (uncheckedBy === undefined) return;
  log.warn('The certificate of the API server is not checked: whoever answers at its address gets our credentials', {
    setting: uncheckedBy,
  });
}

async function findSource(config: Config, signal: AbortSignal): Promise<Source> {
  if (config.kubeconfigContent !== undefined) {
    const text = decode(config.kubeconfigContent);
    return fixed(() => parseKubeconfig(text, 'KUBECONFIG_CONTENT', config));
  }
  if (config.kubeconfigSecretId !== undefined) {
    return secret('secrets-manager', config.kubeconfigSecretId, 'KUBECONFIG_SECRET_ID', config);
  }
  if (config.kubeconfigParameter !== undefined) {
    return secret('parameter-store', config.kubeconfigParameter, 'KUBECONFIG_PARAMETER', config);
  }
  if (config.eksCluster !== undefined) return fixed(() => describeEksCluster(config));
  const path = config.kubeconfigPath;
  await refuseList(path);
  if (await waitForFile(path, config.kubeconfigWaitSeconds, signal)) return file(path, config);
  const { cluster, user } = await findInCluster(`No kubeconfig at ${path}`);
  return fixed(() => findAccess(cluster, user, 'in-cluster config', config));
}

const fixed = (parse: () => ClusterAccess): Source => ({
  goodForMs: Number.POSITIVE_INFINITY,
  read: async () => '',
  parse,
});

const file = (path: string, config: Config): Source => ({
  goodForMs: fileGoodForMs,
  read: () => readFile(path, 'utf8').catch((error: unknown) => failToLoad(path, error)),
  parse: (text) => parseKubeconfig(text, path, config, path),
});

function failToLoad(path: string, error: unknown): never {
  const { code } = error as NodeJS.ErrnoException;
  throw new ProvisionerError('misconfigured', `Failed to load kubeconfig from ${path}: ${code}`);
}

function secret(store: 'secrets-manager' | 'parameter-store', id: string, setting: string, config: Config): Source {
  const extension = { port: config.aws.secretsExtensionPort, sessionToken: config.aws.sessionToken };
  return {
    goodForMs: secretGoodForMs,
    read: (signal) =>
      readSecret({ store, id }, extension, signal).catch((error: unknown) => {
        if (!(error instanceof ProvisionerError)) throw error;
        throw new ProvisionerError(error.kind, `No kubeconfig from ${setting}: ${error.message}`, {
          cause: error.cause,
          headers: error.headers,
        });
      }),
    parse: (text) => parseKubeconfig(decode(text), `${setting} '${id}'`, config),
  };
}

/** What is in base64 has no colon, and a kubeconfig has one. */
const decode = (content: string): string =>
  content.includes(':') ? content : Buffer.from(content, 'base64').toString('utf8');

/** The user of it is ourselves, as the function's role makes us. */
function describeEksCluster(config: Config): ClusterAccess {
  const { eksCluster, aws } = config;
  if (eksCluster === undefined) throw new TypeError('no EKS cluster is set');
  const { name, endpoint, certificateAuthority } = eksCluster;
  const { accessKeyId, secretAccessKey, sessionToken } = aws;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new ProvisionerError(
      'misconfigured',
      `No token for the EKS cluster '${name}' (EKS_CLUSTER_NAME): there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)`,
    );
  }
  // `https://….gr7.eu-central-1.eks.amazonaws.com` names its region.
  const region = [...new URL(endpoint).hostname.split('.').filter(isRegion), aws.region].find((found) => found);
  if (region === undefined || !isRegion(region)) {
    throw new ProvisionerError(
      'misconfigured',
      `No token for the EKS cluster '${name}' (EKS_CLUSTER_NAME): neither EKS_CLUSTER_ENDPOINT nor AWS_REGION names a region`,
    );
  }
  const cluster = { name, server: endpoint, caData: certificateAuthority, skipTLSVerify: false };
  return findAccess(cluster, { name }, 'settings of EKS', config, {
    cluster: { name, region },
    credentials: { accessKeyId, secretAccessKey, sessionToken },
  });
}

/** What Kubernetes gives each Pod, as client-go's `rest.InClusterConfig` finds it. */
async function findInCluster(tried: string): Promise<Pick<ClusterAccess, 'cluster' | 'user'>> {
  const { host, port } = apiServerOfPod();
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
  const caFile = `${folder}/ca.crt`;
  if (!host || !port || !(await isFile(caFile))) {
    throw new ProvisionerError(
      'unavailable',
      `${tried}, and in-cluster config is unavailable: this is not a Pod with a service account`,
      { headers: { 'retry-after': '5' } },
    );
  }
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return {
    cluster: { name: 'in-cluster', server, caFile, skipTLSVerify: false },
    user: { name: 'service account', tokenFile: `${folder}/token` },
  };
}

/** Whether the kubeconfig is a file that is not there, so far. Throws as `openAccess` does. */
export const isFileMissing = async ({ kubeconfigContent, eksCluster, kubeconfigPath }: Config): Promise<boolean> =>
  kubeconfigContent === undefined && eksCluster === undefined && !(await isFile(kubeconfigPath));

/** `KUBECONFIG` is a list for kubectl, which makes one of all. */
async function refuseList(path: string): Promise<void> {
  if (!path.includes(delimiter) || (await isFile(path))) return;
  throw new ProvisionerError('misconfigured', `KUBECONFIG_PATH is the path of one file, and no list of files: ${path}`);
}

/** True as soon as the file is there, false if it is not after the wait. */
async function waitForFile(path: string, waitSeconds: number, signal: AbortSignal): Promise<boolean> {
  // A clock that nobody sets, and not `performance`, which Node takes 1 ms to load.
  const end = process.uptime() + waitSeconds;
  for (;;) {
    if (await isFile(path)) return true;
    if (process.uptime() + fileWaitMs / 1000 > end) return false;
    try {
      await pause(fileWaitMs, undefined, { signal });
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
