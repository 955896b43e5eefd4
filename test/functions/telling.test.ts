import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { HttpEvent } from '../../lib/http/serve.ts';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { findFreePorts } from '../support/free-ports.ts';
import { keepSecret } from '../support/secrets.ts';
import { answerNotFound, answerStatus, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { base64 } from '../unit/opened.ts';
import { type Answer, apiKey, create, destroy, get, keepPrinted, renew, startCold } from './handlers.ts';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const secret = keepSecret(`whsec_${base64(crypto.randomUUID())}`);
const aws = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: keepSecret('not-a-secret-key') };
const id = 'a1b2c3d4';
const asked = { sandbox_id: id, thread_id: 'thread-1', user_id: 'alice' };
const full = (code = 403) => startApiServer((_request, response) => answerStatus(response, code, 'Forbidden'));

/** A cold start on this Kubernetes, with a webhook that answers like this. */
async function startTelling(
  api: { url: string },
  answer: Parameters<typeof startApiServer>[0],
  settings: Record<string, string> = {},
) {
  const hook = await startApiServer(answer);
  const told = { WEBHOOK_URL: hook.url, WEBHOOK_SECRET: secret };
  startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), ...told, ...settings });
  const events = () =>
    hook.requests.map(({ body, headers }) => new Webhook(secret).verify(body, headers as Record<string, string>));
  return { events, requests: hook.requests };
}
const take: Parameters<typeof startApiServer>[0] = (_request, response) => void response.writeHead(204).end();

describe('a create that fails', () => {
  it('is told of, with whose it was and why', async () => {
    const { events } = await startTelling(await full(), take);
    const answer = await create(asked);
    expect(answer.status).toBe(500);
    const { awsRequestId } = lambdaContext();
    const data = {
      sandbox_id: id,
      thread_id: 'thread-1',
      user_id: 'alice',
      reason: 'refused',
      request_id: awsRequestId,
    };
    const message = (answer.body as { detail: string }).detail;
    expect(events()).toEqual([
      {
        ...{ id: `failed_${id}_${awsRequestId}`, type: 'sandbox.failed', timestamp: expect.any(String) },
        data: { ...data, message },
      },
    ]);
  });

  it.each<[string, () => Promise<Answer>, number]>([
    ['a body that does not validate', () => create({ sandbox_id: 'Not Legal' }), 422],
    ['a Lark broker, which is never there', () => create({ ...asked, provision_lark_cli_broker: true }), 503],
    ['a path that must not be mounted', () => create({ ...asked, skills_container_path: '/' }), 400],
    ['a look', () => get(id), 500],
    ['a renewal', () => renew(id), 500],
    ['a removal', () => destroy(id), 500],
  ])('is one where Kubernetes failed it: nobody is told of %s', async (_what, ask, status) => {
    const { requests } = await startTelling(await full(), take);
    expect((await ask()).status).toBe(status);
    expect(requests).toEqual([]);
  });
});

it('nobody is told of what did not change: a removal of what is not there', async () => {
  const { requests } = await startTelling(await startApiServer(answerNotFound), take);
  expect((await destroy(id)).status).toBe(200);
  expect(requests).toEqual([]);
});

describe('an answer is the same, and comes within a bound, where', () => {
  it.each<[string, Parameters<typeof startApiServer>[0], ('bus' | Record<string, string>)?]>([
    ['a webhook hangs', () => {}],
    ['a webhook answers 500', (_request, response) => void response.writeHead(500).end()],
    ['a webhook cuts connections', (_request, response) => void response.destroy()],
    ['a bus hangs', () => {}, 'bus'],
    ['a bus answers 500', (_request, response) => void response.writeHead(500).end('{}'), 'bus'],
    ['a bus has no credentials', () => {}, { EVENT_BUS_NAME: 'a' }],
  ])('%s', async (_what, answer, other) => {
    const target = await startApiServer(answer);
    const bus = { EVENT_BUS_NAME: 'a', ...aws, AWS_ENDPOINT_URL_EVENTBRIDGE: target.url };
    await startTelling(await full(), answer, other === 'bus' ? bus : other);
    const bounds = vi.spyOn(AbortSignal, 'timeout');
    const printed = keepPrinted();
    const told = await create(asked);
    expect(bounds.mock.lastCall).toEqual([1000]);
    expect(told).toMatchObject({ status: 500, body: { detail: expect.stringContaining('403') } });
    const lines = printed.map((text) => JSON.parse(text));
    const lost = lines.filter(({ message }) => message === 'An event was not delivered');
    expect(lost).toHaveLength(other === undefined ? 1 : 2);
    // What was lost is there to be read; the request has its line all the same.
    expect(lost[0]).toMatchObject({ level: 'ERROR', event: { type: 'sandbox.failed', data: { sandbox_id: id } } });
    expect(lines.filter(({ statusCode }) => statusCode === 500)).toHaveLength(1);
  });

  it('nobody listens', async () => {
    const [port] = await findFreePorts(1);
    await startTelling(await full(), take, { WEBHOOK_URL: `http://127.0.0.1:${port}` });
    expect((await create(asked)).status).toBe(500);
  });

  it('Lambda leaves less time than that', async () => {
    await startTelling(await full(), () => {}, { EVENT_DELIVERY_SECONDS: '10' });
    const bounds = vi.spyOn(AbortSignal, 'timeout');
    expect((await create(asked, {}, lambdaContext('create-sandbox', 2_000))).status).toBe(500);
    const [boundMs = 0] = bounds.mock.lastCall ?? [];
    expect(boundMs).toBeLessThanOrEqual(1_700);
    expect(boundMs).toBeGreaterThan(0);
  });
});

it('a server gives its answer, and has the events go on', async () => {
  const { requests } = await startTelling(await full(), () => {});
  const works: Promise<void>[] = [];
  const context = { ...lambdaContext('create-sandbox'), goOn: (work: Promise<void>) => void works.push(work) };
  const { handler } = await import('../../functions/create-sandbox.ts');
  const event = httpEvent({ method: 'POST', path: '/api/sandboxes', body: asked, headers: { 'x-api-key': apiKey } });
  let isOver = false;
  const answer = await handler(event as HttpEvent, context);
  works[0]?.then(() => {
    isOver = true;
  });
  await Promise.resolve();
  expect(answer.statusCode).toBe(500);
  expect([works.length, isOver]).toEqual([1, false]);
  await works[0];
  expect(requests).toHaveLength(1);
});
