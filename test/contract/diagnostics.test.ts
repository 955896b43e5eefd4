import { afterEach, describe, expect, it } from 'vitest';

import { aTime, expectError, expectNoPod, expectUnprocessable } from '../support/answers.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type KubernetesCall, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { openLogs, runInSandbox } from '../support/look-inside.ts';
import { lean, useWorld } from '../support/world.ts';

const world = useWorld(lean);
// A registry that is never there: the name is reserved (RFC 2606).
const broken = useWorld({ SANDBOX_IMAGE: 'registry.invalid/sandbox:1', ...lean }, 'namespace', { beside: world });

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const eventsOf = (sandboxId: string) => world.call('GET', `/api/sandboxes/${sandboxId}/events`);
const logOf = (sandboxId: string, query = '') => world.call('GET', `/api/sandboxes/${sandboxId}/logs${query}`);

const isForEvents = ({ path }: KubernetesCall) => path.endsWith('/events');
const isForLog = ({ path }: KubernetesCall) => path.endsWith('/log');
const answer = (text: string, type = 'text/plain') => ({ status: 200, headers: { 'content-type': type }, text });
const forbidden = (resource: string) =>
  kubernetesStatus(403, 'Forbidden', `${resource} is forbidden: User "u" cannot do it`, { kind: resource });

/** A busy kubelet sends its events later than what they tell of: five a second. */
const withinMs = 90_000;
const has = (body: { events: { reason: string }[] }, wanted: string) =>
  body.events.some(({ reason }) => reason === wanted);

describe('the events of a sandbox', { timeout: 120_000 }, () => {
  it('tell how it came to be ready, newest first', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    const { body } = await eventually(
      'ready, and told so',
      () => eventsOf(sandboxId),
      ({ body }) => body.ready && has(body, 'Started'),
      withinMs,
    );
    // On the way there, it may not have answered a probe.
    const events = body.events.filter(({ type }: { type: string }) => type === 'Normal');
    expect({ ...body, events }).toEqual({
      sandbox_id: sandboxId,
      ready: true,
      events: ['Started', 'Created', 'Pulled', 'Scheduled'].map((reason) => ({
        ...{ type: 'Normal', reason, message: expect.stringMatching(/^[A-Z][a-z ]+\.$/), count: 1 },
        ...{ first_seen: aTime, last_seen: aTime },
      })),
    });
  });

  it('tell why it is not, and nothing of the cluster', async () => {
    const { sandboxId } = await broken.givenSandbox();
    const { body, text } = await eventually(
      'told: its image cannot be pulled',
      () => eventsOf(sandboxId),
      ({ body }) => body.reason === 'ImagePullBackOff' && has(body, 'Failed'),
      withinMs,
    );
    const message = expect.stringMatching(/^Its image cannot be pulled(: its registry does not answer)?\.$/);
    expect(body).toMatchObject({ ready: false, message });
    expect(body.events).toContainEqual(expect.objectContaining({ type: 'Warning', reason: 'Failed', message }));
    expect(text).not.toMatch(/registry\.|\d\.\d+\.\d|deer-flow|\/sandbox/);
  });

  it('may be none; Kubernetes is asked for those of the very Pod', async () => {
    const { sandboxId, view } = await world.givenSandbox();
    const none = answer(JSON.stringify({ kind: 'EventList', apiVersion: 'v1', items: null }), 'application/json');
    world.proxy.injectFault({ when: isForEvents, action: { answer: none } });
    const calls = await world.callsOf(async () => expect((await eventsOf(sandboxId)).body.events).toEqual([]));
    expect(calls.find(isForEvents)?.query).toBe(
      `fieldSelector=involvedObject.uid=${view.container_id},involvedObject.kind=Pod`,
    );
  });
});

