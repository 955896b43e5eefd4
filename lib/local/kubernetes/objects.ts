/** What the embedded Kubernetes holds: Kubernetes' own fields, as far as it looks at them. */

export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string };

export type Metadata = {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
};

type Fields = { [field: string]: unknown };
type Typed<Kind extends string, Spec, Status> = {
  apiVersion: string;
  kind: Kind;
  metadata: Metadata;
  spec: Spec;
  status: Status;
};

type PodCondition = { type: string; status: string; lastTransitionTime: string; [field: string]: unknown };
export type Container = {
  name?: string;
  image?: string;
  volumeMounts?: { name?: string; mountPath?: string; subPath?: string }[];
};
export type Volume = {
  name?: string;
  emptyDir?: object;
  hostPath?: { path?: string; type?: string };
  persistentVolumeClaim?: { claimName?: string };
};
export type PodSpec = Fields & {
  containers: Container[];
  initContainers?: Container[];
  volumes?: Volume[];
  nodeName?: string;
  nodeSelector?: Record<string, string>;
  runtimeClassName?: string;
  terminationGracePeriodSeconds: number;
};
export type ContainerState = { running?: object; terminated?: object; waiting?: { reason: string; message?: string } };
type ContainerStatus = Fields & { name?: string | undefined; state: ContainerState; lastState?: ContainerState };
export type PodStatus = Fields & {
  phase: string;
  conditions?: PodCondition[];
  containerStatuses?: ContainerStatus[];
};
type ServiceSpec = Fields & {
  type: string;
  selector?: Record<string, string>;
  publishNotReadyAddresses?: boolean;
  clusterIP?: string;
  clusterIPs?: string[];
  externalName?: string;
  ports: { name?: string; port: number; nodePort?: number }[];
};
type Amounts = Record<string, string>;

export type Pod = Typed<'Pod', PodSpec, PodStatus>;
export type Service = Typed<'Service', ServiceSpec, Fields>;
type Namespace = Typed<'Namespace', Fields, { phase: string }>;
export type ResourceQuota = Typed<'ResourceQuota', { hard?: Amounts }, { hard?: Amounts; used?: Amounts }>;
type PersistentVolumeClaim = Typed<'PersistentVolumeClaim', Fields, { phase: string }>;
type NetworkPolicy = { apiVersion: string; kind: 'NetworkPolicy'; metadata: Metadata; spec: Fields; status?: never };
type Event = {
  apiVersion: string;
  kind: 'Event';
  metadata: Metadata;
  involvedObject: Readonly<Record<string, string>>;
  spec?: never;
  status?: never;
};

export type KubernetesObject =
  | Pod
  | Service
  | Namespace
  | ResourceQuota
  | NetworkPolicy
  | PersistentVolumeClaim
  | Event;
export type Kind = KubernetesObject['kind'];
export type OfKind<K extends Kind> = Extract<KubernetesObject, { kind: K }>;

/** The kinds that are served, by what they are called in paths. All but namespaces are in a namespace. */
export const KINDS: Readonly<Record<string, Kind>> = {
  events: 'Event',
  namespaces: 'Namespace',
  networkpolicies: 'NetworkPolicy',
  persistentvolumeclaims: 'PersistentVolumeClaim',
  pods: 'Pod',
  resourcequotas: 'ResourceQuota',
  services: 'Service',
};

/** What a kind is called in paths. */
export const pluralOf = (kind: Kind): string =>
  kind === 'NetworkPolicy' ? 'networkpolicies' : `${kind.toLowerCase()}s`;

/** The API group of a kind; the core group has no name. */
export const groupOf = (kind: Kind): string => (kind === 'NetworkPolicy' ? 'networking.k8s.io' : '');

export const apiVersionOf = (kind: Kind): string => (groupOf(kind) === '' ? 'v1' : `${groupOf(kind)}/v1`);

/** What a kind is called in messages and quotas: with its group. */
export const resourceOf = (kind: Kind): string =>
  groupOf(kind) === '' ? pluralOf(kind) : `${pluralOf(kind)}.${groupOf(kind)}`;

/** Whether a Pod has ended: nothing runs in it any more, and nothing will. */
export const isEnded = ({ status }: Pod): boolean => status.phase === 'Failed' || status.phase === 'Succeeded';

/** Whether an object stays, though it was to go, until somebody takes its finalizers away. */
export const isHeld = ({ metadata }: KubernetesObject): boolean => (metadata.finalizers ?? []).length > 0;

/** Whether some JSON is an object: no list, no `null`. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A time as Kubernetes writes it: RFC 3339, whole seconds, UTC. */
export const formatTime = (milliseconds: number): string =>
  new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
