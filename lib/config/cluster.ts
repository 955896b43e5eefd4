import { anyText, flag, httpUrl, matching, meaning, parameterName, secretId } from './rules.ts';
import type { Settings, Values } from './setting.ts';

/** An EKS cluster that needs no kubeconfig. */
export type EksClusterConfig = Readonly<{
  name: string;
  endpoint: string;
  /** The certificate of its authority, PEM in base64, as EKS gives it. */
  certificateAuthority: string;
}>;

/** The settings that name a cluster and go before the kubeconfig's file, in the order in which they count. */
export const clusterSources = [
  'KUBECONFIG_CONTENT',
  'KUBECONFIG_SECRET_ID',
  'KUBECONFIG_PARAMETER',
  'EKS_CLUSTER_NAME',
] as const;

/** Where Kubernetes is, and how it is talked to. */
export const clusterSettings = {
  KUBECONFIG_CONTENT: {
    field: 'kubeconfigContent',
    rule: anyText,
    neededBy: 'kubernetes',
    doc: 'a kubeconfig itself, plain or in base64. Lambda takes 4 KB of environment in all, so one with certificates belongs into a secret',
  },
  KUBECONFIG_SECRET_ID: {
    field: 'kubeconfigSecretId',
    rule: secretId,
    neededBy: 'kubernetes',
    keptIn: 'secretsmanager',
    doc: 'on Lambda: the secret in Secrets Manager (its name or ARN) that is the kubeconfig',
  },
  KUBECONFIG_PARAMETER: {
    field: 'kubeconfigParameter',
    rule: parameterName,
    neededBy: 'kubernetes',
    keptIn: 'ssm',
    doc: "on Lambda: the parameter in SSM's Parameter Store that is the kubeconfig",
  },
  EKS_CLUSTER_NAME: {
    // EKS' own rule for names; it goes into a signed header.
    rule: () => matching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/, 'must be the name of an EKS cluster'),
    neededBy: 'kubernetes',
    doc: 'an EKS cluster that needs no kubeconfig, together with the next two. A deployment asks EKS for those that are not set',
  },
  EKS_CLUSTER_ENDPOINT: { rule: httpUrl, neededBy: 'kubernetes', doc: 'the address of its API server' },
  EKS_CLUSTER_CA: {
    rule: () =>
      matching(/^LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t[A-Za-z0-9+/]+={0,2}$/, 'must be a PEM certificate in base64'),
    neededBy: 'kubernetes',
    doc: 'the certificate of its authority: PEM in base64, as EKS gives it',
  },
  KUBECONFIG_PATH: {
    field: 'kubeconfigPath',
    rule: anyText,
    default: '/root/.kube/config',
    neededBy: 'kubernetes',
    doc: 'the file of the kubeconfig: one, no list. If it is not there, the in-cluster configuration is taken',
  },
  KUBECONFIG_WAIT_SECONDS: {
    rule: () => meaning(matching(/^\d{1,4}$/, 'must be a whole number of seconds from 0 to 9999'), Number),
    neededBy: 'kubernetes',
    unset: '30; 0 on Lambda',
    doc: "how long to wait for that file, within the operation's time",
  },
  KUBECONFIG_CONTEXT: {
    field: 'kubeconfigContext',
    rule: anyText,
    neededBy: 'kubernetes',
    unset: "the kubeconfig's current one",
    doc: 'the context of the kubeconfig to take',
  },
  K8S_API_SERVER: {
    field: 'apiServer',
    rule: () => meaning(httpUrl(), (url) => url.replace(/\/+$/, '')),
    neededBy: 'kubernetes',
    doc: "another address for the API server of the kubeconfig. Its certificate is still checked, against the kubeconfig's CA and the host name there",
  },
  K8S_TLS_SKIP_VERIFY: {
    field: 'skipTlsVerify',
    rule: flag,
    default: false,
    neededBy: 'kubernetes',
    doc: "`true` turns the check of the API server's certificate off, and logs a warning at each cold start, as `insecure-skip-tls-verify` of a kubeconfig does",
  },
} as const satisfies Settings;

/** What several settings of the cluster mean together; `onLambda`, where it is Lambda itself that runs us. */
export function readCluster(values: Values<typeof clusterSettings>, onLambda: boolean) {
  const { EKS_CLUSTER_NAME: name, EKS_CLUSTER_ENDPOINT: endpoint, EKS_CLUSTER_CA: certificateAuthority } = values;
  const eksCluster: EksClusterConfig | undefined =
    name && endpoint && certificateAuthority ? { name, endpoint, certificateAuthority } : undefined;
  // On Lambda nothing can bring the file later; elsewhere another container may still be writing it.
  return { eksCluster, kubeconfigWaitSeconds: values.KUBECONFIG_WAIT_SECONDS ?? (onLambda ? 0 : 30) };
}

const eksSettings = ['EKS_CLUSTER_NAME', 'EKS_CLUSTER_ENDPOINT', 'EKS_CLUSTER_CA'] as const;

/** What is wrong with the settings of the cluster together, where each for itself is right. */
export function findClusterProblems(values: Values<typeof clusterSettings>): string[] {
  const missing = eksSettings.filter((name) => values[name] === undefined);
  if (missing.length === 0 || missing.length === eksSettings.length) return [];
  return [
    `${eksSettings.join(', ')} belong together: not set ${missing.length === 1 ? 'is' : 'are'} ${missing.join(', ')}`,
  ];
}
