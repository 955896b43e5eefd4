import { accessSources, isShortKey, parseApiKeys } from '../config/callers.ts';
import { clusterSettings, clusterSources } from '../config/cluster.ts';
import { descriptionSettings } from '../config/description.ts';
import { loadConfig } from '../config/index.ts';
import { logSettings } from '../config/log.ts';
import { sandboxSettings } from '../config/sandboxes.ts';
import { readSettings } from '../config/setting.ts';
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

/** Lambda's own limit for the names and values of a function's environment together. */
const environmentLimitBytes = 4096;

/** Where a setting that grows may be kept in its stead. */
const elsewhere: Readonly<Record<string, string>> = {
  KUBECONFIG_CONTENT:
    'keep it in Secrets Manager (KUBECONFIG_SECRET_ID) or in Parameter Store (KUBECONFIG_PARAMETER) instead',
  SANDBOX_URL_KEY:
    'keep it in Secrets Manager (SANDBOX_URL_KEY_SECRET_ID) or in Parameter Store (SANDBOX_URL_KEY_PARAMETER) instead',
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
    ...(!isSet('SANDBOX_URL_TEMPLATE') && isNowhere(environment.NODE_HOST)
      ? [
          "NODE_HOST is 'host.docker.internal', which only a container on the same machine knows: set the address where your backend reaches the cluster's NodePorts",
        ]
      : []),
    ...(isSet('SANDBOX_NETWORK_POLICY')
      ? []
      : [
          "SANDBOX_NETWORK_POLICY is not set: without a policy any sandbox can run commands in any other (port 8080 asks for no key), and reach its node's cloud credentials. Choose isolated, offline, or none if that is meant",
        ]),
  ];
  const doubtful = [
    ...(isOpen ? ['AUTH=off: anybody who knows the address of the API can use it'] : []),
    ...(!isOpen && parseApiKeys(environment.PROVISIONER_API_KEY ?? '')?.some(isShortKey)
      ? [
          'PROVISIONER_API_KEY has a key of fewer than 16 characters, which could be guessed: take one of openssl rand -hex 32',
        ]
      : []),
    ...(clusterSources.some(isSet) || (environment.KUBECONFIG_PATH ?? defaultPath) !== defaultPath
      ? []
      : [
          `nothing says where the cluster is: set one of ${clusterSources.join(', ')}, or KUBECONFIG_PATH for a file in a layer`,
        ]),
  ];
  return { wrong, missing, doubtful };
}

const defaultPath = clusterSettings.KUBECONFIG_PATH.default;

/** What works under `npm start`, but not on AWS. */
const findUnfit = ({ JWT_ISSUER, METRICS, WEBHOOK_URL }: Environment): string[] => [
  ...(JWT_ISSUER === undefined || /^https:/i.test(JWT_ISSUER)
    ? []
    : ['JWT_ISSUER must be an https:// URL, as API Gateway asks']),
  ...(METRICS === 'prometheus' ? ['METRICS=prometheus is for the server: on AWS, set METRICS=emf'] : []),
  ...(WEBHOOK_URL !== undefined && thisMachine.test(new URL(WEBHOOK_URL).hostname)
    ? ['WEBHOOK_URL is an address of this machine: on AWS, that is the function itself']
    : []),
];

const thisMachine = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|host\.docker\.internal)$/;

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

/** What the functions themselves would say of it at their first call; and their logger, which would not. */
function findMisconfigurations(environment: Environment): string[] {
  const { problems } = readSettings({ ...logSettings, ...descriptionSettings }, environment);
  try {
    loadConfig({ ...environment, AWS_LAMBDA_FUNCTION_NAME: 'deployment' });
    return problems;
  } catch (error) {
    if (!(error instanceof ProvisionerError)) throw error;
    return [error.message.replace(/^Misconfigured: /, ''), ...problems];
  }
}

const isNowhere = (nodeHost: string = sandboxSettings.NODE_HOST.default) =>
  /^host\.docker\.internal\.?$/i.test(nodeHost);
