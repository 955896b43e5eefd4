import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectError } from '../support/answers.ts';
import { answerOf, type Outcome, outcomeOf, patience } from '../support/callers.ts';
import { eventually } from '../support/eventually.ts';
import { callTo, type FaultAction, isAbout, type KubernetesCall } from '../support/kubernetes-proxy.ts';
import type { SandboxNames } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, type SandboxView, useWorld } from '../support/world.ts';

const world = useWorld(lean);

const minute = 60_000;
const hangs = { when: () => true, action: { delayMs: minute } };

/** What hangs for the sandbox of each, and whether Kubernetes has done it all the same. */
const hanging = {
  'a get': hangs,
  'a delete': hangs,
  'a repeated create': hangs,
  'a create': hangs,
  'a create, at its Pod': { when: callTo('POST', 'pods'), action: { delayMs: minute } },
  'a create, at its Pod, which is there': { when: callTo('POST', 'pods'), action: { delayAnswerMs: minute } },
  'a create, at its Service, which is there': { when: callTo('POST', 'services'), action: { delayAnswerMs: minute } },
} as const satisfies Record<string, { when: (call: KubernetesCall) => boolean; action: FaultAction }>;

type Operation = keyof typeof hanging;
const operations = Object.keys(hanging) as Operation[];
const creates = operations.filter((operation) => operation.startsWith('a create'));
const isExisting = (operation: Operation) => !creates.includes(operation);

describe('while Kubernetes does not answer for a minute', () => {
  const sandboxes = {} as Record<Operation, SandboxNames & { view?: SandboxView }>;
  const pending = {} as Record<Operation, Outcome>;

  // All at once: together they take as long as the most patient caller.
  beforeAll(async () => {
    for (const operation of operations) {
      sandboxes[operation] = isExisting(operation)
        ? await world.givenSandbox()
        : { sandboxId: newSandboxId(), threadId: newThreadId() };
    }
    const faults = operations.map((operation) => {
      const { when, action } = hanging[operation];
      const { sandboxId } = sandboxes[operation];
      return world.proxy.injectFault({ when: (call) => isAbout(call, sandboxId) && when(call), action });
    });
    for (const operation of operations) {
      const { sandboxId, threadId } = sandboxes[operation];
      if (operation === 'a get') pending[operation] = outcomeOf(world.get(sandboxId, patience.read));
      else if (operation === 'a delete') pending[operation] = outcomeOf(world.destroy(sandboxId, patience.destroy));
      else {
        const body = { sandbox_id: sandboxId, thread_id: threadId };
        pending[operation] = outcomeOf(world.create(body, patience.create));
      }
    }
    await Promise.all(faults.map((fault) => fault.firstHit()));
  });

  afterAll(() => world.proxy.reset());

  it('every other sandbox is served meanwhile, and health', async () => {
    // One slow call blocked every other request of the original, health included.
    let isFirstSettled = false;
    void Promise.race(Object.values(pending)).then(() => {
      isFirstSettled = true;
    });
    expect(await world.call('GET', '/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    const other = await world.givenSandbox();
    expect((await world.get(other.sandboxId)).status).toBe(200);
    expect((await world.list()).status).toBe(200);
    expect((await world.destroy(other.sandboxId)).status).toBe(200);
    expect(isFirstSettled).toBe(false);
  });

  it.each(operations)('the caller of %s hears of it before giving up', async (operation) => {
    const answer = await answerOf(pending[operation]);
    expectError(answer, [503, 504]);
    if (answer.status === 503) expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
  });

  it.each(creates)('%s that was given up leaves nothing behind', async (operation) => {
    await answerOf(pending[operation]);
    const { sandboxId } = sandboxes[operation];
    expect(await world.servicesOf(sandboxId)).toEqual([]);
    await eventually(
      'collected: the Pod, with its Service',
      () => world.podsOf(sandboxId),
      (pods) => pods.every(({ metadata }) => metadata.deletionTimestamp !== undefined),
    );
  });

  it.each(['a get', 'a repeated create'] as const)('the sandbox of %s is as it was', async (operation) => {
    await answerOf(pending[operation]);
    world.proxy.reset();
    const { sandboxId, view } = sandboxes[operation];
    const answer = await world.get(sandboxId);
    expect(answer).toMatchObject({ status: 200, body: { sandbox_url: view?.sandbox_url } });
    expect(answer.body.status).not.toBe('NotFound');
  });
});
