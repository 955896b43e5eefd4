import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpAnswer } from '../support/http-call.ts';
import { startIssuer } from '../support/issuer.ts';
import { callRaw } from '../support/raw-call.ts';
import { keepSecret } from '../support/secrets.ts';
import { newSandboxId, useWorld } from '../support/world.ts';

const issuer = await startIssuer();
const world = useWorld({
  JWT_ISSUER: issuer.url,
  JWT_AUDIENCE: `somebody, ${issuer.audience}`,
  API_DOCS: 'callers',
});
afterAll(() => issuer.close());

const now = () => Math.floor(Date.now() / 1000);
const encode = (part: unknown) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');
const ask = (token: string | undefined, request = 'GET /api/sandboxes', rest: string[] = []): Promise<HttpAnswer> =>
  callRaw(world.provisioner.url, request, [
    ...(token === undefined ? [] : [`Authorization: Bearer ${token === '' ? '' : keepSecret(token)}`]),
    ...rest,
  ]);

const unauthorized = (challenge: string, body: object) => {
  return { status: 401, body, headers: expect.objectContaining({ 'www-authenticate': challenge }) };
};
/** As API Gateway's authorizer answers, in its own words. */
const refusedBefore = unauthorized('Bearer', { message: 'Unauthorized' });
/** As the functions do, where no authorizer stands before them. */
const detail = 'A token of the issuer is required';
const refused = unauthorized('Bearer realm="sandbox-provisioner"', { detail });
const noSandboxes = { status: 200, body: { sandboxes: [], count: 0 } };

describe('a token of the issuer', () => {
  it.each<[string, () => Promise<string>]>([
    ['for our audience', () => issuer.token()],
    ['for another audience of ours', () => issuer.token({ aud: 'somebody' })],
    ['for several audiences', () => issuer.token({ aud: ['elsewhere', issuer.audience] })],
    ['for a client, as Cognito does', () => issuer.token({ aud: undefined, client_id: issuer.audience } as never)],
  ])('lets its bearer in: %s', async (_what, make) => {
    expect(await ask(await make())).toMatchObject(noSandboxes);
  });

  it('lets its bearer do everything', async () => {
    const id = newSandboxId();
    const headers = { authorization: `Bearer ${await issuer.token()}`, 'content-type': 'application/json' };
    expect(await world.create({ sandbox_id: id }, { headers })).toMatchObject({ status: 200 });
    expect(await world.get(id, { headers })).toMatchObject({ status: 200 });
    expect(await world.call('POST', `/api/sandboxes/${id}/renew`, { headers })).toMatchObject({ status: 200 });
    expect(await world.destroy(id, { headers })).toMatchObject({ status: 200 });
  });

  it('is checked with the issuer’s keys, which are read once', async () => {
    for (let call = 0; call < 5; call += 1) expect(await ask(await issuer.token())).toMatchObject(noSandboxes);
    expect(issuer.readings()).toBe(1);
  });
});

it.each(['/docs', '/openapi.json'])(
  'the description is for those who have one, if the settings say so: %s',
  async (path) => {
    expect(await ask(undefined, `GET ${path}`)).toMatchObject(refusedBefore);
    expect(await ask(await issuer.token(), `GET ${path}`)).toMatchObject({ status: 200 });
  },
);

it.each(['/', '/console'])('the console is for everybody, and asks for one itself: %s', async (path) => {
  expect(await ask(undefined, `GET ${path}`)).toMatchObject({ status: 200 });
});

