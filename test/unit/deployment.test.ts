import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Need } from '../../lib/config/setting.ts';
import { allSettings, isForFunctions } from '../../lib/config/themes.ts';
import { checkEnvironment, findOverLimits } from '../../lib/deploy/checks.ts';
import { fillInEksCluster } from '../../lib/deploy/eks-cluster.ts';
import { type DeployedFunction, type Event, planDeployment } from '../../lib/deploy/plan.ts';
import { type DeploymentSettings, readDeploymentSettings } from '../../lib/deploy/settings.ts';
import { loadTemplateCheck } from '../support/cloudformation.ts';

type Environment = Record<string, string>;

const define = (id: string, needs: Need[], event: Event): DeployedFunction => ({
  ...{ id, lambdaName: `service-stage-${id}`, roleName: `service-stage-${id}-region`, needs, events: [event] },
});
const functions = {
  get: define('Get', ['callers', 'kubernetes', 'events'], { httpApi: 'GET /api/sandboxes/{sandbox_id}' }),
  health: define('Health', [], { httpApi: 'GET /health' }),
  docs: define('Docs', ['callers', 'description'], { httpApi: 'GET /docs' }),
  fallback: define('Fallback', ['callers'], { httpApi: '*' }),
  cleanup: define('Cleanup', ['kubernetes', 'cleanup', 'events'], { schedule: 'rate(5 minutes)' }),
};
type Name = keyof typeof functions;
const names = Object.keys(functions) as Name[];

const complete = {
  PROVISIONER_API_KEY: 'a-key-of-enough-characters',
  NODE_HOST: '192.0.2.7',
  KUBECONFIG_PATH: '/opt/x',
  SANDBOX_NETWORK_POLICY: 'isolated',
};
const without = (...left: (keyof typeof complete)[]): Environment =>
  Object.fromEntries(Object.entries(complete).filter(([name]) => !left.includes(name as keyof typeof complete)));

const findFaults = await loadTemplateCheck();
const plan = (environment: Environment, values: Environment = {}, of: Record<string, DeployedFunction> = functions) => {
  const { settings, problems } = readDeploymentSettings({ EKS_CLUSTER_NAME: 'cluster', ...values });
  expect(problems).toEqual([]);
  const planned = planDeployment(of, environment, settings as DeploymentSettings);
  expect(findFaults(planned.resources)).toEqual([]);
  return planned;
};
type Planned = ReturnType<typeof plan>;
const perFunction = <T>(read: (name: Name) => T) => Object.fromEntries(names.map((name) => [name, read(name)]));

type Role = { Policies: { PolicyDocument: { Statement: unknown[] } }[] };
/** What a function may do beside writing its log. */
const rightsOf = ({ resources }: Planned, name: Name): unknown[] => {
  const { Properties } = resources.Resources[`${functions[name].id}Role`] ?? {};
  const [first, ...rest] = (Properties as Role).Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
  expect(first).toEqual(writesLog(name));
  return rest;
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
  it('has the settings that the function needs, and no others', () => {
    const shared = { LOG_LEVEL: 'DEBUG', CORS_ALLOWED_ORIGINS: 'https://app.example' };
    const callers = { AUTH: 'required', PROVISIONER_API_KEY: 'k', PROVISIONER_API_KEY_SECRET_ID: 's' };
    const kubernetes = { NODE_HOST: 'node', KUBECONFIG_CONTENT: 'k', KUBECONFIG_PARAMETER: 'p' };
    const cleanup = { CLEANUP_DRY_RUN: 'true', SANDBOX_ORPHAN_GRACE_SECONDS: '60' };
    const described = { API_DOCS: 'callers', SANDBOX_MAX_TTL_SECONDS: '0' };
    const planned = plan({ ...shared, ...callers, ...kubernetes, ...cleanup, ...described });
    expect(perFunction((name) => planned.functions[name]?.environment)).toEqual({
      get: { ...shared, ...callers, ...kubernetes, SANDBOX_MAX_TTL_SECONDS: '0' },
      health: shared,
      docs: { ...shared, ...callers, ...described },
      fallback: { ...shared, ...callers },
      cleanup: { ...shared, ...kubernetes, ...cleanup, SANDBOX_MAX_TTL_SECONDS: '0' },
    });
  });

  it('never has a secret for every function, and knows where AWS keeps one', () => {
    const secret = Object.entries(allSettings).filter(
      ([name, setting]) =>
        isForFunctions(setting) && /KEY|SECRET_|TOKEN|PASSWORD|SECRET$|CONTENT|PARAMETER$/.test(name),
    );
    expect(Object.fromEntries(secret.map(([name, { neededBy, keptIn }]) => [name, [neededBy, keptIn]]))).toEqual({
      KUBECONFIG_CONTENT: ['kubernetes', undefined],
      KUBECONFIG_SECRET_ID: ['kubernetes', 'secretsmanager'],
      KUBECONFIG_PARAMETER: ['kubernetes', 'ssm'],
      PROVISIONER_API_KEY: ['callers', undefined],
      PROVISIONER_API_KEY_SECRET_ID: ['callers', 'secretsmanager'],
      PROVISIONER_API_KEY_PARAMETER: ['callers', 'ssm'],
      SANDBOX_URL_KEY: ['kubernetes', undefined],
      SANDBOX_URL_KEY_SECRET_ID: ['kubernetes', 'secretsmanager'],
      SANDBOX_URL_KEY_PARAMETER: ['kubernetes', 'ssm'],
      WEBHOOK_SECRET: ['events', undefined],
      WEBHOOK_SECRET_ID: ['events', 'secretsmanager'],
      WEBHOOK_SECRET_PARAMETER: ['events', 'ssm'],
    });
  });
});

