import {
  dns1035LabelProblems,
  dns1123LabelProblems,
  dns1123SubdomainProblems,
  labelKeyProblems,
  labelValueProblems,
  portNameProblems,
} from './kubernetes-names.ts';
import {
  isNamespace,
  isPod,
  isResourceQuota,
  isService,
  type KubernetesObject,
  type Pod,
  type PodSpec,
  type ResourceQuota,
  type Service,
} from './kubernetes-objects.ts';
import { parseQuantity } from './kubernetes-quantities.ts';
import {
  duplicateValue,
  type FieldError,
  fieldNotFound,
  forbiddenValue,
  goStrings,
  invalidValue,
  requiredValue,
  unsupportedValue,
} from './kubernetes-status.ts';

const ANNOTATIONS_LIMIT = 256 * 1024;

const quote = (text: string) => JSON.stringify(text);
const each = (field: string, value: string, why: string[]) => why.map((one) => invalidValue(field, value, one));

function validateLabels(field: string, labels: Record<string, string>): FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...each(field, key, labelKeyProblems(key)),
    ...each(field, value, labelValueProblems(value)),
  ]);
}

const isPort = (port: number) => port >= 1 && port <= 65535;
const portError = (field: string, port: number) => invalidValue(field, port, 'must be between 1 and 65535, inclusive');

function nameProblems(kind: string, name: string): string[] {
  if (kind === 'Namespace') return dns1123LabelProblems(name);
  return kind === 'Service' ? dns1035LabelProblems(name) : dns1123SubdomainProblems(name);
}

function validateMetadata({ kind, metadata }: KubernetesObject): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.generateName) {
    const shortened = metadata.generateName.replace(/-$/, 'a');
    errors.push(...each('metadata.generateName', metadata.generateName, nameProblems(kind, shortened)));
  }
  if (!metadata.name) errors.push(requiredValue('metadata.name', 'name or generateName is required'));
  else errors.push(...each('metadata.name', metadata.name, nameProblems(kind, metadata.name)));
  errors.push(...validateLabels('metadata.labels', metadata.labels ?? {}));
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    // Annotation keys are compared without regard to case.
    errors.push(...each('metadata.annotations', key, labelKeyProblems(key.toLowerCase())));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > ANNOTATIONS_LIMIT) {
    const message = `Too long: must have at most ${ANNOTATIONS_LIMIT} bytes`;
    errors.push({ field: 'metadata.annotations', reason: 'FieldValueTooLong', message });
  }
  for (const owner of metadata.ownerReferences ?? []) {
    const field = 'metadata.ownerReferences';
    if (!owner.apiVersion) errors.push(invalidValue(`${field}.apiVersion`, '', 'version must not be empty'));
    for (const part of ['kind', 'name', 'uid'] as const) {
      if (!owner[part]) errors.push(invalidValue(`${field}.${part}`, '', `${part} must not be empty`));
    }
  }
  for (const [index, finalizer] of (metadata.finalizers ?? []).entries()) {
    const field = `metadata.finalizers[${index}]`;
    const why = labelKeyProblems(finalizer);
    if (why.length > 0) errors.push(...each('metadata.finalizers', finalizer, why));
    else if (!finalizer.includes('/') && !['foregroundDeletion', 'orphan', 'kubernetes'].includes(finalizer)) {
      const unknown = 'name is neither a standard finalizer name nor is it fully qualified';
      errors.push(invalidValue(field, finalizer, unknown));
    }
  }
  return errors;
}

const VOLUME_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

/** `sound` collects the names of the volumes that are in order: only those can be mounted. */
function validateVolumes(spec: PodSpec, sound: Set<string>): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, volume] of (spec.volumes ?? []).entries()) {
    const field = `spec.volumes[${index}]`;
    const before = errors.length;
    const { hostPath } = volume;
    if (hostPath !== undefined) {
      if (!hostPath.path) errors.push(requiredValue(`${field}.hostPath.path`));
      else if (hostPath.path.split('/').includes('..')) {
        errors.push(invalidValue(`${field}.hostPath.path`, hostPath.path, "must not contain '..'"));
      } else if (!VOLUME_TYPES.includes(hostPath.type ?? '')) {
        errors.push(unsupportedValue(`${field}.hostPath.type`, quote(hostPath.type ?? ''), VOLUME_TYPES));
      }
    }
    if (!volume.name) errors.push(requiredValue(`${field}.name`));
    else errors.push(...each(`${field}.name`, volume.name, dns1123LabelProblems(volume.name)));
    if (volume.name && sound.has(volume.name)) errors.push(duplicateValue(`${field}.name`, quote(volume.name)));
    if (errors.length === before) sound.add(volume.name);
  }
  return errors;
}

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];

