import { afterEach, describe, expect, it } from 'vitest';

import { afterUse, aTime, expectError, expectNoPod, withoutPod } from '../support/answers.ts';
import { eventually } from '../support/eventually.ts';
import type { HttpAnswer } from '../support/http-call.ts';
import {
  callTo,
  holdCalls,
  isAbout,
  isFor,
  type KubernetesCall,
  kubernetesStatus,
} from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, originalService, ownedBy, type SandboxNames } from '../support/original.ts';
import { expectWholeSandbox } from '../support/whole-sandbox.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld(lean);

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const internalError = kubernetesStatus(500, 'InternalError', 'an error on the server has prevented the request');

const full = 'exceeded quota: full, requested: services=1, used: services=1, limited: services=1';
const quotaExceeded = kubernetesStatus(403, 'Forbidden', `services "sandbox" is forbidden: ${full}`, {
  ...{ name: 'sandbox', kind: 'services' },
});

const creationOf = (resource: 'pods' | 'services', sandboxId: string) => ({
  when: callTo('POST', resource, sandboxId),
});
const newNames = () => ({ sandboxId: newSandboxId(), threadId: newThreadId() });
const asBody = ({ sandboxId, threadId }: SandboxNames) => ({ sandbox_id: sandboxId, thread_id: threadId });

describe('a sandbox that is removed and asked for again at once', () => {
  // The original put a new Service in front of the dying Pod, and answered 200 with NotFound for ever after.
  it('lives, though its old Pod takes 30 s to end, however often, and also for another thread: the id is free', async () => {
    const { sandboxId, threadId } = await world.givenRunningSandbox();
    const oldPod = await world.findPod(sandboxId);
    const threads = [threadId, threadId, threadId, threadId, threadId, newThreadId()];
    for (const [round, thread] of threads.entries()) {
      expect((await world.destroy(sandboxId)).status).toBe(200);
      const { view } = await world.givenSandbox({ sandboxId, threadId: thread });
      expect(view.status).toBeOneOf(['Pending', 'Running']);
      if (round > 0 && round < 4) continue;
      const { pod } = await expectWholeSandbox(world, sandboxId);
      expect(pod.metadata.uid).not.toBe(oldPod?.metadata.uid);
      expect(JSON.stringify(pod.spec.volumes)).toContain(`${world.settings.THREADS_HOST_PATH}/${thread}/user-data`);
    }
  });
});

