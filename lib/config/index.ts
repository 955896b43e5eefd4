import * as z from 'zod/mini';
import { ProvisionerError } from '../errors.ts';
import { type AwsConfig, awsSettings, readAwsConfig } from './aws.ts';
import { type CallersConfig, callerSettings, findCallerProblems, readCallersConfig } from './callers.ts';
import { type ClusterConfig, clusterSettings, findClusterProblems, readClusterConfig } from './cluster.ts';
import { type ConfinementConfig, confinementSettings, readConfinementConfig } from './confinement.ts';
import { findLifetimeProblems, type LifetimeConfig, lifetimeSettings, readLifetimeConfig } from './lifetimes.ts';
import { findResourceProblems, type ResourceConfig, readResourceConfig, resourceSettings } from './resources.ts';
import { readSandboxConfig, type SandboxConfig, sandboxSettings } from './sandboxes.ts';

/** What decides who may call: the part of the configuration that is needed before anybody is let in. */
export type AccessConfig = CallersConfig & { readonly aws: AwsConfig };

/** Everything that an operator can set, validated. Units are in the names. */
export type Config = ClusterConfig & SandboxConfig & ResourceConfig & ConfinementConfig & LifetimeConfig & AccessConfig;

/** What an operation on sandboxes is given of them: the namespace it is told beside them. */
export type SandboxSettings = Omit<Config, 'namespace'>;

const accessSettings = z.object({ ...callerSettings, ...awsSettings });
const settings = z.object({
  ...sandboxSettings,
  ...resourceSettings,
  ...confinementSettings,
  ...clusterSettings,
  ...lifetimeSettings,
  ...callerSettings,
  ...awsSettings,
});

/** Variables, as a process has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings out of an environment; what is unset gets the original's default. Pure.
 * Throws a `misconfigured` error that names every variable that is wrong, not only the first.
 */
export function loadConfig(env: Environment): Config {
  const values = parse(settings, env);
  // serverless-offline sets AWS_LAMBDA_FUNCTION_NAME as Lambda does, and IS_OFFLINE beside it.
  const onLambda = env.AWS_LAMBDA_FUNCTION_NAME !== undefined && env.IS_OFFLINE === undefined;
  const config = {
    ...readClusterConfig(values, onLambda),
    ...readSandboxConfig(values),
    ...readResourceConfig(values),
    ...readConfinementConfig(values),
    ...readLifetimeConfig(values),
    ...readCallersConfig(values),
    ...readAwsConfig(values),
  };
  refuse([
    ...findClusterProblems(values),
    ...findResourceProblems(config),
    ...findLifetimeProblems(config),
    ...findCallerProblems(values),
  ]);
  return Object.freeze(config);
}

/** The same, of the settings that decide who may call; what is wrong with the others it does not see. */
export function loadAccessConfig(env: Environment): AccessConfig {
  const values = parse(accessSettings, env);
  refuse(findCallerProblems(values));
  return Object.freeze({ ...readCallersConfig(values), ...readAwsConfig(values) });
}

/** Reads these settings, and no others, out of an environment. Throws as `loadConfig` does. */
export function parse<T extends z.ZodMiniType>(schema: T, env: Environment): z.infer<T> {
  const parsed = schema.safeParse(env);
  if (!parsed.success) refuse(parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`));
  return parsed.data as z.infer<T>;
}

function refuse(problems: string[]): void {
  if (problems.length > 0) throw new ProvisionerError('misconfigured', `Misconfigured: ${problems.join('; ')}`);
}

let remembered: Config | undefined;
let rememberedAccess: AccessConfig | undefined;

/** The process's own settings, read once. Throws as `loadConfig` does, and reads again at the next call then. */
export function currentConfig(): Config {
  remembered ??= loadConfig(process.env);
  return remembered;
}

/** Those that decide who may call, in the same way. */
export function currentAccessConfig(): AccessConfig {
  // Who has read all settings has read these.
  rememberedAccess ??= remembered ?? loadAccessConfig(process.env);
  return rememberedAccess;
}

/** The environment of a program that we start: our own, and these variables. */
export const programEnvironment = (variables: Record<string, string>): Record<string, string | undefined> => ({
  ...process.env,
  ...variables,
});

/** Where Kubernetes tells each of its Pods that the API server is. That is no setting of ours. */
export const apiServerOfPod = (): { host: string | undefined; port: string | undefined } => ({
  host: process.env.KUBERNETES_SERVICE_HOST,
  port: process.env.KUBERNETES_SERVICE_PORT,
});
