import { createHash } from 'node:crypto';
import type {
  V1ConfigMap,
  V1Deployment,
  V1NetworkPolicy,
  V1PodDisruptionBudget,
  V1Service,
} from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';
import { sandboxLabel } from '../model/names.ts';
import { askForNames, portsOf } from '../model/network-policy.ts';

/** What is said of the gateway beside the settings. */
export type GatewayOptions = Readonly<{
  image: string;
  replicas: number;
  /** The address or the name of the cluster's DNS. */
  resolver: string;
  /** The Secret of its certificate (`tls.crt`, `tls.key`); undefined where TLS ends before it. */
  tlsSecret: string | undefined;
}>;

/** The files of the gateway, as lib/gateway has them. */
export type GatewayFiles = Readonly<{ conf: string; script: string }>;

/** Where nginx finds and leaves what, and where it listens. */
type Places = Readonly<
  Record<'folder' | 'log' | 'script' | 'resolver' | 'health' | 'listen', string> & { tls?: string | undefined }
>;

/** The name of all of its objects, and of the Secret with its keys. */
export const gatewayName = 'sandbox-gateway';

/** The label that its Pods alone bear. */
const labels = { 'app.kubernetes.io/name': gatewayName };

/** The setting that lets nobody but the gateway in where there is a policy of the provisioner's. */
export const ingressOfGateway = `SANDBOX_NETWORK_INGRESS_PODS=${Object.entries(labels).flat().join('=')}`;

/** nginx' configuration with these places in it; with `tls`, a folder, it speaks HTTPS by the certificate there. */
export function fillConfiguration(conf: string, { tls, listen, ...places }: Places): string {
  const keepAlive = 'so_keepalive=60s:10s:6';
  const certificate = tls && ` ssl_certificate ${tls}/tls.crt; ssl_certificate_key ${tls}/tls.key;`;
  const values: Record<string, string> = {
    ...places,
    listen: certificate ? `listen ${listen} ssl ${keepAlive};${certificate}` : `listen ${listen} ${keepAlive};`,
  };
  return conf.replace(/\{\{(\w+)\}\}/g, (all, name: string) => values[name] ?? all);
}

/** The gateway of the settings' namespace: all that it takes but the Secret with its keys. */
export function buildGateway(config: Config, options: GatewayOptions, { conf, script }: GatewayFiles) {
  const { namespace } = config;
  const { tlsSecret, resolver } = options;
  const port = tlsSecret === undefined ? 8080 : 8443;
  const data = {
    'nginx.conf': fillConfiguration(conf, {
      ...{ folder: '/tmp', log: '/dev/stdout', script: '/etc/gateway/gateway.js', resolver, health: '8081' },
      listen: String(port),
      tls: tlsSecret && '/etc/gateway-tls',
    }),
    'gateway.js': script,
  };
  const metadata = { name: gatewayName, namespace, labels };
  const configMap: V1ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
  const service: V1Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: {
      selector: labels,
      ports: [
        {
          name: tlsSecret === undefined ? 'http' : 'https',
          port: tlsSecret === undefined ? 80 : 443,
          targetPort: port,
        },
      ],
    },
  };
  const budget: V1PodDisruptionBudget = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata,
    spec: { minAvailable: 1, selector: { matchLabels: labels } },
  };
  const deployment = buildDeployment(config, options, port, hash(JSON.stringify(data)));
  return [configMap, deployment, service, budget, ...buildPolicies(config, port)];
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

function buildDeployment(config: Config, options: GatewayOptions, port: number, version: string): V1Deployment {
  const { namespace, containerPort, urlTemplate = '' } = config;
  const { image, replicas, tlsSecret } = options;
  const quit = 'nginx -c /etc/gateway/nginx.conf -s quit && while [ -e /tmp/nginx.pid ]; do sleep 1; done';
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: gatewayName, namespace, labels },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        // Another configuration is another Pod.
        metadata: { labels, annotations: { 'sandbox-gateway/configuration': version } },
        spec: {
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          // Open WebSockets have so long; new connections go elsewhere from the first five seconds on.
          terminationGracePeriodSeconds: 300,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 101,
            runAsGroup: 101,
            fsGroup: 101,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: labels },
            },
          ],
          containers: [
            {
              name: 'nginx',
              image,
              command: ['nginx', '-c', '/etc/gateway/nginx.conf', '-g', 'daemon off;'],
              env: [
                { name: 'K8S_NAMESPACE', value: namespace },
                { name: 'SANDBOX_CONTAINER_PORT', value: String(containerPort) },
                { name: 'SANDBOX_URL_TEMPLATE', value: urlTemplate },
                {
                  name: 'SANDBOX_URL_KEY',
                  valueFrom: { secretKeyRef: { name: gatewayName, key: 'SANDBOX_URL_KEY' } },
                },
              ],
              ports: [
                { name: 'requests', containerPort: port },
                { name: 'health', containerPort: 8081 },
              ],
              readinessProbe: { httpGet: { path: '/', port: 8081 }, periodSeconds: 2 },
              livenessProbe: { httpGet: { path: '/', port: 8081 }, periodSeconds: 10 },
              lifecycle: { preStop: { exec: { command: ['sh', '-c', `sleep 5; ${quit}`] } } },
              resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '512Mi' } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              volumeMounts: [
                { name: 'configuration', mountPath: '/etc/gateway', readOnly: true },
                { name: 'folder', mountPath: '/tmp' },
                ...(tlsSecret === undefined ? [] : [{ name: 'tls', mountPath: '/etc/gateway-tls', readOnly: true }]),
              ],
            },
          ],
          volumes: [
            { name: 'configuration', configMap: { name: gatewayName } },
            { name: 'folder', emptyDir: {} },
            ...(tlsSecret === undefined
              ? []
              : [{ name: 'tls', secret: { secretName: tlsSecret, defaultMode: 0o440 } }]),
          ],
        },
      },
    },
  };
}

/** The gateway reaches sandboxes and the DNS, and nobody but the gateway reaches sandboxes. */
function buildPolicies(config: Config, port: number): V1NetworkPolicy[] {
  const { namespace } = config;
  const apiVersion = 'networking.k8s.io/v1';
  const [gateways, sandboxes] = [{ matchLabels: labels }, { matchLabels: { ...sandboxLabel } }];
  const ports = portsOf(config);
  return [
    {
      apiVersion,
      kind: 'NetworkPolicy',
      metadata: { name: gatewayName, namespace, labels },
      spec: {
        podSelector: gateways,
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ ports: [{ protocol: 'TCP', port }] }],
        egress: [{ to: [{ podSelector: sandboxes }], ports }, askForNames(config)],
      },
    },
    {
      apiVersion,
      kind: 'NetworkPolicy',
      metadata: { name: `${gatewayName}.sandboxes`, namespace, labels },
      spec: {
        podSelector: sandboxes,
        policyTypes: ['Ingress'],
        ingress: [{ _from: [{ podSelector: gateways }], ports }],
      },
    },
  ];
}