describe('a sandbox whose Pod is not there', () => {
  // The original answered 200 with NotFound to every POST and made nothing again.
  it('gets it back at the next POST, behind the same URL, when it was deleted by hand', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expectNoPod(await world.get(sandboxId), sandboxId);
    const again = await world.givenSandbox({ sandboxId, threadId });
    expect(again.view).toMatchObject({
      sandbox_url: view.sandbox_url,
      status: expect.toBeOneOf(['Pending', 'Running']),
    });
    const { service } = await expectWholeSandbox(world, sandboxId);
    expect((await world.get(sandboxId)).body.sandbox_url).toBe(view.sandbox_url);
    expect(service.metadata.annotations?.['sandbox-provisioner/thread-id']).toBe(threadId);
  });

  it('gets a new one while the one deleted by hand still ends', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    const oldPod = await world.findPod(sandboxId);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`);
    // It is `Running` for up to 30 s more, but nobody should begin to use it.
    expect((await world.findPod(sandboxId))?.metadata.deletionTimestamp).toEqual(expect.any(String));
    expectNoPod(await world.get(sandboxId), sandboxId);
    expect((await world.list()).body).toEqual({ sandboxes: [{ ...view, ...withoutPod }], count: 1 });
    expect((await world.givenSandbox({ sandboxId, threadId })).view.sandbox_url).toBe(view.sandbox_url);
    const { pod } = await expectWholeSandbox(world, sandboxId);
    expect(pod.metadata.uid).not.toBe(oldPod?.metadata.uid);
  });

  it.each(['Failed', 'Succeeded'])('gets a new one for one that has ended: %s', async (phase) => {
    const names = await world.givenOriginalSandbox({}, { withPod: false });
    const { sandboxId } = names;
    await world.kubernetes.create('pods', alter(originalPod(names, world.settings), { spec: onNoNode }));
    await world.kubernetes.patch('pods', `sandbox-${sandboxId}`, { status: { phase } }, 'status');
    expect((await world.get(sandboxId)).body).toMatchObject({ sandbox_id: sandboxId, status: phase });
    const endedPod = await world.findPod(sandboxId);
    expect((await world.givenSandbox(names)).view.status).toBeOneOf(['Pending', 'Running']);
    const { pod } = await expectWholeSandbox(world, sandboxId);
    expect(pod.metadata.uid).not.toBe(endedPod?.metadata.uid);
  });

  it('counts a Pod that another Service owns as none, and gets its own', async () => {
    // Kubernetes removes it as soon as that Service goes; it is the one from before a DELETE and a POST.
    const other = await world.givenOriginalSandbox({}, { withPod: false });
    const metadata = ownedBy(await world.findService(other.sandboxId));
    const names = await world.givenOriginalSandbox({}, { withPod: false });
    const { sandboxId } = names;
    await world.kubernetes.create('pods', alter(originalPod(names, world.settings), { metadata }));
    await eventually(
      'running: a Pod of another Service',
      () => world.findPod(sandboxId),
      (found) => found?.status.phase === 'Running',
    );
    expectNoPod(await world.get(sandboxId), sandboxId);
    await world.givenSandbox(names);
    await expectWholeSandbox(world, sandboxId);
  });
});

describe('eight creates of one sandbox at once', () => {
  const eight = Array.from({ length: 8 });

  /** All answer with one sandbox, at one URL. */
  async function createEight(body: { sandbox_id: string }): Promise<HttpAnswer[]> {
    const answers = await Promise.all(eight.map(() => world.create(body)));
    expect(answers.map(({ status, text }) => (status === 200 ? status : text))).toEqual(eight.map(() => 200));
    expect(new Set(answers.map((answer) => answer.body.sandbox_url)).size).toBe(1);
    await expectWholeSandbox(world, body.sandbox_id);
    return answers;
  }

  it('make one Pod and one Service, and agree; also after a removal, while the old Pod still ends', async () => {
    const body = asBody(newNames());
    const answers = await createEight(body);
    for (const answer of answers) {
      const status = expect.toBeOneOf(['Pending', 'Running']);
      const created = expect.any(Boolean);
      expect(answer.body).toEqual({ ...answers[0]?.body, created, status, expires_at: aTime });
    }
    expect(answers.filter(({ body }) => body.created)).toHaveLength(1);
    await world.destroy(body.sandbox_id);
    await createEight(body);
  });

  it('are all served, though their notes of use meet on the Service', async () => {
    // Kubernetes tries a patch five times against others, and then gives up with 409: eight at once were enough for it.
    const { sandboxId, threadId } = await world.givenSandbox();
    const message = `Operation cannot be fulfilled on services "sandbox-${sandboxId}-svc": the object has been modified`;
    world.proxy.injectFault({
      when: callTo('PATCH', 'services', sandboxId),
      action: { answer: kubernetesStatus(409, 'Conflict', message, { name: sandboxId, kind: 'services' }) },
      times: 4,
    });
    await createEight(asBody({ sandboxId, threadId }));
  });

  it('are all served of one that the original made, though the quota is full: all adopt it at the same moment', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const [pod, service] = [await world.findPod(sandboxId), await world.findService(sandboxId)];
    world.proxy.injectFault({ ...creationOf('services', sandboxId), action: { answer: quotaExceeded } });
    // What adopts it bears the resource version that was judged: none goes on before all have judged.
    const isAdoption = (call: KubernetesCall) =>
      callTo('PATCH', 'services', sandboxId)(call) && call.body.includes('"resourceVersion"');
    const adopting = holdCalls(world.proxy, isAdoption, 8);
    const body = asBody({ sandboxId, threadId });
    const creating = Promise.all(eight.map(() => world.create(body)));
    await eventually(
      'about to adopt it: all eight',
      () => adopting.hits.length,
      (count) => count === 8,
      10_000,
    );
    adopting.release();
    const answers = await creating;
    expect(answers.map(({ status, text }) => (status === 200 ? status : text))).toEqual(eight.map(() => 200));
    const sandbox_url = `http://${world.settings.NODE_HOST}:${service?.spec.ports[0].nodePort}`;
    for (const answer of answers)
      expect(answer.body).toMatchObject({ sandbox_id: sandboxId, sandbox_url, status: 'Running' });
    expect(adopting.hits.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 7 }, () => 409)]);
    expect((await world.podsOf(sandboxId)).map(({ metadata }) => metadata.uid)).toEqual([pod?.metadata.uid]);
    expect((await world.findService(sandboxId))?.metadata).toMatchObject({
      uid: service?.metadata.uid,
      annotations: { 'sandbox-provisioner/thread-id': threadId },
    });
  });

  it('lose nothing when one of them fails at its Pod, after it made the Service', async () => {
    // The original's roll-back deleted the Pod that the others had been told of.
    const body = asBody(newNames());
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    const fault = world.proxy.injectFault({
      ...creationOf('pods', body.sandbox_id),
      action: { hold, afterwards: { answer: internalError } },
      times: 1,
    });
    const first = world.create(body);
    await Promise.race([fault.firstHit(), first]);
    const others = await Promise.all(eight.slice(1).map(() => world.create(body)));
    release();
    const answer = await first;
    expect(others.map(({ status }) => status)).toEqual(eight.slice(1).map(() => 200));
    // It may say that it failed, or that the sandbox is there; it may not take it away.
    if (answer.status === 200) expect(answer.body.sandbox_url).toBe(others[0]?.body.sandbox_url);
    else expectError(answer, 500, /^Pod creation failed: \S/);
    const { service } = await expectWholeSandbox(world, body.sandbox_id);
    for (const other of others) expect(other.body.sandbox_url).toContain(`:${service.spec.ports[0].nodePort}`);
  });

  it.each(['pods', 'services'] as const)('come to one sandbox when the first to make %s fails', async (resource) => {
    const body = asBody(newNames());
    const creation = creationOf(resource, body.sandbox_id);
    const fault = world.proxy.injectFault({ ...creation, action: { answer: internalError }, times: 1 });
    const answers = await Promise.all(eight.map(() => world.create(body)));
    expect(fault.hits.length).toBe(1);
    const succeeded = answers.filter(({ status }) => status === 200);
    for (const failed of answers.filter(({ status }) => status !== 200)) expectError(failed, 500);
    expect(succeeded.length).toBeGreaterThanOrEqual(7);
    expect(new Set(succeeded.map((answer) => answer.body.sandbox_url)).size).toBe(1);
    const { service } = await expectWholeSandbox(world, body.sandbox_id);
    expect(succeeded[0]?.body.sandbox_url).toContain(`:${service.spec.ports[0].nodePort}`);
  });
});

