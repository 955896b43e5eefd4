import type { SandboxSettings } from './cluster.ts';
import type { KubernetesObject } from './kubernetes-client.ts';

/** Whose sandbox it is. */
export interface SandboxNames {
  readonly sandboxId: string;
  readonly threadId: string;
}

function originalLabels(sandboxId: string): Record<string, string> {
  return {
    app: 'deer-flow-sandbox',
    'sandbox-id': sandboxId,
    'app.kubernetes.io/name': 'deer-flow',
    'app.kubernetes.io/component': 'sandbox',
  };
}

/** The Pod that the original provisioner makes, field by field. */
export function originalPod({ sandboxId, threadId }: SandboxNames, settings: SandboxSettings): object {
  const probe = { httpGet: { path: '/v1/sandbox', port: 8080 }, timeoutSeconds: 3, failureThreshold: 3 };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `sandbox-${sandboxId}`, labels: originalLabels(sandboxId) },
    spec: {
      containers: [
        {
          name: 'sandbox',
          image: settings.SANDBOX_IMAGE,
          imagePullPolicy: 'IfNotPresent',
          ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
          readinessProbe: { ...probe, initialDelaySeconds: 5, periodSeconds: 5 },
          livenessProbe: { ...probe, initialDelaySeconds: 10, periodSeconds: 10 },
          resources: {
            requests: { cpu: '100m', memory: '256Mi', 'ephemeral-storage': '500Mi' },
            limits: { cpu: '1000m', memory: '1Gi', 'ephemeral-storage': '500Mi' },
          },
          volumeMounts: [
            { name: 'skills', mountPath: '/mnt/skills', readOnly: true },
            { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false },
          ],
          securityContext: { privileged: false, allowPrivilegeEscalation: true },
        },
      ],
      volumes: [
        { name: 'skills', hostPath: { path: settings.SKILLS_HOST_PATH, type: 'Directory' } },
        {
          name: 'user-data',
          hostPath: { path: `${settings.THREADS_HOST_PATH}/${threadId}/user-data`, type: 'DirectoryOrCreate' },
        },
      ],
      restartPolicy: 'Always',
    },
  };
}

/** The Service that the original provisioner makes, field by field. */
export function originalService({ sandboxId }: Pick<SandboxNames, 'sandboxId'>): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `sandbox-${sandboxId}-svc`, labels: originalLabels(sandboxId) },
    spec: {
      type: 'NodePort',
      ports: [{ name: 'http', port: 8080, targetPort: 8080, protocol: 'TCP' }],
      selector: { 'sandbox-id': sandboxId },
    },
  };
}

/** The object with these fields of its metadata and its spec, in the place of its own. */
export function alter(object: object, { metadata, spec }: { metadata?: object; spec?: object }): object {
  const given = object as { metadata: object; spec: object };
  return { ...given, metadata: { ...given.metadata, ...metadata }, spec: { ...given.spec, ...spec } };
}

/** For the spec of a Pod that no node takes: no kubelet changes what is said of it. */
export const onNoNode = { nodeSelector: { 'no-such': 'node' } };

/** For the metadata of a Pod that the Service owns. */
export const ownedBy = (service: KubernetesObject | undefined) => ({
  ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: service?.metadata.name, uid: service?.metadata.uid }],
});

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * A spec without what this project adds to the original's, or takes from it: the Pod's token and its variables for every Service,
 * and what opens a sandbox as soon as it listens.
 */
export function withoutAdditions<T extends object>(spec: T): T {
  const copy = structuredClone(spec) as T & Record<string, unknown> & { containers?: Record<string, object>[] };
  for (const field of ['automountServiceAccountToken', 'enableServiceLinks', 'publishNotReadyAddresses'] as const) {
    delete copy[field];
  }
  for (const container of copy.containers ?? []) {
    delete container.startupProbe;
    for (const probe of [container.readinessProbe, container.livenessProbe] as { initialDelaySeconds?: number }[]) {
      delete probe.initialDelaySeconds;
    }
  }
  return copy;
}

/**
 * What there is to compare in a Pod or Service: name, labels and spec, without what differs from one object to the next
 * (addresses, ports, the node) and without this project's additions.
 */
export function comparable(object: KubernetesObject): object {
  const { name, labels } = object.metadata;
  const spec = withoutAdditions(object.spec);
  for (const field of ['nodeName', 'clusterIP', 'clusterIPs']) delete spec[field];
  for (const port of spec.ports ?? []) delete port.nodePort;
  const tokens = new Set<string>();
  for (const container of spec.containers ?? []) {
    for (const mount of container.volumeMounts) if (mount.mountPath === TOKEN_PATH) tokens.add(mount.name);
    container.volumeMounts = container.volumeMounts.filter(({ name }: { name: string }) => !tokens.has(name));
  }
  if (spec.volumes) spec.volumes = spec.volumes.filter(({ name }: { name: string }) => !tokens.has(name));
  return { name, labels, spec };
}