describe('the role of a function', () => {
  it('is its own, with nothing but the right to write its own log', () => {
    const planned = plan(complete);
    expect(planned.resources.Resources.GetRole).toEqual({
      Type: 'AWS::IAM::Role',
      Properties: {
        RoleName: 'service-stage-Get-region',
        AssumeRolePolicyDocument: {
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }],
        },
        Policies: [
          { PolicyName: 'function', PolicyDocument: { Version: '2012-10-17', Statement: [writesLog('get')] } },
        ],
      },
    });
    expect(names.map((name) => planned.functions[name]?.role)).toEqual(Object.keys(planned.resources.Resources));
    expect(names.flatMap((name) => rightsOf(planned, name))).toEqual([]);
  });

  const secret = (Resource: unknown) => ({ Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource });
  const parameter = (Resource: unknown) => ({ Effect: 'Allow', Action: 'ssm:GetParameter', Resource });
  const SECRETS_KMS_KEY_ARN = 'arn:aws:kms:eu-west-1:123456789012:key/0123-abcd';
  const layer = 'arn:aws:lambda:eu-west-1:015030872274:layer:AWS-Parameters-and-Secrets-Lambda-Extension-Arm64:11';

  it.each<[string, string, Environment]>([
    ['the newest', '{{resolve:ssm:/aws/service/aws-parameters-and-secrets-lambda-extension/arm64/latest}}', {}],
    ['a certain one', layer, { SECRETS_EXTENSION_LAYER_ARN: layer, SECRETS_KMS_KEY_ARN }],
  ])('may read and decrypt the secrets that the function needs, by the extension: %s', (_which, extension, values) => {
    const apiKey = secret(arnOf('secretsmanager', 'secret:keys/api-??????'));
    const kubeconfig = parameter(arnOf('ssm', 'parameter/kubeconfig'));
    const decrypts = (...services: string[]) => ({
      Effect: 'Allow',
      Action: 'kms:Decrypt',
      Resource: SECRETS_KMS_KEY_ARN,
      Condition: { StringLike: { 'kms:ViaService': services.map((service) => `${service}.*.amazonaws.com*`) } },
    });
    const withKey = (key: object) => (values.SECRETS_KMS_KEY_ARN ? [key] : []);
    const planned = plan({ PROVISIONER_API_KEY_SECRET_ID: 'keys/api', KUBECONFIG_PARAMETER: '/kubeconfig' }, values);
    expect(perFunction((name) => rightsOf(planned, name))).toEqual({
      get: [apiKey, kubeconfig, ...withKey(decrypts('secretsmanager', 'ssm'))],
      health: [],
      docs: [apiKey, ...withKey(decrypts('secretsmanager'))],
      fallback: [apiKey, ...withKey(decrypts('secretsmanager'))],
      cleanup: [kubeconfig, ...withKey(decrypts('ssm'))],
    });
    expect(perFunction((name) => planned.functions[name]?.layers)).toEqual({
      ...{ get: [extension], health: undefined, docs: [extension], fallback: [extension], cleanup: [extension] },
    });
  });

  const secretArn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf';
  const parameterArn = 'arn:aws:ssm:eu-west-1:123456789012:parameter/a/b';
  it.each<[Environment, unknown]>([
    [{ PROVISIONER_API_KEY_SECRET_ID: secretArn }, secret(secretArn)],
    [{ PROVISIONER_API_KEY_PARAMETER: parameterArn }, parameter(parameterArn)],
    [{ PROVISIONER_API_KEY_PARAMETER: 'a' }, parameter(arnOf('ssm', 'parameter/a'))],
  ])('names the secret exactly, given %o', (environment, expected) => {
    expect(rightsOf(plan(environment), 'fallback')).toEqual([expected]);
  });

  const busArn = 'arn:aws:events:eu-west-1:123456789012:event-bus/agents';
  it.each<[string, unknown]>([
    ['agents', arnOf('events', 'event-bus/agents')],
    [busArn, busArn],
  ])('may put events on the bus, and read what signs webhooks, if the function sends any: %s', (bus, Resource) => {
    const environment = { EVENT_BUS_NAME: bus, WEBHOOK_URL: 'https://hooks.example', WEBHOOK_SECRET_PARAMETER: 'a' };
    const planned = plan(environment);
    const rights = [parameter(arnOf('ssm', 'parameter/a')), { Effect: 'Allow', Action: 'events:PutEvents', Resource }];
    const sending = ['get', 'cleanup'];
    expect(perFunction((name) => rightsOf(planned, name))).toEqual(
      perFunction((name) => (sending.includes(name) ? rights : [])),
    );
    expect(perFunction((name) => planned.functions[name]?.environment)).toEqual(
      perFunction((name) => (sending.includes(name) ? environment : {})),
    );
  });

  it('lets Lambda join the VPC, and not the code of the function', () => {
    const planned = plan(complete, { VPC_SUBNET_IDS: 'subnet-0a, subnet-0b', VPC_SECURITY_GROUP_IDS: 'sg-0c' });
    const actions = 'CreateNetworkInterface DescribeNetworkInterfaces DescribeSubnets DeleteNetworkInterface';
    const all = `${actions} AssignPrivateIpAddresses UnassignPrivateIpAddresses`.split(' ').map((one) => `ec2:${one}`);
    const vpc = { subnetIds: ['subnet-0a', 'subnet-0b'], securityGroupIds: ['sg-0c'] };
    for (const name of names) {
      const isInside = functions[name].needs.includes('kubernetes');
      const arn = arnOf('lambda', `function:${functions[name].lambdaName}`);
      const Condition = { ArnEquals: { 'lambda:SourceFunctionArn': arn } };
      const rights = [
        { Effect: 'Allow', Action: all, Resource: '*' },
        { Effect: 'Deny', Action: all, Resource: '*', Condition },
      ];
      expect(planned.functions[name]?.vpc).toEqual(isInside ? vpc : undefined);
      expect(rightsOf(planned, name)).toEqual(isInside ? rights : []);
    }
  });
});

