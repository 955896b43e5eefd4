import {
  CoreV1Api,
  createConfiguration,
  ServerConfiguration,
  type V1Namespace,
  type V1Pod,
  type V1Preconditions,
  type V1Service,
} from '@kubernetes/client-node';
import type { Config } from './config.ts';
import { loadClusterAccess } from './kubernetes/kubeconfig.ts';
import { isConflict, isNotFound } from './kubernetes/outcomes.ts';
import { createTransport } from './kubernetes/transport.ts';
import { sandboxSelector } from './names.ts';

export {
  isAlreadyExists,
  isConflict,
  isNamespaceMissing,
  isNamespaceTerminating,
  isNotFound,
  isTestFailed,
  isUncertain,
} from './kubernetes/outcomes.ts';

/** One operation of a JSON patch (RFC 6902). */
export type JsonPatchOperation = { op: 'test' | 'add' | 'replace' | 'remove'; path: string; value?: unknown };

/**
 * The calls to Kubernetes that sandboxes are made of, all in the configured namespace. Each is one request, ends when its
 * signal does, and throws a `KubernetesError`; reads of an object that is not there give undefined.
 */
export type Kubernetes = {
  createNamespace(namespace: V1Namespace, signal: AbortSignal): Promise<void>;
  createService(service: V1Service, signal: AbortSignal): Promise<V1Service>;
  readService(name: string, signal: AbortSignal): Promise<V1Service | undefined>;
  listServices(signal: AbortSignal): Promise<V1Service[]>;
  /** An array is a JSON patch, an object a merge patch (RFC 7386); with a `resourceVersion` in it, it holds only for that one. */
  patchService(name: string, patch: JsonPatchOperation[] | object, signal: AbortSignal): Promise<V1Service>;
  /** False if the Service was not there, or not as the preconditions say. */
  deleteService(name: string, preconditions: V1Preconditions | undefined, signal: AbortSignal): Promise<boolean>;
  createPod(pod: V1Pod, signal: AbortSignal): Promise<V1Pod>;
  readPod(name: string, signal: AbortSignal): Promise<V1Pod | undefined>;
  listPods(signal: AbortSignal): Promise<V1Pod[]>;
  /** False if the Pod was not there. Leaves it its grace period to end in. */
  deletePod(name: string, signal: AbortSignal): Promise<boolean>;
  /** Takes the Pod of that UID away without grace; false if there is none. */
  evictPod(name: string, uid: string, signal: AbortSignal): Promise<boolean>;
};

let connected: Kubernetes | undefined;

/**
 * The process's client: the kubeconfig is loaded once per cold start, and the connections are kept. Only success is
 * remembered, so a kubeconfig that was missing is looked for again. Throws as `loadClusterAccess` does.
 */
export async function connectToKubernetes(config: Config, signal: AbortSignal): Promise<Kubernetes> {
  if (connected === undefined) {
    const opened = await openKubernetes(config, signal);
    // Of requests that began side by side, the first one's connections are kept.
    connected ??= opened;
  }
  return connected;
}

/** A client of its own for this configuration. Throws as `loadClusterAccess` does. */
export async function openKubernetes(config: Config, signal: AbortSignal): Promise<Kubernetes> {
  const access = await loadClusterAccess(config, signal);
  const api = new CoreV1Api(
    createConfiguration({
      baseServer: new ServerConfiguration(access.server, {}),
    }),
  );
  const send = createTransport(access, config.skipTlsVerify);
  // A client of this API takes another way to the server per call: the only seam that a signal fits through.
  const within = (signal: AbortSignal, headers: Record<string, string> = {}) => ({ httpApi: send(signal, headers) });
  const { namespace } = config;
  return {
    async createNamespace(body, signal) {
      await api.createNamespace({ body }, within(signal));
    },
    createService: (body, signal) => api.createNamespacedService({ namespace, body }, within(signal)),
    readService: (name, signal) => unlessMissing(api.readNamespacedService({ namespace, name }, within(signal))),
    async listServices(signal) {
      const list = await api.listNamespacedService({ namespace, labelSelector: sandboxSelector }, within(signal));
      return list.items;
    },
    patchService(name, body, signal) {
      const type = Array.isArray(body) ? 'application/json-patch+json' : 'application/merge-patch+json';
      return api.patchNamespacedService({ namespace, name, body }, within(signal, { 'content-type': type }));
    },
    deleteService: (name, preconditions, signal) =>
      unlessGone(
        api.deleteNamespacedService(
          { namespace, name, ...(preconditions && { body: { preconditions } }) },
          within(signal),
        ),
      ),
    createPod: (body, signal) => api.createNamespacedPod({ namespace, body }, within(signal)),
    readPod: (name, signal) => unlessMissing(api.readNamespacedPod({ namespace, name }, within(signal))),
    async listPods(signal) {
      const list = await api.listNamespacedPod({ namespace, labelSelector: sandboxSelector }, within(signal));
      return list.items;
    },
    deletePod: (name, signal) => unlessGone(api.deleteNamespacedPod({ namespace, name }, within(signal))),
    evictPod: (name, uid, signal) =>
      unlessGone(
        api.deleteNamespacedPod(
          { namespace, name, body: { gracePeriodSeconds: 0, preconditions: { uid } } },
          within(signal),
        ),
      ),
  };
}

const unlessMissing = <T>(call: Promise<T>): Promise<T | undefined> =>
  call.catch((error) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });

/** True when the call took effect, false when there was nothing left for it to act on. */
const unlessGone = (call: Promise<unknown>): Promise<boolean> =>
  call.then(
    () => true,
    (error) => {
      if (isNotFound(error) || isConflict(error)) return false;
      throw error;
    },
  );