describe('a create and a delete at the same moment', () => {
  it('are both answered, ten times over; one more create makes the sandbox whole', async () => {
    const body = asBody(newNames());
    for (let round = 0; round < 10; round += 1) {
      const pair = [() => world.create(body), () => world.destroy(body.sandbox_id)];
      const answers = await Promise.all((round % 2 === 0 ? pair : pair.toReversed()).map((send) => send()));
      expect(answers.map(({ status, text }) => (status === 200 ? status : text))).toEqual([200, 200]);
    }
    expect((await world.create(body)).status).toBe(200);
    await expectWholeSandbox(world, body.sandbox_id);
  });

  it('of two deletes, both are answered', async () => {
    const { sandboxId } = await world.givenSandbox();
    const answers = await Promise.all([world.destroy(sandboxId), world.destroy(sandboxId)]);
    for (const answer of answers)
      expect(answer).toMatchObject({ status: 200, body: { ok: true, sandbox_id: sandboxId } });
    expect(await world.servicesOf(sandboxId)).toEqual([]);
  });
});

describe('a create that fails', () => {
  // The creation went out again, found the name taken, and took the Service for somebody else's.
  it('at its Pod leaves no Service behind, though the answer to its creation was lost on a kept connection', async () => {
    const body = { sandbox_id: newSandboxId(), thread_id: newThreadId() };
    await world.givenSandbox();
    world.proxy.injectFault({ ...creationOf('services', body.sandbox_id), action: { cut: 'after' }, times: 1 });
    world.proxy.injectFault({ ...creationOf('pods', body.sandbox_id), action: { answer: internalError } });
    expectError(await world.create(body), 500, /^Pod creation failed: \S/);
    expect(await world.servicesOf(body.sandbox_id)).toEqual([]);
  });

  it('leaves a Service that was there before it, with its URL', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    const body = asBody({ sandboxId, threadId });
    const fault = world.proxy.injectFault({ ...creationOf('pods', sandboxId), action: { answer: internalError } });
    expectError(await world.create(body), 500, /^Pod creation failed: \S/);
    expectNoPod(await world.get(sandboxId), sandboxId);
    expect((await world.list()).body).toEqual({ sandboxes: [afterUse(view, withoutPod)], count: 1 });
    fault.remove();
    expect(await world.create(body)).toMatchObject({ status: 200, body: { sandbox_url: view.sandbox_url } });
    await expectWholeSandbox(world, sandboxId);
  });

  it.each([
    ['services', 'after'],
    ['services', 'before'],
    ['pods', 'after'],
    ['pods', 'before'],
  ] as const)(
    'because the connection broke at its %s (cut %s it took effect) is mended by the next',
    async (resource, cut) => {
      const body = asBody(newNames());
      const fault = world.proxy.injectFault({ ...creationOf(resource, body.sandbox_id), action: { cut }, times: 1 });
      const answer = await world.create(body);
      expect(fault.hits.length).toBe(1);
      if (answer.status !== 200) expectError(answer, [500, 503]);
      const again = await world.create(body);
      expect(again.status, again.text).toBe(200);
      if (answer.status === 200) expect(again.body.sandbox_url).toBe(answer.body.sandbox_url);
      await expectWholeSandbox(world, body.sandbox_id);
    },
  );

  it('does not take away a sandbox that somebody else made meanwhile', async () => {
    // The original deleted the Pod of the other whenever its own Service could not be made.
    const names = newNames();
    await world.givenSandbox();
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    const fault = world.proxy.injectFault({
      ...creationOf('services', names.sandboxId),
      action: { hold, afterwards: { answer: internalError } },
      times: 1,
    });
    const first = world.create(asBody(names));
    await Promise.race([fault.firstHit(), first]);
    await world.kubernetes.create('services', originalService(names));
    await world.kubernetes.create('pods', originalPod(names, world.settings));
    const service = await world.findService(names.sandboxId);
    const pod = await world.findPod(names.sandboxId);
    release();
    const answer = await first;
    if (answer.status !== 200) expectError(answer, 500, /^Service creation failed: \S/);
    expect((await world.findService(names.sandboxId))?.metadata.uid).toBe(service?.metadata.uid);
    expect((await world.findPod(names.sandboxId))?.metadata).toMatchObject({ uid: pod?.metadata.uid });
    expect((await world.findPod(names.sandboxId))?.metadata.deletionTimestamp).toBeUndefined();
  });
});

