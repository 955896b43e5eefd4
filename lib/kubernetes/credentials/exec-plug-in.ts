import { execFile } from 'node:child_process';
import { programEnvironment } from '../../config/index.ts';
import { KubernetesError } from '../../errors.ts';
import type { ClusterAccess } from './kubeconfig.ts';

/** A program that the kubeconfig's user is asked of (`exec`). */
export type ExecPlugIn = Readonly<{
  apiVersion: string;
  command: string;
  args: string[];
  env: Record<string, string>;
  /** Whether it wants to be told of the cluster. */
  provideClusterInfo: boolean;
  /** Whether it may ask somebody: `Never`, `IfAvailable` or `Always`, which is to say that it cannot do without. */
  interactiveMode: string;
  /** What whoever has not got it is to do. */
  installHint: string | undefined;
}>;

/** What a plug-in gave: a token, a client certificate with its key, or both. */
export type ExecCredential = Readonly<{
  token?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  /** When it ends, in milliseconds since 1970; never for some. */
  endsAtMs: number;
}>;

/** More than any certificate chain is long. */
const maxOutputBytes = 1_048_576;

/**
 * Runs a plug-in by the protocol of `client.authentication.k8s.io`, and ends it when the signal does. Throws
 * `misconfigured`, with the plug-in's name, if it is not there, fails, prints no credential, or wants somebody to ask; `hint` is
 * then said as well. What it printed is in no error, for that may be the credential; what it complained of is in the log.
 *
 * @param cluster what it is told of the cluster, if it is to be
 */
export async function runExecPlugIn(
  plugIn: ExecPlugIn,
  cluster: object | undefined,
  hint: string | undefined,
  signal: AbortSignal,
): Promise<ExecCredential> {
  const fail = (what: string, cause?: unknown): never => {
    const also = hint === undefined ? '' : `; its token cannot be made without it, because ${hint}`;
    throw new KubernetesError('misconfigured', `the plug-in '${plugIn.command}' of the kubeconfig ${what}${also}`, {
      cause,
    });
  };
  if (plugIn.interactiveMode === 'Always') return fail('wants to ask somebody (interactiveMode), and nobody is there');
  const { error, stdout, stderr } = await run(plugIn, cluster, signal);
  signal.throwIfAborted();
  if (error?.code === 'ENOENT') return fail('is not installed', plugIn.installHint);
  if (error?.code === 'EACCES') return fail('may not be run');
  if (error !== null) {
    const why = typeof error.code === 'number' ? `exit code ${error.code}` : (error.code ?? error.signal ?? 'killed');
    return fail(`failed (${why})`, { stderr: stderr.slice(0, 500) });
  }
  return readCredential(stdout) ?? fail('printed no credential');
}

type Failure = { code?: string | number | null; signal?: string | null };
type Exit = { error: Failure | null; stdout: string; stderr: string };

function run(plugIn: ExecPlugIn, cluster: object | undefined, signal: AbortSignal): Promise<Exit> {
  const info = {
    apiVersion: plugIn.apiVersion,
    kind: 'ExecCredential',
    spec: { interactive: false, cluster },
  };
  const env = programEnvironment({ ...plugIn.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) });
  const options = { env, signal, killSignal: 'SIGKILL', maxBuffer: maxOutputBytes, encoding: 'utf8' } as const;
  return new Promise((resolve) => {
    const child = execFile(plugIn.command, plugIn.args, options, (error, stdout, stderr) =>
      resolve({ error, stdout, stderr }),
    );
    // It is told that nobody is there to be asked; one that asks all the same reads the end.
    child.stdin?.on('error', () => {}).end();
  });
}

/** What a plug-in may be told of the cluster, with the text of its CA, wherever that is kept. */
export const describeCluster = (
  { server, certificateHost, uncheckedBy, cluster }: ClusterAccess,
  ca: string | undefined,
): object => ({
  server,
  'certificate-authority-data': ca && Buffer.from(ca).toString('base64'),
  'tls-server-name': certificateHost,
  'insecure-skip-tls-verify': uncheckedBy !== undefined || cluster.skipTLSVerify,
  'proxy-url': cluster.proxyUrl,
  config: cluster.execConfig,
});

function readCredential(stdout: string): ExecCredential | undefined {
  try {
    const { kind, status } = JSON.parse(stdout);
    const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = status;
    const parts = [token, cert, key];
    if (kind !== 'ExecCredential' || parts.some((part) => part !== undefined && typeof part !== 'string'))
      return undefined;
    if (!token && !(cert && key)) return undefined;
    const endsAtMs = expirationTimestamp == null ? Number.POSITIVE_INFINITY : Date.parse(expirationTimestamp);
    return Number.isNaN(endsAtMs) ? undefined : { token, cert, key, endsAtMs };
  } catch {
    return undefined;
  }
}
