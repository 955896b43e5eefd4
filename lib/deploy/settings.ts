import * as z from 'zod/mini';
import { filled, flag, matching, withDefault } from '../config/fields.ts';

/** What only a deployment needs to know, validated. The functions never see it. */
export type DeploymentSettings = Readonly<{
  /** Whether each function that talks to Kubernetes gets an access entry of the EKS cluster. */
  eksAccessEntries: boolean;
  /** The Kubernetes group of those entries. */
  eksAccessGroup: string;
  /** The AWS Parameters and Secrets extension, as CloudFormation takes a layer. */
  secretsExtensionLayer: string;
  /** For how many seconds the extension remembers what it has read of a store; undefined for its own 300. */
  secretsTtl: Readonly<Record<'secretsmanager' | 'ssm', string | undefined>>;
  /** The customer's key that the secrets are encrypted with; undefined for AWS' own. */
  secretsKmsKeyArn: string | undefined;
  /** Where the functions that talk to Kubernetes have their network interfaces; undefined for no VPC. */
  vpc: Readonly<{ subnetIds: string[]; securityGroupIds: string[] }> | undefined;
  /** What the API takes of all callers together; undefined for the account's own limits. */
  throttle: Readonly<{ requestsPerSecond: number; burst: number }> | undefined;
  /** The SNS topic that hears of a clean-up that failed. */
  alarmTopicArn: string | undefined;
}>;

/** The newest version of the extension: AWS keeps its ARN in a public parameter for each architecture, in every region. */
export const newestSecretsExtension =
  '{{resolve:ssm:/aws/service/aws-parameters-and-secrets-lambda-extension/arm64/latest}}';

const list = (item: RegExp, message: string) =>
  filled.check(
    z.refine((text) => splitList(text).length > 0 && splitList(text).every((part) => item.test(part)), message),
  );
const extensionTtl = matching(/^(\d|[1-9]\d|[12]\d\d|300)$/, 'must be a whole number of seconds from 0 to 300');
const atLeastOne = matching(/^[1-9]\d{0,5}$/, 'must be a whole number from 1 to 999999');

const schema = z.object({
  EKS_ACCESS_ENTRIES: withDefault(flag, 'false'),
  EKS_ACCESS_GROUP: withDefault(
    // system:masters may do anything; EKS refuses these prefixes, but only when the stack is already half made.
    matching(
      /^(?!(?:system|eks|aws|amazon|iam):)\S+$/,
      "must be a Kubernetes group of your own, not 'system:…' or AWS'",
    ),
    'sandbox-provisioner',
  ),
  SECRETS_EXTENSION_LAYER_ARN: withDefault(
    matching(/^arn:[\w-]+:lambda:[\w-]+:\d{12}:layer:[\w-]+:\d+$/, "must be the ARN of a layer's version"),
    newestSecretsExtension,
  ),
  SECRETS_MANAGER_TTL: z.optional(extensionTtl),
  SSM_PARAMETER_STORE_TTL: z.optional(extensionTtl),
  SECRETS_KMS_KEY_ARN: z.optional(
    matching(/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/, 'must be the ARN of a key, not of an alias'),
  ),
  VPC_SUBNET_IDS: z.optional(list(/^subnet-[0-9a-f]+$/, "must be subnets' ids, separated by commas")),
  VPC_SECURITY_GROUP_IDS: z.optional(list(/^sg-[0-9a-f]+$/, "must be security groups' ids, separated by commas")),
  API_THROTTLE_RATE: z.optional(atLeastOne),
  API_THROTTLE_BURST: z.optional(atLeastOne),
  ALARM_TOPIC_ARN: z.optional(
    matching(/^arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]+$/, 'must be the ARN of an SNS topic without FIFO'),
  ),
});

const pairs = [
  ['VPC_SUBNET_IDS', 'VPC_SECURITY_GROUP_IDS'],
  ['API_THROTTLE_RATE', 'API_THROTTLE_BURST'],
] as const;

/**
 * Reads what serverless.yml says under `custom.deployment`, or says all that is wrong with it, by
 * itself or beside the functions' environment. Pure.
 */
export function readDeploymentSettings(
  values: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>>,
): { settings: DeploymentSettings; problems: [] } | { settings: undefined; problems: string[] } {
  const parsed = schema.safeParse(values);
  const problems = [
    ...(parsed.error?.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`) ?? []),
    ...pairs.flatMap(([one, other]) => findHalfPair(values, one, other)),
    ...(values.EKS_ACCESS_ENTRIES === 'true' && environment.EKS_CLUSTER_NAME === undefined
      ? ['EKS_ACCESS_ENTRIES needs EKS_CLUSTER_NAME beside it']
      : []),
  ];
  if (!parsed.success || problems.length > 0) return { settings: undefined, problems };
  const set = parsed.data;
  const settings = {
    eksAccessEntries: set.EKS_ACCESS_ENTRIES === 'true',
    eksAccessGroup: set.EKS_ACCESS_GROUP,
    secretsExtensionLayer: set.SECRETS_EXTENSION_LAYER_ARN,
    secretsTtl: { secretsmanager: set.SECRETS_MANAGER_TTL, ssm: set.SSM_PARAMETER_STORE_TTL },
    secretsKmsKeyArn: set.SECRETS_KMS_KEY_ARN,
    vpc:
      set.VPC_SUBNET_IDS && set.VPC_SECURITY_GROUP_IDS
        ? { subnetIds: splitList(set.VPC_SUBNET_IDS), securityGroupIds: splitList(set.VPC_SECURITY_GROUP_IDS) }
        : undefined,
    throttle:
      set.API_THROTTLE_RATE && set.API_THROTTLE_BURST
        ? { requestsPerSecond: Number(set.API_THROTTLE_RATE), burst: Number(set.API_THROTTLE_BURST) }
        : undefined,
    alarmTopicArn: set.ALARM_TOPIC_ARN,
  };
  return { settings, problems: [] };
}

/** The parts of a setting that holds several, separated by commas or blanks. */
export const splitList = (text: string): string[] => text.split(/[\s,]+/).filter((part) => part !== '');

/** Says so where one of two settings is there that are only good together. */
function findHalfPair(values: Readonly<Record<string, string>>, one: string, other: string): string[] {
  if ((values[one] === undefined) === (values[other] === undefined)) return [];
  return values[one] === undefined ? [`${other} needs ${one} beside it`] : [`${one} needs ${other} beside it`];
}
