import { accessSources } from '../config/callers.ts';
import { clusterSources } from '../config/cluster.ts';
import { loadConfig } from '../config/index.ts';
import { ProvisionerError } from '../errors.ts';
import type { Deployment } from './plan.ts';

/** What is to be said of an environment before it is deployed. Each line names its variable and what to do. */
export type Findings = Readonly<{
  /** What could not work, or not as it was meant: nothing is packaged. */
  wrong: readonly string[];
  /** What must be said in so many words before anything is deployed; a package may still be made and looked at. */
  missing: readonly string[];
  /** What works, but may not be what was meant. */
  doubtful: readonly string[];
}>;

type Environment = Readonly<Record<string, string>>;

// The names become part of a permission, where `*` and `?` would stand for other secrets too.
// A secret's ARN ends in a hyphen and six characters; without them Secrets Manager would find it, but no permission fit.
const secretId = /^(arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@-]{1,512}-[A-Za-z\d]{6}|[\w/+=.@-]{1,512})$/;
const parameterName = /^(arn:[\w-]+:ssm:[\w-]+:\d{12}:parameter\/)?[\w./-]{1,1011}$/;
const forms: [variable: string, form: RegExp, message: string][] = [
  ['PROVISIONER_API_KEY_SECRET_ID', secretId, 'must be the name or the whole ARN of a secret'],
  ['KUBECONFIG_SECRET_ID', secretId, 'must be the name or the whole ARN of a secret'],
  ['PROVISIONER_API_KEY_PARAMETER', parameterName, 'must be the name or the ARN of a parameter'],
  ['KUBECONFIG_PARAMETER', parameterName, 'must be the name or the ARN of a parameter'],
  // The functions take one of this machine too.
  ['JWT_ISSUER', /^https:/i, 'must be an https:// URL, as API Gateway asks'],
];

/** Lambda's own limit for the names and values of a function's environment together. */
const environmentLimitBytes = 4096;

/** Where a setting that grows may be kept in its stead. */
const elsewhere: Readonly<Record<string, string>> = {
  KUBECONFIG_CONTENT:
    'keep it in Secrets Manager (KUBECONFIG_SECRET_ID) or in Parameter Store (KUBECONFIG_PARAMETER) instead',
  PROVISIONER_API_KEY:
    'keep it in Secrets Manager (PROVISIONER_API_KEY_SECRET_ID) or in Parameter Store (PROVISIONER_API_KEY_PARAMETER) instead',
};

/**
 * Looks at everything that the functions will be told, all of it together, before it is deployed: what a function would only
 * find at its first call, and what would leave the API open or its answers useless. Pure.
 */
export function checkEnvironment(environment: Environment): Findings {
  const isSet = (name: string) => environment[name] !== undefined;
  const isOpen = environment.AUTH === 'off';
  const misconfigured = findMisconfigurations(environment);
  const wrong = misconfigured.length > 0 ? misconfigured : findUnfit(environment);
  const missing = [
    ...(accessSources.some(isSet) || isOpen
      ? []
      : [
          `there is no key to know callers by: set one of ${accessSources.join(', ')} (that one with JWT_AUDIENCE); AUTH=off if anybody may call`,
        ]),
    ...(isNowhere(environment.NODE_HOST)
      ? [
          "NODE_HOST is 'host.docker.internal', which only a container on the same machine knows: set the address where your backend reaches the cluster's NodePorts",
        ]
      : []),
  ];
  const doubtful = [
    ...(isOpen ? ['AUTH=off: anybody who knows the address of the API can use it'] : []),
    ...(clusterSources.some(isSet) || environment.KUBECONFIG_PATH !== '/root/.kube/config'
      ? []
      : [
          `nothing says where the cluster is: set one of ${clusterSources.join(', ')}, or KUBECONFIG_PATH for a file in a layer`,
        ]),
  ];
  return { wrong, missing, doubtful };
}

const findUnfit = (environment: Environment): string[] =>
  forms.flatMap(([name, form, message]) =>
    environment[name] === undefined || form.test(environment[name]) ? [] : [`${name} ${message}`],
  );

/** Looks for what is larger in a deployment than AWS takes. Pure. */
export const findOverLimits = ({ functions, resources }: Deployment): string[] => [
  ...findOversize(functions),
  ...Object.values(resources.Resources).flatMap(({ Properties: { RoleName } }) => findLongRoleName(RoleName)),
];

/** IAM takes names of at most 64 characters. */
const findLongRoleName = (name: unknown): string[] =>
  typeof name === 'string' && name.length > 64
    ? [`the role name ${name} is longer than the 64 characters that IAM takes: choose a shorter --stage`]
    : [];

/** Says so where the environment of a function is more than Lambda takes, and which setting makes it so large. */
function findOversize(functions: Deployment['functions']): string[] {
  const [largest] = Object.entries(functions)
    .map(([name, { environment }]) => {
      const settings = Object.entries(environment)
        .map(([setting, value]) => ({ setting, bytes: Buffer.byteLength(setting) + Buffer.byteLength(value) }))
        .sort((a, b) => b.bytes - a.bytes);
      return { name, bytes: settings.reduce((sum, { bytes }) => sum + bytes, 0), worst: settings[0] };
    })
    .sort((a, b) => b.bytes - a.bytes);
  if (largest?.worst === undefined || largest.bytes <= environmentLimitBytes) return [];
  const { name, bytes, worst } = largest;
  const advice = elsewhere[worst.setting] ?? 'make it shorter';
  return [
    `${worst.setting} is ${worst.bytes} of the ${bytes} bytes in the environment of ${name}, where Lambda takes ${environmentLimitBytes}: ${advice}`,
  ];
}

/** What the functions themselves would say of it at their first call. */
function findMisconfigurations(environment: Environment): string[] {
  try {
    loadConfig({ ...environment, AWS_LAMBDA_FUNCTION_NAME: 'deployment' });
    return [];
  } catch (error) {
    if (!(error instanceof ProvisionerError)) throw error;
    return [error.message.replace(/^Misconfigured: /, '')];
  }
}

const isNowhere = (nodeHost = 'host.docker.internal') => /^host\.docker\.internal\.?$/i.test(nodeHost);
