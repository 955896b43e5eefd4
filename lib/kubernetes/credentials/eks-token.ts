import { AwsV4Signer } from 'aws4fetch';
import { hostOf } from '../../aws-regions.ts';

/** An EKS cluster, by its name, and the region of the STS endpoint that is to say who we are. */
export type EksCluster = Readonly<{ name: string; region: string }>;

/** Who we are for AWS. */
export type AwsCredentials = Readonly<{
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string | undefined;
}>;

/** EKS takes a token for 15 minutes after it was signed; this leaves room for clocks that differ. In milliseconds. */
export const eksTokenLifetimeMs = 10 * 60_000;

/**
 * The token by which EKS knows us (aws-iam-authenticator's `k8s-aws-v1`): a GetCallerIdentity request to STS that we have
 * signed and EKS sends. It is made without a call to anybody, and is the same for the same second.
 */
export async function makeEksToken(
  { name, region }: EksCluster,
  credentials: AwsCredentials,
  now: Date,
): Promise<string> {
  const signer = new AwsV4Signer({
    url: `https://${hostOf('sts', region)}/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60`,
    headers: { 'x-k8s-aws-id': name },
    accessKeyId: credentials.accessKeyId,
    secretAccessKey: credentials.secretAccessKey,
    ...(credentials.sessionToken !== undefined && { sessionToken: credentials.sessionToken }),
    service: 'sts',
    region,
    datetime: now.toISOString().replace(/[:-]|\.\d{3}/g, ''),
    signQuery: true,
  });
  const { url } = await signer.sign();
  // The order in which AWS' own programs have them.
  url.searchParams.sort();
  return `k8s-aws-v1.${Buffer.from(url.href).toString('base64url')}`;
}
