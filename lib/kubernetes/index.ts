import {
  CoreV1Api,
  createConfiguration,
  type HttpLibrary,
  NetworkingV1Api,
  ServerConfiguration,
  type V1DeleteOptions,
  type V1Namespace,
  type V1NetworkPolicy,
  type V1Pod,
  type V1Preconditions,
  type V1Service,
} from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';
import type { ListedPod, ListedService } from '../model/listed.ts';
import { sandboxIdLabel, sandboxSelector } from '../model/names.ts';
import { shareNext } from '../single-flight.ts';
import { countTime } from '../tally.ts';
import { keepCredentials } from './credentials/index.ts';
import { isFileMissing, openAccess } from './credentials/sources.ts';
import { foreignAnswerError, isConflict, isExpired, isNotFound } from './errors.ts';
import { placeholderServer } from './exchange.ts';
import { type Listed, readPods, readServices } from './lists.ts';
import { retry } from './retries.ts';
import { createTransport, type Transport } from './transport.ts';

export {
  isAlreadyExists,
  isConflict,
  isExpired,
  isInvalidToken,
  isNamespaceMissing,
  isNamespaceTerminating,
  isNotFound,
  isTestFailed,
  isUncertain,
} from './errors.ts';
export { findRetryDelay } from './retries.ts';

/** One operation of a JSON patch (RFC 6902). */
export type JsonPatchOperation = { op: 'test' | 'add'; path: string; value: unknown };

/**
 * What came of a deletion: there was nothing to delete (any more), which is also what one is told whose connection was cut
 * after it took effect; or what is there is not as the preconditions say.
 */
export type Deletion = 'deleted' | 'gone' | 'changed';

/** The cluster, over connections that are kept. Whoever works with sandboxes gets one namespace of it, and cannot reach another. */
export type Cluster = {
  /** The calls in this namespace: the same object each time. */
  inNamespace(namespace: string): Kubernetes;
  /** For calls that few functions make, and that no other has in its bundle: `diagnostics`. */
  readonly transport: Transport;
};

/**
 * The calls to Kubernetes that sandboxes are made of, all in one namespace. Each is one request, made again when it
 * fails in passing (the creation of a Service only where a kept connection turned out to be dead), ends when its signal does,
 * and throws a `KubernetesError`; reads of an object that is not there give undefined.
 */
export type Kubernetes = {
  /** Where all of them are. */
  readonly namespace: string;
  createNamespace(namespace: V1Namespace, signal: AbortSignal): Promise<void>;
  createService(service: V1Service, signal: AbortSignal): Promise<V1Service>;
  readService(name: string, signal: AbortSignal): Promise<V1Service | undefined>;
  /**
   * Every Service of a sandbox, or those of these sandboxes: some hundred ids at most, as they go into the address. Of those who want
   * all at once, many get the same array.
   */
  listServices(signal: AbortSignal, sandboxIds?: readonly string[]): Promise<ListedService[]>;
  /** Those that bear these labels. */
  selectServices(labels: Labels, signal: AbortSignal): Promise<ListedService[]>;
  /**
   * So many Services at most, of those that bear these labels, from the start or from where another page says that it continues. Throws
   * an expired token.
   */
  readServicePage(
    limit: number,
    continueToken: string | undefined,
    signal: AbortSignal,
    labels?: Labels,
  ): Promise<Listed<ListedService>>;
  /** An array is a JSON patch, an object a merge patch (RFC 7386); with a `resourceVersion` in it, it holds only for that one. */
  patchService(name: string, patch: JsonPatchOperation[] | object, signal: AbortSignal): Promise<V1Service>;
  /** Nothing is deleted by its name alone: what bears it may be another one by now. */
  deleteService(name: string, preconditions: V1Preconditions, signal: AbortSignal): Promise<Deletion>;
  createPod(pod: V1Pod, signal: AbortSignal): Promise<V1Pod>;
  readPod(name: string, signal: AbortSignal): Promise<V1Pod | undefined>;
  /** As `listServices`. */
  listPods(signal: AbortSignal, sandboxIds?: readonly string[]): Promise<ListedPod[]>;
  /** Every Service, or Pod, of a sandbox, read in pages of some hundred, from the start again when a page has expired. */
  pageServices(signal: AbortSignal): Promise<ListedService[]>;
  pagePods(signal: AbortSignal): Promise<ListedPod[]>;
  /** A merge patch, as for a Service. */
  patchPod(name: string, patch: object, signal: AbortSignal): Promise<V1Pod>;
  /** Leaves the Pod its grace period to end in. */
  deletePod(name: string, preconditions: V1Preconditions, signal: AbortSignal): Promise<Deletion>;
  /** Takes the Pod away without grace. */
  evictPod(name: string, preconditions: V1Preconditions, signal: AbortSignal): Promise<Deletion>;
  readNetworkPolicy(name: string, signal: AbortSignal): Promise<V1NetworkPolicy | undefined>;
  createNetworkPolicy(policy: V1NetworkPolicy, signal: AbortSignal): Promise<void>;
  /** With a `resourceVersion` in it, it holds only for that one. */
  replaceNetworkPolicy(policy: V1NetworkPolicy, signal: AbortSignal): Promise<void>;
  deleteNetworkPolicy(name: string, signal: AbortSignal): Promise<Deletion>;
};

