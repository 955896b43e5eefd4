import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { signToken } from '../../lib/model/address.ts';
import { keepSecret } from '../support/secrets.ts';
import { lean, useWorld } from '../support/world.ts';

const key = keepSecret(randomBytes(32).toString('hex'));
const settings = { SANDBOX_URL_KEY: key, SANDBOX_SERVICE_TYPE: 'Headless', ...lean };
const byPath = { ...settings, SANDBOX_URL_TEMPLATE: 'https://sandboxes.example/{namespace}/{sandbox_id}/{token}' };
const byHost = { ...settings, SANDBOX_URL_TEMPLATE: 'https://{sandbox_id}--{token}.sandboxes.example' };
const world = useWorld(byPath);
const hosts = useWorld(byHost, 'namespace', { beside: world });

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
    const tooLong = 'a'.repeat(28);
    expect((await hosts.create({ sandbox_id: tooLong.slice(1) })).status).toBe(200);
    const detail = 'The sandbox_id is too long for a host name of SANDBOX_URL_TEMPLATE';
    expect(await hosts.create({ sandbox_id: tooLong })).toMatchObject({ status: 400, body: { detail } });
    expect(await world.servicesOf(tooLong)).toEqual([]);
  });
});
