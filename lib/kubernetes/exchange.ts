import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { RequestContext } from '@kubernetes/client-node';
import { countCall } from '../tally.ts';
import { closeAtRest } from './credentials/agents.ts';
import type { Credentials } from './credentials/index.ts';
import { deadlineError, isDeadConnection, networkError, whileStarting } from './errors.ts';

/** A whole answer; `isRepeated` where the request had gone out before, and may have taken effect then. */
export type Answer = { code: number; headers: http.IncomingHttpHeaders; body: Buffer; isRepeated: boolean };

/** What the connections of an agent have shown of the API server, and when, in milliseconds of the clock. */
export type Signs = {
  /** The other side ended one that was in use, or would not have one. */
  awayAtMs: number;
  /** A call that is as patient as this had to wait as long as on a dead connection: silence alone is no sign of death then. */
  readonly slowAtMs: Map<number, number>;
};

/** Nothing is known yet. */
export const noSigns = (): Signs => ({ awayAtMs: Number.NaN, slowAtMs: new Map() });

/** One request, and the connections that it may take. */
export type Call = {
  request: RequestContext;
  shown: Credentials;
  agent: http.Agent;
  signs: Signs;
  signal: AbortSignal;
  now: () => Date;
};

/** What the client is to take for the API server: where that is can change, so each call finds it out. */
export const placeholderServer = 'https://kubernetes.invalid';

/**
 * How long a kept connection may be silent after a call was sent on it, in milliseconds, before it is taken for dead. One object is
 * read at once; a long list may take its time to begin, and so may a write that webhooks look at.
 */
const [readPatienceMs, otherPatienceMs] = [2_000, 4_000];

/** For how long an API server that was slow is given its time, in milliseconds: calls made twice would make it slower. */
const slowMs = 10_000;

/** For how long an API server that was away may be starting, in milliseconds: it has to read all rights, for one. */
const startingMs = 30_000;

/** How long a proxy may take to connect, in milliseconds: longer than any call has. */
const connectMs = 30_000;

/** Whether the API server was away a moment ago. */
export const isStarting = (signs: Signs, now: Date): boolean => Math.abs(now.getTime() - signs.awayAtMs) < startingMs;

/** The client gives every list a selector, and a single object none. */
export const isList = (request: RequestContext): boolean =>
  request.getHttpMethod() === 'GET' && request.getUrl().includes('?');

/** The connections that we have ended, and not the other side. */
const endedByUs = new WeakSet<Duplex>();

/**
 * When a connection was last of use, in milliseconds of the clock. That one ends which has long been at rest says nothing: an API
 * server ends it after 90 s, and what is in between sooner or later.
 */
const lastUsedAtMs = new WeakMap<Duplex, number>();

/** What came of a call on a kept connection that was none any more. */
const nothing = Symbol('no answer');

/**
 * One request and its whole answer. A kept connection may be dead: closed by the other side meanwhile (a frozen function cannot
 * notice), or forgotten by what is in between, which says so to nobody. The request then goes out again, until it has had a
 * living or a new connection. Every call is safe to repeat: names and preconditions make it idempotent. Throws a `KubernetesError`.
 */
export async function exchange(call: Call): Promise<Answer> {
  for (let isRepeated = false; ; isRepeated = true) {
    if (call.signal.aborted) throw deadlineError(call.signal);
    const answer = await countCall(() => send(call));
    if (answer !== nothing) return { ...answer, isRepeated };
  }
}

/** Sends the request. Ends with the signal whatever the agent is doing: where it still connects, Node would not tell. */
function send({
  request,
  shown,
  agent,
  signs,
  signal,
  now,
}: Call): Promise<Omit<Answer, 'isRepeated'> | typeof nothing> {
  const url = new URL(shown.access.server + request.getUrl().slice(placeholderServer.length));
  const body = request.getBody();
  const outgoing = (url.protocol === 'http:' ? http : https).request(url, {
    agent,
    // Heeded by what connects through a proxy alone: where its call is over, it ends some time as well.
    timeout: connectMs,
    method: request.getHttpMethod(),
    headers: {
      ...request.getHeaders(),
      ...shown.headers,
      // Node frames the body of a DELETE only if it is told its length; unframed, it spoils the connection.
      ...(typeof body === 'string' && { 'content-length': Buffer.byteLength(body) }),
    },
  });
  const isReadOfOne = request.getHttpMethod() === 'GET' && !isList(request);
  const patienceMs = isReadOfOne ? readPatienceMs : otherPatienceMs;
  const sentAt = process.uptime();
  let isSecured = false;
  let hasBegun = false;
  let isAbandoned = false;
  let silence: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<Omit<Answer, 'isRepeated'> | typeof nothing>();

  const noteEnd = () => {
    signs.awayAtMs = now().getTime();
  };
  const noteWait = () => {
    if ((process.uptime() - sentAt) * 1000 >= patienceMs) signs.slowAtMs.set(patienceMs, now().getTime());
  };
  /** The others that are kept are most likely as dead: none of them is to cost a call its time. */
  const abandon = () => {
    const others = outgoing.reusedSocket && !hasBegun ? closeAtRest(agent) : [];
    for (const socket of [outgoing.socket, ...others]) if (socket) endedByUs.add(socket);
    isAbandoned = true;
    outgoing.destroy();
  };
  const stop = () => {
    if (!hasBegun) noteWait();
    reject(whileStarting(deadlineError(signal), isStarting(signs, now())));
    abandon();
  };
  const giveUp = () => {
    if (hasBegun || isAbandoned) return;
    resolve(nothing);
    abandon();
  };
  outgoing.on('socket', (socket) => {
    if (!outgoing.reusedSocket) {
      socket.once('secureConnect', () => {
        isSecured = true;
      });
      lastUsedAtMs.set(socket, now().getTime());
      // At rest, too.
      socket.once('close', () => {
        const restMs = Math.abs(now().getTime() - (lastUsedAtMs.get(socket) ?? 0));
        if (!endedByUs.has(socket) && restMs < startingMs) noteEnd();
      });
      return;
    }
    isSecured = true;
    if (Math.abs(now().getTime() - (signs.slowAtMs.get(patienceMs) ?? Number.NaN)) < slowMs) return;
    // A process that was busy has to read first what may have come meanwhile.
    silence = setTimeout(() => setImmediate(giveUp), patienceMs);
  });
  outgoing.on('error', (error) => {
    if (!isAbandoned && !outgoing.reusedSocket) noteEnd();
    if (outgoing.reusedSocket && !hasBegun && isDeadConnection(error)) resolve(nothing);
    else reject(networkError(error, isSecured));
  });
  outgoing.on('response', (incoming) => {
    hasBegun = true;
    noteWait();
    clearTimeout(silence);
    // At its end, it is not the answer's any more.
    const { socket } = incoming;
    const pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => pieces.push(piece));
    incoming.on('error', (error) => reject(networkError(error, isSecured)));
    incoming.on('end', () => {
      lastUsedAtMs.set(socket, now().getTime());
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
