import { hasRoomFor, isSigned, isTemplate, makesUrls, namesSandbox, placeholders } from '../model/address.ts';
import { parseApiKeys } from './callers.ts';
import { meaning, parameterName, passing, seconds, secretId, splitList } from './rules.ts';
import type { Settings, Values } from './setting.ts';

/** What addresses are signed with: these keys, of which the first signs; or what AWS keeps. */
export type UrlKeys = Readonly<
  | { kind: 'given'; keys: readonly string[] }
  | { kind: 'stored'; source: Readonly<{ store: 'secrets-manager' | 'parameter-store'; id: string }> }
>;

/** The keys in a text, as those of callers stand in one; undefined if they are not one or two, or one could be guessed. */
export function parseUrlKeys(text: string): readonly string[] | undefined {
  const keys = parseApiKeys(text) ?? [];
  return keys.length <= 2 && keys.length > 0 && keys.every(({ length }) => length >= 32) ? keys : undefined;
}

/** What `parseUrlKeys` asks for, in words. */
export const urlKeysRule = 'a key of at least 32 characters, or a JSON list of two such as ["new","old"]';

const isPort = (text: string) => /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;

/** An id as DeerFlow makes them. */
const usualId = 'x'.repeat(16);

const keySources = ['SANDBOX_URL_KEY', 'SANDBOX_URL_KEY_SECRET_ID', 'SANDBOX_URL_KEY_PARAMETER'] as const;

/** Where sandboxes are reached through a gateway, and how their addresses are signed. */
export const addressSettings = {
  SANDBOX_URL_TEMPLATE: {
    field: 'urlTemplate',
    rule: () =>
      meaning(
        passing(
          [isTemplate, `must have nothing in braces but ${placeholders}`],
          [namesSandbox, 'must name {sandbox_id} or {service}'],
          [(text) => !isTemplate(text) || makesUrls(text), 'must be an http:// or https:// URL, without a query'],
          [
            (text) => hasRoomFor(usualId, text),
            'must leave room for an id of 16 characters: a part of a host name has 63',
          ],
        ),
        (text) => text.replace(/\/+$/, ''),
      ),
    neededBy: 'kubernetes',
    doc: '`sandbox_url` through a gateway, such as `https://sandboxes.example.com/{namespace}/{sandbox_id}/{token}`: with `{sandbox_id}` or `{service}` in it, and with `{namespace}`, `{port}` and `{token}` where they are wanted. Unset: the address of the Service itself',
  },
  SANDBOX_URL_KEY: {
    rule: () =>
      meaning(
        passing([(text) => parseUrlKeys(text) !== undefined, `must be ${urlKeysRule}`]),
        (text): readonly string[] => parseUrlKeys(text) ?? [],
      ),
    neededBy: 'kubernetes',
    doc: 'the key that `{token}` is signed with, of at least 32 characters; or two as a JSON list, `["new","old"]`: the first one signs, [the gateway takes both](gateway.md#the-key)',
  },
  SANDBOX_URL_KEY_SECRET_ID: {
    rule: secretId,
    neededBy: 'kubernetes',
    keptIn: 'secretsmanager',
    doc: 'instead, on Lambda: the secret in Secrets Manager (its name or ARN) that holds it',
  },
  SANDBOX_URL_KEY_PARAMETER: {
    rule: parameterName,
    neededBy: 'kubernetes',
    keptIn: 'ssm',
    doc: "instead, on Lambda: the parameter in SSM's Parameter Store that holds it",
  },
  SANDBOX_URL_TTL_SECONDS: {
    field: 'urlTtlSeconds',
    rule: seconds,
    default: 0,
    neededBy: 'kubernetes',
    unset: '`0`: as long as a sandbox may live',
    doc: 'for how long a `sandbox_url` is good at least. Callers keep it for a whole conversation: it must be longer than one. The URL changes once in this time',
  },
  SANDBOX_URL_PORTS: {
    field: 'urlPorts',
    rule: () =>
      meaning(
        passing([
          (text) => splitList(text).length > 0 && splitList(text).every(isPort),
          'must be ports, 1 to 65535, separated by commas or blanks',
        ]),
        (text): readonly number[] => splitList(text).map(Number),
      ),
    default: [],
    neededBy: 'kubernetes',
    doc: 'the ports of a sandbox, beside its own, that [a URL may be asked for](gateway.md#a-url-for-a-person), separated by commas or blanks. They need `{port}` in the template, and `SANDBOX_SERVICE_TYPE=Headless`',
  },
} as const satisfies Settings;

/** The keys that addresses are signed with, or where they are; undefined where none are set. */
export function readUrlKeys(values: Values<typeof addressSettings>): UrlKeys | undefined {
  const { SANDBOX_URL_KEY: keys, SANDBOX_URL_KEY_SECRET_ID: secret, SANDBOX_URL_KEY_PARAMETER: parameter } = values;
  if (keys !== undefined) return { kind: 'given', keys };
  if (secret !== undefined) return { kind: 'stored', source: { store: 'secrets-manager', id: secret } };
  return parameter === undefined ? undefined : { kind: 'stored', source: { store: 'parameter-store', id: parameter } };
}

/** What is wrong with the settings of addresses together, where each for itself is right; `serviceType` is that of the sandboxes. */
export function findAddressProblems(values: Values<typeof addressSettings>, serviceType: string): string[] {
  const { SANDBOX_URL_TEMPLATE: template, SANDBOX_URL_PORTS: ports, SANDBOX_URL_TTL_SECONDS: ttl } = values;
  const given = keySources.filter((name) => values[name] !== undefined);
  const problems = given.length > 1 ? [`of ${given.join(', ')} only one may be set`] : [];
  const [key] = given;
  if (isSigned(template) && key === undefined) {
    problems.push(`{token} in SANDBOX_URL_TEMPLATE needs one of ${keySources.join(', ')}`);
  }
  // Who sets one takes the sandboxes to be closed to those who have no token.
  const ofTokens = key ?? (ttl > 0 ? 'SANDBOX_URL_TTL_SECONDS' : undefined);
  if (!isSigned(template) && ofTokens !== undefined) {
    problems.push(`${ofTokens} is of no use without {token} in SANDBOX_URL_TEMPLATE`);
  }
  if (ports.length > 0 && !(template?.includes('{port}') && serviceType === 'Headless')) {
    problems.push('SANDBOX_URL_PORTS needs {port} in SANDBOX_URL_TEMPLATE, and SANDBOX_SERVICE_TYPE=Headless');
  }
  return problems;
}
