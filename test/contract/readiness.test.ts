import { request } from 'node:http';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { callHttp } from '../support/http-call.ts';
import { callTo, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { startProvisioner } from '../support/provisioner.ts';
import { lean, newSandboxId, useWorld } from '../support/world.ts';
import { seenPods } from '../unit/reasons-fixtures.ts';

const world = useWorld(lean);

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

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

describe('a caller that waits', () => {
  const waiting = (sandboxId: string, seconds: unknown = 20) =>
    tell('GET', `/api/sandboxes/${sandboxId}?wait_seconds=${seconds}`);
  const creating = (sandbox_id: string, wait_seconds = 20) =>
    tell('POST', '/api/sandboxes', { sandbox_id, wait_seconds });
  const looksAt = (sandboxId: string) => world.proxy.calls.filter(callTo('GET', 'pods', sandboxId)).length;
  /** From now on Kubernetes tells this of the sandbox's Pod. */
  const showPod = (sandboxId: string, status: object) =>
    world.proxy.injectFault({
      when: callTo('GET', 'pods', sandboxId),
      action: {
        rewrite: (answer) =>
          answer.status === 200 ? { ...answer, text: JSON.stringify({ ...JSON.parse(answer.text), status }) } : answer,
      },
    });
  const fail = { answer: kubernetesStatus(403, 'Forbidden', 'secret words') };
  const hang = { hold: () => new Promise(() => {}) };
  const hint = 'The next create brings one, behind the same address.';

  it('for a new sandbox is answered when it is ready; for one that is ready at once, without another call', async () => {
    const sandboxId = newSandboxId();
    expect(await creating(sandboxId)).toMatchObject({ status: 'Running', ready: true });
    for (const seconds of [0, 20]) {
      for (const [ask, calls] of [
        [creating, 2],
        [waiting, 2],
      ] as const) {
        const made = await world.callsOf(async () =>
          expect(await ask(sandboxId, seconds)).toMatchObject({ ready: true }),
        );
        expect(made.length).toBe(calls);
      }
    }
  });

  it('not, is answered with what was read first', async () => {
    const sandboxId = newSandboxId();
    showPod(sandboxId, seenPods['just started'].status);
    await creating(sandboxId, 0);
    expect(looksAt(sandboxId)).toBe(1);
    expect(await waiting(sandboxId, 0)).toMatchObject({ ready: false, reason: 'Starting' });
    expect(looksAt(sandboxId)).toBe(2);
  });

  it.each([
    ['InvalidImageName', 'no legal image name'],
    ['Error', 'out of memory, ended'],
    ['Evicted', 'too much disk'],
    ['Completed', 'completed'],
  ] as const)('hears at once that it is of no use: %s', async (reason, shown) => {
    const [made, found] = [newSandboxId(), newSandboxId()];
    showPod(made, seenPods[shown].status);
    expect(await creating(made)).toMatchObject({ ready: false, reason, message: expect.any(String) });
    // One before it was made.
    expect(looksAt(made)).toBe(2);
    await creating(found, 0);
    const before = looksAt(found);
    showPod(found, seenPods[shown].status);
    expect(await waiting(found)).toMatchObject({ ready: false, reason });
    expect(looksAt(found)).toBe(before + 1);
  });

  it.each(['too little CPU', 'unknown registry', 'crash loop', 'never answers'] as const)(
    'is answered when time is over with why it is not ready: %s',
    async (shown) => {
      const sandboxId = newSandboxId();
      await creating(sandboxId, 0);
      showPod(sandboxId, seenPods[shown].status);
      const before = looksAt(sandboxId);
      const [got, made] = await Promise.all([waiting(sandboxId, 1), creating(sandboxId, 1)]);
      for (const view of [got, made]) expect(view).toMatchObject({ ready: false, reason: expect.any(String) });
      expect(got.reason).toBe(made.reason);
      // The first look of each, and some more.
      expect(looksAt(sandboxId) - before).toBeGreaterThanOrEqual(4);
      expect(looksAt(sandboxId) - before).toBeLessThanOrEqual(10);
    },
  );

  it('hears that the Pod was deleted meanwhile: who looks as any look does, who creates with the sandbox', async () => {
    const sandboxId = newSandboxId();
    const fault = showPod(sandboxId, seenPods['just started'].status);
    await creating(sandboxId, 0);
    const [looking, making] = [waiting(sandboxId), creating(sandboxId)];
    await eventually(
      'looked at again',
      async () => fault.hits.length,
      (hits) => hits >= 6,
    );
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expect(await looking).toEqual({
      detail: `Sandbox '${sandboxId}' not found: it has no Pod until the next create`,
    });
    const told = await making;
    expect(told).toMatchObject({
      status: 'NotFound',
      ready: false,
      reason: expect.stringMatching(/^(NoPod|Terminating)$/),
    });
    expect(told.message).toContain(hint);
  });

  it('finds the sandbox that was made anew meanwhile, and hears of one that was removed', async () => {
    const sandboxId = newSandboxId();
    const fault = showPod(sandboxId, seenPods['just started'].status);
    await creating(sandboxId, 0);
    const looking = waiting(sandboxId);
    await eventually(
      'looked at again',
      async () => fault.hits.length,
      (hits) => hits >= 3,
    );
    const held = world.proxy.injectFault({
      when: callTo('GET', 'pods', sandboxId),
      action: { delayMs: 1_500 },
      times: 1,
    });
    await held.firstHit();
    await world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    fault.remove();
    const made = await tell('POST', '/api/sandboxes', { sandbox_id: sandboxId });
    expect(await looking).toMatchObject({
      ready: true,
      container_id: made.container_id,
      sandbox_url: made.sandbox_url,
    });
    showPod(sandboxId, seenPods['just started'].status);
    const again = waiting(sandboxId);
    await world.destroy(sandboxId);
    expect((await again).detail).toMatch(`Sandbox '${sandboxId}' not found`);
  });

  it.each([
    ['refuses', fail],
    ['hangs', hang],
  ])(
    'is answered with what was seen last where Kubernetes %s meanwhile, and goes on where that ends',
    async (_how, action) => {
      const sandboxId = newSandboxId();
      await creating(sandboxId, 0);
      showPod(sandboxId, seenPods['never answers'].status);
      let reads = 0;
      const fault = (times: number) =>
        world.proxy.injectFault({
          // What a request reads first is told.
          when(call) {
            if (callTo('GET', 'pods', sandboxId)(call)) reads += 1;
            return reads > 1 && callTo('GET', 'pods', sandboxId)(call);
          },
          action,
          times,
        });
      const lasting = fault(Number.POSITIVE_INFINITY);
      expect(await waiting(sandboxId, 2)).toMatchObject({ ready: false, reason: 'Starting' });
      expect(lasting.hits.length).toBeGreaterThan(0);
      world.proxy.reset();
      reads = 0;
      showPod(sandboxId, seenPods['never answers'].status);
      const passing = fault(1);
      const looking = waiting(sandboxId);
      await passing.firstHit();
      world.proxy.injectFault({ when: callTo('GET', 'pods', sandboxId), action: {} });
      expect(await looking).toMatchObject({ ready: true });
    },
  );

  it('uses it once, however often it is looked at', async () => {
    const { sandboxId } = await world.givenSandbox();
    const annotations = { 'sandbox-provisioner/last-used-at': '2026-01-01T00:00:00Z' };
    await world.kubernetes.patch('services', `sandbox-${sandboxId}-svc`, { metadata: { annotations } });
    showPod(sandboxId, seenPods['never answers'].status);
    const calls = await world.callsOf(() => waiting(sandboxId, 2));
    expect(calls.filter(callTo('GET', 'pods', sandboxId)).length).toBeGreaterThan(3);
    expect(calls.filter(({ method }) => method === 'PATCH').length).toBe(1);
  });

  it.each([21, -1, 1.5, '20', null])('has to say for how long, in whole seconds up to 20: not %j', async (seconds) => {
    const [made, got] = await Promise.all([
      tell('POST', '/api/sandboxes', { sandbox_id: 'bad-wait', wait_seconds: seconds }),
      waiting('bad-wait', seconds === '20' ? ' 20' : seconds),
    ]);
    expect(made.detail).toEqual([expect.objectContaining({ loc: ['body', 'wait_seconds'] })]);
    expect(got.detail).toEqual([expect.objectContaining({ loc: ['query', 'wait_seconds'] })]);
  });

  it('and goes away from the server is waited for no longer', async () => {
    const { sandboxId } = await world.givenSandbox();
    showPod(sandboxId, seenPods['never answers'].status);
    const server = await startProvisioner(
      {
        KUBECONFIG_PATH: world.proxy.kubeconfig,
        K8S_NAMESPACE: world.namespace,
        PROVISIONER_API_KEY: world.apiKey,
        ...world.cluster.settings,
        ...lean,
      },
      'server',
    );
    onTestFinished(() => server.stop());
    const headers = { 'x-api-key': world.apiKey };
    const call = request(`${server.url}/api/sandboxes/${sandboxId}?wait_seconds=20`, { headers }).on('error', () => {});
    call.end();
    await eventually(
      'looked at again',
      async () => looksAt(sandboxId),
      (looks) => looks >= 3,
    );
    call.destroy();
    // One may be under way.
    await eventually(
      'looked at no more',
      async () => {
        const before = looksAt(sandboxId);
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        return looksAt(sandboxId) - before;
      },
      (more) => more === 0,
      10_000,
    );
  });
});
