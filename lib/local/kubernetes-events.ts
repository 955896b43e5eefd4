import { randomUUID } from 'node:crypto';
import { formatTime, type KubernetesObject, type Pod, type ResourceType } from './kubernetes-objects.ts';
import type { Store } from './kubernetes-store.ts';

export type PodEvent = { type?: 'Normal' | 'Warning'; reason: string; message: string };

/** Records what the scheduler (`Scheduled`, `FailedScheduling`) or the kubelet did with a Pod, as an Event of its namespace. */
export function recordEvent(
  store: Store,
  eventType: ResourceType,
  now: number,
  pod: Pod,
  event: PodEvent,
): KubernetesObject {
  const isScheduler = event.reason === 'Scheduled' || event.reason === 'FailedScheduling';
  const { name, namespace = '', uid, resourceVersion } = pod.metadata;
  const time = formatTime(now);
  const involvedObject = { kind: 'Pod', namespace, name, uid, apiVersion: 'v1', resourceVersion };
  const container = pod.spec.containers[0]?.name;
  const source = isScheduler ? { component: 'default-scheduler' } : { component: 'kubelet', host: NODE };
  return store.put(eventType, {
    kind: 'Event',
    apiVersion: 'v1',
    metadata: {
      name: `${name}.${nextMoment(now).toString(16)}`,
      namespace,
      uid: randomUUID(),
      resourceVersion: '',
      creationTimestamp: time,
    },
    involvedObject: isScheduler ? involvedObject : { ...involvedObject, fieldPath: `spec.containers{${container}}` },
    reason: event.reason,
    message: event.message,
    source,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    type: event.type ?? 'Normal',
    eventTime: null,
    reportingComponent: '',
    reportingInstance: '',
  } as KubernetesObject);
}

let lastMoment = 0n;

/** Nanoseconds, each only once: they end an Event's name, so that a list of them is in order. */
function nextMoment(now: number): bigint {
  const moment = BigInt(Math.floor(now)) * 1_000_000n;
  lastMoment = moment > lastMoment ? moment : lastMoment + 1n;
  return lastMoment;
}

/** The one node that there is. */
export const NODE = 'embedded';
