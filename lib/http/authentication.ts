import { apiKeysRule, isApiKey, isShortKey, parseApiKeys } from '../config/callers.ts';
import type { AccessConfig } from '../config/index.ts';
import { ProvisionerError } from '../errors.ts';
import { log } from '../log.ts';
import { pickField, readSecret } from '../secrets.ts';
import { cacheKeys, findKey } from './stored-keys.ts';

/**
 * What a request bears of who sends it, unchecked: the header X-API-Key, and the claims that API Gateway has put beside
 * it.
 */
export type Credentials = Readonly<{ apiKey: unknown; claims: unknown }>;

/** How long a reading of the stored keys may take, in milliseconds. */
const readingMs = 2_000;

/**
 * Lets a caller pass who shows what the settings ask for, and gives the caller's name, for the log: that of what holds its key and the
 * key's place in it, or a token's subject. Throws `unauthenticated` otherwise, in the same words for
 * a wrong key and for none; `misconfigured` or `unavailable` if there is no saying, because stored keys cannot be read.
 */
export async function authenticate({ apiKey, claims }: Credentials, config: AccessConfig): Promise<string> {
  const { authentication } = config;
  if (authentication.kind === 'off') return 'anybody';
  if (authentication.kind === 'jwt') {
    if (areClaimsOf(authentication, claims)) return `jwt:${findSubject(claims)}`;
    throw unauthenticated('Bearer', 'A token of the issuer is required');
  }
  if (authentication.kind === 'api-key') warnOfShortKeys(authentication.keys, 'PROVISIONER_API_KEY');
  if (authentication.kind === 'api-key' && authentication.keys.length === 0) {
    log.error('Every caller is refused: no key is set', {
      set: 'PROVISIONER_API_KEY, PROVISIONER_API_KEY_SECRET_ID, PROVISIONER_API_KEY_PARAMETER, or JWT_ISSUER; or AUTH=off',
    });
  }
  // What cannot be a key is not looked up.
  if (typeof apiKey === 'string' && isApiKey(apiKey)) {
    const [holder, place] =
      authentication.kind === 'api-key'
        ? ['PROVISIONER_API_KEY', findKey(authentication.keys, apiKey)]
        : [authentication.source.id, await findStoredKeys(config)(apiKey)];
    if (place !== undefined) return `${holder}#${place + 1}`;
  }
  throw unauthenticated('ApiKey', 'A valid X-API-Key is required');
}

let hasWarned = false;

/** Says once in this process that a key could be guessed, and what holds it. */
function warnOfShortKeys(keys: readonly string[], heldBy: string): void {
  if (hasWarned || !keys.some(isShortKey)) return;
  hasWarned = true;
  log.warn('A key of callers has fewer than 16 characters: it could be guessed', { heldBy });
}

const unauthenticated = (scheme: string, detail: string) =>
  new ProvisionerError('unauthenticated', detail, {
    headers: { 'www-authenticate': `${scheme} realm="sandbox-provisioner"` },
  });

/**
 * Whether these claims are of that issuer and for one of these audiences. API Gateway makes texts of all claims, of a list
 * `[a b]`; and it takes `client_id` for the audience where there is none, as it is in Cognito's access tokens.
 */
export function areClaimsOf(expected: { issuer: string; audiences: readonly string[] }, claims: unknown): boolean {
  const { iss, aud, client_id } = (claims ?? {}) as Record<string, unknown>;
  const audience = aud ?? client_id;
  const given =
    typeof audience === 'string' ? [audience, ...(/^\[(.*)\]$/.exec(audience)?.[1]?.split(' ') ?? [])] : audience;
  return iss === expected.issuer && Array.isArray(given) && given.some((one) => expected.audiences.includes(one));
}

/** Who a token is for: a person or, where it names none, a program. It may be anything, and long. */
function findSubject(claims: unknown): string {
  const { sub, client_id } = claims as Record<string, unknown>;
  return String(sub ?? client_id ?? '').slice(0, 200);
}

let stored: { config: AccessConfig; find: (key: string) => Promise<number | undefined> } | undefined;

/** The one memory of the stored keys that this process has. */
function findStoredKeys(config: AccessConfig): (key: string) => Promise<number | undefined> {
  if (stored?.config !== config)
    stored = {
      config,
      find: cacheKeys(
        () => readKeys(config),
        () => new Date(),
      ),
    };
  return stored.find;
}

async function readKeys({ authentication, aws }: AccessConfig): Promise<string[]> {
  if (authentication.kind !== 'stored-api-key') return [];
  const { source } = authentication;
  const extension = { port: aws.secretsExtensionPort, sessionToken: aws.sessionToken };
  const text = await readSecret(source, extension, AbortSignal.timeout(readingMs)).catch(hideFromCallers);
  const keys = parseApiKeys(pickField(text, 'PROVISIONER_API_KEY'));
  if (keys === undefined) {
    return hideFromCallers(new ProvisionerError('misconfigured', `'${source.id}' must hold ${apiKeysRule}`));
  }
  warnOfShortKeys(keys, source.id);
  return keys;
}

/**
 * Logs why the keys could not be read. Who asks has not shown yet that it belongs: it is told neither that nor where they
 * are kept.
 */
function hideFromCallers(error: unknown): never {
  const { message, cause, kind } = error as ProvisionerError;
  log.error(`The keys of callers: ${message}`, { cause });
  if (kind === 'misconfigured') throw new ProvisionerError('misconfigured', 'The keys of callers are misconfigured');
  throw new ProvisionerError('unavailable', 'The keys of callers cannot be read', { headers: { 'retry-after': '5' } });
}
