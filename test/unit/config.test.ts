import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loadAccessConfig, loadConfig } from '../../lib/config/index.ts';
import { allSettings, findStrays, isForFunctions, readTexts, readValue } from '../../lib/config/themes.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { describeDefault, renderSettingsPage } from '../../lib/tools/settings-page.ts';
import { settings } from '../support/settings.ts';

type Env = Record<string, string>;

const problemsOf = (env: Env, load: (env: Env) => unknown = loadConfig): string => {
  try {
    load(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ProvisionerError);
    expect((error as ProvisionerError).kind).toBe('misconfigured');
    return (error as ProvisionerError).message;
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`);
};

const aKey = 'sixteen-visibles';
const eks = {
  EKS_CLUSTER_NAME: 'agents_1',
  EKS_CLUSTER_ENDPOINT: 'https://0A1B.gr7.eu-central-1.eks.amazonaws.com',
  EKS_CLUSTER_CA: Buffer.from('-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n').toString('base64'),
};
const tokens = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'one,two three' };
const long = (length: number) => 'x'.repeat(length);
const whsec = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;

/** Settings with one rule. */
type Kind = {
  /** Each with the name of its value, if it has one of its own, and with its default. */
  of: Record<string, [] | [field: string, unset: unknown]>;
  /** What is taken as it stands; what means something else; what is refused. */
  takes?: string[];
  means?: Record<string, unknown>;
  refuses: string[];
  /** What a refusal says. */
  rule: string;
  /** What must be set beside it. */
  beside?: Env;
};

const paths: Kind['of'] = { SKILLS_HOST_PATH: [], THREADS_HOST_PATH: [], DEER_FLOW_HOST_BASE_DIR: [] };
const quantities: Kind['of'] = {
  SANDBOX_CPU_REQUEST: ['cpuRequest', '100m'],
  SANDBOX_CPU_LIMIT: ['cpuLimit', '1000m'],
  SANDBOX_MEMORY_REQUEST: ['memoryRequest', '256Mi'],
  SANDBOX_MEMORY_LIMIT: ['memoryLimit', '1Gi'],
  SANDBOX_EPHEMERAL_STORAGE_REQUEST: ['ephemeralStorageRequest', '500Mi'],
  SANDBOX_EPHEMERAL_STORAGE_LIMIT: ['ephemeralStorageLimit', '500Mi'],
};
/** The smallest requests and the largest limits: none of them is in another's way. */
const anyQuantity = Object.fromEntries(
  Object.keys(quantities).map((name) => [name, name.endsWith('LIMIT') ? '9223372036854775807' : '1n']),
);
const cidr = {
  means: {
    '10.0.0.0/8,fd00::/8': ['10.0.0.0/8', 'fd00::/8'],
    '0.0.0.0/0,::/0': ['0.0.0.0/0', '::/0'],
    '2001:db8::1/128': ['2001:db8::1/128'],
  },
  refuses: [
    ...['10.0.0.0', '10.0.0.0/33', 'node', '10.0.0.0/8, 192.168.0.0/16', '10.0.0.0/8,', '10.0.0/8', '10.0.0.0/08'],
    ...['::1', '::1/129', '::ffff:10.0.0.1/128', 'fe80::1%eth0/64', '10.96.0.10:53'],
  ],
  rule: 'must be ranges of addresses such as 10.0.0.0/8, separated by commas without spaces',
};
const seconds = {
  means: { 0: 0, 60: 60, 604800: 604_800 },
  refuses: ['1d', '-1', 'never', '1.5', '1e3', ' 7', '1000000000', '+1', '1\n'],
  rule: 'must be a whole number of seconds',
};
const secretId = {
  takes: ['keys', 'callers/keys', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:callers/keys-AbCdEf'],
  refuses: [
    ...['a b', 'prod/*', 'keys?x=y', `\${AWS::StackName}`, 'arn:aws:ssm:eu-west-1:123456789012:parameter/a'],
    'arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/kubeconfig',
  ],
  rule: 'must be the name or the whole ARN of a secret in Secrets Manager',
};
const parameterName = {
  takes: ['p', '/callers/keys', 'arn:aws:ssm:eu-west-1:123456789012:parameter/a/b'],
  refuses: ['a b', '/prod/?', '/keys&x=y'],
  rule: "must be the name or the ARN of a parameter in SSM's Parameter Store",
};
const url = {
  refuses: ['10.0.0.1', '10.0.0.1:6443', 'ftp://server', 'https://', 'server'],
  rule: 'must be an http:// or https:// URL',
};

const aUrlKey = long(32);
const signedUrl = 'https://a.example/{sandbox_id}/{token}';
const urlTemplate: Kind[] = [
  {
    takes: [
      'http://{service}.{namespace}.svc.cluster.local:{port}',
      'https://{sandbox_id}.a.example',
      'http://a/{service}',
    ],
    means: { 'https://a.example/{namespace}/{sandbox_id}//': 'https://a.example/{namespace}/{sandbox_id}' },
    refuses: [
      'https://a.example/{sandbox_id}/{id}',
      'https://a.example/{sandbox_id}}',
      'https://a.example/{{sandbox_id}}',
    ],
    rule: 'must have nothing in braces but {namespace}, {sandbox_id}, {service}, {port}, {token}',
  },
  { refuses: ['https://a.example', 'https://a.example/{namespace}/'], rule: 'must name {sandbox_id} or {service}' },
  {
    refuses: [
      ...[
        '{sandbox_id}',
        'ftp://a/{sandbox_id}',
        'https:/{sandbox_id}',
        'https://a/{sandbox_id}?x',
        'https://a/{sandbox_id}#x',
      ],
      ...['https://user@a/{sandbox_id}', 'https://a b/{sandbox_id}', 'https://a:x/{sandbox_id}', '//a/{sandbox_id}'],
    ],
    rule: 'must be an http:// or https:// URL, without a query',
  },
  {
    takes: [`https://{sandbox_id}${long(47)}.a.example`],
    refuses: [`https://{sandbox_id}${long(48)}.a.example`],
    rule: 'must leave room for an id of 16 characters: a part of a host name has 63',
  },
].map((kind) => ({ of: { SANDBOX_URL_TEMPLATE: ['urlTemplate', undefined] }, ...kind }));

