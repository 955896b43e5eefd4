import { createHmac } from 'node:crypto';
import type { ChangeEvent } from './changes.ts';
import type { Target } from './delivery.ts';

/** Another call may go better: it was too early, too often, or fails there. */
const passing: ReadonlySet<number> = new Set([408, 425, 429]);

/**
 * A webhook as Standard Webhooks 1.0 has it: a POST for each event, signed with each of the secrets. Every answer of 2xx takes the event;
 * a redirect is not followed, for the event is meant for this address.
 */
export function openWebhook(
  url: string,
  readSecrets: (signal: AbortSignal) => Promise<readonly string[]>,
  now: () => Date,
): Target {
  return {
    most: 1,
    async send([event], signal) {
      if (event === undefined) return [];
      const body = JSON.stringify(event);
      const timestamp = Math.floor(now().getTime() / 1000);
      const signatures = (await readSecrets(signal)).map((secret) => sign(secret, event, timestamp, body));
      const headers = {
        'content-type': 'application/json',
        // One that was kept may have ended while the function was frozen, and nobody would be told.
        connection: 'close',
        'user-agent': 'sandbox-provisioner',
        'webhook-id': event.id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signatures.join(' '),
      };
      const response = await fetch(url, { method: 'POST', redirect: 'manual', headers, body, signal });
      // What else it says nobody reads, and it may never end.
      response.body?.cancel().catch(() => {});
      const { status } = response;
      return response.ok
        ? []
        : [{ event, why: `it answered ${status}`, isFinal: status < 500 && !passing.has(status) }];
    },
  };
}

const sign = (secret: string, { id }: ChangeEvent, timestamp: number, body: string): string =>
  `v1,${createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
    .update(`${id}.${timestamp}.${body}`)
    .digest('base64')}`;
