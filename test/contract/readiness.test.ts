import { afterEach, describe, expect, it } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { callHttp } from '../support/http-call.ts';
import { lean, useWorld } from '../support/world.ts';

const world = useWorld(lean);

afterEach(() => world.clear());

/** What a call says, with nothing set aside. */
async function tell(method: string, path: string, body?: object) {
  const headers = { 'x-api-key': world.apiKey, 'content-type': 'application/json' };
  const url = `${world.provisioner.url}${path}`;
  return (await callHttp({ method, url, headers, ...(body && { body }) })).body;
}

describe('a sandbox', () => {
  it('is ready some time after its create, and says why not until then; a get, a list and a renewal say the same', async () => {
    const path = '/api/sandboxes/ready-1';
    const made = await tell('POST', '/api/sandboxes', { sandbox_id: 'ready-1' });
    expect(made).toMatchObject({ ready: false, reason: 'Scheduling', message: expect.any(String) });
    const seen = await eventually(
      'ready',
      () => tell('GET', path),
      ({ ready }) => ready,
    );
    expect(seen).not.toHaveProperty('reason');
    const { sandboxes } = await tell('GET', '/api/sandboxes');
    expect(sandboxes).toEqual([seen]);
    expect(await tell('POST', `${path}/renew`)).toEqual({ ...seen, expires_at: expect.any(String) });
  });

  it('that lost its Pod says so in a list', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    const { sandboxes } = await tell('GET', '/api/sandboxes');
    expect(sandboxes).toEqual([
      expect.objectContaining({
        status: 'NotFound',
        ready: false,
        reason: expect.stringMatching(/^(NoPod|Terminating)$/),
      }),
    ]);
  });
});
