import { afterEach, describe, expect, it } from 'vitest';

import { afterUse } from '../support/answers.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { callTo, type KubernetesCall, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { expectWholeSandbox } from '../support/whole-sandbox.ts';
import { lean, newSandboxId, newThreadId, useWorld, type World } from '../support/world.ts';

// Provisioners of one namespace, one after the other as its operator changes their settings.
const world = useWorld(lean);
const inCluster = useWorld({ SANDBOX_SERVICE_TYPE: 'ClusterIP', ...lean }, 'namespace', { beside: world });
const headless = useWorld({ SANDBOX_SERVICE_TYPE: 'Headless', ...lean }, 'namespace', { beside: world });
const otherPort = useWorld({ SANDBOX_CONTAINER_PORT: '9090', ...lean }, 'namespace', { beside: world });

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const nameInCluster = (sandboxId: string) =>
  `http://sandbox-${sandboxId}-svc.${world.namespace}.svc.cluster.local:8080`;

/** The ports that the sandbox has: its Service's, and those of its Pod and of the probes. */
function portsOf(service: KubernetesObject | undefined, pod: KubernetesObject | undefined) {
  const [{ port, targetPort }] = service?.spec.ports ?? [{}];
  const [container] = pod?.spec.containers ?? [];
  const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe];
  return [port, targetPort, container.ports[0].containerPort, ...probes.map(({ httpGet }) => httpGet.port)];
}
const allAre = (port: number) => Array.from({ length: 6 }, () => port);

async function look(sandboxId: string) {
  return { service: await world.findService(sandboxId), pod: await world.findPod(sandboxId) };
}