const kinds: Kind[] = [
  {
    of: { K8S_NAMESPACE: ['namespace', 'deer-flow'] },
    takes: ['a', '0', 'agents-1', long(63)],
    refuses: ['Deer_Flow', long(64), '-a', 'a-', 'a.b', 'a/pods', 'a\n'],
    rule: 'must be a legal namespace name (RFC 1123 label)',
  },
  {
    of: {
      SANDBOX_IMAGE: [
        'sandboxImage',
        'enterprise-public-cn-beijing.cr.volces.com/vefaas-public/all-in-one-sandbox:latest',
      ],
    },
    takes: ['busybox', 'registry.example:5000/sandbox@sha256:0123'],
    refuses: ['two words', ' image', 'image\n'],
    rule: 'must be an image reference without spaces',
  },
  {
    of: paths,
    // The node of Docker Desktop on Windows.
    takes: ['/', '/srv/skills', '/a..b/..c/d..', '/with space/ü', 'C:\\threads', 'c:/threads', '\\\\server\\threads'],
    refuses: ['skills', './skills', 'C:', '\\threads'],
    rule: 'must be an absolute path',
  },
  { of: paths, refuses: ['/..', '/a/../b', 'C:\\a\\..\\b'], rule: "must not contain '..'" },
  {
    of: { SKILLS_PVC_NAME: [], USERDATA_PVC_NAME: [] },
    takes: ['a', 'deer-flow.home-1', long(253)],
    refuses: ['A', 'b_c', long(254), '-a', 'a..b'],
    rule: 'must be the name of a PersistentVolumeClaim (RFC 1123 subdomain)',
  },
  {
    of: { SKILLS_PVC_SUBPATH_TEMPLATE: [] },
    takes: ['a', 'deer-flow/users/{user_id}/threads/{thread_id}/skills'],
    refuses: ['{tenant}', '{user_id.__class__}', '{}', 'a}', '/a', 'a/../b', '{{user_id}}'],
    rule: "must be a relative path without '..', with nothing but {user_id} and {thread_id} in braces",
    beside: { SKILLS_PVC_NAME: 's' },
  },
  {
    of: { USER_DATA_LAYOUT: [] },
    takes: ['users', 'threads'],
    refuses: ['user', 'Threads'],
    rule: "must be 'users' or 'threads'",
    beside: { DEER_FLOW_HOST_BASE_DIR: '/state' },
  },
  {
    of: { SANDBOX_CONTAINER_PORT: ['containerPort', 8080] },
    means: { 1: 1, 9000: 9000, 65535: 65_535 },
    refuses: ['0', '65536', '080', 'http', '-1', '1.5'],
    rule: 'must be a port, 1 to 65535',
  },
  {
    of: { SANDBOX_SERVICE_TYPE: ['serviceType', 'NodePort'] },
    takes: ['NodePort', 'ClusterIP', 'Headless'],
    refuses: ['LoadBalancer', 'nodeport'],
    rule: "must be 'NodePort', 'ClusterIP' or 'Headless'",
  },
  ...urlTemplate,
  {
    of: { SANDBOX_URL_KEY: [] },
    takes: [aUrlKey, `["${aUrlKey}", "${aUrlKey}-old"]`],
    refuses: [
      'x'.repeat(31),
      `[]`,
      `["${aUrlKey}"`,
      `["${aUrlKey}","short"]`,
      JSON.stringify([1, 2, 3].map(() => aUrlKey)),
    ],
    rule: 'must be a key of at least 32 characters, or a JSON list of two such as ["new","old"]',
    beside: { SANDBOX_URL_TEMPLATE: signedUrl },
  },
  { of: { SANDBOX_URL_KEY_SECRET_ID: [] }, ...secretId, beside: { SANDBOX_URL_TEMPLATE: signedUrl } },
  { of: { SANDBOX_URL_KEY_PARAMETER: [] }, ...parameterName, beside: { SANDBOX_URL_TEMPLATE: signedUrl } },
  {
    of: { SANDBOX_URL_TTL_SECONDS: ['urlTtlSeconds', 0] },
    ...seconds,
    beside: { SANDBOX_URL_TEMPLATE: signedUrl, SANDBOX_URL_KEY: aUrlKey },
  },
  {
    of: { SANDBOX_URL_PORTS: ['urlPorts', []] },
    means: { 3000: [3000], '3000,5900 6080': [3000, 5900, 6080] },
    refuses: ['0', '65536', '3000;4000', ','],
    rule: 'must be ports, 1 to 65535, separated by commas or blanks',
    beside: { SANDBOX_URL_TEMPLATE: 'https://a.example/{sandbox_id}/{port}', SANDBOX_SERVICE_TYPE: 'Headless' },
  },
  {
    of: { NODE_HOST: ['nodeHost', 'host.docker.internal'] },
    takes: ['localhost', 'node-1.example.com', '192.0.2.7', 'node'],
    means: { '::1': '[::1]', '2001:db8::7': '[2001:db8::7]' },
    refuses: ['http://node/', 'http://node', 'node/', 'node:30000', '192.0.2.7:80', 'user@node', 'a b'],
    rule: 'must be a host name or an IP address, without scheme, port or slash',
  },
  {
    of: quantities,
    takes: ['1m', '.5', '0.25', '1n', '+2', '1.', '1E', '1E9', '1e9', '2048Mi', '1.5Gi', '7Ei', '9223372036854775807'],
    refuses: [
      ...['0', 'one', '-1', '1GB', '1 Gi', '1e99', '0.0', '0m', '.', '1,5', '1\n', '1K', '1ki', '1e', '8Ei', '0x1000'],
      '9223372036854775808',
    ],
    rule: 'must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
    beside: anyQuantity,
  },
  { of: quantities, refuses: ['1'.repeat(41)], rule: 'must be a shorter quantity', beside: anyQuantity },
  {
    of: { SANDBOX_POD_SECURITY: ['podSecurity', 'original'] },
    takes: ['original', 'baseline', 'restricted'],
    refuses: ['privileged', 'Restricted'],
    rule: "must be 'original', 'baseline' or 'restricted'",
  },
  {
    of: { SANDBOX_RUN_AS_USER: ['runAsUser', undefined] },
    means: { 1: 1, 1000: 1000, 2147483647: 2_147_483_647 },
    refuses: ['root', '0', '01', '2147483648', '1000:1000'],
    rule: 'must be the number of a user that is not root',
  },
  {
    of: { SANDBOX_RUNTIME_CLASS: ['runtimeClass', undefined] },
    takes: [long(253), 'kata-qemu.v1'],
    refuses: ['gVisor', long(254), 'a..b', '-a', 'a\n'],
    rule: 'must be the name of a RuntimeClass (RFC 1123 subdomain)',
  },
  {
    of: { SANDBOX_NETWORK_POLICY: ['networkPolicy', undefined] },
    takes: ['none', 'isolated', 'offline'],
    refuses: ['off', 'isolated '],
    rule: "must be 'none', 'isolated' or 'offline'",
  },
  {
    of: {
      SANDBOX_NETWORK_INGRESS_CIDRS: ['networkIngressCidrs', undefined],
      SANDBOX_NETWORK_EXCLUDED_CIDRS: ['networkExcludedCidrs', []],
      SANDBOX_NETWORK_DNS_CIDRS: ['networkDnsCidrs', ['169.254.20.10/32']],
    },
    ...cidr,
  },
  {
    of: { SANDBOX_NETWORK_INGRESS_PODS: ['networkIngressPods', undefined] },
    means: {
      'app.kubernetes.io/name=sandbox-gateway': { 'app.kubernetes.io/name': 'sandbox-gateway' },
      'a=b': { a: 'b' },
    },
    refuses: ['gateway', 'a=', '=b', 'a=b,c=d', 'a=b=c', 'A/b/c=d', 'a= b', `a=${long(64)}`],
    rule: 'must be a label such as app.kubernetes.io/name=sandbox-gateway',
  },
  {
    of: {
      KUBECONFIG_CONTENT: ['kubeconfigContent', undefined],
      KUBECONFIG_PATH: ['kubeconfigPath', '/root/.kube/config'],
      KUBECONFIG_CONTEXT: ['kubeconfigContext', undefined],
    },
    takes: ['{}', 'a: b', 'kube config'],
    refuses: [],
    rule: 'any text',
  },
  { of: { KUBECONFIG_SECRET_ID: ['kubeconfigSecretId', undefined], PROVISIONER_API_KEY_SECRET_ID: [] }, ...secretId },
  {
    of: { KUBECONFIG_PARAMETER: ['kubeconfigParameter', undefined], PROVISIONER_API_KEY_PARAMETER: [] },
    ...parameterName,
  },
  {
    of: { EKS_CLUSTER_NAME: [] },
    takes: ['agents_1', long(100)],
    refuses: ['a cluster', '-a', long(101)],
    rule: 'must be the name of an EKS cluster',
    beside: eks,
  },
  { of: { EKS_CLUSTER_ENDPOINT: [] }, takes: [eks.EKS_CLUSTER_ENDPOINT], ...url, beside: eks },
  {
    of: { EKS_CLUSTER_CA: [] },
    takes: [eks.EKS_CLUSTER_CA],
    refuses: ['-----BEGIN CERTIFICATE-----', 'bm8gY2VydGlmaWNhdGU='],
    rule: 'must be a PEM certificate in base64',
    beside: eks,
  },
  {
    of: { METRICS: ['metrics', 'off'] },
    takes: ['off', 'emf', 'prometheus'],
    refuses: ['on', 'EMF', 'true'],
    rule: "must be 'off', 'emf' or 'prometheus'",
  },
  {
    of: { METRICS_NAMESPACE: ['metricsNamespace', 'SandboxProvisioner'] },
    takes: ['Agents/staging', 'a.b-c_d#e:f'],
    refuses: ['AWS/Lambda', 'with blanks', '\u00e4', long(256)],
    rule: "must be a namespace of CloudWatch, and not one of AWS'",
  },
  {
    of: { KUBECONFIG_WAIT_SECONDS: ['kubeconfigWaitSeconds', 30] },
    means: { 0: 0, 7: 7, 9999: 9999 },
    refuses: ['1.5', '-1', '10000', '5s', '1e3'],
    rule: 'must be a whole number of seconds from 0 to 9999',
  },
  {
    of: { K8S_API_SERVER: ['apiServer', undefined] },
    takes: ['https://10.0.0.1:6443', 'http://[::1]:8001', 'https://rancher.example/k8s/clusters/c-1'],
    means: { 'https://server//': 'https://server', 'https://server/prefix/': 'https://server/prefix' },
    ...url,
  },
  {
    of: { K8S_TLS_SKIP_VERIFY: ['skipTlsVerify', false], CLEANUP_DRY_RUN: ['cleanupDryRun', false] },
    means: { true: true, false: false },
    refuses: ['yes', '1', 'TRUE'],
    rule: "must be 'true' or 'false'",
  },
  {
    of: {
      SANDBOX_TTL_SECONDS: ['sandboxTtlSeconds', 86_400],
      SANDBOX_MAX_LIFETIME_SECONDS: ['sandboxMaxLifetimeSeconds', 0],
      SANDBOX_FAILED_RETENTION_SECONDS: ['failedRetentionSeconds', 3_600],
      SANDBOX_PENDING_TIMEOUT_SECONDS: ['pendingTimeoutSeconds', 1_800],
    },
    ...seconds,
  },
  {
    of: { SANDBOX_MAX_TTL_SECONDS: ['sandboxMaxTtlSeconds', 604_800] },
    ...seconds,
    means: { 0: 0, 86400: 86_400, 999999999: 999_999_999 },
  },
  {
    of: { SANDBOX_ORPHAN_GRACE_SECONDS: ['orphanGraceSeconds', 300] },
    means: { 60: 60, 64: 64, 999999999: 999_999_999 },
    refuses: ['1.5', '5m', '59', '060', '0'],
    rule: 'must be a whole number of seconds, at least 60',
  },
  {
    of: { AUTH: [] },
    takes: ['required', 'off'],
    refuses: ['on', 'Off', 'false'],
    rule: "must be 'required' or 'off'",
  },
  {
    of: { PROVISIONER_API_KEY: [] },
    takes: ['k', ',', `${'~'.repeat(500)}\n`, 'a\tb, c', 'ключ', '\u{1f511}', '{"a":1}', '["[a"]', '\r\n[ "a" ]\n'],
    refuses: [
      ...[' ', '\n\t', 'two\nlines', 'a\0b', 'a\x7fb', '[', '[]', '[a,b]', '["a"', '["a"]b', '["a",7]', '["a",["b"]]'],
      ...['["a",""]', '["a"," "]', '["a\\nb"]', '["\\ud83d"]', 'a\ud83d'],
    ],
    rule: 'must be a key or a JSON list of keys such as ["new","old"], none of them empty or with a control character',
  },
  {
    of: { JWT_ISSUER: [] },
    takes: [tokens.JWT_ISSUER, 'http://localhost:1'],
    // The last one has the name of this machine for its user.
    refuses: ['http://issuer.example', 'http://localhost.example', 'HTTP://i.example', 'http://localhost:1@i.example'],
    rule: 'must be an https:// URL',
    beside: tokens,
  },
  { of: { JWT_AUDIENCE: [] }, takes: ['one'], refuses: [' , '], rule: 'must name an audience', beside: tokens },
  {
    of: { CORS_ALLOWED_ORIGINS: ['allowedOrigins', []] },
    means: {
      'https://app.example http://localhost:3000': ['https://app.example', 'http://localhost:3000'],
      'https://app.example:8443,http://[::1]:3000': ['https://app.example:8443', 'http://[::1]:3000'],
    },
    refuses: [
      ...['*', 'null', ',', 'ftp://app.example', 'https://app.example/', 'https://app.example:443'],
      ...['https://*.app.example', 'https://user@app.example', 'https://app.example, *'],
    ],
    rule: 'must be origins such as https://app.example, separated by commas or blanks',
  },
  {
    of: { EVENT_BUS_NAME: [] },
    takes: ['default', 'aws.partner/example.com/a', 'arn:aws:events:eu-west-1:123456789012:event-bus/agents'],
    refuses: [
      'a b',
      '*',
      'arn:aws:events:eu-west-1:123456789012:rule/a',
      'arn:aws:events:x.example:123456789012:event-bus/a',
    ],
    rule: 'must be the name or the ARN of an event bus',
  },
  {
    of: { WEBHOOK_URL: [] },
    takes: [
      ...[
        'https://hooks.example/a?b=c',
        'http://gateway:8001/hook',
        'http://localhost:1',
        'http://127.0.0.1:1',
        'http://[::1]:1',
      ],
      ...['http://hook.agents.svc', 'http://hook.agents.svc.cluster.local:80/x', 'http://host.docker.internal:1'],
    ],
    refuses: [
      ...[
        'hooks.example',
        'ftp://hooks.example',
        'http://hooks.example',
        'http://192.0.2.7',
        'http://10',
        'http://svc.example',
      ],
      ...['https://user:pass@hooks.example', 'http://:pass@localhost'],
    ],
    rule: 'must be an https:// URL without a user, or an http:// one within your own network',
    beside: { WEBHOOK_SECRET: whsec(24) },
  },
  {
    of: { WEBHOOK_SECRET: [] },
    takes: [whsec(24), whsec(64), `${whsec(32)}, ${whsec(33)}`],
    refuses: [
      whsec(23),
      whsec(65),
      'whsec_',
      'x'.repeat(40),
      whsec(32).slice(6),
      `${whsec(32)} ${whsec(8)}`,
      `${whsec(30)}!`,
    ],
    rule: "must be 'whsec_' and 24 to 64 random bytes in base64, or several of these, separated by commas or blanks",
    beside: { WEBHOOK_URL: 'https://hooks.example' },
  },
  { of: { WEBHOOK_SECRET_ID: [] }, ...secretId, beside: { WEBHOOK_URL: 'https://hooks.example' } },
  { of: { WEBHOOK_SECRET_PARAMETER: [] }, ...parameterName, beside: { WEBHOOK_URL: 'https://hooks.example' } },
  {
    of: { EVENT_DELIVERY_SECONDS: [] },
    means: { 1: 1, 10: 10 },
    refuses: ['0', '11', '1.5', '-1', ' 1'],
    rule: 'must be a whole number of seconds from 1 to 10',
  },
];

