import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { startGarbageCollector } from './kubernetes-garbage-collector.ts';
import { createKubelet } from './kubernetes-kubelet.ts';
import { createNodePorts } from './kubernetes-node-ports.ts';
import { RESOURCE_TYPES, type ResourceType } from './kubernetes-objects.ts';
import { createQuotas } from './kubernetes-quota.ts';
import { createRegistry } from './kubernetes-registry.ts';
import { createRestHandler } from './kubernetes-rest.ts';
import { createStore } from './kubernetes-store.ts';
import { createTimers } from './kubernetes-timers.ts';

export type EmbeddedKubernetesOptions = {
  /** The API server's port on 127.0.0.1; any free one by default. */
  port?: number;
  /** First and last NodePort; Kubernetes' 30000 to 32767 by default. */
  nodePortRange?: readonly [first: number, last: number];
  /** Milliseconds from a Pod's scheduling until its container runs; 1000 by default. */
  startupMs?: number;
  /** Milliseconds from then until the Pod is Ready; 100 by default. */
  readyMs?: number;
  /**
   * Milliseconds that a stand-in takes to end once its Pod is deleted, at most the Pod's grace period; 2000 by
   * default. The real sandbox ignores SIGTERM and takes its whole grace: to behave like it, set `Infinity`.
   */
  terminationGraceMs?: number;
  /** Milliseconds between two counts of every quota, which forgive what failed creates were charged; 300000 by default. */
  quotaResyncMs?: number;
};

export type EmbeddedKubernetes = {
  /** `http://127.0.0.1:port` */
  server: string;
  /**
   * A kubeconfig (JSON, which is YAML too) with a bearer token that is made anew at every start. Its context `kubectl`
   * is for kubectl, which sends no token over plain HTTP: there it stands in the address.
   */
  kubeconfig: string;
  /** Ends everything: no port, socket or timer is left when it resolves. */
  close(): Promise<void>;
};

/** Between the reading and the writing of a Service that is updated: about what the API server takes. */
const SERVICE_UPDATE_MS = 3;

const typeOf = (kind: string) => RESOURCE_TYPES.find((type) => type.kind === kind) as ResourceType;

/**
 * Starts a Kubernetes in this process, for a machine that has none: all in memory, on 127.0.0.1 alone, and what runs
 * in its Pods is a stand-in. Rejects with the system's error when the port is taken.
 */
export async function startEmbeddedKubernetes(options: EmbeddedKubernetesOptions = {}): Promise<EmbeddedKubernetes> {
  const { port = 0, nodePortRange = [30_000, 32_767], startupMs = 1000, readyMs = 100 } = options;
  const { terminationGraceMs = 2000, quotaResyncMs = 300_000 } = options;
  const now = () => Date.now();
  const token = randomBytes(32).toString('base64url');
  const store = createStore();
  const timers = createTimers();
  const types = { pods: typeOf('Pod'), services: typeOf('Service'), events: typeOf('Event') };

  const pause = () => new Promise<void>((resolve) => timers.after(SERVICE_UPDATE_MS, resolve));
  const nodePorts = createNodePorts(nodePortRange, (nodePort, socket) => kubelet.connect(nodePort, socket));
  const quotas = createQuotas(store, RESOURCE_TYPES, timers, quotaResyncMs);
  const registry = createRegistry(store, RESOURCE_TYPES, nodePorts, quotas, now, pause);
  const kubelet = createKubelet(store, registry, types, timers, { startupMs, readyMs, terminationGraceMs }, now);
  startGarbageCollector(store, registry, RESOURCE_TYPES, timers);
  for (const name of ['default', 'kube-system']) {
    await registry.create(typeOf('Namespace'), '', { metadata: { name } }, false);
  }

  let address = '';
  const http = createServer(createRestHandler(store, registry, token, () => address, now));
  const sockets = new Set<Socket>();
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, '127.0.0.1', resolve);
  }).catch((error) => {
    timers.close();
    throw error;
  });
  address = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;

  return {
    server: address,
    kubeconfig: writeKubeconfig(address, token),
    async close() {
      timers.close();
      for (const socket of sockets) socket.destroy();
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      kubelet.close();
      await Promise.all([closed, nodePorts.close()]);
    },
  };
}

function writeKubeconfig(server: string, token: string): string {
  const name = 'embedded';
  // Without it @kubernetes/client-node refuses plain HTTP.
  const overHttp = { 'insecure-skip-tls-verify': true };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name, cluster: { server, ...overHttp } },
      { name: 'kubectl', cluster: { server: `${server}/${token}`, ...overHttp } },
    ],
    users: [{ name, user: { token } }],
    contexts: [
      { name, context: { cluster: name, user: name } },
      { name: 'kubectl', context: { cluster: 'kubectl', user: name } },
    ],
    'current-context': name,
  };
  return JSON.stringify(kubeconfig, undefined, 2);
}
