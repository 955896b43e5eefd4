import { afterEach, describe, expect, it } from 'vitest';

import { afterUse, expectUnavailable } from '../support/answers.ts';
import { patience } from '../support/callers.ts';
import type { HttpAnswer } from '../support/http-call.ts';
import { callTo } from '../support/kubernetes-proxy.ts';
import type { SandboxNames } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, type SandboxView, useWorld } from '../support/world.ts';

const world = useWorld(lean);

type Given = SandboxNames & { view: SandboxView };

// A NAT may forget a connection, and a frozen function does not notice its end. A get answered 504 after its 8 s.
describe('a kept connection on which nothing comes back', () => {
  afterEach(() => world.proxy.reset());

  const silence = (method: string, resource: 'pods' | 'services') =>
    world.proxy.injectFault({ when: callTo(method, resource), action: { delayMs: 60_000 }, times: 1 });

  it.each<[string, () => ReturnType<typeof silence>, (given: Given) => Promise<HttpAnswer>]>([
    ['a get', () => silence('GET', 'pods'), ({ sandboxId }) => world.get(sandboxId, patience.read)],
    ['a list', () => silence('GET', 'services'), () => world.list(patience.read)],
    [
      'a create',
      () => silence('POST', 'services'),
      () => world.create({ sandbox_id: newSandboxId(), thread_id: newThreadId() }, patience.create),
    ],
    [
      'a repeated create',
      () => silence('PATCH', 'services'),
      ({ sandboxId, threadId }) => world.create({ sandbox_id: sandboxId, thread_id: threadId }, patience.create),
    ],
    ['a delete', () => silence('DELETE', 'services'), ({ sandboxId }) => world.destroy(sandboxId, patience.destroy)],
  ])('is not waited for until time is over: %s succeeds on a new one', async (_what, inject, call) => {
    const given = await world.givenSandbox();
    // Each function has connections of its own to keep.
    await world.get(given.sandboxId);
    await world.list();
    await world.destroy(newSandboxId());
    const fault = inject();
    const start = performance.now();
    const answer = await call(given);
    expect(answer.status, answer.text).toBe(200);
    expect(fault.hits).toHaveLength(1);
    expect(performance.now() - start).toBeLessThan(7_000);
  });
});

describe('while nothing answers at the address of Kubernetes', () => {
  it('every caller is told to come again, in time, and health is well; then all goes on', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    const other = newSandboxId();
    await world.proxy.refuseConnections();
    try {
      const [health, get, list, destroy, repeatedCreate, create] = await Promise.all([
        world.call('GET', '/health', { timeoutMs: 5_000 }),
        world.get(sandboxId, patience.read),
        world.list(patience.read),
        world.destroy(sandboxId, patience.destroy),
        world.create({ sandbox_id: sandboxId, thread_id: threadId }, patience.create),
        world.create({ sandbox_id: other, thread_id: newThreadId() }, patience.create),
      ]);
      expect(health).toMatchObject({ status: 200, body: { status: 'ok' } });
      expectUnavailable(get);
      expectUnavailable(list, /^Failed to list services: \S/);
      expectUnavailable(destroy, /^Partial cleanup: service: [^,]+, pod: [^,]+$/);
      expectUnavailable(repeatedCreate);
      expectUnavailable(create);
    } finally {
      await world.proxy.acceptConnections();
    }
    expect(await world.get(sandboxId)).toMatchObject({ status: 200, body: view });
    expect(await world.create({ sandbox_id: sandboxId, thread_id: threadId })).toMatchObject({
      status: 200,
      body: afterUse(view),
    });
    expect((await world.get(other)).status).toBe(404);
    expect((await world.destroy(sandboxId)).status).toBe(200);
  });
});
