import { BlockList, isIPv6 } from 'node:net';
import type { V1NetworkPolicyEgressRule } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { buildNetworkPolicy } from '../../lib/model/network-policy.ts';

const policyOf = (settings: Record<string, string>) => buildNetworkPolicy('agents', loadConfig(settings));
const isolated = { SANDBOX_NETWORK_POLICY: 'isolated' };

const policy = (spec: object) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: {
    name: 'sandbox-provisioner',
    namespace: 'agents',
    labels: { 'app.kubernetes.io/name': 'deer-flow', 'app.kubernetes.io/component': 'sandbox' },
  },
  spec: { podSelector: { matchLabels: { app: 'deer-flow-sandbox' } }, policyTypes: ['Ingress', 'Egress'], ...spec },
});
const port = [{ protocol: 'TCP', port: 8080 }];
const fromOutside = [
  { ipBlock: { cidr: '0.0.0.0/0' } },
  { ipBlock: { cidr: '::/0' } },
  {
    namespaceSelector: {},
    podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['deer-flow-sandbox'] }] },
  },
];
const dnsPods = { namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
const dnsPorts = [
  { protocol: 'UDP', port: 53 },
  { protocol: 'TCP', port: 53 },
];

const notPublic =
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 ' +
  '192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32';

describe('the network policy', () => {
  it.each<[string, Record<string, string>]>([
    ['nothing is set', {}],
    ['it is none', { SANDBOX_NETWORK_POLICY: 'none' }],
    ['only its ranges are set', { SANDBOX_NETWORK_INGRESS_CIDRS: '10.0.0.0/8' }],
  ])('is not there where %s', (_when, settings) => {
    expect(policyOf(settings)).toBeUndefined();
  });

  it('isolated: in from outside the sandboxes, out to DNS and to public addresses', () => {
    expect(policyOf(isolated)).toStrictEqual(
      policy({
        ingress: [{ _from: fromOutside, ports: port }],
        egress: [
          { to: [dnsPods, { ipBlock: { cidr: '169.254.20.10/32' } }], ports: dnsPorts },
          {
            to: [
              {
                ipBlock: { cidr: '0.0.0.0/0', except: notPublic.split(' ') },
              },
              {
                ipBlock: { cidr: '2000::/3', except: ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'] },
              },
            ],
          },
        ],
      }),
    );
  });

  it('offline: in from outside the sandboxes, to their port, and no rule that lets anything out', () => {
    const settings = { SANDBOX_NETWORK_EXCLUDED_CIDRS: '1.1.1.1/32', SANDBOX_CONTAINER_PORT: '9090' };
    expect(policyOf({ SANDBOX_NETWORK_POLICY: 'offline', ...settings })).toStrictEqual(
      policy({ ingress: [{ _from: fromOutside, ports: [{ protocol: 'TCP', port: 9090 }] }] }),
    );
  });

  it('lets in from the ranges that are set, and from nowhere else', () => {
    const settings = { ...isolated, SANDBOX_NETWORK_INGRESS_CIDRS: '10.1.0.0/16,fd00:1::/64' };
    expect(policyOf(settings)?.spec?.ingress).toStrictEqual([
      { _from: [{ ipBlock: { cidr: '10.1.0.0/16' } }, { ipBlock: { cidr: 'fd00:1::/64' } }], ports: port },
    ]);
  });

  it('lets in the Pods of the label that is set, at each port that there are URLs for', () => {
    const _from = [{ podSelector: { matchLabels: { 'app.kubernetes.io/name': 'sandbox-gateway' } } }];
    const settings = { ...isolated, SANDBOX_NETWORK_INGRESS_PODS: 'app.kubernetes.io/name=sandbox-gateway' };
    expect(policyOf(settings)?.spec?.ingress).toStrictEqual([{ _from, ports: port }]);
    const both = policyOf({ ...settings, SANDBOX_NETWORK_INGRESS_CIDRS: '10.1.0.0/16' })?.spec?.ingress;
    expect(both).toStrictEqual([{ _from: [{ ipBlock: { cidr: '10.1.0.0/16' } }, ..._from], ports: port }]);
    const ported = {
      SANDBOX_URL_PORTS: '3000 8080',
      SANDBOX_SERVICE_TYPE: 'Headless',
      SANDBOX_URL_TEMPLATE: 'https://a/{service}/{port}',
    };
    const ports = [...port, { protocol: 'TCP', port: 3000 }];
    expect(policyOf({ ...isolated, ...ported })?.spec?.ingress).toStrictEqual([{ _from: fromOutside, ports }]);
  });

  it('takes the addresses of DNS that are set', () => {
    const [dns] = policyOf({ ...isolated, SANDBOX_NETWORK_DNS_CIDRS: '10.96.0.10/32' })?.spec?.egress ?? [];
    expect(dns).toStrictEqual({ to: [dnsPods, { ipBlock: { cidr: '10.96.0.10/32' } }], ports: dnsPorts });
  });

  /** Whether a rule lets a connection out to this address on a port that no rule names, as Kubernetes reads it. */
  function isReachable(address: string, settings: Record<string, string> = {}): boolean {
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const holds = (cidr: string) => {
      const [network = '', length] = cidr.split('/');
      const range = new BlockList();
      range.addSubnet(network, Number(length), isIPv6(network) ? 'ipv6' : 'ipv4');
      return range.check(address, family);
    };
    const egress = policyOf({ ...isolated, ...settings })?.spec?.egress ?? [];
    const reaches = ({ to, ports }: V1NetworkPolicyEgressRule) =>
      ports === undefined &&
      // A rule that names nobody is for everybody.
      (to === undefined ||
        to.length === 0 ||
        to.some(({ ipBlock }) => ipBlock && holds(ipBlock.cidr) && !ipBlock.except?.some(holds)));
    return egress.some(reaches);
  }

  it.each([
    ...'1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 172.15.255.255 172.32.0.0'.split(' '),
    ...'192.167.255.255 223.255.255.255 2606:4700:4700::1111 2a00:1450::1'.split(' '),
  ])('isolated reaches %s', (address) => expect(isReachable(address)).toBe(true));

  it.each([
    ['metadata of a node', '169.254.169.254'],
    ['credentials of a Pod on EKS', '169.254.170.23'],
    ['metadata of a node over IPv6', 'fd00:ec2::254'],
    ['metadata on Alibaba', '100.100.100.200'],
    ['metadata on Oracle', '192.0.0.192'],
    ["Azure's WireServer", '168.63.129.16'],
    ['private and shared addresses', '10.244.0.7 10.96.0.1 172.31.255.255 192.168.1.1 100.64.0.1'],
    ['itself, nowhere, everybody, groups', '127.0.0.1 0.0.0.0 255.255.255.255 224.0.0.251 ::1 ff02::1'],
    ['unique local and link-local addresses', 'fd12::1 fe80::1'],
    ['an IPv4 address in an IPv6 one', '64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1'],
  ])('isolated does not reach %s: %s', (_what, addresses) => {
    for (const address of addresses.split(' ')) expect(isReachable(address), address).toBe(false);
  });

  it('isolated does not reach what is set besides', () => {
    const settings = { SANDBOX_NETWORK_EXCLUDED_CIDRS: '5.6.7.8/32,10.0.0.0/8,2a05:d000::/25,fd00::/8' };
    for (const address of ['5.6.7.9', '2a05:d0ff::1']) expect(isReachable(address, settings), address).toBe(true);
    for (const address of ['5.6.7.8', '2a05:d000::1']) expect(isReachable(address, settings), address).toBe(false);
    // Kubernetes refuses an exception that is no part of its range.
    const [v4, v6] = policyOf({ ...isolated, ...settings })?.spec?.egress?.[1]?.to ?? [];
    expect(v4?.ipBlock?.except?.slice(-1)).toEqual(['5.6.7.8/32']);
    expect(v6?.ipBlock?.except?.slice(-1)).toEqual(['2a05:d000::/25']);
  });

  it.each([
    ['IPv6', '::/0', ['1.1.1.1'], ['2606:4700:4700::1111']],
    ['IPv6, by just the public half', '2000::/3', ['1.1.1.1'], ['2606:4700:4700::1111']],
    ['IPv4', '0.0.0.0/0', ['2606:4700:4700::1111'], ['1.1.1.1']],
    ['both', '0.0.0.0/0,::/0', [], ['1.1.1.1', '2606:4700:4700::1111']],
  ])('isolated does without a whole family: %s', (_which, excluded, open, closed) => {
    const settings = { SANDBOX_NETWORK_EXCLUDED_CIDRS: excluded };
    for (const address of open) expect(isReachable(address, settings), address).toBe(true);
    for (const address of closed) expect(isReachable(address, settings), address).toBe(false);
  });
});
