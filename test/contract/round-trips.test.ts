import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { isFor, type KubernetesCall, roundTripsInARow } from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, originalService } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld(lean);

// Warm: whatever is made once per cold start is made before.
beforeAll(async () => {
  const { sandboxId } = await world.givenSandbox();
  await world.get(sandboxId);
  await world.list();
  await world.destroy(sandboxId);
});

// Long enough that calls side by side overlap for certain, and calls in a row do not.
beforeEach(() => world.proxy.delayEachCall(50));

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

describe('round trips to Kubernetes in a row, warm', () => {
  /** How many there are in a call that is answered so. */
  async function count(status: number, call: () => Promise<{ status: number }>): Promise<number> {
    const calls = await world.callsOf(async () => expect((await call()).status).toBe(status));
    return roundTripsInARow(calls);
  }

  it('a create: two where it is fresh; one where it is repeated, because this process has just seen it', async () => {
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId() };
    expect(await count(200, () => world.create(body))).toBe(2);
    expect(await count(200, () => world.create(body))).toBe(1);
  });

  it('a create of a sandbox that another process made: at most two', async () => {
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    const annotations = { 'sandbox-provisioner/thread-id': names.threadId };
    await world.kubernetes.create('services', alter(originalService(names), { metadata: { annotations } }));
    await world.kubernetes.create('pods', originalPod(names, world.settings));
    const body = { sandbox_id: names.sandboxId, thread_id: names.threadId };
    expect(await count(200, () => world.create(body))).toBeLessThanOrEqual(2);
  });

  it('a get: one, for a sandbox that is there and for one that is not', async () => {
    const { sandboxId } = await world.givenSandbox();
    expect(await count(200, () => world.get(sandboxId))).toBe(1);
    expect(await count(404, () => world.get(newSandboxId()))).toBe(1);
  });

  it('a delete: two, because it goes by UID; one for a sandbox that is not there', async () => {
    const { sandboxId } = await world.givenSandbox();
    expect(await count(200, () => world.destroy(sandboxId))).toBe(2);
    expect(await count(200, () => world.destroy(newSandboxId()))).toBe(1);
  });

  it.each([1, 30])('a list of %i: one, in two calls', async (count) => {
    // The original read the Pods one by one.
    await Promise.all(
      Array.from({ length: count }, async () => {
        const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
        await world.kubernetes.create('services', originalService(names));
        // They need not run, so no node takes them.
        await world.kubernetes.create('pods', alter(originalPod(names, world.settings), { spec: onNoNode }));
      }),
    );
    const calls = await world.callsOf(async () => {
      const answer = await world.list();
      expect(answer.body).toMatchObject({ count });
      for (const { status } of answer.body.sandboxes) expect(status).not.toBe('NotFound');
    });
    expect(roundTripsInARow(calls)).toBe(1);
    expect(calls.length).toBe(2);
  });

  // 200 callers made 400 lists at once; 97 of them, and gets beside them, got a 504.
  it('100 lists at once: two at most, in four calls, and each sees what its caller had made; a get beside them: one', async () => {
    const before = await world.givenSandbox();
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    const isList = (call: KubernetesCall) => call.method === 'GET' && call.query !== '';
    const faults = (['services', 'pods'] as const).map((resource) =>
      world.proxy.injectFault({ when: (call) => isList(call) && isFor(call, resource), action: { hold }, times: 1 }),
    );
    const first = world.list();
    await Promise.all(faults.map((fault) => fault.firstHit()));
    const made = await world.givenSandbox();
    const others = Array.from({ length: 100 }, () => world.list({ timeoutMs: 20_000 }));
    expect((await world.get(made.sandboxId)).status).toBe(200);
    // Until all of them have come.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(world.proxy.calls.filter(isList)).toHaveLength(2);
    release();
    const idsIn = (answer: Awaited<typeof first>): string[] =>
      answer.body.sandboxes.map((view: { sandbox_id: string }) => view.sandbox_id);
    expect(idsIn(await first)).toContain(before.sandboxId);
    for (const answer of await Promise.all(others)) {
      expect(answer.status, answer.text).toBe(200);
      expect(idsIn(answer)).toContain(made.sandboxId);
    }
    expect(world.proxy.calls.filter(isList)).toHaveLength(4);
  });

  it('health: none', async () => {
    expect(await world.callsOf(() => world.call('GET', '/health'))).toEqual([]);
  });
});
