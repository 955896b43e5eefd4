import type https from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import type { Config } from '../config.ts';
import { readAwsPlugIn } from './aws-plug-in.ts';
import { eksTokenLifetimeMs, makeEksToken } from './eks-token.ts';
import { type ExecCredential, type ExecPlugIn, runExecPlugIn } from './exec-plug-in.ts';
import type { ClusterAccess } from './kubeconfig.ts';
import { credentialsError, deadlineError } from './outcomes.ts';
import { share } from './shared-work.ts';
import type { AccessKeeper } from './sources.ts';
import { watchFile } from './watched-file.ts';

/** What a call shows to the API server, and by what it knows the API server. All of it is text. */
export type Credentials = Readonly<{
  access: ClusterAccess;
  headers: Readonly<Record<string, string>>;
  tls: Readonly<{ ca?: string | undefined; cert?: string | undefined; key?: string | undefined }>;
}>;

/** The credentials of a cluster, kept up to date. */
export type CredentialsKeeper = {
  /** What to show now. Throws `misconfigured` if it cannot be had, `deadline-exceeded` at the signal. */
  current(signal: AbortSignal): Promise<Credentials>;
  /** After a refusal of these: others, if everything that may have changed is read, made or asked for anew; or undefined. */
  renew(refused: Credentials, signal: AbortSignal): Promise<Credentials | undefined>;
};

/** Keeps the credentials of what `access` gives. */
export function keepCredentials(access: AccessKeeper, config: Config, now: () => Date): CredentialsKeeper {
  let reader: Reader | undefined;
  const current = async (signal: AbortSignal): Promise<Credentials> => {
    try {
      signal.throwIfAborted();
      const latest = await access.current(signal);
      if (reader?.access !== latest) reader = openReader(latest, config, now);
      return await reader.read(signal);
    } catch (error) {
      throw signal.aborted ? deadlineError(signal) : credentialsError(error);
    }
  };
  return {
    current,
    async renew(refused, signal) {
      // Another call may have been refused, and have renewed them, since this one was made.
      const known = await current(signal);
      if (!areEqual(known, refused)) return known;
      access.lookAgain();
      reader?.renew();
      const renewed = await current(signal);
      return areEqual(renewed, refused) ? undefined : renewed;
    },
  };
}

/** Whether the API server would see no difference, nor we in it. */
function areEqual(one: Credentials, other: Credentials): boolean {
  const describe = ({ access: { server, certificateHost, uncheckedBy, cluster }, headers, tls }: Credentials) =>
    JSON.stringify([server, certificateHost, uncheckedBy, cluster.proxyUrl, headers, tls.ca, tls.cert, tls.key]);
  return one === other || describe(one) === describe(other);
}

/** Something that is kept, and read or made anew after `renew`. */
type Renewable<T> = { read(signal: AbortSignal): Promise<T>; renew(): void };

type Reader = Renewable<Credentials> & { access: ClusterAccess };

function openReader(access: ClusterAccess, config: Config, now: () => Date): Reader {
  const { cluster, user } = access;
  const parts = {
    ca: openText(cluster.caFile, cluster.caData, now),
    cert: openText(user.certFile, user.certData, now),
    key: openText(user.keyFile, user.keyData, now),
    shown: openShown(access, config, now),
  };
  const impersonation = user.impersonateUser == null ? {} : { 'Impersonate-User': user.impersonateUser };
  return {
    access,
    async read(signal) {
      const [ca, cert, key, shown] = [
        await parts.ca.read(signal),
        await parts.cert.read(signal),
        await parts.key.read(signal),
        await parts.shown.read(signal),
      ];
      const authorization = shown.authorization === undefined ? {} : { Authorization: shown.authorization };
      return {
        access,
        headers: { ...impersonation, ...authorization },
        tls: { ca, cert: shown.cert ?? cert, key: shown.key ?? key },
      };
    },
    renew() {
      for (const part of Object.values(parts)) part.renew();
    },
  };
}

const fixed = <T>(value: T): Renewable<T> => ({ read: async () => value, renew() {} });

/** What a kubeconfig has in a file or, in base64, in itself. */
function openText(file: string | undefined, data: string | undefined, now: () => Date): Renewable<string | undefined> {
  return file ? openFile(file, now) : fixed(data ? Buffer.from(data, 'base64').toString('utf8') : undefined);
}