function validateContainers(spec: PodSpec, volumes: ReadonlySet<string>): FieldError[] {
  if (spec.containers.length === 0) return [requiredValue('spec.containers')];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, container] of spec.containers.entries()) {
    const field = `spec.containers[${index}]`;
    const { name, image } = container;
    if (!name) errors.push(requiredValue(`${field}.name`));
    else errors.push(...each(`${field}.name`, name, dns1123LabelProblems(name)));
    if (name && seen.has(name)) errors.push(duplicateValue(`${field}.name`, quote(name)));
    seen.add(name);
    if (!image) errors.push(requiredValue(`${field}.image`));
    else if (image !== image.trim()) {
      errors.push(invalidValue(`${field}.image`, image, 'must not have leading or trailing whitespace'));
    }
    for (const [at, port] of (container.ports ?? []).entries()) {
      const where = `${field}.ports[${at}]`;
      if (port.name) errors.push(...each(`${where}.name`, port.name, portNameProblems(port.name)));
      if (!port.containerPort) errors.push(requiredValue(`${where}.containerPort`));
      else if (!isPort(port.containerPort)) errors.push(portError(`${where}.containerPort`, port.containerPort));
    }
    for (const [at, variable] of (container.env ?? []).entries()) {
      if (!variable.name) errors.push(requiredValue(`${field}.env[${at}].name`));
    }
    const mounted = new Set<string>();
    for (const [at, mount] of (container.volumeMounts ?? []).entries()) {
      const where = `${field}.volumeMounts[${at}]`;
      if (!mount.name) errors.push(requiredValue(`${where}.name`));
      else if (!volumes.has(mount.name)) errors.push(fieldNotFound(`${where}.name`, mount.name));
      if (!mount.mountPath) errors.push(requiredValue(`${where}.mountPath`));
      else if (mounted.has(mount.mountPath)) {
        errors.push(invalidValue(`${where}.mountPath`, mount.mountPath, 'must be unique'));
      }
      mounted.add(mount.mountPath);
    }
    if (!PULL_POLICIES.includes(container.imagePullPolicy ?? '')) {
      errors.push(unsupportedValue(`${field}.imagePullPolicy`, quote(container.imagePullPolicy ?? ''), PULL_POLICIES));
    }
    const { requests = {}, limits = {} } = container.resources ?? {};
    for (const [resource, amount] of Object.entries(requests)) {
      const limit = limits[resource];
      if (limit !== undefined && parseQuantity(amount) > parseQuantity(limit)) {
        const why = `must be less than or equal to ${resource} limit`;
        errors.push(invalidValue(`${field}.resources.requests`, amount, why));
      }
    }
  }
  return errors;
}

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];

function validatePod({ spec }: Pod): FieldError[] {
  const volumes = new Set<string>();
  const errors = [...validateVolumes(spec, volumes), ...validateContainers(spec, volumes)];
  if (!RESTART_POLICIES.includes(spec.restartPolicy ?? '')) {
    errors.push(unsupportedValue('spec.restartPolicy', quote(spec.restartPolicy ?? ''), RESTART_POLICIES));
  }
  if (spec.nodeSelector !== undefined) errors.push(...validateLabels('spec.nodeSelector', spec.nodeSelector));
  return errors;
}

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const SERVICE_TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];

function validateService({ spec }: Service): FieldError[] {
  const errors: FieldError[] = [];
  const ports = spec.ports ?? [];
  if (ports.length === 0 && spec.clusterIP !== 'None' && spec.type !== 'ExternalName')
    errors.push(requiredValue('spec.ports'));
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const field = `spec.ports[${index}]`;
    if (!port.name && ports.length > 1) errors.push(requiredValue(`${field}.name`));
    else if (port.name) {
      errors.push(...each(`${field}.name`, port.name, dns1123LabelProblems(port.name)));
      if (names.has(port.name)) errors.push(duplicateValue(`${field}.name`, quote(port.name)));
      names.add(port.name);
    }
    if (!isPort(port.port)) errors.push(portError(`${field}.port`, port.port ?? 0));
    if (!PROTOCOLS.includes(port.protocol ?? '')) {
      errors.push(unsupportedValue(`${field}.protocol`, quote(port.protocol ?? ''), PROTOCOLS));
    }
    if (typeof port.targetPort === 'string') {
      errors.push(...each(`${field}.targetPort`, port.targetPort, portNameProblems(port.targetPort)));
    } else if (!isPort(port.targetPort ?? 0)) errors.push(portError(`${field}.targetPort`, port.targetPort ?? 0));
  }
  for (const [index, { port, protocol = '' }] of ports.entries()) {
    if (!ports.slice(0, index).some((other) => other.port === port && other.protocol === protocol)) continue;
    const field = `spec.ports[${index}]`;
    errors.push(
      duplicateValue(
        field,
        `core.ServicePort{Name:"", Protocol:${quote(protocol)}, AppProtocol:(*string)(nil), Port:${port}, ` +
          'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}',
      ),
    );
  }
  if (spec.selector !== undefined) errors.push(...validateLabels('spec.selector', spec.selector));
  if (!['ClientIP', 'None'].includes(spec.sessionAffinity ?? '')) {
    errors.push(unsupportedValue('spec.sessionAffinity', quote(spec.sessionAffinity ?? ''), ['ClientIP', 'None']));
  }
  if (!SERVICE_TYPES.includes(spec.type ?? '')) {
    errors.push(unsupportedValue('spec.type', quote(spec.type ?? ''), SERVICE_TYPES));
  }
  if (spec.type === 'ClusterIP') {
    for (const [index, port] of ports.entries()) {
      if (!port.nodePort) continue;
      errors.push(forbiddenValue(`spec.ports[${index}].nodePort`, "may not be used when `type` is 'ClusterIP'"));
    }
  }
  if (!['Cluster', 'Local', ''].includes(spec.externalTrafficPolicy ?? '')) {
    const why = 'ExternalTrafficPolicy must be empty, Cluster or Local';
    errors.push(invalidValue('spec.externalTrafficPolicy', spec.externalTrafficPolicy, why));
  }
  return errors;
}

