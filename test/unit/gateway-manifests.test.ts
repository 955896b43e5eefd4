import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readPrinted } from '../support/rights.ts';
import { keepSecret } from '../support/secrets.ts';

const key = keepSecret('k'.repeat(40));
const template = 'https://sandboxes.example/{sandbox_id}/{port}/{token}';
const settings = { K8S_NAMESPACE: 'agents', SANDBOX_URL_TEMPLATE: template, SANDBOX_URL_KEY: key };

/** Runs what `npm run --silent gateway` runs, with these settings and no others. */
function run(args: readonly string[], given: Record<string, string> = settings) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['lib/tools/gateway.ts', ...args], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { PATH: process.env.PATH, ...given },
    encoding: 'utf8',
  });
  return { exitCode: status as number, stdout, stderr };
}

// biome-ignore lint/suspicious/noExplicitAny: the tests look into objects of every kind
const print = (args: readonly string[] = [], given = {}): Record<string, any> =>
  Object.fromEntries(
    readPrinted(run(args, { ...settings, ...given })).map((object) => [
      `${object.kind} ${object.metadata.name}`,
      object,
    ]),
  );

describe('npm run gateway', () => {
  it('prints all of it but the key, in the namespace of the sandboxes', () => {
    const { exitCode, stdout, stderr } = run([]);
    expect({ exitCode, stderr, hasKey: stdout.includes(key) }).toEqual({ exitCode: 0, stderr: '', hasKey: false });
    const objects = print();
    expect(Object.keys(objects)).toEqual([
      ...['ConfigMap', 'Deployment', 'Service', 'PodDisruptionBudget', 'NetworkPolicy'].map(
        (kind) => `${kind} sandbox-gateway`,
      ),
      'NetworkPolicy sandbox-gateway.sandboxes',
    ]);
    expect(new Set(Object.values(objects).map(({ metadata }) => metadata.namespace))).toEqual(new Set(['agents']));
  });

  it('has Pods that may do nothing, with the files of lib/gateway and the settings that these need', () => {
    const {
      'ConfigMap sandbox-gateway': { data },
      'Deployment sandbox-gateway': { spec },
    } = print();
    const { spec: pod } = spec.template;
    const [container] = pod.containers;
    expect([spec.replicas, pod.automountServiceAccountToken, pod.securityContext.runAsNonRoot]).toEqual([
      2,
      false,
      true,
    ]);
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const read = (name: string) => readFileSync(new URL(`../../lib/gateway/${name}`, import.meta.url), 'utf8');
    expect(data['gateway.js']).toBe(read('gateway.js'));
    expect(data['nginx.conf']).not.toMatch(/\{\{|\}\}/);
    const named = [...read('nginx.conf').matchAll(/^env (\w+);$/gm)].map(([, name]) => name);
    expect(container.env.map(({ name }: { name: string }) => name).toSorted()).toEqual(named.toSorted());
    expect(container.env).toContainEqual({ name: 'SANDBOX_URL_TEMPLATE', value: template });
  });

  it('is rolled out anew where its configuration is another', () => {
    const [one, same, other] = [print(), print(), print(['--resolver', '10.96.0.10'])].map(
      (objects) => objects['Deployment sandbox-gateway'].spec.template.metadata.annotations,
    );
    expect(one).toEqual(same);
    expect(one).not.toEqual(other);
  });

  const gateway = { podSelector: { matchLabels: { 'app.kubernetes.io/name': 'sandbox-gateway' } } };
  const sandboxes = { podSelector: { matchLabels: { app: 'deer-flow-sandbox' } } };
  it('lets nobody but itself reach sandboxes, at the ports that there are URLs for, and itself nobody else', () => {
    const objects = print([], { SANDBOX_URL_PORTS: '3000', SANDBOX_SERVICE_TYPE: 'Headless' });
    const ports = [8080, 3000].map((port) => ({ protocol: 'TCP', port }));
    expect(objects['NetworkPolicy sandbox-gateway.sandboxes'].spec).toEqual({
      ...sandboxes,
      policyTypes: ['Ingress'],
      // As the client calls what stands there as `from`.
      ingress: [{ _from: [gateway], ports }],
    });
    const { ingress, egress, ...rest } = objects['NetworkPolicy sandbox-gateway'].spec;
    expect(rest).toEqual({ ...gateway, policyTypes: ['Ingress', 'Egress'] });
    expect(ingress).toEqual([{ ports: [{ protocol: 'TCP', port: 8080 }] }]);
    expect(egress).toMatchObject([
      { to: [sandboxes], ports },
      {
        ports: [
          { protocol: 'UDP', port: 53 },
          { protocol: 'TCP', port: 53 },
        ],
      },
    ]);
  });

  it.each([
    [{}, ''],
    [{ SANDBOX_NETWORK_POLICY: 'none' }, ''],
    [{ SANDBOX_NETWORK_POLICY: 'isolated' }, 'set SANDBOX_NETWORK_INGRESS_PODS=app.kubernetes.io/name=sandbox-gateway'],
    [
      { SANDBOX_NETWORK_POLICY: 'isolated', SANDBOX_NETWORK_INGRESS_PODS: 'app.kubernetes.io/name=sandbox-gateway' },
      '',
    ],
  ])('says where another policy lets others in: %j', (given, advice) => {
    const [head = ''] = run([], { ...settings, ...given }).stdout.split('\n---\n');
    expect(head.split('lets others reach sandboxes, too: ').slice(1).join()).toBe(advice);
  });

  it('speaks HTTPS by the Secret that it is given', () => {
    const objects = print(['--tls-secret', 'certificate']);
    expect(objects['ConfigMap sandbox-gateway'].data['nginx.conf']).toContain(
      'listen 8443 ssl so_keepalive=60s:10s:6; ssl_certificate /etc/gateway-tls/tls.crt;',
    );
    expect(objects['Service sandbox-gateway'].spec.ports).toEqual([{ name: 'https', port: 443, targetPort: 8443 }]);
    expect(objects['Deployment sandbox-gateway'].spec.template.spec.volumes).toContainEqual({
      name: 'tls',
      secret: { secretName: 'certificate', defaultMode: 0o440 },
    });
  });

  it.each<[string, string[], Record<string, string>, number, RegExp]>([
    ['no template', [], {}, 1, /^SANDBOX_URL_TEMPLATE must be set, with \{token\} in it/],
    [
      'a template without a token',
      [],
      { SANDBOX_URL_TEMPLATE: 'https://a/{sandbox_id}' },
      1,
      /^SANDBOX_URL_TEMPLATE must/,
    ],
    ['a wrong setting', [], { K8S_NAMESPACE: 'A' }, 1, /^Misconfigured: K8S_NAMESPACE/],
    ['a DNS that is more than one', ['--resolver', '10.0.0.1; include x'], settings, 2, /^--resolver must be/],
    ['no number', ['--replicas', 'two'], settings, 2, /^--replicas must be/],
    ['an unknown option', ['--x'], settings, 2, /^Unknown option '--x'.*\n\nPrints a gateway/s],
  ])('prints nothing but what is wrong: %s', (_what, args, given, exitCode, problem) => {
    expect(run(args, given)).toMatchObject({ exitCode, stdout: '', stderr: expect.stringMatching(problem) });
  });
});