const perSetting = kinds.flatMap(({ of, ...kind }) =>
  Object.entries(of).map(([name, [field, unset]]) => ({ name, field, unset, ...kind })),
);
const noAws = {
  ...{ region: undefined, accessKeyId: undefined, secretAccessKey: undefined, sessionToken: undefined },
  secretsExtensionPort: 2773,
  isLambda: false,
};

describe('the configuration', () => {
  it("is the original's where nothing is set, and cannot be changed", () => {
    const config = loadConfig({});
    const volumes = {
      skills: { in: 'folder', path: '/skills' },
      userData: { in: 'threads', root: '/.deer-flow/threads' },
      stateRoot: '/.deer-flow',
    };
    expect(config).toEqual({
      ...Object.fromEntries(perSetting.flatMap(({ field, unset }) => (field ? [[field, unset]] : []))),
      ...{
        volumes,
        eksCluster: undefined,
        urlKeys: undefined,
        authentication: { kind: 'api-key', keys: [] },
        aws: noAws,
      },
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it.each(perSetting)('has $name, if it follows the rule: $rule', ({ name, field, rule, beside, ...kind }) => {
    const all = [...(kind.takes ?? []).map((text) => [text, text] as const), ...Object.entries(kind.means ?? {})];
    for (const [text, value] of all) {
      const config = loadConfig({ ...beside, [name]: text, PATH: '/bin' });
      if (field !== undefined) expect(config, text).toHaveProperty(field, value);
    }
    for (const text of kind.refuses) {
      const problems = problemsOf({ ...beside, [name]: text });
      expect(problems).toBe(`Misconfigured: ${name} ${rule}`);
    }
    expect(loadConfig({ [name]: '' })).toEqual(loadConfig({}));
  });

  it("takes the environment of DeerFlow's compose file, where what is unset is empty", () => {
    const apiServer = 'https://host.docker.internal:26443';
    const compose = {
      ...{ K8S_NAMESPACE: 'deer-flow', SANDBOX_IMAGE: 'registry.example/sandbox', NODE_HOST: 'host.docker.internal' },
      ...{ KUBECONFIG_PATH: '/root/.kube/config', K8S_API_SERVER: apiServer, PROVISIONER_API_KEY: '' },
      ...{
        THREADS_HOST_PATH: '/threads',
        DEER_FLOW_HOST_BASE_DIR: '',
        LARK_CLI_INIT_IMAGE: '',
        LARK_CLI_BROKER_IMAGE: '',
      },
    };
    const skills = { in: 'folder', path: '/skills' };
    const volumes = { skills, userData: { in: 'threads', root: '/threads' }, stateRoot: undefined };
    const set = { sandboxImage: 'registry.example/sandbox', apiServer, volumes };
    expect(loadConfig(compose)).toEqual({ ...loadConfig({}), ...set });
  });

  it('names every variable that is wrong, at once', () => {
    // The logger, the description and the console read theirs by themselves.
    const names = settings.filter((name) => !['LOG_LEVEL', 'API_DOCS', 'CONSOLE'].includes(name));
    const wrong = names.flatMap((name) => perSetting.find((one) => one.name === name && one.refuses.length > 0) ?? []);
    const env = Object.fromEntries(wrong.map(({ name, refuses: [text = ''] }) => [name, text]));
    expect(problemsOf(env)).toBe(`Misconfigured: ${wrong.map(({ name, rule }) => `${name} ${rule}`).join('; ')}`);
    expect(names).toHaveLength(new Set(perSetting.map(({ name }) => name)).size);
  });

  it('has what Lambda says of itself, where that is not empty', () => {
    const env = {
      ...{ AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'an id', AWS_SECRET_ACCESS_KEY: 'a secret' },
      ...{ AWS_SESSION_TOKEN: 'a token', PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: '2774' },
      ...{ AWS_ENDPOINT_URL_EVENTBRIDGE: 'http://events', AWS_LAMBDA_FUNCTION_NAME: 'f' },
    };
    const aws = { region: 'eu-central-1', accessKeyId: 'an id', secretAccessKey: 'a secret', sessionToken: 'a token' };
    expect(loadConfig(env).aws).toEqual({
      ...aws,
      ...{ isLambda: true, secretsExtensionPort: 2774, eventBridgeEndpoint: 'http://events' },
    });
    expect(loadConfig(Object.fromEntries(Object.keys(env).map((name) => [name, '']))).aws).toEqual(noAws);
  });

  it.each<[string, Env, string | undefined]>([
    ['a maximum below the default', { SANDBOX_MAX_TTL_SECONDS: '86399' }, '_TTL_SECONDS (86400)'],
    ['a time to live beyond the default maximum', { SANDBOX_TTL_SECONDS: '604801' }, '_TTL_SECONDS (604801)'],
    ['one beyond its maximum', { SANDBOX_TTL_SECONDS: '2', SANDBOX_MAX_TTL_SECONDS: '1' }, '_TTL_SECONDS (2)'],
    ['one without a maximum', { SANDBOX_TTL_SECONDS: '999999999', SANDBOX_MAX_TTL_SECONDS: '0' }, undefined],
    ['one that is the maximum', { SANDBOX_TTL_SECONDS: '60', SANDBOX_MAX_TTL_SECONDS: '60' }, undefined],
    // For ever by default, but nobody may ask for it.
    ['none', { SANDBOX_TTL_SECONDS: '0', SANDBOX_MAX_TTL_SECONDS: '60' }, undefined],
    ['a request beyond the default', { SANDBOX_CPU_REQUEST: '1001m' }, '_CPU_REQUEST (1001m)'],
    ['a limit below the default', { SANDBOX_MEMORY_LIMIT: '255.9Mi' }, '_MEMORY_REQUEST (256Mi)'],
    [
      'a request that is larger in other units',
      { SANDBOX_MEMORY_REQUEST: '1Gi', SANDBOX_MEMORY_LIMIT: '1.07G' },
      '_MEMORY_REQUEST (1Gi)',
    ],
    [
      // Beyond what a number holds exactly.
      'one that is larger by one byte',
      { SANDBOX_EPHEMERAL_STORAGE_REQUEST: '4611686018427387905', SANDBOX_EPHEMERAL_STORAGE_LIMIT: '4Ei' },
      '_EPHEMERAL_STORAGE_REQUEST (4611686018427387905)',
    ],
    ['one as large as its limit', { SANDBOX_CPU_REQUEST: '1', SANDBOX_CPU_LIMIT: '1000m' }, undefined],
    ['one in other units', { SANDBOX_MEMORY_REQUEST: '1073741824', SANDBOX_MEMORY_LIMIT: '1024Mi' }, undefined],
    ['one that is smaller', { SANDBOX_MEMORY_REQUEST: '4611686018427387903', SANDBOX_MEMORY_LIMIT: '4Ei' }, undefined],
  ])('knows what does not go together: %s', (_what, env, problem) => {
    if (problem === undefined) return expect(() => loadConfig(env)).not.toThrow();
    expect(problemsOf(env)).toMatch(/^Misconfigured: \S+ \(\S+\) must not be larger than SANDBOX_\w+ \(\S+\)$/);
    expect(problemsOf(env)).toContain(`SANDBOX${problem}`);
  });

  const [hook, key] = [{ WEBHOOK_URL: 'https://hooks.example' }, { WEBHOOK_SECRET: whsec(24) }];
  const source = { store: 'secrets-manager', id: 'a' };
  it.each<[string, Env, object | undefined]>([
    ['nowhere', { EVENT_DELIVERY_SECONDS: '3' }, undefined],
    ['to a bus', { EVENT_BUS_NAME: 'a' }, { bus: 'a', webhook: undefined, deliverySeconds: 1 }],
    [
      'to both',
      { EVENT_BUS_NAME: 'a', ...hook, ...key, EVENT_DELIVERY_SECONDS: '3' },
      { bus: 'a', webhook: { url: hook.WEBHOOK_URL, signing: { secrets: [key.WEBHOOK_SECRET] } }, deliverySeconds: 3 },
    ],
    [
      'to a webhook whose secret AWS keeps',
      { ...hook, WEBHOOK_SECRET_ID: 'a' },
      { bus: undefined, webhook: { url: hook.WEBHOOK_URL, signing: { source } }, deliverySeconds: 1 },
    ],
  ])('has events go %s', (_where, env, targets) => {
    expect(loadConfig(env).eventTargets).toEqual(targets);
  });

  it.each<[Env, string]>([
    [
      hook,
      'WEBHOOK_URL needs one of WEBHOOK_SECRET, WEBHOOK_SECRET_ID, WEBHOOK_SECRET_PARAMETER beside it: every webhook is signed',
    ],
    [key, 'WEBHOOK_SECRET needs WEBHOOK_URL beside it'],
    [{ ...hook, ...key, WEBHOOK_SECRET_ID: 'a' }, 'of WEBHOOK_SECRET, WEBHOOK_SECRET_ID only one may be set'],
  ])('has no webhook that cannot be signed: %o', (env, problem) => {
    expect(problemsOf(env)).toBe(`Misconfigured: ${problem}`);
  });

  it('tells every request that is larger than its limit, and what else does not fit', () => {
    const env = { SANDBOX_CPU_REQUEST: '2', SANDBOX_MEMORY_REQUEST: '2Gi', SANDBOX_MAX_TTL_SECONDS: '1' };
    expect(problemsOf(env).split('; ')).toHaveLength(3);
  });

  it('takes all of an EKS cluster or none, and says what is missing', () => {
    const { EKS_CLUSTER_NAME: name, EKS_CLUSTER_ENDPOINT: endpoint, EKS_CLUSTER_CA: certificateAuthority } = eks;
    expect(loadConfig(eks).eksCluster).toEqual({ name, endpoint, certificateAuthority });
    const all = Object.keys(eks).join(', ');
    for (const [left, value] of Object.entries(eks)) {
      const rest = Object.keys(eks).filter((one) => one !== left);
      const problem = `Misconfigured: ${all} belong together: not set`;
      expect(problemsOf({ [left]: value })).toBe(`${problem} are ${rest.join(', ')}`);
      expect(problemsOf({ ...Object.fromEntries(Object.entries(eks).filter(([one]) => one !== left)) })).toBe(
        `${problem} is ${left}`,
      );
    }
  });

  it.each<[string, Env, number]>([
    ['on Lambda, where nothing can bring the file later', { AWS_LAMBDA_FUNCTION_NAME: 'x' }, 0],
    // serverless-offline pretends to be Lambda, function name and all.
    ['under serverless-offline', { AWS_LAMBDA_FUNCTION_NAME: 'x', IS_OFFLINE: 'true' }, 30],
    ['where it is set, on Lambda', { AWS_LAMBDA_FUNCTION_NAME: 'x', KUBECONFIG_WAIT_SECONDS: '3' }, 3],
  ])('waits for the kubeconfig, %s', (_where, env, waitSeconds) => {
    expect(loadConfig(env).kubeconfigWaitSeconds).toBe(waitSeconds);
  });

  it('takes slashes off the end of THREADS_HOST_PATH', () => {
    expect(loadConfig({ THREADS_HOST_PATH: '/threads///' }).volumes.userData).toEqual({
      in: 'threads',
      root: '/threads',
    });
  });
});

describe('the signing of URLs', () => {
  const template = { SANDBOX_URL_TEMPLATE: signedUrl };
  const [aSecret, aParameter] = [{ SANDBOX_URL_KEY_SECRET_ID: 'k' }, { SANDBOX_URL_KEY_PARAMETER: 'k' }];

  it.each<[string, Env, object]>([
    ['one', { SANDBOX_URL_KEY: ` ${aUrlKey}\n` }, { kind: 'given', keys: [aUrlKey] }],
    ['two', { SANDBOX_URL_KEY: `["${aUrlKey}","${aUrlKey}2"]` }, { kind: 'given', keys: [aUrlKey, `${aUrlKey}2`] }],
    ['a secret', aSecret, { kind: 'stored', source: { store: 'secrets-manager', id: 'k' } }],
    ['a parameter', aParameter, { kind: 'stored', source: { store: 'parameter-store', id: 'k' } }],
  ])('has its keys: %s', (_what, env, urlKeys) => {
    expect(loadConfig({ ...template, ...env }).urlKeys).toEqual(urlKeys);
  });

  const sources = 'SANDBOX_URL_KEY, SANDBOX_URL_KEY_SECRET_ID, SANDBOX_URL_KEY_PARAMETER';
  const ports = 'SANDBOX_URL_PORTS needs {port} in SANDBOX_URL_TEMPLATE, and SANDBOX_SERVICE_TYPE=Headless';
  it.each<[string, Env, string]>([
    ['no key', template, `{token} in SANDBOX_URL_TEMPLATE needs one of ${sources}`],
    ['a key too many', { ...template, ...aSecret, ...aParameter }, `of ${sources.slice(17)} only one may be set`],
    ['no template', aSecret, 'SANDBOX_URL_KEY_SECRET_ID is of no use without {token} in SANDBOX_URL_TEMPLATE'],
    [
      'a time for no token',
      { SANDBOX_URL_TEMPLATE: 'https://a/{service}', SANDBOX_URL_TTL_SECONDS: '1' },
      'SANDBOX_URL_TTL_SECONDS is of no use without {token} in SANDBOX_URL_TEMPLATE',
    ],
    ['ports for no template', { SANDBOX_URL_PORTS: '1', SANDBOX_SERVICE_TYPE: 'Headless' }, ports],
    [
      'ports that no Service has',
      { SANDBOX_URL_PORTS: '1', SANDBOX_URL_TEMPLATE: 'https://a/{service}/{port}' },
      ports,
    ],
  ])('is not with %s', (_what, env, problem) => {
    expect(problemsOf(env)).toBe(`Misconfigured: ${problem}`);
  });
});

describe('the access of callers', () => {
  const [aSecret, aParameter] = [{ PROVISIONER_API_KEY_SECRET_ID: 'keys' }, { PROVISIONER_API_KEY_PARAMETER: 'keys' }];

  it.each<[string, Env, object]>([
    ['a key', { PROVISIONER_API_KEY: ` a, "b" 'c'\r\n` }, { kind: 'api-key', keys: [`a, "b" 'c'`] }],
    // White space that HTTP does not cut off is a part of it.
    [
      'keys',
      { PROVISIONER_API_KEY: '\n["new,er", " [old]\\t", "\u00a0"]' },
      { kind: 'api-key', keys: ['new,er', '[old]', '\u00a0'] },
    ],
    ['no key', {}, { kind: 'api-key', keys: [] }],
    ['a secret', aSecret, { kind: 'stored-api-key', source: { store: 'secrets-manager', id: 'keys' } }],
    ['a parameter', aParameter, { kind: 'stored-api-key', source: { store: 'parameter-store', id: 'keys' } }],
    ['tokens', tokens, { kind: 'jwt', issuer: 'https://issuer.example/', audiences: ['one', 'two', 'three'] }],
  ])('is told by %s; and by nothing where that is said', (_what, env, authentication) => {
    for (const load of [loadConfig, loadAccessConfig]) {
      expect(load(env).authentication).toEqual(authentication);
      expect(load({ ...env, AUTH: 'required' }).authentication).toEqual(authentication);
      expect(load({ ...env, AUTH: 'off' }).authentication).toEqual({ kind: 'off' });
    }
  });

  it.each<[Env, string]>([
    [{ ...aSecret, ...aParameter }, `of ${Object.keys({ ...aSecret, ...aParameter }).join(', ')} only one may be set`],
    [{ PROVISIONER_API_KEY: aKey, ...tokens }, 'of PROVISIONER_API_KEY, JWT_ISSUER only one may be set'],
    [{ JWT_ISSUER: 'https://issuer.example' }, 'JWT_ISSUER and JWT_AUDIENCE must be set together'],
    [{ JWT_AUDIENCE: 'one' }, 'JWT_ISSUER and JWT_AUDIENCE must be set together'],
  ])('is not %o', (env, problem) => {
    for (const load of [loadConfig, loadAccessConfig]) {
      expect(problemsOf(env, load)).toBe(`Misconfigured: ${problem}`);
    }
  });

  it('is read without the rest, which may be wrong', () => {
    const access = loadAccessConfig({ PROVISIONER_API_KEY: aKey, K8S_NAMESPACE: 'Not_Legal' });
    expect(access).toEqual({ authentication: { kind: 'api-key', keys: [aKey] }, allowedOrigins: [], aws: noAws });
  });
});

describe('a setting', () => {
  it('is handed on as it is set, and not if it is unset', () => {
    const env = {
      NODE_HOST: 'node',
      K8S_NAMESPACE: '',
      PORT: '1',
      ALARM_TOPIC_ARN: 'x',
      PATH: '/bin',
      AUTH: undefined,
    };
    expect(readTexts(env, isForFunctions)).toEqual({ NODE_HOST: 'node' });
  });

  it('is read alone for serverless.yml', () => {
    expect(readValue({ PORT: '8123' }, 'PORT')).toBe(8123);
    expect(readValue({}, 'CLEANUP_SCHEDULE')).toBe('rate(5 minutes)');
    expect(readValue({}, 'CLEANUP_RESERVED_CONCURRENCY')).toBeUndefined();
    expect(() => readValue({ EMBEDDED_KUBERNETES: 'yes' }, 'EMBEDDED_KUBERNETES')).toThrow(
      "EMBEDDED_KUBERNETES must be 'true' or 'false'",
    );
    expect(() => readValue({}, 'PROT')).toThrow('There is no setting PROT');
  });

  it('that is none, but looks like one, is named', () => {
    const env = { SANDBOX_NETWROK_POLICY: 'isolated', SECRETS_MANAGER_TTL: '0', SANDBOX_IMAGE: 'x', SHELL: '/bin/sh' };
    expect(findStrays(env)).toEqual([
      'SANDBOX_NETWROK_POLICY is no setting: nothing reads it',
      'SECRETS_MANAGER_TTL is no setting any more: the extension keeps its own default: it remembers for 300 s what it has read',
    ]);
  });
});

describe('the pages', () => {
  const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

  it('docs/settings.md is what the declarations say: npm run settings', async () => {
    expect(await read('docs/settings.md')).toBe(renderSettingsPage());
  });

  it('README.md has the same defaults', async () => {
    const rows = [...(await read('README.md')).matchAll(/^\| `([A-Z][A-Z\d_]+)` \| ([^|]+) \|/gm)];
    expect(rows).toHaveLength(10);
    for (const [, name = '', unset] of rows) {
      expect(unset, name).toBe(allSettings[name] && describeDefault(allSettings[name]));
    }
  });

  it('serverless.yml has the same default for what it cannot ask for', async () => {
    const asked = [...(await read('serverless.yml')).matchAll(/\$\{env:(\w+), '([^']*)'\}/g)];
    expect(asked.map(([, name = '', text]) => [name, text])).toEqual([['AWS_REGION', readValue({}, 'AWS_REGION')]]);
  });
});
