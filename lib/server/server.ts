import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { type HttpEvent, maxBodyBytes } from '../http/serve.ts';
import { log } from '../log.ts';
import { fallbackRoute, toEvent } from './event.ts';
import { type Handler, invoke, OutOfTime } from './invoke.ts';

/** The functions, by the route that each answers; `$default` answers what no other does. */
export type Functions = Readonly<
  Record<string, Handler<HttpEvent, APIGatewayProxyStructuredResultV2>> &
    Record<typeof fallbackRoute, Handler<HttpEvent, APIGatewayProxyStructuredResultV2>>
>;

/** How long things may take, in milliseconds. */
const defaultTimes = {
  /** What a function has, as in serverless.yml: a create takes 25 s, and a moment to roll back. */
  functionMs: 29_000,
  /** In which a request's headers must be here, and in which all of it. */
  headersMs: 10_000,
  requestMs: 30_000,
  /** For how long nothing may move on a connection that waits for its caller to read. */
  stalledMs: 60_000,
  /**
   * For how long an idle connection is kept: longer than callers keep theirs, or they would use one that was just closed (Go 90 s, load
   * balancers 60 s, Python 15 s).
   */
  keepAliveMs: 100_000,
  /** For how long calls are still taken once it is to stop: they are on their way on kept connections, or sent by who has not heard yet. */
  lastCallsMs: 1_000,
  /** For how long those that are under way are waited for then. */
  endMs: 28_000,
};

export type Times = typeof defaultTimes;

/** A server that runs. */
export type Server = Readonly<{
  address: AddressInfo;
  /**
   * Takes no more calls after a second, answers those that are under way, without any waiting, closes all connections, and ends what goes
   * on after answers. Gives the number of those that were cut because they took too long.
   */
  stop(): Promise<number>;
}>;

/**
 * Serves the functions over HTTP, as API Gateway and Lambda do. Whatever a function does, its caller gets an answer, and the server goes
 * on. Rejects where it cannot listen, with the system's error.
 */
export async function startServer(
  functions: Functions,
  { host, port }: Readonly<{ host: string; port: number }>,
  times: Partial<Times> = {},
): Promise<Server> {
  const { functionMs, headersMs, requestMs, stalledMs, keepAliveMs, lastCallsMs, endMs } = {
    ...defaultTimes,
    ...times,
  };
  let running = 0;
  let isStopping = false;
  /** Those of the requests that are under way. */
  const waits = new Set<AbortController>();
  /** What goes on after their answers. */
  const works = new Set<Promise<void>>();
  const goOn = (work: Promise<void>) => {
    works.add(work);
    work.finally(() => works.delete(work));
  };
  let onIdle = () => {};

  const server = createServer({
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: Math.min(headersMs, 5_000),
  });
  server.timeout = stalledMs;
  server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
    running += 1;
    await answer(request, response);
    running -= 1;
    if (running === 0) onIdle();
  });

  /** Never rejects. */
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = randomUUID();
    const wait = new AbortController();
    if (isStopping) wait.abort();
    waits.add(wait);
    // The caller has gone; or it has its answer, and nothing waits any more.
    response.once('close', () => wait.abort());
    const result = await findAnswer(request, requestId, wait.signal);
    waits.delete(wait);
    if (result === undefined) return;
    // Its caller makes the next call on a new connection, to another server.
    if (isStopping) response.setHeader('connection', 'close');
    send(response, result);
  }

  /** Undefined if there is nobody to answer any more. */
  async function findAnswer(
    request: IncomingMessage,
    requestId: string,
    stopWaiting: AbortSignal,
  ): Promise<APIGatewayProxyStructuredResultV2 | undefined> {
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return undefined;
    const event = toEvent(request, body);
    if (event === undefined) {
      // No function sees it, which would write its line.
      log.info('Bad Request', { requestId, statusCode: 400, sourceIp: request.socket.remoteAddress });
      return failure(400, 'Bad Request', requestId);
    }
    try {
      const handler = functions[event.routeKey] ?? functions[fallbackRoute];
      return check(await invoke(handler, event, functionMs, requestId, { stopWaiting, goOn }));
    } catch (error) {
      log.error('A function failed', { requestId, cause: describe(error) });
      return error instanceof OutOfTime
        ? failure(504, 'The function had no time left', requestId)
        : failure(500, 'Internal Server Error', requestId);
    }
  }

  server.listen(port, host);
  await once(server, 'listening');
  return {
    address: server.address() as AddressInfo,
    async stop() {
      isStopping = true;
      for (const wait of waits) wait.abort();
      await pause(lastCallsMs);
      const closed = new Promise((resolve) => server.close(resolve));
      // Some may have been taken a moment ago, and their calls be on their way.
      await Promise.race([closed, pause(lastCallsMs, undefined, { ref: false })]);
      const idle = new Promise<void>((resolve) => {
        onIdle = resolve;
        if (running === 0) resolve();
      });
      await Promise.race([idle, pause(endMs, undefined, { ref: false })]);
      const cut = running;
      // The last answers may still be on their way.
      await Promise.race([closed, pause(lastCallsMs, undefined, { ref: false })]);
      // Those that no call came on, or that their callers do not close.
      server.closeAllConnections();
      await closed;
      // Each has a time of its own.
      await Promise.all(works);
      return cut;
    },
  };
}

/**
 * A body as text. What is longer than any function takes is read and dropped: the function sees that it is too long, and refuses it
 * once it has looked who calls. Rejects when the caller has gone.
 */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let kept = 0;
  for await (const chunk of request) {
    if (kept > maxBodyBytes) continue;
    chunks.push(chunk);
    kept += chunk.length;
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What was thrown, for the log. */
export function describe(error: unknown): unknown {
  return error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : { thrown: error };
}

/** The answer itself, if it is one that can be sent. */
function check(answer: APIGatewayProxyStructuredResultV2 | undefined): APIGatewayProxyStructuredResultV2 {
  const { statusCode, headers = {}, body = '' } = answer ?? {};
  if (answer === undefined || !Number.isInteger(statusCode) || typeof body !== 'string') {
    throw new Error('The function gave no answer of an HTTP API');
  }
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderName(name);
    validateHeaderValue(name, String(value));
  }
  return answer;
}

const failure = (statusCode: number, detail: string, requestId: string): APIGatewayProxyStructuredResultV2 => ({
  statusCode,
  headers: {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': requestId,
  },
  body: JSON.stringify({ detail }),
});

function send(response: ServerResponse, { statusCode = 200, headers = {}, body }: APIGatewayProxyStructuredResultV2) {
  response.statusCode = statusCode;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, String(value));
  response.end(body);
}