describe('nobody gets in', () => {
  const claims = { iss: issuer.url, aud: issuer.audience, exp: now() + 3600, sub: 'root' };
  let unsigned: string;
  let good: string;
  beforeAll(async () => {
    good = await issuer.token();
    unsigned = `${encode({ alg: 'none' })}.${good.split('.')[1]}.`;
  });

  it.each<[string, () => Promise<string | undefined> | string | undefined]>([
    ['no token', () => undefined],
    ['an empty one', () => ''],
    ['no token at all', () => 'not-a-token'],
    ['one that is over', () => issuer.token({ exp: now() - 1 })],
    ['one that never ends', () => issuer.token({ exp: undefined as never })],
    ['one that is not good yet', () => issuer.token({ nbf: now() + 60 })],
    ['one that was made in the future', () => issuer.token({ iat: now() + 60 })],
    ['one for another audience', () => issuer.token({ aud: 'elsewhere' })],
    ['one for no audience', () => issuer.token({ aud: undefined as never })],
    ['one for another, and a client of ours', () => issuer.token({ aud: 'elsewhere', client_id: issuer.audience })],
    ['one of another issuer', () => issuer.token({ iss: 'https://issuer.example' })],
    ['one of the issuer with a slash', () => issuer.token({ iss: `${issuer.url}/` })],
    ['one of another key by the same name', () => issuer.token({}, { key: issuer.strangerKey })],
    ['one of a key that the issuer has not', () => issuer.token({}, { key: issuer.strangerKey, kid: 'stranger' })],
    ['one that names no key', () => issuer.token({}, { kid: '' })],
    // API Gateway takes RSA alone.
    ['one of an elliptic curve', () => issuer.token({}, { key: issuer.ecKey, alg: 'ES256', kid: 'ec' })],
    ['one that is not signed', () => unsigned],
    ['one that is signed with the public key', () => forge(issuer.publicKeyPem)],
    ['one whose signature was cut off', () => good.split('.').slice(0, 2).join('.')],
    ['one whose claims were changed', () => good.replace(/\..*\./, `.${encode(claims)}.`)],
    ['two', () => `${good}, ${good}`],
  ])('with %s', async (_what, make) => {
    world.proxy.reset();
    const token = await make();
    expect(await ask(token)).toMatchObject(refusedBefore);
    expect(await ask(token, 'POST /api/sandboxes')).toMatchObject(refusedBefore);
    expect(await ask(token, 'DELETE /api/sandboxes/abc')).toMatchObject(refusedBefore);
    expect(world.proxy.calls).toEqual([]);
  });

  it('with a token in the query or a key', async () => {
    expect(await ask(undefined, `GET /api/sandboxes?access_token=${good}`)).toMatchObject(refusedBefore);
    expect(await ask(undefined, 'GET /api/sandboxes', [`X-API-Key: ${world.apiKey}`])).toMatchObject(refusedBefore);
  });

  it('with claims that serverless-offline would take for checked', async () => {
    const claimed = JSON.stringify({ jwt: { claims: { iss: issuer.url, aud: issuer.audience } } });
    const override = [`SLS-Offline-Authorizer-Override: ${claimed}`];
    expect(await ask(undefined, 'GET /api/sandboxes', override)).toMatchObject(refusedBefore);
    // No authorizer stands before these: there the functions look for themselves.
    expect(await ask(undefined, 'GET /api/nowhere', [`sls-offline-authorizer-override: ${claimed}`])).toMatchObject(
      refused,
    );
    expect(await ask(unsigned, 'GET /api/nowhere')).toMatchObject(refused);
    expect(await ask(good, 'PUT /api/sandboxes')).toMatchObject(refused);
    expect(await ask(undefined, 'GET /api')).toMatchObject(refused);
  });
});

describe('everybody', () => {
  it('is told the health, and that elsewhere there is nothing', async () => {
    expect(await ask(undefined, 'GET /health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await ask('not-a-token', 'GET /health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await ask(undefined, 'GET /nowhere')).toMatchObject({ status: 404, body: { detail: 'Not Found' } });
  });
});

/** The old trick: the public key, which everybody has, as the secret of a symmetric signature. */
async function forge(publicKey: string): Promise<string> {
  const { SignJWT } = await import('jose');
  return new SignJWT({ iss: issuer.url, aud: issuer.audience, exp: now() + 60 })
    .setProtectedHeader({ alg: 'HS256', kid: 'rsa' })
    .sign(new TextEncoder().encode(publicKey));
}
