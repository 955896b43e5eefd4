import { afterEach, describe, expect, it, vi } from 'vitest';
import BuildPlugin from '../../lib/deploy/serverless-plugin.ts';
import { settings } from '../support/settings.ts';

type Values = Record<string, string>;

afterEach(() => {
  vi.unstubAllEnvs();
});

/**
 * What the plug-in does at a command of Serverless, of which it gets as much as it asks for; how Serverless itself calls it is
 * seen in test/bundle. `environment` is what it gives the function of callers.
 */
async function runCommand(command: string, given: Values, onlyFunction = 'health') {
  for (const name of settings) vi.stubEnv(name, given[name]);
  for (const [name, value] of Object.entries(given)) vi.stubEnv(name, value);
  const warnings: string[] = [];
  type Defined = { handler: string; name: string; needs: 'callers'[]; events: object[]; environment?: Values };
  const define = (name: string, httpApi: string, needs: 'callers'[] = []): Defined => ({
    ...{ handler: `functions/${name}.handler`, name, needs, events: [{ httpApi }] },
  });
  const service = {
    service: 'sandbox-provisioner',
    provider: { httpApi: {} },
    functions: { health: define('health', 'GET /health'), fallback: define('fallback', '*', ['callers']) },
  };
  const serverless = {
    serviceDir: '/nowhere',
    processedInput: { commands: command.split(' ') },
    classes: { Error },
    configSchemaHandler: { defineFunctionProperties: () => {} },
    getProvider: () => ({
      getStage: () => 'test',
      getRegion: () => 'eu-west-1',
      getAwsSdkV3Config: async () => ({}),
      naming: { getNormalizedFunctionName: (name: string) => name },
    }),
    service,
  };
  const log = { notice: () => {}, warning: (message: string) => void warnings.push(message) };
  const { hooks } = new BuildPlugin(serverless, { function: onlyFunction }, { log });
  const problems = await hooks.initialize?.().then(
    () => undefined,
    ({ message }: Error) => message,
  );
  return { problems, warnings, environment: service.functions.fallback.environment };
}

const key = { PROVISIONER_API_KEY_SECRET_ID: 'key' };
const place = { NODE_HOST: '192.0.2.7', KUBECONFIG_PATH: '/opt/kubeconfig' };
const policy = { SANDBOX_NETWORK_POLICY: 'none' };
const complete = { ...key, ...place, ...policy };
const [noKey, noPlace, noPolicy] = [
  /there is no key to know callers by/,
  /NODE_HOST is 'host/,
  /SANDBOX_NETWORK_POLICY is not/,
];

describe('what Serverless is to do', () => {
  it.each<[string, Values, RegExp[]]>([
    ['deploy', { ...place, ...policy }, [noKey]],
    ['deploy', { ...key, ...policy }, [noPlace]],
    ['deploy', { ...key, ...place }, [noPolicy]],
    ['deploy', {}, [noKey, noPlace, noPolicy]],
    ['deploy function', {}, [noKey, noPlace, noPolicy]],
  ])('is refused, if it is to %s %o', async (command, given, problems) => {
    const run = await runCommand(command, given);
    const lines = problems.map(({ source }) => `\n- ${source}.*`);
    expect(run.problems).toMatch(new RegExp(`^This cannot be deployed:${lines.join('')}$`));
    expect(run.environment).toBeUndefined();
  });

  it('is done where only a deployment would be refused, and it says so; and of what is no setting', async () => {
    const run = await runCommand('package', { SECRETS_MANAGER_TTL: '0', SANDBOX_NETWROK_POLICY: 'isolated' });
    expect(run).toMatchObject({ problems: undefined, environment: {} });
    for (const problem of [noKey, noPlace, noPolicy]) {
      expect(run.warnings).toContainEqual(expect.stringMatching(`^A deployment will be refused: .*${problem.source}`));
    }
    expect(run.warnings).toContainEqual(expect.stringMatching(/^SECRETS_MANAGER_TTL is no setting any more/));
    expect(run.warnings).toContainEqual(expect.stringMatching(/^SANDBOX_NETWROK_POLICY is no setting/));
  });

  it.each<[string, Values, RegExp]>([
    ['a wrong setting', { CLEANUP_DRY_RUN: 'no' }, /\n- CLEANUP_DRY_RUN must be/],
    ['a wrong setting of the deployment', { VPC_SUBNET_IDS: 'subnet-0a' }, /\n- VPC_SUBNET_IDS needs VPC_SECURITY/],
    [
      'too large an environment',
      { CORS_ALLOWED_ORIGINS: `https://${'x'.repeat(4090)}` },
      /\n- CORS_ALLOWED_ORIGINS is/,
    ],
  ])('is not even to package %s', async (_what, given, problem) => {
    for (const command of ['package', 'deploy', 'deploy function']) {
      expect((await runCommand(command, { ...complete, ...given })).problems).toMatch(problem);
    }
  });

  it('is not to deploy one function with a layer that only CloudFormation can find', async () => {
    const refused = await runCommand('deploy function', complete, 'fallback');
    expect(refused.problems).toMatch(/\n- SECRETS_EXTENSION_LAYER_ARN must be set to deploy one function alone/);
    const pinned = { ...complete, SECRETS_EXTENSION_LAYER_ARN: 'arn:aws:lambda:eu-west-1:015030872274:layer:x:11' };
    const done = { problems: undefined, environment: key };
    expect(await runCommand('deploy function', pinned, 'fallback')).toMatchObject(done);
    expect(await runCommand('deploy function', complete)).toMatchObject(done);
    expect(await runCommand('deploy', complete)).toMatchObject(done);
  });

  it.each(['offline start', 'offline', 'print', 'remove', 'deploy list'])(
    'is none of its business: %s',
    async (command) => {
      const untouched = { problems: undefined, warnings: [], environment: undefined };
      expect(await runCommand(command, { AUTH: 'nonsense' })).toEqual(untouched);
    },
  );
});
