import { createHash } from 'node:crypto';
import type {
  V1Namespace,
  V1OwnerReference,
  V1Pod,
  V1PodSpec,
  V1SecurityContext,
  V1Service,
} from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import {
  lastUsedAtAnnotation,
  lastUsedByAnnotation,
  namespaceLabels,
  podName,
  sandboxIdLabel,
  sandboxLabels,
  serviceName,
  specHashAnnotation,
  threadIdAnnotation,
  ttlSecondsAnnotation,
} from './names.ts';
import type { CreateSandboxRequest } from './request.ts';

/** Who uses a sandbox now: the request's id and the time of it, and for how long it may go unused from then on. */
export type Use = Readonly<{ at: Date; requestId: string; ttlSeconds?: number | undefined }>;

/** The annotations that record a use. */
export const useAnnotations = (use: Use): Record<string, string> => ({
  [lastUsedAtAnnotation]: use.at.toISOString(),
  [lastUsedByAnnotation]: use.requestId,
  ...(use.ttlSeconds !== undefined && { [ttlSecondsAnnotation]: String(use.ttlSeconds) }),
});

/** The namespace of all sandboxes. */
export const buildNamespace = (name: string): V1Namespace => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { ...namespaceLabels } },
});

/** The Service of a sandbox: the original's, and beside it what this project remembers of the sandbox. */
export const buildService = (request: CreateSandboxRequest, use: Use, namespace: string): V1Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: serviceName(request.sandboxId),
    namespace,
    labels: sandboxLabels(request.sandboxId),
    annotations: { [threadIdAnnotation]: request.threadId, ...useAnnotations(use) },
  },
  spec: {
    type: 'NodePort',
    ports: [{ name: 'http', port: 8080, targetPort: 8080, protocol: 'TCP' }],
    selector: { [sandboxIdLabel]: request.sandboxId },
    ...openEarly,
  },
});

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

const buildPodSpec = (request: CreateSandboxRequest, config: SandboxSettings): V1PodSpec => ({
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  restartPolicy: 'Always',
  ...(config.runtimeClass !== undefined && { runtimeClassName: config.runtimeClass }),
  containers: [
    {
      name: 'sandbox',
      image: config.sandboxImage,
      imagePullPolicy: 'IfNotPresent',
      ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
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
      volumeMounts: [
        { name: 'skills', mountPath: '/mnt/skills', readOnly: true },
        { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false },
      ],
      securityContext: buildSecurityContext(config),
    },
  ],
  volumes: [
    { name: 'skills', hostPath: { path: config.skillsHostPath, type: 'Directory' } },
    {
      name: 'user-data',
      hostPath: { path: `${config.threadsHostPath}/${request.threadId}/user-data`, type: 'DirectoryOrCreate' },
    },
  ],
});

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

/** The original's, but for its delays: the other two begin when the startup probe has succeeded, a second after the process listens. */
const probe = { httpGet: { path: '/v1/sandbox', port: 8080 }, timeoutSeconds: 3 };

/**
 * How long a sandbox may take to listen before it is restarted. The original restarts one after some 40 s, and so for ever where
 * an image boots for longer; its callers wait for a minute, then delete. Five minutes wait for the slowest image, and end one
 * that hangs (after fifteen, where it accepts and does not answer: each look takes 3 s then).
 */
const startupPatienceSeconds = 300;