describe('what is deployed beside the functions', () => {
  const beside = (environment: Environment, values: Environment) =>
    Object.fromEntries(
      Object.entries(plan(environment, values).resources.Resources).filter(([id]) => !id.endsWith('Role')),
    );

  it.each<[string, Environment]>([
    ['sandbox-provisioner', {}],
    ['agents', { EKS_ACCESS_GROUP: 'agents' }],
  ])('is an access entry for each function that talks to Kubernetes, in one group: %s', (group, values) => {
    const entry = (role: string) => ({
      Type: 'AWS::EKS::AccessEntry',
      Properties: {
        ClusterName: 'cluster',
        PrincipalArn: { 'Fn::GetAtt': [role, 'Arn'] },
        Type: 'STANDARD',
        KubernetesGroups: [group],
      },
    });
    const environment = { ...complete, EKS_CLUSTER_NAME: 'cluster' };
    expect(beside(environment, { EKS_ACCESS_ENTRIES: 'true', ...values })).toEqual({
      GetEksAccessEntry: entry('GetRole'),
      CleanupEksAccessEntry: entry('CleanupRole'),
    });
    expect(beside(environment, values)).toEqual({});
  });

  it('is alarms and a dashboard, if somebody is to hear of it', () => {
    const ALARM_TOPIC_ARN = 'arn:aws:sns:eu-west-1:123456789012:operators';
    const environment = { ...complete, METRICS_NAMESPACE: 'Own' };
    const made = beside(environment, { ALARM_TOPIC_ARN, METRICS: 'emf', CLEANUP_SCHEDULE: 'rate(1 hour)' });
    const each = ['CleanUpFailed', 'CleanUpMissing', 'GatewayRefusals', 'Leaks', 'QuotaLow', 'SandboxesNeverRan'];
    const throttles = perFunction((name) => `Throttles${functions[name].id}`);
    // The clean-up is no operation, and what does not ask Kubernetes is none that could be slow.
    const alarms = [...each, 'SandboxesNotReady', 'ServerErrors', 'SlowOperationGet', ...Object.values(throttles)];
    expect(Object.keys(made).toSorted()).toEqual([...alarms.map((name) => `${name}Alarm`), 'Dashboard'].toSorted());
    const { Dashboard, CleanUpMissingAlarm, CleanUpFailedAlarm } = made;
    expect(CleanUpMissingAlarm?.Properties.AlarmActions).toEqual([ALARM_TOPIC_ARN]);
    expect(JSON.stringify(CleanUpMissingAlarm)).toMatch(/"Namespace":"Own".*"Period":10800/);
    expect(JSON.stringify(CleanUpFailedAlarm)).toContain('{"Ref":"CleanupLambdaFunction"}');
    expect(JSON.stringify(Dashboard)).toContain('"Own\\"');
    expect(beside(complete, {})).toEqual({});
  });

  it('is a limit for all callers together, if one is set', () => {
    const DefaultRouteSettings = { ThrottlingRateLimit: 20, ThrottlingBurstLimit: 40 };
    expect(plan(complete).resources.extensions).toEqual({});
    expect(plan(complete, { API_THROTTLE_RATE: '20', API_THROTTLE_BURST: '40' }).resources.extensions).toEqual({
      HttpApiStage: { Properties: { DefaultRouteSettings } },
    });
  });
});

