import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkEnvironment, findOverLimits } from '../../lib/deploy/checks.ts';
import { fillInEksCluster } from '../../lib/deploy/eks-cluster.ts';
import { type DeployedFunction, planDeployment } from '../../lib/deploy/plan.ts';
import { type DeploymentSettings, readDeploymentSettings } from '../../lib/deploy/settings.ts';
import { loadTemplateCheck } from '../support/cloudformation.ts';

type Environment = Record<string, string>;

const functions = {
  'get-sandbox': {
    id: 'Get',
    lambdaName: 'service-stage-get-sandbox',
    roleName: 'service-stage-get-sandbox-region',
    needs: ['callers', 'kubernetes'],
    events: [{ httpApi: 'GET /api/sandboxes/{sandbox_id}' }],
  },
  health: {
    id: 'Health',
    lambdaName: 'service-stage-health',
    roleName: 'service-stage-health-region',
    needs: [],
    events: [{ httpApi: 'GET /health' }],
  },
  fallback: {
    id: 'Fallback',
    lambdaName: 'service-stage-fallback',
    roleName: 'service-stage-fallback-region',
    needs: ['callers'],
    events: [{ httpApi: '*' }],
  },
  'cleanup-sandboxes': {
    id: 'Cleanup',
    lambdaName: 'service-stage-cleanup-sandboxes',
    roleName: 'service-stage-cleanup-sandboxes-region',
    needs: ['kubernetes'],
    events: [{ schedule: 'rate(5 minutes)' }],
  },
} satisfies Record<string, DeployedFunction>;
type Name = keyof typeof functions;
const names = Object.keys(functions) as Name[];

const complete = {
  PROVISIONER_API_KEY: 'a-key-of-enough-characters',
  NODE_HOST: '192.0.2.7',
  KUBECONFIG_PATH: '/opt/x',
};

const settingsOf = (values: Environment = {}): DeploymentSettings => {
  const { settings, problems } = readDeploymentSettings(values, { EKS_CLUSTER_NAME: 'cluster' });
  expect(problems).toEqual([]);
  return settings as DeploymentSettings;
};
const findFaults = await loadTemplateCheck();
const plan = (environment: Environment, values?: Environment) => {
  const planned = planDeployment(functions, environment, settingsOf(values));
  expect(findFaults(planned.resources)).toEqual([]);
  return planned;
};

type Role = { Policies: { PolicyDocument: { Statement: unknown[] } }[] };
const statementsOf = (deployment: ReturnType<typeof plan>, name: Name) => {
  const { Properties } = deployment.resources.Resources[`${functions[name].id}Role`] ?? { Properties: {} };
  return (Properties as Role).Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
};
const writesLog = (name: Name) => ({
  Effect: 'Allow',
  Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
  Resource: { 'Fn::GetAtt': [`${functions[name].id}LogGroup`, 'Arn'] },
});
const arnOf = (service: string, rest: string) => ({
  'Fn::Sub': `arn:\${AWS::Partition}:${service}:\${AWS::Region}:\${AWS::AccountId}:${rest}`,
});

describe('the environment of a deployed function', () => {
  const shared = { NODE_HOST: 'node', AUTH: 'required', EKS_CLUSTER_NAME: 'cluster' };
  const callers = { PROVISIONER_API_KEY: 'k', PROVISIONER_API_KEY_SECRET_ID: 's', PROVISIONER_API_KEY_PARAMETER: 'p' };
  const kubernetes = { KUBECONFIG_CONTENT: 'k', KUBECONFIG_SECRET_ID: 's', KUBECONFIG_PARAMETER: 'p' };

  it.each<[Name, Environment]>([
    ['get-sandbox', { ...shared, ...callers, ...kubernetes }],
    ['fallback', { ...shared, ...callers }],
    ['cleanup-sandboxes', { ...shared, ...kubernetes }],
    ['health', shared],
  ])('has all settings, but no secret that it does not need: %s', (name, expected) => {
    const deployment = plan({ ...shared, ...callers, ...kubernetes });
    expect(deployment.functions[name]?.environment).toEqual(expected);
  });
});

