import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadYaml } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { secretSettings } from '../../lib/deploy/plan.ts';
import { loadTemplateCheck } from '../support/cloudformation.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const serverless = join(root, 'node_modules', '.bin', 'serverless');
const { provider, functions } = loadYaml<{
  provider: { environment: Record<string, string> };
  functions: Record<string, { needs: string[] }>;
}>(await readFile(join(root, 'serverless.yml'), 'utf8'));

type Resource = { Type: string; Properties: Record<string, unknown>; DependsOn?: string | string[] };
type Run = { code: number; output: string };
type Template = { Resources: Record<string, Resource>; Outputs: Record<string, unknown> };

let folder: string;
let findFaults: Awaited<ReturnType<typeof loadTemplateCheck>>;
beforeAll(async () => {
  findFaults = await loadTemplateCheck();
  // A copy, because packaging writes beside serverless.yml.
  folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-deployment-'));
  for (const part of ['serverless.yml', 'package.json', 'lib', 'functions']) {
    await cp(join(root, part), join(folder, part), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs Serverless on the copy with this environment and no other: nobody's settings, nobody's account. */
function run(command: string, env: Record<string, string>): Promise<Run> {
  const options = {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: folder, AWS_EC2_METADATA_DISABLED: 'true', ...env },
  };
  return new Promise((resolve) => {
    execFile(serverless, command.split(' '), options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

/** The template of the whole, or of what is made before it: the bucket that it is deployed from. */
async function readTemplate(of: 'create' | 'update' = 'update'): Promise<Template> {
  return JSON.parse(await readFile(join(folder, `.serverless/cloudformation-template-${of}-stack.json`), 'utf8'));
}

/** The resources of a type, by their logical ids; of those that hold one, its properties alone. */
const pick = ({ Resources }: Template, type: string): Record<string, Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(Resources).flatMap(([id, { Type, Properties }]) => (Type === type ? [[id, Properties]] : [])),
  );

/** A function's name as logical ids begin with it. */
const idOf = (name: string) => name.replace(/^./, (letter) => letter.toUpperCase()).replaceAll('-', 'Dash');
const names = Object.keys(functions);
const needing = (need: string) => names.filter((name) => functions[name]?.needs.includes(need));
const asking = ['create-sandbox', 'get-sandbox', 'list-sandboxes', 'renew-sandbox', 'destroy-sandbox'];

const variablesOf = (template: Template) => {
  const lambdas = pick(template, 'AWS::Lambda::Function');
  return Object.fromEntries(
    names.map((name) => {
      const { Environment } = lambdas[`${idOf(name)}LambdaFunction`] as { Environment: { Variables: object } };
      return [name, Environment.Variables as Record<string, string>];
    }),
  );
};

describe('serverless.yml', () => {
  it('says what each function has to do with', () => {
    expect(needing('callers')).toEqual([...asking, 'fallback']);
    expect(needing('kubernetes')).toEqual([...asking, 'cleanup-sandboxes']);
    expect(names).toEqual([...asking, 'health', 'fallback', 'cleanup-sandboxes']);
  });

  it('has no setting that speaks of a secret and is not kept from those who do not need it', () => {
    const kept = Object.values(secretSettings).flatMap((of) => [of.plain, ...of.kept.map(({ setting }) => setting)]);
    const speaking = Object.keys(provider.environment).filter((name) =>
      /KEY|SECRET_|TOKEN|PASSWORD|CONTENT|PARAMETER$/.test(name),
    );
    expect(speaking.toSorted()).toEqual(kept.toSorted());
  });
});

describe('a package without any settings', () => {
  let result: Run;
  let template: Template;
  beforeAll(async () => {
    result = await run('package', {});
    template = await readTemplate();
  }, 120_000);

  it('is made, and says why it would not be deployed', () => {
    expect(result.code).toBe(0);
    expect(result.output).toMatch(/A deployment will be refused: there is no key to know callers by/);
    expect(result.output).toMatch(/A deployment will be refused: NODE_HOST is 'host.docker.internal'/);
  });

  it("is nothing but what AWS' own specification knows", async () => {
    expect(findFaults(template)).toEqual([]);
    expect(findFaults(await readTemplate('create'))).toEqual([]);
  });

  it('would be told of, were a property misspelt, of another type or missing', () => {
    const wrong = structuredClone(template);
    const { Code, ...rest } = wrong.Resources.HealthLambdaFunction?.Properties ?? {};
    wrong.Resources.HealthLambdaFunction = {
      Type: 'AWS::Lambda::Function',
      Properties: { ...rest, MemorySise: 256, Timeout: '29', Layers: 'one', Environment: { Variable: {} } },
    };
    wrong.Resources.Alarm = { Type: 'AWS::CloudWatch::Alarms', Properties: {} };
    expect(findFaults(wrong).toSorted()).toEqual([
      'Alarm (AWS::CloudWatch::Alarms): there is no such type',
      'HealthLambdaFunction (AWS::Lambda::Function).Code: is missing',
      'HealthLambdaFunction (AWS::Lambda::Function).Environment.Variable: there is no such property',
      'HealthLambdaFunction (AWS::Lambda::Function).Layers: is no array: "one"',
      'HealthLambdaFunction (AWS::Lambda::Function).MemorySise: there is no such property',
      'HealthLambdaFunction (AWS::Lambda::Function).Timeout: is no integer: "29"',
    ]);
  });

  it('has a function for each of serverless.yml, in no VPC, without layers or reserved concurrency', () => {
    const lambdas = pick(template, 'AWS::Lambda::Function');
    expect(Object.keys(lambdas)).toEqual(names.map((name) => `${idOf(name)}LambdaFunction`));
    expect(pick(template, 'AWS::Lambda::Version')).toEqual({});
    for (const name of names) {
      const properties = lambdas[`${idOf(name)}LambdaFunction`];
      expect(properties).toMatchObject({ Role: { 'Fn::GetAtt': [`${idOf(name)}Role`, 'Arn'] } });
      for (const absent of ['VpcConfig', 'Layers', 'ReservedConcurrentExecutions']) {
        expect(properties).not.toHaveProperty(absent);
      }
    }
  });

  it('has a role for each function and no other, which may write its own log', () => {
    const roles = pick(template, 'AWS::IAM::Role');
    expect(Object.keys(roles).toSorted()).toEqual(names.map((name) => `${idOf(name)}Role`).toSorted());
    for (const name of names) {
      const id = idOf(name);
      expect(template.Resources).toHaveProperty(`${id}LogGroup`);
      expect(roles[`${id}Role`]).toMatchObject({
        RoleName: `sandbox-provisioner-production-${name}-us-east-1`,
        Policies: [
          {
            PolicyDocument: {
              Statement: [
                {
                  Effect: 'Allow',
                  Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
                  Resource: { 'Fn::GetAtt': [`${id}LogGroup`, 'Arn'] },
                },
              ],
            },
          },
        ],
      });
      expect(roles[`${id}Role`]).not.toHaveProperty('ManagedPolicyArns');
    }
  });

  it('hands every function the same settings, none of which is unset', () => {
    const variables = variablesOf(template);
    for (const name of names) {
      expect(variables[name]).toEqual(variables.health);
      expect(Object.values(variables[name] ?? {}).filter((value) => typeof value !== 'string')).toEqual([]);
    }
    expect(variables.health).toMatchObject({ K8S_NAMESPACE: 'deer-flow', LOG_LEVEL: 'INFO' });
    expect(Object.keys(variables.health ?? {})).not.toContain('PROVISIONER_API_KEY');
  });

  it('makes each route open, lets no page in, and does not run a failed clean-up again', () => {
    const routes = Object.values(pick(template, 'AWS::ApiGatewayV2::Route'));
    expect(routes.map(({ RouteKey }) => RouteKey)).toContain('$default');
    expect(routes.filter(({ AuthorizationType }) => AuthorizationType !== undefined)).toEqual([]);
    expect(template.Resources.HttpApi?.Properties).not.toHaveProperty('CorsConfiguration');
    expect(Object.values(pick(template, 'AWS::Lambda::EventInvokeConfig'))).toEqual([
      expect.objectContaining({
        FunctionName: { Ref: 'CleanupDashsandboxesLambdaFunction' },
        MaximumRetryAttempts: 0,
      }),
    ]);
  });
});

describe('a package with everything set', () => {
  const certificate = Buffer.from('-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n').toString('base64');
  const eks = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    const cluster = {
      endpoint: 'https://eks.example',
      certificateAuthority: { data: certificate },
      accessConfig: { authenticationMode: 'API' },
    };
    response.end(JSON.stringify({ cluster }));
  });
  const ALARM_TOPIC_ARN = 'arn:aws:sns:eu-west-1:123456789012:operators';
  let template: Template;

  beforeAll(async () => {
    await new Promise<void>((resolve) => eks.listen(0, '127.0.0.1', resolve));
    const { code, output } = await run('package --stage test', {
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_ENDPOINT_URL_EKS: `http://127.0.0.1:${(eks.address() as AddressInfo).port}`,
      NODE_HOST: '192.0.2.7',
      JWT_ISSUER: 'https://issuer.example/',
      JWT_AUDIENCE: 'one,two',
      CORS_ALLOWED_ORIGINS: 'https://app.example',
      KUBECONFIG_SECRET_ID: 'kubeconfig',
      SECRETS_MANAGER_TTL: '60',
      KUBECONFIG_CONTEXT: 'context',
      EKS_CLUSTER_NAME: 'cluster',
      EKS_ACCESS_ENTRIES: 'true',
      VPC_SUBNET_IDS: 'subnet-0a,subnet-0b',
      VPC_SECURITY_GROUP_IDS: 'sg-0c',
      API_THROTTLE_RATE: '20',
      API_THROTTLE_BURST: '40',
      CLEANUP_RESERVED_CONCURRENCY: '2',
      ALARM_TOPIC_ARN,
    });
    expect(output).not.toContain('Warning');
    expect(code).toBe(0);
    template = await readTemplate();
  }, 120_000);
  afterAll(() => {
    eks.close();
  });

  it("is nothing but what AWS' own specification knows", () => {
    expect(findFaults(template)).toEqual([]);
  });

  it('asked EKS where the cluster is, and says where the kubeconfig is to those that need it', () => {
    const variables = variablesOf(template);
    for (const name of names) {
      expect(variables[name]).toMatchObject({
        NODE_HOST: '192.0.2.7',
        JWT_ISSUER: 'https://issuer.example/',
        JWT_AUDIENCE: 'one,two',
        CORS_ALLOWED_ORIGINS: 'https://app.example',
        KUBECONFIG_CONTEXT: 'context',
        EKS_CLUSTER_NAME: 'cluster',
        EKS_CLUSTER_ENDPOINT: 'https://eks.example',
        EKS_CLUSTER_CA: certificate,
      });
    }
    for (const [setting, value] of Object.entries({ KUBECONFIG_SECRET_ID: 'kubeconfig', SECRETS_MANAGER_TTL: '60' })) {
      expect(names.filter((name) => variables[name]?.[setting] === value)).toEqual(needing('kubernetes'));
    }
  });

  it('gives layer, VPC, the right to read the secret and an access entry to those that talk to Kubernetes alone', () => {
    const lambdas = pick(template, 'AWS::Lambda::Function');
    const roles = JSON.stringify(pick(template, 'AWS::IAM::Role'));
    const withProperty = (property: string) =>
      names.filter((name) => lambdas[`${idOf(name)}LambdaFunction`]?.[property] !== undefined);
    expect(withProperty('Layers')).toEqual(needing('kubernetes'));
    expect(withProperty('VpcConfig')).toEqual(needing('kubernetes'));
    expect(lambdas.GetDashsandboxLambdaFunction).toMatchObject({
      Layers: ['{{resolve:ssm:/aws/service/aws-parameters-and-secrets-lambda-extension/arm64/latest}}'],
      VpcConfig: { SubnetIds: ['subnet-0a', 'subnet-0b'], SecurityGroupIds: ['sg-0c'] },
    });
    expect(roles.match(/secretsmanager:GetSecretValue/g)).toHaveLength(needing('kubernetes').length);
    expect(pick(template, 'AWS::EKS::AccessEntry')).toEqual(
      Object.fromEntries(
        needing('kubernetes').map((name) => [
          `${idOf(name)}EksAccessEntry`,
          {
            ClusterName: 'cluster',
            PrincipalArn: { 'Fn::GetAtt': [`${idOf(name)}Role`, 'Arn'] },
            Type: 'STANDARD',
            KubernetesGroups: ['sandbox-provisioner'],
          },
        ]),
      ),
    );
  });

  it('asks for a token on every route but that of health and that of preflights', () => {
    expect(pick(template, 'AWS::ApiGatewayV2::Authorizer')).toEqual({
      HttpApiAuthorizerCallers: {
        ApiId: { Ref: 'HttpApi' },
        Name: 'callers',
        IdentitySource: ['$request.header.Authorization'],
        AuthorizerType: 'JWT',
        JwtConfiguration: { Audience: ['one', 'two'], Issuer: 'https://issuer.example/' },
      },
    });
    const routes = Object.values(pick(template, 'AWS::ApiGatewayV2::Route'));
    const isGuarded = ({ AuthorizationType, AuthorizerId }: Record<string, unknown>) =>
      AuthorizationType === 'JWT' && JSON.stringify(AuthorizerId) === '{"Ref":"HttpApiAuthorizerCallers"}';
    const keysOf = (some: Record<string, unknown>[]) => some.map(({ RouteKey }) => RouteKey).toSorted();
    expect(keysOf(routes.filter((route) => !isGuarded(route)))).toEqual(['GET /health', 'OPTIONS /{proxy+}']);
    expect(keysOf(routes.filter(isGuarded))).toEqual([
      '$default',
      'DELETE /api/sandboxes/{sandbox_id}',
      'GET /api/sandboxes',
      'GET /api/sandboxes/{sandbox_id}',
      'POST /api/sandboxes',
      'POST /api/sandboxes/{sandbox_id}/renew',
    ]);
  });

  it('limits the callers, reserves concurrency for the clean-up alone, and has an alarm on it', () => {
    expect(template.Resources.HttpApiStage?.Properties).toMatchObject({
      DefaultRouteSettings: { ThrottlingRateLimit: 20, ThrottlingBurstLimit: 40 },
    });
    const reserved = Object.entries(pick(template, 'AWS::Lambda::Function')).filter(
      ([, properties]) => properties.ReservedConcurrentExecutions !== undefined,
    );
    expect(reserved).toEqual([
      ['CleanupDashsandboxesLambdaFunction', expect.objectContaining({ ReservedConcurrentExecutions: 2 })],
    ]);
    expect(Object.values(pick(template, 'AWS::CloudWatch::Alarm'))).toEqual([
      expect.objectContaining({
        Dimensions: [{ Name: 'FunctionName', Value: { Ref: 'CleanupDashsandboxesLambdaFunction' } }],
        AlarmActions: [ALARM_TOPIC_ARN],
      }),
    ]);
  });

  it('refers to nothing that is not in it', () => {
    const known = new Set([...Object.keys(template.Resources), 'ServerlessDeploymentBucket']);
    const referred = [...JSON.stringify(template).matchAll(/\{"(?:Ref":"|Fn::GetAtt":\[")([^":]+)"/g)].map(
      ([, id]) => id,
    );
    expect(referred.length).toBeGreaterThan(50);
    expect(referred.filter((id) => !known.has(id ?? ''))).toEqual([]);
  });
});

describe('a deployment', () => {
  it('is refused for all that is wrong with it, one of a package that is there too', async () => {
    const { code, output } = await run('deploy --package .serverless', {
      EKS_CLUSTER_NAME: 'cluster',
      EKS_ACCESS_ENTRIES: 'yes',
      SANDBOX_TTL_SECONDS: 'x',
    });
    expect(code).toBe(1);
    expect(output).toContain('This cannot be deployed:');
    for (const problem of [
      /^- EKS_ACCESS_ENTRIES must be/m,
      /^- SANDBOX_TTL_SECONDS must be/m,
      /^- there is no key to know callers by: set one of PROVISIONER_API_KEY,/m,
      /^- NODE_HOST is 'host\.docker\.internal', which only/m,
      /^- EKS_CLUSTER_NAME: 'cluster' could not be looked up \(.*set EKS_CLUSTER_ENDPOINT and EKS_CLUSTER_CA\.$/m,
    ]) {
      expect(output).toMatch(problem);
    }
  }, 60_000);

  it('of one function goes on where AUTH is off in so many words, until it needs an account', async () => {
    const { code, output } = await run('deploy function -f health', { NODE_HOST: '192.0.2.7', AUTH: 'off' });
    expect(code).toBe(1);
    expect(output).toContain('AUTH=off: anybody who knows the address of the API can use it');
    expect(output).not.toContain('This cannot be deployed');
    expect(output).toContain('credentials');
  }, 60_000);
});
