import * as z from 'zod/mini';
import { type ClusterConfig, clusterSettings, readClusterConfig } from './config/cluster.ts';
import { type ConfinementConfig, confinementSettings, readConfinementConfig } from './config/confinement.ts';
import { findLifetimeProblems, type LifetimeConfig, lifetimeSettings, readLifetimeConfig } from './config/lifetimes.ts';
import { findResourceProblems, type ResourceConfig, readResourceConfig, resourceSettings } from './config/resources.ts';
import { readSandboxConfig, type SandboxConfig, sandboxSettings } from './config/sandboxes.ts';
import { ProvisionerError } from './errors.ts';

/** Everything that an operator can set, validated. Units are in the names. */
export type Config = ClusterConfig & SandboxConfig & ResourceConfig & ConfinementConfig & LifetimeConfig;

const settings = z.object({
  ...sandboxSettings,
  ...resourceSettings,
  ...confinementSettings,
  ...clusterSettings,
  ...lifetimeSettings,
});

/**
 * Reads the settings out of an environment; what is unset gets the original's default. Pure.
 * Throws a `misconfigured` error that names every variable that is wrong, not only the first.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const parsed = settings.safeParse(env);
  if (!parsed.success) {
    throw misconfigured(parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`));
  }
  // serverless-offline sets AWS_LAMBDA_FUNCTION_NAME as Lambda does, and IS_OFFLINE beside it.
  const onLambda = env.AWS_LAMBDA_FUNCTION_NAME !== undefined && env.IS_OFFLINE === undefined;
  const config = {
    ...readClusterConfig(parsed.data, onLambda),
    ...readSandboxConfig(parsed.data),
    ...readResourceConfig(parsed.data),
    ...readConfinementConfig(parsed.data),
    ...readLifetimeConfig(parsed.data),
  };
  const problems = [...findResourceProblems(config), ...findLifetimeProblems(config)];
  if (problems.length > 0) throw misconfigured(problems);
  return Object.freeze(config);
}

const misconfigured = (problems: string[]) =>
  new ProvisionerError('misconfigured', `Misconfigured: ${problems.join('; ')}`);

let remembered: Config | undefined;

/** The process's own settings, read once. Throws as `loadConfig` does, and reads again at the next call then. */
export function currentConfig(): Config {
  remembered ??= loadConfig(process.env);
  return remembered;
}
