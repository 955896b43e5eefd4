import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { type HttpLibrary, type RequestContext, ResponseContext, wrapHttpLibrary } from '@kubernetes/client-node';
import type { ClusterAccess } from './kubeconfig.ts';
import { credentialsError, deadlineError, foreignAnswerError, networkError, statusError } from './outcomes.ts';

type Answer = { code: number; headers: http.IncomingHttpHeaders; text: string };

/**
 * A way to the API server for one call: it ends when the signal does, and bears these headers. With `takeText`, the text of a
 * success goes there, and the client gets an empty object to read.
 */
export type Transport = (
  signal: AbortSignal,
  headers: Record<string, string>,
  takeText?: (text: string) => void,
) => HttpLibrary;

/**
 * The client's way to the API server, over connections that are kept (the client's own opens a new one for every call).
 * Whatever is not a success is thrown as a `KubernetesError`.
 */
export function createTransport(access: ClusterAccess, skipTlsVerify: boolean): Transport {
  const findAgent = keepAgent(access, skipTlsVerify);
  const send = (signal: AbortSignal, headers: Record<string, string>, takeText?: (text: string) => void) => ({
    async send(request: RequestContext) {
      request.setSignal(signal);
      for (const [name, value] of Object.entries(headers)) request.setHeaderParam(name, value);
      const credentials = await readCredentials(access, signal);
      let answer: Answer;
      try {
        answer = await exchange(request, credentials, findAgent(credentials));
      } catch (error) {
        throw signal.aborted ? deadlineError(signal) : networkError(error);
      }
      if (answer.code >= 400) throw statusError(answer.code, answer.headers['retry-after'], answer.text);
      if (!isKubernetesAnswer(answer)) throw foreignAnswerError(answer.code);
      takeText?.(answer.text);
      const text = takeText === undefined ? answer.text : '{}';
      return new ResponseContext(answer.code, flatten(answer.headers), {
        text: async () => text,
        binary: async () => Buffer.from(text),
        stream: () => null,
      });
    },
  });
  return (signal, headers, takeText) => wrapHttpLibrary(send(signal, headers, takeText));
}

/**
 * What the kubeconfig's user shows: read at each call, because tokens and certificates are rotated under us and plug-ins
 * renew them. A plug-in that hangs is not waited for beyond the signal.
 */
async function readCredentials(access: ClusterAccess, signal: AbortSignal): Promise<https.RequestOptions> {
  const credentials: https.RequestOptions = { headers: {} };
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    await Promise.race([access.kubeconfig.applyToHTTPSOptions(credentials), aborted.promise]);
    return credentials;
  } catch (error) {
    throw signal.aborted ? deadlineError(signal) : credentialsError(error);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** A login page or another service behind the address may say 200 as well, and must not be taken for the API's yes. */
function isKubernetesAnswer({ code, headers, text }: Answer): boolean {
  const isJson = headers['content-type']?.startsWith('application/json') ?? false;
  return code >= 200 && code < 300 && isJson && text.includes('"kind"') && text.trimEnd().endsWith('}');
}

/**
 * One request and its whole answer. A kept connection that the other side has closed meanwhile (a frozen function cannot
 * notice) fails at its next use before any answer: the request then goes out again, until it has had a new connection.
 * Every call is safe to repeat: names and preconditions make it idempotent.
 */
async function exchange(
  request: RequestContext,
  credentials: https.RequestOptions,
  agent: http.Agent | https.Agent,
): Promise<Answer> {
  for (;;) {
    let reused = false;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        const url = new URL(request.getUrl());
        const signal = request.getSignal();
        const body = request.getBody();
        const outgoing = (url.protocol === 'http:' ? http : https).request(url, {
          agent,
          method: request.getHttpMethod(),
          headers: {
            ...request.getHeaders(),
            ...credentials.headers,
            // Node frames the body of a DELETE only if it is told its length; unframed, it spoils the connection.
            ...(typeof body === 'string' && { 'content-length': Buffer.byteLength(body) }),
          },
          ...(credentials.auth && { auth: credentials.auth }),
          ...(signal && { signal }),
        });
        outgoing.on('error', (error) => {
          reused = outgoing.reusedSocket;
          reject(error);
        });
        outgoing.on('response', (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            resolve({
              code: incoming.statusCode ?? 0,
              headers: incoming.headers,
              text: Buffer.concat(chunks).toString('utf8'),
            });
          });
        });
        outgoing.end(body);
      });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (!(reused && (code === 'ECONNRESET' || code === 'EPIPE'))) throw error;
    }
  }
}

/** The agent that keeps the connections; another one once the certificates have changed. */
function keepAgent(access: ClusterAccess, skipTlsVerify: boolean) {
  const { certificateHost } = access;
  let kept: { material: string; agent: http.Agent | https.Agent } | undefined;
  return (credentials: https.RequestOptions): http.Agent | https.Agent => {
    // Only the client's own agents know how to go through the kubeconfig's `proxy-url`.
    if (access.kubeconfig.getCurrentCluster()?.proxyUrl && credentials.agent instanceof http.Agent) {
      return credentials.agent;
    }
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized } = credentials;
    const material = [ca, cert, key, pfx, passphrase, rejectUnauthorized].map(String).join('\0');
    if (kept?.material === material) return kept.agent;
    if (kept !== undefined) retire(kept.agent);
    const options: https.AgentOptions = { keepAlive: true, scheduling: 'lifo' };
    Object.assign(options, { ca, cert, key, pfx, passphrase, rejectUnauthorized });
    if (skipTlsVerify) options.rejectUnauthorized = false;
    if (certificateHost !== undefined) {
      // An IP address cannot be asked for by SNI (RFC 6066), but it is what the certificate is checked against.
      options.servername = isIP(certificateHost) ? '' : certificateHost;
      options.checkServerIdentity = (_host, certificate) => checkServerIdentity(certificateHost, certificate);
    }
    const agent = access.server.startsWith('http:') ? new http.Agent({ keepAlive: true }) : new https.Agent(options);
    kept = { material, agent };
    return agent;
  };
}

/** Calls under way keep their connections; those at rest are closed, and the others as they come to rest. */
function retire(agent: http.Agent | https.Agent): void {
  Object.assign(agent, { keepAlive: false });
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

function flatten(headers: http.IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
