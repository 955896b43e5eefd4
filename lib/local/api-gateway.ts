import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';
import { areClaimsOf } from '../authentication.ts';

/** What of API Gateway serverless-offline is to be taught. */
export type GatewaySettings = Readonly<{
  /** Whose tokens are asked for on the paths of the API; nobody's if it is not there. */
  jwt?: Readonly<{ issuer: string; audiences: readonly string[] }>;
  /** By which names, in lower case, this machine may be called; by any if they are not there. */
  hostNames?: readonly string[];
}>;

/** The parts of hapi, serverless-offline's server, that are used here. */
type Request = {
  headers: Record<string, string | undefined>;
  raw: { req: { rawHeaders: string[] } };
};
type Answer = { code(status: number): Answer; header(name: string, value: string): Answer; takeover(): Answer };
type Toolkit = {
  readonly continue: symbol;
  response(body: object): Answer;
  authenticated(result: { credentials: object }): unknown;
};
type Server = { ext(event: 'onRequest', act: (request: Request, h: Toolkit) => unknown): void };

let settings: GatewaySettings = {};
let verify: (authorization: string | undefined) => Promise<JWTPayload> = () => Promise.reject(new Error('no issuer'));
const prepared = new WeakSet<Server>();

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
  const isGuarded = path.startsWith('/api/');
  return {
    name,
    scheme: name,
    getAuthenticateFunction(server: Server) {
      if (!prepared.has(server)) server.ext('onRequest', prepareRequest);
      prepared.add(server);
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

const authorizerHeader = 'sls-offline-authorizer-override';

/**
 * Lets a request pass with this authorizer in its event: by serverless-offline's own header, of which the last counts, not
 * a caller's.
 */
function pass({ raw }: Request, h: Toolkit, authorizer: object): unknown {
  raw.req.rawHeaders.push(authorizerHeader, JSON.stringify(authorizer));
  return h.authenticated({ credentials: {} });
}

function prepareRequest(request: Request, h: Toolkit): unknown {
  const { headers, raw } = request;
  raw.req.rawHeaders = joinHeaders(raw.req.rawHeaders);
  // serverless-offline lets every page that sends it read the answers. The functions find it in the raw headers, and decide.
  delete headers.origin;
  if (settings.hostNames !== undefined && !isNamed(headers.host, settings.hostNames)) {
    const detail = 'Calls by another name than that of this machine are refused';
    return refuse(h, 403, { detail }).header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  }
  return h.continue;
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
