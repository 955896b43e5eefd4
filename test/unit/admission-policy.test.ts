import { isCelError, run } from '@bufbuild/cel';
import type { V1ValidatingAdmissionPolicy } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { passage } from '../../lib/model/manifests.ts';
import { buildAdmissionPolicies } from '../../lib/tools/admission-policy.ts';
import type { Subject } from '../../lib/tools/rbac-manifests.ts';
import {
  mounting,
  podOf,
  podWith,
  reasons,
  refusedPods,
  refusedServices,
  type Settings,
  serviceOf,
  settings,
} from '../support/admission-cases.ts';
import { printRights, readPrinted } from '../support/rights.ts';

// No Kubernetes of 1.30 is at hand: the expressions are evaluated by another implementation of CEL, as the API server does it
// (staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating).

const subjects: Subject[] = [
  { kind: 'User', name: "o'neil" },
  { kind: 'Group', name: 'one' },
  { kind: 'ServiceAccount', name: 'three', namespace: 'a' },
];

function policyOf(resource: 'pods' | 'services', some: Settings = {}, who = subjects): V1ValidatingAdmissionPolicy {
  const policies = buildAdmissionPolicies(loadConfig({ ...settings, ...some }), who, { inEveryNamespace: true });
  return policies[resource === 'pods' ? 0 : 2] as never;
}

type Request = {
  operation?: 'CREATE' | 'UPDATE' | 'DELETE';
  resource?: 'pods' | 'services';
  subResource?: string;
  namespace?: string;
  userInfo?: object;
  object?: object;
  oldObject?: object;
  policy?: V1ValidatingAdmissionPolicy;
};

/** The reasons for which a request is refused; undefined where the policy does not judge who makes it. */
function judge({ resource = 'pods', policy = policyOf(resource), operation = 'CREATE', ...request }: Request) {
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value ?? null));
  const bindings = {
    request: plain({
      operation,
      resource: { group: '', version: 'v1', resource },
      subResource: request.subResource,
      userInfo: request.userInfo ?? { username: 'x', groups: ['one', 'system:authenticated'] },
    }),
    object: plain(operation === 'DELETE' ? null : request.object),
    oldObject: plain(operation === 'CREATE' ? null : (request.oldObject ?? request.object)),
    namespaceObject: { metadata: { name: request.namespace ?? 'agents' } },
  };
  const { matchConditions = [], variables = [], validations = [] } = policy.spec ?? {};
  if (matchConditions.some(({ expression }) => run(expression, bindings) !== true)) return undefined;
  const values = variables.map(({ name, expression }) => [name, run(expression, bindings)] as const);
  expect(values.filter(([, value]) => isCelError(value))).toEqual([]);
  const all = { ...bindings, variables: new Map(values) as never };
  return validations
    .filter(({ expression }) => run(expression, all) !== true)
    .map(({ message }) => message?.replace('The provisioner must not do this: ', ''));
}

