import type { V1Namespace, V1OwnerReference, V1Pod, V1SecurityContext, V1Service } from '@kubernetes/client-node';
import type { Config } from './config.ts';
import {
  lastUsedAtAnnotation,
  lastUsedByAnnotation,
  namespaceLabels,
  podName,
  sandboxIdLabel,
  sandboxLabels,
  serviceName,
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
export const buildNamespace = (config: Config): V1Namespace => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: config.namespace, labels: { ...namespaceLabels } },
});

/** The Service of a sandbox: the original's, and beside it what this project remembers of the sandbox. */
export const buildService = (request: CreateSandboxRequest, use: Use, config: Config): V1Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: serviceName(request.sandboxId),
    namespace: config.namespace,
    labels: sandboxLabels(request.sandboxId),
    annotations: { [threadIdAnnotation]: request.threadId, ...useAnnotations(use) },
  },
  spec: {
    type: 'NodePort',
    ports: [{ name: 'http', port: 8080, targetPort: 8080, protocol: 'TCP' }],
    selector: { [sandboxIdLabel]: request.sandboxId },
  },
});

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
export const buildPod = (request: CreateSandboxRequest, owner: V1Service, config: Config): V1Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: podName(request.sandboxId),
    namespace: config.namespace,
    labels: sandboxLabels(request.sandboxId),
    ownerReferences: [buildOwner(owner)],
  },
  spec: {
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
        readinessProbe: {
          httpGet: probed,
          initialDelaySeconds: 5,
          periodSeconds: 5,
          timeoutSeconds: 3,
          failureThreshold: 3,
        },
        livenessProbe: {
          httpGet: probed,
          initialDelaySeconds: 10,
          periodSeconds: 10,
          timeoutSeconds: 3,
          failureThreshold: 3,
        },
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
  },
});

/**
 * What the process of a sandbox may do, as the Pod Security Standards name it. `original` sets no seccomp profile, which most
 * clusters take for none at all; `baseline` differs in that alone. With all of them the kernel is the node's own, unless there
 * is a runtime class.
 */
function buildSecurityContext({ podSecurity, runAsUser }: Config): V1SecurityContext {
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

const probed = { path: '/v1/sandbox', port: 8080 };
