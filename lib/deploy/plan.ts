import { metricsSettings } from '../config/metrics.ts';
import { splitList } from '../config/rules.ts';
import type { Need } from '../config/setting.ts';
import { allSettings } from '../config/themes.ts';
import { planAlarms } from './alarms.ts';
import { planDashboard } from './dashboard.ts';
import type { DeploymentSettings } from './settings.ts';

/** A function as serverless.yml defines it. */
export type DeployedFunction = Readonly<{
  /** Its name as CloudFormation's logical ids begin with it. */
  id: string;
  /** Its name on Lambda. */
  lambdaName: string;
  /** The name for its role, in the whole account. */
  roleName: string;
  needs: readonly Need[];
  events: readonly Event[];
}>;

/** What calls a function, in the framework's words: a route (`GET /health`), or something else. */
export type Event = { httpApi?: string | { method?: string; path: string; authorizer: string }; schedule?: unknown };

/** What a function's definition gets, in the framework's words. */
export type Definition = {
  environment: Record<string, string>;
  role: string;
  events: Event[];
  layers?: string[];
  vpc?: { subnetIds: readonly string[]; securityGroupIds: readonly string[] };
};

/** What serverless.yml's definitions get, all of it made from the settings. */
export type Deployment = {
  functions: Record<string, Definition>;
  authorizers: Record<string, { type: 'jwt'; identitySource: string; issuerUrl: string; audience: string[] }>;
  resources: { Resources: Resources; extensions: Record<string, { Properties: object }> };
};

type Environment = Readonly<Record<string, string>>;
type Resources = Record<string, { Type: string; Properties: Record<string, unknown> }>;
type Secret = { setting: string; store: 'secretsmanager' | 'ssm' };

/**
 * What is deployed with these settings, function by function: see `planFunction`. With a JWT issuer, every route of a function
 * that has to do with callers asks for a token, so those of unknown paths too; but the API's description, where that is open. Pure.
 */
export function planDeployment(
  functions: Readonly<Record<string, DeployedFunction>>,
  environment: Environment,
  settings: DeploymentSettings,
): Deployment {
  const authorizer = readAuthorizer(environment);
  const planned = Object.entries(functions).map(([name, definition]) => ({
    name,
    ...planFunction(definition, environment, settings),
  }));
  return {
    functions: Object.fromEntries(planned.map(({ name, definition }) => [name, definition])),
    authorizers: authorizer ? { [authorizerName]: authorizer } : {},
    resources: {
      Resources: Object.assign(
        {},
        ...planned.map(({ resources }) => resources),
        planWatch(functions, environment, settings),
      ),
      extensions: settings.throttle
        ? {
            HttpApiStage: {
              Properties: {
                DefaultRouteSettings: {
                  ThrottlingRateLimit: settings.throttle.requestsPerSecond,
                  ThrottlingBurstLimit: settings.throttle.burst,
                },
              },
            },
          }
        : {},
    },
  };
}

/**
 * What one function gets: the settings that it needs and no others, a role of its own that may do what the function needs and nothing
 * else, the extension that reads secrets if it reads one, the VPC and an access entry of the EKS cluster if it talks to
 * Kubernetes.
 */
function planFunction(
  { id, lambdaName, roleName, needs, events }: DeployedFunction,
  all: Environment,
  settings: DeploymentSettings,
): { definition: Definition; resources: Resources } {
  const environment = Object.fromEntries(Object.entries(all).filter(([name]) => isNeeded(name, needs)));
  const secrets = Object.keys(environment).flatMap((setting): Secret[] => {
    const store = allSettings[setting]?.keptIn;
    return store === undefined ? [] : [{ setting, store }];
  });
  const talksToKubernetes = needs.includes('kubernetes');
  const vpc = talksToKubernetes ? settings.vpc : undefined;
  const role = `${id}Role`;

  const resources: Resources = {
    [role]: {
      Type: 'AWS::IAM::Role',
      Properties: {
        RoleName: roleName,
        AssumeRolePolicyDocument: {
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }],
        },
        Policies: [
          {
            PolicyName: 'function',
            PolicyDocument: {
              Version: '2012-10-17',
              Statement: [
                mayWriteLog(id),
                ...secrets.map(({ setting, store }) => mayReadSecret(store, environment[setting] ?? '')),
                ...mayDecrypt(secrets, settings.secretsKmsKeyArn),
                ...mayPutEvents(environment.EVENT_BUS_NAME),
                ...(vpc ? mayJoinVpc(lambdaName) : []),
              ],
            },
          },
        ],
      },
    },
  };
  if (talksToKubernetes && settings.eksAccessEntries) {
    resources[`${id}EksAccessEntry`] = {
      Type: 'AWS::EKS::AccessEntry',
      Properties: {
        ClusterName: environment.EKS_CLUSTER_NAME,
        PrincipalArn: { 'Fn::GetAtt': [role, 'Arn'] },
        Type: 'STANDARD',
        KubernetesGroups: [settings.eksAccessGroup],
      },
    };
  }
  return {
    definition: {
      environment,
      role,
      events: isForCallers(needs, all) && readAuthorizer(all) ? guard(events, all) : [...events],
      ...(secrets.length > 0 && { layers: [settings.secretsExtensionLayer] }),
      ...(vpc && { vpc }),
    },
    resources,
  };
}

/** Whether a function with these needs is given this setting. */
function isNeeded(name: string, needs: readonly string[]): boolean {
  const neededBy = [allSettings[name]?.neededBy ?? []].flat();
  return neededBy.some((need) => need === 'every function' || needs.includes(need));
}

