import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

import { Exec, KubeConfig, type V1Status } from '@kubernetes/client-node';

/** Runs a command in a sandbox of the real cluster, as its administrator, and gives what it printed; throws if it failed. */
export async function runInSandbox(namespace: string, sandboxId: string, command: string[]): Promise<string> {
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
