import * as z from 'zod/mini';
import { filled, flag, httpUrl, matching, withDefault } from './fields.ts';

/** An EKS cluster that needs no kubeconfig. */
export type EksClusterConfig = Readonly<{
  name: string;
  endpoint: string;
  /** The certificate of its authority, PEM in base64, as EKS gives it. */
  certificateAuthority: string;
}>;

/** Where Kubernetes is, and how it is talked to. */
export type ClusterConfig = Readonly<{
  /** A kubeconfig, plain or in base64. */
  kubeconfigContent: string | undefined;
  /** The id or ARN of the secret, in Secrets Manager, that is the kubeconfig. */
  kubeconfigSecretId: string | undefined;
  /** The name of the parameter, in SSM's Parameter Store, that is the kubeconfig. */
  kubeconfigParameter: string | undefined;
  eksCluster: EksClusterConfig | undefined;
  kubeconfigPath: string;
  kubeconfigWaitSeconds: number;
  /** The context to take instead of the kubeconfig's current one. */
  kubeconfigContext: string | undefined;
  apiServer: string | undefined;
  skipTlsVerify: boolean;
}>;

/** The settings that name a cluster and go before the kubeconfig's file, in the order in which they count. */
export const clusterSources = [
  'KUBECONFIG_CONTENT',
  'KUBECONFIG_SECRET_ID',
  'KUBECONFIG_PARAMETER',
  'EKS_CLUSTER_NAME',
] as const;

/** The settings of the cluster. */
export const clusterSettings = {
  KUBECONFIG_CONTENT: z.optional(filled),
  KUBECONFIG_SECRET_ID: z.optional(filled),
  KUBECONFIG_PARAMETER: z.optional(filled),
  EKS_CLUSTER_NAME: z.optional(
    // EKS' own rule for names; it goes into a signed header.
    matching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/, 'must be the name of an EKS cluster'),
  ),
  EKS_CLUSTER_ENDPOINT: z.optional(httpUrl),
  EKS_CLUSTER_CA: z.optional(
    matching(/^LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t[A-Za-z0-9+/]+={0,2}$/, 'must be a PEM certificate in base64'),
  ),
  KUBECONFIG_PATH: withDefault(filled, '/root/.kube/config'),
  KUBECONFIG_WAIT_SECONDS: z.optional(matching(/^\d{1,4}$/, 'must be a whole number of seconds from 0 to 9999')),
  KUBECONFIG_CONTEXT: z.optional(filled),
  K8S_API_SERVER: z.optional(httpUrl),
  K8S_TLS_SKIP_VERIFY: withDefault(flag, 'false'),
};

type Values = z.infer<z.ZodMiniObject<typeof clusterSettings>>;

/** What the settings of the cluster mean; `onLambda`, where it is Lambda itself that runs us. */
export const readClusterConfig = (values: Values, onLambda: boolean): ClusterConfig => ({
  kubeconfigContent: values.KUBECONFIG_CONTENT,
  kubeconfigSecretId: values.KUBECONFIG_SECRET_ID,
  kubeconfigParameter: values.KUBECONFIG_PARAMETER,
  eksCluster: readEksCluster(values),
  kubeconfigPath: values.KUBECONFIG_PATH,
  // On Lambda nothing can bring the file later; elsewhere another container may still be writing it.
  kubeconfigWaitSeconds: Number(values.KUBECONFIG_WAIT_SECONDS ?? (onLambda ? 0 : 30)),
  kubeconfigContext: values.KUBECONFIG_CONTEXT,
  apiServer: values.K8S_API_SERVER?.replace(/\/+$/, ''),
  skipTlsVerify: values.K8S_TLS_SKIP_VERIFY === 'true',
});

function readEksCluster(values: Values): EksClusterConfig | undefined {
  const { EKS_CLUSTER_NAME: name, EKS_CLUSTER_ENDPOINT: endpoint, EKS_CLUSTER_CA: certificateAuthority } = values;
  return name && endpoint && certificateAuthority ? { name, endpoint, certificateAuthority } : undefined;
}

const eksSettings = ['EKS_CLUSTER_NAME', 'EKS_CLUSTER_ENDPOINT', 'EKS_CLUSTER_CA'] as const;

/** What is wrong with the settings of the cluster together, where each for itself is right. */
export function findClusterProblems(values: Values): string[] {
  const missing = eksSettings.filter((name) => values[name] === undefined);
  if (missing.length === 0 || missing.length === eksSettings.length) return [];
  return [
    `${eksSettings.join(', ')} belong together: not set ${missing.length === 1 ? 'is' : 'are'} ${missing.join(', ')}`,
  ];
}
