import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadYaml } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allSettings } from '../../lib/config/themes.ts';
import { loadTemplateCheck } from '../support/cloudformation.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const serverless = join(root, 'node_modules', '.bin', 'serverless');
const { functions } = loadYaml<{ functions: Record<string, { needs: string[] }> }>(
  await readFile(join(root, 'serverless.yml'), 'utf8'),
);

type Properties = Record<string, unknown>;
type Run = { code: number; output: string };
type Template = { Resources: Record<string, { Type: string; Properties: Properties }>; Outputs: Properties };

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

/** The properties of the resources of a type, by their logical ids. */
const pick = ({ Resources }: Template, type: string): Record<string, Properties> =>
  Object.fromEntries(
    Object.entries(Resources).flatMap(([id, { Type, Properties }]) => (Type === type ? [[id, Properties]] : [])),
  );

/** A function's name as logical ids begin with it. */
const idOf = (name: string) => name.replace(/^./, (letter) => letter.toUpperCase()).replaceAll('-', 'Dash');
const names = Object.keys(functions);
const needing = (need: string) => names.filter((name) => functions[name]?.needs.includes(need));
const asking = [
  ...[
    'create-sandbox',
    'get-sandbox',
    'list-sandboxes',
    'renew-sandbox',
    'update-sandbox',
    'sign-url',
    'destroy-sandbox',
  ],
  ...['get-presence', 'get-events', 'get-logs'],
];
const describing = ['get-openapi', 'get-docs'];
const looking = ['get-console'];
/** For each function: a property that CloudFormation gets of it. */
const readEach = (template: Template, property: string) =>
  names.map((name) => template.Resources[`${idOf(name)}LambdaFunction`]?.Properties[property]);
const keysOf = (routes: Properties[]) => routes.map(({ RouteKey }) => RouteKey).toSorted();

it('serverless.yml says what each function has to do with', () => {
  expect(needing('callers')).toEqual([...asking, 'get-capabilities', ...describing, 'fallback']);
  expect(needing('description')).toEqual(describing);
  expect(needing('console')).toEqual(looking);
  expect(needing('kubernetes')).toEqual([...asking, 'get-ready', 'cleanup-sandboxes']);
  expect(needing('cleanup')).toEqual(['cleanup-sandboxes']);
  expect(needing('events')).toEqual(['create-sandbox', 'get-sandbox', 'destroy-sandbox', 'cleanup-sandboxes']);
  expect(names).toEqual([
    ...asking,
    'get-capabilities',
    'health',
    'get-ready',
    ...describing,
    ...looking,
    'fallback',
    'cleanup-sandboxes',
  ]);
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
    for (const why of ['there is no key to know callers by', 'NODE_HOST is', 'SANDBOX_NETWORK_POLICY is not set']) {
      expect(result.output).toContain(`A deployment will be refused: ${why}`);
    }
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

  it('has each function of serverless.yml with a role and a log of its own, and nothing that nobody asked for', () => {
    const ids = (end: string) => names.map((name) => `${idOf(name)}${end}`);
    expect(Object.keys(pick(template, 'AWS::Lambda::Function'))).toEqual(ids('LambdaFunction'));
    expect(Object.keys(pick(template, 'AWS::IAM::Role')).toSorted()).toEqual(ids('Role').toSorted());
    expect(Object.keys(pick(template, 'AWS::Logs::LogGroup')).toSorted()).toEqual(ids('LogGroup').toSorted());
    expect(readEach(template, 'Role')).toEqual(ids('Role').map((role) => ({ 'Fn::GetAtt': [role, 'Arn'] })));
    expect(template.Resources.HealthRole?.Properties.RoleName).toBe('sandbox-provisioner-production-health-us-east-1');
    expect(pick(template, 'AWS::Lambda::Version')).toEqual({});
    for (const property of ['VpcConfig', 'Layers', 'ReservedConcurrentExecutions']) {
      expect(readEach(template, property), property).toEqual(names.map(() => undefined));
    }
    expect(readEach(template, 'Environment')).toEqual(names.map(() => ({ Variables: {} })));
  });

  it('makes each route open, lets no page in, and does not run a failed clean-up again', () => {
    const routes = Object.values(pick(template, 'AWS::ApiGatewayV2::Route'));
    expect(keysOf(routes)).toContain('$default');
    expect(routes.filter(({ AuthorizationType }) => AuthorizationType !== undefined)).toEqual([]);
    expect(template.Resources.HttpApi?.Properties).not.toHaveProperty('CorsConfiguration');
    const FunctionName = { Ref: 'CleanupDashsandboxesLambdaFunction' };
    expect(Object.values(pick(template, 'AWS::Lambda::EventInvokeConfig'))).toEqual([
      expect.objectContaining({ FunctionName, MaximumRetryAttempts: 0 }),
    ]);
  });

  it('has no function that reads a setting which it is not given', async () => {
    for (const name of names) {
      const code = await readFile(join(folder, `.build/${name}/functions/${name}.cjs`), 'utf8');
      const kept = Object.values(allSettings).filter(
        ({ neededBy, field }) =>
          field &&
          ![neededBy].flat().some((need) => need === 'every function' || functions[name]?.needs.includes(need)),
      );
      // As a property, or taken out of an object.
      const read = kept.filter(({ field }) => new RegExp(`[.{,]${field}\\b(?!:)`).test(code));
      expect(read.map(({ field }) => `${name} reads ${field}`)).toEqual([]);
    }
  });
});

