import http from 'node:http';
import https from 'node:https';
import { type HttpLibrary, type RequestContext, ResponseContext, wrapHttpLibrary } from '@kubernetes/client-node';
import type { KubernetesError } from '../errors.ts';
import { closeAtRest, keepAgent } from './agents.ts';
import type { Credentials, CredentialsKeeper } from './credentials.ts';
import {
  deadlineError,
  explainRefusal,
  foreignAnswerError,
  isDeadConnection,
  isRefusalOfUs,
  networkError,
  statusError,
  whileStarting,
} from './outcomes.ts';
import { protobufType, readStatus } from './protobuf.ts';
import { takeTurns } from './turns.ts';

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
 * How many calls are made at once at most, by the calls of one process: those that read one object or write, and lists, which take the
 * API server long and must not hold up the others. Two callers' creates are already four calls at once.
 */
const [callsAtOnce, listsAtOnce] = [64, 8];

/**
 * How long a kept connection may be silent after a call was sent on it, in milliseconds, before it is taken for dead: whatever stood
 * in between has forgotten it, and says so to nobody. One object is read at once; a long list may take its time to begin, and so
 * may a write that webhooks look at.
 */
const [readPatienceMs, patienceMs] = [2_000, 4_000];

/** How long a proxy may take to connect, in milliseconds: longer than any call has. */
const connectMs = 30_000;

/** For how long an API server that was away may not have read all rights yet, in milliseconds. */
const startingMs = 30_000;

/**
 * The client's way to the API server, over connections that are kept (the client's own opens a new one for every call).
 * Whatever is not a success is thrown as a `KubernetesError`. A call that is refused for what it showed, or for what it knew
 * the API server by, or cannot be made with it, is made once more where that has changed by then.
 */
export function createTransport(credentials: CredentialsKeeper, now: () => Date): Transport {
  const findAgent = keepAgent();
  const [takeCallTurn, takeListTurn] = [takeTurns(callsAtOnce), takeTurns(listsAtOnce)];
  /** When the API server was away last, as the connections of each agent tell. */
  const awayAtMs = new WeakMap<http.Agent, number>();

  const explain = (error: KubernetesError, { tls }: Credentials) => explainRefusal(error, tls.cert, now());
  const attempt = async (request: RequestContext, shown: Credentials, signal: AbortSignal) => {
    const takeTurn = isList(request) ? takeListTurn : takeCallTurn;
    let isOurTurn = false;
    try {
      const agent = await findAgent(shown);
      const noteAway = () => void awayAtMs.set(agent, now().getTime());
      const answer = await takeTurn(() => {
        isOurTurn = true;
        return exchange({ request, shown, agent, signal, onEnd: noteAway });
      }, signal);
      if (answer.code < 400) return { answer };
      const refusal = (isProtobuf(answer) && readStatus(answer.body)) || answer.body.toString();
      const error = statusError(answer.code, answer.headers['retry-after'], refusal);
      // So says what stands in front of an API server that is away.
      if (answer.code >= 502) noteAway();
      const mayBeStarting = Math.abs(now().getTime() - (awayAtMs.get(agent) ?? Number.NaN)) < startingMs;
      return { error: explain(mayBeStarting ? whileStarting(error) : error, shown) };
    } catch (error) {
      if (!signal.aborted) return { error: explain(networkError(error), shown) };
      return {
        error: isOurTurn ? deadlineError(signal) : deadlineError(signal, 'other calls to Kubernetes took all time'),
      };
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

/** The client gives every list a selector, and a single object none. */
const isList = (request: RequestContext): boolean =>
  request.getHttpMethod() === 'GET' && request.getUrl().includes('?');

/** What came of a call on a kept connection that was none any more. */
const nothing = Symbol('no answer');

/**
 * One request and its whole answer. A kept connection may be dead: closed by the other side meanwhile (a frozen function cannot
 * notice), or forgotten by what is in between, so that nothing comes back. The request then goes out again, until it has had a
 * living or a new connection. Every call is safe to repeat: names and preconditions make it idempotent.
 */
async function exchange(call: Call): Promise<Answer> {
  for (;;) {
    call.signal.throwIfAborted();
    const answer = await send(call);
    if (answer !== nothing) return answer;
  }
}

type Call = {
  request: RequestContext;
  shown: Credentials;
  agent: http.Agent;
  signal: AbortSignal;
  /** A connection ended, or could not be made. */
  onEnd: () => void;
};

/** Sends the request. Ends with the signal whatever the agent is doing: where it still connects, Node would not tell. */
function send({ request, shown, agent, signal, onEnd }: Call): Promise<Answer | typeof nothing> {
  const { access, headers } = shown;
  const url = new URL(access.server + request.getUrl().slice(placeholderServer.length));
  const body = request.getBody();
  const outgoing = (url.protocol === 'http:' ? http : https).request(url, {
    agent,
    // Heeded by what connects through a proxy alone: where its call is over, it ends some time as well.
    timeout: connectMs,
    method: request.getHttpMethod(),
    headers: {
      ...request.getHeaders(),
      ...headers,
      // Node frames the body of a DELETE only if it is told its length; unframed, it spoils the connection.
      ...(typeof body === 'string' && { 'content-length': Buffer.byteLength(body) }),
    },
  });
  const isReadOfOne = request.getHttpMethod() === 'GET' && !isList(request);
  let isSecured = false;
  let hasBegun = false;
  let silence: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<Answer | typeof nothing>();

  /** The others that are kept are most likely as dead: none of them is to cost a call its time. */
  const abandon = () => {
    if (outgoing.reusedSocket && !hasBegun) closeAtRest(agent);
    outgoing.destroy();
  };
  const stop = () => {
    reject(signal.reason);
    abandon();
  };
  const giveUp = () => {
    if (hasBegun) return;
    resolve(nothing);
    abandon();
  };
  outgoing.on('socket', (socket) => {
    if (outgoing.reusedSocket) {
      isSecured = true;
      // A process that was busy has to read first what may have come meanwhile.
      silence = setTimeout(() => setImmediate(giveUp), isReadOfOne ? readPatienceMs : patienceMs);
    } else {
      socket.once('secureConnect', () => {
        isSecured = true;
      });
      socket.once('close', onEnd);
    }
  });
  outgoing.on('error', (error) => {
    onEnd();
    if (outgoing.reusedSocket && !hasBegun && isDeadConnection(error)) resolve(nothing);
    else reject(networkError(error, isSecured));
  });
  outgoing.on('response', (incoming) => {
    hasBegun = true;
    clearTimeout(silence);
    const pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => pieces.push(piece));
    incoming.on('error', (error) => reject(networkError(error, isSecured)));
    incoming.on('end', () => {
      resolve({ code: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(pieces) });
    });
  });
  signal.addEventListener('abort', stop);
  outgoing.end(body);
  return promise.finally(() => {
    clearTimeout(silence);
    signal.removeEventListener('abort', stop);
  });
}
