import { isHttpUrl, listOf, meaning, oneOf, parameterName, passing, secretId } from './rules.ts';
import type { Settings, Values } from './setting.ts';

/**
 * How a caller shows that it belongs: not at all; by one of these keys (without any, nobody does); by a key that AWS
 * keeps; or by a token of this issuer for one of these audiences, which API Gateway has checked.
 */
export type Authentication = Readonly<
  | { kind: 'off' }
  | { kind: 'api-key'; keys: readonly string[] }
  | { kind: 'stored-api-key'; source: Readonly<{ store: 'secrets-manager' | 'parameter-store'; id: string }> }
  | { kind: 'jwt'; issuer: string; audiences: readonly string[] }
>;

/**
 * The keys in a text: those of a JSON list, or the text itself. The white space around a key is cut off, as HTTP does it. Undefined
 * if there is none, or one that is no legal key; and if the text begins like a list and is none, because it was meant as one.
 */
export function parseApiKeys(text: string): string[] | undefined {
  try {
    const listed: unknown[] = /^[\t\n\r ]*\[/.test(text) ? JSON.parse(text) : [text];
    const keys = listed.map((key) => (typeof key === 'string' ? key.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '') : ''));
    return keys.length > 0 && keys.every(isApiKey) ? keys : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a text could be a key at all: there is something in it, and nothing that no header can carry. */
export const isApiKey = (text: string): boolean => /^[\t -~\u0080-\ud7ff\ue000-\u{10ffff}]+$/u.test(text);

/** What `parseApiKeys` asks for, in words. */
export const apiKeysRule =
  'a key or a JSON list of keys such as ["new","old"], none of them empty or with a control character';

/** Whether a key is so short that it could be guessed: it has fewer than 16 characters. */
export const isShortKey = (key: string): boolean => key.length < 16;

const isOrigin = (text: string) =>
  /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;

const isHttpsOrLocal = ({ protocol, hostname }: URL) =>
  protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(hostname);

/** The settings that say how callers are told apart; only one of them may be set. */
export const accessSources = [
  'PROVISIONER_API_KEY',
  'PROVISIONER_API_KEY_SECRET_ID',
  'PROVISIONER_API_KEY_PARAMETER',
  'JWT_ISSUER',
] as const;

/** Who may call. */
export const callerSettings = {
  AUTH: {
    rule: () => oneOf('required', 'off'),
    neededBy: 'callers',
    unset: '`required`; `off` under `npm start` on localhost where no key is set',
    doc: '`required` or `off`: whether callers must show that they belong, see [Callers](callers.md)',
  },
  PROVISIONER_API_KEY: {
    rule: () =>
      meaning(
        passing([(text) => parseApiKeys(text) !== undefined, `must be ${apiKeysRule}`]),
        (text): readonly string[] => parseApiKeys(text) ?? [],
      ),
    neededBy: 'callers',
    doc: 'the key of callers, any text; or several as a JSON list, `["new","old"]`. One of fewer than 16 characters is warned of',
  },
  PROVISIONER_API_KEY_SECRET_ID: {
    rule: secretId,
    neededBy: 'callers',
    keptIn: 'secretsmanager',
    doc: 'instead: the secret in Secrets Manager (its name or ARN) that holds them',
  },
  PROVISIONER_API_KEY_PARAMETER: {
    rule: parameterName,
    neededBy: 'callers',
    keptIn: 'ssm',
    doc: "instead: the parameter in SSM's Parameter Store that holds them",
  },
  JWT_ISSUER: {
    // API Gateway fetches an issuer's keys over HTTPS only; on this machine, serverless-offline does without.
    rule: () =>
      passing(
        [isHttpUrl, 'must be an http:// or https:// URL'],
        [(text) => !URL.canParse(text) || isHttpsOrLocal(new URL(text)), 'must be an https:// URL'],
      ),
    neededBy: 'callers',
    doc: 'instead of keys: the OpenID issuer of the tokens that callers must have, as it stands in them',
  },
  JWT_AUDIENCE: {
    rule: () => listOf(() => true, 'must name an audience'),
    neededBy: 'callers',
    doc: 'the audience of those tokens, or several (a token is for one of them), separated by commas or blanks',
  },
  CORS_ALLOWED_ORIGINS: {
    field: 'allowedOrigins',
    rule: () => listOf(isOrigin, 'must be origins such as https://app.example, separated by commas or blanks'),
    default: [],
    // A page may ask for GET /health too.
    neededBy: 'every function',
    doc: 'the origins of web pages that may call, such as `https://app.example`, separated by commas or blanks',
  },
} as const satisfies Settings;

/** How the settings tell callers apart. */
export function readAuthentication(values: Values<typeof callerSettings>): Authentication {
  if (values.AUTH === 'off') return { kind: 'off' };
  if (values.JWT_ISSUER !== undefined) {
    return { kind: 'jwt', issuer: values.JWT_ISSUER, audiences: values.JWT_AUDIENCE ?? [] };
  }
  const { PROVISIONER_API_KEY_SECRET_ID: secret, PROVISIONER_API_KEY_PARAMETER: parameter } = values;
  if (secret !== undefined) return { kind: 'stored-api-key', source: { store: 'secrets-manager', id: secret } };
  if (parameter !== undefined) return { kind: 'stored-api-key', source: { store: 'parameter-store', id: parameter } };
  return { kind: 'api-key', keys: values.PROVISIONER_API_KEY ?? [] };
}

/** What is wrong with the settings of callers together, where each for itself is right. */
export function findCallerProblems(values: Values<typeof callerSettings>): string[] {
  const given = accessSources.filter((name) => values[name] !== undefined);
  const problems = given.length > 1 ? [`of ${given.join(', ')} only one may be set`] : [];
  if ((values.JWT_ISSUER === undefined) !== (values.JWT_AUDIENCE === undefined)) {
    problems.push('JWT_ISSUER and JWT_AUDIENCE must be set together');
  }
  return problems;
}