describe('the JWT authorizer', () => {
  const jwt = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'one, two' };
  const authorizers = {
    callers: {
      type: 'jwt',
      identitySource: '$request.header.Authorization',
      issuerUrl: 'https://issuer.example/',
      audience: ['one', 'two'],
    },
  };
  const open = perFunction((name) => functions[name].events);
  const guarded = {
    ...open,
    get: [{ httpApi: { method: 'GET', path: '/api/sandboxes/{sandbox_id}', authorizer: 'callers' } }],
    fallback: [{ httpApi: { path: '*', authorizer: 'callers' } }],
  };
  const forCallers = { ...jwt, API_DOCS: 'callers' };
  const docs = [{ httpApi: { method: 'GET', path: '/docs', authorizer: 'callers' } }];
  const forPages = { ...guarded, fallback: [...guarded.fallback, { httpApi: 'OPTIONS /{proxy+}' }] };

  it.each<[string, Environment, object, object]>([
    ['stands before every path but those of health and the description, unknown ones too', jwt, authorizers, guarded],
    ['stands before the description too, if that is for callers', forCallers, authorizers, { ...guarded, docs }],
    [
      "lets browsers ask without a token whether one of the settings' pages may call",
      { ...jwt, CORS_ALLOWED_ORIGINS: 'https://app.example' },
      authorizers,
      forPages,
    ],
    ['is not there if no issuer is set', {}, {}, open],
    ['is not there if AUTH=off', { ...jwt, AUTH: 'off' }, {}, open],
  ])('%s', (_what, environment, expected, events) => {
    const planned = plan(environment);
    expect(planned.authorizers).toEqual(expected);
    expect(perFunction((name) => planned.functions[name]?.events)).toEqual(events);
  });
});

