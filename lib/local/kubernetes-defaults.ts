import type { Container, Pod, PodSpec, Probe, Quantities, Service } from './kubernetes-objects.ts';
import { canonicalQuantity } from './kubernetes-quantities.ts';

const TOLERATIONS = ['not-ready', 'unreachable'].map((taint) => ({
  key: `node.kubernetes.io/${taint}`,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 300,
}));

const mapQuantities = (quantities: Quantities): Quantities =>
  Object.fromEntries(Object.entries(quantities).map(([name, value]) => [name, canonicalQuantity(value)]));

function withProbeDefaults(probe: Probe): Probe {
  return {
    ...probe,
    ...(probe.httpGet === undefined ? {} : { httpGet: { path: '/', scheme: 'HTTP', ...probe.httpGet } }),
    timeoutSeconds: probe.timeoutSeconds || 1,
    periodSeconds: probe.periodSeconds || 10,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
  };
}

/** Without a tag, or with `latest`, the image is pulled always. */
function pullPolicyFor(image: string): string {
  if (image.includes('@')) return 'IfNotPresent';
  const tag = /:([^/:]+)$/.exec(image)?.[1] ?? 'latest';
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function withContainerDefaults(container: Container): Container {
  const { requests, limits } = container.resources ?? {};
  // A limit without a request is a request of as much.
  const wanted = limits === undefined && requests === undefined ? undefined : { ...limits, ...requests };
  return {
    ...container,
    imagePullPolicy: container.imagePullPolicy ?? pullPolicyFor(container.image ?? ''),
    terminationMessagePath: container.terminationMessagePath ?? '/dev/termination-log',
    terminationMessagePolicy: container.terminationMessagePolicy ?? 'File',
    resources: {
      ...(limits === undefined ? {} : { limits: mapQuantities(limits) }),
      ...(wanted === undefined ? {} : { requests: mapQuantities(wanted) }),
    },
    ...(container.ports && { ports: container.ports.map((port) => ({ ...port, protocol: port.protocol ?? 'TCP' })) }),
    ...(container.volumeMounts && {
      volumeMounts: container.volumeMounts.map(({ readOnly, ...mount }) => (readOnly ? { ...mount, readOnly } : mount)),
    }),
    ...(container.readinessProbe && { readinessProbe: withProbeDefaults(container.readinessProbe) }),
    ...(container.livenessProbe && { livenessProbe: withProbeDefaults(container.livenessProbe) }),
    ...(container.startupProbe && { startupProbe: withProbeDefaults(container.startupProbe) }),
  };
}

/**
 * A Pod's spec with what Kubernetes fills in. A service account's token is not mounted, whatever
 * `automountServiceAccountToken` says: there are no service accounts here.
 */
export function withPodDefaults(spec: Partial<PodSpec>): PodSpec {
  return {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    serviceAccountName: 'default',
    serviceAccount: spec.serviceAccountName ?? 'default',
    securityContext: {},
    schedulerName: 'default-scheduler',
    priority: 0,
    enableServiceLinks: true,
    preemptionPolicy: 'PreemptLowerPriority',
    ...spec,
    tolerations: spec.tolerations ?? TOLERATIONS,
    containers: (spec.containers ?? []).map(withContainerDefaults),
  };
}

/** Which Pods go first when memory runs out: Kubernetes tells it from requests and limits. */
export function qosClassOf(pod: Pod): string {
  const resources = pod.spec.containers.map((container) => container.resources ?? {});
  const isCounted = (name: string) => name === 'cpu' || name === 'memory';
  const names = resources.flatMap((one) => Object.keys({ ...one.requests, ...one.limits }));
  if (!names.some(isCounted)) return 'BestEffort';
  const guaranteed = resources.every(({ requests, limits }) =>
    ['cpu', 'memory'].every((name) => limits?.[name] !== undefined && limits[name] === requests?.[name]),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** A Service's spec with what Kubernetes fills in, before an address or a port is allocated. */
export function withServiceDefaults(spec: Partial<Service['spec']>): Service['spec'] {
  const type = spec.type || 'ClusterIP';
  const isOutside = type === 'NodePort' || type === 'LoadBalancer';
  return {
    ...spec,
    type,
    sessionAffinity: spec.sessionAffinity || 'None',
    ...(isOutside ? { externalTrafficPolicy: spec.externalTrafficPolicy || 'Cluster' } : {}),
    ...(spec.ports && {
      ports: spec.ports.map((port) => ({
        ...port,
        protocol: port.protocol || 'TCP',
        targetPort: port.targetPort || port.port,
      })),
    }),
  };
}