describe('a Service', () => {
  it.each<[string, World]>([
    ['ClusterIP', inCluster],
    ['Headless', headless],
  ])('of the type %s has its name in the cluster as its URL, and no port of the nodes', async (type, inCluster) => {
    const { sandboxId, view } = await inCluster.givenSandbox();
    const { service, pod } = await look(sandboxId);
    expect(service?.spec).toMatchObject({ type: 'ClusterIP', ports: [{ name: 'http', port: 8080, targetPort: 8080 }] });
    expect(service?.spec.ports[0]).not.toHaveProperty('nodePort');
    expect(service?.spec.publishNotReadyAddresses).toBe(true);
    expect(service?.spec.clusterIP === 'None').toBe(type === 'Headless');
    expect(portsOf(service, pod)).toEqual(allAre(8080));
    expect(view.sandbox_url).toBe(nameInCluster(sandboxId));
    const running = await inCluster.untilRunning(sandboxId);
    expect(running).toEqual({ ...view, status: 'Running' });
    expect((await inCluster.list()).body).toEqual({ sandboxes: [running], count: 1 });
    expect(await inCluster.renew(sandboxId)).toMatchObject({ status: 200, body: { sandbox_url: view.sandbox_url } });
    expect((await inCluster.destroy(sandboxId)).status).toBe(200);
    expect(await world.servicesOf(sandboxId)).toEqual([]);
  });

  // The original answered with what its settings said: a name, or a port, that led nowhere.
  it.each<[string, World, World]>([
    ['NodePort to ClusterIP', world, inCluster],
    ['ClusterIP to NodePort', inCluster, world],
    ['NodePort to Headless', world, headless],
    ['Headless to NodePort', headless, world],
    ['ClusterIP to Headless', inCluster, headless],
    ['Headless to ClusterIP', headless, inCluster],
  ])(
    'is shown as it is when the type is changed from %s, and gets it with the next create; its Pod stays',
    async (_which, before, after) => {
      const { sandboxId, threadId, view } = await before.givenRunningSandbox();
      const old = await look(sandboxId);
      // By whoever looks.
      expect((await after.get(sandboxId)).body).toEqual(view);
      expect((await after.list()).body).toEqual({ sandboxes: [view], count: 1 });
      expect((await after.renew(sandboxId)).body).toEqual(afterUse(view));
      expect((await world.findService(sandboxId))?.spec).toEqual(old.service?.spec);

      const { view: changed } = await after.givenSandbox({ sandboxId, threadId });
      const { service, pod } = await look(sandboxId);
      expect(service?.spec.type).toBe(after === world ? 'NodePort' : 'ClusterIP');
      const isMoved = before === world || after === world;
      const sandbox_url = isMoved ? expect.not.stringMatching(view.sandbox_url) : view.sandbox_url;
      expect(changed).toEqual(afterUse(view, { sandbox_url }));
      expect([service?.metadata.uid, pod?.metadata.uid]).toEqual([old.service?.metadata.uid, old.pod?.metadata.uid]);
      const isAddressKept = before !== headless && after !== headless;
      if (isAddressKept) expect(service?.spec.clusterIP).toBe(old.service?.spec.clusterIP);
      else expect(service?.spec.clusterIP === 'None').toBe(after === headless);
      expect((await before.get(sandboxId)).body).toEqual(changed);
      if (after === world) await expectWholeSandbox(world, sandboxId);
      else expect(changed.sandbox_url).toBe(nameInCluster(sandboxId));
      // Once is enough.
      const again = await world.callsOf(() => after.create({ sandbox_id: sandboxId, thread_id: threadId }));
      expect(again.filter(callTo('PATCH', 'services')).length).toBe(1);
    },
  );

  it('gets another port with the next create, and a Pod for it, behind the same URL', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    const old = await look(sandboxId);
    expect((await otherPort.get(sandboxId)).body).toEqual(view);
    expect(portsOf(old.service, old.pod)).toEqual(allAre(8080));

    const { view: changed } = await otherPort.givenSandbox({ sandboxId, threadId });
    const { service, pod } = await look(sandboxId);
    expect(portsOf(service, pod)).toEqual(allAre(9090));
    expect(changed).toMatchObject({ sandbox_url: view.sandbox_url, container_id: pod?.metadata.uid });
    expect(service?.metadata.uid).toBe(old.service?.metadata.uid);
    expect(pod?.metadata.uid).not.toBe(old.pod?.metadata.uid);
    expect((await otherPort.givenSandbox({ sandboxId, threadId })).view.container_id).toBe(pod?.metadata.uid);

    // And back.
    await world.givenSandbox({ sandboxId, threadId });
    const back = await expectWholeSandbox(world, sandboxId);
    expect(portsOf(back.service, back.pod)).toEqual(allAre(8080));
    expect((await world.get(sandboxId)).body.sandbox_url).toBe(view.sandbox_url);
  });

  it('of the original, and its Pod, are brought to another port in the same way', async () => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const old = await look(sandboxId);
    await otherPort.givenSandbox({ sandboxId, threadId });
    const { service, pod } = await look(sandboxId);
    expect(portsOf(service, pod)).toEqual(allAre(9090));
    expect(service?.spec.ports[0].nodePort).toBe(old.service?.spec.ports[0].nodePort);
  });
});

