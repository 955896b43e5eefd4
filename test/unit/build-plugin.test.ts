import { describe, expect, it } from 'vitest';
import BuildPlugin from '../../lib/deploy/serverless-plugin.ts';

type Values = Record<string, string>;

/**
 * What the plug-in does at a command of Serverless, of which it gets as much as it asks for; how Serverless itself calls it is
 * seen in test/bundle. `environment` is what the plug-in leaves in the service's definition.
 */
async function runCommand(command: string, given: Values, { deployment = {}, onlyFunction = 'health' } = {}) {
  const warnings: string[] = [];
  const service = {
    service: 'sandbox-provisioner',
    provider: { environment: { ...given }, httpApi: {} },
    custom: { deployment },
    functions: {
      health: { handler: 'functions/health.handler', name: 'health', events: [{ httpApi: 'GET /health' }] },
      fallback: {
        handler: 'functions/fallback.handler',
        name: 'fallback',
        needs: ['callers' as const],
        events: [{ httpApi: '*' }],
      },
    },
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
  return { problems, warnings, environment: service.provider.environment };
}

const key = { PROVISIONER_API_KEY_SECRET_ID: 'key' };
const place = { NODE_HOST: '192.0.2.7', KUBECONFIG_PATH: '/opt/kubeconfig' };
const noKey = /^This cannot be deployed:\n- there is no key to know callers by: set one of PROVISIONER_API_KEY,/;
const noPlace = /\n- NODE_HOST is 'host\.docker\.internal', which only/;

describe('what Serverless is to do', () => {
  it.each<[string, Values, RegExp[]]>([
    ['deploy', place, [noKey]],
    ['deploy', key, [noPlace]],
    ['deploy', {}, [noKey, noPlace]],
    ['deploy function', place, [noKey]],
    ['deploy function', key, [noPlace]],
  ])('is refused, if it is to %s %o', async (command, environment, problems) => {
    const run = await runCommand(command, environment);
    for (const problem of problems) expect(run.problems).toMatch(problem);
    expect(run.environment).toEqual(environment);
  });

  it('is done where only a deployment would be refused, and it says so', async () => {
    const { problems, warnings, environment } = await runCommand('package', {});
    expect(problems).toBeUndefined();
    expect(warnings).toContainEqual(expect.stringMatching(/^A deployment will be refused: there is no key/));
    expect(warnings).toContainEqual(expect.stringMatching(/^A deployment will be refused: NODE_HOST is/));
    expect(environment).toEqual({});
  });

  it.each<[string, Values, Values, RegExp]>([
    ['a wrong setting', { CLEANUP_CONCURRENCY: '0' }, {}, /\n- CLEANUP_CONCURRENCY must be a whole number/],
    ['a wrong setting of the deployment', {}, { VPC_SUBNET_IDS: 'subnet-0a' }, /\n- VPC_SUBNET_IDS needs VPC_SECURITY/],
    ['too large an environment', { SANDBOX_IMAGE: 'x'.repeat(4090) }, {}, /\n- SANDBOX_IMAGE is 4103 of the/],
  ])('is not even to package %s', async (_what, environment, deployment, problem) => {
    for (const command of ['package', 'deploy', 'deploy function']) {
      const { problems } = await runCommand(command, { ...key, ...place, ...environment }, { deployment });
      expect(problems).toMatch(problem);
    }
  });

  it('is not to deploy one function with a layer that only CloudFormation can find', async () => {
    const environment = { ...key, ...place };
    const refused = await runCommand('deploy function', environment, { onlyFunction: 'fallback' });
    expect(refused.problems).toMatch(/\n- SECRETS_EXTENSION_LAYER_ARN must be set to deploy one function alone/);
    expect(await runCommand('deploy function', environment)).toMatchObject({ problems: undefined });
    expect(await runCommand('deploy', environment)).toMatchObject({ problems: undefined });
    const deployment = { SECRETS_EXTENSION_LAYER_ARN: 'arn:aws:lambda:eu-west-1:015030872274:layer:x:11' };
    const pinned = await runCommand('deploy function', environment, { onlyFunction: 'fallback', deployment });
    expect(pinned).toMatchObject({ problems: undefined });
  });

  it.each(['offline start', 'offline', 'print', 'remove', 'deploy list'])(
    'is none of its business: %s',
    async (command) => {
      expect(await runCommand(command, { AUTH: 'nonsense' })).toEqual({
        problems: undefined,
        warnings: [],
        environment: { AUTH: 'nonsense' },
      });
    },
  );
});
