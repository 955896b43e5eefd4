import { randomBytes, randomUUID } from 'node:crypto';

import { afterAll, beforeAll } from 'vitest';

import {
  makeNamespace,
  openTestCluster,
  removeSandboxObjects,
  type SandboxSettings,
  type TestCluster,
} from './cluster.ts';
import { eventually } from './eventually.ts';
import { callHttp, type HttpAnswer, type HttpCall } from './http-call.ts';
import type { KubernetesClient, KubernetesObject } from './kubernetes-client.ts';
import { type KubernetesCall, type KubernetesProxy, startKubernetesProxy } from './kubernetes-proxy.ts';
import { originalPod, originalService, type SandboxNames } from './original.ts';
import { type Provisioner, startProvisioner } from './provisioner.ts';
import { setReadinessAside } from './readiness.ts';
import type { Rights } from './rights.ts';

/** A sandbox as the API tells of it. */
export interface SandboxView {
  readonly sandbox_id: string;
  readonly sandbox_url: string;
  readonly status: string;
  readonly max_shell_sessions: number;
  /** The UID of its Pod. */
  readonly container_id: string | null;
  readonly lark_cli_broker: boolean;
  readonly thread_id: string | null;
  readonly user_id: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly image: string | null;
  readonly created_at: string | null;
  readonly expires_at: string | null;
}

/** The provisioner over HTTP, in front of a cluster, with a proxy between them. */
export interface World {
  readonly isEmbedded: boolean;
  readonly settings: SandboxSettings;
  readonly namespace: string;
  readonly cluster: TestCluster;
  readonly proxy: KubernetesProxy;
  readonly provisioner: Provisioner;
  /** What callers show that they belong. */
  readonly apiKey: string;
  /** The tests' own client, which does not go through the proxy. */
  readonly kubernetes: KubernetesClient;

  /** A call with the key of a caller that belongs; what it says of readiness is looked at and set aside. */
  call(method: string, path: string, rest?: Partial<HttpCall>): Promise<HttpAnswer>;
  create(body: unknown, rest?: Partial<HttpCall>): Promise<HttpAnswer>;
  get(sandboxId: string, rest?: Partial<HttpCall>): Promise<HttpAnswer>;
  list(rest?: Partial<HttpCall>): Promise<HttpAnswer>;
  renew(sandboxId: string, body?: unknown): Promise<HttpAnswer>;
  /** Changes its metadata. */
  update(sandboxId: string, metadata: unknown): Promise<HttpAnswer>;
  destroy(sandboxId: string, rest?: Partial<HttpCall>): Promise<HttpAnswer>;
  /** The calls to Kubernetes that were made until the answer came; those that ended before it, where they count. */
  callsOf(work: () => Promise<unknown>): Promise<KubernetesCall[]>;

  /** Creates a sandbox, throws where that does not answer 200, and returns what was answered, with whether it was made apart. */
  givenSandbox(names?: Partial<SandboxNames>): Promise<SandboxNames & { view: SandboxView; created: boolean }>;
  /** The same, waits until it is `Running`. */
  givenRunningSandbox(names?: Partial<SandboxNames>): Promise<SandboxNames & { view: SandboxView }>;
  /** The objects of a sandbox that the original provisioner has made, with its Pod running unless told otherwise. */
  givenOriginalSandbox(names?: Partial<SandboxNames>, options?: { withPod?: boolean }): Promise<SandboxNames>;
  untilRunning(sandboxId: string): Promise<SandboxView>;
  /** Waits until the sandbox' own URL answers its probe, and returns the answer. */
  untilOpen(view: SandboxView): Promise<HttpAnswer>;

  /** Waits until nobody is to use the sandbox' Pod any more: it terminates, or is gone. */
  untilPodGoes(sandboxId: string): Promise<unknown>;

  findPod(sandboxId: string): Promise<KubernetesObject | undefined>;
  findService(sandboxId: string): Promise<KubernetesObject | undefined>;
  podsOf(sandboxId: string): Promise<KubernetesObject[]>;
  servicesOf(sandboxId: string): Promise<KubernetesObject[]>;
  /** Removes every sandbox and quota from the namespace, at once. */
  clear(): Promise<void>;
}

/** For tests that make many sandboxes: one that finds no room is made anew by a create that asks for something else. */
export const lean = { SANDBOX_CPU_REQUEST: '1m' };

/** An id as DeerFlow makes them: 16 hex digits. */
export const newSandboxId = (): string => randomBytes(8).toString('hex');

/** A thread's id as DeerFlow makes them. */
export const newThreadId = (): string => randomUUID();

/**
 * Starts a world for the tests of the file, and ends it after them, whatever happened: the provisioner with its ports and its
 * rights, the proxy, the namespace and the embedded cluster. `beside` another, the cluster and the proxy are that one's: it is
 * the same namespace, with a provisioner of other settings.
 */
