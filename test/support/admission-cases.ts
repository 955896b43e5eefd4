import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { loadConfig } from '../../lib/config/index.ts';
import { buildPod, buildService } from '../../lib/model/manifests.ts';

// What the admission policy must let through, and what it must refuse. Two judges go through it: an implementation of CEL in
// test/unit, and the API server itself in test/contract, where it knows such policies (1.30).

/** The settings that the policy is made of. */
export const settings = { K8S_NAMESPACE: 'agents', SKILLS_HOST_PATH: '/skills', THREADS_HOST_PATH: '/srv/a.b (c)/' };

export type Settings = Record<string, string>;

const request = { sandboxId: 'a1', threadId: 'Thread_1' };
const use = { at: new Date('2026-11-22T12:00:00.123Z'), requestId: '8f507cfc-4697' };

/** The Service of a sandbox, by these settings. */
export const serviceOf = (some: Settings = {}): V1Service =>
  buildService(request, use, loadConfig({ ...settings, ...some }).namespace);

/** The Pod of a sandbox as admission sees it: with what Kubernetes fills in. */
export function podOf(some: Settings = {}): V1Pod {
  const owner = { metadata: { name: 'sandbox-a1-svc', uid: '5f2b1c1e-0000-4000-8000-000000000000' } };
  const pod = buildPod(request, owner, loadConfig({ ...settings, ...some }));
  const defaults = { serviceAccountName: 'default', securityContext: {}, dnsPolicy: 'ClusterFirst', tolerations: [] };
  return { ...pod, spec: { ...defaults, ...(pod.spec as NonNullable<V1Pod['spec']>) } };
}

/** The same with these fields of its spec, and of its container. */
export const podWith = (spec: object, container: object = {}) => {
  const pod = podOf();
  const containers = [{ name: 'sandbox', image: 'i', ...container }];
  return { ...pod, spec: { ...pod.spec, containers, ...spec } };
};
/** A Pod that mounts these folders of its node. */
export const mounting = (...paths: string[]) =>
  podWith({ volumes: paths.map((path, index) => ({ name: `v${index}`, hostPath: { path } })) });
const serviceWith = (spec: object) => ({ ...serviceOf(), spec: { ...serviceOf().spec, ...spec } });
const labelled = <T extends V1Pod | V1Service>(object: T, metadata: object) => ({
  ...object,
  metadata: { ...object.metadata, ...metadata },
});

/** Why it refuses, by the end of its message. */
export const reasons = {
  namespace: 'it is in another namespace.',
  marks: 'it does not bear the labels and the name of a sandbox.',
  volumes: 'it mounts more than the folders of a sandbox.',
  node: 'it takes part in its node: network, processes, IPC or ports.',
  power: 'a container is privileged, or has capabilities of its own.',
  credentials: 'it has a service account or its token, or reads a Secret.',
  service: 'the Service is not of a kind that a sandbox has, or is not of its own Pod.',
};

type Refused<T> = readonly [what: string, object: T, reason: keyof typeof reasons];

/** Pods that whoever has the provisioner's credentials must not make. Kubernetes itself finds nothing wrong with most of them. */
export const refusedPods: Refused<V1Pod>[] = [
  ['the root of the node', mounting('/'), 'volumes'],
  ['the way out of a folder', mounting('/skills/../etc'), 'volumes'],
  ['a folder that begins alike', mounting('/skillsX'), 'volumes'],
  ['a folder that ends alike', mounting('/etc/skills'), 'volumes'],
  ['a folder behind a line break', mounting('/skills\n'), 'volumes'],
  ['a folder in that of the skills, which may be a link', mounting('/skills/public'), 'volumes'],
  ['the folder of all threads', mounting('/srv/a.b (c)'), 'volumes'],
  ['the whole folder of a thread', mounting('/srv/a.b (c)/t'), 'volumes'],
  ['a folder in the files of a thread, which may be a link', mounting('/srv/a.b (c)/t/user-data/x'), 'volumes'],
  ['no thread', mounting('/srv/a.b (c)/../user-data'), 'volumes'],
  ['what a pattern would match', mounting('/srv/aXb (c)/t/user-data'), 'volumes'],
  ['one right folder and one wrong', mounting('/skills', '/etc'), 'volumes'],
  ['a Secret', podWith({ volumes: [{ name: 'v', secret: { secretName: 's' } }] }), 'volumes'],
  [
    'a token',
    podWith({ volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }] }),
    'volumes',
  ],
  ['an inline volume of a driver', podWith({ volumes: [{ name: 'v', csi: { driver: 'd' } }] }), 'volumes'],
  ["its node's network", podWith({ hostNetwork: true }), 'node'],
  ["its node's processes", podWith({ hostPID: true }), 'node'],
  ["its node's IPC", podWith({ hostIPC: true }), 'node'],
  ['a port of its node', podWith({}, { ports: [{ containerPort: 80, hostPort: 80 }] }), 'node'],
  ['a privileged container', podWith({}, { securityContext: { privileged: true } }), 'power'],
  ['a capability', podWith({}, { securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }), 'power'],
  ['all of /proc', podWith({}, { securityContext: { procMount: 'Unmasked' } }), 'power'],
  [
    'a privileged init container',
    podWith({ initContainers: [{ name: 'i', image: 'i', securityContext: { privileged: true } }] }),
    'power',
  ],
  ['another service account', podWith({ serviceAccountName: 'admin' }), 'credentials'],
  ['a token of the default one', podWith({ automountServiceAccountToken: true }), 'credentials'],
  ['a token, by saying nothing of it', podWith({ automountServiceAccountToken: undefined }), 'credentials'],
  [
    'a Secret in a variable',
    podWith({}, { env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }] }),
    'credentials',
  ],
  [
    'a Secret as variables',
    podWith({ initContainers: [{ name: 'i', image: 'i', envFrom: [{ secretRef: { name: 's' } }] }] }),
    'credentials',
  ],
  ['no labels', labelled(podOf(), { labels: undefined }), 'marks'],
  ['one label of two', labelled(podOf(), { labels: { 'sandbox-id': 'a1' } }), 'marks'],
  ['the label of another app', labelled(podOf(), { labels: { app: 'x', 'sandbox-id': 'a1' } }), 'marks'],
  ['the id of another sandbox', labelled(podOf(), { name: 'sandbox-b2' }), 'marks'],
  [
    'an id that is none',
    labelled(podOf(), { name: 'sandbox-A', labels: { app: 'deer-flow-sandbox', 'sandbox-id': 'A' } }),
    'marks',
  ],
  ['the name of a Service', labelled(podOf(), { name: 'sandbox-a1-svc' }), 'marks'],
];

/** The same for Services. */
export const refusedServices: Refused<V1Service>[] = [
  ['an address of its own', serviceWith({ externalIPs: ['10.0.0.1'] }), 'service'],
  ['a load balancer', serviceWith({ type: 'LoadBalancer' }), 'service'],
  ['a name elsewhere', serviceWith({ type: 'ExternalName', externalName: 'x' }), 'service'],
  ['the Pods of somebody else', serviceWith({ selector: { app: 'x' } }), 'service'],
  ['no Pods', serviceWith({ selector: undefined }), 'service'],
  ['the name of a Pod', labelled(serviceOf(), { name: 'sandbox-a1' }), 'marks'],
];
