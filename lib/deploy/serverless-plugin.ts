import { join } from 'node:path';
import type { EKSClientConfig } from '@aws-sdk/client-eks';
import { newestSecretsExtension } from '../config/deployment.ts';
import { currentEnvironment } from '../config/index.ts';
import type { Need } from '../config/setting.ts';
import { findStrays, isForFunctions, readTexts, readValue } from '../config/themes.ts';
import { buildArtifact } from './bundle.ts';
import { checkEnvironment, findOverLimits } from './checks.ts';
import { fillInEksCluster } from './eks-cluster.ts';
import { type Definition, type Deployment, type Event, planDeployment } from './plan.ts';
import { readDeploymentSettings } from './settings.ts';

type FunctionDefinition = Partial<Definition> & {
  handler: string;
  name: string;
  needs?: Need[];
  events: Event[];
  package?: { artifact?: string };
};
type Serverless = {
  serviceDir: string;
  processedInput: { commands: string[] };
  classes: { Error: new (message: string, code: string) => Error };
  configSchemaHandler: { defineFunctionProperties(provider: string, schema: object): void };
  getProvider(name: 'aws'): {
    getStage(): string;
    getRegion(): string;
    getAwsSdkV3Config(): Promise<EKSClientConfig>;
    naming: { getNormalizedFunctionName(name: string): string };
  };
  service: {
    service: string;
    provider: {
      httpApi: { authorizers?: Deployment['authorizers'] };
    };
    functions: Record<string, FunctionDefinition>;
    resources?: Deployment['resources'];
  };
};
type Options = { function?: string };
type Utils = { log: { notice(message: string): void; warning(message: string): void } };

/**
 * The plug-in of Serverless that makes a deployment out of serverless.yml: it refuses an environment that could not work or
 * would leave the API open, gives each function what it needs and nothing else, and bundles the functions before they are
 * packaged, so that no stale bundle is deployed. Under serverless-offline too, but nothing else there, it gives serverless.yml the
 * settings that it asks for.
 */
export default class BuildPlugin {
  readonly hooks: Record<string, () => Promise<void>>;
  /** `${setting:NAME}` in serverless.yml. */
  readonly configurationVariablesSources: { setting: { resolve(of: { address: string }): { value: unknown } } };

  constructor(serverless: Serverless, options: Options, { log }: Utils) {
    serverless.configSchemaHandler.defineFunctionProperties('aws', {
      properties: {
        needs: {
          type: 'array',
          items: { enum: ['callers', 'kubernetes', 'cleanup', 'description', 'console', 'events'] },
          uniqueItems: true,
        },
      },
    });
    const resolve = ({ address }: { address: string }) => {
      try {
        return { value: readValue(currentEnvironment(), address) ?? null };
      } catch (error) {
        // Of any other error Serverless shows the stack.
        throw new serverless.classes.Error((error as Error).message, 'WRONG_SETTING');
      }
    };
    this.configurationVariablesSources = { setting: { resolve } };
    const bundle = async () => {
      const { serviceDir, service } = serverless;
      for (const [name, definition] of Object.entries(service.functions)) {
        const module = definition.handler.replace(/\.handler$/, '');
        const { zip } = await buildArtifact(serviceDir, module, join(serviceDir, '.build', name));
        definition.package = { ...definition.package, artifact: zip };
        log.notice(`Bundled ${name}`);
      }
    };
    this.hooks = {
      initialize: async () => {
        const command = serverless.processedInput.commands.join(' ');
        if (command === 'package') await prepare(serverless, { isDeploying: false }, log);
        if (command === 'deploy') await prepare(serverless, { isDeploying: true }, log);
        if (command === 'deploy function') {
          await prepare(serverless, { isDeploying: true, onlyFunction: options.function }, log);
        }
      },
      'before:package:createDeploymentArtifacts': bundle,
      'before:deploy:function:packageFunction': bundle,
    };
  }
}

/** Checks what is to be deployed, and writes into the service's definition what follows from it. */
async function prepare(
  serverless: Serverless,
  { isDeploying, onlyFunction }: { isDeploying: boolean; onlyFunction?: string | undefined },
  log: Utils['log'],
): Promise<void> {
  const { service } = serverless;
  const provider = serverless.getProvider('aws');
  const refuse = (problems: readonly string[]): never => {
    const text = problems.map((problem) => `\n- ${problem}`).join('');
    throw new serverless.classes.Error(`This cannot be deployed:${text}`, 'DEPLOYMENT_REFUSED');
  };

  const all = currentEnvironment();
  const given = readTexts(all, isForFunctions);
  const { settings, problems } = readDeploymentSettings(readTexts(all, () => true));
  const cluster = await fillInEksCluster(given, settings?.eksAccessEntries ?? false, () =>
    provider.getAwsSdkV3Config(),
  );
  const { environment } = cluster;
  const { wrong, missing, doubtful } = checkEnvironment(environment);
  const refused = [...problems, ...cluster.problems, ...wrong, ...(isDeploying ? missing : [])];
  if (settings === undefined || refused.length > 0) return refuse(refused);

  const functions = Object.entries(service.functions).map(([name, { name: lambdaName, needs = [], events }]) => {
    const id = provider.naming.getNormalizedFunctionName(name);
    // Roles are the whole account's, so other regions' too.
    const roleName = `${service.service}-${provider.getStage()}-${name}-${provider.getRegion()}`;
    return [name, { id, lambdaName, roleName, needs, events }] as const;
  });
  const deployment = planDeployment(Object.fromEntries(functions), environment, settings);
  const overLimits = findOverLimits(deployment);
  if (overLimits.length > 0) return refuse(overLimits);
  if (onlyFunction !== undefined && deployment.functions[onlyFunction]?.layers?.includes(newestSecretsExtension)) {
    // Lambda would refuse it, with the function's code changed already.
    return refuse([
      'SECRETS_EXTENSION_LAYER_ARN must be set to deploy one function alone: only CloudFormation finds the newest',
    ]);
  }
  for (const problem of missing) log.warning(`A deployment will be refused: ${problem}`);
  for (const doubt of [...doubtful, ...findStrays(all)]) log.warning(doubt);

  for (const [name, definition] of Object.entries(service.functions)) {
    Object.assign(definition, deployment.functions[name]);
  }
  const { httpApi } = service.provider;
  httpApi.authorizers = { ...httpApi.authorizers, ...deployment.authorizers };
  const { Resources, extensions } = deployment.resources;
  service.resources = {
    ...service.resources,
    Resources: { ...service.resources?.Resources, ...Resources },
    extensions: { ...service.resources?.extensions, ...extensions },
  };
}
