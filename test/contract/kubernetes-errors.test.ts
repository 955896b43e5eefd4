import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { expectError, expectUnavailable } from '../support/answers.ts';
import type { HttpAnswer } from '../support/http-call.ts';
import type { KubernetesAnswer } from '../support/kubernetes-client.ts';
import { callTo, type FaultAction, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import type { SandboxNames } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, type SandboxView, useWorld } from '../support/world.ts';

const world = useWorld(lean);

let given: SandboxNames & { view: SandboxView };

beforeAll(async () => {
  given = await world.givenRunningSandbox();
});

afterEach(() => world.proxy.reset());

const html = { 'content-type': 'text/html' };
const json = { 'content-type': 'application/json' };
const noRight = 'services "sandbox" is forbidden: User "someone" cannot do that in API group "" in the namespace';
const modified = 'Operation cannot be fulfilled on services "sandbox": the object has been modified';
const sandboxService = { name: 'sandbox', kind: 'services' };

function tooManyRequests(retryAfter: string): KubernetesAnswer {
  const answer = kubernetesStatus(429, 'TooManyRequests', 'The apiserver is overloaded, please try again later.');
  return { ...answer, headers: { ...answer.headers, 'retry-after': retryAfter } };
}

/** What Kubernetes, or what stands in front of it, says when it does not do as it is asked; and what the caller hears. */
const refusals: [string, FaultAction, 'failed' | 'unavailable'][] = [
  ['401', { answer: kubernetesStatus(401, 'Unauthorized', 'Unauthorized') }, 'failed'],
  ['403', { answer: kubernetesStatus(403, 'Forbidden', noRight, sandboxService) }, 'failed'],
  [
    '500',
    { answer: kubernetesStatus(500, 'InternalError', 'Internal error occurred: etcdserver: no leader') },
    'failed',
  ],
  // For longer than a call would wait, so that the tests need not.
  ['429', { answer: tooManyRequests('11') }, 'unavailable'],
  ['503', { answer: kubernetesStatus(503, 'ServiceUnavailable', 'unable to handle the request') }, 'unavailable'],
  ['a cut connection', { cut: 'before' }, 'unavailable'],
];
// A conflict has a meaning of its own to a create; nothing has been deleted where it is the answer to a deletion.
const conflict = { answer: kubernetesStatus(409, 'Conflict', modified, sandboxService) };
const deletionRefusals: typeof refusals = [...refusals, ['409', conflict, 'failed']];

function expectRefusal(answer: HttpAnswer, kind: 'failed' | 'unavailable', detail?: RegExp): void {
  // 404 would be a sandbox to forget, and 200 with NotFound one to kill: the original answered the one or the other.
  if (kind === 'failed') expectError(answer, 500, detail);
  else expectUnavailable(answer, detail);
}

describe.each(refusals)('when Kubernetes answers with %s', (_what, action, kind) => {
  it.each(['services', 'pods'] as const)('to the reading of %s, a get says so', async (resource) => {
    world.proxy.injectFault({ when: callTo('GET', resource), action });
    expectRefusal(await world.get(given.sandboxId), kind);
  });

  it.each([
    ['services', /^Failed to list services: \S/],
    ['pods', undefined],
  ] as const)('to the listing of %s, a list says so', async (resource, detail) => {
    world.proxy.injectFault({ when: callTo('GET', resource), action });
    expectRefusal(await world.list(), kind, detail);
  });

  it.each([
    ['services', /^Service creation failed: \S/],
    ['pods', /^Pod creation failed: \S/],
  ] as const)('to the making of %s, a create says so, and leaves nothing behind', async (resource, detail) => {
    const id = newSandboxId();
    world.proxy.injectFault({ when: callTo('POST', resource), action });
    expectRefusal(await world.create({ sandbox_id: id, thread_id: newThreadId() }), kind, detail);
    expect([...(await world.servicesOf(id)), ...(await world.podsOf(id))]).toEqual([]);
  });

  it('to all but the writing of a sandbox that exists, a create says so', async () => {
    const uid = (await world.findPod(given.sandboxId))?.metadata.uid;
    world.proxy.injectFault({ when: (call) => call.method === 'GET', action });
    const answer = await world.create({ sandbox_id: given.sandboxId, thread_id: given.threadId });
    // It may know the Pod by another way than reading it, but not by guessing.
    if (answer.status === 200) expect(answer.body).toEqual({ ...given.view, created: false, status: 'Running' });
    else expectRefusal(answer, kind);
    expect((await world.findPod(given.sandboxId))?.metadata.uid).toBe(uid);
  });

  it('to everything, a create of a sandbox that exists says so', async () => {
    world.proxy.injectFault({ when: () => true, action });
    expectRefusal(await world.create({ sandbox_id: given.sandboxId, thread_id: given.threadId }), kind);
  });
});