function openFile(path: string, now: () => Date): Renewable<string> {
  const file = watchFile(path, now);
  return { read: () => file.read(), renew: () => file.lookAgain() };
}

type Shown = { authorization?: string | undefined; cert?: string | undefined; key?: string | undefined };

/** What the user shows beside a certificate in the kubeconfig. The order is kubectl's. */
function openShown(access: ClusterAccess, config: Config, now: () => Date): Renewable<Shown> {
  const { user, eks } = access;
  const tokenFile = access.tokenFile ?? user.authProvider?.config?.tokenFile;
  if (eks !== undefined) return openEksToken(eks, now);
  if (tokenFile !== undefined) {
    const file = openFile(tokenFile, now);
    return { ...file, read: async (signal) => ({ authorization: `Bearer ${(await file.read(signal)).trim()}` }) };
  }
  if (user.token) return fixed({ authorization: `Bearer ${user.token}` });
  if (user.username) {
    const pair = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64');
    return fixed({ authorization: `Basic ${pair}` });
  }
  const exec = user.exec ?? user.authProvider?.config?.exec;
  if (exec) return openPlugIn(readPlugIn(exec), access, config, now);
  return user.authProvider ? openAuthProvider(access) : fixed({});
}

/** The token is made before the last one ends, in milliseconds that nobody notices. */
function openEksToken({ cluster, credentials }: NonNullable<ClusterAccess['eks']>, now: () => Date): Renewable<Shown> {
  let kept: { shown: Promise<Shown>; madeAtMs: number } | undefined;
  const make = async () => ({ authorization: `Bearer ${await makeEksToken(cluster, credentials, now())}` });
  return {
    read() {
      const nowMs = now().getTime();
      // A clock that was put back made a token of the future.
      if (kept === undefined || Math.abs(nowMs - kept.madeAtMs) >= eksTokenLifetimeMs) {
        kept = { shown: make(), madeAtMs: nowMs };
      }
      return kept.shown;
    },
    renew() {
      kept = undefined;
    },
  };
}

function openPlugIn(plugIn: ExecPlugIn, access: ClusterAccess, config: Config, now: () => Date): Renewable<Shown> {
  const request = readAwsPlugIn(plugIn, config.aws);
  if (request !== undefined && !('obstacle' in request)) return openEksToken(request, now);
  let kept: ExecCredential | undefined;
  const run = share((signal) => runExecPlugIn(plugIn, access.cluster, request?.obstacle, signal));
  return {
    async read(signal) {
      if (kept === undefined || kept.endsAtMs - now().getTime() < plugInMarginMs) kept = await run(signal);
      const { token, cert, key } = kept;
      return { authorization: token && `Bearer ${token}`, cert, key };
    },
    renew() {
      kept = undefined;
    },
  };
}

/** How long before its end a plug-in's credential is not shown any more: a call takes its time, and clocks differ. */
const plugInMarginMs = 10_000;

type Exec = {
  apiVersion?: string;
  command?: string;
  args?: string[] | null;
  env?: { name: string; value: string }[] | null;
  provideClusterInfo?: boolean;
};

const readPlugIn = ({ apiVersion, command, args, env, provideClusterInfo }: Exec): ExecPlugIn => ({
  apiVersion: apiVersion ?? 'client.authentication.k8s.io/v1',
  command: command ?? '',
  args: args ?? [],
  env: Object.fromEntries(env?.map(({ name, value }) => [name, value]) ?? []),
  provideClusterInfo: provideClusterInfo === true,
});

/** The ways of logging in that the client knows and kubectl has given up (`auth-provider`): it keeps what it gets. */
function openAuthProvider({ user }: ClusterAccess): Renewable<Shown> {
  const kubeconfig = new KubeConfig();
  // It asks for a cluster to make an agent for, which nobody uses.
  kubeconfig.loadFromClusterAndUser({ name: 'c', server: 'https://localhost', skipTLSVerify: false }, user);
  return {
    async read(signal) {
      const options: https.RequestOptions = { headers: {} };
      const ended = Promise.withResolvers<never>();
      const end = () => ended.reject(signal.reason);
      signal.addEventListener('abort', end);
      try {
        await Promise.race([kubeconfig.applyToHTTPSOptions(options), ended.promise]);
      } finally {
        signal.removeEventListener('abort', end);
      }
      const { Authorization: authorization } = options.headers as Record<string, string | undefined>;
      return { authorization };
    },
    renew() {},
  };
}