describe('a NodePort', () => {
  /** Has so many answers about the sandbox's Service tell no NodePort. */
  const hideNodePort = (sandboxId: string, times: number) =>
    world.proxy.injectFault({
      when: (call) => isFor(call, 'services') && isAbout(call, sandboxId),
      action: { rewrite: (answer) => ({ ...answer, text: answer.text.replaceAll(/,?"nodePort":\d+/g, '') }) },
      times,
    });

  it('that is allocated a moment later is waited for', async () => {
    const body = asBody(newNames());
    const hidden = hideNodePort(body.sandbox_id, 3);
    expect((await world.create(body)).status).toBe(200);
    expect(hidden.hits.map(({ method }) => method)).toEqual(['POST', 'GET', 'GET']);
    await expectWholeSandbox(world, body.sandbox_id);
  });

  it('that is never allocated fails the create, which leaves nothing behind', async () => {
    // The original left the Pod and the Service.
    const body = asBody(newNames());
    hideNodePort(body.sandbox_id, Number.POSITIVE_INFINITY);
    expectError(await world.create(body), 500, 'Service access URL was not available in time');
    expect(await world.servicesOf(body.sandbox_id)).toEqual([]);
    await world.untilPodGoes(body.sandbox_id);
  });
});

describe('a quota that is full', () => {
  afterEach(async () => {
    // Clearing has removed the quota; the API server may go by the one it remembers for a moment.
    await eventually(
      'allowed again: a sandbox, without a quota',
      async () => {
        await world.clear();
        return world.create(asBody(newNames()));
      },
      ({ status }) => status === 200,
    );
    await world.clear();
  });

  it.each(['services', 'pods'] as const)(
    'of %s: a sandbox that exists is answered, a new one gets 429',
    async (what) => {
      const { sandboxId, threadId, view } = await world.givenRunningSandbox();
      await givenFullQuota(what);
      // The original answered 500 to the repeated create too.
      const answer = await world.create({ sandbox_id: sandboxId, thread_id: threadId });
      expect(answer).toMatchObject({ status: 200, body: afterUse(view) });
      const { created, ...used } = answer.body;
      expect(created).toBe(false);
      expect(await world.get(sandboxId)).toMatchObject({ status: 200, body: used });

      const refused = newSandboxId();
      expectError(await world.create({ sandbox_id: refused, thread_id: newThreadId() }), 429, /exceeded quota/i);
      expect(await world.servicesOf(refused)).toEqual([]);
      expect(await world.podsOf(refused)).toEqual([]);
      expect((await world.list()).body).toEqual({ sandboxes: [used], count: 1 });
      expect((await world.destroy(sandboxId)).status).toBe(200);
    },
  );
});

