import type {
  RbacV1Subject,
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1PolicyRule,
  V1Role,
  V1RoleBinding,
} from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';
import { namespaceLabels, networkPolicyName } from '../model/names.ts';

/** Whom Kubernetes knows the provisioner as. */
export type Subject =
  | { kind: 'User'; name: string }
  | { kind: 'Group'; name: string }
  | { kind: 'ServiceAccount'; name: string; namespace: string };

export type RbacObject = V1Role | V1RoleBinding | V1ClusterRole | V1ClusterRoleBinding;

const verbs = ['create', 'get', 'list', 'patch', 'delete'];

/** What the provisioner and its clean-up call with these settings, and nothing else: a test holds the two together. */
function buildRules({ networkPolicy, metrics }: Config): V1PolicyRule[] {
  const sandboxes = [
    { apiGroups: [''], resources: ['pods', 'services'], verbs: [...verbs] },
    { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
    { apiGroups: [''], resources: ['events'], verbs: ['list'] },
    ...(metrics === 'off' ? [] : [{ apiGroups: [''], resources: ['resourcequotas'], verbs: ['list'] }]),
  ];
  const policies = { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] };
  const named = { ...policies, resourceNames: [networkPolicyName] };
  if (networkPolicy === undefined) return sandboxes;
  if (networkPolicy === 'none') return [...sandboxes, { ...named, verbs: ['delete'] }];
  // Nobody can be permitted to create an object of one name alone.
  return [...sandboxes, { ...named, verbs: ['get', 'update'] }, { ...policies, verbs: ['create'] }];
}

/** The rights in the configured namespace, which must be there, and who has them: a Role and a RoleBinding. */
export function buildNamespaceRights(config: Config, subjects: readonly Subject[]): RbacObject[] {
  const metadata = { name: 'sandbox-provisioner', namespace: config.namespace, labels: { ...namespaceLabels } };
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  return [
    { apiVersion, kind: 'Role', metadata, rules: buildRules(config) },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: subjects.map(bind),
    },
  ];
}

/**
 * The same, and the right to create namespaces, for one who is to make the namespace: a ClusterRole and a ClusterRoleBinding.
 * A Role cannot be given in a namespace that is not there yet, so these rights hold in every namespace.
 */
export function buildClusterRights(config: Config, subjects: readonly Subject[]): RbacObject[] {
  // Bindings of two namespaces' provisioners must not take each other's place.
  const metadata = { name: `sandbox-provisioner:${config.namespace}`, labels: { ...namespaceLabels } };
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const namespaces = { apiGroups: [''], resources: ['namespaces'], verbs: ['create'] };
  return [
    { apiVersion, kind: 'ClusterRole', metadata, rules: [namespaces, ...buildRules(config)] },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: metadata.name },
      subjects: subjects.map(bind),
    },
  ];
}

const bind = (subject: Subject): RbacV1Subject =>
  subject.kind === 'ServiceAccount' ? subject : { apiGroup: 'rbac.authorization.k8s.io', ...subject };
