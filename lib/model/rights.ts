import type { Config } from '../config/index.ts';
import { networkPolicyName } from './names.ts';
import { findClaims } from './volumes/sources.ts';

/** A rule of a Role. The client's type is not named here: every function would have it in its bundle. */
export type Rule = { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] };

/** One thing that Kubernetes may permit, as a SelfSubjectAccessReview asks about it. */
export type Right = Readonly<{
  verb: string;
  group: string;
  resource: string;
  subresource?: string;
  /** The one object that it is for; without it, all. */
  name?: string;
}>;

const verbs = ['create', 'get', 'list', 'patch', 'delete'];

/** What the provisioner and its clean-up call in their namespace with these settings, and nothing else: a test holds the two together. */
export function findNeededRules({ networkPolicy, volumes, metrics }: Config): Rule[] {
  const claims = findClaims(volumes);
  const always = [
    { apiGroups: [''], resources: ['pods', 'services'], verbs: [...verbs] },
    { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
    { apiGroups: [''], resources: ['events'], verbs: ['list'] },
    // In a Role, it is the Role's own namespace alone that may be read.
    { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
    ...(metrics === 'off' ? [] : [{ apiGroups: [''], resources: ['resourcequotas'], verbs: ['list'] }]),
    ...(claims.length === 0
      ? []
      : [{ apiGroups: [''], resources: ['persistentvolumeclaims'], resourceNames: claims, verbs: ['get'] }]),
  ];
  const policies = { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] };
  const named = { ...policies, resourceNames: [networkPolicyName] };
  if (networkPolicy === undefined) return always;
  if (networkPolicy === 'none') return [...always, { ...named, verbs: ['delete'] }];
  // Nobody can be permitted to create an object of one name alone.
  return [...always, { ...named, verbs: ['get', 'update'] }, { ...policies, verbs: ['create'] }];
}

/** What it takes to make the namespace: the one right outside of it. */
export const namespaceCreation: Right = { verb: 'create', group: '', resource: 'namespaces' };

/** The rule that gives it. */
export const namespaceCreationRule: Rule = { apiGroups: [''], resources: ['namespaces'], verbs: ['create'] };

/** Each right that these rules give. */
export const listRights = (rules: readonly Rule[]): Right[] =>
  rules.flatMap(({ apiGroups, resources, resourceNames = [''], verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((path) =>
        resourceNames.flatMap((name) =>
          verbs.map((verb) => {
            const [resource = '', subresource] = path.split('/');
            return { verb, group, resource, ...(subresource && { subresource }), ...(name && { name }) };
          }),
        ),
      ),
    ),
  );

/** A right in words: `delete pods`, `get pods/log`, and where it is for one object alone, `get networkpolicies/sandbox-provisioner`. */
export const describeRight = ({ verb, resource, subresource, name }: Right): string =>
  `${verb} ${resource}${subresource ? `/${subresource}` : ''}${name ? `/${name}` : ''}`;