describe('the extension', () => {
  it('is told how long to remember, in the functions that read what is kept in that store', () => {
    const secrets = { PROVISIONER_API_KEY_SECRET_ID: 's', KUBECONFIG_PARAMETER: 'p' };
    const deployment = plan(secrets, { SECRETS_MANAGER_TTL: '0', SSM_PARAMETER_STORE_TTL: '60' });
    expect(Object.fromEntries(names.map((name) => [name, deployment.functions[name]?.environment]))).toEqual({
      'get-sandbox': { ...secrets, SECRETS_MANAGER_TTL: '0', SSM_PARAMETER_STORE_TTL: '60' },
      fallback: { PROVISIONER_API_KEY_SECRET_ID: 's', SECRETS_MANAGER_TTL: '0' },
      'cleanup-sandboxes': { KUBECONFIG_PARAMETER: 'p', SSM_PARAMETER_STORE_TTL: '60' },
      health: {},
    });
  });
});

describe('the role of a function', () => {
  it('is its own, with nothing but the right to write its own log', () => {
    const { resources, functions: defined } = plan(complete);
    expect(resources.Resources).toEqual(
      Object.fromEntries(
        names.map((name) => [
          `${functions[name].id}Role`,
          {
            Type: 'AWS::IAM::Role',
            Properties: {
              RoleName: functions[name].roleName,
              AssumeRolePolicyDocument: {
                Version: '2012-10-17',
                Statement: [
                  { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
                ],
              },
              Policies: [
                {
                  PolicyName: 'function',
                  PolicyDocument: { Version: '2012-10-17', Statement: [writesLog(name)] },
                },
              ],
            },
          },
        ]),
      ),
    );
    expect(names.map((name) => defined[name]?.role)).toEqual(['GetRole', 'HealthRole', 'FallbackRole', 'CleanupRole']);
  });

  const secret = (Resource: unknown) => ({ Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource });
  const parameter = (Resource: unknown) => ({ Effect: 'Allow', Action: 'ssm:GetParameter', Resource });
  const apiKey = secret(arnOf('secretsmanager', 'secret:keys/api-??????'));
  const kubeconfig = parameter(arnOf('ssm', 'parameter/kubeconfig'));

  it.each<[Name, unknown[]]>([
    ['get-sandbox', [apiKey, kubeconfig]],
    ['fallback', [apiKey]],
    ['cleanup-sandboxes', [kubeconfig]],
    ['health', []],
  ])('may read exactly the secrets that the function needs, with the extension beside it: %s', (name, reads) => {
    const deployment = plan({ PROVISIONER_API_KEY_SECRET_ID: 'keys/api', KUBECONFIG_PARAMETER: '/kubeconfig' });
    expect(statementsOf(deployment, name)).toEqual([writesLog(name), ...reads]);
    expect(deployment.functions[name]?.layers).toEqual(
      reads.length > 0
        ? ['{{resolve:ssm:/aws/service/aws-parameters-and-secrets-lambda-extension/arm64/latest}}']
        : undefined,
    );
  });

  const secretArn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf';
  const parameterArn = 'arn:aws:ssm:eu-west-1:123456789012:parameter/a/b';
  it.each<[string, Environment, unknown]>([
    ['the ARN of a secret', { PROVISIONER_API_KEY_SECRET_ID: secretArn }, secret(secretArn)],
    ['the ARN of a parameter', { PROVISIONER_API_KEY_PARAMETER: parameterArn }, parameter(parameterArn)],
    [
      'the name of a parameter without a slash',
      { PROVISIONER_API_KEY_PARAMETER: 'a' },
      parameter(arnOf('ssm', 'parameter/a')),
    ],
  ])('names the secret exactly, given %s', (_what, environment, expected) => {
    expect(statementsOf(plan(environment), 'fallback')).toEqual([writesLog('fallback'), expected]);
  });

  it("may decrypt with the customer's key, for the stores that it reads alone", () => {
    const SECRETS_KMS_KEY_ARN = 'arn:aws:kms:eu-west-1:123456789012:key/0123-abcd';
    const deployment = plan({ PROVISIONER_API_KEY_SECRET_ID: 's', KUBECONFIG_PARAMETER: 'p' }, { SECRETS_KMS_KEY_ARN });
    const decrypts = (...services: string[]) => ({
      Effect: 'Allow',
      Action: 'kms:Decrypt',
      Resource: SECRETS_KMS_KEY_ARN,
      Condition: { StringLike: { 'kms:ViaService': services.map((service) => `${service}.*.amazonaws.com*`) } },
    });
    expect(statementsOf(deployment, 'get-sandbox').at(-1)).toEqual(decrypts('secretsmanager', 'ssm'));
    expect(statementsOf(deployment, 'fallback').at(-1)).toEqual(decrypts('secretsmanager'));
    expect(statementsOf(deployment, 'cleanup-sandboxes').at(-1)).toEqual(decrypts('ssm'));
    expect(statementsOf(deployment, 'health')).toEqual([writesLog('health')]);
  });

  it('lets Lambda join the VPC, and not the code of the function', () => {
    const vpc = { VPC_SUBNET_IDS: 'subnet-0a, subnet-0b', VPC_SECURITY_GROUP_IDS: 'sg-0c' };
    const deployment = plan(complete, vpc);
    const Action = [
      'ec2:CreateNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:DeleteNetworkInterface',
      'ec2:AssignPrivateIpAddresses',
      'ec2:UnassignPrivateIpAddresses',
    ];
    for (const name of ['get-sandbox', 'cleanup-sandboxes'] as const) {
      expect(deployment.functions[name]?.vpc).toEqual({
        subnetIds: ['subnet-0a', 'subnet-0b'],
        securityGroupIds: ['sg-0c'],
      });
      const arn = arnOf('lambda', `function:${functions[name].lambdaName}`);
      expect(statementsOf(deployment, name)).toEqual([
        writesLog(name),
        { Effect: 'Allow', Action, Resource: '*' },
        { Effect: 'Deny', Action, Resource: '*', Condition: { ArnEquals: { 'lambda:SourceFunctionArn': arn } } },
      ]);
    }
    for (const name of ['health', 'fallback'] as const) {
      expect(deployment.functions[name]).not.toHaveProperty('vpc');
      expect(statementsOf(deployment, name)).toEqual([writesLog(name)]);
    }
  });
});

describe('what is deployed beside the functions', () => {
  const beside = (environment: Environment, values: Environment) =>
    Object.fromEntries(
      Object.entries(plan(environment, values).resources.Resources).filter(([id]) => !id.endsWith('Role')),
    );
  const entry = (role: string, group: string) => ({
    Type: 'AWS::EKS::AccessEntry',
    Properties: {
      ClusterName: 'cluster',
      PrincipalArn: { 'Fn::GetAtt': [role, 'Arn'] },
      Type: 'STANDARD',
      KubernetesGroups: [group],
    },
  });

  it.each([
    ['sandbox-provisioner', {}],
    ['agents', { EKS_ACCESS_GROUP: 'agents' }],
  ])('is an access entry for each function that talks to Kubernetes, in one group: %s', (group, values) => {
    const environment = { ...complete, EKS_CLUSTER_NAME: 'cluster' };
    expect(beside(environment, { EKS_ACCESS_ENTRIES: 'true', ...values })).toEqual({
      GetEksAccessEntry: entry('GetRole', group),
      CleanupEksAccessEntry: entry('CleanupRole', group),
    });
    expect(beside(environment, values)).toEqual({});
  });

  it('is an alarm on the clean-up, if somebody is to hear it', () => {
    const ALARM_TOPIC_ARN = 'arn:aws:sns:eu-west-1:123456789012:operators';
    expect(beside(complete, { ALARM_TOPIC_ARN })).toEqual({
      CleanupErrorsAlarm: {
        Type: 'AWS::CloudWatch::Alarm',
        Properties: {
          AlarmDescription: expect.any(String),
          Namespace: 'AWS/Lambda',
          MetricName: 'Errors',
          Dimensions: [{ Name: 'FunctionName', Value: { Ref: 'CleanupLambdaFunction' } }],
          Statistic: 'Sum',
          Period: 300,
          EvaluationPeriods: 1,
          ComparisonOperator: 'GreaterThanOrEqualToThreshold',
          Threshold: 1,
          TreatMissingData: 'notBreaching',
          AlarmActions: [ALARM_TOPIC_ARN],
          OKActions: [ALARM_TOPIC_ARN],
        },
      },
    });
  });

  it('is a limit for all callers together, if one is set', () => {
    expect(plan(complete).resources.extensions).toEqual({});
    expect(plan(complete, { API_THROTTLE_RATE: '20', API_THROTTLE_BURST: '40' }).resources.extensions).toEqual({
      HttpApiStage: {
        Properties: { DefaultRouteSettings: { ThrottlingRateLimit: 20, ThrottlingBurstLimit: 40 } },
      },
    });
  });
});

describe('the JWT authorizer', () => {
  const jwt = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'one, two' };
  const eventsOf = (environment: Environment) => {
    const { functions: defined } = plan(environment);
    return Object.fromEntries(names.map((name) => [name, defined[name]?.events]));
  };
  const open = Object.fromEntries(names.map((name) => [name, functions[name].events]));
  const guarded = {
    ...open,
    'get-sandbox': [{ httpApi: { method: 'GET', path: '/api/sandboxes/{sandbox_id}', authorizer: 'callers' } }],
    fallback: [{ httpApi: { path: '*', authorizer: 'callers' } }],
  };

  it('stands before every path but that of health, unknown ones too', () => {
    expect(plan(jwt).authorizers).toEqual({
      callers: {
        type: 'jwt',
        identitySource: '$request.header.Authorization',
        issuerUrl: 'https://issuer.example/',
        audience: ['one', 'two'],
      },
    });
    expect(eventsOf(jwt)).toEqual(guarded);
  });

  it("lets browsers ask without a token whether one of the settings' pages may call", () => {
    expect(eventsOf({ ...jwt, CORS_ALLOWED_ORIGINS: 'https://app.example' })).toEqual({
      ...guarded,
      fallback: [{ httpApi: { path: '*', authorizer: 'callers' } }, { httpApi: 'OPTIONS /{proxy+}' }],
    });
  });

  it.each<[string, Environment]>([
    ['no issuer is set', {}],
    ['AUTH=off', { ...jwt, AUTH: 'off' }],
  ])('is not there if %s', (_when, environment) => {
    expect(plan(environment).authorizers).toEqual({});
    expect(eventsOf(environment)).toEqual(open);
  });
});

