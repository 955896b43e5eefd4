import { matching, meaning, parameterName, passing, secretId } from './rules.ts';
import type { Settings, Values } from './setting.ts';
import { parseWebhookSecrets, webhookSecretsRule } from './webhook-secrets.ts';

/** Where events go, and for how long a request may be held up by them. */
export type EventTargets = Readonly<{
  /** The name or the ARN of an event bus of EventBridge. */
  bus: string | undefined;
  webhook: Readonly<{ url: string; signing: WebhookSigning }> | undefined;
  deliverySeconds: number;
}>;

/** What webhooks are signed with: these secrets, or those that AWS keeps. */
export type WebhookSigning = Readonly<
  { secrets: readonly string[] } | { source: Readonly<{ store: 'secrets-manager' | 'parameter-store'; id: string }> }
>;

/** Names within one's own network: this machine, a service of compose, a Service of the cluster. */
const nearby = /^(localhost|127\.0\.0\.1|\[::1\]|[\w-]+|[\w.-]+\.(svc|local|internal))$/;

/** Events tell of users and of what fails. A user in the URL would be sent nowhere. */
function isWebhookUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  return username + password === '' && (protocol === 'https:' || (protocol === 'http:' && nearby.test(hostname)));
}

/** Who is told of changes, and how. */
export const eventSettings = {
  EVENT_BUS_NAME: {
    rule: () =>
      matching(
        /^(arn:[\w-]+:events:[a-z]{2,5}(-[a-z]{2,12})+-\d{1,2}:\d{12}:event-bus\/)?[\w./-]{1,256}$/,
        'must be the name or the ARN of an event bus',
      ),
    neededBy: 'events',
    doc: 'the event bus of EventBridge (its name or ARN) that gets an event of each change',
  },
  WEBHOOK_URL: {
    rule: () =>
      passing([isWebhookUrl, 'must be an https:// URL without a user, or an http:// one within your own network']),
    neededBy: 'events',
    doc: 'where a POST with an event of each change goes: `https://…`, or `http://…` [within your own network](events.md#webhooks)',
  },
  WEBHOOK_SECRET: {
    rule: () =>
      meaning(
        passing([(text) => parseWebhookSecrets(text) !== undefined, webhookSecretsRule]),
        (text): readonly string[] => parseWebhookSecrets(text) ?? [],
      ),
    neededBy: 'events',
    doc: 'what they are signed with, as of `echo whsec_$(openssl rand -base64 32)`; or several, separated by commas or blanks',
  },
  WEBHOOK_SECRET_ID: {
    rule: secretId,
    neededBy: 'events',
    keptIn: 'secretsmanager',
    doc: 'instead, on Lambda: the secret in Secrets Manager (its name or ARN) that holds it',
  },
  WEBHOOK_SECRET_PARAMETER: {
    rule: parameterName,
    neededBy: 'events',
    keptIn: 'ssm',
    doc: "instead, on Lambda: the parameter in SSM's Parameter Store that holds it",
  },
  EVENT_DELIVERY_SECONDS: {
    rule: () => meaning(matching(/^([1-9]|10)$/, 'must be a whole number of seconds from 1 to 10'), Number),
    default: 1,
    neededBy: 'events',
    doc: 'for how long the events of a request are tried to be delivered. On Lambda and under `npm start`, its answer waits for that',
  },
} as const satisfies Settings;

const secretSettings = ['WEBHOOK_SECRET', 'WEBHOOK_SECRET_ID', 'WEBHOOK_SECRET_PARAMETER'] as const;

/** Where the settings have events go; undefined for nowhere. */
export function readEventTargets(values: Values<typeof eventSettings>): EventTargets | undefined {
  const { EVENT_BUS_NAME: bus, WEBHOOK_URL: url, EVENT_DELIVERY_SECONDS: deliverySeconds } = values;
  const signing = readSigning(values);
  const webhook = url === undefined || signing === undefined ? undefined : { url, signing };
  return bus === undefined && webhook === undefined ? undefined : { bus, webhook, deliverySeconds };
}

function readSigning(values: Values<typeof eventSettings>): WebhookSigning | undefined {
  const { WEBHOOK_SECRET: secrets, WEBHOOK_SECRET_ID: secret, WEBHOOK_SECRET_PARAMETER: parameter } = values;
  if (secrets !== undefined) return { secrets };
  if (secret !== undefined) return { source: { store: 'secrets-manager', id: secret } };
  if (parameter !== undefined) return { source: { store: 'parameter-store', id: parameter } };
  return undefined;
}

/** What is wrong with the settings of events together, where each for itself is right. */
export function findEventProblems(values: Values<typeof eventSettings>): string[] {
  const given = secretSettings.filter((name) => values[name] !== undefined);
  if (given.length > 1) return [`of ${given.join(', ')} only one may be set`];
  if (values.WEBHOOK_URL === undefined) return given.map((name) => `${name} needs WEBHOOK_URL beside it`);
  if (given.length === 1) return [];
  return [`WEBHOOK_URL needs one of ${secretSettings.join(', ')} beside it: every webhook is signed`];
}
