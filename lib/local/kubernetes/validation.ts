import {
  type Container,
  isObject,
  type Kind,
  type KubernetesObject,
  type Metadata,
  type PodSpec,
  type Service,
  type Volume,
} from './objects.ts';
import {
  badRequest,
  duplicateValue,
  type FieldError,
  forbiddenValue,
  invalidTexts,
  invalidValue,
  requiredValue,
  unknownValue,
  unsupported,
  unsupportedValue,
} from './status.ts';

/** What a name or a label may be, and the words in which Kubernetes 1.20 tells that it is not. */
type Rule = { max: number; pattern: string; why: string; examples: string };

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const LOWER_CASE = 'consist of lower case alphanumeric characters';
const ENDS = 'must start and end with an alphanumeric character';

const DNS_1123_LABEL: Rule = {
  max: 63,
  pattern: LABEL,
  why: `a lowercase RFC 1123 label must ${LOWER_CASE} or '-', and ${ENDS}`,
  examples: "'my-name',  or '123-abc'",
};
const DNS_1123_SUBDOMAIN: Rule = {
  max: 253,
  pattern: `${LABEL}(\\.${LABEL})*`,
  why: `a lowercase RFC 1123 subdomain must ${LOWER_CASE}, '-' or '.', and ${ENDS}`,
  examples: "'example.com'",
};
const DNS_1035_LABEL: Rule = {
  max: 63,
  pattern: '[a-z]([-a-z0-9]*[a-z0-9])?',
  why: `a DNS-1035 label must ${LOWER_CASE} or '-', start with an alphabetic character, and end with an alphanumeric character`,
  examples: "'my-name',  or 'abc-123'",
};
const LABEL_VALUE: Rule = {
  max: 63,
  pattern: '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
  why: `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and ${ENDS}`,
  examples: "'MyValue',  or 'my_value',  or '12345'",
};

const LABEL_NAME: Rule = {
  max: 63,
  pattern: '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]',
  why: `must consist of alphanumeric characters, '-', '_' or '.', and ${ENDS}`,
  examples: "'MyName',  or 'my.name',  or '123-abc'",
};

const nameRuleOf = (kind: Kind): Rule =>
  kind === 'Namespace' ? DNS_1123_LABEL : kind === 'Service' ? DNS_1035_LABEL : DNS_1123_SUBDOMAIN;

const check = (field: string, value: string, rule: Rule): FieldError[] =>
  findFaults(value, rule).map((fault) => invalidValue(field, value, fault));

const describe = ({ why, examples, pattern }: Rule): string =>
  `${why} (e.g. ${examples}, regex used for validation is '${pattern}')`;

/** What is wrong with a text. Kubernetes counts bytes. */
const findFaults = (value: string, rule: Rule): string[] => [
  ...(Buffer.byteLength(value) > rule.max ? [`must be no more than ${rule.max} characters`] : []),
  ...(new RegExp(`^(?:${rule.pattern})$`).test(value) ? [] : [describe(rule)]),
];

