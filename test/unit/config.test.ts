import { describe, expect, it } from 'vitest';
import { loadAccessConfig, loadConfig } from '../../lib/config/index.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { settings } from '../support/settings.ts';

const problemsOf = (env: Record<string, string>): string => {
  try {
    loadConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ProvisionerError);
    expect((error as ProvisionerError).outcome).toBe('misconfigured');
    return (error as ProvisionerError).message;
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`);
};

const noAws = {
  region: undefined,
  accessKeyId: undefined,
  secretAccessKey: undefined,
  sessionToken: undefined,
  secretsExtensionPort: 2773,
};

const eksAuthority = Buffer.from('-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n').toString('base64');

describe('the configuration', () => {
  it("is the original's where nothing is set", () => {
    expect(loadConfig({})).toEqual({
      namespace: 'deer-flow',
      sandboxImage: 'enterprise-public-cn-beijing.cr.volces.com/vefaas-public/all-in-one-sandbox:latest',
      skillsHostPath: '/skills',
      threadsHostPath: '/.deer-flow/threads',
      kubeconfigContent: undefined,
      kubeconfigSecretId: undefined,
      kubeconfigParameter: undefined,
      eksCluster: undefined,
      kubeconfigPath: '/root/.kube/config',
      kubeconfigWaitSeconds: 30,
      kubeconfigContext: undefined,
      nodeHost: 'host.docker.internal',
      cpuRequest: '100m',
      cpuLimit: '1000m',
      memoryRequest: '256Mi',
      memoryLimit: '1Gi',
      ephemeralStorageRequest: '500Mi',
      ephemeralStorageLimit: '500Mi',
      podSecurity: 'original',
      runAsUser: undefined,
      runtimeClass: undefined,
      networkPolicy: undefined,
      networkIngressCidrs: undefined,
      networkExcludedCidrs: [],
      networkDnsCidrs: ['169.254.20.10/32'],
      apiServer: undefined,
      skipTlsVerify: false,
      sandboxTtlSeconds: 86_400,
      sandboxMaxTtlSeconds: 604_800,
      sandboxMaxLifetimeSeconds: 0,
      orphanGraceSeconds: 300,
      failedRetentionSeconds: 3_600,
      pendingTimeoutSeconds: 1_800,
      cleanupConcurrency: 10,
      cleanupDryRun: false,
      authentication: { kind: 'api-key', keys: [] },
      allowedOrigins: [],
      aws: noAws,
    });
  });

  it('is what the environment says', () => {
    const env = {
      K8S_NAMESPACE: 'agents-1',
      SANDBOX_IMAGE: 'registry.example:5000/sandbox@sha256:0123',
      SKILLS_HOST_PATH: '/srv/skills',
      THREADS_HOST_PATH: '/srv/threads',
      KUBECONFIG_CONTENT: 'a: b',
      KUBECONFIG_SECRET_ID: 'a secret',
      KUBECONFIG_PARAMETER: '/a/parameter',
      EKS_CLUSTER_NAME: 'agents_1',
      EKS_CLUSTER_ENDPOINT: 'https://0A1B.gr7.eu-central-1.eks.amazonaws.com',
      EKS_CLUSTER_CA: eksAuthority,
      KUBECONFIG_PATH: 'kube config',
      KUBECONFIG_WAIT_SECONDS: '7',
      KUBECONFIG_CONTEXT: 'a context',
      NODE_HOST: '192.0.2.7',
      SANDBOX_CPU_REQUEST: '0.25',
      SANDBOX_CPU_LIMIT: '2',
      SANDBOX_MEMORY_REQUEST: '1e9',
      SANDBOX_MEMORY_LIMIT: '1.5Gi',
      SANDBOX_EPHEMERAL_STORAGE_REQUEST: '1G',
      SANDBOX_EPHEMERAL_STORAGE_LIMIT: '1Gi',
      SANDBOX_POD_SECURITY: 'restricted',
      SANDBOX_RUN_AS_USER: '1000',
      SANDBOX_RUNTIME_CLASS: 'gvisor.v2',
      SANDBOX_NETWORK_POLICY: 'isolated',
      SANDBOX_NETWORK_INGRESS_CIDRS: '10.0.0.0/8,fd00::/8',
      SANDBOX_NETWORK_EXCLUDED_CIDRS: '203.0.113.7/32',
      SANDBOX_NETWORK_DNS_CIDRS: '10.96.0.10/32,2001:db8::53/128',
      K8S_API_SERVER: 'https://10.0.0.1:6443',
      K8S_TLS_SKIP_VERIFY: 'true',
      SANDBOX_TTL_SECONDS: '1',
      SANDBOX_MAX_TTL_SECONDS: '2',
      SANDBOX_MAX_LIFETIME_SECONDS: '3',
      SANDBOX_ORPHAN_GRACE_SECONDS: '64',
      SANDBOX_FAILED_RETENTION_SECONDS: '5',
      SANDBOX_PENDING_TIMEOUT_SECONDS: '6',
      CLEANUP_CONCURRENCY: '7',
      CLEANUP_DRY_RUN: 'true',
      AWS_REGION: 'eu-central-1',
      AWS_ACCESS_KEY_ID: 'an id',
      AWS_SECRET_ACCESS_KEY: 'a secret',
      AWS_SESSION_TOKEN: 'a token',
      PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: '2774',
      AUTH: 'required',
      PROVISIONER_API_KEY: 'the-first-of-two-keys,\n the-second-of-two-keys ',
      CORS_ALLOWED_ORIGINS: 'https://app.example http://localhost:3000',
      PATH: '/bin',
    };
    expect(loadConfig(env)).toEqual({
      namespace: 'agents-1',
      sandboxImage: 'registry.example:5000/sandbox@sha256:0123',
      skillsHostPath: '/srv/skills',
      threadsHostPath: '/srv/threads',
      kubeconfigContent: 'a: b',
      kubeconfigSecretId: 'a secret',
      kubeconfigParameter: '/a/parameter',
      eksCluster: {
        name: 'agents_1',
        endpoint: 'https://0A1B.gr7.eu-central-1.eks.amazonaws.com',
        certificateAuthority: eksAuthority,
      },
      kubeconfigPath: 'kube config',
      kubeconfigWaitSeconds: 7,
      kubeconfigContext: 'a context',
      nodeHost: '192.0.2.7',
      cpuRequest: '0.25',
      cpuLimit: '2',
      memoryRequest: '1e9',
      memoryLimit: '1.5Gi',
      ephemeralStorageRequest: '1G',
      ephemeralStorageLimit: '1Gi',
      podSecurity: 'restricted',
      runAsUser: 1000,
      runtimeClass: 'gvisor.v2',
      networkPolicy: 'isolated',
      networkIngressCidrs: ['10.0.0.0/8', 'fd00::/8'],
      networkExcludedCidrs: ['203.0.113.7/32'],
      networkDnsCidrs: ['10.96.0.10/32', '2001:db8::53/128'],
      apiServer: 'https://10.0.0.1:6443',
      skipTlsVerify: true,
      sandboxTtlSeconds: 1,
      sandboxMaxTtlSeconds: 2,
      sandboxMaxLifetimeSeconds: 3,
      orphanGraceSeconds: 64,
      failedRetentionSeconds: 5,
      pendingTimeoutSeconds: 6,
      cleanupConcurrency: 7,
      cleanupDryRun: true,
      authentication: { kind: 'api-key', keys: ['the-first-of-two-keys', 'the-second-of-two-keys'] },
      allowedOrigins: ['https://app.example', 'http://localhost:3000'],
      aws: {
        region: 'eu-central-1',
        accessKeyId: 'an id',
        secretAccessKey: 'a secret',
        sessionToken: 'a token',
        secretsExtensionPort: 2774,
      },
    });
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(loadConfig({}))).toBe(true);
  });

  it('names every variable that is wrong, at once', () => {
    const env = {
      K8S_NAMESPACE: 'Deer_Flow',
      SANDBOX_IMAGE: 'two words',
      SKILLS_HOST_PATH: 'skills',
      THREADS_HOST_PATH: '/threads/../etc',
      KUBECONFIG_CONTENT: '',
      KUBECONFIG_SECRET_ID: '',
      KUBECONFIG_PARAMETER: '',
      EKS_CLUSTER_NAME: 'a cluster',
      EKS_CLUSTER_ENDPOINT: '10.0.0.1',
      EKS_CLUSTER_CA: '-----BEGIN CERTIFICATE-----',
      KUBECONFIG_PATH: '',
      KUBECONFIG_WAIT_SECONDS: '1.5',
      KUBECONFIG_CONTEXT: '',
      NODE_HOST: 'http://node/',
      SANDBOX_CPU_REQUEST: 'one',
      SANDBOX_CPU_LIMIT: '-1',
      SANDBOX_MEMORY_REQUEST: '0',
      SANDBOX_MEMORY_LIMIT: '1GB',
      SANDBOX_EPHEMERAL_STORAGE_REQUEST: '1 Gi',
      SANDBOX_EPHEMERAL_STORAGE_LIMIT: '1e99',
      SANDBOX_POD_SECURITY: 'privileged',
      SANDBOX_RUN_AS_USER: 'root',
      SANDBOX_RUNTIME_CLASS: 'gVisor',
      SANDBOX_NETWORK_POLICY: 'off',
      SANDBOX_NETWORK_INGRESS_CIDRS: '10.0.0.0',
      SANDBOX_NETWORK_EXCLUDED_CIDRS: '10.0.0.0/33',
      SANDBOX_NETWORK_DNS_CIDRS: 'node',
      K8S_API_SERVER: '10.0.0.1:6443',
      K8S_TLS_SKIP_VERIFY: 'yes',
      SANDBOX_TTL_SECONDS: '1d',
      SANDBOX_MAX_TTL_SECONDS: '-1',
      SANDBOX_MAX_LIFETIME_SECONDS: 'never',
      SANDBOX_ORPHAN_GRACE_SECONDS: '1.5',
      SANDBOX_FAILED_RETENTION_SECONDS: '1e3',
      SANDBOX_PENDING_TIMEOUT_SECONDS: ' 7',
      CLEANUP_CONCURRENCY: '0',
      CLEANUP_DRY_RUN: 'no',
      PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: '0',
      AUTH: 'on',
      PROVISIONER_API_KEY: 'too-short',
      PROVISIONER_API_KEY_SECRET_ID: 'a b',
      PROVISIONER_API_KEY_PARAMETER: 'a b',
      JWT_ISSUER: 'http://issuer.example',
      JWT_AUDIENCE: ' , ',
      CORS_ALLOWED_ORIGINS: '*',
    };
    const problems = [
      'K8S_NAMESPACE must be a legal namespace name (RFC 1123 label)',
      'SANDBOX_IMAGE must be an image reference without spaces',
      'SKILLS_HOST_PATH must be an absolute path',
      "THREADS_HOST_PATH must not contain '..'",
      'NODE_HOST must be a host name or an IP address, without scheme, port or slash',
      'SANDBOX_CPU_REQUEST must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
      'SANDBOX_CPU_LIMIT must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
      'SANDBOX_MEMORY_REQUEST must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
      'SANDBOX_MEMORY_LIMIT must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
      'SANDBOX_EPHEMERAL_STORAGE_REQUEST must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
      'SANDBOX_EPHEMERAL_STORAGE_LIMIT must be a quantity of Kubernetes greater than zero, such as 500m or 1.5Gi',
      "SANDBOX_POD_SECURITY must be 'original', 'baseline' or 'restricted'",
      'SANDBOX_RUN_AS_USER must be the number of a user that is not root',
      'SANDBOX_RUNTIME_CLASS must be the name of a RuntimeClass (RFC 1123 subdomain)',
      "SANDBOX_NETWORK_POLICY must be 'none', 'isolated' or 'offline'",
      'SANDBOX_NETWORK_INGRESS_CIDRS must be ranges of addresses such as 10.0.0.0/8, separated by commas without spaces',
      'SANDBOX_NETWORK_EXCLUDED_CIDRS must be ranges of addresses such as 10.0.0.0/8, separated by commas without spaces',
      'SANDBOX_NETWORK_DNS_CIDRS must be ranges of addresses such as 10.0.0.0/8, separated by commas without spaces',
      'KUBECONFIG_CONTENT must not be empty; leave it unset for the default',
      'KUBECONFIG_SECRET_ID must not be empty; leave it unset for the default',
      'KUBECONFIG_PARAMETER must not be empty; leave it unset for the default',
      'EKS_CLUSTER_NAME must be the name of an EKS cluster',
      'EKS_CLUSTER_ENDPOINT must be an http:// or https:// URL',
      'EKS_CLUSTER_CA must be a PEM certificate in base64',
      'KUBECONFIG_PATH must not be empty; leave it unset for the default',
      'KUBECONFIG_WAIT_SECONDS must be a whole number of seconds from 0 to 9999',
      'KUBECONFIG_CONTEXT must not be empty; leave it unset for the default',
      'K8S_API_SERVER must be an http:// or https:// URL',
      "K8S_TLS_SKIP_VERIFY must be 'true' or 'false'",
      'SANDBOX_TTL_SECONDS must be a whole number of seconds',
      'SANDBOX_MAX_TTL_SECONDS must be a whole number of seconds',
      'SANDBOX_MAX_LIFETIME_SECONDS must be a whole number of seconds',
      'SANDBOX_ORPHAN_GRACE_SECONDS must be a whole number of seconds, at least 60',
      'SANDBOX_FAILED_RETENTION_SECONDS must be a whole number of seconds',
      'SANDBOX_PENDING_TIMEOUT_SECONDS must be a whole number of seconds',
      'CLEANUP_CONCURRENCY must be a whole number from 1 to 100',
      "CLEANUP_DRY_RUN must be 'true' or 'false'",
      "AUTH must be 'required' or 'off'",
      'PROVISIONER_API_KEY must be keys of 16 or more visible ASCII characters, separated by commas or blanks',
      'PROVISIONER_API_KEY_SECRET_ID must be the name or the ARN of a secret in Secrets Manager',
      "PROVISIONER_API_KEY_PARAMETER must be the name or the ARN of a parameter in SSM's Parameter Store",
      'JWT_ISSUER must be an https:// URL',
      'JWT_AUDIENCE must name an audience',
      'CORS_ALLOWED_ORIGINS must be origins such as https://app.example, separated by commas or blanks',
      'PARAMETERS_SECRETS_EXTENSION_HTTP_PORT must be a port',
    ];
    expect(problemsOf(env)).toBe(`Misconfigured: ${problems.join('; ')}`);
  });

  it.each(settings)('refuses an empty %s: a default that is meant is one that is not set', (name) => {
    const problems = problemsOf({ [name]: '' });
    expect(problems).toMatch(new RegExp(`^Misconfigured: ${name} must not be empty; leave it unset for the default`));
    // Whole words: one is the beginning of two others.
    expect(problems.match(/\b[A-Z][A-Z\d]*(_[A-Z\d]+)+\b|\bAUTH\b/g)).toEqual([name]);
  });

  it.each([
    ['K8S_NAMESPACE', 'a'],
    ['K8S_NAMESPACE', '0'],
    ['K8S_NAMESPACE', 'x'.repeat(63)],
    ['SANDBOX_IMAGE', 'busybox'],
    ['SKILLS_HOST_PATH', '/'],
    ['SKILLS_HOST_PATH', '/a..b/..c/d..'],
    ['THREADS_HOST_PATH', '/with space/ü'],
    ['KUBECONFIG_CONTENT', '{}'],
    ['KUBECONFIG_WAIT_SECONDS', '0'],
    ['KUBECONFIG_WAIT_SECONDS', '9999'],
    ['NODE_HOST', 'localhost'],
    ['NODE_HOST', 'node-1.example.com'],
    ['NODE_HOST', '::1'],
    ['SANDBOX_CPU_REQUEST', '1m'],
    ['SANDBOX_CPU_REQUEST', '.5'],
    ['SANDBOX_CPU_LIMIT', '1.'],
    ['SANDBOX_CPU_LIMIT', '+2'],
    ['SANDBOX_MEMORY_REQUEST', '1073741824'],
    ['SANDBOX_MEMORY_LIMIT', '1E'],
    ['SANDBOX_MEMORY_LIMIT', '1E9'],
    ['SANDBOX_MEMORY_LIMIT', '2048Mi'],
    ['SANDBOX_MEMORY_LIMIT', '7Ei'],
    ['SANDBOX_MEMORY_LIMIT', '9223372036854775807'],
    ['SANDBOX_EPHEMERAL_STORAGE_REQUEST', '1n'],
    ['SANDBOX_POD_SECURITY', 'baseline'],
    ['SANDBOX_RUN_AS_USER', '1'],
    ['SANDBOX_RUN_AS_USER', '2147483647'],
    ['SANDBOX_RUNTIME_CLASS', 'x'.repeat(253)],
    ['SANDBOX_RUNTIME_CLASS', 'kata-qemu.v1'],
    ['SANDBOX_NETWORK_POLICY', 'none'],
    ['SANDBOX_NETWORK_POLICY', 'offline'],
    ['SANDBOX_NETWORK_INGRESS_CIDRS', '0.0.0.0/0,::/0'],
    ['SANDBOX_NETWORK_EXCLUDED_CIDRS', '2001:db8::1/128'],
    ['SANDBOX_NETWORK_DNS_CIDRS', '169.254.20.10/32'],
    ['K8S_API_SERVER', 'http://[::1]:8001'],
    ['K8S_API_SERVER', 'https://rancher.example/k8s/clusters/c-1'],
    ['K8S_TLS_SKIP_VERIFY', 'false'],
    ['SANDBOX_TTL_SECONDS', '0'],
    ['SANDBOX_TTL_SECONDS', '604800'],
    ['SANDBOX_MAX_TTL_SECONDS', '0'],
    ['SANDBOX_MAX_TTL_SECONDS', '86400'],
    ['SANDBOX_MAX_TTL_SECONDS', '999999999'],
    ['SANDBOX_MAX_LIFETIME_SECONDS', '999999999'],
    ['SANDBOX_ORPHAN_GRACE_SECONDS', '60'],
    ['SANDBOX_FAILED_RETENTION_SECONDS', '0'],
    ['SANDBOX_PENDING_TIMEOUT_SECONDS', '0'],
    ['CLEANUP_CONCURRENCY', '1'],
    ['CLEANUP_CONCURRENCY', '99'],
    ['CLEANUP_CONCURRENCY', '100'],
    ['CLEANUP_DRY_RUN', 'false'],
  ])('accepts %s=%j', (name, value) => {
    expect(() => loadConfig({ [name]: value })).not.toThrow();
  });

  it.each([
    ['K8S_NAMESPACE', 'x'.repeat(64)],
    ['K8S_NAMESPACE', '-a'],
    ['K8S_NAMESPACE', 'a-'],
    ['K8S_NAMESPACE', 'a.b'],
    ['K8S_NAMESPACE', 'a/pods'],
    ['K8S_NAMESPACE', 'a\n'],
    ['SANDBOX_IMAGE', ' image'],
    ['SANDBOX_IMAGE', 'image\n'],
    ['SKILLS_HOST_PATH', './skills'],
    ['SKILLS_HOST_PATH', '/..'],
    ['THREADS_HOST_PATH', 'C:\\threads'],
    ['THREADS_HOST_PATH', '/a/../b'],
    ['EKS_CLUSTER_NAME', '-a'],
    ['EKS_CLUSTER_NAME', 'x'.repeat(101)],
    ['EKS_CLUSTER_CA', 'bm8gY2VydGlmaWNhdGU='],
    ['KUBECONFIG_WAIT_SECONDS', '-1'],
    ['KUBECONFIG_WAIT_SECONDS', '10000'],
    ['KUBECONFIG_WAIT_SECONDS', '5s'],
    ['KUBECONFIG_WAIT_SECONDS', '1e3'],
    ['NODE_HOST', 'http://node'],
    ['NODE_HOST', 'node/'],
    ['NODE_HOST', 'node:30000'],
    ['NODE_HOST', '192.0.2.7:80'],
    ['NODE_HOST', 'user@node'],
    ['NODE_HOST', 'a b'],
    ['SANDBOX_CPU_LIMIT', '0.0'],
    ['SANDBOX_CPU_LIMIT', '0m'],
    ['SANDBOX_CPU_LIMIT', '.'],
    ['SANDBOX_CPU_LIMIT', '1,5'],
    ['SANDBOX_CPU_LIMIT', '1\n'],
    ['SANDBOX_MEMORY_LIMIT', '1K'],
    ['SANDBOX_MEMORY_LIMIT', '1ki'],
    ['SANDBOX_MEMORY_LIMIT', '1e'],
    ['SANDBOX_MEMORY_LIMIT', '8Ei'],
    ['SANDBOX_MEMORY_LIMIT', '9223372036854775808'],
    ['SANDBOX_MEMORY_LIMIT', '1'.repeat(41)],
    ['SANDBOX_MEMORY_LIMIT', '0x1000'],
    ['SANDBOX_POD_SECURITY', 'Restricted'],
    ['SANDBOX_RUN_AS_USER', '0'],
    ['SANDBOX_RUN_AS_USER', '01'],
    ['SANDBOX_RUN_AS_USER', '2147483648'],
    ['SANDBOX_RUN_AS_USER', '1000:1000'],
    ['SANDBOX_RUNTIME_CLASS', 'x'.repeat(254)],
    ['SANDBOX_RUNTIME_CLASS', 'a..b'],
    ['SANDBOX_RUNTIME_CLASS', '-a'],
    ['SANDBOX_RUNTIME_CLASS', 'a\n'],
    ['SANDBOX_NETWORK_POLICY', 'isolated '],
    ['SANDBOX_NETWORK_INGRESS_CIDRS', '10.0.0.0/8, 192.168.0.0/16'],
    ['SANDBOX_NETWORK_INGRESS_CIDRS', '10.0.0.0/8,'],
    ['SANDBOX_NETWORK_INGRESS_CIDRS', '10.0.0/8'],
    ['SANDBOX_NETWORK_INGRESS_CIDRS', '10.0.0.0/08'],
    ['SANDBOX_NETWORK_EXCLUDED_CIDRS', '::1'],
    ['SANDBOX_NETWORK_EXCLUDED_CIDRS', '::1/129'],
    ['SANDBOX_NETWORK_EXCLUDED_CIDRS', '::ffff:10.0.0.1/128'],
    ['SANDBOX_NETWORK_EXCLUDED_CIDRS', 'fe80::1%eth0/64'],
    ['SANDBOX_NETWORK_DNS_CIDRS', '10.96.0.10:53'],
    ['K8S_API_SERVER', 'ftp://server'],
    ['K8S_API_SERVER', 'https://'],
    ['K8S_API_SERVER', 'server'],
    ['K8S_TLS_SKIP_VERIFY', '1'],
    ['K8S_TLS_SKIP_VERIFY', 'TRUE'],
    ['SANDBOX_TTL_SECONDS', '1000000000'],
    ['SANDBOX_MAX_TTL_SECONDS', '+1'],
    ['SANDBOX_ORPHAN_GRACE_SECONDS', '5m'],
    ['SANDBOX_ORPHAN_GRACE_SECONDS', '59'],
    ['SANDBOX_ORPHAN_GRACE_SECONDS', '060'],
    ['SANDBOX_ORPHAN_GRACE_SECONDS', '0'],
    ['SANDBOX_PENDING_TIMEOUT_SECONDS', '1\n'],
    ['CLEANUP_CONCURRENCY', '101'],
    ['CLEANUP_CONCURRENCY', '01'],
    ['CLEANUP_DRY_RUN', '1'],
  ])('refuses %s=%j', (name, value) => {
    expect(problemsOf({ [name]: value })).toMatch(new RegExp(`^Misconfigured: ${name} must (not )?[^;]+$`));
  });

  it.each([
    ['the default is longer than the maximum that is set', { SANDBOX_MAX_TTL_SECONDS: '86399' }],
    ['what is set is longer than the default maximum', { SANDBOX_TTL_SECONDS: '604801' }],
    ['both are set', { SANDBOX_TTL_SECONDS: '2', SANDBOX_MAX_TTL_SECONDS: '1' }],
  ])('refuses a time to live beyond the maximum: %s', (_how, env) => {
    expect(problemsOf(env)).toMatch(
      /^Misconfigured: SANDBOX_TTL_SECONDS \(\d+\) must not be larger than SANDBOX_MAX_TTL_SECONDS \(\d+\)$/,
    );
  });

  const aKey = 'sixteen-visibles';

  it.each([
    ['PROVISIONER_API_KEY', aKey],
    ['PROVISIONER_API_KEY', `${aKey},${'!'.repeat(16)}\t${'~'.repeat(500)}\n`],
    ['PROVISIONER_API_KEY_SECRET_ID', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:callers/keys-AbCdEf'],
    ['PROVISIONER_API_KEY_PARAMETER', '/callers/keys'],
    ['CORS_ALLOWED_ORIGINS', 'https://app.example:8443,http://[::1]:3000'],
  ])('accepts %s=%j', (name, value) => {
    expect(() => loadConfig({ [name]: value })).not.toThrow();
  });

  it.each([
    ['AUTH', 'Off'],
    ['AUTH', 'false'],
    ['PROVISIONER_API_KEY', aKey.slice(1)],
    ['PROVISIONER_API_KEY', `${aKey},short`],
    ['PROVISIONER_API_KEY', `${aKey}é`],
    ['PROVISIONER_API_KEY', `${aKey}\0`],
    ['PROVISIONER_API_KEY', ' , '],
    ['PROVISIONER_API_KEY_SECRET_ID', 'keys?x=y'],
    ['PROVISIONER_API_KEY_PARAMETER', '/keys&x=y'],
    ['CORS_ALLOWED_ORIGINS', 'https://app.example/'],
    ['CORS_ALLOWED_ORIGINS', 'https://app.example:443'],
    ['CORS_ALLOWED_ORIGINS', 'https://*.app.example'],
    ['CORS_ALLOWED_ORIGINS', 'https://user@app.example'],
    ['CORS_ALLOWED_ORIGINS', 'null'],
    ['CORS_ALLOWED_ORIGINS', 'https://app.example, *'],
    ['CORS_ALLOWED_ORIGINS', 'ftp://app.example'],
    ['CORS_ALLOWED_ORIGINS', ','],
  ])('refuses %s=%j, and does not repeat it', (name, value) => {
    const problems = problemsOf({ [name]: value });
    expect(problems).toMatch(new RegExp(`^Misconfigured: ${name} must [^;]+$`));
    if (name === 'PROVISIONER_API_KEY') expect(problems).not.toContain(value);
  });

  const [aSecret, aParameter] = [{ PROVISIONER_API_KEY_SECRET_ID: 'keys' }, { PROVISIONER_API_KEY_PARAMETER: 'keys' }];
  const tokens = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'one,two three' };

  it.each<[string, Record<string, string>, object]>([
    ['a key', { PROVISIONER_API_KEY: aKey }, { kind: 'api-key', keys: [aKey] }],
    ['no key', {}, { kind: 'api-key', keys: [] }],
    ['a secret', aSecret, { kind: 'stored-api-key', source: { store: 'secrets-manager', id: 'keys' } }],
    ['a parameter', aParameter, { kind: 'stored-api-key', source: { store: 'parameter-store', id: 'keys' } }],
    ['tokens', tokens, { kind: 'jwt', issuer: 'https://issuer.example/', audiences: ['one', 'two', 'three'] }],
    ['tokens of this machine', { ...tokens, JWT_ISSUER: 'http://localhost:1' }, { kind: 'jwt' }],
  ])('tells callers apart by %s; and not at all where it is told so', (_what, env, authentication) => {
    for (const load of [loadConfig, loadAccessConfig]) {
      expect(load(env).authentication).toMatchObject(authentication);
      expect(load({ ...env, AUTH: 'required' }).authentication).toMatchObject(authentication);
      expect(load({ ...env, AUTH: 'off' }).authentication).toEqual({ kind: 'off' });
    }
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'two sources of keys',
      { ...aSecret, ...aParameter },
      'of PROVISIONER_API_KEY_SECRET_ID, PROVISIONER_API_KEY_PARAMETER only one may be set',
    ],
    [
      'keys and tokens',
      { PROVISIONER_API_KEY: aKey, ...tokens },
      'of PROVISIONER_API_KEY, JWT_ISSUER only one may be set',
    ],
    [
      'an issuer without an audience',
      { JWT_ISSUER: 'https://issuer.example' },
      'JWT_ISSUER and JWT_AUDIENCE must be set together',
    ],
    ['an audience without an issuer', { JWT_AUDIENCE: 'one' }, 'JWT_ISSUER and JWT_AUDIENCE must be set together'],
    [
      'an issuer that could be anybody on the way',
      { ...tokens, JWT_ISSUER: 'http://localhost.example' },
      'JWT_ISSUER must be an https:// URL',
    ],
    ['one in capitals', { ...tokens, JWT_ISSUER: 'HTTP://issuer.example' }, 'JWT_ISSUER must be an https:// URL'],
    [
      'one that has the name of this machine for its user',
      { ...tokens, JWT_ISSUER: 'http://localhost:1@issuer.example' },
      'JWT_ISSUER must be an https:// URL',
    ],
  ])('refuses %s', (_what, env, problem) => {
    expect(problemsOf(env)).toBe(`Misconfigured: ${problem}`);
    expect(() => loadAccessConfig(env)).toThrow(`Misconfigured: ${problem}`);
  });

  it('of access is read without the rest, which may be wrong', () => {
    expect(loadAccessConfig({ PROVISIONER_API_KEY: aKey, K8S_NAMESPACE: '' })).toEqual({
      authentication: { kind: 'api-key', keys: [aKey] },
      allowedOrigins: [],
      aws: noAws,
    });
  });

  it.each([
    ['without a maximum', { SANDBOX_TTL_SECONDS: '999999999', SANDBOX_MAX_TTL_SECONDS: '0' }],
    ['which is the maximum', { SANDBOX_TTL_SECONDS: '60', SANDBOX_MAX_TTL_SECONDS: '60' }],
    // For ever by default, but nobody may ask for it.
    ['which is none', { SANDBOX_TTL_SECONDS: '0', SANDBOX_MAX_TTL_SECONDS: '60' }],
  ])('takes a time to live, %s', (_how, env) => {
    expect(() => loadConfig(env)).not.toThrow();
  });

  const eks = {
    EKS_CLUSTER_NAME: 'agents',
    EKS_CLUSTER_ENDPOINT: 'https://0A1B.gr7.eu-central-1.eks.amazonaws.com',
    EKS_CLUSTER_CA: eksAuthority,
  };

  it.each<[string, (keyof typeof eks)[]]>([
    ['is EKS_CLUSTER_NAME', ['EKS_CLUSTER_ENDPOINT', 'EKS_CLUSTER_CA']],
    ['is EKS_CLUSTER_ENDPOINT', ['EKS_CLUSTER_NAME', 'EKS_CLUSTER_CA']],
    ['is EKS_CLUSTER_CA', ['EKS_CLUSTER_NAME', 'EKS_CLUSTER_ENDPOINT']],
    ['are EKS_CLUSTER_ENDPOINT, EKS_CLUSTER_CA', ['EKS_CLUSTER_NAME']],
  ])('takes all of an EKS cluster or none, and says what is missing: %s', (missing, given) => {
    const env = Object.fromEntries(given.map((name) => [name, eks[name]]));
    expect(problemsOf(env)).toBe(
      `Misconfigured: EKS_CLUSTER_NAME, EKS_CLUSTER_ENDPOINT, EKS_CLUSTER_CA belong together: not set ${missing}`,
    );
  });

  it.each([
    ['beyond the default', 'SANDBOX_CPU', { SANDBOX_CPU_REQUEST: '1001m' }],
    ['below the default', 'SANDBOX_MEMORY', { SANDBOX_MEMORY_LIMIT: '255.9Mi' }],
    ['in other units', 'SANDBOX_MEMORY', { SANDBOX_MEMORY_REQUEST: '1Gi', SANDBOX_MEMORY_LIMIT: '1.07G' }],
    // Beyond what a number holds exactly.
    [
      'by one byte',
      'SANDBOX_EPHEMERAL_STORAGE',
      {
        SANDBOX_EPHEMERAL_STORAGE_REQUEST: '4611686018427387905',
        SANDBOX_EPHEMERAL_STORAGE_LIMIT: '4Ei',
      },
    ],
  ])('refuses a request larger than its limit: %s', (_how, name, env) => {
    expect(problemsOf(env)).toMatch(
      new RegExp(`^Misconfigured: ${name}_REQUEST \\(\\S+\\) must not be larger than ${name}_LIMIT \\(\\S+\\)$`),
    );
  });

  it.each([
    ['the same', { SANDBOX_CPU_REQUEST: '1', SANDBOX_CPU_LIMIT: '1000m' }],
    ['the same in other units', { SANDBOX_MEMORY_REQUEST: '1073741824', SANDBOX_MEMORY_LIMIT: '1024Mi' }],
    ['by one byte', { SANDBOX_MEMORY_REQUEST: '4611686018427387903', SANDBOX_MEMORY_LIMIT: '4Ei' }],
  ])('takes a request as large as its limit, or less: %s', (_how, env) => {
    expect(() => loadConfig(env)).not.toThrow();
  });

  it('tells every request that is larger than its limit, and what else does not fit', () => {
    const env = { SANDBOX_CPU_REQUEST: '2', SANDBOX_MEMORY_REQUEST: '2Gi', SANDBOX_MAX_TTL_SECONDS: '1' };
    expect(problemsOf(env).split('; ')).toHaveLength(3);
  });

  describe('without KUBECONFIG_WAIT_SECONDS', () => {
    const lambda = { AWS_LAMBDA_FUNCTION_NAME: 'create-sandbox' };

    it.each([
      ['on Lambda, where nothing can bring the file later', lambda, 0],
      ['in a container, where another one may still be writing it', {}, 30],
      // serverless-offline pretends to be Lambda, function name and all.
      ['under serverless-offline', { ...lambda, IS_OFFLINE: 'true' }, 30],
      ['where it is set, on Lambda', { ...lambda, KUBECONFIG_WAIT_SECONDS: '3' }, 3],
      ['where it is set, elsewhere', { KUBECONFIG_WAIT_SECONDS: '0' }, 0],
    ])('waits, %s', (_where, env, seconds) => {
      expect(loadConfig(env).kubeconfigWaitSeconds).toBe(seconds);
    });
  });

  it.each([
    ['::1', '[::1]'],
    ['2001:db8::7', '[2001:db8::7]'],
    ['192.0.2.7', '192.0.2.7'],
    ['node', 'node'],
  ])('makes the node host %s fit into a URL: %s', (given, nodeHost) => {
    expect(loadConfig({ NODE_HOST: given }).nodeHost).toBe(nodeHost);
    expect(URL.canParse(`http://${nodeHost}:30000`)).toBe(true);
  });

  it.each([
    ['/threads/', '/threads'],
    ['/threads///', '/threads'],
    ['/a/b', '/a/b'],
  ])('takes slashes off the end of THREADS_HOST_PATH: %s', (given, threadsHostPath) => {
    expect(loadConfig({ THREADS_HOST_PATH: given }).threadsHostPath).toBe(threadsHostPath);
  });

  it.each([
    ['https://server:6443/', 'https://server:6443'],
    ['https://server//', 'https://server'],
    ['https://server/prefix/', 'https://server/prefix'],
  ])('takes slashes off the end of K8S_API_SERVER: %s', (given, apiServer) => {
    expect(loadConfig({ K8S_API_SERVER: given }).apiServer).toBe(apiServer);
  });
});