describe('the log of a sandbox', () => {
  const given = async (query = '', ...answers: [tailLines: number, text: string][]) => {
    const { sandboxId } = await world.givenRunningSandbox();
    for (const [lines, text] of answers) {
      const when = (call: KubernetesCall) => isForLog(call) && call.query.includes(`tailLines=${lines}&`);
      world.proxy.injectFault({ when, action: { answer: answer(text) } });
    }
    return logOf(sandboxId, query);
  };

  it.skipIf(!isEmbeddedCluster)('of a stand-in is one line', async () => {
    const { status, headers, text } = await given();
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'text/plain; charset=utf-8' });
    expect(text).toMatch(/^This is a stand-in [^\n]+\n$/);
  });

  it.skipIf(isEmbeddedCluster)(
    'of a real one is what its process has printed, as many lines as are asked for',
    async () => {
      const { sandboxId } = await world.givenRunningSandbox();
      await openLogs(world.cluster, world.proxy, sandboxId);
      const print = (file: string) =>
        runInSandbox(world.cluster, sandboxId, ['/bin/busybox', 'dd', `if=${file}`, 'of=/proc/1/fd/1']);
      await print('/proc/version');
      await print('/proc/loadavg');
      const { text } = await logOf(sandboxId);
      expect(text).toMatch(/^Linux version .*\n[\d. /]+\n$/m);
      expect((await logOf(sandboxId, '?tail=1')).text).toBe(`${text.split('\n').at(-2)}\n`);
    },
  );

  it.each([
    ['as it was printed', '', 'a\n\u00fc \u0000 \u001b[31m"{}"\n'],
    ['which may be empty', '?tail=200', ''],
    ['of the container that is named', '?container=sandbox&previous=false', 'b'],
  ])('is shown %s', async (_what, query, text) => {
    expect(await given(query, [200, text])).toMatchObject({ status: 200, text });
  });

  // Kubernetes cuts it behind.
  it('is cut at its front where it is too long, and says so', async () => {
    const lines = Array.from({ length: 200 }, (_, index) => `${index} `.padEnd(11_999, 'x'));
    const [all, half] = [lines, lines.slice(100)].map((some) => `${some.join('\n')}\n`) as [string, string];
    const { status, text } = await given('', [200, all.slice(0, 2_000_000)], [100, half]);
    expect(status).toBe(200);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1_000_000);
    const [first, ...rest] = text.split('\n');
    expect(first).toMatch(/cut here/);
    expect(rest).toEqual([...lines.slice(-83), '']);
  });

  it('is cut within a line that is longer than all that may be shown', async () => {
    const { text } = await given('?tail=1', [1, '\u00fc'.repeat(1_000_000)]);
    expect(text).toMatch(/^\[[^\]]+\]\n\u00fc+$/);
    expect(Buffer.byteLength(text)).toBeGreaterThan(999_900);
  });

  it.each([
    ['?container=other', 404, /^Sandbox '[^']+' has no container 'other'$/],
    [
      '?previous=true',
      409,
      /^Container 'sandbox' of sandbox '[^']+' has no earlier log: it was not started again, or nothing is left of it$/,
    ],
  ])('of %s is answered %i', async (query, status, detail) => {
    expectError(await given(query), status, detail);
  });

  it('is none before its container starts, nor where Kubernetes says so', async () => {
    const detail = /^Container 'sandbox' of sandbox '[^']+' has no log: it has not started, or nothing is left of it$/;
    expectError(await logOf((await broken.givenSandbox()).sandboxId), 409, detail);
    const { sandboxId } = await world.givenRunningSandbox();
    for (const none of [
      kubernetesStatus(400, 'BadRequest', 'waiting to start'),
      { ...answer(''), status: 204 },
      answer('unable to retrieve container logs for containerd://fa22717a7966'),
    ]) {
      world.proxy.injectFault({ when: isForLog, action: { answer: none } });
      expectError(await logOf(sandboxId), 409, detail);
    }
  });

  it('is asked for with a query that makes sense', async () => {
    expectUnprocessable(
      await logOf('a', '?tail=0&previous=1&container=..'),
      ...['tail', 'previous', 'container'].map((one) => ['query', one]),
    );
  });
});

describe.each([
  ['events', isForEvents, 'Failed to list events', 'list events'],
  ['logs', isForLog, 'Log lookup failed', 'get pods/log'],
] as const)('the %s', (path, when, failure, right) => {
  const ask = (sandboxId: string) => world.call('GET', `/api/sandboxes/${sandboxId}/${path}`);

  it('are not found without a sandbox, or without its Pod', async () => {
    expectUnprocessable(await ask('A'), ['path', 'sandbox_id']);
    expectError(await ask('absent'), 404, "Sandbox 'absent' not found");
    const { sandboxId } = await world.givenSandbox();
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expectNoPod(await ask(sandboxId), sandboxId);
  });

  it('say which right is missing, and what else is wrong', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    for (const [given, detail] of [
      [forbidden(path), `Kubernetes does not permit it: ${right} (403 Forbidden)`],
      [answer('<html>', 'text/html'), 'what answered was not the Kubernetes API (200)'],
      [kubernetesStatus(500, 'InternalError', 'dial tcp 10.0.0.7:10250'), 'InternalError (500)'],
    ] as const) {
      world.proxy.injectFault({ when, action: { answer: given } });
      expectError(await ask(sandboxId), 500, `${failure}: ${detail}`);
    }
  });
});
