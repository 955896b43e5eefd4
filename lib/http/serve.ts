import middy, { type MiddlewareObj } from '@middy/core';
import httpErrorHandler from '@middy/http-error-handler';
import httpJsonBodyParser from '@middy/http-json-body-parser';
import type { APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { type AccessConfig, currentAccessConfig } from '../config/index.ts';
import { type ErrorKind, ProvisionerError } from '../errors.ts';
import { sandboxIdPattern } from '../model/names.ts';
import type { ClosedRecord, Facts, RequestRecord } from '../telemetry/record.ts';
import { recordRequest } from '../telemetry/request.ts';
import { authenticate } from './authentication.ts';
import { grantPage, isPreflight } from './cors.ts';
import { malformedBody } from './request.ts';

/** The largest body that is read, in bytes. A request for a sandbox has some hundred. */
export const maxBodyBytes = 65_536;

/** The only place where the kind of an error becomes an HTTP status. */
const statusCodes: Record<ErrorKind, number> = {
  'invalid-request': 422,
  // Of what the original refuses with its own words, and not with its library's.
  'bad-request': 400,
  unauthenticated: 401,
  'web-page': 403,
  'unsupported-media-type': 415,
  'body-too-large': 413,
  'unknown-path': 404,
  'method-not-allowed': 405,
  moved: 307,
  'not-found': 404,
  conflict: 409,
  expired: 410,
  'quota-exceeded': 429,
  unavailable: 503,
  'deadline-exceeded': 504,
  refused: 500,
  // The caller asked for nothing wrong; who runs the cluster has to mend it.
  'not-admitted': 500,
  failed: 500,
  misconfigured: 500,
};

type Texts = Readonly<Record<string, string | undefined>>;

/**
 * What is read of an event of an HTTP API (payload 2.0); the names of the headers are in lower case, `body` is what the JSON in it
 * says, if the endpoint takes one.
 */
export type HttpEvent = {
  readonly routeKey: string;
  readonly rawPath: string | undefined;
  readonly rawQueryString: string;
  readonly pathParameters: Texts;
  readonly queryStringParameters: Texts;
  readonly requestContext: Readonly<{
    http: Readonly<{ method: string; sourceIp?: string }>;
    stage?: string;
    apiId?: string;
    domainName?: string;
    authorizer?: unknown;
  }>;
  headers: Texts;
  body?: unknown;
  isBase64Encoded: boolean;
};

/** What an endpoint is called with beside its event. */
export type Invocation = Readonly<{
  /** Aborts at the endpoint's deadline, counted from the first middleware on, and before Lambda would end the invocation. */
  signal: AbortSignal;
  /** Aborts when the answer has to be given: what an endpoint takes back after its deadline has until then. */
  answerBy: AbortSignal;
  /**
   * Aborts so many seconds after the first middleware began, or when waiting is of no use any more; in time before Lambda would end the
   * invocation. Undefined for 0.
   */
  waitFor: (seconds: number) => AbortSignal | undefined;
  now: () => Date;
  requestId: string;
  /** Adds what was found out to the request's line and its figures. */
  note: (facts: Facts) => void;
}>;

type Endpoint = (event: HttpEvent, invocation: Invocation) => Promise<APIGatewayProxyStructuredResultV2>;
type Options = {
  deadlineSeconds: number;
  /** What it may take after that to take back what was begun. */
  takeBackSeconds?: number;
  jsonBody?: 'required' | 'optional';
  /** Which requests anybody may make; none where it says nothing. */
  isOpen?: (event: HttpEvent) => boolean;
  /** Tells others of what the request did, within so many milliseconds; never rejects. */
  tell?: (record: ClosedRecord, leftMs: number) => Promise<void>;
};
type PageHeaders = { pageHeaders?: Record<string, string> };
type Stage = MiddlewareObj<HttpEvent, APIGatewayProxyStructuredResultV2, Error, Context, PageHeaders>;

/** What Lambda needs to send an answer after our own time is up, in milliseconds; and what it needs at least, where others are told. */
const [reserveMs, leastReserveMs] = [1000, 300];

/**
 * Wraps an endpoint in what all endpoints wear: its deadline, the look at who calls, the JSON body where it takes one, JSON
 * answers with `detail` for everything that is thrown, and a line in the log. The handler it gives never throws. It tells others before
 * it answers, for on Lambda nothing goes on after that; where a server lets work go on, afterwards.
 */
export function serve(
  { deadlineSeconds, takeBackSeconds = 0, jsonBody, isOpen = () => false, tell }: Options,
  endpoint: Endpoint,
) {
  const handler = middy(
    (event: HttpEvent, context: Context) => {
      const { signal, answerBy, waitFor, record, awsRequestId: requestId } = context as Context & Time & Recorded;
      const note = (facts: Facts) => void Object.assign(record, facts);
      return endpoint(event, { signal, answerBy, waitFor, now: () => new Date(), requestId, note });
    },
    {
      timeoutEarlyInMillis: reserveMs,
      timeoutEarlyResponse: () => {
        throw new ProvisionerError('deadline-exceeded', 'The function had no time left');
      },
    },
  )
    .use(startClock(deadlineSeconds * 1000, takeBackSeconds * 1000))
    .use(addHeaders())
    .use(httpErrorHandler({ logger: false }))
    .use(answerErrors())
    .use(readEvent())
    .use(judgeWebPages())
    .use(requireAuthentication(isOpen))
    .use(jsonBody === undefined ? [] : [requireJson(jsonBody === 'optional'), httpJsonBodyParser()]);
  return (event: HttpEvent, context: Context & ServerContext) =>
    recordRequest(
      context.awsRequestId,
      (record) => handler(event, Object.assign(context, { record })),
      tell &&
        ((record) => {
          const telling = tell(record, leftMsOf(context) - leastReserveMs);
          return context.goOn === undefined ? telling : context.goOn(telling);
        }),
    );
}

/** Where the stages find what is gathered of the request. */
type Recorded = { record: RequestRecord };

/** The answer 200 with this body. */
export function json(body: unknown): APIGatewayProxyStructuredResultV2 {
  return { statusCode: 200, headers: { ...jsonType }, body: JSON.stringify(body) };
}

/** What Lambda takes of an answer, in bytes of the JSON that it is sent as, less what the rest of it has. More would be a 502 of API Gateway's. */
const mostLambdaBytes = 6 * 1024 * 1024 - 16_384;

/** Whether Lambda would not take an answer with this body. */
export const isTooLargeForLambda = ({ body = '' }: APIGatewayProxyStructuredResultV2): boolean =>
  body.length > mostLambdaBytes / 2 && Buffer.byteLength(JSON.stringify(body)) > mostLambdaBytes;

/** The answer 200 with this plain text. */
export function text(body: string): APIGatewayProxyStructuredResultV2 {
  return { statusCode: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}

/** The answer 200 with this page, which may load what the policy says. */
export function html({ html, policy }: { html: string; policy: string }): APIGatewayProxyStructuredResultV2 {
  const headers = { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy };
  return { statusCode: 200, headers, body: html };
}

type Time = Pick<Invocation, 'signal' | 'answerBy' | 'waitFor'>;

/**
 * What Lambda's context has beside its own where a server knows it: a signal that aborts when the caller has gone, or nobody is to be
 * kept waiting because the server is to stop; and what lets work go on after the answer, which never rejects.
 */
export type ServerContext = Readonly<{ stopWaiting?: AbortSignal; goOn?: (work: Promise<void>) => void }>;

const leftMsOf = (context: Context): number => context.getRemainingTimeInMillis?.() ?? Number.POSITIVE_INFINITY;

/**
 * Used before all others: the look at who calls takes of the same time. Where Lambda leaves less than that, what is begun is ended
 * early enough to be taken back.
 */
function startClock(deadlineMs: number, takeBackMs: number): Stage {
  const timeout = (ms: number) => AbortSignal.timeout(Math.max(0, Math.floor(ms)));
  return {
    before({ context }) {
      const leftMs = leftMsOf(context) - reserveMs;
      const endMs = Math.min(deadlineMs, Math.max(leftMs - takeBackMs, leftMs / 2));
      const begun = performance.now();
      const { stopWaiting } = context as Context & ServerContext;
      const time: Time = {
        signal: timeout(endMs),
        answerBy: timeout(Math.min(endMs + takeBackMs, leftMs)),
        waitFor(seconds) {
          if (seconds === 0) return undefined;
          const end = timeout(Math.min(seconds * 1000, leftMs - reserveMs) - (performance.now() - begun));
          return stopWaiting === undefined ? end : AbortSignal.any([end, stopWaiting]);
        },
      };
      Object.assign(context, time);
    },
  };
}

/** Used early, so that it comes late: whatever the answer is, it bears these headers. */
function addHeaders(): Stage {
  const add: Stage['after'] = (request) => {
    if (request.response) request.response = withHeaders(request.response, request);
  };
  return { after: add, onError: add };
}

/** Answers are about one moment, are JSON and nothing else, and are found in the log by Lambda's own id of the request. */
const withHeaders = (
  answer: APIGatewayProxyStructuredResultV2,
  { context, internal }: { context: Context; internal: PageHeaders },
): APIGatewayProxyStructuredResultV2 => ({
  ...answer,
  headers: {
    ...answer.headers,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': context.awsRequestId,
    ...internal.pageHeaders,
  },
});

/**
 * Comes before whatever looks at the event. A function can be invoked with anything: a ping, a load balancer's event, null. What
 * is read of it gets the shape that an HTTP API gives it, so that it is answered as any stray request is.
 */
function readEvent(): Stage {
  return {
    before(request) {
      const event = toRecord(request.event);
      const context = toRecord(event.requestContext);
      const { routeKey = '', rawPath, rawQueryString = '' } = onlyTexts(event);
      const headers = Object.entries(onlyTexts(event.headers)).map(([name, value]) => [name.toLowerCase(), value]);
      request.event = {
        routeKey,
        rawPath,
        rawQueryString,
        headers: Object.fromEntries(headers),
        pathParameters: onlyTexts(event.pathParameters),
        queryStringParameters: onlyTexts(event.queryStringParameters),
        requestContext: {
          ...onlyTexts(context),
          authorizer: context.authorizer,
          http: { method: '', ...onlyTexts(context.http) },
        },
        body: event.body,
        isBase64Encoded: event.isBase64Encoded === true,
      };
      noteRequest(request.event, request.context as Context & Recorded);
    },
  };
}

function noteRequest({ routeKey, pathParameters, requestContext: { http } }: HttpEvent, { record }: Recorded): void {
  const { sandbox_id: sandboxId = '' } = pathParameters;
  Object.assign(record, {
    ...(routeKey !== '' && { routeKey }),
    method: http.method,
    sourceIp: http.sourceIp,
    // What is no id is told to its sender alone.
    ...(sandboxIdPattern.test(sandboxId) && { sandboxId }),
  });
}

const toRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && !Array.isArray(value) ? { ...value } : {};

const onlyTexts = (value: unknown): Texts =>
  Object.fromEntries(
    Object.entries(toRecord(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );

/**
 * A web page can make its visitor's browser call any address, localhost too. Browsers say so in a header that other
 * callers do not send: only the pages of the settings may, and only they may read the answers.
 */
function judgeWebPages(): Stage {
  return {
    before(request) {
      const { origin, ...headers } = request.event.headers;
      // The page is ours, /docs or the console: the browser's own word, which no page can write. It says so over HTTPS and to localhost
      // alone, so not where a page's own name was made to lead here.
      if (origin === undefined || headers['sec-fetch-site'] === 'same-origin') return;
      const { allowedOrigins, authentication } = readAccessConfig();
      // Over plain HTTP and another name, the browser says nothing but where the page is from. That is here, or a page's own name was
      // made to lead here: such a page has no key, and who gives us one gave it to the page of this name.
      if (
        headers['sec-fetch-site'] === undefined &&
        origin === `http://${headers.host}` &&
        authentication.kind !== 'off'
      ) {
        return;
      }
      if (!allowedOrigins.includes(origin)) {
        throw new ProvisionerError('web-page', 'Calls from web pages are refused');
      }
      request.internal.pageHeaders = grantPage(origin);
      // A browser asks without the key whether the page may send one.
      if (isPreflight(request.event.requestContext.http.method, headers)) {
        return withHeaders({ statusCode: 204 }, request);
      }
    },
  };
}

/** Comes before anything else of the request is looked at: who does not belong learns nothing from its answer. */
function requireAuthentication(isOpen: (event: HttpEvent) => boolean): Stage {
  return {
    async before({ event, context }) {
      if (isOpen(event)) return;
      const { claims } = toRecord(toRecord(event.requestContext.authorizer).jwt);
      const { record } = context as Context & Recorded;
      record.caller = await authenticate({ apiKey: event.headers['x-api-key'], claims }, readAccessConfig());
    },
  };
}

/** The settings of access. Nobody has been let in yet: what is wrong with them is for the log alone. Throws `misconfigured`. */
export function readAccessConfig(): AccessConfig {
  try {
    return currentAccessConfig();
  } catch (cause) {
    throw new ProvisionerError('misconfigured', 'The access of callers is misconfigured', { cause });
  }
}

/**
 * Runs before the parser: what is too large is not parsed, and a body whose type is not said is taken for JSON, as is one that
 * need not be there and is empty, whatever its type (that of a form, where curl sends it).
 */
function requireJson(isOptional: boolean): MiddlewareObj<HttpEvent> {
  return {
    before({ event }) {
      const { body, headers, isBase64Encoded } = event;
      // serverless-offline says null for a body that is empty, API Gateway leaves it out.
      if (typeof body !== 'string') delete event.body;
      if (isOptional && !body) {
        Object.assign(event, {
          body: 'null',
          isBase64Encoded: false,
          headers: { ...headers, ...jsonType },
        });
        return;
      }
      if (typeof body === 'string' && Buffer.byteLength(body, isBase64Encoded ? 'base64' : 'utf8') > maxBodyBytes) {
        throw new ProvisionerError('body-too-large', `The body is larger than ${maxBodyBytes} bytes`);
      }
      event.headers = { ...jsonType, ...headers };
    },
  };
}

const jsonType = { 'content-type': 'application/json' };

/**
 * Gives what was thrown the form that http-error-handler answers as it stands: status, JSON, headers. Its cause, which no caller sees,
 * is for the request's line.
 */
function answerErrors(): MiddlewareObj<HttpEvent> {
  return {
    onError(request) {
      const error = toProvisionerError(request.error, request.event);
      const statusCode = statusCodes[error.kind];
      const { record } = request.context as Context & Recorded;
      record.error = { kind: error.kind, message: error.message, cause: findCause(error, statusCode) };
      request.error = Object.assign(new Error(JSON.stringify({ detail: error.detail }), { cause: error }), {
        statusCode,
        expose: true,
        headers: error.headers,
      });
    },
  };
}

function toProvisionerError(error: unknown, event: HttpEvent): ProvisionerError {
  if (error instanceof ProvisionerError) return error;
  // What the parser throws bears a status; anything else with one (an error of a library's) must not choose ours.
  const { statusCode, cause } = (error ?? {}) as { statusCode?: number; cause?: { package?: string } };
  if (cause?.package === '@middy/http-json-body-parser') {
    if (statusCode !== 415) return malformedBody(event.body as string | undefined, error);
    return new ProvisionerError('unsupported-media-type', 'The content type must be application/json', {
      cause: error,
    });
  }
  return new ProvisionerError('failed', 'Internal Server Error', { cause: error });
}

/** Where an error began: what Kubernetes said, or what the system did; of what a caller did wrong, without the stack. */
function findCause(error: ProvisionerError, statusCode: number): unknown {
  let cause: unknown = error.cause;
  while (cause instanceof ProvisionerError && cause.cause !== undefined) cause = cause.cause;
  if (!(cause instanceof Error)) return cause;
  const { name, message, stack } = cause;
  return { name, message, ...(statusCode >= 500 && { stack }) };
}
