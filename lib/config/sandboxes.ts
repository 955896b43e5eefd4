import { hostName, isIPv6Address, matching, meaning, oneOf, passing } from './rules.ts';
import type { Settings } from './setting.ts';

/** What a sandbox is made of, and where it is reached. */
export const sandboxSettings = {
  K8S_NAMESPACE: {
    field: 'namespace',
    rule: () => matching(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a legal namespace name (RFC 1123 label)'),
    default: 'deer-flow',
    neededBy: 'kubernetes',
    doc: 'the namespace of the sandboxes; created if it is missing, [if it may be](own-cluster.md#the-rights-it-needs)',
  },
  SANDBOX_IMAGE: {
    field: 'sandboxImage',
    rule: () => matching(/^\S+$/, 'must be an image reference without spaces'),
    default: 'enterprise-public-cn-beijing.cr.volces.com/vefaas-public/all-in-one-sandbox:latest',
    neededBy: 'kubernetes',
    doc: 'the image of a sandbox',
  },
  SANDBOX_CONTAINER_PORT: {
    field: 'containerPort',
    rule: () =>
      meaning(
        passing([(text) => /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535, 'must be a port, 1 to 65535']),
        Number,
      ),
    default: 8080,
    neededBy: 'kubernetes',
    doc: 'the port that the image listens on. A sandbox that has another one gets a new Pod with its next create, which ends what runs in it. With NodePorts its URL stays',
  },
  SANDBOX_SERVICE_TYPE: {
    field: 'serviceType',
    rule: () => oneOf('NodePort', 'ClusterIP', 'Headless'),
    default: 'NodePort',
    neededBy: 'kubernetes',
    doc: "`NodePort`; or, where all callers are in the cluster or come through [a gateway](gateway.md), `ClusterIP` or `Headless`: `sandbox_url` then has the cluster's own name of the Service. `Headless` needs no address and no rules on the nodes, so it has no bound of its own. A sandbox that has another type stays where it is reached until its next create",
  },
  NODE_HOST: {
    field: 'nodeHost',
    rule: () => meaning(hostName(), (host) => (isIPv6Address(host) ? `[${host}]` : host)),
    default: 'host.docker.internal',
    neededBy: 'kubernetes',
    unset: '`host.docker.internal`; `127.0.0.1` on the embedded Kubernetes',
    doc: "the host name in `sandbox_url`: where the backend reaches the cluster's NodePorts. Not read with the other types. [One name for all sandboxes](own-cluster.md#the-nodes-address)",
  },
} as const satisfies Settings;
