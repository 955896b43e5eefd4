import http from 'node:http';
import https from 'node:https';
import { type HttpLibrary, type RequestContext, ResponseContext, wrapHttpLibrary } from '@kubernetes/client-node';
import type { KubernetesError } from '../errors.ts';
import { keepAgent } from './agents.ts';
import type { Credentials, CredentialsKeeper } from './credentials.ts';
import {
  deadlineError,
  explainRefusal,
  foreignAnswerError,
  isRefusalOfUs,
  networkError,
  statusError,
} from './outcomes.ts';
import { protobufType, readStatus } from './protobuf.ts';

type Answer = { code: number; headers: http.IncomingHttpHeaders; body: Buffer };

/**
 * A way to the API server for one call: it ends when the signal does, and bears these headers. With `takeProtobuf`,
 * protobuf is asked for, which the client cannot read: a success goes there, and the client gets an empty object. A server that
 * does not write it answers with JSON.
 */
export type Transport = (
  signal: AbortSignal,
  headers: Record<string, string>,
  takeProtobuf?: (answer: Buffer) => void,
) => HttpLibrary;

/** What the client is to take for the API server: where that is can change, so each call finds it out. */
export const placeholderServer = 'https://kubernetes.invalid';

/**
 * The client's way to the API server, over connections that are kept (the client's own opens a new one for every call).
 * Whatever is not a success is thrown as a `KubernetesError`. A call that is refused for what it showed, or for what it knew
 * the API server by, or cannot be made with it, is made once more where that has changed by then.
 */
export function createTransport(credentials: CredentialsKeeper, now: () => Date): Transport {
  const findAgent = keepAgent();

  const explain = (error: KubernetesError, { tls }: Credentials) => explainRefusal(error, tls.cert, now());
  const attempt = async (request: RequestContext, shown: Credentials, signal: AbortSignal) => {
    try {
      const answer = await exchange(request, shown, await findAgent(shown), signal);
      if (answer.code < 400) return { answer };
      const refusal = (isProtobuf(answer) && readStatus(answer.body)) || answer.body.toString();
      return { error: explain(statusError(answer.code, answer.headers['retry-after'], refusal), shown) };
    } catch (error) {
      return { error: signal.aborted ? deadlineError(signal) : explain(networkError(error), shown) };
    }
  };
  const call = async (request: RequestContext, signal: AbortSignal): Promise<Answer> => {
    const shown = await credentials.current(signal);
    let { answer, error } = await attempt(request, shown, signal);
    if (error !== undefined && isRefusalOfUs(error)) {
      const renewed = await credentials.renew(shown, signal);
      if (renewed !== undefined) ({ answer, error } = await attempt(request, renewed, signal));
    }
    if (answer === undefined) throw error;
    return answer;
  };
  const send: (...way: Parameters<Transport>) => { send(request: RequestContext): Promise<ResponseContext> } = (
    signal,
    headers,
    takeProtobuf,
  ) => ({
    async send(request) {
      for (const [name, value] of Object.entries(headers)) request.setHeaderParam(name, value);
      if (takeProtobuf !== undefined) request.setHeaderParam('Accept', `${protobufType}, ${jsonType}`);
      const answer = await call(request, signal);
      if (answer.code >= 300) throw foreignAnswerError(answer.code);
      const isTaken = takeProtobuf !== undefined && isProtobuf(answer);
      if (isTaken) takeProtobuf(answer.body);
      const text = isTaken ? '{}' : answer.body.toString();
      if (!isTaken && !isKubernetesJson(answer, text)) throw foreignAnswerError(answer.code);
      return new ResponseContext(
        answer.code,
        { 'content-type': jsonType },
        {
          text: async () => text,
          binary: async () => Buffer.from(text),
          stream: () => null,
        },
      );
    },
  });
  return (...way) => wrapHttpLibrary(send(...way));
}

const jsonType = 'application/json';

const isProtobuf = ({ headers }: Answer): boolean => headers['content-type']?.startsWith(protobufType) ?? false;

/** A login page or another service behind the address may say 200 as well, and must not be taken for the API's yes. */
function isKubernetesJson({ headers }: Answer, text: string): boolean {
  const isJson = headers['content-type']?.startsWith(jsonType) ?? false;
  return isJson && text.includes('"kind"') && text.trimEnd().endsWith('}');
}

/**
 * One request and its whole answer. A kept connection that the other side has closed meanwhile (a frozen function cannot
 * notice) fails at its next use before any answer: the request then goes out again, until it has had a new connection.
 * Every call is safe to repeat: names and preconditions make it idempotent.
 */
async function exchange(
  request: RequestContext,
  { access, headers }: Credentials,
  agent: http.Agent,
  signal: AbortSignal,
): Promise<Answer> {
  for (;;) {
    let reused = false;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        const url = new URL(access.server + request.getUrl().slice(placeholderServer.length));
        const body = request.getBody();
        const outgoing = (url.protocol === 'http:' ? http : https).request(url, {
          agent,
          method: request.getHttpMethod(),
          headers: {
            ...request.getHeaders(),
            ...headers,
            // Node frames the body of a DELETE only if it is told its length; unframed, it spoils the connection.
            ...(typeof body === 'string' && { 'content-length': Buffer.byteLength(body) }),
          },
          signal,
        });
        outgoing.on('error', (error) => {
          reused = outgoing.reusedSocket;
          reject(error);
        });
        outgoing.on('response', (incoming) => {
          const pieces: Buffer[] = [];
          incoming.on('data', (piece: Buffer) => pieces.push(piece));
          incoming.on('error', reject);
          incoming.on('end', () => {
            resolve({ code: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(pieces) });
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
