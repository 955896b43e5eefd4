import { afterEach, describe, expect, it } from 'vitest';

import { eventually } from '../support/eventually.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { isAbout } from '../support/kubernetes-proxy.ts';
import { originalPod } from '../support/original.ts';
import { expectWholeSandbox } from '../support/whole-sandbox.ts';
import { newSandboxId, newThreadId, useWorld } from '../support/world.ts';

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
  const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
  await world.givenSandbox(names);
  await world.kubernetes.remove('pods', `sandbox-${names.sandboxId}`, 0);
  const service = (await world.findService(names.sandboxId)) as KubernetesObject;
  const pod = originalPod(names, world.settings) as { metadata: object; spec: { containers: Container[] } };
  const { name, uid } = service.metadata;
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Service', name, uid }];
  const metadata = { ...pod.metadata, ownerReferences };
  const made = await world.kubernetes.create('pods', { ...pod, metadata, spec: spoil(pod.spec) });
  await eventually(
    `broken: ${reasons}`,
    () => world.findPod(names.sandboxId),
    (found) => reasons.test(reasonOf(found)),
  );
  return { ...names, uid: made.metadata.uid, service };
}

const withContainer =
  (change: Partial<Container>) =>
  (spec: { containers: Container[] }): object => ({
    ...spec,
    containers: spec.containers.map((container) => ({ ...container, ...change })),
  });

const cases: [string, Parameters<typeof givenBrokenSandbox>, onReal: boolean][] = [
  [
    'whose image cannot be had',
    [withContainer({ image: 'registry.invalid/sandbox:1' }), /^(ErrImagePull|ImagePullBackOff)$/],
    false,
  ],
  ['that no node takes', [(spec) => ({ ...spec, nodeSelector: { 'no-such': 'node' } }), /^Unschedulable$/], false],
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
        const answer = await world.create({ sandbox_id: sandboxId, thread_id: threadId });
        expect(answer.status, answer.text).toBe(200);
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
    world.proxy.injectFault({
      when: (call) => call.method === 'DELETE' && isAbout(call, sandboxId),
      action: { hold: run },
      times: 1,
    });
    const answer = await world.create({ sandbox_id: sandboxId, thread_id: threadId });
    expect(answer).toMatchObject({ status: 200, body: { status: 'Running' } });
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
    const answer = await broken.create({ sandbox_id: sandboxId, thread_id: threadId });
    expect(answer).toMatchObject({ status: 200, body: { status: 'Pending' } });
    expect((await broken.findPod(sandboxId))?.metadata.uid).toBe(before?.metadata.uid);
  });
});
