import { isIPv6 } from 'node:net';
import * as z from 'zod/mini';

/** A setting that may not be empty. */
export const filled = z
  .string()
  .check(z.minLength(1, { error: 'must not be empty; leave it unset for the default', abort: true }));

/** A setting of this form; `message` says what it must be. */
export const matching = (pattern: RegExp, message: string) => filled.check(z.regex(pattern, message));

/** The same, with what it is where it is unset. */
export const withDefault = (schema: typeof filled, value: string) => z._default(schema, value);

/** A path on a node. Kubernetes refuses a hostPath with `..` in it, but only when the Pod is made. */
export const hostPath = filled.check(
  z.refine((path) => path.startsWith('/'), 'must be an absolute path'),
  z.refine((path) => !path.split('/').includes('..'), "must not contain '..'"),
);

/**
 * Whether it is an address of IPv6. Names are not asked about: the first time, Node takes 3 ms to get ready for that, which it
 * needs again only to connect to a name.
 */
export const isIPv6Address = (text: string): boolean => text.includes(':') && isIPv6(text);

/** A host, without scheme, port or slash. */
export const hostName = filled.check(
  z.refine(
    (host) => isIPv6Address(host) || /^[A-Za-z0-9._-]+$/.test(host),
    'must be a host name or an IP address, without scheme, port or slash',
  ),
);

/** The address of a server. */
export const httpUrl = filled.check(
  z.refine(
    (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
    'must be an http:// or https:// URL',
  ),
);

/** A switch. */
export const flag = matching(/^(true|false)$/, "must be 'true' or 'false'");

/** A time: nine digits are 31 years, and far from what a Date can hold. */
export const seconds = matching(/^\d{1,9}$/, 'must be a whole number of seconds');