describe('a package with every setting', () => {
  const certificate = Buffer.from('-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n').toString('base64');
  const eks = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    const accessConfig = { authenticationMode: 'API' };
    const certificateAuthority = { data: certificate };
    response.end(JSON.stringify({ cluster: { endpoint: 'https://eks.example', certificateAuthority, accessConfig } }));
  });
  const ALARM_TOPIC_ARN = 'arn:aws:sns:eu-west-1:123456789012:operators';
  const forAll = { CORS_ALLOWED_ORIGINS: 'https://app.example', LOG_LEVEL: 'DEBUG', METRICS: 'emf' };
  const forCallers = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'one,two' };
  const forKubernetes = {
    ...{ NODE_HOST: '192.0.2.7', SANDBOX_NETWORK_POLICY: 'none', KUBECONFIG_SECRET_ID: 'kubeconfig' },
    EKS_CLUSTER_NAME: 'cluster',
  };
  const forCleanup = { CLEANUP_DRY_RUN: 'true' };
  const forEvents = { EVENT_BUS_NAME: 'agents', WEBHOOK_URL: 'https://hooks.example', WEBHOOK_SECRET_ID: 'hooks' };
  let template: Template;

  beforeAll(async () => {
    await new Promise<void>((resolve) => eks.listen(0, '127.0.0.1', resolve));
    const { code, output } = await run('package --stage test', {
      ...{ AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' },
      AWS_ENDPOINT_URL_EKS: `http://127.0.0.1:${(eks.address() as AddressInfo).port}`,
      ...{ ...forAll, ...forCallers, ...forKubernetes, ...forCleanup, ...forEvents },
      ...{ EKS_ACCESS_ENTRIES: 'true', VPC_SUBNET_IDS: 'subnet-0a,subnet-0b', VPC_SECURITY_GROUP_IDS: 'sg-0c' },
      ...{ API_THROTTLE_RATE: '20', API_THROTTLE_BURST: '40', CLEANUP_RESERVED_CONCURRENCY: '2', ALARM_TOPIC_ARN },
      ...{ CLEANUP_SCHEDULE: 'rate(1 hour)', LOG_RETENTION_DAYS: '14' },
    });
    expect(output).not.toContain('Warning');
    expect(code).toBe(0);
    template = await readTemplate();
  }, 120_000);
  afterAll(() => {
    eks.close();
  });

  it("is nothing but what AWS' own specification knows, and refers to nothing that is not in it", () => {
    expect(findFaults(template)).toEqual([]);
    const known = new Set([...Object.keys(template.Resources), 'ServerlessDeploymentBucket']);
    const refers = /\{"(?:Ref":"|Fn::GetAtt":\[")([^":]+)"|\$\{(\w+)\.Arn\}/g;
    const referred = [...JSON.stringify(template).matchAll(refers)].map(([, id = '', alarm]) => alarm ?? id);
    expect(referred.length).toBeGreaterThan(50);
    expect(referred.filter((id) => !known.has(id))).toEqual([]);
  });

  it('asked EKS where the cluster is, and gives each function what it needs', () => {
    const cluster = { EKS_CLUSTER_ENDPOINT: 'https://eks.example', EKS_CLUSTER_CA: certificate };
    const given = names.map((name) => ({
      ...forAll,
      ...(needing('callers').includes(name) && forCallers),
      ...(needing('kubernetes').includes(name) && { ...forKubernetes, ...cluster }),
      ...(needing('cleanup').includes(name) && forCleanup),
      ...(needing('events').includes(name) && forEvents),
    }));
    expect(readEach(template, 'Environment')).toEqual(given.map((Variables) => ({ Variables })));
  });

  it('gives layer, VPC and an access entry to those that talk to Kubernetes alone', () => {
    const onlyTo = (name: string, value: unknown) => (needing('kubernetes').includes(name) ? value : undefined);
    const layers = ['{{resolve:ssm:/aws/service/aws-parameters-and-secrets-lambda-extension/arm64/latest}}'];
    const vpc = { SubnetIds: ['subnet-0a', 'subnet-0b'], SecurityGroupIds: ['sg-0c'] };
    expect(readEach(template, 'Layers')).toEqual(names.map((name) => onlyTo(name, layers)));
    expect(readEach(template, 'VpcConfig')).toEqual(names.map((name) => onlyTo(name, vpc)));
    expect(Object.keys(pick(template, 'AWS::EKS::AccessEntry'))).toEqual(
      needing('kubernetes').map((name) => `${idOf(name)}EksAccessEntry`),
    );
  });

  it('asks for a token on every route but those of health, of the description, of the console and of preflights', () => {
    expect(pick(template, 'AWS::ApiGatewayV2::Authorizer').HttpApiAuthorizerCallers).toMatchObject({
      ...{ IdentitySource: ['$request.header.Authorization'], AuthorizerType: 'JWT' },
      JwtConfiguration: { Audience: ['one', 'two'], Issuer: 'https://issuer.example/' },
    });
    const routes = Object.values(pick(template, 'AWS::ApiGatewayV2::Route'));
    const isGuarded = ({ AuthorizationType, AuthorizerId }: Properties) =>
      AuthorizationType === 'JWT' && JSON.stringify(AuthorizerId) === '{"Ref":"HttpApiAuthorizerCallers"}';
    const pages = ['GET /', 'GET /console', 'GET /docs'];
    const open = [...pages, 'GET /health', 'GET /openapi.json', 'GET /ready', 'OPTIONS /{proxy+}'];
    expect(keysOf(routes.filter((route) => !isGuarded(route)))).toEqual(open);
    expect(keysOf(routes.filter(isGuarded))).toEqual([
      ...['$default', 'DELETE /api/sandboxes/{sandbox_id}', 'GET /api/capabilities', 'GET /api/sandboxes'],
      ...['GET /api/sandboxes/{sandbox_id}', 'GET /api/sandboxes/{sandbox_id}/events'],
      ...['GET /api/sandboxes/{sandbox_id}/logs', 'GET /api/sandboxes/{sandbox_id}/presence'],
      ...['PATCH /api/sandboxes/{sandbox_id}', 'POST /api/sandboxes', 'POST /api/sandboxes/{sandbox_id}/renew'],
      'POST /api/sandboxes/{sandbox_id}/url',
    ]);
  });

  it('limits the callers, runs the clean-up as it is told, and has alarms and a dashboard of them', () => {
    expect(template.Resources.HttpApiStage?.Properties).toMatchObject({
      DefaultRouteSettings: { ThrottlingRateLimit: 20, ThrottlingBurstLimit: 40 },
    });
    expect(readEach(template, 'ReservedConcurrentExecutions').filter(Boolean)).toEqual([2]);
    const [rule] = Object.values(pick(template, 'AWS::Events::Rule'));
    expect(rule?.ScheduleExpression).toBe('rate(1 hour)');
    expect(pick(template, 'AWS::Logs::LogGroup').HealthLogGroup?.RetentionInDays).toBe(14);
    const alarms = pick(template, 'AWS::CloudWatch::Alarm');
    const ofEach = (alarm: string) => Object.keys(alarms).filter((id) => id.startsWith(alarm));
    expect(ofEach('SlowOperation')).toEqual(asking.map((name) => `SlowOperation${idOf(name)}Alarm`));
    expect(ofEach('Throttles')).toEqual(names.map((name) => `Throttles${idOf(name)}Alarm`));
    for (const alarm of Object.values(alarms)) {
      expect(alarm).toMatchObject({ AlarmActions: [ALARM_TOPIC_ARN], OKActions: [ALARM_TOPIC_ARN] });
    }
    const [dashboard] = Object.values(pick(template, 'AWS::CloudWatch::Dashboard'));
    const shown = [...JSON.stringify(dashboard).matchAll(/\$\{(\w+)\.Arn\}/g)].map(([, id]) => id);
    expect(shown).toEqual(Object.keys(alarms));
  });
});