describe('a deployment is refused', () => {
  const none = { wrong: [], missing: [], doubtful: [] };
  const missing = (text: string) => ({ ...none, missing: [text] });
  const noKey =
    'there is no key to know callers by: set one of PROVISIONER_API_KEY, PROVISIONER_API_KEY_SECRET_ID, ' +
    'PROVISIONER_API_KEY_PARAMETER, JWT_ISSUER (that one with JWT_AUDIENCE); AUTH=off if anybody may call';
  const noPlace =
    "NODE_HOST is 'host.docker.internal', which only a container on the same machine knows: " +
    "set the address where your backend reaches the cluster's NodePorts";
  const noPolicy =
    'SANDBOX_NETWORK_POLICY is not set: without a policy any sandbox can run commands in any other (port 8080 asks for no key), ' +
    "and reach its node's cloud credentials. Choose isolated, offline, or none if that is meant";
  const isOpen = 'AUTH=off: anybody who knows the address of the API can use it';
  const isShort =
    'PROVISIONER_API_KEY has a key of fewer than 16 characters, which could be guessed: take one of openssl rand -hex 32';
  const noCluster =
    'nothing says where the cluster is: set one of KUBECONFIG_CONTENT, KUBECONFIG_SECRET_ID, KUBECONFIG_PARAMETER, ' +
    'EKS_CLUSTER_NAME, or KUBECONFIG_PATH for a file in a layer';
  const noKeyYet = without('PROVISIONER_API_KEY');
  const noPlaceYet = without('NODE_HOST');
  const localIssuer = { JWT_ISSUER: 'http://localhost:8080', JWT_AUDIENCE: 'a' };

  it.each<[string, Environment, object]>([
    ['not if it has all', complete, none],
    ['not if sandboxes may reach each other, in so many words', { ...complete, SANDBOX_NETWORK_POLICY: 'none' }, none],
    ['without a policy', without('SANDBOX_NETWORK_POLICY'), missing(noPolicy)],
    ['without a key', noKeyYet, missing(noKey)],
    ['if callers are to be told apart, but not how', { ...noKeyYet, AUTH: 'required' }, missing(noKey)],
    ['not if there is a secret', { ...noKeyYet, PROVISIONER_API_KEY_SECRET_ID: 's' }, none],
    ['not if there is a parameter', { ...noKeyYet, PROVISIONER_API_KEY_PARAMETER: 'p' }, none],
    ['not if there is an issuer', { ...noKeyYet, ...localIssuer, JWT_ISSUER: 'HTTPS://i.example' }, none],
    [
      'if that is one of this machine',
      { ...noKeyYet, ...localIssuer },
      { ...none, wrong: ['JWT_ISSUER must be an https:// URL, as API Gateway asks'] },
    ],
    [
      'with a webhook to this machine',
      { ...complete, WEBHOOK_URL: 'http://localhost:8001/hook', WEBHOOK_SECRET_ID: 's' },
      { ...none, wrong: ['WEBHOOK_URL is an address of this machine: on AWS, that is the function itself'] },
    ],
    [
      'with metrics that nobody could ask for',
      { ...complete, METRICS: 'prometheus' },
      { ...none, wrong: ['METRICS=prometheus is for the server: on AWS, set METRICS=emf'] },
    ],
    ['not with metrics in the log', { ...complete, METRICS: 'emf' }, none],
    ['without a place', noPlaceYet, missing(noPlace)],
    ['with one of this machine', { ...noPlaceYet, NODE_HOST: 'host.docker.internal' }, missing(noPlace)],
    ['with the same in capitals', { ...noPlaceYet, NODE_HOST: 'Host.Docker.Internal.' }, missing(noPlace)],
    ['not where a gateway is the place', { ...noPlaceYet, SANDBOX_URL_TEMPLATE: 'https://a/{service}' }, none],
    ['not, but doubted, with AUTH=off', { ...noKeyYet, AUTH: 'off' }, { ...none, doubtful: [isOpen] }],
    [
      'not, but doubted, with a short key',
      { ...complete, PROVISIONER_API_KEY: 'hunter2' },
      { ...none, doubtful: [isShort] },
    ],
    ['not, but doubted, without a cluster', without('KUBECONFIG_PATH'), { ...none, doubtful: [noCluster] }],
    [
      'with all that the functions would refuse',
      {
        ...complete,
        SANDBOX_TTL_SECONDS: 'a day',
        PROVISIONER_API_KEY: '[hunter2]',
        LOG_LEVEL: 'loud',
        API_DOCS: 'no',
      },
      {
        ...none,
        wrong: [
          expect.toSatisfy((text: string) => /_TTL_SECONDS must.*_API_KEY must/.test(text) && !/hunter2/.test(text)),
          expect.stringContaining('LOG_LEVEL must be'),
          "API_DOCS must be 'open' or 'callers'",
        ],
      },
    ],
    [
      'for more than one key',
      { ...complete, PROVISIONER_API_KEY_PARAMETER: 'p' },
      { ...none, wrong: [expect.stringMatching(/PROVISIONER_API_KEY, PROVISIONER_API_KEY_PARAMETER only one/)] },
    ],
  ])('%s', (_what, environment, findings) => {
    expect(checkEnvironment(environment)).toEqual(findings);
  });

  it("for an environment over Lambda's 4 KB, in bytes of its names and values", () => {
    // What `get` has of its own beside the kubeconfig, in bytes.
    const rest = Object.entries(complete).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    const room = 4096 - rest - 'KUBECONFIG_CONTENT'.length;
    // Two bytes each.
    const text = 'é'.repeat(Math.floor(room / 2)) + 'e'.repeat(room % 2);
    expect(findOverLimits(plan({ ...complete, KUBECONFIG_CONTENT: text }))).toEqual([]);
    expect(findOverLimits(plan({ ...complete, KUBECONFIG_CONTENT: `${text}e` }))).toEqual([
      `KUBECONFIG_CONTENT is ${room + 1 + 'KUBECONFIG_CONTENT'.length} of the 4097 bytes in the environment of get, ` +
        'where Lambda takes 4096: keep it in Secrets Manager (KUBECONFIG_SECRET_ID) or in Parameter Store ' +
        '(KUBECONFIG_PARAMETER) instead',
    ]);
  });

  it('for a stage whose roles would have names that are too long', () => {
    const withRole = (roleName: string) => plan(complete, {}, { health: { ...functions.health, roleName } });
    expect(findOverLimits(withRole('r'.repeat(64)))).toEqual([]);
    expect(findOverLimits(withRole('r'.repeat(65)))).toEqual([expect.stringContaining('choose a shorter --stage')]);
  });
});

