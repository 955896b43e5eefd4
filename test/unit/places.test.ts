import { readFileSync } from 'node:fs';
import { loadAllYaml, loadYaml } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { loadServerConfig } from '../../lib/config/server.ts';
import { buildNamespaceRights } from '../../lib/tools/rbac-manifests.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** What the image sets. */
const image = Object.fromEntries(
  (/^ENV (.*)$/m.exec(read('Dockerfile'))?.[1] ?? '').split(' ').map((pair) => pair.split('=') as [string, string]),
);

/** What a process of the image makes of these variables: it throws where that is nothing. */
const start = (environment: Record<string, string>) => ({
  ...loadConfig({ ...image, ...environment }),
  ...loadServerConfig({ ...image, ...environment }),
});

/** Texts as Compose fills variables in. */
const fillIn = (text: string, variables: Record<string, string>) =>
  text.replace(/\$\{(\w+)(?::-([^}]*))?\}/g, (_, name, otherwise = '') => variables[name] || otherwise);

const pairs = (list: readonly string[], variables: Record<string, string>) =>
  Object.fromEntries(
    list.map((entry) => {
      const [name = '', ...value] = fillIn(entry, variables).split('=');
      return [name, value.join('=')];
    }),
  );

describe('in the place of the service of DeerFlow’s compose file', () => {
  // That of 2026-08-22 (f1f4af99), word by word, but for what is built and the comments.
  const theirs = {
    container_name: 'deer-flow-provisioner',
    volumes: ['~/.kube/config:/root/.kube/config:ro'],
    environment: [
      'K8S_NAMESPACE=deer-flow',
      'SANDBOX_IMAGE=enterprise-public-cn-beijing.cr.volces.com/vefaas-public/all-in-one-sandbox:latest',
      `LARK_CLI_INIT_IMAGE=\${LARK_CLI_INIT_IMAGE:-}`,
      `LARK_CLI_BROKER_IMAGE=\${LARK_CLI_BROKER_IMAGE:-}`,
      `THREADS_HOST_PATH=\${DEER_FLOW_HOME}/threads`,
      `DEER_FLOW_HOST_BASE_DIR=\${DEER_FLOW_HOME}`,
      'KUBECONFIG_PATH=/root/.kube/config',
      'NODE_HOST=host.docker.internal',
      'K8S_API_SERVER=https://host.docker.internal:26443',
    ],
    env_file: ['../.env'],
    extra_hosts: ['host.docker.internal:host-gateway'],
    networks: ['deer-flow'],
    restart: 'unless-stopped',
    healthcheck: {
      test: ['CMD', 'curl', '-f', 'http://localhost:8002/health'],
      interval: '10s',
      timeout: '5s',
      retries: 6,
    },
  };
  const { services } = loadYaml<{ services: { provisioner: typeof theirs } }>(read('docs/compose.yaml'));

  it('stands the same, but for what is built, who runs it and how it ends', () => {
    expect(services).toEqual({
      provisioner: {
        ...theirs,
        environment: [...theirs.environment, 'PORT=8002'],
        build: `\${SANDBOX_PROVISIONER_DIR:-../../sandbox-provisioner}`,
        user: `\${KUBECONFIG_UID:-1000}`,
        stop_grace_period: '35s',
      },
    });
  });

  const home = { DEER_FLOW_HOME: '/srv/deer-flow' };
  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['as it stands', home, {}],
    ['with a port of DeerFlow’s own in its .env', home, { PORT: '2026' }],
    ['without its home', {}, {}],
  ])('starts %s', (_what, variables, envFile) => {
    // What stands in the file goes before what stands in .env.
    const started = start({ ...envFile, ...pairs(services.provisioner.environment, variables) });
    expect(started).toMatchObject({ host: '0.0.0.0', port: 8002, namespace: 'deer-flow' });
  });

  it.each(['PROVISIONER_API_KEY', 'SKILLS_HOST_PATH', 'NODE_HOST', 'CLEANUP_SCHEDULE'])(
    'starts where %s is empty',
    (name) => {
      start({ ...pairs(theirs.environment, home), PORT: '8002', [name]: '' });
    },
  );
});

describe('in the place of the provisioner of DeerFlow’s chart', () => {
  type KubernetesObject = {
    kind: string;
    metadata: { name: string };
    // biome-ignore lint/suspicious/noExplicitAny: each kind has its own
    spec: any;
  };
  const objects: KubernetesObject[] = JSON.parse(JSON.stringify(loadAllYaml(read('docs/provisioner.yaml'))));
  const find = (kind: string) => objects.find((object) => object.kind === kind);
  const pod = find('Deployment')?.spec.template;

  it('are these objects', () => {
    expect(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
      'ServiceAccount sandbox-provisioner',
      'Role sandbox-provisioner',
      'RoleBinding sandbox-provisioner',
      'Service provisioner',
      'Deployment sandbox-provisioner',
    ]);
  });

  /** What stands in the Deployment, as far as it is text. */
  const env: { name: string; value?: string }[] = pod.spec.containers[0].env;
  const values = Object.fromEntries(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])));

  it('has the rights that are printed for it', () => {
    const config = loadConfig(values);
    const account = { kind: 'ServiceAccount', name: 'sandbox-provisioner', namespace: config.namespace } as const;
    const printed = JSON.parse(
      JSON.stringify(buildNamespaceRights(config, [account]), (key, value) =>
        key === 'namespace' ? undefined : value,
      ),
    );
    expect([find('Role'), find('RoleBinding')]).toEqual(printed);
    expect(pod.spec.serviceAccountName).toBe('sandbox-provisioner');
  });

  it('is reached at provisioner:8002', () => {
    expect(find('Service')?.spec).toEqual({
      type: 'ClusterIP',
      ports: [{ name: 'http', port: 8002, targetPort: 'http' }],
      selector: pod.metadata.labels,
    });
    expect(pod.spec.containers[0].ports).toEqual([{ name: 'http', containerPort: Number(image.PORT) }]);
    expect(find('Deployment')?.spec.selector).toEqual({ matchLabels: pod.metadata.labels });
  });

  it('is confined as the chart’s is, and can write nothing', () => {
    expect(pod.spec.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(pod.spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(read('Dockerfile')).toContain('\nUSER 1000:1000\n');
  });

  it('starts with the chart’s variables, and waits for no kubeconfig', () => {
    expect(start(values)).toMatchObject({ port: 8002, kubeconfigWaitSeconds: 0 });
    const names = env.map(({ name }) => name);
    for (const name of ['K8S_NAMESPACE', 'SANDBOX_IMAGE', 'SANDBOX_SERVICE_TYPE', 'SANDBOX_CONTAINER_PORT']) {
      expect(names).toContain(name);
    }
  });
});
