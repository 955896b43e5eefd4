import { createHash } from 'node:crypto';
import type {
  V1Namespace,
  V1OwnerReference,
  V1Pod,
  V1PodSpec,
  V1SecurityContext,
  V1Service,
  V1ServicePort,
} from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import { metadataLabels } from './metadata.ts';
import {
  lastUsedAtAnnotation,
  lastUsedByAnnotation,
  maxShellSessionsVariable,
  namespaceLabels,
  podName,
  sandboxIdLabel,
  sandboxLabels,
  serviceName,
  specHashAnnotation,
  threadIdAnnotation,
  ttlSecondsAnnotation,
  userIdAnnotation,
} from './names.ts';
import type { CreateSandboxRequest } from './request.ts';
import { buildVolumes } from './volumes/index.ts';

/** Who uses a sandbox now: the request's id and the time of it, and for how long it may go unused from then on. */
export type Use = Readonly<{ at: Date; requestId: string; ttlSeconds?: number | undefined }>;

/** The annotations that record a use. */
export const useAnnotations = (use: Use): Record<string, string> => ({
  [lastUsedAtAnnotation]: use.at.toISOString(),
  [lastUsedByAnnotation]: use.requestId,
  ...(use.ttlSeconds !== undefined && { [ttlSecondsAnnotation]: String(use.ttlSeconds) }),
});

/** The annotations that say whose a sandbox is, as far as it is known. */
export const ownerAnnotations = ({
  threadId,
  userId,
}: {
  threadId?: string | undefined;
  userId?: string | undefined;
}) => ({
  ...(threadId !== undefined && { [threadIdAnnotation]: threadId }),
  ...(userId !== undefined && { [userIdAnnotation]: userId }),
});

/** The namespace of all sandboxes. */
export const buildNamespace = (name: string): V1Namespace => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { ...namespaceLabels } },
});

/** The Service of a sandbox: the original's, and beside it what this project remembers of the sandbox. */
export const buildService = (
  request: CreateSandboxRequest,
  use: Use,
  namespace: string,
  config: SandboxSettings,
): V1Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: serviceName(request.sandboxId),
    namespace,
    labels: { ...sandboxLabels(request.sandboxId), ...metadataLabels(request.metadata ?? {}) },
    annotations: { ...ownerAnnotations(request), ...useAnnotations(use) },
  },
  spec: {
    ...typeFields[config.serviceType],
    ports: [buildPort(config)],
    selector: { [sandboxIdLabel]: request.sandboxId },
    ...openEarly,
  },
});

/** What makes a Service of each type. A headless one is its Pod's address by name alone: nothing is allocated, no node has rules for it. */
const typeFields = {
  NodePort: { type: 'NodePort' },
  ClusterIP: { type: 'ClusterIP' },
  Headless: { type: 'ClusterIP', clusterIP: 'None' },
} as const;

/** A name that leads nowhere (RFC 2606), for a Service on its way from one type to another. */
const nowhere = 'sandbox.invalid';

/** What a Service is for a moment while it loses or gets an address of the cluster. The only name that it may have then. */
export const passage = { type: 'ExternalName', externalName: nowhere } as const;

/** Which type of the settings a Service has; undefined for one on its way, and for one that somebody made something else. */
function findServiceType({ spec }: V1Service): SandboxSettings['serviceType'] | undefined {
  if (spec?.type === 'ClusterIP') return spec.clusterIP === 'None' ? 'Headless' : 'ClusterIP';
  return spec?.type === 'NodePort' ? 'NodePort' : undefined;
}

/** Whether a Service is on its way from one type to another: `findServiceChange` has the rest of it. */
export const isOnItsWay = ({ spec }: V1Service): boolean => spec?.type === passage.type;

const buildPort = ({ containerPort }: SandboxSettings): V1ServicePort => ({
  name: 'http',
  port: containerPort,
  targetPort: containerPort,
  protocol: 'TCP',
});

/**
 * What is to be changed next of a Service for it to be as the settings say, as a merge patch of its spec; undefined if nothing is. Where
 * it keeps its type, it keeps its NodePort, and so its URL. Kubernetes lets no Service lose or get its `clusterIP` but by way of an
 * `ExternalName`: that takes two changes.
 */
export function findServiceChange(service: V1Service, config: SandboxSettings): object | undefined {
  const port = service.spec?.ports?.find(({ name }) => name === 'http');
  const wanted = buildPort(config);
  const type = findServiceType(service);
  const isOfType = type === config.serviceType;
  if (isOfType && port?.port === wanted.port && port.targetPort === wanted.targetPort) return undefined;
  if (!isOfType && type !== undefined && [type, config.serviceType].includes('Headless')) {
    return { ...passage, ports: [wanted] };
  }
  const nodePort = isOfType && port?.nodePort ? { nodePort: port.nodePort } : {};
  const endOfPassage = isOnItsWay(service) && { externalName: null };
  return { ...typeFields[config.serviceType], ...endOfPassage, ports: [{ ...wanted, ...nodePort }] };
}

