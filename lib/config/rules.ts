import { isIPv6 } from 'node:net';
import * as z from 'zod/mini';

// A rule is made when something is read by it: what a function does not read costs its start nothing, and is not in its bundle.

/** Any text. */
export const anyText = () => z.string();

/** A text of this form; `message` says what it must be. */
export const matching = (pattern: RegExp, message: string) => z.string().check(z.regex(pattern, message));

/** A text that passes each test; its message says what it must be. */
export const passing = (...tests: [test: (text: string) => boolean, message: string][]) =>
  z.string().check(...tests.map(([test, message]) => z.refine<string>(test, message)));

/** One of these words. */
export const oneOf = <const Word extends string>(...words: Word[]) =>
  z.enum(words, `must be ${words.map((word) => `'${word}'`).join(', ')}`.replace(/, (?=[^,]*$)/, ' or '));

/** What a text means that follows the rule. */
export const meaning = <Value>(rule: z.ZodMiniType<string, string>, read: (text: string) => Value) =>
  z.pipe(
    rule,
    z.transform((text: string) => read(text)),
  );

/** The parts of a text, separated by commas or white space. */
export const splitList = (text: string): string[] => text.split(/[\s,]+/).filter((part) => part !== '');

/** One or more parts, separated by commas or white space, that all pass the test. */
export const listOf = (isPart: (part: string) => boolean, message: string) =>
  meaning(
    passing([(text) => splitList(text).length > 0 && splitList(text).every(isPart), message]),
    (text): readonly string[] => splitList(text),
  );

/** A path on a node. Kubernetes refuses a hostPath with `..` in it, but only when the Pod is made. */
export const hostPath = () =>
  passing(
    [(path) => path.startsWith('/'), 'must be an absolute path'],
    [(path) => !path.split('/').includes('..'), "must not contain '..'"],
  );

/**
 * Whether it is an address of IPv6. Names are not asked about: the first time, Node takes 3 ms to get ready for that, which it
 * needs again only to connect to a name.
 */
export const isIPv6Address = (text: string): boolean => text.includes(':') && isIPv6(text);

/** A host, without scheme, port or slash. */
export const hostName = () =>
  passing([
    (host) => isIPv6Address(host) || /^[A-Za-z0-9._-]+$/.test(host),
    'must be a host name or an IP address, without scheme, port or slash',
  ]);

/** Whether it is the address of a server. */
export const isHttpUrl = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

/** The address of a server. */
export const httpUrl = () => passing([isHttpUrl, 'must be an http:// or https:// URL']);

/** A switch. */
export const flag = () => meaning(oneOf('true', 'false'), (text) => text === 'true');

/** A time: nine digits are 31 years, and far from what a Date can hold. */
export const seconds = () => meaning(matching(/^\d{1,9}$/, 'must be a whole number of seconds'), Number);

/**
 * The name or the whole ARN of a secret in Secrets Manager. It becomes part of a permission, where `*` and `?` would stand for
 * other secrets too. Without the hyphen and six characters at the end of an ARN, Secrets Manager would find the secret, but no
 * permission would fit.
 */
export const secretId = () =>
  matching(
    /^(arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@-]{1,512}-[A-Za-z\d]{6}|[\w/+=.@-]{1,512})$/,
    'must be the name or the whole ARN of a secret in Secrets Manager',
  );

/** The name or the ARN of a parameter in SSM's Parameter Store. */
export const parameterName = () =>
  matching(
    /^(arn:[\w-]+:ssm:[\w-]+:\d{12}:parameter\/)?[\w./-]{1,1011}$/,
    "must be the name or the ARN of a parameter in SSM's Parameter Store",
  );
