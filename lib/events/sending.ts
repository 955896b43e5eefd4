import type { WebhookSigning } from '../config/events.ts';
import type { Config } from '../config/index.ts';
import { parseWebhookSecrets, webhookSecretsRule } from '../config/webhook-secrets.ts';
import { ProvisionerError } from '../errors.ts';
import { pickField, readSecret } from '../secrets.ts';
import { buildEvent, type Change, type ChangeEvent } from './changes.ts';
import { deliver, type Target } from './delivery.ts';
import { openEventBus } from './event-bus.ts';
import { openWebhook } from './webhook.ts';

// lib/deploy bundles this apart from the functions: nothing of it is loaded where nobody wants events. So it knows no state of the process.
export { findChanges, toChange } from './changes.ts';

/** An event that is not known to have arrived: where, by the setting, and why. */
export type Lost = Readonly<{ setting: string; why: string; event: ChangeEvent }>;

type Sending = Readonly<{ requestId: string; now: () => Date; signal: AbortSignal; onLost: (lost: Lost) => void }>;

/**
 * Sends an event of each change to where the settings say, and tries again what fails, until the signal aborts; then tells of each that has
 * not arrived. Never rejects: it is no part of the work that it tells of.
 */
export async function sendEvents(
  changes: readonly Change[],
  { eventTargets, aws }: Pick<Config, 'eventTargets' | 'aws'>,
  { requestId, now, signal, onLost }: Sending,
): Promise<void> {
  if (changes.length === 0) return;
  const events = changes.map((change) => buildEvent(change, requestId, now()));
  const { bus, webhook } = eventTargets ?? {};
  const send = async (setting: string, target: Target) => {
    for (const { event, why } of await deliver(events, target, signal)) onLost({ setting, why, event });
  };
  await Promise.all([
    bus && send('EVENT_BUS_NAME', openEventBus(bus, aws, now)),
    webhook && send('WEBHOOK_URL', openWebhook(webhook.url, findSecrets(webhook.signing, aws), now)),
  ]);
}

/** Reads the secrets once, if AWS keeps them: its extension remembers them for longer. */
function findSecrets(signing: WebhookSigning, aws: Config['aws']): (signal: AbortSignal) => Promise<readonly string[]> {
  if ('secrets' in signing) return async () => signing.secrets;
  const extension = { port: aws.secretsExtensionPort, sessionToken: aws.sessionToken };
  let reading: Promise<readonly string[]> | undefined;
  const read = async (signal: AbortSignal) => {
    const text = await readSecret(signing.source, extension, signal);
    const secrets = parseWebhookSecrets(pickField(text, 'WEBHOOK_SECRET'));
    if (secrets !== undefined) return secrets;
    throw new ProvisionerError('misconfigured', `'${signing.source.id}' ${webhookSecretsRule}`);
  };
  return (signal) => {
    reading ??= read(signal).catch((error: unknown) => {
      reading = undefined;
      throw error;
    });
    return reading;
  };
}
