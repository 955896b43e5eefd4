import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { dumpYaml } from '@kubernetes/client-node';
import { currentConfig } from '../config/index.ts';
import { isSigned } from '../model/address.ts';
import { buildGateway, gatewayName, ingressOfGateway } from './gateway-manifests.ts';

const usage = `Prints a gateway for the sandboxes of K8S_NAMESPACE, for kubectl apply -f -

  npm run --silent gateway -- [--image IMAGE] [--replicas N] [--resolver DNS] [--tls-secret NAME]

  --image        an nginx of 1.22 or newer with its JavaScript module; nginx:1.28 unless you say otherwise
  --replicas     how many; 2 unless you say otherwise
  --resolver     the cluster's DNS; kube-dns.kube-system.svc.cluster.local unless you say otherwise
  --tls-secret   the Secret of its certificate (tls.crt, tls.key); without one, TLS is your ingress' business

It wants SANDBOX_URL_TEMPLATE with {token}. Its keys are not printed. Make their Secret first:

  kubectl create secret generic ${gatewayName} --namespace "$K8S_NAMESPACE" --from-literal SANDBOX_URL_KEY="$SANDBOX_URL_KEY"
`;

/** A usage error. */
class WrongOptions extends Error {}

const readFile = (name: string) => readFileSync(new URL(`../gateway/${name}`, import.meta.url), 'utf8');

function readOptions() {
  const text = { type: 'string' } as const;
  try {
    const options = {
      image: text,
      replicas: text,
      resolver: text,
      'tls-secret': text,
      help: { type: 'boolean' },
    } as const;
    return parseArgs({ options }).values;
  } catch (error) {
    throw new WrongOptions((error as Error).message);
  }
}

function print(): string {
  const { help, image = 'nginx:1.28', replicas = '2', ...options } = readOptions();
  if (help) return usage;
  const { resolver = 'kube-dns.kube-system.svc.cluster.local', 'tls-secret': tlsSecret } = options;
  // It becomes a part of nginx' configuration.
  if (!/^[A-Za-z0-9.:[\]-]+$/.test(resolver)) throw new WrongOptions('--resolver must be a name or an address.');
  if (!/^[1-9]\d{0,2}$/.test(replicas)) throw new WrongOptions('--replicas must be a number of Pods.');
  const config = currentConfig();
  if (!isSigned(config.urlTemplate)) throw new Error('SANDBOX_URL_TEMPLATE must be set, with {token} in it');
  const files = { conf: readFile('nginx.conf'), script: readFile('gateway.js') };
  const objects = buildGateway(config, { image, replicas: Number(replicas), resolver, tlsSecret }, files);
  return `${[describeScope(config), ...objects.map((object) => dumpYaml(object).trimEnd())].join('\n---\n')}\n`;
}

/** Policies are added up: one that lets everybody in makes the gateway's own worth nothing. */
function describeScope({ namespace, networkPolicy = 'none', networkIngressPods }: ReturnType<typeof currentConfig>) {
  const isOpen = networkPolicy !== 'none' && networkIngressPods === undefined;
  const advice = `\n# SANDBOX_NETWORK_POLICY=${networkPolicy} lets others reach sandboxes, too: set ${ingressOfGateway}`;
  return `# The gateway of namespace ${namespace}.${isOpen ? advice : ''}`;
}

try {
  process.stdout.write(print());
} catch (error) {
  const isUsage = error instanceof WrongOptions;
  process.stderr.write(isUsage ? `${error.message}\n\n${usage}` : `${(error as Error).message}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
