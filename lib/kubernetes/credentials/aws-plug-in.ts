import { basename } from 'node:path';
import { isRegion } from '../../aws-regions.ts';
import type { AwsConfig } from '../../config/aws.ts';
import type { AwsCredentials, EksCluster } from './eks-token.ts';
import type { ExecPlugIn } from './exec-plug-in.ts';

/** What an AWS program is asked for, if we can do that ourselves; or why not. */
export type AwsRequest = { cluster: EksCluster; credentials: AwsCredentials } | { reason: string };

/** The options that say nothing which would change the token, by whether a value follows. */
const harmless: Record<string, boolean> = { '--output': true, '--no-cli-pager': false, '--cache': false };

const clusterOptions = ['--cluster-name', '--cluster-id', '-i'];

/**
 * Reads the call of `aws eks get-token` or `aws-iam-authenticator token`, as `aws eks update-kubeconfig` and its like write it
 * into a kubeconfig. Undefined for any other program. There is a reason instead where the token would be another one than ours: a
 * role to assume, a profile, no credentials in the environment, anything that we do not know.
 */
export function readAwsPlugIn({ command, args, env }: ExecPlugIn, aws: AwsConfig): AwsRequest | undefined {
  const found = readArguments(basename(command).replace(/\.exe$/, ''), args);
  if (found === undefined) return undefined;
  const { accessKeyId, secretAccessKey, sessionToken } = aws;
  const unknown =
    found.unknown ?? Object.keys(env).find((name) => name.startsWith('AWS_') && !knownVariables.has(name));
  if (unknown !== undefined) return { reason: `we know nothing of ${unknown}` };
  if (env.AWS_PROFILE) return { reason: 'the kubeconfig asks for a profile' };
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    return { reason: 'there are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)' };
  }
  const region = found.region ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION || aws.region);
  if (region === undefined || !isRegion(region)) return { reason: 'neither it nor AWS_REGION names a region' };
  if (found.name === undefined) return { reason: 'the kubeconfig names no cluster' };
  return { cluster: { name: found.name, region }, credentials: { accessKeyId, secretAccessKey, sessionToken } };
}

const knownVariables = new Set(['AWS_PROFILE', 'AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_STS_REGIONAL_ENDPOINTS']);

type Arguments = { name?: string; region?: string; unknown?: string };

function readArguments(program: string, args: string[]): Arguments | undefined {
  const words: string[] = [];
  const found: Arguments = {};
  for (let index = 0; index < args.length; index += 1) {
    const argument = args[index] ?? '';
    if (!argument.startsWith('-')) {
      words.push(argument);
      continue;
    }
    const [option = '', inline] = argument.split(/=(.*)/s);
    const takeValue = () => {
      if (inline !== undefined) return inline;
      index += 1;
      return args[index];
    };
    const value = harmless[option] === false ? undefined : takeValue();
    if (value !== undefined && clusterOptions.includes(option)) found.name = value;
    else if (value !== undefined && option === '--region') found.region = value;
    else if (harmless[option] === undefined) found.unknown ??= `its argument ${option}`;
  }
  const call = [program, ...words].join(' ');
  return call === 'aws eks get-token' || call === 'aws-iam-authenticator token' ? found : undefined;
}
