// Runs a command in a sandbox, and prints what it prints: node run-in-sandbox.ts NAMESPACE SANDBOX_ID COMMAND…
import { openKubernetesClient, readKubeconfig } from '../support/kubernetes-client.ts';
import { runInSandbox } from '../support/look-inside.ts';

const [namespace = '', sandboxId = '', ...command] = process.argv.slice(2);
const { KUBECONFIG_PATH = '', NODE_HOST = '' } = process.env;
const address = await readKubeconfig(KUBECONFIG_PATH);
const cluster = { namespace, address, settings: { NODE_HOST }, kubernetes: openKubernetesClient(address, namespace) };
process.stdout.write(await runInSandbox(cluster, sandboxId, command));
