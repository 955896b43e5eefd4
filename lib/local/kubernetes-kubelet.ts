import { createHash, randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { NODE, type PodEvent, recordEvent } from './kubernetes-events.ts';
import {
  formatTime,
  isEnded,
  isPod,
  isService,
  type Pod,
  type PodCondition,
  type PodStatus,
  type ResourceType,
} from './kubernetes-objects.ts';
import type { Registry } from './kubernetes-registry.ts';
import { createStandIn, type StandIn } from './kubernetes-stand-in.ts';
import type { Store } from './kubernetes-store.ts';
import type { Timers } from './kubernetes-timers.ts';

/** How long things take, in milliseconds. */
export type PodTimes = {
  /** From the scheduling of a Pod until its container runs. */
  startupMs: number;
  /** From then until it is Ready. */
  readyMs: number;
  /** How long a stand-in takes to end once it was asked to; the Pod's grace period cuts it short. */
  terminationGraceMs: number;
};

/** How long the kubelet pulls before it says that there is no such image, and then that it will wait before it tries again. */
const PULL_MS = 100;
const BACK_OFF_MS = 1000;

/** Kubernetes forgets events after an hour. */
const EVENT_LIFE_MS = 3_600_000;

/** An image with this in its name cannot be pulled. */
const NO_IMAGE = 'does-not-exist';

type ContainerState = { waiting?: object; running?: object };

const condition = (type: string, isTrue: boolean, time: string, why?: { reason: string; message: string }) =>
  ({ type, status: isTrue ? 'True' : 'False', lastProbeTime: null, lastTransitionTime: time, ...why }) as PodCondition;

/** A condition keeps its time as long as it says the same. */
function withTimes(next: PodCondition[], old: PodCondition[] | undefined): PodCondition[] {
  return next.map((one) => {
    const before = old?.find(({ type, status }) => type === one.type && status === one.status);
    return before === undefined ? one : { ...one, lastTransitionTime: before.lastTransitionTime };
  });
}

const hash = (text: string) => createHash('sha256').update(text).digest('hex');

/**
 * The scheduler and the kubelet of the one node: Pods become Running and Ready with time, each with a stand-in for
 * its container, and go when they are deleted. Host paths are not looked at. A Pod with a node selector finds no
 * node; one whose image is named `…does-not-exist…` never starts. A Pod that somebody else declares ended
 * (`Failed`, `Succeeded`) is left so.
 */
export function createKubelet(
  store: Store,
  registry: Registry,
  types: { pods: ResourceType; services: ResourceType; events: ResourceType },
  timers: Timers,
  times: PodTimes,
  now: () => number,
): { connect(nodePort: number, socket: Socket): void; close(): void } {
  const standIns = new Map<string, StandIn>();
  const endings = new Map<string, { at: number; cancel: () => void }>();

  /** The Pod as it is now, if it is still the same one. */
  function current(pod: Pod): Pod | undefined {
    const found = store.get(types.pods, pod.metadata.namespace ?? '', pod.metadata.name);
    return found !== undefined && isPod(found) && found.metadata.uid === pod.metadata.uid ? found : undefined;
  }

  function record(pod: Pod, event: PodEvent): void {
    const recorded = recordEvent(store, types.events, now(), pod, event);
    timers.after(EVENT_LIFE_MS, () => {
      const { namespace = '', name } = recorded.metadata;
      if (store.get(types.events, namespace, name) !== undefined) store.remove(types.events, recorded);
    });
  }

  function setStatus(pod: Pod, status: Partial<PodStatus>): void {
    store.put(types.pods, { ...pod, status: { ...pod.status, ...status } } as Pod);
  }

  function containerStatuses(pod: Pod, state: ContainerState, isReady: boolean): object[] {
    const isRunning = state.running !== undefined;
    return pod.spec.containers.map(({ name, image }) => ({
      name,
      state,
      lastState: {},
      ready: isReady,
      restartCount: 0,
      image,
      imageID: isRunning ? `sha256:${hash(image)}` : '',
      ...(isRunning ? { containerID: `containerd://${hash(pod.metadata.uid + name)}` } : {}),
      started: isRunning,
    }));
  }

  function conditions(pod: Pod, isReady: boolean): PodCondition[] {
    const time = formatTime(now());
    const names = pod.spec.containers.map((container) => container.name).join(' ');
    const why = isReady
      ? undefined
      : { reason: 'ContainersNotReady', message: `containers with unready status: [${names}]` };
    const all = [
      condition('Initialized', true, time),
      condition('Ready', isReady, time, why),
      condition('ContainersReady', isReady, time, why),
      condition('PodScheduled', true, time),
    ];
    return withTimes(all, pod.status.conditions);
  }

  /** Goes on with the Pod after a while, unless it is gone, going or ended by then. */
  function later(pod: Pod, milliseconds: number, step: (pod: Pod) => void): void {
    timers.after(milliseconds, () => {
      const found = current(pod);
      if (found === undefined || found.metadata.deletionTimestamp !== undefined || isEnded(found)) return;
      step(found);
    });
  }

  /** After the create is done, and before its caller can ask for anything more: a real scheduler takes 2 ms. */
  function scheduleSoon(pod: Pod): void {
    queueMicrotask(() => {
      const found = current(pod);
      if (found !== undefined && !isEnded(found)) schedule(found);
    });
  }

  function schedule(pod: Pod): void {
    const time = formatTime(now());
    if (pod.spec.nodeName === undefined && Object.keys(pod.spec.nodeSelector ?? {}).length > 0) {
      const message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity.";
      setStatus(pod, { conditions: [condition('PodScheduled', false, time, { reason: 'Unschedulable', message })] });
      record(pod, { type: 'Warning', reason: 'FailedScheduling', message });
      return;
    }
    const nodeName = pod.spec.nodeName ?? NODE;
    const scheduled = store.put(types.pods, {
      ...pod,
      spec: { ...pod.spec, nodeName },
      status: { ...pod.status, conditions: [condition('PodScheduled', true, time)] },
    } as Pod) as Pod;
    const message = `Successfully assigned ${pod.metadata.namespace}/${pod.metadata.name} to ${nodeName}`;
    record(scheduled, { reason: 'Scheduled', message });
    setStatus(scheduled, {
      conditions: conditions(scheduled, false),
      containerStatuses: containerStatuses(scheduled, { waiting: { reason: 'ContainerCreating' } }, false),
      startTime: time,
    });
    const missing = pod.spec.containers.find((container) => container.image.includes(NO_IMAGE));
    if (missing === undefined) later(pod, times.startupMs, start);
    else later(pod, PULL_MS, (found) => failToPull(found, missing.image));
  }

  function failToPull(pod: Pod, image: string): void {
    const error = `failed to resolve reference ${JSON.stringify(image)}: not found`;
    const wait = (waiting: object) => (found: Pod) =>
      setStatus(found, { containerStatuses: containerStatuses(found, { waiting }, false) });
    record(pod, { reason: 'Pulling', message: `Pulling image ${JSON.stringify(image)}` });
    record(pod, {
      type: 'Warning',
      reason: 'Failed',
      message: `Failed to pull image ${JSON.stringify(image)}: ${error}`,
    });
    record(pod, { type: 'Warning', reason: 'Failed', message: 'Error: ErrImagePull' });
    wait({ reason: 'ErrImagePull', message: error })(pod);
    later(pod, BACK_OFF_MS, (found) => {
      const message = `Back-off pulling image ${JSON.stringify(image)}`;
      record(found, { reason: 'BackOff', message });
      record(found, { type: 'Warning', reason: 'Failed', message: 'Error: ImagePullBackOff' });
      wait({ reason: 'ImagePullBackOff', message })(found);
    });
  }

  function start(pod: Pod): void {
    standIns.set(pod.metadata.uid, createStandIn(pod.metadata.name));
    for (const { name, image } of pod.spec.containers) {
      record(pod, { reason: 'Pulled', message: `Container image ${JSON.stringify(image)} already present on machine` });
      record(pod, { reason: 'Created', message: `Created container ${name}` });
      record(pod, { reason: 'Started', message: `Started container ${name}` });
    }
    const podIP = `10.244.${randomInt(256)}.${randomInt(1, 255)}`;
    setStatus(pod, {
      phase: 'Running',
      hostIP: '127.0.0.1',
      podIP,
      podIPs: [{ ip: podIP }],
      conditions: conditions(pod, false),
      containerStatuses: containerStatuses(pod, { running: { startedAt: formatTime(now()) } }, false),
    });
    later(pod, times.readyMs, (found) =>
      setStatus(found, {
        conditions: conditions(found, true),
        containerStatuses: (found.status.containerStatuses ?? []).map((status) => ({ ...status, ready: true })),
      }),
    );
  }

  function stop(uid: string): void {
    standIns.get(uid)?.close();
    standIns.delete(uid);
    endings.get(uid)?.cancel();
    endings.delete(uid);
  }

  /** Ends a Pod that was deleted; asked again with less time, it ends sooner. */
  function end(pod: Pod): void {
    const { uid, deletionTimestamp = '', deletionGracePeriodSeconds = 0 } = pod.metadata;
    const isRunning = standIns.has(uid);
    const grace = Math.max(0, deletionGracePeriodSeconds * 1000);
    // The kubelet counts from when it hears of the deletion, not from the timestamp, which is whole seconds.
    const at = now() + Math.min(grace, times.terminationGraceMs);
    const before = endings.get(uid);
    if (before !== undefined && before.at <= at) return;
    if (before === undefined && isRunning && deletionTimestamp !== '') {
      for (const { name } of pod.spec.containers) {
        record(pod, { reason: 'Killing', message: `Stopping container ${name}` });
      }
    }
    before?.cancel();
    const cancel = timers.after(at - now(), () => {
      const found = current(pod);
      stop(uid);
      if (found === undefined) return;
      const leaving = { ...found.metadata, deletionGracePeriodSeconds: 0 };
      if ((found.metadata.finalizers ?? []).length === 0) registry.expunge(types.pods, { ...found, metadata: leaving });
      else store.put(types.pods, { ...found, metadata: leaving });
    });
    endings.set(uid, { at, cancel });
  }

  store.onChange(({ type, object }) => {
    if (!isPod(object)) return;
    if (type === 'DELETED') stop(object.metadata.uid);
    else if (type === 'ADDED') scheduleSoon(object);
    else if (object.metadata.deletionTimestamp !== undefined && object.metadata.deletionGracePeriodSeconds !== 0) {
      end(object);
    } else if (isEnded(object)) stop(object.metadata.uid);
  });

  const isReady = (pod: Pod) =>
    pod.metadata.deletionTimestamp === undefined &&
    pod.status.phase === 'Running' &&
    (pod.status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');

  return {
    connect(nodePort, socket) {
      const service = store
        .list(types.services)
        .filter(isService)
        .find(({ spec }) => spec.ports?.some((port) => port.nodePort === nodePort));
      const selector = Object.entries(service?.spec.selector ?? {});
      const pods = store
        .list(types.pods, service?.metadata.namespace)
        .filter(isPod)
        .filter(isReady)
        .filter(
          ({ metadata }) => selector.length > 0 && selector.every(([key, value]) => metadata.labels?.[key] === value),
        );
      const pod = pods.length === 0 ? undefined : pods[randomInt(pods.length)];
      const standIn = pod === undefined ? undefined : standIns.get(pod.metadata.uid);
      // A NodePort without endpoints refuses connections.
      if (standIn === undefined) socket.resetAndDestroy();
      else standIn.connect(socket);
    },
    close() {
      for (const uid of [...standIns.keys()]) stop(uid);
    },
  };
}
