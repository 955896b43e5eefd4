import { type CachedValue, cacheValue } from '../../cached-value.ts';
import type { Config } from '../../config/index.ts';
import { KubernetesError } from '../../errors.ts';
import { log } from '../../log.ts';
import { credentialsError, deadlineError } from '../errors.ts';
import { readAwsPlugIn } from './aws-plug-in.ts';
import { eksTokenLifetimeMs, makeEksToken } from './eks-token.ts';
import { describeCluster, type ExecCredential, type ExecPlugIn, runExecPlugIn } from './exec-plug-in.ts';
import type { ClusterAccess, IdToken } from './kubeconfig.ts';
import { makeSecureContext, type Tls } from './secure-context.ts';
import { watchFile } from './watched-file.ts';

/** What a call shows to the API server, and by what it knows the API server. All of it is text. */
export type Credentials = Readonly<{
  access: ClusterAccess;
  headers: Readonly<Record<string, string | string[]>>;
  tls: Tls;
}>;

/** The credentials of a cluster, kept up to date. */
export type CredentialsKeeper = {
  /** What to show now. Throws `misconfigured` if it cannot be had, `deadline-exceeded` at the signal. */
  current(signal: AbortSignal): Promise<Credentials>;
  /** After a refusal of these: others, if everything that may have changed is read, made or asked for anew; or undefined. */
  renew(refused: Credentials, signal: AbortSignal): Promise<Credentials | undefined>;
};

