import * as z from 'zod/mini';
import { filled, flag, httpUrl, matching, withDefault } from './fields.ts';

/** Where Kubernetes is, and how it is talked to. */
export type ClusterConfig = Readonly<{
  kubeconfigPath: string;
  kubeconfigWaitSeconds: number;
  apiServer: string | undefined;
  skipTlsVerify: boolean;
}>;

/** The settings of the cluster. */
export const clusterSettings = {
  KUBECONFIG_PATH: withDefault(filled, '/root/.kube/config'),
  KUBECONFIG_WAIT_SECONDS: z.optional(matching(/^\d{1,4}$/, 'must be a whole number of seconds from 0 to 9999')),
  K8S_API_SERVER: z.optional(httpUrl),
  K8S_TLS_SKIP_VERIFY: withDefault(flag, 'false'),
};

type Values = z.infer<z.ZodMiniObject<typeof clusterSettings>>;

/** What the settings of the cluster mean; `onLambda`, where it is Lambda itself that runs us. */
export const readClusterConfig = (values: Values, onLambda: boolean): ClusterConfig => ({
  kubeconfigPath: values.KUBECONFIG_PATH,
  // On Lambda nothing can bring the file later; elsewhere another container may still be writing it.
  kubeconfigWaitSeconds: Number(values.KUBECONFIG_WAIT_SECONDS ?? (onLambda ? 0 : 30)),
  apiServer: values.K8S_API_SERVER?.replace(/\/+$/, ''),
  skipTlsVerify: values.K8S_TLS_SKIP_VERIFY === 'true',
});
