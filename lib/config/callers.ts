import * as z from 'zod/mini';
import { filled, httpUrl, matching } from './fields.ts';

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

/** Who may call. */
export type CallersConfig = Readonly<{
  authentication: Authentication;
  /** The origins of the web pages that may call, as browsers spell them. */
  allowedOrigins: readonly string[];
}>;

const listed = (text: string): string[] => text.split(/[\s,]+/).filter((part) => part !== '');

/**
 * The keys in a text, separated by commas or white space; undefined if there is none, or one that is no legal key. A legal
 * one has 16 or more characters, of ASCII and visible: a header carries no others unchanged, and fewer could be guessed.
 */
export function parseApiKeys(text: string): string[] | undefined {
  const keys = listed(text);
  return keys.length > 0 && keys.every(isApiKey) ? keys : undefined;
}

/** Whether a text could be a key at all. */
export const isApiKey = (text: string): boolean => /^[!-+\--~]{16,}$/.test(text);

/** What `parseApiKeys` asks for, in words. */
export const apiKeysRule = 'keys of 16 or more visible ASCII characters, separated by commas or blanks';

const isOrigin = (text: string) =>
  /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;

/** API Gateway fetches an issuer's keys over HTTPS only; on this machine, serverless-offline does without. */
const issuerUrl = httpUrl.check(
  z.refine((text) => !URL.canParse(text) || isHttpsOrLocal(new URL(text)), 'must be an https:// URL'),
);

const isHttpsOrLocal = ({ protocol, hostname }: URL) =>
  protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(hostname);

/** The settings that say how callers are told apart; only one of them may be set. */
export const accessSources = [
  'PROVISIONER_API_KEY',
  'PROVISIONER_API_KEY_SECRET_ID',
  'PROVISIONER_API_KEY_PARAMETER',
  'JWT_ISSUER',
] as const;

/** The settings of callers. */
export const callerSettings = {
  AUTH: z.optional(matching(/^(required|off)$/, "must be 'required' or 'off'")),
  PROVISIONER_API_KEY: z.optional(
    filled.check(z.refine((text) => parseApiKeys(text) !== undefined, `must be ${apiKeysRule}`)),
  ),
  PROVISIONER_API_KEY_SECRET_ID: z.optional(
    matching(/^[\w/+=.@:-]{1,2048}$/, 'must be the name or the ARN of a secret in Secrets Manager'),
  ),
  PROVISIONER_API_KEY_PARAMETER: z.optional(
    matching(/^[\w/.:-]{1,2048}$/, "must be the name or the ARN of a parameter in SSM's Parameter Store"),
  ),
  JWT_ISSUER: z.optional(issuerUrl),
  JWT_AUDIENCE: z.optional(filled.check(z.refine((text) => listed(text).length > 0, 'must name an audience'))),
  CORS_ALLOWED_ORIGINS: z.optional(
    filled.check(
      z.refine(
        (text) => listed(text).length > 0 && listed(text).every(isOrigin),
        'must be origins such as https://app.example, separated by commas or blanks',
      ),
    ),
  ),
};

type Values = z.infer<z.ZodMiniObject<typeof callerSettings>>;

/** What the settings of callers mean. */
export const readCallersConfig = (values: Values): CallersConfig => ({
  authentication: readAuthentication(values),
  allowedOrigins: listed(values.CORS_ALLOWED_ORIGINS ?? ''),
});

function readAuthentication(values: Values): Authentication {
  if (values.AUTH === 'off') return { kind: 'off' };
  if (values.JWT_ISSUER !== undefined) {
    return { kind: 'jwt', issuer: values.JWT_ISSUER, audiences: listed(values.JWT_AUDIENCE ?? '') };
  }
  const { PROVISIONER_API_KEY_SECRET_ID: secret, PROVISIONER_API_KEY_PARAMETER: parameter } = values;
  if (secret !== undefined) return { kind: 'stored-api-key', source: { store: 'secrets-manager', id: secret } };
  if (parameter !== undefined) return { kind: 'stored-api-key', source: { store: 'parameter-store', id: parameter } };
  return { kind: 'api-key', keys: parseApiKeys(values.PROVISIONER_API_KEY ?? '') ?? [] };
}

/** What is wrong with the settings of callers together, where each for itself is right. */
export function findCallerProblems(values: Values): string[] {
  const given = accessSources.filter((name) => values[name] !== undefined);
  const problems = given.length > 1 ? [`of ${given.join(', ')} only one may be set`] : [];
  if ((values.JWT_ISSUER === undefined) !== (values.JWT_AUDIENCE === undefined)) {
    problems.push('JWT_ISSUER and JWT_AUDIENCE must be set together');
  }
  return problems;
}
