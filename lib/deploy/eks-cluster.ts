import type { EKSClientConfig } from '@aws-sdk/client-eks';

type Environment = Readonly<Record<string, string>>;

/**
 * An environment with EKS_CLUSTER_ENDPOINT and EKS_CLUSTER_CA (PEM in base64) beside EKS_CLUSTER_NAME: where one of them is not
 * set, EKS is asked for it, with the credentials of whoever deploys. If it is of no help, because the cluster is not there, may not
 * be looked up, is not ready, or takes no access entries though they are wanted, that is a problem, and the environment has no cluster.
 */
export async function fillInEksCluster(
  environment: Environment,
  accessEntriesWanted: boolean,
  clientSettings: () => Promise<EKSClientConfig>,
): Promise<{ environment: Environment; problems: string[] }> {
  const { EKS_CLUSTER_NAME: name, EKS_CLUSTER_ENDPOINT, EKS_CLUSTER_CA, ...rest } = environment;
  if (name === undefined || (EKS_CLUSTER_ENDPOINT !== undefined && EKS_CLUSTER_CA !== undefined)) {
    return { environment, problems: [] };
  }
  try {
    const { endpoint, certificateAuthority } = await describeEksCluster(name, accessEntriesWanted, clientSettings);
    const found = { EKS_CLUSTER_ENDPOINT: endpoint, EKS_CLUSTER_CA: certificateAuthority };
    return { environment: { ...found, ...environment }, problems: [] };
  } catch (error) {
    return { environment: rest, problems: [(error as Error).message] };
  }
}

async function describeEksCluster(
  name: string,
  accessEntriesWanted: boolean,
  clientSettings: () => Promise<EKSClientConfig>,
): Promise<{ endpoint: string; certificateAuthority: string }> {
  // Only here: whoever has no EKS need not even load it.
  const { EKSClient, DescribeClusterCommand } = await import('@aws-sdk/client-eks');
  const client = new EKSClient(await clientSettings());
  const { cluster } = await client.send(new DescribeClusterCommand({ name })).catch((error: Error) => {
    throw new Error(
      `EKS_CLUSTER_NAME: '${name}' could not be looked up (${error.name}: ${error.message}). ` +
        'Deploy with credentials that may eks:DescribeCluster, or set EKS_CLUSTER_ENDPOINT and EKS_CLUSTER_CA.',
    );
  });
  const endpoint = cluster?.endpoint;
  const certificateAuthority = cluster?.certificateAuthority?.data;
  if (endpoint === undefined || certificateAuthority === undefined) {
    throw new Error(`EKS_CLUSTER_NAME: '${name}' has no endpoint yet (${cluster?.status}).`);
  }
  if (accessEntriesWanted && cluster?.accessConfig?.authenticationMode === 'CONFIG_MAP') {
    throw new Error(
      `EKS_ACCESS_ENTRIES: '${name}' takes no access entries. Change its authentication mode to API_AND_CONFIG_MAP ` +
        '(aws eks update-cluster-config --access-config authenticationMode=API_AND_CONFIG_MAP --name …).',
    );
  }
  return { endpoint, certificateAuthority };
}
