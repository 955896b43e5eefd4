import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { aTime, expectError } from '../support/answers.ts';
import { eventually } from '../support/eventually.ts';
import { callTo, holdCalls } from '../support/kubernetes-proxy.ts';
import { alter, originalPod, originalService, ownedBy, type SandboxNames } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld(lean);

// Whatever is made once, the namespace too, is made before.
beforeAll(async () => {
  await world.givenSandbox();
});

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const alive = expect.toBeOneOf(['Pending', 'Running']);

/** The sandbox as another process of the provisioner would make it. */
async function makeElsewhere({ sandboxId, threadId }: SandboxNames): Promise<void> {
  const annotations = { 'sandbox-provisioner/thread-id': threadId };
  const service = alter(originalService({ sandboxId }), { metadata: { annotations } });
  const metadata = ownedBy(await world.kubernetes.create('services', service));
  const pod = originalPod({ sandboxId, threadId }, world.settings);
  await world.kubernetes.create('pods', alter(pod, { metadata }));
}

const remakers: [string, { remove(sandboxId: string): Promise<void>; make(names: SandboxNames): Promise<void> }][] = [
  [
    'this process',
    {
      remove: async (sandboxId) => expect((await world.destroy(sandboxId)).status).toBe(200),
      make: async (names) => void (await world.givenSandbox(names)),
    },
  ],
  [
    // What this process remembers does not tell of it.
    'another process',
    {
      remove: (sandboxId) => world.kubernetes.remove('services', `sandbox-${sandboxId}-svc`),
      make: makeElsewhere,
    },
  ],
];

describe.each(remakers)('a create that stalls while %s removes its sandbox and makes it again', (_who, remaker) => {
  describe.each([
    ['before it makes the Pod', 'POST'],
    ['before it looks for the Pod', 'GET'],
  ])('%s', (_when, method) => {
    async function stallCreate(names: SandboxNames) {
      const { reached, release } = holdCalls(world.proxy, callTo(method, 'pods', names.sandboxId));
      const creating = world.create({ sandbox_id: names.sandboxId, thread_id: names.threadId });
      await Promise.race([reached(), creating]);
      const service = await eventually(
        'made: the Service of a create that stalls',
        () => world.findService(names.sandboxId),
        (found) => found !== undefined,
      );
      return { creating, release, serviceUid: service?.metadata.uid };
    }

    const uidsOf = async (sandboxId: string) => ({
      services: (await world.servicesOf(sandboxId)).map(({ metadata }) => metadata.uid),
      pods: (await world.podsOf(sandboxId)).map(({ metadata }) => metadata.uid),
    });

    it.each([
      ['another thread: it is refused', true],
      ['its own thread: it answers with it', false],
    ])('leaves the newer one alone, which is that of %s', async (_whose, isAnothers) => {
      // It took the newer one's Pod away, because another Service than its own had it, and answered with a dead URL.
      const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
      const { creating, release, serviceUid } = await stallCreate(names);
      await remaker.remove(names.sandboxId);
      await remaker.make({ ...names, ...(isAnothers && { threadId: newThreadId() }) });
      const newer = await uidsOf(names.sandboxId);
      const { body: view } = await world.get(names.sandboxId);
      expect(newer).toEqual({ services: [expect.not.stringMatching(serviceUid ?? '')], pods: [expect.any(String)] });

      release();
      const answer = await creating;
      if (isAnothers) expectError(answer, 409, `Sandbox '${names.sandboxId}' belongs to another thread`);
      else expect(answer).toMatchObject({ status: 200, body: { ...view, expires_at: aTime, status: alive } });
      expect(await uidsOf(names.sandboxId)).toEqual(newer);
      expect((await world.findPod(names.sandboxId))?.metadata.deletionTimestamp).toBeUndefined();
      const expected = isAnothers ? { ...view, status: alive } : { ...view, expires_at: aTime, status: alive };
      expect((await world.get(names.sandboxId)).body).toEqual(expected);
    });
  });
});

describe('Service and Pod that are not read in one moment', () => {
  // A caller who is told `NotFound` takes the sandbox for dead, and removes it.
  const looks: [string, (sandboxId: string) => Promise<unknown>][] = [
    ['a get', async (sandboxId) => (await world.get(sandboxId)).body],
    [
      'a list',
      async () => {
        const { body } = await world.list();
        expect(body).toEqual({ sandboxes: [expect.any(Object)], count: 1 });
        return body.sandboxes[0];
      },
    ],
  ];
  /** Looks, and lets the one half of the sandbox be read only after all else has been done. */
  async function lookWhileStalled(
    stalledHalf: 'pods' | 'services',
    look: () => Promise<unknown>,
    meanwhile: () => Promise<unknown>,
  ): Promise<unknown> {
    world.proxy.reset();
    const { reached, release } = holdCalls(world.proxy, callTo('GET', stalledHalf));
    const looking = look();
    await Promise.race([reached(), looking]);
    await eventually(
      'read: the other half',
      () => world.proxy.calls.filter(callTo('GET', stalledHalf === 'pods' ? 'services' : 'pods')),
      (calls) => calls.some(({ endedAt }) => endedAt !== undefined),
    );
    await meanwhile();
    release();
    return looking;
  }

  describe.each(looks)('in %s', (_what, look) => {
    beforeAll(() => world.clear());

    it.each(['pods', 'services'] as const)(
      'are read once more, if the sandbox was removed and made again before the %s were read',
      async (stalledHalf) => {
        const { sandboxId, threadId } = await world.givenRunningSandbox();
        let view: object = {};
        const seen = await lookWhileStalled(
          stalledHalf,
          () => look(sandboxId),
          async () => {
            expect((await world.destroy(sandboxId)).status).toBe(200);
            ({ view } = await world.givenSandbox({ sandboxId, threadId }));
          },
        );
        expect(seen).toEqual({ ...view, status: alive });
      },
    );

    it.each([
      ['that still ended', () => world.givenRunningSandbox()],
      ['of the original that still ended', () => world.givenOriginalSandbox()],
    ])('are read once more, if the Pod was one %s, and the Service is a newer one', async (_how, give) => {
      const { sandboxId, threadId } = await give();
      expect((await world.destroy(sandboxId)).status).toBe(200);
      let view: object = {};
      const seen = await lookWhileStalled(
        'services',
        () => look(sandboxId),
        async () => ({ view } = await world.givenSandbox({ sandboxId, threadId })),
      );
      expect(seen).toEqual({ ...view, status: alive });
    });
  });

  // Not in a list: there a sandbox may lack its Pod for long, and every list would then cost twice.
  it('in a get are read once more, if there was no Pod, and the Service is a newer one', async () => {
    await world.clear();
    const { sandboxId, threadId } = { sandboxId: newSandboxId(), threadId: newThreadId() };
    let view: object = {};
    const answer = await lookWhileStalled(
      'services',
      () => world.get(sandboxId),
      async () => ({ view } = await world.givenSandbox({ sandboxId, threadId })),
    );
    expect(answer).toMatchObject({ status: 200, body: { ...view, status: alive } });
  });
});
