import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { type HttpRequest, httpEvent, lambdaContext } from '../support/events.ts';
import { keepSecret } from '../support/secrets.ts';
import { type ApiServer, answerJson, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { type Answer, apiKey, askingFunctions, call, callWith, list, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const kindOf = (url: string) => (url.includes('/pods') ? 'PodList' : 'ServiceList');
const noSandboxes = { status: 200, headers: json, body: { sandboxes: [], count: 0 } };
const refused = {
  status: 401,
  headers: { ...json, 'www-authenticate': 'ApiKey realm="sandbox-provisioner"' },
  body: { detail: 'A valid X-API-Key is required' },
};
const anotherKey = keepSecret('another-key-of-callers');
const sessionToken = keepSecret('the-session-token-of-the-function');

let api: ApiServer;
let kubeconfig: string;
beforeEach(async () => {
  api = await startApiServer(({ url }, response) =>
    answerJson(response, { kind: kindOf(url), apiVersion: 'v1', items: [] }),
  );
  kubeconfig = await writeKubeconfig({ server: api.url });
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const start = (settings: Record<string, string>) => startCold({ KUBECONFIG_PATH: kubeconfig, ...settings });
const ask = (headers: Record<string, string>): Promise<Answer> =>
  call('list-sandboxes', { method: 'GET', path: '/api/sandboxes', headers });

/** What is logged while this runs, a line an entry. */
async function logged(work: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
  const written: string[] = [];
  const keep = (text: string | Uint8Array) => {
    written.push(String(text));
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(keep);
  await work();
  vi.restoreAllMocks();
  return written.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

describe('where a key is required', () => {
  it.each(askingFunctions)('none gets through without one, and Kubernetes is not asked: %s', async (_name, callIt) => {
    start({ AUTH: 'required' });
    // The key that `callIt` sends is nobody's.
    expect(await callIt()).toEqual(refused);
    expect(api.requests).toEqual([]);
  });

  it('and none is set, every caller is refused, and the log says what to set', async () => {
    start({ AUTH: 'required' });
    for (const key of ['', apiKey, 'undefined', 'null']) expect(await ask({ 'x-api-key': key })).toEqual(refused);
    const [first, second, ...rest] = await logged(() => list());
    expect(first).toMatchObject({ level: 'ERROR', message: 'Every caller is refused: no key is set' });
    expect(first?.set).toMatch(/PROVISIONER_API_KEY\b.*AUTH=off/);
    expect(second).toMatchObject({ level: 'INFO', statusCode: 401 });
    expect(rest).toEqual([]);
  });

  it('it is required without AUTH as well, and not asked for if AUTH is off', async () => {
    start({ PROVISIONER_API_KEY: anotherKey });
    expect(await ask({})).toEqual(refused);
    expect(await ask({ 'x-api-key': anotherKey })).toEqual(noSandboxes);
    start({ AUTH: 'off', PROVISIONER_API_KEY: anotherKey });
    expect(await ask({ 'x-api-key': 'x' })).toEqual(noSandboxes);
  });

  const odd = [undefined, null, 7, {}, [anotherKey], { toString: () => anotherKey }];
  it.each(odd)('what is no text is none: %j', async (key) => {
    start({ PROVISIONER_API_KEY: anotherKey });
    const event = httpEvent({ method: 'GET', path: '/api/sandboxes' });
    Object.assign(event.headers, { 'x-api-key': key });
    expect(await callWith('list-sandboxes', event as HttpEvent, lambdaContext())).toEqual(refused);
  });

  const both = { PROVISIONER_API_KEY: anotherKey, PROVISIONER_API_KEY_SECRET_ID: 'keys' };
  it.each<[string, Record<string, string>, string]>([
    ['half a list', { PROVISIONER_API_KEY: '["hunter2"' }, 'PROVISIONER_API_KEY must be a key or a JSON list'],
    ['a switch that is none', { AUTH: 'of' }, 'AUTH must be'],
    ['two sources of keys', both, `of ${Object.keys(both).join(', ')} only one may be set`],
  ])('nobody gets through with %s: which, only the log says', async (_what, settings, message) => {
    start({ AUTH: 'required', ...settings });
    const answer = await ask({ 'x-api-key': anotherKey });
    expect(answer).toEqual({ status: 500, headers: json, body: { detail: 'The access of callers is misconfigured' } });
    const entries = await logged(() => list());
    const cause = { message: expect.stringContaining(`Misconfigured: ${message}`) };
    expect(entries).toMatchObject([{ level: 'ERROR', statusCode: 500, cause }]);
    expect(JSON.stringify(entries)).not.toContain('hunter2');
  });

  it.each<[string, string[], boolean]>([
    ['hunter2', ['hunter2'], true],
    [' a key, with blanks\n', ['a key, with blanks'], false],
    ['["a-new-key-of-callers","hunter2"]', ['a-new-key-of-callers', 'hunter2'], true],
    // As Node reads the bytes of Latin-1 and of UTF-8.
    ['schlüssel-der-rufer', ['schlüssel-der-rufer', 'schlÃ¼ssel-der-rufer'], false],
  ])('any text is a key, and the log warns once of a short one, without it: %j', async (text, keys, isShort) => {
    start({ PROVISIONER_API_KEY: text });
    const entries = await logged(async () => {
      for (const key of [...keys, ...keys]) expect(await ask({ 'x-api-key': key })).toEqual(noSandboxes);
      for (const key of [`"${text}"`, `${keys[0]},`, '\0', ''])
        expect(await ask({ 'x-api-key': key })).toEqual(refused);
    });
    const warning = {
      message: 'A key of callers has fewer than 16 characters: it could be guessed',
      heldBy: 'PROVISIONER_API_KEY',
    };
    expect(entries.filter(({ level }) => level === 'WARN')).toMatchObject(isShort ? [warning] : []);
    for (const key of keys) expect(JSON.stringify(entries)).not.toContain(key);
  });

  it('what is wrong with other settings is told to callers that belong, and to no others', async () => {
    start({ K8S_NAMESPACE: 'Not_Legal' });
    expect(await ask({ 'x-api-key': '' })).toEqual(refused);
    expect(await list()).toMatchObject({ status: 500, body: { detail: expect.stringContaining('K8S_NAMESPACE') } });
  });
});

describe('the paths that no route matches', () => {
  const unmatched = (path: string, rest: Partial<HttpRequest> = {}) =>
    call('fallback', { method: 'GET', path, routeKey: '$default', headers: { 'x-api-key': 'no' }, ...rest });

  const ofApi = [
    '/api',
    '/api/',
    '/api/x',
    '/api/sandboxes/',
    '/API/x',
    '//api/x',
    '/\\api',
    '/api%2fx',
    '/apix',
    'api/x',
  ];
  it.each(ofApi)('are no matter of others, if they are of the API: %j', async (path) => {
    start({ AUTH: 'required' });
    expect(await unmatched(path)).toEqual(refused);
    expect(await unmatched(path, { method: 'DELETE' })).toEqual(refused);
  });

  it('are of the API behind the name of a stage, too', async () => {
    start({ AUTH: 'required' });
    const event = httpEvent({ method: 'GET', path: '/prod/api/sandboxes/', routeKey: '$default' });
    event.requestContext.stage = 'prod';
    expect(await callWith('fallback', event as HttpEvent, lambdaContext())).toEqual(refused);
  });

  it('are anybody’s elsewhere, and so is the health', async () => {
    start({ AUTH: 'required' });
    expect(await unmatched('/x')).toMatchObject({ status: 404 });
    expect(await unmatched('/health/')).toMatchObject({ status: 307 });
    expect(await call('health', { method: 'GET', path: '/health' })).toMatchObject({ status: 200 });
  });
});

/** The AWS Parameters and Secrets extension, as far as it is asked: what it says next may be changed. */
async function startExtension(answer: { text: string; code?: number; hangs?: boolean }) {
  const { port, requests } = await startApiServer((_request, response) => {
    if (!answer.hangs) response.writeHead(answer.code ?? 200).end(answer.text);
  });
  const settings = { AWS_SESSION_TOKEN: sessionToken, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: `${port}` };
  return { requests, answer, settings };
}

const inSecret = { PROVISIONER_API_KEY_SECRET_ID: 'keys' };
const secret = (text: string) => JSON.stringify({ Name: 'keys', SecretString: text });

describe('keys in Secrets Manager or SSM', () => {
  const shortKey = 'hunter2';
  const inJson = JSON.stringify({ PROVISIONER_API_KEY: `["${apiKey}","${anotherKey}"]`, other: 'x' });
  const bySecretId = '/secretsmanager/get?secretId=keys';
  const byName = '/systemsmanager/parameters/get?name=%2Fcallers%2Fkeys&withDecryption=true';
  const inParameter = { PROVISIONER_API_KEY_PARAMETER: '/callers/keys' };
  it.each<[string, string, Record<string, string>, string]>([
    ['a secret', secret(apiKey), inSecret, bySecretId],
    ['a secret with a line break', secret(`${apiKey}\r\n`), inSecret, bySecretId],
    ['a secret with two', secret(JSON.stringify([anotherKey, apiKey])), inSecret, bySecretId],
    ['a secret with a short one', secret(JSON.stringify([apiKey, shortKey])), inSecret, bySecretId],
    ['a secret that is a JSON object', secret(inJson), inSecret, bySecretId],
    ['a secret with a list in a JSON object', secret(`{"PROVISIONER_API_KEY":["${apiKey}"]}`), inSecret, bySecretId],
    ['a parameter', JSON.stringify({ Parameter: { Value: apiKey } }), inParameter, byName],
  ])('let through who shows one, read in the first invocation and not before: %s', async (_what, text, source, url) => {
    const { requests, settings } = await startExtension({ text });
    start({ ...source, ...settings });
    await import('../../functions/list-sandboxes.ts');
    expect(await call('health', { method: 'GET', path: '/health' })).toMatchObject({ status: 200 });
    expect(await ask({ 'x-api-key': '' })).toEqual(refused);
    expect(requests).toEqual([]);
    const entries = await logged(async () => {
      for (let calls = 0; calls < 2; calls += 1) expect(await list()).toEqual(noSandboxes);
    });
    const [holder, place] = [
      source === inSecret ? 'keys' : '/callers/keys',
      text.indexOf(anotherKey) < text.indexOf(apiKey) && text.includes(anotherKey) ? 2 : 1,
    ];
    const requestLine = { level: 'INFO', caller: `${holder}#${place}` };
    const warning = text.includes(shortKey) ? [{ level: 'WARN', heldBy: 'keys' }] : [];
    expect(entries).toMatchObject([...warning, requestLine, requestLine]);
    expect(requests).toMatchObject([{ url, headers: { 'x-aws-parameters-secrets-token': sessionToken } }]);
    expect(await ask({ 'x-api-key': keepSecret('a-wrong-key-of-nobody') })).toEqual(refused);
  });

  it('are what they have become, without a cold start', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const extension = await startExtension({ text: secret(anotherKey) });
    start({ ...inSecret, ...extension.settings });
    expect(await ask({ 'x-api-key': anotherKey })).toEqual(noSandboxes);
    extension.answer.text = secret(apiKey);
    expect(await list()).toEqual(refused);
    vi.setSystemTime(Date.now() + 5_000);
    expect(await list()).toEqual(noSandboxes);
    expect(await ask({ 'x-api-key': anotherKey })).toEqual(refused);
  });

  const misconfigured = { status: 500, headers: json, body: { detail: 'The keys of callers are misconfigured' } };
  const detail = 'The keys of callers cannot be read';
  const unavailable = { status: 503, headers: { ...json, 'retry-after': '5' }, body: { detail } };
  const almost = keepSecret('almost-a-secret-but-not-quite-a-key');

  it.each<[string, { text: string; code?: number; hangs?: boolean }, object, RegExp]>([
    ['blanks', { text: secret(' \n ') }, misconfigured, /'keys' must hold a key or a JSON list/],
    ['half a list', { text: secret(`["${almost}"`) }, misconfigured, /'keys' must hold/],
    ['an object without a key', { text: secret(JSON.stringify({ key: almost })) }, misconfigured, /'keys' must hold/],
    ['a number in an object', { text: secret('{"PROVISIONER_API_KEY":12345678}') }, misconfigured, /'keys' must hold/],
    ['half an object', { text: secret(`{"PROVISIONER_API_KEY":"${almost}`) }, misconfigured, /'keys' must hold/],
    ['no secret', { text: '{"message":"not found"}', code: 400 }, misconfigured, /'keys' could not be read \(400\)/],
    ['an error', { text: almost, code: 500 }, unavailable, /'keys' could not be read \(500\)/],
    ['nothing in time', { text: '', hangs: true }, unavailable, /'keys' was not read in time/],
  ])('let nobody through who shows a key, if there is %s: the log says why', async (_what, says, answer, message) => {
    const extension = await startExtension(says);
    start({ ...inSecret, ...extension.settings });
    const entries = await logged(async () => expect(await list()).toEqual(answer));
    expect(entries).toMatchObject([{ level: 'ERROR', message: expect.stringMatching(message) }, { level: 'ERROR' }]);
    expect(JSON.stringify(entries)).not.toContain('almost');
    expect(await ask({})).toMatchObject({ status: expect.toBeOneOf([401, 500, 503]) });
    expect(api.requests).toEqual([]);
  });
});

describe('where tokens are asked for', () => {
  const settings = { JWT_ISSUER: 'https://issuer.example/', JWT_AUDIENCE: 'provisioner, other' };
  const headers = { ...json, 'www-authenticate': 'Bearer realm="sandbox-provisioner"' };
  const noToken = { status: 401, headers, body: { detail: 'A token of the issuer is required' } };
  const withClaims = (claims: unknown) => {
    const event = httpEvent({ method: 'GET', path: '/api/sandboxes' });
    Object.assign(event.requestContext, { authorizer: { jwt: { claims, scopes: null } } });
    return callWith('list-sandboxes', event as HttpEvent, lambdaContext());
  };
  const iss = 'https://issuer.example/';

  const lets = (claims: unknown): [boolean, unknown] => [true, claims];
  const not = (claims: unknown): [boolean, unknown] => [false, claims];
  // API Gateway's word for it is taken.
  it.each<[boolean, unknown]>([
    // As API Gateway tells several, and as Cognito says it.
    ...['[somebody provisioner]', ['somebody', 'other'], 'provisioner', 'other'].map((aud) => lets({ iss, aud })),
    lets({ iss, client_id: 'provisioner' }),
    ...[undefined, null, {}, { iss }, { iss: 'https://issuer.example', aud: 'provisioner' }].map(not),
    ...['somebody', 'somebody provisioner', 'provisioner-2', [], 7].map((aud) => not({ iss, aud })),
    not({ iss, aud: 'somebody', client_id: 'provisioner' }),
  ])('claims let through or not: %s for %j', async (isLet, claims) => {
    start(settings);
    expect(await withClaims(claims)).toEqual(isLet ? noSandboxes : noToken);
    expect(api.requests.length > 0).toBe(isLet);
  });

  it('a route that has no authorizer lets nobody through, with a token and a key or without', async () => {
    start(settings);
    expect(await ask({ 'x-api-key': apiKey, authorization: 'Bearer a.b.c' })).toEqual(noToken);
    expect(await call('fallback', { method: 'GET', path: '/api/x', routeKey: '$default' })).toEqual(noToken);
    expect(await call('health', { method: 'GET', path: '/health' })).toMatchObject({ status: 200 });
  });
});
