import http from 'node:http';
import { ProvisionerError } from './errors.ts';

/** Where AWS keeps a secret: in Secrets Manager by its id or ARN, or in SSM's Parameter Store by its name. */
export type SecretSource = Readonly<{ store: 'secrets-manager' | 'parameter-store'; id: string }>;

/** The AWS Parameters and Secrets extension of this Lambda function: its port on localhost, and the token that it wants to see. */
export type SecretsExtension = Readonly<{ port: number; sessionToken: string | undefined }>;

/**
 * Reads a secret through the AWS Parameters and Secrets extension, which keeps it for some minutes. It refuses during INIT, so
 * this belongs in an invocation. Throws `misconfigured` if the extension is not there, or says that the secret is not there or
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
  const { code, text } = await ask(path, { ...extension, sessionToken: extension.sessionToken }, what, signal);
  if (code >= 500 || code === 429) {
    throw new ProvisionerError('unavailable', `${what} could not be read (${code})`, {
      headers: { 'retry-after': '1' },
    });
  }
  if (code !== 200) {
    throw new ProvisionerError('misconfigured', `${what} could not be read (${code})`, { cause: text.slice(0, 500) });
  }
  const value = pickValue(text);
  if (value === undefined) throw new ProvisionerError('misconfigured', `${what} holds no text`);
  return value;
}

function ask(
  path: string,
  { port, sessionToken }: { port: number; sessionToken: string },
  what: string,
  signal: AbortSignal,
): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'x-aws-parameters-secrets-token': sessionToken };
    const outgoing = http.get({ host: 'localhost', port, path, headers, signal }, (incoming) => {
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

/** What Secrets Manager's or Systems Manager's answer says, as the extension hands it on. */
function pickValue(text: string): string | undefined {
  try {
    const { SecretString, SecretBinary, Parameter } = JSON.parse(text);
    if (typeof SecretString === 'string') return SecretString;
    if (typeof SecretBinary === 'string') return Buffer.from(SecretBinary, 'base64').toString('utf8');
    return typeof Parameter?.Value === 'string' ? Parameter.Value : undefined;
  } catch {
    return undefined;
  }
}
