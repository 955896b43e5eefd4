import http from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { ProvisionerError } from './errors.ts';

/** Where AWS keeps a secret: in Secrets Manager by its id or ARN, or in SSM's Parameter Store by its name. */
export type SecretSource = Readonly<{ store: 'secrets-manager' | 'parameter-store'; id: string }>;

/** The AWS Parameters and Secrets extension of this Lambda function: its port on localhost, and the token that it wants to see. */
export type SecretsExtension = Readonly<{ port: number; sessionToken: string | undefined }>;

/** What the extension says, as a 400, until it has heard of the first invocation; and how long we wait then, in milliseconds. */
const [notReadyPattern, notReadyWaitsMs] = [/not ready to serve traffic/i, [20, 50, 100, 200, 400]] as const;

/** AWS' words for what is wrong, in answers that are mostly 400 whatever it is; the transient ones, and what the others mean. */
const transientPattern = /Throttling|TooManyRequests|RequestLimitExceeded|InternalServiceError|InternalServerError/;
const faults: [RegExp, string][] = [
  [/AccessDenied/, "the function's role may not read it"],
  [/ResourceNotFound|ParameterNotFound|ParameterVersionNotFound/, 'it is not there'],
  [/DecryptionFailure|InvalidKeyId|KMS/, 'its key cannot be used'],
  [/InvalidRequest/, 'it is marked for deletion, or has no value'],
];

/**
 * Reads a secret through the AWS Parameters and Secrets extension, which keeps it for some minutes. It refuses during INIT, so
 * this belongs in an invocation; right at its start it may not be ready, and is asked again for a moment. Throws `misconfigured` if the extension is not there, or says that the secret is not there or
 * may not be read, `unavailable` for what may pass, `deadline-exceeded` at the signal. No error holds any of the secret.
 */
export async function readSecret(
  source: SecretSource,
  extension: SecretsExtension,
  signal: AbortSignal,
): Promise<string> {
  const what = `${source.store === 'secrets-manager' ? 'The secret' : 'The parameter'} '${source.id}'`;
  if (extension.sessionToken === undefined) {
    throw new ProvisionerError('misconfigured', `${what} can only be read on Lambda: there is no AWS_SESSION_TOKEN`);
  }
  const path =
    source.store === 'secrets-manager'
      ? `/secretsmanager/get?secretId=${encodeURIComponent(source.id)}`
      : `/systemsmanager/parameters/get?name=${encodeURIComponent(source.id)}&withDecryption=true`;
  const from = { port: extension.port, sessionToken: extension.sessionToken };
  const { code, text } = await askUntilReady(() => ask(path, from, what, signal), signal);
  if (code >= 500 || code === 429 || (code !== 200 && (transientPattern.test(text) || notReadyPattern.test(text)))) {
    // What the extension said with a 5xx may be anything.
    throw new ProvisionerError('unavailable', `${what} could not be read (${code})`, {
      ...(code < 500 && { cause: text.slice(0, 500) }),
      headers: { 'retry-after': '1' },
    });
  }
  if (code !== 200) {
    const fault = faults.find(([words]) => words.test(text))?.[1];
    const why = fault === undefined ? String(code) : `${code}: ${fault}`;
    throw new ProvisionerError('misconfigured', `${what} could not be read (${why})`, { cause: text.slice(0, 500) });
  }
  const value = pickValue(text);
  if (value === undefined) throw new ProvisionerError('misconfigured', `${what} holds no text`);
  return value;
}

type Answer = { code: number; text: string };

async function askUntilReady(ask: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  for (const waitMs of notReadyWaitsMs) {
    const answer = await ask();
    if (answer.code === 200 || !notReadyPattern.test(answer.text)) return answer;
    // At the signal the next call says what has happened.
    await pause(waitMs, undefined, { signal }).catch(() => {});
  }
  return ask();
}

function ask(
  path: string,
  { port, sessionToken }: { port: number; sessionToken: string },
  what: string,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'x-aws-parameters-secrets-token': sessionToken };
    // A kept connection may have ended while the function was frozen.
    const outgoing = http.get({ host: 'localhost', port, path, headers, signal, agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', fail);
      incoming.on('end', () =>
        resolve({ code: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    const fail = (error: NodeJS.ErrnoException) => {
      if (signal.aborted) {
        return reject(new ProvisionerError('deadline-exceeded', `${what} was not read in time`, { cause: error }));
      }
      const isAbsent = error.code === 'ECONNREFUSED';
      const why = isAbsent ? 'the AWS Parameters and Secrets extension is not there' : (error.code ?? 'no answer');
      reject(
        new ProvisionerError(isAbsent ? 'misconfigured' : 'unavailable', `${what} could not be read: ${why}`, {
          cause: error,
        }),
      );
    };
    outgoing.on('error', fail);
  });
}

/** What Secrets Manager's or Systems Manager's answer says, as the extension hands it on; undefined if that is no text. */
function pickValue(text: string): string | undefined {
  try {
    const { SecretString, SecretBinary, Parameter } = JSON.parse(text);
    const value = SecretString ?? (SecretBinary ? decode(SecretBinary) : Parameter?.Value);
    return typeof value === 'string' && value !== '' ? value : undefined;
  } catch {
    return undefined;
  }
}

const decode = (base64: string): string =>
  new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(base64, 'base64'));

/** The text that a secret holds; of a JSON object, as Secrets Manager's console makes one, the field that is named as the setting. */
export function pickField(secret: string, setting: string): string {
  if (!secret.trimStart().startsWith('{')) return secret;
  try {
    const { [setting]: value } = JSON.parse(secret);
    if (Array.isArray(value)) return JSON.stringify(value);
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}
