import type http from 'node:http';
import { type HttpLibrary, type RequestContext, ResponseContext, wrapHttpLibrary } from '@kubernetes/client-node';
import type { KubernetesError } from '../errors.ts';
import { keepAgent } from './credentials/agents.ts';
import type { Credentials, CredentialsKeeper } from './credentials/index.ts';
import {
  deadlineError,
  explainRefusal,
  foreignAnswerError,
  isRefusalOfUs,
  networkError,
  statusError,
  whileStarting,
} from './errors.ts';
import { type Answer, exchange, isList, isStarting, noSigns, type Signs } from './exchange.ts';
import { protobufType, readStatus } from './lists.ts';
import { takeTurns } from './turns.ts';

/** The client's way to the API server. */
export type Transport = {
  /** One call that is none of the client's: any success of it, unread. */
  call(request: RequestContext, signal: AbortSignal): Promise<Answer>;
  /**
   * The way for one call: it ends when the signal does, and bears these headers. With `takeProtobuf`, protobuf is asked for, which
   * the client cannot read: a success goes there, and the client gets an empty object. A server that does not write it answers
   * with JSON.
   */
  send(signal: AbortSignal, headers: Record<string, string>, takeProtobuf?: (answer: Buffer) => void): HttpLibrary;
  /** What a caller hears whose time is over while others wait for the same call. */
  lateError(signal: AbortSignal): KubernetesError;
};

/**
 * How many calls are made at once at most, by the calls of one process: those that read one object or write, and lists, which take the
 * API server long and must not hold up the others. Two callers' creates are already four calls at once.
 */
const [callsAtOnce, listsAtOnce] = [64, 8];

/**
 * The client's way to the API server, over connections that are kept (the client's own opens a new one for every call).
 * Whatever is not a success is thrown as a `KubernetesError`. A call that is refused for what it showed, or for what it knew
 * the API server by, or cannot be made with it, is made once more where that has changed by then.
 */
export function createTransport(credentials: CredentialsKeeper, now: () => Date): Transport {
  const findAgent = keepAgent();
  const [takeCallTurn, takeListTurn] = [takeTurns(callsAtOnce), takeTurns(listsAtOnce)];
  let latest: { agent: http.Agent; signs: Signs } | undefined;
  /** What is known by the connections of this agent; those of another credential's say nothing of it. */
  const findSigns = (agent: http.Agent): Signs => {
    if (latest?.agent !== agent) latest = { agent, signs: noSigns() };
    return latest.signs;
  };

  const explain = (error: KubernetesError, { tls }: Credentials) => explainRefusal(error, tls.cert, now());
  const attempt = async (request: RequestContext, shown: Credentials, signal: AbortSignal) => {
    const takeTurn = isList(request) ? takeListTurn : takeCallTurn;
    try {
      const agent = await findAgent(shown);
      const signs = findSigns(agent);
      const answer = await takeTurn(() => exchange({ request, shown, agent, signs, signal, now }), signal);
      if (answer.code < 400) return { answer };
      const refusal = (isProtobuf(answer) && readStatus(answer.body)) || answer.body.toString();
      const error = statusError(answer.code, answer.headers['retry-after'], refusal, answer.isRepeated);
      // So says what stands in front of an API server that is away.
      if (answer.code >= 502) signs.awayAtMs = now().getTime();
      return { error: explain(whileStarting(error, isStarting(signs, now())), shown) };
    } catch (error) {
      // Whoever waits for a turn has made no call yet.
      if (error === signal.reason) return { error: deadlineError(signal, 'other calls to Kubernetes took all time') };
      return { error: explain(networkError(error), shown) };
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
  const open = (...[signal, headers, takeProtobuf]: Parameters<Transport['send']>) => ({
    async send(request: RequestContext) {
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
  return {
    call,
    send: (...way) => wrapHttpLibrary(open(...way)),
    lateError: (signal) =>
      whileStarting(deadlineError(signal), latest !== undefined && isStarting(latest.signs, now())),
  };
}

const jsonType = 'application/json';

const isProtobuf = ({ headers }: Answer): boolean => headers['content-type']?.startsWith(protobufType) ?? false;

/** A login page or another service behind the address may say 200 as well, and must not be taken for the API's yes. */
export function isKubernetesJson({ headers }: Answer, text: string): boolean {
  const isJson = headers['content-type']?.startsWith(jsonType) ?? false;
  return isJson && text.includes('"kind"') && text.trimEnd().endsWith('}');
}
