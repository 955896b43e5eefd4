import { afterEach, describe, expect, it } from 'vitest';

import { eventually } from '../support/eventually.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { callTo } from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, ownedBy } from '../support/original.ts';
import { expectWholeSandbox } from '../support/whole-sandbox.ts';
import { useWorld } from '../support/world.ts';

const world = useWorld();
// A registry that is never there: the name is reserved (RFC 2606).
const broken = useWorld({ SANDBOX_IMAGE: 'registry.invalid/sandbox:1' });

afterEach(async () => {
  for (const one of [world, broken]) {
    one.proxy.reset();
    await one.clear();
  }
});

type Container = { image: string; envFrom?: object[] };

const reasonOf = (pod: KubernetesObject | undefined): string =>
  pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason ??
  pod?.status?.conditions?.find(({ type }: { type: string }) => type === 'PodScheduled')?.reason ??
  '';

/** A sandbox whose Pod was made by settings that have been mended since. */
async function givenBrokenSandbox(spoil: (spec: { containers: Container[] }) => object, reasons: RegExp) {
  const names = await world.givenSandbox();
  await world.kubernetes.remove('pods', `sandbox-${names.sandboxId}`, 0);
  const service = (await world.findService(names.sandboxId)) as KubernetesObject;
  const pod = originalPod(names, world.settings) as { spec: { containers: Container[] } };
  const broken = alter(pod, { metadata: ownedBy(service), spec: spoil(pod.spec) });
  const made = await world.kubernetes.create('pods', broken);
  await eventually(
    `broken: ${reasons}`,
    () => world.findPod(names.sandboxId),
    (found) => reasons.test(reasonOf(found)),
  );
  return { ...names, uid: made.metadata.uid, service };
}

const withContainer =
  (change: Partial<Container>) =>
  ({ containers }: { containers: Container[] }): object => ({
    containers: containers.map((container) => ({ ...container, ...change })),
  });

const cases: [string, Parameters<typeof givenBrokenSandbox>, onReal: boolean][] = [
  [
    'whose image cannot be had',
    [withContainer({ image: 'registry.invalid/sandbox:1' }), /^(ErrImagePull|ImagePullBackOff)$/],
    false,
  ],
  ['that no node takes', [() => onNoNode, /^Unschedulable$/], false],
  ['whose image has no legal name', [withContainer({ image: 'Registry/Sandbox:1' }), /^InvalidImageName$/], true],
  [
    'whose container lacks what it is made of',
    [withContainer({ envFrom: [{ configMapRef: { name: 'absent' } }] }), /^CreateContainerConfigError$/],
    true,
  ],
];

describe('a Pod that never ran and cannot, of settings that have been mended since', () => {
  // Every create once kept it, and answered Pending for ever.
  for (const [what, given, needsKubelet] of cases) {
    it.skipIf(needsKubelet && process.env.KUBECONFIG_PATH === '')(
      `is replaced by the next create, behind the same URL: one ${what}`,
      async () => {
        const { sandboxId, threadId, uid, service } = await givenBrokenSandbox(...given);
        await world.givenSandbox({ sandboxId, threadId });
        const whole = await expectWholeSandbox(world, sandboxId);
        expect(whole.pod.metadata.uid).not.toBe(uid);
        expect(whole.service.metadata.uid).toBe(service.metadata.uid);
      },
    );
  }

  it('is left alone where it has begun to run since it was read', async () => {
    const { sandboxId, threadId, uid } = await givenBrokenSandbox(...(cases[1] as (typeof cases)[number])[1]);
    const run = () =>
      world.kubernetes.patch('pods', `sandbox-${sandboxId}`, { status: { phase: 'Running' } }, 'status');
    world.proxy.injectFault({ when: callTo('DELETE', 'pods', sandboxId), action: { hold: run }, times: 1 });
    expect((await world.givenSandbox({ sandboxId, threadId })).view.status).toBe('Running');
    expect((await world.findPod(sandboxId))?.metadata.uid).toBe(uid);
  });
});

describe("a Pod that never ran and cannot, of today's settings", () => {
  it('is kept: another one would be no better', async () => {
    const { sandboxId, threadId } = await broken.givenSandbox();
    await eventually(
      'broken',
      () => broken.findPod(sandboxId),
      (pod) => /^(ErrImagePull|ImagePullBackOff)$/.test(reasonOf(pod)),
    );
    const before = await broken.findPod(sandboxId);
    expect((await broken.givenSandbox({ sandboxId, threadId })).view.status).toBe('Pending');
    expect((await broken.findPod(sandboxId))?.metadata.uid).toBe(before?.metadata.uid);
  });
});
