import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

import { Exec, KubeConfig, type V1Status } from '@kubernetes/client-node';

import type { TestCluster } from './cluster.ts';
import { type KubernetesAnswer, sendToKubernetes } from './kubernetes-client.ts';
import type { KubernetesProxy } from './kubernetes-proxy.ts';

/** What is needed of a cluster to look into its sandboxes. */
type Inside = Pick<TestCluster, 'kubernetes' | 'namespace' | 'address'> & {
  readonly settings: Pick<TestCluster['settings'], 'NODE_HOST'>;
};

/** Runs a command in a sandbox of a real cluster, as its administrator, and gives what it printed; throws if it failed. */
export async function runInSandbox(cluster: Inside, sandboxId: string, command: string[]): Promise<string> {
  return (await reachesKubelet(cluster))
    ? runThroughApi(cluster, sandboxId, command)
    : runThroughKubelet(cluster, sandboxId, command);
}

/** Whether the API server of a real cluster finds its kubelets. */
async function reachesKubelet({ kubernetes }: Inside): Promise<boolean> {
  const { body: nodes } = await kubernetes.request('GET', '/api/v1/nodes');
  return (nodes.items as { status: { addresses?: unknown[] } }[]).some(({ status }) => status.addresses !== undefined);
}

/**
 * Where the API server does not find the kubelet, has the proxy ask it for the logs of a sandbox, by the query that the provisioner
 * sent, as the API server would.
 */
export async function openLogs(cluster: Inside, proxy: KubernetesProxy, sandboxId: string): Promise<void> {
  if (await reachesKubelet(cluster)) return;
  let answer: KubernetesAnswer;
  proxy.injectFault({
    when: ({ path }) => path.endsWith(`/sandbox-${sandboxId}/log`),
    action: {
      async hold({ query }) {
        const path = `/containerLogs/${cluster.namespace}/sandbox-${sandboxId}/sandbox?${query}`;
        answer = await sendToKubernetes(kubeletOf(cluster), { method: 'GET', path, headers: {}, text: '' });
        // Its own type is that of the API server.
        answer = { ...answer, headers: { 'content-type': 'text/plain' } };
      },
      afterwards: {
        get answer() {
          return answer;
        },
      },
    },
  });
}

async function runThroughApi({ namespace }: Inside, sandboxId: string, command: string[]): Promise<string> {
  const config = new KubeConfig();
  config.loadFromFile(process.env.KUBECONFIG_PATH as string);
  const [output, errors] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([text(output), text(errors)]);
  const status = await new Promise<V1Status>((resolve, reject) => {
    new Exec(config)
      .exec(namespace, `sandbox-${sandboxId}`, 'sandbox', command, output, errors, null, false, resolve)
      .catch(reject);
  });
  output.end();
  errors.end();
  const [told, wrong] = await printed;
  if (status.status !== 'Success') throw new Error(`${command.join(' ')}: ${status.message} ${wrong}`);
  return told;
}

/**
 * For a node without an address, where all of the cluster is on one machine: the API server does not find the kubelet then, but
 * the kubelet takes commands itself, from whom it trusts.
 */
async function runThroughKubelet(cluster: Inside, sandboxId: string, command: string[]): Promise<string> {
  const path = `/run/${cluster.namespace}/sandbox-${sandboxId}/sandbox?cmd=${encodeURIComponent(command.join(' '))}`;
  const answer = await sendToKubernetes(kubeletOf(cluster), { method: 'POST', path, headers: {}, text: '' });
  if (answer.status !== 200 || answer.text.startsWith('command ')) {
    throw new Error(`${command.join(' ')}: ${answer.status} ${answer.text}`);
  }
  return answer.text;
}

const kubeletOf = ({ settings, address }: Inside) => ({
  url: new URL(`https://${settings.NODE_HOST}:10250`),
  options: address.options,
});
