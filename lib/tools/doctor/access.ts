import { X509Certificate } from 'node:crypto';
import type { Config } from '../../config/index.ts';
import { type Credentials, keepCredentials } from '../../kubernetes/credentials/index.ts';
import { makeSecureContext } from '../../kubernetes/credentials/secure-context.ts';
import { openAccess } from '../../kubernetes/credentials/sources.ts';
import { advise } from './advice.ts';
import { describeTime, type Tell, timed } from './finding.ts';

/** How soon the end of a credential or a certificate is worth a warning, in milliseconds: a week. */
export const soonMs = 7 * 86_400_000;

/** How long it may take to have the credentials, in milliseconds: a plug-in may ask somebody far away. */
const accessMs = 20_000;

/**
 * Finds the kubeconfig, and what it logs in with, as the functions do; undefined if there is no use in going on. No secret is in what
 * it tells.
 */
export async function checkAccess(
  config: Config,
  tell: Tell,
  signal: AbortSignal,
  now: () => Date,
): Promise<Credentials | undefined> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(accessMs)]);
  const opened = await timed(() => openAccess(config, within, now));
  if (opened.error) {
    const { message } = opened.error;
    tell({ check: 'kubeconfig', level: 'failed', message, ...advise(message) });
    return undefined;
  }
  const access = await opened.value.get(within);
  const { cluster, user, server } = access;
  const message = `the cluster '${cluster.name}' at ${new URL(server).origin}${user.name ? `, as '${user.name}'` : ''}`;
  tell({ check: 'kubeconfig', level: 'ok', message });

  const login = await timed(async () => {
    const credentials = await keepCredentials(opened.value, config, now).current(within);
    makeSecureContext(credentials.tls);
    return credentials;
  });
  if (login.error) {
    tell({ check: 'credentials', level: 'failed', message: login.error.message, ...advise(login.error.message) });
    return undefined;
  }
  checkCredentials(login.value, tell, now(), login.ms);
  return login.value;
}

const renewal = {
  advice: 'Renew it: have the kubeconfig written anew. Look at the clock of this machine, too.',
  page: 'docs/own-cluster.md#the-clusters-credentials',
};

function checkCredentials({ headers, tls }: Credentials, tell: Tell, now: Date, ms: number): void {
  const check = 'credentials';
  const judge = (what: string, from: Date | undefined, to: Date | undefined, isRotated: boolean) => {
    if (to !== undefined && to < now) {
      tell({ check, level: 'failed', message: `${what} expired at ${describeTime(to)}`, ...renewal });
    } else if (from !== undefined && from > now) {
      tell({ check, level: 'failed', message: `${what} is not valid before ${describeTime(from)}`, ...renewal });
    } else {
      const isSoon = !isRotated && to !== undefined && to.getTime() - now.getTime() < soonMs;
      const message = `${what}${to === undefined ? '' : `, good until ${describeTime(to)}`}`;
      tell({ check, level: isSoon ? 'warning' : 'ok', message, ...(isSoon && renewal), ms });
    }
  };
  if (tls.cert !== undefined) {
    const { validFromDate, validToDate, subject } = new X509Certificate(tls.cert);
    const name = /^CN=(.*)$/m.exec(subject)?.[1];
    judge(`the client certificate${name ? ` of '${name}'` : ''}`, validFromDate, validToDate, false);
  }
  const token = /^Bearer (.*)$/.exec(String(headers.Authorization ?? ''))?.[1];
  // What is in a file, or comes from a plug-in, is replaced before its end.
  if (token !== undefined) judge('a token', undefined, findEnd(token), true);
  if (tls.cert === undefined && token === undefined) {
    const page = renewal.page;
    const advice = 'Name a user in the context of the kubeconfig.';
    tell({ check, level: 'warning', message: 'there are none: we are nobody to the API server', advice, page });
  }
}

/** When a token ends, by what is said in it (RFC 7519); undefined for one of another kind. */
function findEnd(token: string): Date | undefined {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return Number.isFinite(exp) ? new Date(exp * 1000) : undefined;
  } catch {
    return undefined;
  }
}