/** Whether only callers may use a function with these needs; anybody may read the description, unless the settings say otherwise. */
const isForCallers = (needs: readonly string[], { API_DOCS }: Environment): boolean =>
  needs.includes('callers') && (!needs.includes('description') || API_DOCS === 'callers');

type Authorizer = Deployment['authorizers'][string];
const authorizerName = 'callers';

/** What asks for a token, where an issuer is set; AUTH=off turns this off too. */
function readAuthorizer({ AUTH, JWT_ISSUER, JWT_AUDIENCE }: Environment): Authorizer | undefined {
  if (AUTH === 'off' || JWT_ISSUER === undefined || JWT_AUDIENCE === undefined) return undefined;
  return {
    type: 'jwt',
    identitySource: '$request.header.Authorization',
    issuerUrl: JWT_ISSUER,
    audience: splitList(JWT_AUDIENCE),
  };
}

/** The same routes, for those alone whom the authorizer lets through. */
function guard(events: readonly Event[], { CORS_ALLOWED_ORIGINS }: Environment): Event[] {
  const authorizer = authorizerName;
  return events.flatMap((event) => {
    if (typeof event.httpApi !== 'string') return [event];
    if (event.httpApi === '*') {
      // Before a page may send its token, its browser asks without one; the function answers that, and refuses all else.
      const preflights = CORS_ALLOWED_ORIGINS === undefined ? [] : [{ httpApi: 'OPTIONS /{proxy+}' }];
      return [{ httpApi: { path: '*', authorizer } }, ...preflights];
    }
    const [method = '', path = ''] = event.httpApi.split(' ');
    return [{ httpApi: { method, path, authorizer } }];
  });
}

/** The alarms, and the dashboard that shows them, if somebody is to hear of them. */
function planWatch(
  functions: Readonly<Record<string, DeployedFunction>>,
  { METRICS_NAMESPACE }: Environment,
  { alarmTopicArn, cleanUpEverySeconds }: DeploymentSettings,
): Resources {
  if (alarmTopicArn === undefined) return {};
  const metricsNamespace = METRICS_NAMESPACE ?? metricsSettings.METRICS_NAMESPACE.default;
  const watched = Object.values(functions).map(({ id, lambdaName, needs, events }) => ({
    id,
    lambdaName,
    operations:
      needs.includes('callers') && needs.includes('kubernetes')
        ? events.flatMap(({ httpApi }) => (typeof httpApi === 'string' ? [httpApi] : []))
        : [],
    isScheduled: events.some(({ schedule }) => schedule),
  }));
  const alarms = planAlarms({ metricsNamespace, functions: watched, cleanUpEverySeconds }, alarmTopicArn);
  return { ...alarms, ...planDashboard(metricsNamespace, Object.keys(alarms)) };
}

const mayWriteLog = (id: string) => ({
  Effect: 'Allow',
  Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
  // Ends in `:*`: the streams of this log group.
  Resource: { 'Fn::GetAtt': [`${id}LogGroup`, 'Arn'] },
});

function mayReadSecret(store: Secret['store'], name: string) {
  const isArn = name.startsWith('arn:');
  const arn = `arn:\${AWS::Partition}:${store}:\${AWS::Region}:\${AWS::AccountId}`;
  if (store === 'ssm') {
    return {
      Effect: 'Allow',
      Action: 'ssm:GetParameter',
      Resource: isArn ? name : { 'Fn::Sub': `${arn}:parameter/${name.replace(/^\//, '')}` },
    };
  }
  return {
    Effect: 'Allow',
    Action: 'secretsmanager:GetSecretValue',
    // Secrets Manager ends each ARN with a hyphen and six characters of its own.
    Resource: isArn ? name : { 'Fn::Sub': `${arn}:secret:${name}-??????` },
  };
}

/** AWS' own keys need no permission; a customer's does, and then only for what the store asks of it. */
function mayDecrypt(secrets: Secret[], keyArn: string | undefined) {
  if (keyArn === undefined || secrets.length === 0) return [];
  const stores = [...new Set(secrets.map(({ store }) => store))];
  return [
    {
      Effect: 'Allow',
      Action: 'kms:Decrypt',
      Resource: keyArn,
      Condition: { StringLike: { 'kms:ViaService': stores.map((store) => `${store}.*.amazonaws.com*`) } },
    },
  ];
}

function mayPutEvents(bus: string | undefined) {
  if (bus === undefined) return [];
  const own = `arn:\${AWS::Partition}:events:\${AWS::Region}:\${AWS::AccountId}:event-bus/${bus}`;
  return [{ Effect: 'Allow', Action: 'events:PutEvents', Resource: bus.startsWith('arn:') ? bus : { 'Fn::Sub': own } }];
}

// As AWSLambdaVPCAccessExecutionRole has them.
const networkInterfaceActions = [
  'ec2:CreateNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:DeleteNetworkInterface',
  'ec2:AssignPrivateIpAddresses',
  'ec2:UnassignPrivateIpAddresses',
];

/** Lambda makes the network interfaces in the name of the function's role; the function's own code may not. */
const mayJoinVpc = (lambdaName: string) => [
  { Effect: 'Allow', Action: networkInterfaceActions, Resource: '*' },
  {
    Effect: 'Deny',
    Action: networkInterfaceActions,
    Resource: '*',
    Condition: {
      ArnEquals: {
        'lambda:SourceFunctionArn': {
          'Fn::Sub': `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:${lambdaName}`,
        },
      },
    },
  },
];