export function useWorld(
  settings: Record<string, string> = {},
  rights: Rights = 'namespace',
  { beside }: { beside?: World } = {},
): World {
  const world = {} as World;
  const apiKey = randomBytes(32).toString('hex');
  const endings: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    const cluster = beside?.cluster ?? (await openTestCluster(rights, settings));
    if (beside === undefined) endings.unshift(() => cluster.close());
    const proxy = beside?.proxy ?? (await startKubernetesProxy(cluster.access));
    if (beside === undefined) endings.unshift(() => proxy.close());
    const provisioner = await startProvisioner({
      EMBEDDED_KUBERNETES: 'false',
      KUBECONFIG_PATH: proxy.kubeconfig,
      KUBECONFIG_WAIT_SECONDS: '0',
      K8S_NAMESPACE: cluster.namespace,
      AUTH: 'required',
      // Tokens take the place of keys.
      ...(settings.JWT_ISSUER === undefined && { PROVISIONER_API_KEY: apiKey }),
      ...cluster.settings,
      ...settings,
    });
    endings.unshift(() => provisioner.stop());
    Object.assign(world, worldOf(cluster, proxy, provisioner, apiKey));
  }, 120_000);

  afterAll(async () => {
    const failures: unknown[] = [];
    for (const end of endings) await end().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'));
  }, 120_000);

  return world;
}

function worldOf(cluster: TestCluster, proxy: KubernetesProxy, provisioner: Provisioner, apiKey: string): World {
  const { kubernetes, settings, namespace, isEmbedded } = cluster;

  const call: World['call'] = async (method, path, rest) => {
    const headers = { 'x-api-key': apiKey, ...rest?.headers };
    return setReadinessAside(await callHttp({ method, url: `${provisioner.url}${path}`, ...rest, headers }));
  };
  const create: World['create'] = (body, rest) =>
    call('POST', '/api/sandboxes', { body, headers: { 'content-type': 'application/json' }, ...rest });
  const get: World['get'] = (sandboxId, rest) => call('GET', `/api/sandboxes/${sandboxId}`, rest);
  const withFreshNames = (names: Partial<SandboxNames> = {}): SandboxNames => ({
    sandboxId: newSandboxId(),
    threadId: newThreadId(),
    ...names,
  });
  const objectsOf = async (resource: 'pods' | 'services', sandboxId: string) =>
    (await kubernetes.list(resource)).filter(({ metadata }) => metadata.labels?.['sandbox-id'] === sandboxId);

  const world: World = {
    isEmbedded,
    settings,
    namespace,
    cluster,
    proxy,
    provisioner,
    apiKey,
    kubernetes,
    call,
    create,
    get,
    list: (rest) => call('GET', '/api/sandboxes', rest),
    renew: (sandboxId, body) =>
      call('POST', `/api/sandboxes/${sandboxId}/renew`, {
        ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }),
      }),
    update: (sandboxId, metadata) =>
      call('PATCH', `/api/sandboxes/${sandboxId}`, {
        body: { metadata },
        headers: { 'content-type': 'application/json' },
      }),
    destroy: (sandboxId, rest) => call('DELETE', `/api/sandboxes/${sandboxId}`, rest),

    async callsOf(work) {
      const before = proxy.calls.length;
      await work();
      return proxy.calls.slice(before);
    },

    async givenSandbox(names) {
      const { sandboxId, threadId } = withFreshNames(names);
      const answer = await create({ sandbox_id: sandboxId, thread_id: threadId });
      if (answer.status !== 200) throw new Error(`no sandbox to begin with: ${answer.status} ${answer.text}`);
      const { created, ...view } = answer.body;
      return { sandboxId, threadId, view: view as SandboxView, created };
    },

    async givenRunningSandbox(names) {
      const given = await world.givenSandbox(names);
      return { ...given, view: await world.untilRunning(given.sandboxId) };
    },

    async givenOriginalSandbox(names, { withPod = true } = {}) {
      const given = withFreshNames(names);
      await makeNamespace(kubernetes);
      await kubernetes.create('services', originalService(given));
      if (!withPod) return given;
      await kubernetes.create('pods', originalPod(given, settings));
      await eventually(
        'running: the Pod of an original sandbox',
        () => world.findPod(given.sandboxId),
        (pod) => pod?.status?.phase === 'Running',
      );
      return given;
    },

    async untilRunning(sandboxId) {
      const answer = await eventually(
        `Running: ${sandboxId}`,
        () => get(sandboxId),
        ({ body }) => body?.status === 'Running',
      );
      return answer.body as SandboxView;
    },

    untilOpen: (view) =>
      eventually(
        `open: ${view.sandbox_url}`,
        () =>
          callHttp({ method: 'GET', url: `${view.sandbox_url}/v1/sandbox`, timeoutMs: 2_000 }).catch(
            (error: Error): HttpAnswer => ({ status: 0, headers: {}, text: error.message, body: undefined }),
          ),
        ({ status }) => status === 200,
      ),

    untilPodGoes: (sandboxId) =>
      eventually(
        `terminating or gone: the Pod of ${sandboxId}`,
        () => world.findPod(sandboxId),
        (pod) => pod === undefined || pod.metadata.deletionTimestamp !== undefined,
      ),

    findPod: (sandboxId) => kubernetes.find('pods', `sandbox-${sandboxId}`),
    findService: (sandboxId) => kubernetes.find('services', `sandbox-${sandboxId}-svc`),
    podsOf: (sandboxId) => objectsOf('pods', sandboxId),
    servicesOf: (sandboxId) => objectsOf('services', sandboxId),
    clear: () => removeSandboxObjects(kubernetes),
  };
  return world;
}
