import type {
  V1MatchCondition,
  V1ValidatingAdmissionPolicy,
  V1ValidatingAdmissionPolicyBinding,
  V1ValidatingAdmissionPolicySpec,
  V1Validation,
} from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';
import { passage } from '../model/manifests.ts';
import {
  namespaceLabels,
  podName,
  sandboxIdLabel,
  sandboxIdPattern,
  sandboxLabel,
  serviceName,
  threadIdPattern,
  userIdPattern,
} from '../model/names.ts';
import type { Subject } from './rbac-manifests.ts';

export type AdmissionObject = V1ValidatingAdmissionPolicy | V1ValidatingAdmissionPolicyBinding;

/**
 * What these subjects may make of Pods and Services, and where it holds: a ValidatingAdmissionPolicy for each of the two kinds, and its
 * binding, for Kubernetes 1.30 and newer. Rights alone cannot say it: who may create any Pod can mount any folder of a node,
 * and so is root there. It holds in the configured namespace; with `inEveryNamespace`, for rights that hold everywhere, it
 * refuses all others. Deleting is judged too; reading cannot be.
 */
export function buildAdmissionPolicies(
  config: Config,
  subjects: readonly Subject[],
  scope: { inEveryNamespace: boolean },
): AdmissionObject[] {
  const isInNamespace = refuseUnless(
    `namespaceObject.metadata.name == ${quote(config.namespace)}`,
    'it is in another namespace.',
  );
  const marks = 'it does not bear the labels and the name of a sandbox.';
  return [
    ...buildPolicy(['pods', 'pods/ephemeralcontainers'], {
      variables: [{ name: 'isMade', expression: isPodMade }],
      validations: [isInNamespace, refuseUnless(bearsMarks(podName), marks), ...buildPodRules(config)],
    }),
    ...buildPolicy(['services'], {
      validations: [isInNamespace, refuseUnless(bearsMarks(serviceName), marks), serviceRule],
    }),
  ];

  function buildPolicy(resources: string[], rules: V1ValidatingAdmissionPolicySpec): AdmissionObject[] {
    // They are the cluster's: those of two namespaces must not take each other's place.
    const name = `sandbox-provisioner.${config.namespace}.${resources[0]}`;
    const metadata = { name, labels: { ...namespaceLabels } };
    const apiVersion = 'admissionregistration.k8s.io/v1';
    const operations = ['CREATE', 'UPDATE', 'DELETE'];
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': config.namespace } };
    return [
      {
        apiVersion,
        kind: 'ValidatingAdmissionPolicy',
        metadata,
        spec: {
          // An expression that fails on what it is given refuses it.
          failurePolicy: 'Fail',
          matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations, resources }] },
          matchConditions: [matchSubjects(subjects)],
          ...rules,
        },
      },
      {
        apiVersion,
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata,
        spec: {
          policyName: name,
          validationActions: ['Deny'],
          ...(!scope.inEveryNamespace && { matchResources: { namespaceSelector } }),
        },
      },
    ];
  }
}

/** A Pod is looked at where it is new or gets a container: nothing else of what is judged can be changed in one. */
const isPodMade = `request.operation == "CREATE" || (request.operation == "UPDATE" &&
  has(request.subResource) && request.subResource == "ephemeralcontainers")`;

function buildPodRules(config: Config): V1Validation[] {
  const rules: [string, string][] = [
    // The first that fails is told, and Kubernetes mounts a token by itself.
    [hasNoCredentials, 'it has a service account or its token, or reads a Secret.'],
    [buildVolumeRule(config), 'it mounts more than the folders of a sandbox.'],
    [staysOffNode, 'it takes part in its node: network, processes, IPC or ports.'],
    [hasNoPower, 'a container is privileged, or has capabilities of its own.'],
  ];
  return rules.map(([expression, reason]) => refuseUnless(`!variables.isMade || (${expression})`, reason));
}

/** Before and after, as `findSandboxId` of the model has it. */
function bearsMarks(nameOf: (sandboxId: string) => string): string {
  const [before = '', after = ''] = nameOf('|').split('|').map(quote);
  const bears = (object: string) => {
    const labels = `${object}.metadata.labels`;
    const id = `${labels}[${quote(sandboxIdLabel)}]`;
    return `has(${labels}) && "app" in ${labels} && ${labels}["app"] == ${quote(sandboxLabel.app)} &&
  ${quote(sandboxIdLabel)} in ${labels} && ${id}.matches(${quote(sandboxIdPattern.source)}) &&
  ${object}.metadata.name == ${before} + ${id} + ${after}`;
  };
  return `(request.operation == "CREATE" || (${bears('oldObject')})) &&
(request.operation == "DELETE" || (${bears('object')}))`;
}

/**
 * The folders of the node that a sandbox's Pod may mount, as expressions of RE2 for the whole path. Not whatever lies under the
 * settings' folders: in those, a sandbox can make a link to `/`, and a `hostPath` follows it.
 */
