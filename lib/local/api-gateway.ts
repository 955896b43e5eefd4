import type { Server as HttpServer, ServerResponse } from 'node:http';
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';
import { areClaimsOf } from '../http/authentication.ts';

/** What of API Gateway serverless-offline is to be taught. */
export type GatewaySettings = Readonly<{
  /** Whose tokens are asked for on the paths of the API; nobody's if it is not there. */
  jwt?: Readonly<{ issuer: string; audiences: readonly string[] }>;
  /** Which paths beside those under `/api/` ask for them. */
  guardedPaths?: readonly string[];
  /** By which names, in lower case, this machine may be called; by any if they are not there. */
  hostNames?: readonly string[];
}>;

/** The parts of hapi, serverless-offline's server, that are used here. */
type Request = {
  headers: Record<string, string | undefined>;
  method: string;
  setMethod(method: string): void;
  raw: { req: { rawHeaders: string[] }; res: ServerResponse };
  auth: { isAuthenticated: boolean };
  /** An answer, or an error of hapi's (Boom). */
  response: { headers?: object; source?: unknown; isBoom?: boolean; output?: { statusCode: number } };
};
type Answer = { code(status: number): Answer; header(name: string, value: string): Answer; takeover(): Answer };
type Toolkit = {
  readonly continue: symbol;
  response(body: object): Answer;
  authenticated(result: { credentials: object }): unknown;
};
type Extension = (request: Request, h: Toolkit) => unknown;
type Server = {
  readonly listener: HttpServer;
  ext(event: 'onRequest' | 'onPreAuth' | 'onPreResponse', act: Extension): void;
  stop(options: { timeout: number }): Promise<void>;
};

let settings: GatewaySettings = {};
let verify: (authorization: string | undefined) => Promise<JWTPayload> = () => Promise.reject(new Error('no issuer'));
/** serverless-offline's server, once it has made its routes. */
let prepared: Server | undefined;
let running = 0;
let onIdle: () => void = () => {};

/**
 * How long an idle connection is kept, in milliseconds. Who uses one that was just closed gets ECONNRESET, so it has to be longer
 * than callers keep theirs: Go's client 90 s, load balancers and nginx 60 s, Python's 15 s or less. (Node's own is 5 s.)
 */
const keepAliveMs = 100_000;

/** The longest that a call takes, in milliseconds: as with API Gateway, that of a function and a second. */
const longestCallMs = 30_000;

/** Says how the gateway is to be; before serverless-offline makes its routes. */
export function configureGateway(wanted: GatewaySettings): void {
  settings = wanted;
  if (wanted.jwt !== undefined) verify = createVerifier(wanted.jwt);
}

/**
 * What serverless-offline asks for each route who may pass (its `customAuthenticationProvider`): on the paths of the API,
 * who has a token of the issuer, if one is set. Beside it, it makes the server do as API Gateway does where it does not by
 * itself.
 */
function customAuthenticationProvider(_endpoint: unknown, functionKey: string, method: string, path: string) {
  const name = `${functionKey} ${method} ${path}`;
  const isGuarded = path.startsWith('/api/') || settings.guardedPaths?.includes(path);
  return {
    name,
    scheme: name,
    getAuthenticateFunction(server: Server) {
      // Each route is given an object of its own for the one server.
      if (server.listener !== prepared?.listener) prepare(server);
      return {
        authenticate: async (request: Request, h: Toolkit) => {
          if (!isGuarded || settings.jwt === undefined) return pass(request, h, {});
          try {
            const claims = await verify(request.headers.authorization);
            return pass(request, h, { jwt: { claims: toTexts(claims), scopes: null } });
          } catch (error) {
            // The issuer's keys could not be had, for one: that says nothing about the token.
            if (!(error instanceof errors.JOSEError)) return refuse(h, 500, { message: 'Internal Server Error' });
            return refuse(h, 401, { message: 'Unauthorized' }).header('www-authenticate', 'Bearer');
          }
        },
      };
    },
  };
}

const refuse = (h: Toolkit, status: number, body: object): Answer => h.response(body).code(status).takeover();

/** In the shape of a function's answer, not of API Gateway's. */
const refuseAsFunctions = (h: Toolkit, status: number, detail: string): Answer =>
  refuse(h, status, { detail }).header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');

const authorizerHeader = 'sls-offline-authorizer-override';

/**
 * Lets a request pass with this authorizer in its event: by serverless-offline's own header, of which the last counts, not
 * a caller's.
 */
function pass({ raw }: Request, h: Toolkit, authorizer: object): unknown {
  raw.req.rawHeaders.push(authorizerHeader, JSON.stringify(authorizer));
  return h.authenticated({ credentials: {} });
}

function prepare(server: Server): void {
  server.listener.keepAliveTimeout = keepAliveMs;
  server.ext('onRequest', prepareRequest);
  server.ext('onPreAuth', restoreMethod);
  server.ext('onPreResponse', hideFailure);
  prepared = server;
}