describe('a quota', () => {
  afterEach(() => world.clear());

  it('is not used up by a caller who creates its sandbox again and again', async () => {
    // A creation that fails because the name is taken is charged all the same, until Kubernetes recounts.
    const { sandboxId, threadId } = await world.givenSandbox();
    await givenQuota('roomy', { services: '3' });
    for (let turn = 0; turn < 8; turn += 1) {
      expect((await world.create({ sandbox_id: sandboxId, thread_id: threadId })).status).toBe(200);
    }
    expect((await world.kubernetes.find('resourcequotas', 'roomy'))?.status?.used).toEqual({ services: '1' });
    await world.givenSandbox();
  });
});

/** A quota against which the one sandbox that there is has been counted. */
async function givenQuota(name: string, hard: Record<string, string>): Promise<void> {
  await world.kubernetes.create('resourcequotas', { metadata: { name }, spec: { hard } });
  await eventually(
    'counted: what there is, against the quota',
    () => world.kubernetes.find('resourcequotas', name),
    (quota) => Object.keys(hard).every((what) => quota?.status?.used?.[what] === '1'),
  );
}

async function givenFullQuota(what: 'pods' | 'services'): Promise<void> {
  await givenQuota('full', { [what]: '1' });
  // The API server learns of it a moment after it can be read.
  const names = newNames();
  const object = what === 'pods' ? originalPod(names, world.settings) : originalService(names);
  await eventually(
    'enforced: the quota',
    async () => {
      const answer = await world.kubernetes.request('POST', `/api/v1/namespaces/${world.namespace}/${what}`, object);
      if (answer.status < 300) await world.kubernetes.remove(what, String(answer.body.metadata.name), 0);
      return answer.status;
    },
    (status) => status === 403,
  );
}