function validateQuota({ spec }: ResourceQuota): FieldError[] {
  return Object.entries(spec.hard ?? {}).flatMap(([name, amount]) => {
    const field = `spec.hard[${name}]`;
    const value = parseQuantity(amount);
    const errors: FieldError[] = [];
    if (!name.includes('/') && !STANDARD_QUOTAS.has(name)) {
      errors.push(invalidValue(field, name, 'must be a standard resource type or fully qualified'));
      errors.push(invalidValue(field, name, 'must be a standard resource for quota'));
    }
    if (value < 0) errors.push(invalidValue(field, amount, 'must be greater than or equal to 0'));
    return errors;
  });
}

const STANDARD_QUOTAS = new Set([
  'cpu',
  'memory',
  'ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.storage',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'persistentvolumeclaims',
  'configmaps',
  'services.nodeports',
  'services.loadbalancers',
]);

function validateSpec(object: KubernetesObject): FieldError[] {
  if (isPod(object)) return validatePod(object);
  if (isService(object)) return validateService(object);
  if (isResourceQuota(object)) return validateQuota(object);
  if (isNamespace(object)) return [];
  const event = object as KubernetesObject & { involvedObject?: { namespace?: string } };
  const { namespace } = event.involvedObject ?? {};
  if (namespace === event.metadata.namespace) return [];
  return [invalidValue('involvedObject.namespace', namespace ?? '', 'does not match event.namespace')];
}

/** What Kubernetes would refuse a new object for, in its order and words; empty when it would take it. */
export const validateObject = (object: KubernetesObject): FieldError[] => [
  ...validateMetadata(object),
  ...validateSpec(object),
];

const POD_UPDATE =
  'pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, ' +
  '`spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations)';

function fixedPodFields({ containers, activeDeadlineSeconds, tolerations, ...rest }: PodSpec): string {
  return sortedJson({ ...rest, containers: containers.map(({ image, ...container }) => container) });
}

/** JSON whose keys are in order, so that equal things are equal texts. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

const goTime = (time: string) => ({ toString: () => `${time.replace('T', ' ').replace('Z', '')} +0000 UTC` });

/** What Kubernetes would refuse an update for. It checks metadata over and over there, and tells it as often. */
export function validateUpdate(next: KubernetesObject, old: KubernetesObject): FieldError[] {
  const changed: FieldError[] = [];
  for (const field of ['uid', 'deletionTimestamp'] as const) {
    if (next.metadata[field] === old.metadata[field]) continue;
    const value = next.metadata[field];
    const shown = field === 'uid' || value === undefined ? (value ?? null) : goTime(value);
    changed.push(invalidValue(`metadata.${field}`, shown, 'field is immutable'));
  }
  const metadata = validateMetadata(next);
  const errors = [...changed, ...metadata, ...metadata, ...changed, ...metadata, ...metadata];
  if (isPod(next) && isPod(old)) {
    if (fixedPodFields(next.spec) !== fixedPodFields(old.spec)) errors.push(forbiddenValue('spec', POD_UPDATE));
    return errors;
  }
  if (isService(next) && isService(old)) {
    const [was] = old.spec.clusterIPs ?? [];
    const [is] = next.spec.clusterIPs ?? [];
    if (was !== undefined && is === undefined) {
      const unset = 'primary clusterIP can not be unset';
      errors.push(invalidValue('spec.clusterIPs[0]', { toString: () => '[]string(nil)' }, unset));
    } else if (was !== undefined && is !== was) {
      errors.push(invalidValue('spec.clusterIPs[0]', goStrings([is ?? '']), 'may not change once set'));
    }
  }
  return [...errors, ...validateSpec(next)];
}