describe('the admission policy', () => {
  it.each([
    ['by default', {}],
    ['confined', { SANDBOX_POD_SECURITY: 'restricted', SANDBOX_RUN_AS_USER: '1000', SANDBOX_RUNTIME_CLASS: 'gvisor' }],
    ['with other folders', { SKILLS_HOST_PATH: '/mnt/$x|y', THREADS_HOST_PATH: '/' }],
    ['in another namespace', { K8S_NAMESPACE: 'others' }],
    ['headless', { SANDBOX_SERVICE_TYPE: 'Headless' }],
  ])('lets through what the provisioner makes, changes and deletes: %s', (_what, some) => {
    const namespace = (some as Settings).K8S_NAMESPACE ?? 'agents';
    for (const operation of ['CREATE', 'UPDATE', 'DELETE'] as const) {
      const made = { namespace, operation };
      expect(judge({ ...made, policy: policyOf('pods', some), object: podOf(some) })).toEqual([]);
      const policy = policyOf('services', some);
      expect(judge({ ...made, policy, resource: 'services', object: serviceOf(some) })).toEqual([]);
    }
  });

  it.each(refusedPods)('refuses a Pod with %s', (_what, object, reason) => {
    expect(judge({ object })).toEqual([reasons[reason]]);
  });

  it.each(refusedServices)('refuses a Service with %s, new or changed', (_what, object, reason) => {
    expect(judge({ resource: 'services', object })).toEqual([reasons[reason]]);
    expect(judge({ resource: 'services', operation: 'UPDATE', object, oldObject: serviceOf() })).toEqual([
      reasons[reason],
    ]);
  });

  it.each([
    ['to take over', 'UPDATE', 'pods', podOf()],
    ['to take over', 'UPDATE', 'services', serviceOf()],
    ['to delete', 'DELETE', 'pods', undefined],
    ['to delete', 'DELETE', 'services', undefined],
  ] as const)('leaves nothing of others %s: %s %s', (_what, operation, resource, object) => {
    const oldObject = { metadata: { name: 'database', labels: { app: 'database' } }, spec: {} };
    expect(judge({ operation, resource, oldObject, ...(object && { object }) })).toEqual([reasons.marks]);
  });

  it('looks at a container that is added to a Pod, and not at what a Pod had before the settings changed', () => {
    const debugged = podWith({ ephemeralContainers: [{ securityContext: { privileged: true } }] });
    const addition = { operation: 'UPDATE', subResource: 'ephemeralcontainers' } as const;
    expect(judge({ ...addition, object: debugged, oldObject: podOf() })).toEqual([reasons.power]);
    expect(judge({ operation: 'UPDATE', object: mounting('/before') })).toEqual([]);
    expect(judge({ operation: 'DELETE', object: mounting('/before') })).toEqual([]);
  });

  it('lets a Service change its type by way of a name that leads nowhere', () => {
    const made = serviceOf({ SANDBOX_SERVICE_TYPE: 'Headless' });
    const object = { ...made, spec: { ...made.spec, ...passage } };
    expect(judge({ resource: 'services', operation: 'UPDATE', object, oldObject: made })).toEqual([]);
  });

  it('lets a Pod mount a claim', () => {
    expect(judge({ object: podWith({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] }) })).toEqual(
      [],
    );
  });

  it.each([
    ['a user', { username: "o'neil" }, true],
    ['a member of the group', { username: 'x', groups: ['system:authenticated', 'one'] }, true],
    ['the service account', { username: 'system:serviceaccount:a:three' }, true],
    ['an administrator', { username: 'admin', groups: ['system:masters'] }, false],
    ['the service account of another namespace', { username: 'system:serviceaccount:b:three' }, false],
    ['a user whose name is that of the group', { username: 'one' }, false],
    ['nobody', {}, false],
  ])('judges %s: %3$s', (_what, userInfo, isJudged) => {
    expect(judge({ userInfo, object: mounting('/') })).toEqual(isJudged ? [reasons.volumes] : undefined);
  });

  it('judges users where it names no group, and groups where it names no user', () => {
    for (const subject of subjects) {
      const userInfo = { username: subject.kind === 'User' ? subject.name : 'x', groups: ['one'] };
      const judged = judge({ policy: policyOf('pods', {}, [subject]), userInfo, object: podOf() });
      expect(judged).toEqual(subject.kind === 'ServiceAccount' ? undefined : []);
    }
  });

  it('refuses another namespace, to rights that hold in every one', () => {
    expect(judge({ namespace: 'kube-system', object: podOf() })).toEqual([reasons.namespace]);
  });

  it.each([
    ['--user', { matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'agents' } } } }],
    ['--create-namespace', {}],
  ])('is printed with its binding behind the rights, where it is asked for: %s', (option, scope) => {
    const options = [...(option === '--user' ? [] : [option]), '--user', 'u'];
    const rights = readPrinted(printRights(options, settings));
    const printed = readPrinted(printRights([...options, '--admission-policy'], settings));
    const inEveryNamespace = option === '--create-namespace';
    const policies = buildAdmissionPolicies(loadConfig(settings), [{ kind: 'User', name: 'u' }], { inEveryNamespace });
    expect(printed).toEqual([...rights, ...policies]);
    const name = 'sandbox-provisioner.agents.';
    const operations = ['CREATE', 'UPDATE', 'DELETE'];
    const of = (...resources: string[]) => ({ apiGroups: [''], apiVersions: ['v1'], operations, resources });
    const spec = (rule: object) => ({ failurePolicy: 'Fail', matchConstraints: { resourceRules: [rule] } });
    const binding = (policyName: string) => ({ policyName, validationActions: ['Deny'], ...scope });
    expect(policies).toMatchObject([
      { metadata: { name: `${name}pods` }, spec: spec(of('pods', 'pods/ephemeralcontainers')) },
      { metadata: { name: `${name}pods` } },
      { metadata: { name: `${name}services` }, spec: spec(of('services')) },
      { metadata: { name: `${name}services` } },
    ]);
    expect(policies[1]?.spec).toStrictEqual(binding(`${name}pods`));
    expect(policies[3]?.spec).toStrictEqual(binding(`${name}services`));
  });
});
