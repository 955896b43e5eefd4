import { BlockList, isIPv6 } from 'node:net';
import type {
  V1NetworkPolicy,
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyPeer,
  V1NetworkPolicyPort,
} from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import { namespaceLabels, networkPolicyName, sandboxLabel } from './names.ts';

/**
 * The NetworkPolicy of all sandboxes, if there is to be one. Into a sandbox: to its port, from outside the sandboxes. Out of
 * it: nothing when `offline`; when `isolated`, questions to the DNS and connections to public addresses. That no sandbox
 * reaches another does not hang on what comes in: some network plug-ins take the address of a Pod for any address (`ipBlock`),
 * but then its address is one that no sandbox may connect to.
 */
export function buildNetworkPolicy(namespace: string, config: SandboxSettings): V1NetworkPolicy | undefined {
  const { networkPolicy } = config;
  if (networkPolicy === undefined || networkPolicy === 'none') return undefined;
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: networkPolicyName, namespace, labels: { ...namespaceLabels } },
    spec: {
      podSelector: { matchLabels: { ...sandboxLabel } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ _from: callers(config), ports: portsOf(config) }],
      // Kubernetes leaves out what is empty; without a rule, nothing goes out.
      ...(networkPolicy === 'isolated' && { egress: [askForNames(config), ...reachPublicAddresses(config)] }),
    },
  };
}

/** The ports that a sandbox is reached at: its own, and those that a URL may be asked for. */
export const portsOf = ({ containerPort, urlPorts }: SandboxSettings): V1NetworkPolicyPort[] =>
  [...new Set([containerPort, ...urlPorts])].map((port) => ({ protocol: 'TCP', port }));

/**
 * Who may call a sandbox. Through a NodePort a call comes from the node's address, or from the caller's own where the traffic
 * policy is `Local`; so unless the operator knows the ranges, any address may, and any Pod that is no sandbox: not every
 * network plug-in lets `ipBlock` match Pods.
 */
function callers({ networkIngressCidrs, networkIngressPods }: SandboxSettings): V1NetworkPolicyPeer[] {
  if ((networkIngressCidrs ?? networkIngressPods) !== undefined) {
    const ranges = (networkIngressCidrs ?? []).map((cidr) => ({ ipBlock: { cidr } }));
    return networkIngressPods ? [...ranges, { podSelector: { matchLabels: { ...networkIngressPods } } }] : ranges;
  }
  const noSandbox = { key: 'app', operator: 'NotIn', values: [sandboxLabel.app] };
  return [
    { ipBlock: { cidr: '0.0.0.0/0' } },
    { ipBlock: { cidr: '::/0' } },
    { namespaceSelector: {}, podSelector: { matchExpressions: [noSandbox] } },
  ];
}

/**
 * The cluster's DNS, by the label that its Pods bear everywhere. Not by their namespace's name: before Kubernetes 1.21 a
 * namespace bears no label that a policy could know it by.
 */
export const askForNames = ({ networkDnsCidrs }: SandboxSettings): V1NetworkPolicyEgressRule => ({
  to: [
    { namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } },
    ...networkDnsCidrs.map((cidr) => ({ ipBlock: { cidr } })),
  ],
  ports: [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ],
});

/** What has a place in IANA's registries of special-purpose addresses, or is no single host's, is not public. */
const specialIPv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  // Link-local: the metadata services of AWS, Google and Azure, and with them the node's credentials.
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Looks public: Azure's WireServer, which gives a virtual machine its configuration.
  '168.63.129.16/32',
];

/** The same, of the global unicast addresses; whatever is outside of these is left out with them. */
const specialIPv6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

function reachPublicAddresses({ networkExcludedCidrs }: SandboxSettings): V1NetworkPolicyEgressRule[] {
  const blocks = [
    { cidr: '0.0.0.0/0', except: specialIPv4 },
    { cidr: '2000::/3', except: specialIPv6 },
  ];
  const to = blocks.flatMap(({ cidr, except }) => {
    if (networkExcludedCidrs.some((excluded) => covers(excluded, cidr))) return [];
    // Kubernetes takes as an exception only what is a part of the range.
    const further = networkExcludedCidrs.filter((excluded) => covers(cidr, excluded));
    return [{ ipBlock: { cidr, except: [...new Set([...except, ...further])] } }];
  });
  // A rule without any address would allow all of them.
  return to.length === 0 ? [] : [{ to }];
}

/** Whether the first range holds the whole of the second. */
function covers(one: string, other: string): boolean {
  const [outer, inner] = [readCidr(one), readCidr(other)];
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  const range = new BlockList();
  range.addSubnet(outer.address, outer.length, outer.family);
  return range.check(inner.address, inner.family);
}

function readCidr(cidr: string) {
  const [address = '', length = ''] = cidr.split('/');
  return { address, length: Number(length), family: isIPv6(address) ? ('ipv6' as const) : ('ipv4' as const) };
}