let connected: Cluster | undefined;
let beginning: Promise<Cluster | undefined> | undefined;

/** How long the credentials may be looked for while the function is loaded, in milliseconds. */
const beginMs = 5_000;

/**
 * Begins to connect while the function is loaded, Lambda's INIT, so that the first request finds the kubeconfig read. What
 * fails is tried again by that request, which tells. What comes through the secrets extension, which refuses until then, and
 * a kubeconfig that is not there yet wait for the request.
 */
export function beginToConnect(readConfig: () => Config): void {
  const begin = async () => {
    const config = readConfig();
    if (config.kubeconfigSecretId !== undefined || config.kubeconfigParameter !== undefined) return undefined;
    // It may come before the request does: what there is in a Pod is not taken in its place yet.
    if (await isFileMissing(config)) return undefined;
    return openKubernetes(config, AbortSignal.timeout(beginMs));
  };
  beginning = begin().catch(() => undefined);
}

/**
 * The process's client: the credentials are found once per cold start, then kept up to date, and the connections are kept.
 * Only success is remembered, so a kubeconfig that was missing is looked for again. Throws as `openAccess` does.
 */
export async function connectToKubernetes(config: Config, signal: AbortSignal): Promise<Cluster> {
  if (connected === undefined) {
    const opened = (await beginning) ?? (await openKubernetes(config, signal));
    // Of requests that began side by side, the first one's connections are kept.
    connected ??= opened;
  }
  return connected;
}

/** A client of its own for this configuration; `now` is the clock by which credentials age. Throws as `openAccess` does. */
export async function openKubernetes(
  config: Config,
  signal: AbortSignal,
  now: () => Date = () => new Date(),
): Promise<Cluster> {
  const access = await openAccess(config, signal, now);
  const configuration = createConfiguration({ baseServer: new ServerConfiguration(placeholderServer, {}) });
  const api = new CoreV1Api(configuration);
  const networking = new NetworkingV1Api(configuration);
  const transport = createTransport(keepCredentials(access, config, now), now);
  const opened = new Map<string, Kubernetes>();
  return {
    transport,
    inNamespace(namespace) {
      const kubernetes = opened.get(namespace) ?? openNamespace(namespace, api, networking, transport);
      opened.set(namespace, kubernetes);
      return kubernetes;
    },
  };
}

