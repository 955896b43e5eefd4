import { randomInt, randomUUID } from 'node:crypto';
import { type ContainerState, formatTime, isEnded, isHeld, type Pod, type PodStatus } from './objects.ts';
import type { Store } from './store.ts';
import type { Timers } from './timers.ts';

/** How long a Pod takes to run, then to be Ready, and to end once it was asked to, which its grace period cuts short. */
type PodTimes = { startupMs: number; readyMs: number; terminationGraceMs: number };

/** The one node that there is. */
const NODE = 'embedded';

/** Kubernetes forgets events after an hour. */
const EVENT_LIFE_MS = 3_600_000;

/**
 * The scheduler and the kubelet of the one node: Pods become Running and Ready with time, and go when they are deleted.
 * Host paths and claims are not looked at, and of images only whether one can be had at all: not from a registry whose name ends with
 * `.invalid` (RFC 2606). A Pod with a node selector finds no node. One that somebody else declares
 * ended (`Failed`, `Succeeded`) is left so.
 */
export function startKubelet(store: Store, timers: Timers, times: PodTimes): void {
  function record(pod: Pod, reason: string, message: string, type: 'Normal' | 'Warning' = 'Normal'): void {
    const { name, namespace = '', uid, resourceVersion } = pod.metadata;
    const time = formatTime(Date.now());
    const event = store.put({
      kind: 'Event' as const,
      apiVersion: 'v1' as const,
      metadata: {
        // Unique, and in the order of the events.
        name: `${name}.${store.revision().toString(16).padStart(16, '0')}`,
        namespace,
        uid: randomUUID(),
        resourceVersion: '',
        creationTimestamp: time,
      },
      involvedObject: { kind: 'Pod', namespace, name, uid, apiVersion: 'v1', resourceVersion },
      reason,
      message,
      source: reason.includes('Schedul') ? { component: 'default-scheduler' } : { component: 'kubelet', host: NODE },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      type,
    });
    timers.after(EVENT_LIFE_MS, () => store.remove(event));
  }

  /** The Pod as it is now, if it is still the same one. */
  function find({ metadata }: Pod): Pod | undefined {
    const found = store.get('Pod', metadata.namespace, metadata.name);
    return found?.metadata.uid === metadata.uid ? found : undefined;
  }

  /** Goes on with the Pod after a while, unless it is gone, going or ended by then. */
  function later(pod: Pod, milliseconds: number, step: (pod: Pod) => void): void {
    timers.after(milliseconds, () => {
      const found = find(pod);
      if (found !== undefined && found.metadata.deletionTimestamp === undefined && !isEnded(found)) step(found);
    });
  }

  /** Writes how far the Pod has come. */
  function setStatus(pod: Pod, state: ContainerState, isReady: boolean, status: Partial<PodStatus> = {}): void {
    const reached = { Initialized: true, Ready: isReady, ContainersReady: isReady, PodScheduled: true };
    const names = pod.spec.containers.map(({ name }) => name);
    const unready = { reason: 'ContainersNotReady', message: `containers with unready status: [${names.join(' ')}]` };
    const conditions = Object.entries(reached).map(([type, isTrue]) => {
      const next = { type, status: isTrue ? 'True' : 'False', lastProbeTime: null, ...(!isTrue && unready) };
      // A condition keeps its time as long as it says the same.
      const before = pod.status.conditions?.find((one) => one.type === type && one.status === next.status);
      return before ?? { ...next, lastTransitionTime: formatTime(Date.now()) };
    });
    const containerStatuses = pod.spec.containers.map(({ name, image }) => {
      // The startup probe and the readiness probe are answered at the same moment here.
      return { name, image, state, lastState: {}, ready: isReady, started: isReady, restartCount: 0 };
    });
    store.put({ ...pod, status: { ...pod.status, ...status, conditions, containerStatuses } });
  }

  function schedule(pod: Pod): void {
    const lastTransitionTime = formatTime(Date.now());
    if (Object.keys(pod.spec.nodeSelector ?? {}).length > 0) {
      const message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity.";
      const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime };
      store.put({ ...pod, status: { ...pod.status, conditions: [condition] } });
      record(pod, 'FailedScheduling', message, 'Warning');
      return;
    }
    const scheduled = { ...pod, spec: { ...pod.spec, nodeName: NODE } };
    setStatus(scheduled, { waiting: { reason: 'ContainerCreating' } }, false, { startTime: lastTransitionTime });
    record(pod, 'Scheduled', `Successfully assigned ${pod.metadata.namespace}/${pod.metadata.name} to ${NODE}`);
    later(pod, times.startupMs, start);
  }

  function start(pod: Pod): void {
    const absent = pod.spec.containers.find(({ image = '' }) => /^[^/]+\.invalid(:\d+)?\//.test(image));
    if (absent !== undefined) {
      setStatus(
        pod,
        { waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${absent.image}"` } },
        false,
      );
      record(pod, 'Failed', `Failed to pull image "${absent.image}"`, 'Warning');
      return;
    }
    const running = { running: { startedAt: formatTime(Date.now()) } };
    const podIP = `10.244.${randomInt(256)}.${randomInt(1, 255)}`;
    setStatus(pod, running, false, { phase: 'Running', hostIP: '127.0.0.1', podIP, podIPs: [{ ip: podIP }] });
    for (const { name, image } of pod.spec.containers) {
      record(pod, 'Pulled', `Container image "${image}" already present on machine`);
      record(pod, 'Created', `Created container ${name}`);
      record(pod, 'Started', `Started container ${name}`);
    }
    later(pod, times.readyMs, (found) => setStatus(found, running, true));
  }

  /** Ends a Pod that was deleted, for the first time or with less grace than before. */
  function end(pod: Pod, isFirst: boolean): void {
    if (isFirst && pod.status.phase === 'Running') {
      for (const { name } of pod.spec.containers) record(pod, 'Killing', `Stopping container ${name}`);
    }
    // The kubelet counts from when it hears of the deletion, not from the timestamp, which is whole seconds.
    const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 0) * 1000;
    timers.after(Math.min(graceMs, times.terminationGraceMs), () => {
      const found = find(pod);
      if (found === undefined) return;
      if (isHeld(found)) store.put({ ...found, metadata: { ...found.metadata, deletionGracePeriodSeconds: 0 } });
      else store.remove(found);
    });
  }

  store.onChange((now, before) => {
    if (now?.kind !== 'Pod') return;
    const { deletionTimestamp } = before?.metadata ?? {};
    if (before === undefined) schedule(now);
    else if (now.metadata.deletionTimestamp !== deletionTimestamp) end(now, deletionTimestamp === undefined);
  });
}
