import { isObject, type Kind, type KubernetesObject, type Metadata, type PodSpec } from './objects.ts';
import { badRequest, type FieldError, invalidValue, requiredValue, unsupported } from './status.ts';

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

const nameRuleOf = (kind: Kind): Rule =>
  kind === 'Namespace' ? DNS_1123_LABEL : kind === 'Service' ? DNS_1035_LABEL : DNS_1123_SUBDOMAIN;

function check(field: string, value: string, { max, pattern, why, examples }: Rule): FieldError[] {
  const errors: FieldError[] = [];
  if (value.length > max) errors.push(invalidValue(field, value, `must be no more than ${max} characters`));
  if (!new RegExp(`^(?:${pattern})$`).test(value)) {
    errors.push(invalidValue(field, value, `${why} (e.g. ${examples}, regex used for validation is '${pattern}')`));
  }
  return errors;
}

function validateMetadata(kind: Kind, { name, labels, ownerReferences }: Metadata): FieldError[] {
  const errors = name
    ? check('metadata.name', name, nameRuleOf(kind))
    : [requiredValue('metadata.name', 'name or generateName is required')];
  for (const value of Object.values(labels ?? {})) errors.push(...check('metadata.labels', value, LABEL_VALUE));
  for (const owner of ownerReferences ?? []) {
    for (const part of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (owner[part]) continue;
      const why = `${part === 'apiVersion' ? 'version' : part} must not be empty`;
      errors.push(invalidValue(`metadata.ownerReferences.${part}`, '', why));
    }
  }
  return errors;
}

/** Of a Pod, what its settings decide: the images and the host paths. */
function validatePodSpec({ containers, volumes }: PodSpec): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { hostPath }] of (volumes ?? []).entries()) {
    const field = `spec.volumes[${index}].hostPath.path`;
    if (hostPath?.path.split('/').includes('..')) {
      errors.push(invalidValue(field, hostPath.path, "must not contain '..'"));
    }
  }
  if (containers.length === 0) errors.push(requiredValue('spec.containers'));
  for (const [index, { image }] of containers.entries()) {
    if (!image) errors.push(requiredValue(`spec.containers[${index}].image`));
  }
  return errors;
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
  if (object.kind === 'ResourceQuota') {
    for (const [name, amount] of Object.entries(object.spec.hard ?? {})) {
      if (!/^(count\/)?(pods|services)$|^services\.nodeports$/.test(name)) throw unsupported(`a quota of ${name}`);
      if (!/^\d+$/.test(amount)) throw unsupported(`the amount ${amount}`);
    }
  }
  return errors;
}
