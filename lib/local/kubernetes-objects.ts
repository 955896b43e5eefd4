/** What a Pod, a Service, … look like in the embedded Kubernetes: Kubernetes' own fields, as far as it looks at them. */

export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string };

export type ObjectMeta = {
  name: string;
  generateName?: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
};

export type KubernetesObject = {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec?: object;
  status?: object;
};

export type Quantities = Record<string, string>;

export type Probe = {
  httpGet?: { path?: string; scheme?: string };
  timeoutSeconds?: number;
  periodSeconds?: number;
  successThreshold?: number;
  failureThreshold?: number;
};

export type Container = {
  name: string;
  image: string;
  imagePullPolicy?: string;
  ports?: { name?: string; containerPort: number; protocol?: string }[];
  resources?: { requests?: Quantities; limits?: Quantities };
  env?: { name: string; value?: string }[];
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  startupProbe?: Probe;
  terminationMessagePath?: string;
  terminationMessagePolicy?: string;
};

export type PodSpec = {
  containers: Container[];
  volumes?: { name: string; hostPath?: { path: string; type?: string } }[];
  nodeName?: string;
  nodeSelector?: Record<string, string>;
  restartPolicy?: string;
  terminationGracePeriodSeconds?: number;
  activeDeadlineSeconds?: number;
  tolerations?: object[];
  [field: string]: unknown;
};

export type PodCondition = {
  type: string;
  status: string;
  lastProbeTime: null;
  lastTransitionTime: string;
  reason?: string;
  message?: string;
};

export type PodStatus = {
  phase: string;
  qosClass?: string;
  conditions?: PodCondition[];
  containerStatuses?: object[];
  startTime?: string;
  [field: string]: unknown;
};

export type Pod = KubernetesObject & { spec: PodSpec; status: PodStatus };

export type ServicePort = {
  name?: string;
  protocol?: string;
  port: number;
  targetPort?: number | string;
  nodePort?: number;
};

export type ServiceSpec = {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  selector?: Record<string, string>;
  ports?: ServicePort[];
  sessionAffinity?: string;
  externalTrafficPolicy?: string;
  [field: string]: unknown;
};

export type Service = KubernetesObject & { spec: ServiceSpec };

export type Namespace = KubernetesObject & { spec: { finalizers?: string[] }; status: { phase: string } };

export type ResourceQuota = KubernetesObject & {
  spec: { hard?: Quantities };
  status: { hard?: Quantities; used?: Quantities };
};

export const isPod = (object: KubernetesObject): object is Pod => object.kind === 'Pod';
export const isService = (object: KubernetesObject): object is Service => object.kind === 'Service';
export const isNamespace = (object: KubernetesObject): object is Namespace => object.kind === 'Namespace';
export const isResourceQuota = (object: KubernetesObject): object is ResourceQuota => object.kind === 'ResourceQuota';

/** Whether a Pod has ended (`Failed`, `Succeeded`): nothing runs in it any more, and nothing will. */
export const isEnded = (pod: Pod): boolean => pod.status.phase === 'Failed' || pod.status.phase === 'Succeeded';

/** A time as Kubernetes writes it: RFC 3339, whole seconds, UTC. */
export function formatTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** The resources that are served: their names in paths, and what may be done with them. */
export type ResourceType = {
  plural: string;
  kind: string;
  namespaced: boolean;
  shortNames: string[];
  verbs: string[];
};

const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

export const RESOURCE_TYPES: readonly ResourceType[] = [
  { plural: 'events', kind: 'Event', namespaced: true, shortNames: ['ev'], verbs: [...VERBS, 'deletecollection'] },
  { plural: 'namespaces', kind: 'Namespace', namespaced: false, shortNames: ['ns'], verbs: VERBS },
  { plural: 'pods', kind: 'Pod', namespaced: true, shortNames: ['po'], verbs: [...VERBS, 'deletecollection'] },
  {
    plural: 'resourcequotas',
    kind: 'ResourceQuota',
    namespaced: true,
    shortNames: ['quota'],
    verbs: [...VERBS, 'deletecollection'],
  },
  { plural: 'services', kind: 'Service', namespaced: true, shortNames: ['svc'], verbs: VERBS },
];
