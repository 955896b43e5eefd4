import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Webhook } from 'standardwebhooks';
import { afterAll, describe, expect, it } from 'vitest';

import type { ChangeEvent, EventType } from '../../lib/events/changes.ts';
import { cleanUpByHand, makeUnused } from '../support/clean-up.ts';
import { findEventFaults } from '../support/description.ts';
import { eventually } from '../support/eventually.ts';
import type { KubernetesAnswer } from '../support/kubernetes-client.ts';
import { callTo, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { keepSecret } from '../support/secrets.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';
import { seenPods } from '../unit/reasons-fixtures.ts';

const secret = keepSecret(`whsec_${Buffer.from(crypto.randomUUID()).toString('base64')}`);

/** What takes webhooks, and stands for EventBridge too; and the events that each has got, as they are signed or put. */
const received: { hook: ChangeEvent[]; bus: ChangeEvent[] } = { hook: [], bus: [] };
const receiver = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.url === '/hook') {
    received.hook.push(new Webhook(secret).verify(body, request.headers as Record<string, string>) as ChangeEvent);
    return response.writeHead(204).end();
  }
  const entries: { Detail: string }[] = JSON.parse(body).Entries;
  received.bus.push(...entries.map(({ Detail }) => JSON.parse(Detail)));
  response.end(JSON.stringify({ FailedEntryCount: 0, Entries: entries.map(() => ({ EventId: 'x' })) }));
});
const { port } = await new Promise<AddressInfo>((resolve) => {
  receiver.listen(0, '127.0.0.1', () => resolve(receiver.address() as AddressInfo));
});
afterAll(() => void receiver.close());

const told = {
  ...{ WEBHOOK_URL: `http://127.0.0.1:${port}/hook`, WEBHOOK_SECRET: secret, EVENT_DELIVERY_SECONDS: '10' },
  ...{
    EVENT_BUS_NAME: 'agents',
    AWS_ENDPOINT_URL_EVENTBRIDGE: `http://127.0.0.1:${port}/bus`,
    AWS_REGION: 'eu-west-1',
  },
  ...{ AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: keepSecret('no-secret-of-anybody') },
};
const world = useWorld({ ...lean, ...told });

/** The events of these types, once both have them; each is as it is described, and the same at both. */
async function eventsOf(...types: EventType[]): Promise<ChangeEvent[]> {
  const [hook, bus] = [received.hook, received.bus];
  await eventually(
    `received: ${types}`,
    () => [hook.length, bus.length],
    (counts) => counts.every((one) => one >= types.length),
  );
  expect(hook.map(({ type }) => type)).toEqual(types);
  expect(bus).toEqual(hook);
  expect(hook.flatMap(findEventFaults)).toEqual([]);
  return hook.splice(0).concat(bus.splice(0)).slice(0, types.length);
}
const json = { 'content-type': 'application/json' };

describe('the life of a sandbox is told to the bus and to the webhook', () => {
  const ids = new Set<string>();
  const [sandbox_id, thread_id, user_id] = [newSandboxId(), newThreadId(), 'alice'];
  const create = (rest = {}) =>
    world.create({ sandbox_id, thread_id, user_id, wait_seconds: 20, ...rest }, { headers: json });
  const whose = { sandbox_id, thread_id, user_id, request_id: expect.any(String) };
  const expectNew = (events: ChangeEvent[]) => {
    for (const { id } of events) {
      expect(ids).not.toContain(id);
      ids.add(id);
    }
  };

  it('created, and ready where somebody waited for that', async () => {
    await create();
    const events = await eventsOf('sandbox.created', 'sandbox.ready');
    expect(events.map(({ data }) => data)).toEqual(Array(2).fill(whose));
    expectNew(events);
  });

  it('not found, looked at or renewed', async () => {
    await create({ wait_seconds: 0 });
    await world.get(sandbox_id);
    await world.renew(sandbox_id);
    expect(received).toEqual({ hook: [], bus: [] });
  });

  it('healed, when its Pod was lost', async () => {
    await world.kubernetes.remove('pods', `sandbox-${sandbox_id}`);
    await world.untilPodGoes(sandbox_id);
    await create({ wait_seconds: 0 });
    const events = await eventsOf('sandbox.healed');
    expect(events[0]?.data).toEqual(whose);
    expectNew(events);
  });

  it('expired, when the clean-up removes it', async () => {
    await makeUnused(world, sandbox_id, 100_000);
    expect(await cleanUpByHand(world, { ...world.settings, ...told })).toMatchObject({ exitCode: 0 });
    const events = await eventsOf('sandbox.expired');
    expect(events[0]?.data).toEqual({ ...whose, reason: 'expired' });
    expectNew(events);
  });

  it('removed, when a caller asks for it; and once', async () => {
    await world.untilPodGoes(sandbox_id);
    await create({ wait_seconds: 0 });
    await eventsOf('sandbox.created');
    await world.destroy(sandbox_id);
    await world.destroy(sandbox_id);
    const events = await eventsOf('sandbox.removed');
    expect(events[0]?.data).toEqual({ ...whose, reason: 'requested' });
    expectNew(events);
  });
});

describe('a failure is told to both', () => {
  it('of a sandbox that can no longer become ready, by the reason', async () => {
    const { sandboxId } = await world.givenSandbox();
    await eventsOf('sandbox.created');
    const { status } = seenPods['no legal image name'];
    const rewrite = (answer: KubernetesAnswer) => ({
      ...answer,
      text: JSON.stringify({ ...JSON.parse(answer.text), status }),
    });
    world.proxy.injectFault({ when: callTo('GET', 'pods', sandboxId), action: { rewrite } });
    const answer = await world.get(`${sandboxId}?wait_seconds=20`);
    world.proxy.reset();
    expect(answer.status).toBe(200);
    const [event] = await eventsOf('sandbox.failed');
    expect(event?.data).toMatchObject({
      sandbox_id: sandboxId,
      reason: 'InvalidImageName',
      message: expect.any(String),
    });
  });

  it('of a create, by the kind of the error', async () => {
    const sandbox_id = newSandboxId();
    const refusal = kubernetesStatus(403, 'Forbidden', 'exceeded quota: q');
    world.proxy.injectFault({ when: ({ method }) => method === 'POST', action: { answer: refusal } });
    const { status, body } = await world.create({ sandbox_id, thread_id: 'thread-1' });
    world.proxy.reset();
    expect(status).toBe(429);
    const [event] = await eventsOf('sandbox.failed');
    expect(event?.data).toMatchObject({
      sandbox_id,
      thread_id: 'thread-1',
      user_id: null,
      reason: 'quota-exceeded',
      message: body.detail,
    });
  });
});
