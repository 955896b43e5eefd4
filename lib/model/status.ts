import type { V1Pod } from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import { type Destination, fillTemplate, isSigned, signToken } from './address.ts';
import { findThreadId, findUserId } from './adoption.ts';
import { findExpiresAt } from './expiry.ts';
import type { ListedPod, ListedService } from './listed.ts';
import { findMetadata } from './metadata.ts';
import { containerName, maxShellSessionsVariable, sandboxIdLabel } from './names.ts';
import { belongsTo, isOwned } from './ownership.ts';
import { findReadiness, type Reason } from './reasons.ts';

/**
 * What a caller sees of a sandbox; where it is not ready, with a reason and a message. Times are RFC 3339; `expires_at` is null for one
 * that does not expire. `container_id` is its Pod's UID. There is never a Lark broker in it. `thread_id`
 * and `user_id` are null where nothing tells them, `image` without a Pod.
 */
export type SandboxView = {
  sandbox_id: string;
  sandbox_url: string;
  status: SandboxStatus;
  ready: boolean;
  reason?: Reason;
  message?: string;
  max_shell_sessions: number;
  container_id: string | null;
  lark_cli_broker: false;
  thread_id: string | null;
  user_id: string | null;
  metadata: Record<string, string>;
  image: string | null;
  created_at: string | null;
  expires_at: string | null;
};

/** All of them. */
export const statuses = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown', 'NotFound'] as const;

/** A Pod's phase, or `NotFound` where the sandbox has no Pod that will stay, or is being removed with its Service. */
export type SandboxStatus = (typeof statuses)[number];

const phases: ReadonlySet<string> = new Set(['Pending', 'Running', 'Succeeded', 'Failed']);

/** What a caller sees of a Service with its Pod, or of one without; undefined while the Service has no address. */
export function viewSandbox(
  sandboxId: string,
  service: ListedService,
  pod: ListedPod | undefined,
  config: SandboxSettings,
  now: Date,
): SandboxView | undefined {
  const url = findUrl(service, config, now);
  if (url === undefined) return undefined;
  const own = pod !== undefined && belongsTo(pod, service) ? pod : undefined;
  // On the Service of a Pod that has an owner it is noted, and a list does not tell what that Pod mounts.
  const telling = pod !== undefined && !isOwned(pod) ? pod : undefined;
  return {
    sandbox_id: sandboxId,
    sandbox_url: url,
    status: statusOf(service, own),
    ...findReadiness(service, pod, now),
    max_shell_sessions: findMaxShellSessions(own),
    container_id: own?.metadata?.uid ?? null,
    lark_cli_broker: false,
    thread_id: findThreadId(service, telling) ?? null,
    user_id: findUserId(service, telling) ?? null,
    metadata: findMetadata(service.metadata?.labels),
    image: findContainer(own)?.image ?? null,
    created_at: service.metadata?.creationTimestamp?.toISOString() ?? null,
    expires_at: findExpiresAt(service, config)?.toISOString() ?? null,
  };
}

/**
 * Where callers reach the sandbox, by its Service and not by the settings, which may have changed since: by a port of the nodes, or
 * by the Service's name within the cluster; or through the gateway of the settings, which finds it by that name. Undefined until
 * Kubernetes has allocated the port.
 */
export function findUrl(service: ListedService, config: SandboxSettings, now: Date): string | undefined {
  const { metadata, spec } = service;
  const { port, nodePort } = spec?.ports?.find(({ name }) => name === 'http') ?? {};
  if (port === undefined || !(nodePort || spec?.type === 'ClusterIP')) return undefined;
  const { urlTemplate } = config;
  if (urlTemplate !== undefined) return signUrl(urlTemplate, service, port, findUrlEnd(service, config, now), config);
  if (nodePort) return `http://${config.nodeHost}:${nodePort}`;
  return `http://${metadata?.name}.${metadata?.namespace}.svc.cluster.local:${port}`;
}