/** What is wrong with the name of a label: a name, with a domain before it or not. */
function findLabelNameFaults(label: string): string[] {
  const [name = '', prefix, ...more] = label.split('/').toReversed();
  if (more.length > 0) {
    return [
      `a qualified name ${describe(LABEL_NAME)} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const tell = (part: string, value: string, rule: Rule) => {
    const faults = findFaults(value, rule);
    return (value === '' ? ['must be non-empty', ...(rule === LABEL_NAME ? faults : [])] : faults).map(
      (fault) => `${part} part ${fault}`,
    );
  };
  return [
    ...(prefix === undefined ? [] : tell('prefix', prefix, DNS_1123_SUBDOMAIN)),
    ...tell('name', name, LABEL_NAME),
  ];
}

function validateMetadata(kind: Kind, { name, labels, ownerReferences }: Metadata): FieldError[] {
  const errors = name
    ? check('metadata.name', name, nameRuleOf(kind))
    : [requiredValue('metadata.name', 'name or generateName is required')];
  for (const [label, value] of Object.entries(labels ?? {})) {
    errors.push(...findLabelNameFaults(label).map((fault) => invalidValue('metadata.labels', label, fault)));
    errors.push(...check('metadata.labels', value, LABEL_VALUE));
  }
  for (const owner of ownerReferences ?? []) {
    for (const part of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (owner[part]) continue;
      const why = `${part === 'apiVersion' ? 'version' : part} must not be empty`;
      errors.push(invalidValue(`metadata.ownerReferences.${part}`, '', why));
    }
  }
  return errors;
}

/** Of a Pod, what its settings and requests decide: the images, the volumes and their mounts. */
function validatePodSpec({ containers, initContainers = [], volumes = [] }: PodSpec): FieldError[] {
  const errors: FieldError[] = [];
  const known = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const field = `spec.volumes[${index}]`;
    const { name = '' } = volume;
    const found = [...validateVolumeSource(field, volume), ...validateName(`${field}.name`, name, known)];
    // A volume that is wrong is none for those who mount it.
    if (found.length === 0) known.add(name);
    errors.push(...found);
  }
  if (containers.length === 0) errors.push(requiredValue('spec.containers'));
  errors.push(...validateContainers('spec.containers', containers, known));
  errors.push(...validateContainers('spec.initContainers', initContainers, known));
  for (const [index, { name = '' }] of initContainers.entries()) {
    if (!containers.some((container) => container.name === name)) continue;
    errors.push(duplicateValue(`spec.initContainers[${index}].name`, name));
  }
  return errors;
}

function validateName(field: string, name: string, taken: ReadonlySet<string>): FieldError[] {
  const errors = name === '' ? [requiredValue(field)] : check(field, name, DNS_1123_LABEL);
  return taken.has(name) ? [...errors, duplicateValue(field, name)] : errors;
}

const HOST_PATH_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

/** Of the sources that a volume may have, those that ours have. */
function validateVolumeSource(field: string, { emptyDir, hostPath, persistentVolumeClaim }: Volume): FieldError[] {
  const errors: FieldError[] = [];
  const another = 'may not specify more than 1 volume type';
  if (hostPath !== undefined && emptyDir !== undefined) {
    errors.push(forbiddenValue(`${field}.hostPath`, another));
  } else if (hostPath !== undefined) {
    const { path = '', type = '' } = hostPath;
    if (path === '') errors.push(requiredValue(`${field}.hostPath.path`));
    else {
      errors.push(...refuseBacksteps(`${field}.hostPath.path`, path));
      if (!HOST_PATH_TYPES.includes(type)) {
        errors.push(unsupportedValue(`${field}.hostPath.type`, type, HOST_PATH_TYPES));
      }
    }
  }
  if (persistentVolumeClaim !== undefined) {
    const claim = `${field}.persistentVolumeClaim`;
    if ((emptyDir ?? hostPath) !== undefined) errors.push(forbiddenValue(claim, another));
    else if (!persistentVolumeClaim.claimName) errors.push(requiredValue(`${claim}.claimName`));
  }
  return errors;
}

const refuseBacksteps = (field: string, path: string): FieldError[] =>
  path.split('/').includes('..') ? [invalidValue(field, path, "must not contain '..'")] : [];

function validateContainers(
  field: string,
  containers: readonly Container[],
  volumes: ReadonlySet<string>,
): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, { name = '', image, volumeMounts = [] }] of containers.entries()) {
    errors.push(...validateName(`${field}[${index}].name`, name, names));
    if (name !== '') names.add(name);
    if (!image) errors.push(requiredValue(`${field}[${index}].image`));
    const paths = new Set<string>();
    for (const [place, mount] of volumeMounts.entries()) {
      const at = `${field}[${index}].volumeMounts[${place}]`;
      if (!mount.name) errors.push(requiredValue(`${at}.name`));
      if (!volumes.has(mount.name ?? '')) errors.push(unknownValue(`${at}.name`, mount.name ?? ''));
      const { mountPath = '', subPath = '' } = mount;
      if (mountPath === '') errors.push(requiredValue(`${at}.mountPath`));
      if (paths.has(mountPath)) errors.push(invalidValue(`${at}.mountPath`, mountPath, 'must be unique'));
      paths.add(mountPath);
      // Kubernetes does not say here which of the mounts it is.
      const subPathField = `${field}[${index}].volumeMounts.subPath`;
      if (subPath.startsWith('/')) errors.push(invalidValue(subPathField, subPath, 'must be a relative path'));
      errors.push(...refuseBacksteps(subPathField, subPath));
    }
  }
  return errors;
}

/** Of a Service, its address and its name elsewhere. */
function validateServiceSpec({ type, clusterIP, externalName }: Partial<Service['spec']> = {}): FieldError[] {
  if (type === 'ExternalName') return externalName ? [] : [requiredValue('spec.externalName')];
  if (clusterIP !== 'None' || type === 'ClusterIP') return [];
  return [invalidValue('spec.clusterIPs[0]', clusterIP, `may not be set to 'None' for ${type} services`)];
}

/** What Kubernetes would refuse for what the object was before: a Service keeps its address, or that it has none. */
export function validateChange(next: KubernetesObject, old: KubernetesObject): FieldError[] {
  if (next.kind !== 'Service' || old.kind !== 'Service') return [];
  if (next.spec.type === 'ExternalName' || old.spec.type === 'ExternalName') return [];
  const [before, after] = [old.spec.clusterIPs?.[0], next.spec.clusterIPs?.[0]];
  if (before === after) return [];
  const field = 'spec.clusterIPs[0]';
  return after === undefined
    ? [invalidTexts(field, [], 'primary clusterIP can not be unset')]
    : [invalidTexts(field, [after], 'may not change once set')];
}

/** What Kubernetes would refuse an object for, in its order and words, as far as ours differ; empty when it would take it. */
export function validate(object: KubernetesObject): FieldError[] {
  const errors = validateMetadata(object.kind, object.metadata);
  if (object.kind === 'Pod') {
    errors.push(...validatePodSpec(object.spec));
    // The kubelet reads them later, when there is nobody to answer any more.
    const { conditions = [] } = object.status;
    if (!Array.isArray(conditions) || !conditions.every(isObject)) throw badRequest('conditions must be objects');
  }
  if (object.kind === 'Service') errors.push(...validateServiceSpec(object.spec));
  if (object.kind === 'ResourceQuota') {
    for (const [name, amount] of Object.entries(object.spec.hard ?? {})) {
      if (!/^(count\/)?(pods|services)$|^services\.nodeports$/.test(name)) throw unsupported(`a quota of ${name}`);
      if (!/^\d+$/.test(amount)) throw unsupported(`the amount ${amount}`);
    }
  }
  return errors;
}
