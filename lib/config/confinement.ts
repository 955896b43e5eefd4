import { isIPv4 } from 'node:net';
import * as z from 'zod/mini';
import { filled, isIPv6Address, matching, withDefault } from './fields.ts';

/** What a sandbox is kept from. */
export type ConfinementConfig = Readonly<{
  podSecurity: 'original' | 'baseline' | 'restricted';
  /** The numeric user and group that a sandbox runs as; undefined: as its image says. */
  runAsUser: number | undefined;
  runtimeClass: string | undefined;
  /** Undefined: like `none`, but a NetworkPolicy that was made before is left alone. */
  networkPolicy: 'none' | 'isolated' | 'offline' | undefined;
  /** From where sandboxes may be reached; undefined: from anywhere but other sandboxes. */
  networkIngressCidrs: readonly string[] | undefined;
  /** What an isolated sandbox must not reach, though its address is public. */
  networkExcludedCidrs: readonly string[];
  /** Where else than at the cluster's own DNS an isolated sandbox may ask for names. */
  networkDnsCidrs: readonly string[];
}>;

/** Whether it is a range of addresses, `10.0.0.0/8` or `2001:db8::/32`. */
function isCidr(text: string): boolean {
  const [, address = '', length = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  // An IPv4 address within an IPv6 one is read differently by different versions of Kubernetes.
  const bits = isIPv4(address) ? 32 : isIPv6Address(address) && !/[.%]/.test(address) ? 128 : -1;
  return length !== '' && Number(length) <= bits;
}

const cidrs = filled.check(
  z.refine(
    (text) => text.split(',').every(isCidr),
    'must be ranges of addresses such as 10.0.0.0/8, separated by commas without spaces',
  ),
);

/** The settings of what a sandbox is kept from. */
export const confinementSettings = {
  SANDBOX_POD_SECURITY: withDefault(
    matching(/^(original|baseline|restricted)$/, "must be 'original', 'baseline' or 'restricted'"),
    'original',
  ),
  SANDBOX_RUN_AS_USER: z.optional(
    filled.check(
      z.refine(
        (text) => /^[1-9]\d{0,9}$/.test(text) && Number(text) < 2 ** 31,
        'must be the number of a user that is not root',
      ),
    ),
  ),
  SANDBOX_RUNTIME_CLASS: z.optional(
    matching(
      /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/,
      'must be the name of a RuntimeClass (RFC 1123 subdomain)',
    ),
  ),
  SANDBOX_NETWORK_POLICY: z.optional(matching(/^(none|isolated|offline)$/, "must be 'none', 'isolated' or 'offline'")),
  SANDBOX_NETWORK_INGRESS_CIDRS: z.optional(cidrs),
  SANDBOX_NETWORK_EXCLUDED_CIDRS: z.optional(cidrs),
  SANDBOX_NETWORK_DNS_CIDRS: withDefault(cidrs, '169.254.20.10/32'),
};

type Values = z.infer<z.ZodMiniObject<typeof confinementSettings>>;

/** What the settings of what a sandbox is kept from mean. */
export const readConfinementConfig = (values: Values): ConfinementConfig => ({
  podSecurity: values.SANDBOX_POD_SECURITY as ConfinementConfig['podSecurity'],
  runAsUser: values.SANDBOX_RUN_AS_USER === undefined ? undefined : Number(values.SANDBOX_RUN_AS_USER),
  runtimeClass: values.SANDBOX_RUNTIME_CLASS,
  networkPolicy: values.SANDBOX_NETWORK_POLICY as ConfinementConfig['networkPolicy'],
  networkIngressCidrs: values.SANDBOX_NETWORK_INGRESS_CIDRS?.split(','),
  networkExcludedCidrs: values.SANDBOX_NETWORK_EXCLUDED_CIDRS?.split(',') ?? [],
  networkDnsCidrs: values.SANDBOX_NETWORK_DNS_CIDRS.split(','),
});
