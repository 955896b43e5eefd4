import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { signToken } from '../../lib/model/address.ts';
import { keepSecret } from '../support/secrets.ts';
import { lean, useWorld, type World } from '../support/world.ts';

const key = keepSecret(randomBytes(32).toString('hex'));
const settings = { SANDBOX_URL_KEY: key, SANDBOX_SERVICE_TYPE: 'Headless', ...lean };
const byPath = { ...settings, SANDBOX_URL_TEMPLATE: 'https://sandboxes.example/{namespace}/{sandbox_id}/{token}' };
const byHost = {
  ...settings,
  SANDBOX_URL_TEMPLATE: 'https://{sandbox_id}-{port}--{token}.sandboxes.example',
  SANDBOX_URL_PORTS: '3000',
};
const world = useWorld(byPath);
const hosts = useWorld(byHost, 'namespace', { beside: world });
const unsigned = useWorld(lean, 'namespace', { beside: world });

afterEach(() => world.clear());

describe('the URL of a template', () => {
  it('has a token for this sandbox, and is the same in every answer, also of a Pod that was lost', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    const token = signToken({ namespace: world.namespace, sandboxId, port: 8080 }, 0, key);
    expect(view.sandbox_url).toBe(`https://sandboxes.example/${world.namespace}/${sandboxId}/${token}`);
    expect((await world.list()).body.sandboxes).toEqual([view]);
    expect((await world.renew(sandboxId)).body.sandbox_url).toBe(view.sandbox_url);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expect((await world.givenSandbox({ sandboxId, threadId })).view.sandbox_url).toBe(view.sandbox_url);
  });

  it('is none for an id that has no room in it: nothing is made', async () => {
    const tooLong = 'a'.repeat(22);
    expect((await hosts.create({ sandbox_id: tooLong.slice(1) })).status).toBe(200);
    const detail = 'The sandbox_id is too long for a host name of SANDBOX_URL_TEMPLATE';
    expect(await hosts.create({ sandbox_id: tooLong })).toMatchObject({ status: 400, body: { detail } });
    expect(await world.servicesOf(tooLong)).toEqual([]);
  });
});

describe('POST /api/sandboxes/{sandbox_id}/url', () => {
  const ask = (at: World, sandboxId: string, body?: unknown) =>
    at.call('POST', `/api/sandboxes/${sandboxId}/url`, {
      ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }),
    });

  it.each<[unknown, number, number]>([
    [undefined, 900, 8080],
    [{}, 900, 8080],
    [{ ttl_seconds: 60, port: null }, 60, 8080],
    [{ ttl_seconds: 86_400, port: 3000 }, 86_400, 3000],
    [{ port: 8080 }, 900, 8080],
  ])('gives a URL for %j, good for %d s, of port %d; no use of the sandbox', async (body, ttlSeconds, port) => {
    const { sandboxId } = await hosts.givenSandbox();
    const { resourceVersion } = (await world.findService(sandboxId))?.metadata ?? {};
    const end = () => Math.floor(Date.now() / 1000) + ttlSeconds;
    const earliest = end();
    const answer = await ask(hosts, sandboxId, body);
    const latest = end();
    const expiresAt = Date.parse(answer.body.expires_at) / 1000;
    const token = signToken({ namespace: world.namespace, sandboxId, port }, expiresAt, key);
    const url = `https://${sandboxId}-${port}--${token}.sandboxes.example`;
    const expires_at = new Date(expiresAt * 1000).toISOString();
    expect(answer).toMatchObject({ status: 200, body: { sandbox_id: sandboxId, url, expires_at } });
    expect(expiresAt >= earliest && expiresAt <= latest).toBe(true);
    expect((await world.findService(sandboxId))?.metadata.resourceVersion).toBe(resourceVersion);
  });

  it.each([
    { ttl_seconds: 0 },
    { ttl_seconds: 86_401 },
    { ttl_seconds: 1.5 },
    { port: 0 },
    { port: 65_536 },
    { port: '80' },
    [],
  ])('is refused with 422: %j', async (body) => {
    expect((await ask(hosts, 'a', body)).status).toBe(422);
  });

  it('says what it cannot give', async () => {
    const { sandboxId, threadId } = await unsigned.givenSandbox();
    const none = 'URLs are not signed here: SANDBOX_URL_TEMPLATE has no {token}';
    expect(await ask(unsigned, sandboxId)).toMatchObject({ status: 400, body: { detail: none } });
    const noPort = 'Port 22 is not among SANDBOX_URL_PORTS';
    expect(await ask(hosts, sandboxId, { port: 22 })).toMatchObject({ status: 400, body: { detail: noPort } });
    const notYet = `Sandbox '${sandboxId}' has no other port until its next create`;
    expect(await ask(hosts, sandboxId, { port: 3000 })).toMatchObject({ status: 409, body: { detail: notYet } });
    expect((await ask(hosts, sandboxId)).status).toBe(200);
    await hosts.givenSandbox({ sandboxId, threadId });
    expect((await ask(hosts, sandboxId, { port: 3000 })).status).toBe(200);
    const gone = { status: 404, body: { detail: "Sandbox 'nobody' not found" } };
    expect(await ask(hosts, 'nobody')).toMatchObject(gone);
  });
});
