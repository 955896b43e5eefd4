import { isIPv6 } from 'node:net';
import * as z from 'zod/mini';
import { ProvisionerError } from './errors.ts';

/** Everything that an operator can set, validated. Units are in the names. */
export type Config = Readonly<{
  namespace: string;
  sandboxImage: string;
  skillsHostPath: string;
  threadsHostPath: string;
  kubeconfigPath: string;
  kubeconfigWaitSeconds: number;
  nodeHost: string;
  apiServer: string | undefined;
  skipTlsVerify: boolean;
  /** 0: a sandbox never expires. */
  sandboxTtlSeconds: number;
  /** The most that a caller may ask for; 0: anything, never to expire too. */
  sandboxMaxTtlSeconds: number;
  /** 0: a sandbox that is used may grow as old as it likes. */
  sandboxMaxLifetimeSeconds: number;
  orphanGraceSeconds: number;
  failedRetentionSeconds: number;
  pendingTimeoutSeconds: number;
  cleanupConcurrency: number;
  cleanupDryRun: boolean;
}>;

const filled = z
  .string()
  .check(z.minLength(1, { error: 'must not be empty; leave it unset for the default', abort: true }));
const matching = (pattern: RegExp, message: string) => filled.check(z.regex(pattern, message));
const withDefault = (schema: typeof filled, value: string) => z._default(schema, value);

// Kubernetes refuses a hostPath with `..` in it, but only when the Pod is made.
const hostPath = filled.check(
  z.refine((path) => path.startsWith('/'), 'must be an absolute path'),
  z.refine((path) => !path.split('/').includes('..'), "must not contain '..'"),
);

const nodeHost = filled.check(
  z.refine(
    (host) => isIPv6(host) || /^[A-Za-z0-9._-]+$/.test(host),
    'must be a host name or an IP address, without scheme, port or slash',
  ),
);

const httpUrl = filled.check(
  z.refine(
    (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
    'must be an http:// or https:// URL',
  ),
);

const flag = matching(/^(true|false)$/, "must be 'true' or 'false'");
// Nine digits are 31 years, and far from what a Date can hold.
const seconds = matching(/^\d{1,9}$/, 'must be a whole number of seconds');

const settings = z.object({
  K8S_NAMESPACE: withDefault(
    matching(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a legal namespace name (RFC 1123 label)'),
    'deer-flow',
  ),
  SANDBOX_IMAGE: withDefault(
    matching(/^\S+$/, 'must be an image reference without spaces'),
    'enterprise-public-cn-beijing.cr.volces.com/vefaas-public/all-in-one-sandbox:latest',
  ),
  SKILLS_HOST_PATH: withDefault(hostPath, '/skills'),
  THREADS_HOST_PATH: withDefault(hostPath, '/.deer-flow/threads'),
  KUBECONFIG_PATH: withDefault(filled, '/root/.kube/config'),
  KUBECONFIG_WAIT_SECONDS: z.optional(matching(/^\d{1,4}$/, 'must be a whole number of seconds from 0 to 9999')),
  NODE_HOST: withDefault(nodeHost, 'host.docker.internal'),
  K8S_API_SERVER: z.optional(httpUrl),
  K8S_TLS_SKIP_VERIFY: withDefault(flag, 'false'),
  SANDBOX_TTL_SECONDS: withDefault(seconds, '86400'),
  SANDBOX_MAX_TTL_SECONDS: withDefault(seconds, '604800'),
  SANDBOX_MAX_LIFETIME_SECONDS: withDefault(seconds, '0'),
  SANDBOX_ORPHAN_GRACE_SECONDS: withDefault(seconds, '300'),
  SANDBOX_FAILED_RETENTION_SECONDS: withDefault(seconds, '3600'),
  SANDBOX_PENDING_TIMEOUT_SECONDS: withDefault(seconds, '1800'),
  CLEANUP_CONCURRENCY: withDefault(matching(/^([1-9]|[1-9]\d|100)$/, 'must be a whole number from 1 to 100'), '10'),
  CLEANUP_DRY_RUN: withDefault(flag, 'false'),
});

/**
 * Reads the settings out of an environment; what is unset gets the original's default. Pure.
 * Throws a `misconfigured` error that names every variable that is wrong, not only the first.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const parsed = settings.safeParse(env);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
    throw new ProvisionerError('misconfigured', `Misconfigured: ${problems.join('; ')}`);
  }
  const values = parsed.data;
  const [ttl, maxTtl] = [Number(values.SANDBOX_TTL_SECONDS), Number(values.SANDBOX_MAX_TTL_SECONDS)];
  if (maxTtl > 0 && ttl > maxTtl) {
    const problem = `SANDBOX_TTL_SECONDS (${ttl}) must not be larger than SANDBOX_MAX_TTL_SECONDS (${maxTtl})`;
    throw new ProvisionerError('misconfigured', `Misconfigured: ${problem}`);
  }
  // serverless-offline sets AWS_LAMBDA_FUNCTION_NAME as Lambda does, and IS_OFFLINE beside it.
  const onLambda = env.AWS_LAMBDA_FUNCTION_NAME !== undefined && env.IS_OFFLINE === undefined;
  return Object.freeze({
    namespace: values.K8S_NAMESPACE,
    sandboxImage: values.SANDBOX_IMAGE,
    skillsHostPath: values.SKILLS_HOST_PATH,
    threadsHostPath: values.THREADS_HOST_PATH.replace(/(?<=.)\/+$/, ''),
    kubeconfigPath: values.KUBECONFIG_PATH,
    // On Lambda nothing can bring the file later; elsewhere another container may still be writing it.
    kubeconfigWaitSeconds: Number(values.KUBECONFIG_WAIT_SECONDS ?? (onLambda ? 0 : 30)),
    nodeHost: isIPv6(values.NODE_HOST) ? `[${values.NODE_HOST}]` : values.NODE_HOST,
    apiServer: values.K8S_API_SERVER?.replace(/\/+$/, ''),
    skipTlsVerify: values.K8S_TLS_SKIP_VERIFY === 'true',
    sandboxTtlSeconds: ttl,
    sandboxMaxTtlSeconds: maxTtl,
    sandboxMaxLifetimeSeconds: Number(values.SANDBOX_MAX_LIFETIME_SECONDS),
    orphanGraceSeconds: Number(values.SANDBOX_ORPHAN_GRACE_SECONDS),
    failedRetentionSeconds: Number(values.SANDBOX_FAILED_RETENTION_SECONDS),
    pendingTimeoutSeconds: Number(values.SANDBOX_PENDING_TIMEOUT_SECONDS),
    cleanupConcurrency: Number(values.CLEANUP_CONCURRENCY),
    cleanupDryRun: values.CLEANUP_DRY_RUN === 'true',
  });
}

let remembered: Config | undefined;

/** The process's own settings, read once. Throws as `loadConfig` does, and reads again at the next call then. */
export function currentConfig(): Config {
  remembered ??= loadConfig(process.env);
  return remembered;
}
