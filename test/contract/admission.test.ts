import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { type AdmissionWebhook, startAdmissionWebhook, type WebhookAction } from '../support/admission-webhook.ts';
import { expectError, expectUnavailable } from '../support/answers.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import type { HttpAnswer } from '../support/http-call.ts';
import { type KubernetesAnswer, readKubeconfig } from '../support/kubernetes-client.ts';
import { callTo, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

const world = useWorld(lean);

beforeAll(async () => {
  await world.givenSandbox();
});

afterEach(() => world.proxy.reset());

const creates = (resource: 'pods' | 'services') => callTo('POST', resource);
const answerPods = (answer: KubernetesAnswer) => world.proxy.injectFault({ when: creates('pods'), action: { answer } });

async function create(): Promise<{ id: string; answer: HttpAnswer }> {
  const id = newSandboxId();
  return { id, answer: await world.create({ sandbox_id: id, thread_id: newThreadId() }) };
}

/** A create that is refused leaves nothing behind, and once nothing refuses it, the same create is made. */
async function expectNothingLeft(id: string): Promise<void> {
  expect(await world.servicesOf(id)).toEqual([]);
  expect(await world.podsOf(id)).toEqual([]);
}

describe('a LimitRange that a sandbox does not fit into', () => {
  const path = () => `/api/v1/namespaces/${world.namespace}/limitranges`;

  beforeAll(async () => {
    if (isEmbeddedCluster) return;
    const spec = { limits: [{ type: 'Container', max: { cpu: '500m' } }] };
    const { status } = await world.kubernetes.request('POST', path(), { metadata: { name: 'secret' }, spec });
    expect(status).toBe(201);
    // Its admission learns of it a moment later.
    await eventually(
      'in force: the LimitRange',
      () => create(),
      ({ answer }) => answer.status !== 200,
    );
  });

  afterAll(async () => {
    if (!isEmbeddedCluster) await world.kubernetes.request('DELETE', `${path()}/secret`);
  });

  it('is named, and rights are not', async () => {
    if (isEmbeddedCluster) {
      const words = 'pods "secret" is forbidden: maximum cpu usage per Container is 500m, but limit is 1';
      answerPods(kubernetesStatus(403, 'Forbidden', words, { name: 'secret', kind: 'pods' }));
    }
    const { id, answer } = await create();
    expectError(answer, 500, 'Pod creation failed: admission refuses it: a LimitRange (403)');
    await expectNothingLeft(id);
  });
});

/** A real API server must be on this machine to ask a webhook of the tests. */
const canAsk =
  isEmbeddedCluster ||
  /^(127\.|localhost$)/.test((await readKubeconfig(process.env.KUBECONFIG_PATH ?? '')).url.hostname);

describe.skipIf(!canAsk)('an admission webhook', () => {
  const given = {} as { webhook: AdmissionWebhook };
  const nameOf = () => (isEmbeddedCluster ? 'pods.policy.example' : given.webhook.name);

  beforeAll(async () => {
    if (!isEmbeddedCluster) given.webhook = await startAdmissionWebhook(world.kubernetes);
  });

  afterAll(async () => {
    await given.webhook?.remove();
  });

  afterEach(() => given.webhook?.next('allow'));

  /** What the webhook does; on the embedded Kubernetes, which asks none, what a real API server says then. */
  function act(action: WebhookAction | 'stop', said: KubernetesAnswer): void {
    if (isEmbeddedCluster) answerPods(said);
    else if (action !== 'stop') given.webhook.next(action);
  }

  // The codes that say something about a sandbox where Kubernetes itself gives them.
  it.each<[number, string]>([
    [400, 'BadRequest'],
    [403, 'Forbidden'],
    [404, 'NotFound'],
    [409, 'AlreadyExists'],
    [409, 'Conflict'],
    [422, 'Invalid'],
  ])('that refuses it is named, whatever it says: %i %s', async (code, reason) => {
    const status = { code, reason, message: 'secret words', details: { kind: 'pods' } };
    const words = `admission webhook "${nameOf()}" denied the request: secret words`;
    act({ deny: status }, kubernetesStatus(code, reason, words, status.details));
    const { id, answer } = await create();
    expectError(answer, 500, `Pod creation failed: admission refuses it: the webhook '${nameOf()}' (${code})`);
    await expectNothingLeft(id);
  });

  const failing = (why: string) => {
    const words = `failed calling webhook "${nameOf()}": Post "https://secret.svc/": ${why}`;
    return kubernetesStatus(500, 'InternalError', `Internal error occurred: ${words}`);
  };

  it.each<[string, WebhookAction | 'stop', string]>([
    ['hangs', 'hang', 'context deadline exceeded'],
    ['answers with an error', 'fail', 'an error on the server'],
    ['is down', 'stop', 'dial tcp 10.0.0.1:443: connect: connection refused'],
  ])('that %s is named, and passing: it is asked again, and the caller is to come again', async (_how, action, why) => {
    act(action, failing(why));
    if (action === 'stop' && !isEmbeddedCluster) await given.webhook.stop();
    const { id, answer } = await create();
    expectUnavailable(answer, `Pod creation failed: admission fails: the webhook '${nameOf()}' (500)`);
    await expectNothingLeft(id);
    expect(world.proxy.calls.filter(creates('pods')).length).toBeGreaterThan(1);
  });
});

// Two API servers: 5 of 120 creates were answered `Service creation failed: Conflict`.
describe('a quota that other requests change at the same moment', () => {
  const words = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply';
  const changed = kubernetesStatus(409, 'Conflict', words, { name: 'q', kind: 'resourcequotas' });

  it.each([
    ['services', 'Service'],
    ['pods', 'Pod'],
  ] as const)(
    'is not noticed: the creation of %s is tried again; it is passing where it never stops',
    async (...row) => {
      const [resource, what] = row;
      world.proxy.injectFault({ when: creates(resource), action: { answer: changed }, times: 2 });
      const made = await create();
      expect(made.answer.status, made.answer.text).toBe(200);
      expect(await world.servicesOf(made.id)).toHaveLength(1);
      expect(await world.podsOf(made.id)).toHaveLength(1);

      world.proxy.injectFault({ when: creates(resource), action: { answer: changed } });
      const { id, answer } = await create();
      expectUnavailable(answer, `${what} creation failed: Kubernetes was hindered by another change (409 Conflict)`);
      await expectNothingLeft(id);
    },
  );
});

describe('Kubernetes that only starts', () => {
  const user = 'User "system:serviceaccount:agents:provisioner" cannot create resource "services" in API group ""';
  const forbidden = (words: string) =>
    kubernetesStatus(403, 'Forbidden', `services is forbidden: ${words}`, { kind: 'services' });
  // As it was heard of 1.20, and the admission plug-ins' words in its source.
  const refusals: [string, KubernetesAnswer][] = [
    ['plug-ins', forbidden('not yet ready to handle request')],
    ['roles', forbidden(`${user} in the namespace "a": RBAC: role.rbac.authorization.k8s.io "provisioner" not found`)],
    ['bindings', forbidden(`${user} in the namespace "a"`)],
  ];

  beforeAll(async () => {
    await world.proxy.refuseConnections();
    expectUnavailable(await world.get(newSandboxId()));
    expectUnavailable((await create()).answer);
    await world.proxy.acceptConnections();
  });

  it.each(refusals)('and does not know its %s yet is asked again; for longer is passing', async (_what, answer) => {
    world.proxy.injectFault({ when: creates('services'), action: { answer }, times: 2 });
    const made = await create();
    expect(made.answer.status, made.answer.text).toBe(200);
    world.proxy.injectFault({ when: creates('services'), action: { answer } });
    expectUnavailable((await create()).answer, /^Service creation failed: \S/);
  });
});
