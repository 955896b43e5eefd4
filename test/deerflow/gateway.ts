// The gateway of the settings, on the port of their template, until it is ended; for a cluster whose Pods are reached from here.
import { resolveByPods, startGateway } from '../support/gateway.ts';
import { openKubernetesClient, readKubeconfig } from '../support/kubernetes-client.ts';

const { KUBECONFIG_PATH = '', K8S_NAMESPACE = '', SANDBOX_URL_TEMPLATE = '', SANDBOX_URL_KEY = '' } = process.env;
const kubernetes = openKubernetesClient(await readKubeconfig(KUBECONFIG_PATH), K8S_NAMESPACE);
const settings = { K8S_NAMESPACE, SANDBOX_URL_TEMPLATE, SANDBOX_URL_KEY, SANDBOX_CONTAINER_PORT: '8080' };
const [, port] = /^http:\/\/127\.0\.0\.1:(\d+)\//.exec(SANDBOX_URL_TEMPLATE) ?? [];
const gateway = await startGateway(settings, resolveByPods(kubernetes), Number(port));
process.once('SIGTERM', () => void gateway.stop().then(() => process.exit()));
