import { anyText, flag, listOf, matching, meaning } from './rules.ts';
import type { Settings } from './setting.ts';

/** The newest version of the extension: AWS keeps its ARN in a public parameter for each architecture, in every region. */
export const newestSecretsExtension =
  '{{resolve:ssm:/aws/service/aws-parameters-and-secrets-lambda-extension/arm64/latest}}';

const atLeastOne = () => meaning(matching(/^[1-9]\d{0,5}$/, 'must be a whole number from 1 to 999999'), Number);

/** What only a deployment needs to know. The functions never see it. */
export const deploymentSettings = {
  AWS_REGION: { rule: anyText, default: 'us-east-1', neededBy: 'deployment', doc: 'where to deploy' },
  CLEANUP_SCHEDULE: {
    rule: () => matching(/^(rate|cron)\(.+\)$/, "must be 'rate(…)' or 'cron(…)'"),
    default: 'rate(5 minutes)',
    neededBy: 'deployment',
    doc: 'how often the clean-up runs (`rate(…)` or `cron(…)`), under `npm start` too',
  },
  CLEANUP_RESERVED_CONCURRENCY: {
    rule: () => meaning(matching(/^\d{1,6}$/, 'must be a whole number'), Number),
    neededBy: 'deployment',
    doc: 'reserves concurrency for the clean-up. It needs none, because runs that overlap do no harm. A new AWS account has only 10 in all and lets none be reserved',
  },
  LOG_RETENTION_DAYS: {
    rule: () => meaning(matching(/^[1-9]\d{0,3}$/, 'must be a whole number of days'), Number),
    default: 30,
    neededBy: 'deployment',
    doc: 'how long CloudWatch keeps the log',
  },
  EKS_ACCESS_ENTRIES: {
    rule: flag,
    default: false,
    neededBy: 'deployment',
    doc: '`true`: each function that talks to Kubernetes gets an access entry of `EKS_CLUSTER_NAME`, in the Kubernetes group `EKS_ACCESS_GROUP` and without any policy of EKS',
  },
  EKS_ACCESS_GROUP: {
    // system:masters may do anything; EKS refuses these prefixes, but only when the stack is already half made.
    rule: () =>
      matching(
        /^(?!(?:system|eks|aws|amazon|iam):)\S+$/,
        "must be a Kubernetes group of your own, not 'system:…' or AWS'",
      ),
    default: 'sandbox-provisioner',
    neededBy: 'deployment',
    doc: 'that group, as `npm run rbac -- --group` names it',
  },
  SECRETS_EXTENSION_LAYER_ARN: {
    rule: () => matching(/^arn:[\w-]+:lambda:[\w-]+:\d{12}:layer:[\w-]+:\d+$/, "must be the ARN of a layer's version"),
    default: newestSecretsExtension,
    neededBy: 'deployment',
    unset: 'the newest',
    doc: 'the AWS Parameters and Secrets extension for arm64, if it is to be a certain version, or where the region does not say which is the newest',
  },
  SECRETS_KMS_KEY_ARN: {
    rule: () => matching(/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/, 'must be the ARN of a key, not of an alias'),
    neededBy: 'deployment',
    doc: "the key that the secrets are encrypted with, where it is yours and not AWS' own",
  },
  VPC_SUBNET_IDS: {
    rule: () => listOf((id) => /^subnet-[0-9a-f]+$/.test(id), "must be subnets' ids, separated by commas"),
    neededBy: 'deployment',
    doc: 'ids, separated by commas: puts the functions that talk to Kubernetes into a VPC',
  },
  VPC_SECURITY_GROUP_IDS: {
    rule: () => listOf((id) => /^sg-[0-9a-f]+$/.test(id), "must be security groups' ids, separated by commas"),
    neededBy: 'deployment',
    doc: 'the security groups of those functions there: ids, separated by commas',
  },
  API_THROTTLE_RATE: {
    rule: atLeastOne,
    neededBy: 'deployment',
    unset: "the account's",
    doc: 'how many requests a second the API takes of all callers together',
  },
  API_THROTTLE_BURST: {
    rule: atLeastOne,
    neededBy: 'deployment',
    unset: "the account's",
    doc: 'how many it takes at once',
  },
  ALARM_TOPIC_ARN: {
    rule: () => matching(/^arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]+$/, 'must be the ARN of an SNS topic without FIFO'),
    neededBy: 'deployment',
    doc: 'an SNS topic of yours: makes [the alarms](alarms.md) that tell it, and a dashboard. Needs `METRICS=emf`',
  },
} as const satisfies Settings;
