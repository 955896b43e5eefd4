import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '../../lib/errors.ts';
import { readSecret, type SecretSource } from '../../lib/secrets.ts';
import { findFreePorts } from '../support/free-ports.ts';
import { type ApiServer, type SeenRequest, startApiServer } from './api-server.ts';

const never = new AbortController().signal;
const secret: SecretSource = { store: 'secrets-manager', id: 'agents/kubeconfig' };
const parameter: SecretSource = { store: 'parameter-store', id: '/agents/kubeconfig' };

type Reply = { code?: number; body?: string | object } | 'hang' | 'hang in the middle' | 'cut' | 'cut in the middle';

/** A server in the place of the extension, that gives one reply after the other, the last one again and again. */
async function startExtension(...replies: Reply[]): Promise<ApiServer> {
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

async function errorOf(reading: Promise<string>): Promise<ProvisionerError> {
  const error = await reading.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProvisionerError);
  return error as ProvisionerError;
}

const asked = (requests: readonly SeenRequest[]) => requests.map(({ method, url }) => `${method} ${url}`);

describe('a secret', () => {
  it.each<[string, SecretSource, object, string]>([
    [
      'of Secrets Manager',
      secret,
      { ARN: 'arn', Name: 'agents/kubeconfig', SecretString: 'a: b', VersionId: '1' },
      '/secretsmanager/get?secretId=agents%2Fkubeconfig',
    ],
    [
      'of Secrets Manager, by its ARN',
      { store: 'secrets-manager', id: 'arn:aws:secretsmanager:eu-central-1:1:secret:a b&c=ü' },
      { SecretString: 'a: b' },
      '/secretsmanager/get?secretId=arn%3Aaws%3Asecretsmanager%3Aeu-central-1%3A1%3Asecret%3Aa%20b%26c%3D%C3%BC',
    ],
    [
      'of Secrets Manager that is binary',
      secret,
      { SecretString: null, SecretBinary: Buffer.from('a: b').toString('base64') },
      '/secretsmanager/get?secretId=agents%2Fkubeconfig',
    ],
    [
      'of the Parameter Store, decrypted',
      parameter,
      { Parameter: { Name: '/agents/kubeconfig', Type: 'SecureString', Value: 'a: b' }, ResultMetadata: {} },
      '/systemsmanager/parameters/get?name=%2Fagents%2Fkubeconfig&withDecryption=true',
    ],
  ])('is read with the session token: %s', async (_what, source, body, url) => {
    const extension = await startExtension({ body });
    await expect(read(extension, source)).resolves.toBe('a: b');
    expect(asked(extension.requests)).toEqual([`GET ${url}`]);
    expect(extension.requests[0]?.headers['x-aws-parameters-secrets-token']).toBe('session-token');
  });

  it('may be long, and not ASCII', async () => {
    const text = 'ü€😀'.repeat(20_000);
    await expect(read(await startExtension({ body: { SecretString: text } }))).resolves.toBe(text);
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
    const extension = await startExtension(notReady, notReady, { body: { SecretString: 'x' } });
    await expect(read(extension)).resolves.toBe('x');
    expect(extension.requests).toHaveLength(3);
  });

  it('is unavailable where the extension does not get ready', async () => {
    const extension = await startExtension({ code: 400, body: 'not ready to serve traffic, please wait' });
    expect(await errorOf(read(extension))).toMatchObject({
      outcome: 'unavailable',
      detail: "The secret 'agents/kubeconfig' could not be read (400)",
      headers: { 'retry-after': '1' },
    });
    expect(extension.requests.length).toBeGreaterThan(3);
  });

  it.each<[string, Reply, SecretSource, object]>([
    [
      'may not be read',
      {
        code: 400,
        body: 'operation error Secrets Manager: GetSecretValue, StatusCode: 400, AccessDeniedException: User',
      },
      secret,
      {
        outcome: 'misconfigured',
        detail: "The secret 'agents/kubeconfig' could not be read (400: the function's role may not read it)",
      },
    ],
    [
      'is not there',
      { code: 400, body: { Code: 'ResourceNotFoundException', Message: "Secrets Manager can't find it" } },
      secret,
      { outcome: 'misconfigured', detail: "The secret 'agents/kubeconfig' could not be read (400: it is not there)" },
    ],
    [
      'is not there, in the Parameter Store',
      { code: 400, body: 'api error ParameterNotFound: UnknownError' },
      parameter,
      {
        outcome: 'misconfigured',
        detail: "The parameter '/agents/kubeconfig' could not be read (400: it is not there)",
      },
    ],
    [
      'cannot be decrypted',
      { code: 400, body: 'AccessKMSException: no' },
      secret,
      { outcome: 'misconfigured', detail: expect.stringContaining('its key cannot be used') },
    ],
    ['is refused without a word', { code: 403, body: '' }, secret, { outcome: 'misconfigured', detail: /\(403\)$/ }],
    [
      'is not found',
      { code: 404, body: '404 page not found' },
      secret,
      { outcome: 'misconfigured', detail: /\(404\)$/ },
    ],
    ['is refused for the token', { code: 401, body: 'x' }, secret, { outcome: 'misconfigured', detail: /\(401\)$/ }],
    [
      'is asked for too often',
      { code: 400, body: 'ThrottlingException: Rate exceeded' },
      secret,
      { outcome: 'unavailable', headers: { 'retry-after': '1' } },
    ],
    ['is asked for too often, by the extension', { code: 429 }, secret, { outcome: 'unavailable' }],
    ['meets a failure of AWS', { code: 500, body: 'InternalServiceError' }, secret, { outcome: 'unavailable' }],
    ['meets a failure of the extension', { code: 502, body: '' }, secret, { outcome: 'unavailable' }],
    ['meets a connection that is cut', 'cut', secret, { outcome: 'unavailable', detail: /ECONNRESET/ }],
    ['is cut in the middle', 'cut in the middle', secret, { outcome: 'unavailable', detail: /ECONNRESET/ }],
  ])(
    'says why it cannot be had, when it %s',
    async (_what, reply, source, { detail, ...expected }: { detail?: unknown }) => {
      const error = await errorOf(read(await startExtension(reply), source));
      expect(error).toMatchObject(expected);
      if (detail instanceof RegExp) expect(error.detail).toMatch(detail);
      else if (detail !== undefined) expect(error.detail).toEqual(detail);
    },
  );

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
    const error = await errorOf(read(await startExtension({ body })));
    expect(error).toMatchObject({ outcome: 'misconfigured', detail: "The secret 'agents/kubeconfig' holds no text" });
    expect(error.cause).toBeUndefined();
  });

  it.each<Reply>(['hang', 'hang in the middle'])('is waited for no longer than the signal: %s', async (reply) => {
    const error = await errorOf(read(await startExtension(reply), secret, AbortSignal.timeout(200)));
    expect(error).toMatchObject({
      outcome: 'deadline-exceeded',
      detail: "The secret 'agents/kubeconfig' was not read in time",
    });
  });

  it('is not asked for where the signal is over', async () => {
    const extension = await startExtension();
    expect(await errorOf(read(extension, secret, AbortSignal.abort()))).toMatchObject({ outcome: 'deadline-exceeded' });
    expect(extension.requests).toEqual([]);
  });

  it('says that the extension is not there', async () => {
    const [port = 0] = await findFreePorts(1);
    expect(await errorOf(read({ port }))).toMatchObject({
      outcome: 'misconfigured',
      detail: "The secret 'agents/kubeconfig' could not be read: the AWS Parameters and Secrets extension is not there",
    });
  });

  it('says that it can only be read on Lambda, where there is no session token', async () => {
    const extension = await startExtension();
    const reading = readSecret(parameter, { port: extension.port, sessionToken: undefined }, never);
    expect(await errorOf(reading)).toMatchObject({
      outcome: 'misconfigured',
      detail: "The parameter '/agents/kubeconfig' can only be read on Lambda: there is no AWS_SESSION_TOKEN",
    });
    expect(extension.requests).toEqual([]);
  });
});
