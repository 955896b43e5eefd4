// Apart from the other rules: what sends events reads secrets too, and is bundled without the library of rules.

/** Whether a text is a secret of Standard Webhooks: `whsec_`, and 24 to 64 bytes in base64. */
function isWebhookSecret(text: string): boolean {
  const [, encoded = ''] = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(text) ?? [];
  const { length } = Buffer.from(encoded, 'base64');
  return length >= 24 && length <= 64;
}

/** The secrets in a text, separated by commas or white space; undefined if there is none, or one that is no legal secret. */
export function parseWebhookSecrets(text: string): string[] | undefined {
  const secrets = text.split(/[\s,]+/).filter((part) => part !== '');
  return secrets.length > 0 && secrets.every(isWebhookSecret) ? secrets : undefined;
}

/** What `parseWebhookSecrets` asks for, in words. */
export const webhookSecretsRule =
  "must be 'whsec_' and 24 to 64 random bytes in base64, or several of these, separated by commas or blanks";
