import { ProvisionerError } from '../errors.ts';
import type { VolumeSources } from '../model/volumes/sources.ts';
import { addressSettings, findAddressProblems, readUrlKeys, type UrlKeys } from './addresses.ts';
import { type AwsConfig, readAwsConfig } from './aws.ts';
import { type Authentication, callerSettings, findCallerProblems, readAuthentication } from './callers.ts';
import { clusterSettings, type EksClusterConfig, findClusterProblems, readCluster } from './cluster.ts';
import { confinementSettings } from './confinement.ts';
import { consoleSettings } from './console.ts';
import { descriptionSettings } from './description.ts';
import { type EventTargets, eventSettings, findEventProblems, readEventTargets } from './events.ts';
import { findLifetimeProblems, lifetimeSettings } from './lifetimes.ts';
import { isLevelWritten } from './log.ts';
import { metricsSettings } from './metrics.ts';
import { findResourceProblems, resourceSettings } from './resources.ts';
import { sandboxSettings } from './sandboxes.ts';
import { type Environment, type Fields, nameFields, readSettings, type Settings, type Values } from './setting.ts';
import { findVolumeProblems, readVolumes, volumeSettings } from './volumes.ts';

/** What decides who may call: the part of the configuration that is needed before anybody is let in. */
export type AccessConfig = Fields<typeof callerSettings> & Readonly<{ authentication: Authentication; aws: AwsConfig }>;

/** Everything that an operator can set, validated. Units are in the names. */
export type Config = Fields<typeof sandboxSettings> &
  Fields<typeof addressSettings> &
  Fields<typeof resourceSettings> &
  Fields<typeof confinementSettings> &
  Fields<typeof clusterSettings> &
  Fields<typeof lifetimeSettings> &
  Fields<typeof metricsSettings> &
  Readonly<{
    volumes: VolumeSources;
    eksCluster: EksClusterConfig | undefined;
    kubeconfigWaitSeconds: number;
    urlKeys: UrlKeys | undefined;
    eventTargets: EventTargets | undefined;
  }> &
  AccessConfig;

/** What an operation on sandboxes is given of them: the namespace it is told beside them. */
export type SandboxSettings = Omit<Config, 'namespace'>;

/**
 * Reads the settings out of an environment; what is unset gets the original's default. Pure.
 * Throws a `misconfigured` error that names every variable that is wrong, not only the first.
 */
export function loadConfig(env: Environment): Config {
  const settings = {
    ...sandboxSettings,
    ...addressSettings,
    ...volumeSettings,
    ...resourceSettings,
    ...confinementSettings,
    ...clusterSettings,
    ...lifetimeSettings,
    ...callerSettings,
    ...metricsSettings,
    ...eventSettings,
  };
  const values = read(settings, env);
  // serverless-offline sets AWS_LAMBDA_FUNCTION_NAME as Lambda does, and IS_OFFLINE beside it.
  const onLambda = env.AWS_LAMBDA_FUNCTION_NAME !== undefined && env.IS_OFFLINE === undefined;
  const config = {
    ...nameFields(settings, values),
    volumes: readVolumes(values),
    urlKeys: readUrlKeys(values),
    ...readCluster(values, onLambda),
    authentication: readAuthentication(values),
    eventTargets: readEventTargets(values),
    aws: readAwsConfig(env),
  };
  refuse([
    ...findAddressProblems(values, config.serviceType),
    ...findVolumeProblems(values),
    ...findClusterProblems(values),
    ...findResourceProblems(config),
    ...findLifetimeProblems(config),
    ...findCallerProblems(values),
    ...findEventProblems(values),
  ]);
  return Object.freeze(config);
}

/** The same, of the settings that decide who may call; what is wrong with the others it does not see. */
export function loadAccessConfig(env: Environment): AccessConfig {
  const values = read(callerSettings, env);
  refuse(findCallerProblems(values));
  return Object.freeze({
    ...nameFields(callerSettings, values),
    authentication: readAuthentication(values),
    aws: readAwsConfig(env),
  });
}

function read<T extends Settings>(settings: T, env: Environment): Values<T> {
  const { values, problems } = readSettings(settings, env);
  refuse(problems);
  return values as Values<T>;
}

function refuse(problems: string[]): void {
  if (problems.length > 0) throw new ProvisionerError('misconfigured', `Misconfigured: ${problems.join('; ')}`);
}

let remembered: Config | undefined;
let rememberedAccess: AccessConfig | undefined;
let rememberedMetrics: Fields<typeof metricsSettings> | undefined;

/** The process's own settings, read once. Throws as `loadConfig` does, and reads again at the next call then. */
export function currentConfig(): Config {
  remembered ??= loadConfig(process.env);
  return remembered;
}

/** Where the events of this process go, and what AWS' calls need; nowhere before it has read its settings, which come before any work. */
export const currentEventTargets = (): Pick<Config, 'eventTargets' | 'aws'> | undefined =>
  remembered?.eventTargets && remembered;

/** Those that decide who may call, in the same way. */
export function currentAccessConfig(): AccessConfig {
  // Who has read all settings has read these.
  rememberedAccess ??= remembered ?? loadAccessConfig(process.env);
  return rememberedAccess;
}

/** Where this process's figures go: nowhere, where a setting says it wrong. Who asks Kubernetes refuses then, and names it. */
export function currentMetricsConfig(): Fields<typeof metricsSettings> {
  rememberedMetrics ??= nameFields(
    metricsSettings,
    readSettings(metricsSettings, process.env).values ?? { METRICS: 'off', METRICS_NAMESPACE: '' },
  );
  return rememberedMetrics;
}

/** Whether the log of this process has lines of this level. To ask the logger it would have to be loaded. */
export const isLogged = (level: 'debug' | 'info' | 'warn' | 'error'): boolean => isLevelWritten(process.env, level);

/** What the description of the API is made with; read by nothing else. */
const describing = () => ({
  ...descriptionSettings,
  SANDBOX_MAX_TTL_SECONDS: lifetimeSettings.SANDBOX_MAX_TTL_SECONDS,
});

/** The longest time that the description says a caller may ask for; 0: any. Throws `misconfigured`. */
export const describedMaxTtlSeconds = (): number => read(describing(), process.env).SANDBOX_MAX_TTL_SECONDS;

/** Whether anybody may read the description. If a setting of it is wrong, callers alone may: they are told what is wrong. */
export const isDescriptionOpen = (): boolean => readSettings(describing(), process.env).values?.API_DOCS === 'open';

/** Whether there is the console. Throws `misconfigured`. */
export const isConsoleOn = (): boolean => read(consoleSettings, process.env).CONSOLE === 'open';

/** The whole environment of this process, for what hands settings on. */
export const currentEnvironment = (): Environment => process.env;

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
