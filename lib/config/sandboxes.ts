import { hostName, hostPath, isIPv6Address, matching, meaning } from './rules.ts';
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
  SKILLS_HOST_PATH: {
    field: 'skillsHostPath',
    rule: hostPath,
    default: '/skills',
    neededBy: 'kubernetes',
    doc: 'the folder on the node that sandboxes see as `/mnt/skills`, read-only. **It must exist on every node**, or Pods stay `Pending` for ever',
  },
  THREADS_HOST_PATH: {
    field: 'threadsHostPath',
    rule: () => meaning(hostPath(), (path) => path.replace(/(?<=.)\/+$/, '')),
    default: '/.deer-flow/threads',
    neededBy: 'kubernetes',
    doc: "the folder on the node with the threads' files; `{thread_id}/user-data` in it becomes `/mnt/user-data`. [Each node has its own](own-cluster.md#where-the-files-lie)",
  },
  NODE_HOST: {
    field: 'nodeHost',
    rule: () => meaning(hostName(), (host) => (isIPv6Address(host) ? `[${host}]` : host)),
    default: 'host.docker.internal',
    neededBy: 'kubernetes',
    unset: '`host.docker.internal`; `127.0.0.1` on the embedded Kubernetes',
    doc: "the host name in `sandbox_url`: where the backend reaches the cluster's NodePorts. [One name for all sandboxes](own-cluster.md#the-nodes-address)",
  },
} as const satisfies Settings;