describe.each(deletionRefusals)('when Kubernetes answers with %s', (_what, action, kind) => {
  it('to the deletion of the Service, a delete says so, and has removed the Pod', async () => {
    const { sandboxId } = await world.givenSandbox();
    world.proxy.injectFault({ when: callTo('DELETE', 'services'), action });
    expectRefusal(await world.destroy(sandboxId), kind, /^Partial cleanup: service: [^,]+$/);
    const pod = await world.findPod(sandboxId);
    expect(pod === undefined || pod.metadata.deletionTimestamp !== undefined).toBe(true);
  });

  it('to the deletion of the Pod, a delete says so, and has removed the Service', async () => {
    const { sandboxId } = await world.givenSandbox();
    world.proxy.injectFault({ when: callTo('DELETE', 'pods'), action });
    const answer = await world.destroy(sandboxId);
    // After a conflict it is looked whether the Pod is still there: its Service's end may have taken it away by then.
    if (answer.status === 200) expect(await world.findPod(sandboxId)).toBeUndefined();
    else expectRefusal(answer, kind, /^Partial cleanup: pod: [^,]+$/);
    expect(await world.servicesOf(sandboxId)).toEqual([]);
  });

  it('to both deletions, a delete names both', async () => {
    const { sandboxId } = await world.givenSandbox();
    world.proxy.injectFault({ when: ({ method }) => method === 'DELETE', action });
    expectRefusal(await world.destroy(sandboxId), kind, /^Partial cleanup: service: [^,]+, pod: [^,]+$/);
    expect((await world.get(sandboxId)).status).toBe(200);
  });

  it('to everything, health is well', async () => {
    world.proxy.injectFault({ when: () => true, action });
    expect(await world.call('GET', '/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(world.proxy.calls).toEqual([]);
  });
});

describe('what is no answer of Kubernetes at all', () => {
  it.each<[string, KubernetesAnswer]>([
    ['a page of a gateway', { status: 502, headers: html, text: '<html><h1>502 Bad Gateway</h1></html>' }],
    ['a log-in page', { status: 200, headers: html, text: '<html>Who are you?</html>' }],
    ['a redirect', { status: 302, headers: { location: 'https://login.example/' }, text: '' }],
    ['half a document', { status: 200, headers: json, text: '{"kind":"Serv' }],
    ['JSON of its own', { status: 200, headers: json, text: '{"message":"sign in"}' }],
    ['an empty body', { status: 200, headers: json, text: '' }],
    ['null', { status: 200, headers: json, text: 'null' }],
    // It says nothing about any sandbox: the address is wrong.
    [
      'a page that is not found',
      { status: 404, headers: { 'content-type': 'text/plain' }, text: '404 page not found' },
    ],
    ['a path that is not found', kubernetesStatus(404, 'NotFound', 'the server could not find the requested resource')],
    ['a status without a body', { status: 500, headers: {}, text: '' }],
  ])('is an error for every endpoint: %s', async (_what, answer) => {
    world.proxy.injectFault({ when: () => true, action: { answer } });
    expectError(await world.get(given.sandboxId), [500, 503]);
    expectError(await world.list(), [500, 503]);
    expectError(await world.create({ sandbox_id: given.sandboxId, thread_id: given.threadId }), [500, 503]);
    const unread = answer.status === 200;
    // A deletion that was answered with a 2xx was done, whatever else was said.
    if (!unread) expectError(await world.destroy(given.sandboxId), [500, 503], /^Partial cleanup: /);
  });
});

describe('what Kubernetes said', () => {
  it('is not passed on: no message, no header, no name of a user', async () => {
    const secret = 'system:serviceaccount:kube-system:deployer';
    const message = `services is forbidden: User "${secret}" cannot list resource "services"`;
    const answer = kubernetesStatus(403, 'Forbidden', message);
    const action = { answer: { ...answer, headers: { ...answer.headers, 'audit-id': 'b7e2b7b1' } } };
    world.proxy.injectFault({ when: () => true, action });
    const answers = [
      await world.get(given.sandboxId),
      await world.list(),
      await world.destroy(given.sandboxId),
      await world.create({ sandbox_id: newSandboxId(), thread_id: newThreadId() }),
    ];
    for (const { text } of answers) expect(text).not.toMatch(/deployer|b7e2b7b1|cannot list/);
  });
});

describe('Kubernetes that fails in passing', () => {
  it.each(['services', 'pods'] as const)('to the reading of %s is asked again by the same create', async (resource) => {
    const { sandboxId, threadId } = await world.givenOriginalSandbox();
    const when = callTo('GET', resource, sandboxId);
    const unavailable = kubernetesStatus(503, 'ServiceUnavailable', 'unable to handle the request');
    const faults = [tooManyRequests('1'), unavailable].map((answer) =>
      world.proxy.injectFault({ when, action: { answer }, times: 1 }),
    );
    const answer = await world.create({ sandbox_id: sandboxId, thread_id: threadId });
    expect(answer, answer.text).toMatchObject({ status: 200, body: { status: 'Running' } });
    expect(faults.map(({ hits }) => hits.length)).toEqual([1, 1]);
  });
});

describe('Kubernetes that asks to be left alone for a second', () => {
  it.each([
    ['the Service', 'services'],
    ['the Pod', 'pods'],
  ] as const)('is asked for %s again after that, by the same create', async (_what, resource) => {
    const when = callTo('POST', resource);
    const fault = world.proxy.injectFault({ when, action: { answer: tooManyRequests('1') }, times: 1 });
    const answer = await world.create({ sandbox_id: newSandboxId(), thread_id: newThreadId() });
    expect(answer.status, answer.text).toBe(200);
    const [refused] = fault.hits;
    const again = world.proxy.calls.find((call) => call !== refused && when(call) && call.status === 201);
    // It once came back within a tenth of a second. (A timer may be a millisecond early.)
    expect((again?.startedAt ?? 0) - (refused?.endedAt ?? 0)).toBeGreaterThanOrEqual(998);
  });
});