/** The URL of a port of this sandbox by a template, good until then (seconds since 1970; 0: for ever). */
export function signUrl(
  template: string,
  { metadata }: ListedService,
  port: number,
  expiresAt: number,
  { urlKeys }: SandboxSettings,
): string {
  const { namespace = '', labels } = metadata ?? {};
  const destination: Destination = { namespace, sandboxId: labels?.[sandboxIdLabel] ?? '', port };
  if (!isSigned(template)) return fillTemplate(template, destination, '');
  const [key] = urlKeys?.kind === 'given' ? urlKeys.keys : [];
  if (key === undefined) throw new Error('The keys of URLs were not read before one was signed');
  return fillTemplate(template, destination, signToken(destination, expiresAt, key));
}

/**
 * Until when a `sandbox_url` is good. It is the same for a long time, as the URL is to be: as long as the sandbox may live, by when it was
 * made; or until the end of the next period that is as long as the setting says.
 */
function findUrlEnd({ metadata }: ListedService, config: SandboxSettings, now: Date): number {
  const { urlTtlSeconds: period, sandboxMaxLifetimeSeconds: life } = config;
  if (period > 0) return (Math.floor(now.getTime() / 1000 / period) + 2) * period;
  return life > 0 ? Math.floor((metadata?.creationTimestamp ?? now).getTime() / 1000) + life : 0;
}

/** How many shells may be open in a sandbox at once, where its Pod does not say: as many as the image lets. */
const defaultShellSessions = 10;

/** How many shells may be open at once, as the Pod says. */
export function findMaxShellSessions(pod: ListedPod | undefined): number {
  const value = findContainer(pod)?.env?.find(({ name }) => name === maxShellSessionsVariable)?.value ?? '';
  return /^[1-9]\d{0,8}$/.test(value) ? Number(value) : defaultShellSessions;
}

const findContainer = (pod: ListedPod | undefined) => pod?.spec?.containers?.find(({ name }) => name === containerName);

/** Whether this Pod serves the sandbox or will: it belongs to the Service and has not ended. */
export function isServing(pod: ListedPod, service: ListedService): boolean {
  return belongsTo(pod, service) && pod.status?.phase !== 'Failed' && pod.status?.phase !== 'Succeeded';
}

/** How long the container of a Pod may be about to be made, in seconds: as long as DeerFlow waits for a sandbox. */
const makingSeconds = 60;

/** What the kubelet says of a container that it is about to make, or whose init containers (a webhook's) still run. */
const beingMade: readonly string[] = ['ContainerCreating', 'PodInitializing'];

/**
 * Whether a Pod never ran and, as it is, cannot: no node takes it, or its container cannot be made (its image, its settings, its
 * volumes). Kubernetes goes on trying, and what it lacks may come; but nothing is lost with it.
 */
export function cannotStart(pod: V1Pod, now: Date): boolean {
  const { phase, conditions = [], containerStatuses = [] } = pod.status ?? {};
  if (phase !== 'Pending' || containerStatuses.some((one) => one.restartCount > 0 || !one.state?.waiting)) return false;
  if (conditions.some((one) => one.type === 'PodScheduled' && one.reason === 'Unschedulable')) return true;
  // Of a volume that cannot be mounted the kubelet says no more than that.
  const isBeingMade = containerStatuses.every((one) => beingMade.includes(one.state?.waiting?.reason ?? ''));
  const ageMs = now.getTime() - (pod.metadata?.creationTimestamp?.getTime() ?? now.getTime());
  return containerStatuses.length > 0 && (!isBeingMade || ageMs > makingSeconds * 1000);
}

/** The status of a sandbox with this Pod of its own, or without one. */
export function statusOf(service: ListedService, pod: ListedPod | undefined): SandboxStatus {
  if (pod === undefined || service.metadata?.deletionTimestamp !== undefined) return 'NotFound';
  const phase = pod.status?.phase ?? 'Unknown';
  return phases.has(phase) ? (phase as SandboxStatus) : 'Unknown';
}