/** Keeps the credentials of what `access` gives. */
export function keepCredentials(
  access: CachedValue<ClusterAccess>,
  config: Config,
  now: () => Date,
): CredentialsKeeper {
  let reader: Reader | undefined;
  const current = async (signal: AbortSignal): Promise<Credentials> => {
    try {
      signal.throwIfAborted();
      const latest = await access.get(signal);
      if (reader?.access !== latest) reader = openReader(latest, config, now);
      return await reader.get(signal);
    } catch (error) {
      throw signal.aborted && !(error instanceof KubernetesError) ? deadlineError(signal) : credentialsError(error);
    }
  };
  return {
    current,
    async renew(refused, signal) {
      // Another call may have been refused, and have renewed them, since this one was made.
      const known = await current(signal);
      if (!areEqual(known, refused)) return known;
      access.expire();
      reader?.expire();
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

type Reader = CachedValue<Credentials> & { access: ClusterAccess };

function openReader(access: ClusterAccess, config: Config, now: () => Date): Reader {
  const { cluster, user } = access;
  const authority = keepUsable({ ca: openText(cluster.caFile, cluster.caData, now) });
  const pair = keepUsable({
    cert: openText(user.certFile, user.certData, now),
    key: openText(user.keyFile, user.keyData, now),
  });
  const login = openUserCredentials(access, config, now, authority);
  return {
    access,
    async get(signal) {
      const { ca } = await authority.get(signal);
      const { cert, key } = await pair.get(signal);
      const { authorization, ...own } = await login.get(signal);
      return {
        access,
        headers: { ...user.impersonation, ...(authorization !== undefined && { Authorization: authorization }) },
        tls: { ca, cert: own.cert ?? cert, key: own.key ?? key },
      };
    },
    expire() {
      for (const part of [authority, pair, login]) part.expire();
    },
  };
}

/**
 * What these say together, or said when it could last be used: what is half written, or one of a pair of which the other is still
 * to come, is logged once and left alone. What they say first is given as it is; whoever connects with it says what is wrong.
 */
function keepUsable(texts: { [part in keyof Tls]: CachedValue<string | undefined> }): CachedValue<Tls> {
  let known: Tls | undefined;
  let refused: Tls | undefined;
  return {
    async get(signal) {
      const [ca, cert, key] = [
        await texts.ca?.get(signal),
        await texts.cert?.get(signal),
        await texts.key?.get(signal),
      ];
      const isFound = (tls: Tls | undefined) => tls?.ca === ca && tls?.cert === cert && tls?.key === key;
      known ??= { ca, cert, key };
      if (isFound(known) || isFound(refused)) return known;
      try {
        makeSecureContext({ ca, cert, key });
        known = { ca, cert, key };
      } catch (error) {
        refused = { ca, cert, key };
        log.warn('New credentials of the cluster cannot be used yet', { reason: (error as Error).message });
      }
      return known;
    },
    expire() {
      for (const text of Object.values(texts)) text.expire();
    },
  };
}

const fixed = <T>(value: T): CachedValue<T> => ({ get: async () => value, expire() {} });

/** What a kubeconfig has in a file or, in base64, in itself. */
function openText(
  file: string | undefined,
  data: string | undefined,
  now: () => Date,
): CachedValue<string | undefined> {
  return file ? watchFile(file, now) : fixed(data ? Buffer.from(data, 'base64').toString('utf8') : undefined);
}

type UserCredentials = { authorization?: string | undefined; cert?: string | undefined; key?: string | undefined };

/** What the user logs in with beside a certificate in the kubeconfig. The order is kubectl's. */
function openUserCredentials(
  access: ClusterAccess,
  config: Config,
  now: () => Date,
  authority: CachedValue<Tls>,
): CachedValue<UserCredentials> {
  const { user, eks } = access;
  if (eks !== undefined) return openEksToken(eks, now);
  if (user.tokenFile !== undefined) {
    const file = watchFile(user.tokenFile, now);
    return { ...file, get: async (signal) => ({ authorization: `Bearer ${(await file.get(signal)).trim()}` }) };
  }
  if (user.token) return fixed({ authorization: `Bearer ${user.token}` });
  if (user.plugIn) {
    // Whoever has a certificate need not be asked of.
    return user.certFile || user.certData ? fixed({}) : openPlugIn(user.plugIn, access, config, now, authority);
  }
  return user.idToken ? openIdToken(user.idToken, now) : fixed({});
}

/** The token is made before the last one ends, in milliseconds that nobody notices. */
const openEksToken = ({ cluster, credentials }: NonNullable<ClusterAccess['eks']>, now: () => Date) =>
  cacheValue<UserCredentials>({
    read: async () => ({ authorization: `Bearer ${await makeEksToken(cluster, credentials, now())}` }),
    goodForMs: eksTokenLifetimeMs,
    now,
  });

function openPlugIn(
  plugIn: ExecPlugIn,
  access: ClusterAccess,
  config: Config,
  now: () => Date,
  authority: CachedValue<Tls>,
): CachedValue<UserCredentials> {
  const request = readAwsPlugIn(plugIn, config.aws);
  if (request !== undefined && !('reason' in request)) return openEksToken(request, now);
  const cached = cacheValue<ExecCredential>({
    async read(signal) {
      const cluster = plugIn.provideClusterInfo ? describeCluster(access, (await authority.get(signal)).ca) : undefined;
      return runExecPlugIn(plugIn, cluster, request?.reason, signal);
    },
    goodForMs: ({ endsAtMs }, readAtMs) => endsAtMs - plugInMarginMs - readAtMs,
    now,
  });
  const overdue = `the plug-in '${plugIn.command}' of the kubeconfig did not end in time: it may wait for somebody to log in`;
  return {
    ...cached,
    async get(signal) {
      const { token, cert, key } = await cached.get(signal).catch((error: unknown) => {
        throw signal.aborted ? deadlineError(signal, overdue) : error;
      });
      return { authorization: token && `Bearer ${token}`, cert, key };
    },
  };
}

/** How long before its end a plug-in's credential is not shown any more: a call takes its time, and clocks differ. */
const plugInMarginMs = 10_000;

/** A token that somebody has put into the kubeconfig, until it ends: kubectl alone may get a new one, as it writes that there. */
const openIdToken = ({ token, endsAtMs }: IdToken, now: () => Date): CachedValue<UserCredentials> => ({
  async get() {
    if (endsAtMs > now().getTime()) return { authorization: `Bearer ${token}` };
    const what = "the token of the auth-provider 'oidc' of the kubeconfig has ended";
    throw new KubernetesError('misconfigured', `${what}, and only a plug-in (exec) can get a new one here`);
  },
  expire() {},
});