function buildHostPathPatterns({ volumes: { skills, userData, stateRoot } }: Config): string[] {
  const [user, thread] = [userIdPattern, threadIdPattern].map(({ source }) => source.slice(1, -1));
  const below = (root: string, ...folders: string[]) =>
    folders.map((folder) => `^${escapePattern(root === '/' ? '' : root)}/${folder}$`);
  return [
    ...(skills.in === 'folder' ? [`^${escapePattern(skills.path)}$`] : []),
    ...(skills.in === 'projections' && userData.in !== 'claim'
      ? below(skills.root, 'skills_view/public', `users/${user}/skills_view/(custom|legacy)`)
      : []),
    ...(userData.in === 'threads' ? below(userData.root, `${thread}/user-data`) : []),
    ...(userData.in === 'users' ? below(userData.root, `users/${user}/threads/${thread}/user-data`) : []),
    // What DeerFlow's callers ask to mount beside these.
    ...(userData.in !== 'claim' && stateRoot !== undefined
      ? below(
          stateRoot,
          'skills_view/[A-Za-z0-9_-]+',
          'integrations/lark-cli/sandbox-cli',
          `users/${user}/(threads/${thread}/)?skills_view/[A-Za-z0-9_-]+`,
          `users/${user}/threads/${thread}/acp-workspace`,
          `users/${user}/integrations/lark-cli/(config|config/locks|data)`,
        )
      : []),
  ];
}

/** Other kinds reach Secrets, tokens, or the node in other ways. A claim is of the namespace. */
const buildVolumeRule = (config: Config): string =>
  `!has(object.spec.volumes) || object.spec.volumes.all(v, has(v.persistentVolumeClaim) || (has(v.hostPath) && (
  ${buildHostPathPatterns(config)
    .map((pattern) => `v.hostPath.path.matches(${quote(pattern)})`)
    .join(' ||\n  ')})))`;

const staysOffNode = `${['hostNetwork', 'hostPID', 'hostIPC']
  .map((field) => `(!has(object.spec.${field}) || !object.spec.${field})`)
  .join(' && ')} &&
${everyContainer('!has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0)')}`;

const hasNoPower = everyContainer(`!has(c.securityContext) || (
    (!has(c.securityContext.privileged) || !c.securityContext.privileged) &&
    (!has(c.securityContext.capabilities) || !has(c.securityContext.capabilities.add) || size(c.securityContext.capabilities.add) == 0) &&
    (!has(c.securityContext.procMount) || c.securityContext.procMount == "Default"))`);

/** `default` is what Kubernetes puts in where no service account is named. */
const hasNoCredentials = `has(object.spec.automountServiceAccountToken) && !object.spec.automountServiceAccountToken &&
(!has(object.spec.serviceAccountName) || object.spec.serviceAccountName in ["", "default"]) &&
${everyContainer(`(!has(c.env) || c.env.all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef))) &&
    (!has(c.envFrom) || c.envFrom.all(e, !has(e.secretRef)))`)}`;

/** Not joined to one list first: Kubernetes joins lists that have keys in a way of its own. */
function everyContainer(rule: string): string {
  return ['containers', 'initContainers', 'ephemeralContainers']
    .map((list) => `(!has(object.spec.${list}) || object.spec.${list}.all(c, ${rule}))`)
    .join(' &&\n');
}

/**
 * An address of its own choice (`externalIPs`) would take the traffic of others. A name is one that leads nowhere: of a Service that
 * changes its type.
 */
const serviceRule = refuseUnless(
  `request.operation == "DELETE" || (
  has(object.spec.type) && (object.spec.type in ["NodePort", "ClusterIP"] || (object.spec.type == ${quote(passage.type)} &&
    has(object.spec.externalName) && object.spec.externalName == ${quote(passage.externalName)})) && !has(object.spec.externalIPs) &&
  has(object.spec.selector) && object.spec.selector == {${quote(sandboxIdLabel)}: object.metadata.labels[${quote(sandboxIdLabel)}]})`,
  'the Service is not of a kind that a sandbox has, or is not of its own Pod.',
);

/** Nobody else is judged: not the garbage collector, and not you. */
function matchSubjects(subjects: readonly Subject[]): V1MatchCondition {
  const groups = subjects.filter(({ kind }) => kind === 'Group').map(({ name }) => name);
  const users = subjects.flatMap((subject) => {
    if (subject.kind === 'ServiceAccount') return [`system:serviceaccount:${subject.namespace}:${subject.name}`];
    return subject.kind === 'User' ? [subject.name] : [];
  });
  const isUser = `has(request.userInfo.username) && request.userInfo.username in ${quote(users)}`;
  const isInGroup = `has(request.userInfo.groups) && request.userInfo.groups.exists(g, g in ${quote(groups)})`;
  const conditions = [...(users.length > 0 ? [isUser] : []), ...(groups.length > 0 ? [isInGroup] : [])];
  return { name: 'is-the-provisioner', expression: conditions.map((condition) => `(${condition})`).join(' || ') };
}

function refuseUnless(expression: string, reason: string): V1Validation {
  return { expression, message: `The provisioner must not do this: ${reason}` };
}

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** Texts and lists of texts are written in CEL as in JSON. */
function quote(value: string | string[]): string {
  return JSON.stringify(value);
}