describe('the settings of a deployment', () => {
  const ids = { VPC_SUBNET_IDS: 'subnet-0a', VPC_SECURITY_GROUP_IDS: 'sg-0a' };
  const topic = 'arn:aws:sns:eu-west-1:123456789012:operators';
  it.each<[Environment, string]>([
    [{ EKS_ACCESS_ENTRIES: 'yes' }, "EKS_ACCESS_ENTRIES must be 'true' or 'false'"],
    [{ EKS_ACCESS_ENTRIES: 'true' }, 'EKS_ACCESS_ENTRIES needs EKS_CLUSTER_NAME beside it'],
    [{ EKS_ACCESS_GROUP: 'system:masters' }, 'EKS_ACCESS_GROUP must be a Kubernetes group of your own'],
    [{ EKS_ACCESS_GROUP: 'eks:admin' }, 'EKS_ACCESS_GROUP must be a Kubernetes group of your own'],
    [{ SECRETS_EXTENSION_LAYER_ARN: 'arn:aws:lambda:eu-west-1:123456789012:layer:x' }, "must be the ARN of a layer's"],
    [{ SECRETS_EXTENSION_LAYER_ARN: '{{resolve:ssm:/x}}' }, 'SECRETS_EXTENSION_LAYER_ARN must'],
    [{ SECRETS_KMS_KEY_ARN: 'arn:aws:kms:eu-west-1:123456789012:alias/x' }, 'SECRETS_KMS_KEY_ARN must be'],
    [{ SECRETS_KMS_KEY_ARN: '*' }, 'SECRETS_KMS_KEY_ARN must be'],
    [{ ALARM_TOPIC_ARN: 'operators', METRICS: 'emf' }, 'ALARM_TOPIC_ARN must be'],
    [{ ALARM_TOPIC_ARN: topic }, 'ALARM_TOPIC_ARN needs METRICS=emf beside it'],
    [{ ALARM_TOPIC_ARN: topic, METRICS: 'prometheus' }, 'ALARM_TOPIC_ARN needs METRICS=emf beside it'],
    [{ VPC_SUBNET_IDS: 'subnet-0a' }, 'VPC_SUBNET_IDS needs VPC_SECURITY_GROUP_IDS beside it'],
    [{ VPC_SECURITY_GROUP_IDS: 'sg-0a' }, 'VPC_SECURITY_GROUP_IDS needs VPC_SUBNET_IDS beside it'],
    [{ ...ids, VPC_SUBNET_IDS: 'subnet-0a,vpc-0b' }, "VPC_SUBNET_IDS must be subnets' ids"],
    [{ ...ids, VPC_SUBNET_IDS: ',' }, "VPC_SUBNET_IDS must be subnets' ids"],
    [{ API_THROTTLE_RATE: '5' }, 'API_THROTTLE_RATE needs API_THROTTLE_BURST beside it'],
    [{ API_THROTTLE_RATE: '0', API_THROTTLE_BURST: '1' }, 'API_THROTTLE_RATE must be a whole number from 1'],
    [{ CLEANUP_SCHEDULE: '5 minutes' }, "CLEANUP_SCHEDULE must be 'rate(…)' or 'cron(…)'"],
    [{ LOG_RETENTION_DAYS: 'forever' }, 'LOG_RETENTION_DAYS must be a whole number of days'],
  ])('are refused by name: %o', (values, problem) => {
    const read = readDeploymentSettings(values);
    expect(read).toEqual({ settings: undefined, problems: [expect.stringContaining(problem)] });
  });
});

