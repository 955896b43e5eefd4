import { isIPv4 } from 'node:net';
import { isIPv6Address, matching, meaning, oneOf, passing } from './rules.ts';
import type { Settings } from './setting.ts';

/** Whether it is a range of addresses, `10.0.0.0/8` or `2001:db8::/32`. */
function isCidr(text: string): boolean {
  const [, address = '', length = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  // An IPv4 address within an IPv6 one is read differently by different versions of Kubernetes.
  const bits = isIPv4(address) ? 32 : isIPv6Address(address) && !/[.%]/.test(address) ? 128 : -1;
  return length !== '' && Number(length) <= bits;
}

const cidrs = () =>
  meaning(
    passing([
      (text) => text.split(',').every(isCidr),
      'must be ranges of addresses such as 10.0.0.0/8, separated by commas without spaces',
    ]),
    (text): readonly string[] => text.split(','),
  );

/** What a sandbox is kept from. */
export const confinementSettings = {
  SANDBOX_POD_SECURITY: {
    field: 'podSecurity',
    rule: () => oneOf('original', 'baseline', 'restricted'),
    default: 'original',
    neededBy: 'kubernetes',
    doc: '`original`, `baseline` or `restricted`: [what its processes may do](security.md#its-processes)',
  },
  SANDBOX_RUN_AS_USER: {
    field: 'runAsUser',
    rule: () =>
      meaning(
        passing([
          (text) => /^[1-9]\d{0,9}$/.test(text) && Number(text) < 2 ** 31,
          'must be the number of a user that is not root',
        ]),
        Number,
      ),
    neededBy: 'kubernetes',
    doc: "the number of the user, and of the group, that it runs as; unset: its image's. Not 0",
  },
  SANDBOX_RUNTIME_CLASS: {
    field: 'runtimeClass',
    rule: () =>
      matching(
        /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/,
        'must be the name of a RuntimeClass (RFC 1123 subdomain)',
      ),
    neededBy: 'kubernetes',
    doc: 'the RuntimeClass of its Pod (gVisor, Kata)',
  },
  SANDBOX_NETWORK_POLICY: {
    field: 'networkPolicy',
    rule: () => oneOf('none', 'isolated', 'offline'),
    neededBy: 'kubernetes',
    doc: '`isolated`, `offline` or `none`: [whom it may reach](security.md#the-network). Unset is as `none`, but leaves a policy alone that is there. A deployment wants it set',
  },
  SANDBOX_NETWORK_INGRESS_CIDRS: {
    field: 'networkIngressCidrs',
    rule: cidrs,
    neededBy: 'kubernetes',
    doc: 'from where sandboxes may be reached under a policy, `10.0.0.0/16,…`; unset: from anywhere but other sandboxes',
  },
  SANDBOX_NETWORK_INGRESS_PODS: {
    field: 'networkIngressPods',
    rule: () =>
      meaning(
        matching(
          /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?=[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/,
          'must be a label such as app.kubernetes.io/name=sandbox-gateway',
        ),
        (text): Readonly<Record<string, string>> => Object.fromEntries([text.split('=')]),
      ),
    neededBy: 'kubernetes',
    doc: 'the Pods of the namespace that may reach sandboxes under a policy, by a label: `app.kubernetes.io/name=sandbox-gateway` is [the gateway](gateway.md). Nobody else may then, but for the ranges above',
  },
  SANDBOX_NETWORK_EXCLUDED_CIDRS: {
    field: 'networkExcludedCidrs',
    rule: cidrs,
    default: [],
    neededBy: 'kubernetes',
    doc: 'public addresses that isolated sandboxes must not reach',
  },
  SANDBOX_NETWORK_DNS_CIDRS: {
    field: 'networkDnsCidrs',
    rule: cidrs,
    default: ['169.254.20.10/32'],
    neededBy: 'kubernetes',
    doc: "where else than at the cluster's DNS isolated sandboxes may ask for names. The default is the node-local cache",
  },
} as const satisfies Settings;
