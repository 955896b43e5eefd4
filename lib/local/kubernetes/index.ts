import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startGarbageCollector } from './garbage-collector.ts';
import { startKubelet } from './kubelet.ts';
import { createLists } from './lists.ts';
import { createNodePorts } from './node-ports.ts';
import { createQuotas } from './quota.ts';
import { createRegistry } from './registry.ts';
import { createRestHandler } from './rest.ts';
import { createStore } from './store.ts';
import { createTimers } from './timers.ts';

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
  /** A kubeconfig (JSON, which is YAML too) with a bearer token that is made anew at every start. */
  kubeconfig: string;
  /** Ends everything: no port, socket or timer is left when it resolves. */
  close(): Promise<void>;
};

/** Between the reading and the writing of a Service that is updated: about what the API server takes. */
const SERVICE_UPDATE_MS = 3;

/**
 * Starts a Kubernetes in this process, for a machine that has none: all in memory, on 127.0.0.1 alone, and what runs
 * in its Pods is a stand-in. Rejects with the system's error when the port is taken.
 */
export async function startEmbeddedKubernetes(options: EmbeddedKubernetesOptions = {}): Promise<EmbeddedKubernetes> {
  const { port = 0, nodePortRange = [30_000, 32_767], startupMs = 1000, readyMs = 100 } = options;
  const { terminationGraceMs = 2000, quotaResyncMs = 300_000 } = options;
  const http = createServer().listen(port, '127.0.0.1');
  await once(http, 'listening');

  const token = randomBytes(32).toString('base64url');
  const store = createStore();
  const timers = createTimers();
  const nodePorts = createNodePorts(nodePortRange, store);
  const quotas = createQuotas(store, timers, quotaResyncMs);
  const pause = () => new Promise<void>((resolve) => timers.after(SERVICE_UPDATE_MS, resolve));
  const registry = createRegistry(store, nodePorts, quotas, pause);
  startKubelet(store, timers, { startupMs, readyMs, terminationGraceMs });
  startGarbageCollector(store, registry, timers);
  await registry.create('Namespace', undefined, { metadata: { name: 'default' } });
  http.on('request', createRestHandler(registry, createLists(store, timers), token));

  const server = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return {
    server,
    kubeconfig: writeKubeconfig(server, token),
    async close() {
      timers.close();
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeAllConnections();
      await Promise.all([closed, nodePorts.close()]);
    },
  };
}

function writeKubeconfig(server: string, token: string): string {
  const name = 'embedded';
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    // Without it @kubernetes/client-node refuses plain HTTP.
    clusters: [{ name, cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  return JSON.stringify(kubeconfig, undefined, 2);
}