describe('the change of a Service', () => {
  const refusals = [
    ['no NodePort is left', kubernetesStatus(500, 'InternalError', 'failed to allocate a nodePort: range is full')],
    ['a quota is full', kubernetesStatus(403, 'Forbidden', 'exceeded quota: ports, requested: services.nodeports=1')],
  ] as const;

  it.each(refusals)(
    'that is refused leaves it what it is, with its Pod, and the create is answered: %s',
    async (_why, answer) => {
      const { sandboxId, threadId, view } = await inCluster.givenRunningSandbox();
      const old = await look(sandboxId);
      const isChange = callTo('PATCH', 'services', sandboxId);
      world.proxy.injectFault({
        when: (call) => isChange(call) && call.body.includes('"NodePort"'),
        action: { answer },
      });
      expect((await world.givenSandbox({ sandboxId, threadId })).view).toEqual(afterUse(view));
      const { service, pod } = await look(sandboxId);
      expect(service?.spec).toEqual(old.service?.spec);
      expect(pod?.metadata.uid).toBe(old.pod?.metadata.uid);
    },
  );

  // It has no address then: the next create, of whatever settings, would have to find out why.
  it('that fails half-way from or to a headless one makes it headless', async () => {
    const { sandboxId, threadId, view } = await headless.givenRunningSandbox();
    const old = await look(sandboxId);
    const isChange = callTo('PATCH', 'services', sandboxId);
    const [, answer] = refusals[0];
    world.proxy.injectFault({ when: (call) => isChange(call) && call.body.includes('"NodePort"'), action: { answer } });
    expect((await world.givenSandbox({ sandboxId, threadId })).view).toEqual(afterUse(view));
    const { service, pod } = await look(sandboxId);
    expect(service?.spec).toEqual(old.service?.spec);
    expect(pod?.metadata.uid).toBe(old.pod?.metadata.uid);
  });

  it('that ended half-way, with its process, is ended by the next create', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    await world.kubernetes.patch('services', `sandbox-${sandboxId}-svc`, {
      spec: { type: 'ExternalName', externalName: 'sandbox.invalid', ports: [{ name: 'http', port: 8080 }] },
    });
    expect(await headless.get(sandboxId)).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    const { view: changed } = await headless.givenSandbox({ sandboxId, threadId });
    expect(changed).toEqual(afterUse(view, { sandbox_url: nameInCluster(sandboxId) }));
    expect((await world.findService(sandboxId))?.spec.clusterIP).toBe('None');
  });

  // A Pod for the port of the settings would be one that its Service does not lead to.
  it('that is refused leaves it its port as well, for the Pod that is there and for a new one', async () => {
    const { sandboxId, threadId, view } = await world.givenRunningSandbox();
    const old = await look(sandboxId);
    const isChange = callTo('PATCH', 'services', sandboxId);
    const [, answer] = refusals[0];
    world.proxy.injectFault({ when: (call) => isChange(call) && call.body.includes('9090'), action: { answer } });
    expect((await otherPort.givenSandbox({ sandboxId, threadId })).view).toEqual(afterUse(view));
    expect((await world.findPod(sandboxId))?.metadata.uid).toBe(old.pod?.metadata.uid);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    await otherPort.givenSandbox({ sandboxId, threadId });
    const { service, pod } = await expectWholeSandbox(world, sandboxId);
    expect(portsOf(service, pod)).toEqual(allAre(8080));
  });

  it('whose answer is lost is answered as it has become', async () => {
    const { sandboxId, threadId } = await world.givenRunningSandbox();
    const isChange = callTo('PATCH', 'services', sandboxId);
    const when = (call: KubernetesCall) => isChange(call) && call.body.includes('"ClusterIP"');
    world.proxy.injectFault({ when, action: { cut: 'after' } });
    const { view } = await inCluster.givenSandbox({ sandboxId, threadId });
    expect((await world.findService(sandboxId))?.spec.type).toBe('ClusterIP');
    expect(view.sandbox_url).toBe(nameInCluster(sandboxId));
  });

  it.each<[string, World]>([
    ['ClusterIP', inCluster],
    ['Headless', headless],
  ])('by eight creates at once is one, and all are served: %s', async (_type, before) => {
    const { sandboxId, threadId } = await before.givenRunningSandbox();
    const body = { sandbox_id: sandboxId, thread_id: threadId };
    const answers = await Promise.all(Array.from({ length: 8 }, () => world.create(body)));
    expect(answers.map(({ status, text }) => (status === 200 ? status : text))).toEqual(answers.map(() => 200));
    expect(new Set(answers.map((answer) => answer.body.sandbox_url)).size).toBe(1);
    await expectWholeSandbox(world, sandboxId);
  });
});

it('a sandbox that two provisioners of other settings make at once is one, and each answers where it is', async () => {
  const body = { sandbox_id: newSandboxId(), thread_id: newThreadId() };
  const answers = await Promise.all([world, inCluster].map((one) => one.create(body)));
  expect(answers.map(({ status, text }) => (status === 200 ? status : text))).toEqual([200, 200]);
  expect((await world.podsOf(body.sandbox_id)).length).toBe(1);
  expect((await world.servicesOf(body.sandbox_id)).length).toBe(1);
});
