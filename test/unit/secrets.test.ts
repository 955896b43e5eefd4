import { describe, expect, it } from 'vitest';
import { readSecret, type SecretSource } from '../../lib/secrets.ts';
import { findFreePorts } from '../support/free-ports.ts';
import { startApiServer } from './api-server.ts';
import { base64, never } from './opened.ts';

const secret: SecretSource = { store: 'secrets-manager', id: 'agents/kubeconfig' };
const parameter: SecretSource = { store: 'parameter-store', id: '/agents/kubeconfig' };

type Reply = { code?: number; body?: string | object } | 'hang' | 'hang in the middle' | 'cut' | 'cut in the middle';

/** A server in the place of the extension, that gives one reply after the other, the last one again and again. */
async function startExtension(...replies: Reply[]) {
  let index = 0;
  return startApiServer((_request, response) => {
    const reply = replies[Math.min(index, replies.length - 1)] ?? {};
    index += 1;
    if (reply === 'hang') return;
    if (reply === 'cut') return void response.destroy();
    if (typeof reply === 'string') {
      response.write('{"SecretString":"hal', () => {
        if (reply === 'cut in the middle') response.destroy();
      });
      return;
    }
    const { code = 200, body = {} } = reply;
    response.writeHead(code);
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

const read = ({ port }: { port: number }, source = secret, signal = never) =>
  readSecret(source, { port, sessionToken: 'session-token' }, signal);
const readReplies = async (...replies: Reply[]) => read(await startExtension(...replies));

const misconfigured = (detail: unknown) => ({ kind: 'misconfigured', detail });
const called = "The secret 'agents/kubeconfig'";
const notRead = (why: string) => misconfigured(`${called} could not be read (${why})`);
const unavailable = { kind: 'unavailable', headers: { 'retry-after': '1' } };
const cutOff = { kind: 'unavailable', detail: expect.stringContaining('ECONNRESET') };

describe('a secret', () => {
  const bySecretId = '/secretsmanager/get?secretId=agents%2Fkubeconfig';
  const arn = 'arn:aws:secretsmanager:eu-central-1:1:secret:a b&c=ü';
  const byArn = 'arn%3Aaws%3Asecretsmanager%3Aeu-central-1%3A1%3Asecret%3Aa%20b%26c%3D%C3%BC';
  const byName = '/systemsmanager/parameters/get?name=%2Fagents%2Fkubeconfig&withDecryption=true';
  const longText = 'ü€😀'.repeat(20_000);
  it.each<[string, SecretSource, object, string, string?]>([
    ['of Secrets Manager', secret, { ARN: 'arn', SecretString: 'a: b', VersionId: '1' }, bySecretId],
    ['by its ARN', { ...secret, id: arn }, { SecretString: 'a: b' }, `/secretsmanager/get?secretId=${byArn}`],
    ['that is binary', secret, { SecretString: null, SecretBinary: base64('a: b') }, bySecretId],
    ['that is long, and not ASCII', secret, { SecretString: longText }, bySecretId, longText],
    ['of the Parameter Store, decrypted', parameter, { Parameter: { Name: 'n', Value: 'a: b' } }, byName],
  ])('is read with the session token: %s', async (_what, source, body, url, text = 'a: b') => {
    const extension = await startExtension({ body });
    await expect(read(extension, source)).resolves.toBe(text);
    expect(extension.requests).toMatchObject([
      { method: 'GET', url, headers: { 'x-aws-parameters-secrets-token': 'session-token' } },
    ]);
  });

  it('is read over a connection of its own: one that is kept ends while the function is frozen', async () => {
    const extension = await startExtension({ body: { SecretString: 'x' } });
    for (let time = 0; time < 3; time += 1) {
      await expect(read(extension)).resolves.toBe('x');
      extension.cutConnections();
    }
    expect(extension.connections()).toBe(3);
  });

  it('is asked for again while the extension is not ready, at the start of the first invocation', async () => {
    const notReady = { code: 400, body: 'not ready to serve traffic, please wait' };
    await expect(readReplies(notReady, notReady, { body: { SecretString: 'x' } })).resolves.toBe('x');
    const extension = await startExtension(notReady);
    const detail = `${called} could not be read (400)`;
    await expect(read(extension)).rejects.toMatchObject({ ...unavailable, detail });
    expect(extension.requests.length).toBeGreaterThan(3);
  });

  const denied = 'operation error Secrets Manager: GetSecretValue, StatusCode: 400, AccessDeniedException: User';
  it.each<[string, Reply, object]>([
    ['may not be read', { code: 400, body: denied }, notRead("400: the function's role may not read it")],
    ['is not there', { code: 400, body: { Code: 'ResourceNotFoundException' } }, notRead('400: it is not there')],
    ['is no parameter', { code: 400, body: 'api error ParameterNotFound: x' }, notRead('400: it is not there')],
    ['cannot be decrypted', { code: 400, body: 'AccessKMSException: no' }, notRead('400: its key cannot be used')],
    ['is refused without a word', { code: 403, body: '' }, notRead('403')],
    ['is not found', { code: 404, body: '404 page not found' }, notRead('404')],
    ['is refused for the token', { code: 401, body: 'x' }, notRead('401')],
    ['is asked for too often', { code: 400, body: 'ThrottlingException: Rate exceeded' }, unavailable],
    ['is asked for too often, by the extension', { code: 429 }, unavailable],
    ['meets a failure of AWS', { code: 500, body: 'InternalServiceError' }, unavailable],
    ['meets a failure of the extension', { code: 502, body: '' }, unavailable],
    ['meets a connection that is cut', 'cut', cutOff],
    ['is cut in the middle', 'cut in the middle', cutOff],
  ])('says why it cannot be had, when it %s', async (_what, reply, error) => {
    await expect(readReplies(reply)).rejects.toMatchObject(error);
  });

  it.each<[string, string | object]>([
    ['HTML', '<html>top-secret</html>'],
    ['half of an answer', '{"SecretString":"top-secret'],
    ['nothing', ''],
    ['null', 'null'],
    ['an answer without a value', { Name: 'top-secret' }],
    ['an empty value', { SecretString: '' }],
    ['a number for a value', { SecretString: 7 }],
    ['a parameter without a value', { Parameter: {} }],
    ['binary that is no text', { SecretBinary: Buffer.from([0xff, 0xfe, 0x00]).toString('base64') }],
  ])('is none where the answer is %s, which is not quoted', async (_what, body) => {
    const error = { ...misconfigured(`${called} holds no text`), cause: undefined };
    await expect(readReplies({ body })).rejects.toMatchObject(error);
  });

  it.each<[string, AbortSignal | undefined, number]>([
    ['hang', undefined, 1],
    ['hang in the middle', undefined, 1],
    ['hang', AbortSignal.abort(), 0],
  ])('is waited for no longer than the signal: %s', async (reply, signal = AbortSignal.timeout(200), requests) => {
    const extension = await startExtension(reply as Reply);
    const error = { kind: 'deadline-exceeded', detail: `${called} was not read in time` };
    await expect(read(extension, secret, signal)).rejects.toMatchObject(error);
    expect(extension.requests).toHaveLength(requests);
  });

  it('says that the extension is not there, or that there can be none: it can only be read on Lambda', async () => {
    const [port = 0] = await findFreePorts(1);
    const absent = `${called} could not be read: the AWS Parameters and Secrets extension is not there`;
    await expect(read({ port })).rejects.toMatchObject(misconfigured(absent));
    const elsewhere = "The parameter '/agents/kubeconfig' can only be read on Lambda: there is no AWS_SESSION_TOKEN";
    const { port: another, requests } = await startExtension();
    const reading = readSecret(parameter, { port: another, sessionToken: undefined }, never);
    await expect(reading).rejects.toMatchObject(misconfigured(elsewhere));
    expect(requests).toEqual([]);
  });
});
