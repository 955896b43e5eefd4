import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

import { Exec, KubeConfig, type V1Status } from '@kubernetes/client-node';

import type { TestCluster } from './cluster.ts';
import { sendToKubernetes } from './kubernetes-client.ts';

/** What is needed of a cluster to look into its sandboxes. */
type Inside = Pick<TestCluster, 'kubernetes' | 'namespace' | 'address'> & {
  readonly settings: Pick<TestCluster['settings'], 'NODE_HOST'>;
};

/** Runs a command in a sandbox of a real cluster, as its administrator, and gives what it printed; throws if it failed. */
export async function runInSandbox(cluster: Inside, sandboxId: string, command: string[]): Promise<string> {
  const { body: nodes } = await cluster.kubernetes.request('GET', '/api/v1/nodes');
  const hasAddress = (nodes.items as { status: { addresses?: unknown[] } }[]).some(
    ({ status }) => status.addresses !== undefined,
  );
  return hasAddress ? runThroughApi(cluster, sandboxId, command) : runThroughKubelet(cluster, sandboxId, command);
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
  const kubelet = { url: new URL(`https://${cluster.settings.NODE_HOST}:10250`), options: cluster.address.options };
  const path = `/run/${cluster.namespace}/sandbox-${sandboxId}/sandbox?cmd=${encodeURIComponent(command.join(' '))}`;
  const answer = await sendToKubernetes(kubelet, { method: 'POST', path, headers: {}, text: '' });
  if (answer.status !== 200 || answer.text.startsWith('command ')) {
    throw new Error(`${command.join(' ')}: ${answer.status} ${answer.text}`);
  }
  return answer.text;
}