/** The settings for a Pod behind this Service: where it could not be changed, its Pod listens where the Service leads. */
export function withPortOf(service: V1Service, config: SandboxSettings): SandboxSettings {
  const targetPort = service.spec?.ports?.find(({ name }) => name === 'http')?.targetPort;
  return typeof targetPort === 'number' ? { ...config, containerPort: targetPort } : config;
}

/**
 * Opens the NodePort as soon as the sandbox's process listens, not only when the Pod is ready: there is one Pod behind it, and
 * callers ask until it answers. A Service of an older version, or of the original, gets it with its next create.
 */
export const openEarly = { publishNotReadyAddresses: true } as const;

/**
 * What makes a Pod the Service's, and goes with it. Neither `controller` nor `blockOwnerDeletion`: the garbage collector needs
 * neither, and the second asks for the right to update finalizers (OwnerReferencesPermissionEnforcement).
 */
export const buildOwner = (service: V1Service): V1OwnerReference => ({
  apiVersion: 'v1',
  kind: 'Service',
  name: service.metadata?.name ?? '',
  uid: service.metadata?.uid ?? '',
});

/**
 * The Pod of a sandbox: the original's, owned by its Service, and without what a sandbox has no business with: a token for
 * the Kubernetes API and the addresses of every other Service.
 */
export function buildPod(request: CreateSandboxRequest, owner: V1Service, config: SandboxSettings): V1Pod {
  const spec = buildPodSpec(request, config);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(request.sandboxId),
      namespace: owner.metadata?.namespace ?? '',
      labels: sandboxLabels(request.sandboxId),
      annotations: { [specHashAnnotation]: hashSpec(spec) },
      ownerReferences: [buildOwner(owner)],
    },
    spec,
  };
}

/** Whether this Pod was made of another request or of other settings than these; so it is where nobody noted what of. */
export const isMadeOtherwise = (pod: V1Pod, request: CreateSandboxRequest, config: SandboxSettings): boolean =>
  pod.metadata?.annotations?.[specHashAnnotation] !== hashSpec(buildPodSpec(request, config));

/** Not compared as Kubernetes has it: there it has defaults, other spellings of quantities, and what webhooks put in. */
const hashSpec = (spec: V1PodSpec): string =>
  createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 16);

function buildPodSpec(request: CreateSandboxRequest, config: SandboxSettings): V1PodSpec {
  const { volumes, volumeMounts } = buildVolumes(request, config.volumes);
  const probe = { httpGet: { path: '/v1/sandbox', port: config.containerPort }, timeoutSeconds: 3 };
  const { maxShellSessions } = request;
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    restartPolicy: 'Always',
    ...(config.runtimeClass !== undefined && { runtimeClassName: config.runtimeClass }),
    containers: [
      {
        name: 'sandbox',
        image: config.sandboxImage,
        imagePullPolicy: 'IfNotPresent',
        ports: [{ name: 'http', containerPort: config.containerPort, protocol: 'TCP' }],
        ...(maxShellSessions !== undefined && {
          env: [{ name: maxShellSessionsVariable, value: String(maxShellSessions) }],
        }),
        // The original's probes, but for their delays: the other two begin when the startup probe has succeeded, a second after the
        // process listens.
        startupProbe: { ...probe, periodSeconds: 1, failureThreshold: startupPatienceSeconds },
        readinessProbe: { ...probe, periodSeconds: 5, failureThreshold: 3 },
        livenessProbe: { ...probe, periodSeconds: 10, failureThreshold: 3 },
        resources: {
          requests: {
            cpu: config.cpuRequest,
            memory: config.memoryRequest,
            'ephemeral-storage': config.ephemeralStorageRequest,
          },
          limits: {
            cpu: config.cpuLimit,
            memory: config.memoryLimit,
            'ephemeral-storage': config.ephemeralStorageLimit,
          },
        },
        volumeMounts,
        securityContext: buildSecurityContext(config),
      },
    ],
    volumes,
  };
}

/**
 * What the process of a sandbox may do, as the Pod Security Standards name it. `original` sets no seccomp profile, which most
 * clusters take for none at all; `baseline` differs in that alone. With all of them the kernel is the node's own, unless there
 * is a runtime class.
 */
function buildSecurityContext({ podSecurity, runAsUser }: SandboxSettings): V1SecurityContext {
  const user = runAsUser === undefined ? {} : { runAsUser, runAsGroup: runAsUser };
  if (podSecurity === 'original') return { privileged: false, allowPrivilegeEscalation: true, ...user };
  const seccompProfile = { type: 'RuntimeDefault' };
  if (podSecurity === 'baseline') {
    return { privileged: false, allowPrivilegeEscalation: true, seccompProfile, ...user };
  }
  const capabilities = { drop: ['ALL'] };
  return {
    privileged: false,
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities,
    seccompProfile,
    ...user,
  };
}

/**
 * How long a sandbox may take to listen before it is restarted. The original restarts one after some 40 s, and so for ever where
 * an image boots for longer; its callers wait for a minute, then delete. Five minutes wait for the slowest image, and end one
 * that hangs (after fifteen, where it accepts and does not answer: each look takes 3 s then).
 */
const startupPatienceSeconds = 300;
