import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import http from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as secure, type TLSSocket } from 'node:tls';
import type { Credentials } from '../../kubernetes/credentials/index.ts';
import { makeSecureContext } from '../../kubernetes/credentials/secure-context.ts';
import { networkError } from '../../kubernetes/errors.ts';
import { soonMs } from './access.ts';
import { advise } from './advice.ts';
import { describeTime, type Finding, type Tell, timed } from './finding.ts';

/** How long each step may take, in milliseconds. */
const stepMs = 5_000;

/**
 * Goes to the API server step by step: its name, a connection, TLS, its certificate, and what its clock says beside ours. Shows no
 * token. Whether there is use in going on: not if a step failed.
 */
export async function checkConnection(
  { access, tls }: Credentials,
  tell: Tell,
  signal: AbortSignal,
  now: () => Date,
): Promise<boolean> {
  const { server, cluster, certificateHost, uncheckedBy } = access;
  if (cluster.proxyUrl) {
    tell({
      check: 'tcp',
      level: 'skipped',
      message: 'the kubeconfig has a proxy-url: the way is not looked at step by step',
    });
    return true;
  }
  const url = new URL(server);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isSecure = url.protocol === 'https:';
  const port = Number(url.port || (isSecure ? 443 : 80));
  const step = async <T>(check: string, work: (signal: AbortSignal) => Promise<T>, describe: (value: T) => string) => {
    const within = AbortSignal.any([signal, AbortSignal.timeout(stepMs)]);
    const { value, error, ms } = await timed(() => work(within));
    if (error === undefined) {
      tell({ check, level: 'ok', message: describe(value), ms });
      return value;
    }
    const isLate = within.aborted;
    const message = isLate ? `${host}:${port} did not answer in time` : networkError(error).reason;
    tell({ check, level: 'failed', message, ...advise(message), ms });
    return undefined;
  };

  if (isIP(host) === 0) {
    const addresses = await step(
      'dns',
      () => lookup(host, { all: true }),
      (found) => `${host} is ${found.map(({ address }) => address).join(', ')}`,
    );
    if (addresses === undefined) return false;
  }
  const socket = await step(
    'tcp',
    (within) => open(connect(port, host), 'connect', within),
    () => `${host}:${port} takes connections`,
  );
  if (socket === undefined) return false;
  try {
    if (!isSecure) {
      const isLocal = /^(localhost|127\..*|::1)$/.test(host);
      tell({
        check: 'tls',
        level: isLocal ? 'ok' : 'warning',
        message: `there is none: the address is http://${isLocal ? ', of this machine' : ''}`,
        ...(!isLocal && { advice: 'Use https://: who sits between reads our credentials.', page: 'docs/security.md' }),
      });
      await checkClock(socket, url, tell, now);
      return true;
    }
    const name = certificateHost ?? host;
    const secured = await step(
      'tls',
      (within) => {
        const options = { socket, secureContext: makeSecureContext(tls), rejectUnauthorized: false };
        return open(secure({ ...options, servername: isIP(name) ? '' : name }), 'secureConnect', within);
      },
      (secured) => `${secured.getProtocol()} is agreed on`,
    );
    if (secured === undefined) return false;
    const isTrusted = checkCertificate(secured, name, uncheckedBy, tell, now());
    await checkClock(secured, url, tell, now);
    return isTrusted;
  } finally {
    socket.destroy();
  }
}

async function open<T extends Socket>(socket: T, event: string, signal: AbortSignal): Promise<T> {
  try {
    await once(socket, event, { signal });
    // Whatever comes later is told by what is done then.
    socket.on('error', () => {});
    return socket;
  } catch (error) {
    socket.on('error', () => {}).destroy();
    throw error;
  }
}

/** Whose codes are told with what the certificate itself says. */
const ofDates = /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/;

/** Tells everything that is wrong with it, where a connection of the functions' would end with the first. */
function checkCertificate(
  socket: TLSSocket,
  name: string,
  uncheckedBy: string | undefined,
  tell: Tell,
  now: Date,
): boolean {
  const check = 'certificate';
  if (uncheckedBy !== undefined) {
    const message = `that of the API server is not checked (${uncheckedBy}): whoever answers there gets our credentials`;
    tell({ check, level: 'warning', message, advice: 'Turn the check on.', page: 'docs/settings.md#the-cluster' });
    return true;
  }
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return true;
  const faults: Finding[] = [];
  const fail = (code: string, more: string) => {
    const message = `${networkError(Object.assign(new Error(code), { code })).reason}${more}`;
    faults.push({ check, level: 'failed', message, ...advise(message) });
  };
  const { validFromDate, validToDate, subjectAltName = 'nothing' } = certificate;
  const code = String(socket.authorizationError ?? '');
  if (validToDate < now) fail('CERT_HAS_EXPIRED', `: at ${describeTime(validToDate)}`);
  else if (validFromDate > now) fail('CERT_NOT_YET_VALID', `: it is from ${describeTime(validFromDate)} on`);
  else if (ofDates.test(code)) fail(code, ': one that it is signed with');
  // Trust comes first for OpenSSL: with a date's code, the certificate is signed by whom it should.
  if (code !== '' && !ofDates.test(code)) fail(code, '');
  if (checkServerIdentity(name, certificate.toLegacyObject()) !== undefined) {
    fail('ERR_TLS_CERT_ALTNAME_INVALID', `: it is for ${subjectAltName}, and not for ${name}`);
  }
  for (const fault of faults) tell(fault);
  if (faults.length > 0) return false;
  const isSoon = validToDate.getTime() - now.getTime() < soonMs;
  const message = `that of the API server is for ${name}, signed by the cluster's CA, and good until ${describeTime(validToDate)}`;
  tell({
    check,
    level: isSoon ? 'warning' : 'ok',
    message,
    ...(isSoon && advise('the certificate of the API server has expired')),
  });
  return true;
}

/** How far two clocks may be from each other, in milliseconds, before it is worth a word, and before it does harm. */
const [skewMs, harmfulMs] = [5_000, 60_000];

/** Asks for what anybody may know, for the `Date` that the answer bears: it is of whole seconds. */
async function checkClock(socket: Socket, url: URL, tell: Tell, now: () => Date): Promise<void> {
  const check = 'clock';
  const { value, error, ms } = await timed(async () => {
    const path = `${url.pathname.replace(/\/$/, '')}/version`;
    const request = http.request({ createConnection: () => socket, path, host: url.host, headers: { host: url.host } });
    request.end();
    const [response] = (await once(request, 'response', { signal: AbortSignal.timeout(stepMs) })) as [
      http.IncomingMessage,
    ];
    response.resume();
    return Date.parse(response.headers.date ?? '');
  });
  if (error !== undefined || Number.isNaN(value)) {
    tell({ check, level: 'skipped', message: 'the API server does not say what time it is' });
    return;
  }
  const behindMs = value + 500 - (now().getTime() - ms / 2);
  const distance = `${Math.abs(behindMs / 1000).toFixed(1)} s ${behindMs > 0 ? 'behind' : 'before'} that of the API server`;
  const isFar = Math.abs(behindMs) > skewMs;
  tell({
    check,
    level: Math.abs(behindMs) > harmfulMs ? 'failed' : isFar ? 'warning' : 'ok',
    message: isFar ? `the clock of this machine is ${distance}` : 'as that of the API server',
    ...(isFar && {
      advice: 'Set it, and keep it so (NTP): tokens, certificates and the time that sandboxes have left depend on it.',
      page: 'docs/lifecycle.md',
    }),
  });
}
