import { deploymentSettings } from '../config/deployment.ts';
import { readRateMinutes } from '../config/server.ts';
import { readSettings } from '../config/setting.ts';

type Texts = Readonly<Record<string, string>>;

/** What only a deployment needs to know, validated. The functions never see it. */
export type DeploymentSettings = Readonly<{
  /** Whether each function that talks to Kubernetes gets an access entry of the EKS cluster. */
  eksAccessEntries: boolean;
  /** The Kubernetes group of those entries. */
  eksAccessGroup: string;
  /** The AWS Parameters and Secrets extension, as CloudFormation takes a layer. */
  secretsExtensionLayer: string;
  /** The customer's key that the secrets are encrypted with; undefined for AWS' own. */
  secretsKmsKeyArn: string | undefined;
  /** Where the functions that talk to Kubernetes have their network interfaces; undefined for no VPC. */
  vpc: Readonly<{ subnetIds: readonly string[]; securityGroupIds: readonly string[] }> | undefined;
  /** What the API takes of all callers together; undefined for the account's own limits. */
  throttle: Readonly<{ requestsPerSecond: number; burst: number }> | undefined;
  /** The SNS topic that hears of the alarms; undefined for none of them. */
  alarmTopicArn: string | undefined;
  /** How often the clean-up runs; undefined where a `cron(…)` does not say. */
  cleanUpEverySeconds: number | undefined;
}>;

const pairs = [
  ['VPC_SUBNET_IDS', 'VPC_SECURITY_GROUP_IDS'],
  ['API_THROTTLE_RATE', 'API_THROTTLE_BURST'],
] as const;

/** Reads what only a deployment needs to know out of the settings that are set, or says all that is wrong with it. Pure. */
export function readDeploymentSettings(
  env: Texts,
): { settings: DeploymentSettings; problems: [] } | { settings: undefined; problems: string[] } {
  const { values: set, problems: wrong } = readSettings(deploymentSettings, env);
  const problems = [
    ...wrong,
    ...pairs.flatMap(([one, other]) => findHalfPair(env, one, other)),
    ...(env.EKS_ACCESS_ENTRIES === 'true' && env.EKS_CLUSTER_NAME === undefined
      ? ['EKS_ACCESS_ENTRIES needs EKS_CLUSTER_NAME beside it']
      : []),
    ...(env.ALARM_TOPIC_ARN !== undefined && env.METRICS !== 'emf'
      ? [
          'ALARM_TOPIC_ARN needs METRICS=emf beside it: most alarms have nothing to look at without it, and would never tell',
        ]
      : []),
  ];
  if (set === undefined || problems.length > 0) return { settings: undefined, problems };
  const cleanUpEverySeconds = readRateMinutes(set.CLEANUP_SCHEDULE) * 60;
  const settings = {
    eksAccessEntries: set.EKS_ACCESS_ENTRIES,
    eksAccessGroup: set.EKS_ACCESS_GROUP,
    secretsExtensionLayer: set.SECRETS_EXTENSION_LAYER_ARN,
    secretsKmsKeyArn: set.SECRETS_KMS_KEY_ARN,
    vpc:
      set.VPC_SUBNET_IDS && set.VPC_SECURITY_GROUP_IDS
        ? { subnetIds: set.VPC_SUBNET_IDS, securityGroupIds: set.VPC_SECURITY_GROUP_IDS }
        : undefined,
    throttle:
      set.API_THROTTLE_RATE && set.API_THROTTLE_BURST
        ? { requestsPerSecond: set.API_THROTTLE_RATE, burst: set.API_THROTTLE_BURST }
        : undefined,
    alarmTopicArn: set.ALARM_TOPIC_ARN,
    cleanUpEverySeconds: Number.isNaN(cleanUpEverySeconds) ? undefined : cleanUpEverySeconds,
  };
  return { settings, problems: [] };
}

/** Says so where one of two settings is there that are only good together. */
function findHalfPair(env: Texts, one: string, other: string): string[] {
  if ((env[one] === undefined) === (env[other] === undefined)) return [];
  return env[one] === undefined ? [`${other} needs ${one} beside it`] : [`${one} needs ${other} beside it`];
}