describe('a deployment is refused', () => {
  const none = { wrong: [], missing: [], doubtful: [] };

  it('for nothing, if it has a key and a place', () => {
    expect(checkEnvironment(complete)).toEqual(none);
  });

  const noKey =
    'there is no key to know callers by: set one of PROVISIONER_API_KEY, PROVISIONER_API_KEY_SECRET_ID, ' +
    'PROVISIONER_API_KEY_PARAMETER, JWT_ISSUER (that one with JWT_AUDIENCE); AUTH=off if anybody may call';
  it.each<[string, Environment, string[]]>([
    ['nothing is said of callers', {}, [noKey]],
    ['they are to be told apart, but not how', { AUTH: 'required' }, [noKey]],
    ['they need not be told apart', { AUTH: 'off' }, []],
    ['there is a secret', { PROVISIONER_API_KEY_SECRET_ID: 's' }, []],
    [
      'there is the ARN of a secret',
      { PROVISIONER_API_KEY_SECRET_ID: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-AbCd12' },
      [],
    ],
    ['there is a parameter', { PROVISIONER_API_KEY_PARAMETER: 'p' }, []],
    ['there is an issuer', { JWT_ISSUER: 'https://i.example', JWT_AUDIENCE: 'a' }, []],
  ])('without a key: %s', (_what, environment, missing) => {
    const { NODE_HOST, KUBECONFIG_PATH } = complete;
    expect(checkEnvironment({ NODE_HOST, KUBECONFIG_PATH, ...environment })).toMatchObject({ wrong: [], missing });
  });

  it.each([undefined, 'host.docker.internal', 'Host.Docker.Internal.'])('with NODE_HOST left at %s', (nodeHost) => {
    const { NODE_HOST: _, ...rest } = complete;
    expect(checkEnvironment({ ...rest, ...(nodeHost && { NODE_HOST: nodeHost }) })).toEqual({
      ...none,
      missing: [
        "NODE_HOST is 'host.docker.internal', which only a container on the same machine knows: " +
          "set the address where your backend reaches the cluster's NodePorts",
      ],
    });
  });

  it.each<[string, Environment, string]>([
    [
      'a setting that the functions would refuse',
      { SANDBOX_TTL_SECONDS: 'a day' },
      'SANDBOX_TTL_SECONDS must be a whole',
    ],
    [
      'a key that could be guessed',
      { PROVISIONER_API_KEY: 'hunter2' },
      'PROVISIONER_API_KEY must be keys of 16 or more',
    ],
    ['one that is empty', { LOG_LEVEL: 'INFO', K8S_NAMESPACE: '' }, 'K8S_NAMESPACE must not be empty'],
    [
      'a pattern of secrets',
      { KUBECONFIG_SECRET_ID: 'prod/*' },
      'KUBECONFIG_SECRET_ID must be the name or the whole ARN',
    ],
    [
      'a pattern of parameters',
      { KUBECONFIG_PARAMETER: '/prod/?' },
      'KUBECONFIG_PARAMETER must be the name or the ARN',
    ],
    [
      "another service's ARN",
      { KUBECONFIG_SECRET_ID: 'arn:aws:ssm:eu-west-1:123456789012:parameter/a' },
      'KUBECONFIG_SECRET_ID must be the name or the whole ARN',
    ],
    [
      'an ARN that is not whole',
      { KUBECONFIG_SECRET_ID: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/kubeconfig' },
      'KUBECONFIG_SECRET_ID must be the name or the whole ARN',
    ],
    ['a variable of CloudFormation', { KUBECONFIG_SECRET_ID: `\${AWS::StackName}` }, 'KUBECONFIG_SECRET_ID must be'],
  ])('for %s', (_what, environment, problem) => {
    const { wrong, ...others } = checkEnvironment({ ...complete, ...environment });
    expect(others).toEqual({ missing: [], doubtful: [] });
    expect(wrong).toEqual([expect.stringContaining(problem)]);
    expect(wrong[0]).not.toContain('hunter2');
  });

  it('for an issuer of this machine, which API Gateway would refuse', () => {
    const { PROVISIONER_API_KEY: _, ...rest } = complete;
    const jwt = { JWT_ISSUER: 'http://localhost:8080', JWT_AUDIENCE: 'a' };
    expect(checkEnvironment({ ...rest, ...jwt })).toEqual({
      ...none,
      wrong: ['JWT_ISSUER must be an https:// URL, as API Gateway asks'],
    });
    expect(checkEnvironment({ ...rest, ...jwt, JWT_ISSUER: 'HTTPS://i.example' })).toEqual(none);
  });

  it('for more than one key, and for a token without an issuer', () => {
    const { wrong } = checkEnvironment({ ...complete, PROVISIONER_API_KEY_PARAMETER: 'p', JWT_AUDIENCE: 'a' });
    expect(wrong.join('\n')).toMatch(/PROVISIONER_API_KEY\b.*PROVISIONER_API_KEY_PARAMETER/);
    expect(wrong.join('\n')).toMatch(/JWT_ISSUER/);
  });

  it("for an environment over Lambda's 4 KB, in bytes of its names and values", () => {
    // What get-sandbox has of its own beside the kubeconfig, in bytes.
    const rest = Object.entries(complete).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    const room = 4096 - rest - 'KUBECONFIG_CONTENT'.length;
    // Two bytes each.
    const text = 'é'.repeat(Math.floor(room / 2)) + 'e'.repeat(room % 2);
    expect(findOverLimits(plan({ ...complete, KUBECONFIG_CONTENT: text }))).toEqual([]);
    expect(findOverLimits(plan({ ...complete, KUBECONFIG_CONTENT: `${text}e` }))).toEqual([
      `KUBECONFIG_CONTENT is ${room + 1 + 'KUBECONFIG_CONTENT'.length} of the 4097 bytes in the environment of get-sandbox, ` +
        'where Lambda takes 4096: keep it in Secrets Manager (KUBECONFIG_SECRET_ID) or in Parameter Store ' +
        '(KUBECONFIG_PARAMETER) instead',
    ]);
  });

  it('for a stage whose roles would have names that are too long', () => {
    const roleName = `service-${'s'.repeat(49)}-health`;
    const deployment = planDeployment({ health: { ...functions.health, roleName } }, complete, settingsOf());
    expect(findOverLimits(deployment)).toEqual([]);
    const longer = planDeployment(
      { health: { ...functions.health, roleName: `${roleName}y` } },
      complete,
      settingsOf(),
    );
    expect(findOverLimits(longer)).toEqual([expect.stringContaining('choose a shorter --stage')]);
  });

  it('for none of these, but with a warning: an open API, and no cluster that a function could know', () => {
    const { PROVISIONER_API_KEY: _, ...rest } = complete;
    expect(checkEnvironment({ ...rest, AUTH: 'off', KUBECONFIG_PATH: '/root/.kube/config' })).toEqual({
      ...none,
      doubtful: [
        'AUTH=off: anybody who knows the address of the API can use it',
        'nothing says where the cluster is: set one of KUBECONFIG_CONTENT, KUBECONFIG_SECRET_ID, KUBECONFIG_PARAMETER, ' +
          'EKS_CLUSTER_NAME, or KUBECONFIG_PATH for a file in a layer',
      ],
    });
  });
});

describe('the settings of a deployment', () => {
  it.each<[Environment, string]>([
    [{ EKS_ACCESS_ENTRIES: 'yes' }, "EKS_ACCESS_ENTRIES must be 'true' or 'false'"],
    [{ EKS_ACCESS_GROUP: 'system:masters' }, 'EKS_ACCESS_GROUP must be a Kubernetes group of your own'],
    [{ EKS_ACCESS_GROUP: 'eks:admin' }, 'EKS_ACCESS_GROUP must be a Kubernetes group of your own'],
    [
      { SECRETS_EXTENSION_LAYER_ARN: 'arn:aws:lambda:eu-west-1:123456789012:layer:x' },
      'SECRETS_EXTENSION_LAYER_ARN must',
    ],
    [{ SECRETS_KMS_KEY_ARN: 'arn:aws:kms:eu-west-1:123456789012:alias/x' }, 'SECRETS_KMS_KEY_ARN must be'],
    [{ SECRETS_KMS_KEY_ARN: '*' }, 'SECRETS_KMS_KEY_ARN must be'],
    [{ SECRETS_EXTENSION_LAYER_ARN: '{{resolve:ssm:/x}}' }, 'SECRETS_EXTENSION_LAYER_ARN must'],
    [{ SECRETS_MANAGER_TTL: '301' }, 'SECRETS_MANAGER_TTL must be a whole number of seconds from 0 to 300'],
    [{ SSM_PARAMETER_STORE_TTL: '05' }, 'SSM_PARAMETER_STORE_TTL must be a whole number of seconds'],
    [{ ALARM_TOPIC_ARN: 'operators' }, 'ALARM_TOPIC_ARN must be'],
    [{ VPC_SUBNET_IDS: 'subnet-0a' }, 'VPC_SUBNET_IDS needs VPC_SECURITY_GROUP_IDS beside it'],
    [{ VPC_SECURITY_GROUP_IDS: 'sg-0a' }, 'VPC_SECURITY_GROUP_IDS needs VPC_SUBNET_IDS beside it'],
    [{ VPC_SUBNET_IDS: 'subnet-0a,vpc-0b', VPC_SECURITY_GROUP_IDS: 'sg-0a' }, "VPC_SUBNET_IDS must be subnets' ids"],
    [{ VPC_SUBNET_IDS: ',', VPC_SECURITY_GROUP_IDS: 'sg-0a' }, "VPC_SUBNET_IDS must be subnets' ids"],
    [{ API_THROTTLE_RATE: '5' }, 'API_THROTTLE_RATE needs API_THROTTLE_BURST beside it'],
    [{ API_THROTTLE_RATE: '0', API_THROTTLE_BURST: '1' }, 'API_THROTTLE_RATE must be a whole number from 1'],
    [{ ALARM_TOPIC_ARN: '' }, 'ALARM_TOPIC_ARN must not be empty'],
    [{ EKS_ACCESS_ENTRIES: 'true' }, 'EKS_ACCESS_ENTRIES needs EKS_CLUSTER_NAME beside it'],
  ])('are refused by name: %o', (values, problem) => {
    const read = readDeploymentSettings(values, {});
    expect(read).toEqual({ settings: undefined, problems: [expect.stringContaining(problem)] });
  });

  it('are what was set', () => {
    const layer = 'arn:aws:lambda:eu-west-1:015030872274:layer:AWS-Parameters-and-Secrets-Lambda-Extension-Arm64:11';
    const environment = { PROVISIONER_API_KEY_SECRET_ID: 's' };
    expect(plan(environment, { SECRETS_EXTENSION_LAYER_ARN: layer }).functions.fallback?.layers).toEqual([layer]);
  });
});

describe('the address of an EKS cluster', () => {
  let answer: { status: number; body: object; headers?: Record<string, string> };
  let asked: IncomingMessage[];
  const server = createServer((request, response) => {
    asked.push(request);
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(JSON.stringify(answer.body));
  });
  const client = async () => ({
    region: 'eu-west-1',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    maxAttempts: 1,
  });
  const cluster = (authenticationMode?: string) => ({
    endpoint: 'https://eks.example',
    certificateAuthority: { data: 'Q0E=' },
    status: 'ACTIVE',
    ...(authenticationMode && { accessConfig: { authenticationMode } }),
  });
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  beforeEach(() => {
    asked = [];
    answer = { status: 200, body: { cluster: cluster() } };
  });
  afterAll(() => {
    server.close();
  });

  it('is asked of EKS where it is not set', async () => {
    expect(await fillInEksCluster({ EKS_CLUSTER_NAME: 'cluster', X: 'y' }, false, client)).toEqual({
      environment: {
        EKS_CLUSTER_NAME: 'cluster',
        EKS_CLUSTER_ENDPOINT: 'https://eks.example',
        EKS_CLUSTER_CA: 'Q0E=',
        X: 'y',
      },
      problems: [],
    });
    expect(asked.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /clusters/cluster']);
  });

  it.each([
    ['nothing', { EKS_CLUSTER_NAME: 'cluster', EKS_CLUSTER_ENDPOINT: 'https://mine', EKS_CLUSTER_CA: 'TQ==' }, 0, {}],
    ['the rest', { EKS_CLUSTER_NAME: 'cluster', EKS_CLUSTER_ENDPOINT: 'https://mine' }, 1, { EKS_CLUSTER_CA: 'Q0E=' }],
    ['nothing, without a cluster', { NODE_HOST: 'node' }, 0, {}],
  ] as [string, Environment, number, Environment][])(
    'is what was set, and EKS is asked for %s',
    async (_what, environment, calls, added) => {
      expect(await fillInEksCluster(environment, false, client)).toEqual({
        environment: { ...environment, ...added },
        problems: [],
      });
      expect(asked).toHaveLength(calls);
    },
  );

  it.each([
    [
      'is not there',
      {
        status: 404,
        body: { message: 'No cluster found' },
        headers: { 'x-amzn-errortype': 'ResourceNotFoundException' },
      },
      /^EKS_CLUSTER_NAME: 'cluster' could not be looked up \(ResourceNotFoundException: No cluster found\)\. Deploy with/,
    ],
    [
      'is still being made',
      { status: 200, body: { cluster: { status: 'CREATING' } } },
      /^EKS_CLUSTER_NAME: 'cluster' has no endpoint yet \(CREATING\)\.$/,
    ],
    [
      'takes no access entries',
      { status: 200, body: { cluster: cluster('CONFIG_MAP') } },
      /^EKS_ACCESS_ENTRIES: 'cluster' takes no access entries\./,
    ],
  ])('is a problem that names the setting if the cluster %s', async (_what, given, message) => {
    answer = given;
    expect(await fillInEksCluster({ EKS_CLUSTER_NAME: 'cluster', X: 'y' }, true, client)).toEqual({
      environment: { X: 'y' },
      problems: [expect.stringMatching(message)],
    });
  });

  it('is had from a cluster that takes no access entries, if none are wanted', async () => {
    answer = { status: 200, body: { cluster: cluster('CONFIG_MAP') } };
    expect(await fillInEksCluster({ EKS_CLUSTER_NAME: 'cluster' }, false, client)).toMatchObject({ problems: [] });
  });
});
