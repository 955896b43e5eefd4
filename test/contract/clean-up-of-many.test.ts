import { beforeAll, describe, expect, it } from 'vitest';

import { log } from '../../lib/log.ts';
import { aReport, cleanUp, usedAgo } from '../support/clean-up.ts';
import { eventually } from '../support/eventually.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';

import { alter, onNoNode, originalPod, originalService, ownedBy, type SandboxNames } from '../support/original.ts';
import { newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld();

// It logs each that it removes.
beforeAll(() => {
  log.setLogLevel('SILENT');
});

const twoDays = 172_800;

type Kind = 'in-use' | 'expired' | 'used-meanwhile' | 'service-without-pod' | 'pod-without-service';

/** How many there are of each: 300 sandboxes, whole and half. */
const numbers: Record<Kind, number> = {
  'in-use': 100,
  expired: 100,
  'used-meanwhile': 50,
  'service-without-pod': 25,
  'pod-without-service': 25,
};

/** What a process that made sandboxes two days ago has left, with Pods that no node takes. */
async function givenSandbox(kind: Kind): Promise<SandboxNames> {
  const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
  const annotations = {
    'sandbox-provisioner/thread-id': names.threadId,
    ...usedAgo(kind === 'in-use' ? 60 : kind.includes('without') ? 600 : twoDays),
  };
  let owner: KubernetesObject | undefined;
  if (kind !== 'pod-without-service') {
    // Without a selector, Kubernetes makes no endpoints for it: hundreds of them would hold up those of the other tests.
    const service = alter(originalService(names), { metadata: { annotations }, spec: { selector: undefined } });
    owner = await world.kubernetes.create('services', service);
  }
  if (kind === 'service-without-pod') return names;
  const metadata = owner === undefined ? { annotations } : ownedBy(owner);
  await world.kubernetes.create('pods', alter(originalPod(names, world.settings), { metadata, spec: onNoNode }));
  return names;
}

async function givenSandboxes(kind: Kind): Promise<SandboxNames[]> {
  const given: SandboxNames[] = [];
  // Ten at a time: the API server has others to serve.
  for (let left = numbers[kind]; left > 0; left -= 10) {
    given.push(...(await Promise.all(Array.from({ length: Math.min(10, left) }, () => givenSandbox(kind)))));
  }
  return given;
}

/** The scheduler notes on each Pod that no node takes it, and would else change some while the clean-up is about to. */
async function untilScheduled(): Promise<void> {
  if (world.isEmbedded) return;
  await eventually(
    'seen by the scheduler: every Pod',
    () => world.kubernetes.list('pods'),
    (pods) => pods.every((pod) => (pod.status as { conditions?: object[] } | undefined)?.conditions !== undefined),
    60_000,
  );
}

const uses: ((names: SandboxNames) => Promise<{ status: number; text: string }>)[] = [
  ({ sandboxId, threadId }) => world.create({ sandbox_id: sandboxId, thread_id: threadId }),
  ({ sandboxId }) => world.renew(sandboxId),
  ({ sandboxId }) => world.get(sandboxId),
];

describe('one clean-up of 300 sandboxes', () => {
  it('takes exactly those that nobody needs, while others are used', async () => {
    // The namespace comes with the first sandbox.
    const first = await world.givenSandbox();
    await world.destroy(first.sandboxId);
    await world.clear();
    const inUse = await givenSandboxes('in-use');
    await givenSandboxes('expired');
    const usedMeanwhile = await givenSandboxes('used-meanwhile');
    await givenSandboxes('service-without-pod');
    await givenSandboxes('pod-without-service');
    await untilScheduled();
    const namesByService = new Map(usedMeanwhile.map((names) => [`sandbox-${names.sandboxId}-svc`, names]));

    // Each is used when the clean-up has judged it and is about to take it.
    const answers: { status: number; text: string }[] = [];
    world.proxy.reset();
    world.proxy.injectFault({
      when: (call) => call.method === 'DELETE' && namesByService.has(call.path.split('/').at(-1) ?? ''),
      action: {
        async hold(call) {
          const names = namesByService.get(call.path.split('/').at(-1) ?? '');
          const use = uses[answers.length % uses.length];
          if (names && use) answers.push(await use(names));
        },
      },
    });
    const run = await cleanUp(world);

    const deleted = { expired: 100, 'service-without-pod': 25, 'pod-without-service': 25 };
    const kept = { 'in-use': 100, 'used-meanwhile': 50 };
    expect(run.report, run.output).toEqual(aReport({ examined: 300, deleted, kept }));
    expect(run.exitCode).toBe(0);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 200));

    // Two lists and the deletion of each object; beside them, a look for the Service of each Pod that has none.
    // No node takes these Pods: a use that is a create replaces its sandbox's, without grace. That is not the clean-up's doing.
    const calls = world.proxy.calls.filter(({ body }) => !body.includes('"gracePeriodSeconds":0'));
    const lists = calls.filter(({ method, path }) => method === 'GET' && /\/(pods|services)$/.test(path));
    const own = { lists: lists.length, deletions: calls.filter(({ method }) => method === 'DELETE').length };
    expect(own).toEqual({ lists: 2, deletions: 100 + 25 + 50 + 100 + 25 });
    console.info('clean-up of 300: its calls', own, `of ${calls.length} with those of 50 uses`);

    // What was removed is gone or ends; what was not is as it was, and whole.
    const alive = new Set([...inUse, ...usedMeanwhile].map(({ sandboxId }) => sandboxId));
    const idsOf = async (resource: 'pods' | 'services') => {
      const objects = await world.kubernetes.list(resource);
      const staying = objects.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      return new Set(staying.map(({ metadata }) => metadata.labels?.['sandbox-id']));
    };
    expect(await idsOf('services')).toEqual(alive);
    expect(await idsOf('pods')).toEqual(alive);

    // And once more: there is nothing left to do.
    const again = await cleanUp(world);
    expect(again.report?.deleted, again.output).toEqual({});
    expect(again.report?.kept['in-use'], again.output).toBe(150);
  }, 180_000);
});
