import { afterEach, describe, expect, it } from 'vitest';

import { expectError } from '../support/answers.ts';
import { aReport, cleanUp } from '../support/clean-up.ts';
import { removeNamespace } from '../support/cluster.ts';
import { callTo, isFor, kubernetesStatus, writesAmong } from '../support/kubernetes-proxy.ts';
import { expectWholeSandbox } from '../support/whole-sandbox.ts';
import { newSandboxId, newThreadId, useWorld } from '../support/world.ts';

// With the right to make its namespace. All other files have a namespace, and no more than the Role in it.
const world = useWorld({}, 'cluster');

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const labels = { 'app.kubernetes.io/name': 'deer-flow', 'app.kubernetes.io/component': 'sandbox' };

describe('a namespace', () => {
  it('that is not there is made with the first sandbox, with its two labels', async () => {
    const { sandboxId } = await world.givenSandbox();
    expect((await world.kubernetes.getNamespace())?.metadata.labels).toMatchObject(labels);
    await expectWholeSandbox(world, sandboxId);
  });

  it('that is not there is nothing to clean up', async () => {
    await removeNamespace(world.kubernetes);
    const run = await cleanUp(world);
    expect(run.report, run.output).toEqual(aReport({}));
    expect(run.exitCode).toBe(0);
  });

  it('that was deleted under a warm function is no sandbox, and no error, and is made again, with its labels', async () => {
    const gone = await world.givenSandbox();
    await removeNamespace(world.kubernetes);
    expect(await world.list()).toMatchObject({ status: 200, body: { sandboxes: [], count: 0 } });
    for (const sandbox_id of [gone.sandboxId, newSandboxId()]) {
      expectError(await world.get(sandbox_id), 404, `Sandbox '${sandbox_id}' not found`);
      expect(await world.destroy(sandbox_id)).toMatchObject({ status: 200, body: { ok: true, sandbox_id } });
    }

    const { sandboxId } = await world.givenSandbox();
    expect((await world.kubernetes.getNamespace())?.metadata.labels).toMatchObject(labels);
    await expectWholeSandbox(world, sandboxId);
  });

  it('that was deleted under eight creates at once is made again for them all', async () => {
    await world.givenSandbox();
    await removeNamespace(world.kubernetes);
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId() };
    const answers = await Promise.all(Array.from({ length: 8 }, () => world.create(body)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    await expectWholeSandbox(world, body.sandbox_id);
  });

  it('that was made by somebody else keeps what it has', async () => {
    await removeNamespace(world.kubernetes);
    await world.kubernetes.createNamespace();
    const before = await world.kubernetes.getNamespace();
    const calls = await world.callsOf(() => world.givenSandbox());
    expect(writesAmong(calls).filter((call) => isFor(call, 'namespaces'))).toEqual([]);
    expect((await world.kubernetes.getNamespace())?.metadata.uid).toBe(before?.metadata.uid);
  });

  const gone = kubernetesStatus(404, 'NotFound', 'namespaces "n" not found', { name: 'n', kind: 'namespaces' });
  const noNew = 'pods "sandbox" is forbidden: unable to create new content in namespace n';
  const ending = kubernetesStatus(403, 'Forbidden', noNew, {
    ...{ name: 'sandbox', kind: 'pods' },
    causes: [{ reason: 'NamespaceTerminating', message: 'namespace n is being terminated' }],
  });
  it.each([
    ['is gone', gone],
    ['is being deleted', ending],
  ])('that %s when the Service is made and the Pod is not yet: the create begins again', async (_how, answer) => {
    await world.givenSandbox();
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    const refusal = { when: callTo('POST', 'pods', names.sandboxId), action: { answer }, times: 1 };
    const fresh = world.proxy.injectFault(refusal);
    const created = await world.givenSandbox(names);
    expect(fresh.hits.length).toBe(1);
    await expectWholeSandbox(world, names.sandboxId);

    await world.kubernetes.remove('pods', `sandbox-${names.sandboxId}`, 0);
    const mending = world.proxy.injectFault(refusal);
    expect((await world.givenSandbox(names)).view.sandbox_url).toBe(created.view.sandbox_url);
    expect(mending.hits.length).toBe(1);
    await expectWholeSandbox(world, names.sandboxId);
  });

  it('that is being deleted is waited for, and made again', async () => {
    // Its Pod holds it in this state, in which Kubernetes takes nothing new, for as long as it has grace.
    await world.givenRunningSandbox();
    await world.kubernetes.deleteNamespace();
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId() };
    const [answer] = await Promise.all([world.create(body), removeNamespaceOnce()]);
    expect(answer.status, answer.text).toBe(200);
    await expectWholeSandbox(world, body.sandbox_id);
  });
});

/** Lets a namespace that is being deleted go, and no other that is made in its place. */
async function removeNamespaceOnce(): Promise<void> {
  const uid = (await world.kubernetes.getNamespace())?.metadata.uid;
  await new Promise((resolve) => setTimeout(resolve, 500));
  if ((await world.kubernetes.getNamespace())?.metadata.uid === uid) await world.clear();
}
