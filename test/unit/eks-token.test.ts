import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRegion } from '../../lib/aws-regions.ts';
import { type AwsCredentials, type EksCluster, makeEksToken } from '../../lib/kubernetes/credentials/eks-token.ts';

const cluster: EksCluster = { name: 'agents', region: 'eu-central-1' };
const role: AwsCredentials = {
  accessKeyId: 'ASIAEXAMPLEEXAMPLE00',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  sessionToken: 'IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUC+IQ==',
};
const at = new Date('2026-11-22T22:02:09.926Z');

const urlOf = (token: string): URL => {
  expect(token).toMatch(/^k8s-aws-v1\.[A-Za-z0-9_-]+$/);
  return new URL(Buffer.from(token.slice('k8s-aws-v1.'.length), 'base64url').toString('utf8'));
};

/** The same token, made by the signer of the AWS SDK. */
async function signWithSdk(
  { name, region }: EksCluster,
  { sessionToken, ...keys }: AwsCredentials,
  signingDate: Date,
  hostname = `sts.${region}.amazonaws.com`,
): Promise<string> {
  const credentials = { ...keys, ...(sessionToken !== undefined && { sessionToken }) };
  const signer = new SignatureV4({ credentials, region, service: 'sts', sha256: Sha256 });
  const query = { Action: 'GetCallerIdentity', Version: '2011-06-15' };
  const headers = { host: hostname, 'x-k8s-aws-id': name };
  const presigned = await signer.presign(
    { method: 'GET', protocol: 'https:', hostname, path: '/', query, headers },
    { expiresIn: 60, signingDate, unhoistableHeaders: new Set(['x-k8s-aws-id']) },
  );
  const signed = Object.entries(presigned.query ?? {})
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`)
    .join('&');
  return `k8s-aws-v1.${Buffer.from(`https://${hostname}/?${signed}`).toString('base64url')}`;
}

describe('the token for EKS', () => {
  it("is, byte for byte, what the AWS SDK's signer makes for any credentials, of a role or a user, region, name and time", async () => {
    const base64 = fc.stringMatching(/^[A-Za-z0-9+/]{1,120}={0,2}$/);
    const credentials = fc.record({
      accessKeyId: fc.stringMatching(/^[A-Z0-9]{16,32}$/),
      secretAccessKey: fc.oneof(base64, fc.string({ minLength: 1 })),
      sessionToken: fc.option(base64, { nil: undefined }),
    });
    const clusters = fc.record({
      name: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/),
      region: fc.constantFrom('us-east-1', 'eu-central-1', 'ap-southeast-4', 'us-gov-west-1', 'me-central-1'),
    });
    const times = fc.date({ min: new Date('2020-01-01'), max: new Date('2099-12-31'), noInvalidDate: true });
    await fc.assert(
      fc.asyncProperty(clusters, credentials, times, async (anyCluster, anyone, time) => {
        expect(await makeEksToken(anyCluster, anyone, time)).toBe(await signWithSdk(anyCluster, anyone, time));
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['us-east-1', 'sts.us-east-1.amazonaws.com'],
    ['us-gov-west-1', 'sts.us-gov-west-1.amazonaws.com'],
    ['cn-northwest-1', 'sts.cn-northwest-1.amazonaws.com.cn'],
    ['us-iso-east-1', 'sts.us-iso-east-1.c2s.ic.gov'],
    ['us-isob-east-1', 'sts.us-isob-east-1.sc2s.sgov.gov'],
    ['us-isof-south-1', 'sts.us-isof-south-1.csp.hci.ic.gov'],
    ['eu-isoe-west-1', 'sts.eu-isoe-west-1.cloud.adc-e.uk'],
    ['eusc-de-east-1', 'sts.eusc-de-east-1.amazonaws.eu'],
  ])('asks the STS of its region, in its partition, and says nothing that is secret: %s', async (region, host) => {
    expect(isRegion(region)).toBe(true);
    const token = await makeEksToken({ ...cluster, region }, role, at);
    const url = urlOf(token);
    expect(url.host).toBe(host);
    expect(url.href).not.toContain(role.secretAccessKey);
    expect(token).toBe(await signWithSdk({ ...cluster, region }, role, at, host));
  });

  it.each([
    ...['', 'eu', 'eu-central', 'EU-CENTRAL-1', 'eu-central-1\n'],
    ...['eu-central-1.evil.example/', 'a@b-c-1', '../x-y-1'],
  ])('is not asked for in what is no region: %j', (text) => {
    expect(isRegion(text)).toBe(false);
  });
});