/**
 * Takes no more calls, answers those that are under way, and closes all connections: the idle ones at once. A call that is not
 * answered in the longest time that one takes is cut. Says how many calls it waits for, `2 calls`, if any.
 */
export async function closeGateway(announce: (calls: string) => void): Promise<void> {
  if (running > 0) announce(running === 1 ? '1 call' : `${running} calls`);
  const stopped = prepared?.stop({ timeout: longestCallMs });
  const idle = new Promise<void>((resolve) => {
    onIdle = resolve;
    if (running === 0) resolve();
  });
  await Promise.race([stopped, idle]);
  // Those that no call came on, or that their callers do not close.
  prepared?.listener.closeAllConnections();
  await stopped;
}

function prepareRequest(request: Request, h: Toolkit): unknown {
  const { headers, raw } = request;
  running += 1;
  raw.res.once('close', () => {
    running -= 1;
    if (running === 0) onIdle();
  });
  raw.req.rawHeaders = joinHeaders(raw.req.rawHeaders);
  // serverless-offline lets every page that sends it read the answers. The functions find it in the raw headers, and decide.
  delete headers.origin;
  if (settings.hostNames !== undefined && !isNamed(headers.host, settings.hostNames)) {
    return refuseAsFunctions(h, 403, 'Calls by another name than that of this machine are refused');
  }
  // A route of GET would answer it, by hapi but not by API Gateway.
  if (request.method === 'head') request.setMethod('*');
  return h.continue;
}

/** HEAD again, now that the route is found: for the function, and for hapi, which then sends no body. */
function restoreMethod(request: Request, h: Toolkit): unknown {
  if (request.method === '*') request.method = 'head';
  return h.continue;
}

/**
 * Where a function throws or takes too long, serverless-offline answers 200, with paths of this machine. An answer of a function
 * is known by the id that it bears.
 */
function hideFailure({ auth, response }: Request, h: Toolkit): unknown {
  const { headers = {}, isBoom = false, output, source } = response;
  const isFailure = isBoom ? (output?.statusCode ?? 500) >= 500 : auth.isAuthenticated && !('x-request-id' in headers);
  if (!isFailure) return h.continue;
  return String(source).includes('"errorType":"LambdaTimeoutError"')
    ? refuseAsFunctions(h, 504, 'The function had no time left')
    : refuseAsFunctions(h, 500, 'Internal Server Error');
}

/** As API Gateway hands headers on: those of one name as one, with commas. serverless-offline would take the last. */
function joinHeaders(rawHeaders: readonly string[]): string[] {
  const joined = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    joined.set(name.toLowerCase(), [...(joined.get(name.toLowerCase()) ?? []), value]);
  }
  return [...joined].flatMap(([name, values]) => [name, values.join(',')]);
}

/**
 * Whether a request was meant for one of these names. A page can make its own name lead to this machine, and is then of
 * the same origin as we are; but the browser still says that name.
 */
function isNamed(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined) return true;
  const url = URL.canParse(`http://${host}`) ? new URL(`http://${host}`) : undefined;
  return url !== undefined && names.includes(url.hostname.replace(/^\[(.*)\]$/, '$1'));
}

/**
 * Checks a token as API Gateway's JWT authorizer does: RSA alone, by the key that it names, in time, of the issuer, for an
 * audience.
 */
function createVerifier({ issuer, audiences }: { issuer: string; audiences: readonly string[] }) {
  let keys: ReturnType<typeof createRemoteJWKSet> | undefined;
  const findKeys = async () => {
    const response = await fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
    if (!response.ok) throw new Error(`The issuer answered ${response.status}`);
    const { jwks_uri } = (await response.json()) as { jwks_uri: string };
    return createRemoteJWKSet(new URL(jwks_uri));
  };
  return async (authorization: string | undefined): Promise<JWTPayload> => {
    const token = authorization?.replace(/^Bearer +/i, '') ?? '';
    if (token === '') throw new errors.JWTInvalid('There is no token');
    keys ??= await findKeys();
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer,
      algorithms: ['RS256', 'RS384', 'RS512'],
      requiredClaims: ['exp'],
    });
    if (protectedHeader.kid === undefined) throw new errors.JWTInvalid('The token names no key');
    if (payload.iat !== undefined && payload.iat * 1000 > Date.now())
      throw new errors.JWTInvalid('It is of the future');
    if (!areClaimsOf({ issuer, audiences }, payload)) throw new errors.JWTInvalid('It is for another audience');
    return payload;
  };
}

/** Claims as API Gateway hands them on: texts, a list as `[a b]`. */
const toTexts = (claims: JWTPayload): Record<string, string> =>
  Object.fromEntries(
    Object.entries(claims).map(([name, value]) => [
      name,
      Array.isArray(value) ? `[${value.join(' ')}]` : typeof value === 'object' ? JSON.stringify(value) : String(value),
    ]),
  );

// serverless-offline calls what `require` gives it.
export { customAuthenticationProvider as 'module.exports' };