describe('the address of an EKS cluster', () => {
  let answer: { status: number; body: object; headers?: Record<string, string> };
  let asked: string[];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(JSON.stringify(answer.body));
  });
  const client = async () => ({
    region: 'eu-west-1',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    maxAttempts: 1,
  });
  const cluster = (more = {}) => ({
    status: 200,
    body: { cluster: { endpoint: 'https://eks', certificateAuthority: { data: 'Q0E=' }, status: 'ACTIVE', ...more } },
  });
  const noEntries = cluster({ accessConfig: { authenticationMode: 'CONFIG_MAP' } });
  const found = { EKS_CLUSTER_ENDPOINT: 'https://eks', EKS_CLUSTER_CA: 'Q0E=' };
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  beforeEach(() => {
    asked = [];
    answer = cluster();
  });
  afterAll(() => {
    server.close();
  });

  it.each<[string, Environment, Environment]>([
    ['all', {}, found],
    ['the rest', { EKS_CLUSTER_ENDPOINT: 'https://mine' }, { EKS_CLUSTER_CA: 'Q0E=' }],
    ['nothing', { EKS_CLUSTER_ENDPOINT: 'https://mine', EKS_CLUSTER_CA: 'TQ==' }, {}],
  ])('is what was set, and EKS is asked for %s', async (_what, given, added) => {
    const environment = { EKS_CLUSTER_NAME: 'cluster', X: 'y', ...given };
    const filled = { environment: { ...environment, ...added }, problems: [] };
    expect(await fillInEksCluster(environment, false, client)).toEqual(filled);
    expect(asked).toEqual(Object.keys(added).length > 0 ? ['GET /clusters/cluster'] : []);
  });

  it('is nothing to ask for without a cluster', async () => {
    const environment = { NODE_HOST: 'node' };
    expect(await fillInEksCluster(environment, false, client)).toEqual({ environment, problems: [] });
    expect(asked).toEqual([]);
  });

  const notFound = { 'x-amzn-errortype': 'ResourceNotFoundException' };
  it.each<[string, typeof answer, RegExp]>([
    [
      'is not there',
      { status: 404, body: { message: 'No cluster found' }, headers: notFound },
      /^EKS_CLUSTER_NAME: 'cluster' could not be looked up \(ResourceNotFoundException: No cluster found\)\. Deploy with/,
    ],
    [
      'is still being made',
      { status: 200, body: { cluster: { status: 'CREATING' } } },
      /^EKS_CLUSTER_NAME: 'cluster' has no endpoint yet \(CREATING\)\.$/,
    ],
    ['takes no access entries', noEntries, /^EKS_ACCESS_ENTRIES: 'cluster' takes no access entries\./],
  ])('is a problem that names the setting if the cluster %s', async (_what, given, message) => {
    answer = given;
    expect(await fillInEksCluster({ EKS_CLUSTER_NAME: 'cluster', X: 'y' }, true, client)).toEqual({
      environment: { X: 'y' },
      problems: [expect.stringMatching(message)],
    });
  });

  it('is had from a cluster that takes no access entries, if none are wanted', async () => {
    answer = noEntries;
    expect(await fillInEksCluster({ EKS_CLUSTER_NAME: 'cluster' }, false, client)).toMatchObject({ problems: [] });
  });
});