describe('a deployment', () => {
  it('is refused for all that is wrong with it, one of a package that is there too', async () => {
    const { code, output } = await run('deploy --package .serverless', {
      // What is empty is not set.
      ...Object.fromEntries(Object.keys(allSettings).map((name) => [name, ''])),
      ...{ EKS_CLUSTER_NAME: 'cluster', EKS_ACCESS_ENTRIES: 'yes', SANDBOX_TTL_SECONDS: 'x' },
    });
    expect(code).toBe(1);
    expect(output).toContain('This cannot be deployed:');
    const problems = [
      /^- EKS_ACCESS_ENTRIES must be/m,
      /^- SANDBOX_TTL_SECONDS must be/m,
      /^- there is no key to know callers by: set one of PROVISIONER_API_KEY,/m,
      /^- NODE_HOST is 'host\.docker\.internal', which only/m,
      /^- SANDBOX_NETWORK_POLICY is not set/m,
      /^- EKS_CLUSTER_NAME: 'cluster' could not be looked up \(.*set EKS_CLUSTER_ENDPOINT and EKS_CLUSTER_CA\.$/m,
    ];
    for (const problem of problems) expect(output).toMatch(problem);
    expect(output.match(/^- /gm)).toHaveLength(problems.length);
  }, 60_000);

  it('of one function goes on where all is said in so many words, until it needs an account', async () => {
    const env = { NODE_HOST: '192.0.2.7', AUTH: 'off', SANDBOX_NETWORK_POLICY: 'none' };
    const { code, output } = await run('deploy function -f health', env);
    expect(code).toBe(1);
    expect(output).toContain('AUTH=off: anybody who knows the address of the API can use it');
    expect(output).not.toContain('This cannot be deployed');
    expect(output).toContain('credentials');
  }, 60_000);
});