function openNamespace(
  namespace: string,
  api: CoreV1Api,
  networking: NetworkingV1Api,
  transport: Transport,
): Kubernetes {
  // A client of this API takes another way to the server per call: the only seam that a signal fits through.
  const within = (signal: AbortSignal, headers: Record<string, string> = {}) => ({
    httpApi: transport.send(signal, headers),
  });
  const list = async <T>(
    kind: string,
    readProtobuf: (answer: Buffer) => Listed<T>,
    call: (way: { httpApi: HttpLibrary }) => Promise<JsonList<T>>,
    signal: AbortSignal,
  ): Promise<Listed<T>> => {
    let answer: Buffer | undefined;
    const takeProtobuf = (protobuf: Buffer) => {
      answer = protobuf;
    };
    const read = await retry(() => call({ httpApi: transport.send(signal, {}, takeProtobuf) }), signal);
    if (answer !== undefined) return readProtobuf(answer);
    if (read.kind !== kind || read.items === undefined) throw foreignAnswerError(200);
    return { items: read.items ?? [], metadata: read.metadata ?? {} };
  };
  const deletePod = (name: string, body: V1DeleteOptions, signal: AbortSignal) =>
    retry(() => api.deleteNamespacedPod({ namespace, name, body }, within(signal)), signal);
  const listServices = (page: Page, signal: AbortSignal) =>
    list<ListedService>(
      'ServiceList',
      readServices,
      (way) => api.listNamespacedService({ namespace, labelSelector: sandboxSelector, ...page }, way),
      signal,
    );
  const listPods = (page: Page, signal: AbortSignal) =>
    list<ListedPod>(
      'PodList',
      readPods,
      (way) => api.listNamespacedPod({ namespace, labelSelector: sandboxSelector, ...page }, way),
      signal,
    );
  /** What is listed. A call that is shared goes on when this caller's time is over. */
  const itemsOf = async <T>(listing: Promise<Listed<T>>, signal: AbortSignal): Promise<T[]> => {
    try {
      return (await countTime(listing)).items;
    } catch (error) {
      throw error === signal.reason ? transport.lateError(signal) : error;
    }
  };
  // As many callers as there may be, one call is under way and one waits.
  const listAllServices = shareNext((signal) => listServices({}, signal));
  const listAllPods = shareNext((signal) => listPods({}, signal));

  return {
    namespace,
    async createNamespace(body, signal) {
      await retry(() => api.createNamespace({ body }, within(signal)), signal);
    },
    createService: (body, signal) => api.createNamespacedService({ namespace, body }, within(signal)),
    readService(name, signal) {
      const reading = retry(() => api.readNamespacedService({ namespace, name }, within(signal)), signal);
      return orNothing(reading);
    },
    listServices: (signal, sandboxIds) =>
      itemsOf(sandboxIds ? listServices(select(sandboxIds), signal) : listAllServices(signal), signal),
    selectServices: async (labels, signal) => (await listServices(selectLabels(labels), signal)).items,
    readServicePage: (limit, continueToken, signal, labels = {}) =>
      listServices(
        { limit, ...(continueToken !== undefined && { _continue: continueToken }), ...selectLabels(labels) },
        signal,
      ),
    pageServices: (signal) => readPages((page) => listServices(page, signal)),
    patchService(name, body, signal) {
      const headers = { 'content-type': Array.isArray(body) ? jsonPatch : mergePatch };
      return retry(() => api.patchNamespacedService({ namespace, name, body }, within(signal, headers)), signal);
    },
    deleteService: (name, preconditions, signal) =>
      deletionOf(
        retry(() => api.deleteNamespacedService({ namespace, name, body: { preconditions } }, within(signal)), signal),
      ),
    createPod: (body, signal) => retry(() => api.createNamespacedPod({ namespace, body }, within(signal)), signal),
    readPod(name, signal) {
      const reading = retry(() => api.readNamespacedPod({ namespace, name }, within(signal)), signal);
      return orNothing(reading);
    },
    listPods: (signal, sandboxIds) =>
      itemsOf(sandboxIds ? listPods(select(sandboxIds), signal) : listAllPods(signal), signal),
    pagePods: (signal) => readPages((page) => listPods(page, signal)),
    patchPod(name, body, signal) {
      const headers = { 'content-type': mergePatch };
      return retry(() => api.patchNamespacedPod({ namespace, name, body }, within(signal, headers)), signal);
    },
    deletePod: (name, preconditions, signal) => deletionOf(deletePod(name, { preconditions }, signal)),
    evictPod: (name, preconditions, signal) =>
      deletionOf(deletePod(name, { gracePeriodSeconds: 0, preconditions }, signal)),
    readNetworkPolicy(name, signal) {
      const reading = retry(() => networking.readNamespacedNetworkPolicy({ namespace, name }, within(signal)), signal);
      return orNothing(reading);
    },
    async createNetworkPolicy(body, signal) {
      await retry(() => networking.createNamespacedNetworkPolicy({ namespace, body }, within(signal)), signal);
    },
    async replaceNetworkPolicy(body, signal) {
      const name = body.metadata?.name ?? '';
      await retry(() => networking.replaceNamespacedNetworkPolicy({ namespace, name, body }, within(signal)), signal);
    },
    deleteNetworkPolicy: (name, signal) =>
      deletionOf(
        retry(() => networking.deleteNamespacedNetworkPolicy({ namespace, name }, within(signal)), signal),
        false,
      ),
  };
}

const [jsonPatch, mergePatch] = ['application/json-patch+json', 'application/merge-patch+json'];

/** What the client makes of a list in JSON; an empty one can have null for its items, as Go has it. */
type JsonList<T> = { kind?: string; items?: T[] | null; metadata?: { _continue?: string } };

/** Labels that an object must have, with these values. */
export type Labels = Readonly<Record<string, string>>;

type Page = { limit?: number; _continue?: string; labelSelector?: string };

const select = (sandboxIds: readonly string[]): Page => ({
  labelSelector: `${sandboxSelector},${sandboxIdLabel} in (${sandboxIds.join(',')})`,
});

/** Labels are as Kubernetes takes them, name and value: neither has a character that means something in a selector. */
const selectLabels = (labels: Labels): Page => ({
  labelSelector: [sandboxSelector, ...Object.entries(labels).map(([name, value]) => `${name}=${value}`)].join(','),
});

/** Kubernetes keeps what a page continues for some minutes, and answers 410 afterwards: the list then begins anew. */
async function readPages<T>(readPage: (page: Page) => Promise<Listed<T>>): Promise<T[]> {
  let items: T[] = [];
  let page: Page = { limit: 500 };
  for (;;) {
    try {
      const { items: more, metadata } = await readPage(page);
      items = items.concat(more);
      if (!metadata._continue) return items;
      page = { limit: 500, _continue: metadata._continue };
    } catch (error) {
      if (!isExpired(error) || page._continue === undefined) throw error;
      items = [];
      page = { limit: 500 };
    }
  }
}

async function deletionOf(deletion: Promise<object>, hasPreconditions = true): Promise<Deletion> {
  try {
    await deletion;
    return 'deleted';
  } catch (error) {
    if (isNotFound(error)) return 'gone';
    if (hasPreconditions && isConflict(error)) return 'changed';
    throw error;
  }
}

/** What the reading gives, or undefined if there is nothing. */
const orNothing = <T>(reading: Promise<T>): Promise<T | undefined> =>
  reading.catch((error) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
