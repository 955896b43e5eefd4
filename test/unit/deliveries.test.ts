import { readFile } from 'node:fs/promises';
import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import type { ErrorKind } from '../../lib/errors.ts';
import { buildEvent, type Change, eventTypes, findChanges, toChange } from '../../lib/events/changes.ts';
import { deliver } from '../../lib/events/delivery.ts';
import { type Lost, sendEvents } from '../../lib/events/sending.ts';
import { exampleOf } from '../../lib/openapi/webhooks.ts';
import type { ClosedRecord } from '../../lib/telemetry/record.ts';
import { findEventFaults } from '../support/description.ts';
import { findFreePorts } from '../support/free-ports.ts';
import { keepSecret } from '../support/secrets.ts';
import { answerJson, type SeenRequest, startApiServer } from './api-server.ts';
import { base64, never } from './opened.ts';

const makeSecret = () => keepSecret(`whsec_${base64(crypto.randomUUID())}`);
const secret = makeSecret();
const aws = {
  ...{ AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'ASIAEXAMPLEEXAMPLE00' },
  ...{ AWS_SECRET_ACCESS_KEY: keepSecret('wJalrXUtnFEMI/K7MDENG'), AWS_SESSION_TOKEN: keepSecret('IQoJb3JpZ2luX2Vj') },
};
const requestId = '8f507cfc-8c73-44b4-8a43-0c2e6f8c0d51';
const changesOf = (count: number): Change[] =>
  Array.from({ length: count }, (_, index) => ({ type: 'sandbox.removed', sandboxId: `s${index}`, reason: 'ended' }));

/** What one call to a target gets: a status and a body, no answer at all, one that never ends, or the end of its connection. */
type Reply = number | { code?: number; body: object } | 'hang' | 'hang after the headers' | 'cut';

/** A target that gives one reply after the other, the last one again and again; of a function, what it says of the request. */
async function startTarget(...replies: (Reply | ((request: SeenRequest) => Reply))[]) {
  let index = 0;
  return startApiServer((request, response) => {
    const next = replies[Math.min(index, replies.length - 1)] ?? 204;
    index += 1;
    const reply = typeof next === 'function' ? next(request) : next;
    if (reply === 'hang') return;
    if (reply === 'cut') return void response.destroy();
    if (reply === 'hang after the headers') return void response.writeHead(200).write('…');
    if (typeof reply === 'number') return void response.writeHead(reply, { location: 'http://127.0.0.1:1/' }).end();
    answerJson(response, reply.body, reply.code);
  });
}

/** Sends events, and gives what is told of those that did not arrive. */
async function send(env: Record<string, string>, changes: Change[], signal: AbortSignal = never) {
  const told: Lost[] = [];
  const onLost = (lost: Lost) => void told.push(lost);
  await sendEvents(changes, loadConfig(env), { requestId, now: () => new Date(), signal, onLost });
  return told.map(({ event, ...rest }) => ({ ...rest, id: event.id }));
}

const hook = ({ url }: { url: string }, secrets = secret) => ({
  WEBHOOK_URL: `${url}/hook?x=1`,
  WEBHOOK_SECRET: secrets,
});
const bus = ({ url }: { url: string }) => ({ EVENT_BUS_NAME: 'agents', ...aws, AWS_ENDPOINT_URL_EVENTBRIDGE: url });
const lost = (setting: string, why: string, sandboxId = 's0') => ({
  ...{ setting, why, id: `removed_${sandboxId}_${requestId}` },
});
/** Answers that all of a PutEvents is taken. */
const takeAll = ({ body }: SeenRequest): Reply => answerEach(body, () => undefined);
const answerEach = (body: string, codeOf: (index: number) => string | undefined): Reply => {
  const Entries = JSON.parse(body).Entries.map((_: unknown, index: number) => {
    const ErrorCode = codeOf(index);
    return ErrorCode === undefined ? { EventId: String(index) } : { ErrorCode, ErrorMessage: 'words' };
  });
  return { body: { FailedEntryCount: Entries.filter((one: object) => 'ErrorCode' in one).length, Entries } };
};
/** A call at which the time is over. */
const endAtCall = (end: AbortController, reply: Reply) => () => {
  end.abort();
  return reply;
};

describe('a webhook', () => {
  it('is one POST an event, signed as Standard Webhooks has it, with each of the secrets', async () => {
    const [target, other] = [await startTarget(200), makeSecret()];
    expect(await send(hook(target, `${secret} ${other}`), [{ type: 'sandbox.created', sandboxId: 'a' }])).toEqual([]);
    const [{ method, url, headers, body } = expect.fail()] = target.requests;
    expect({ method, url }).toEqual({ method: 'POST', url: '/hook?x=1' });
    expect(headers).toMatchObject({ 'content-type': 'application/json', connection: 'close' });
    for (const one of [secret, other]) {
      const verified = new Webhook(one).verify(body, headers as Record<string, string>);
      expect(verified).toMatchObject({ id: headers['webhook-id'], type: 'sandbox.created', data: { sandbox_id: 'a' } });
    }
    expect(() => new Webhook(makeSecret()).verify(body, headers as Record<string, string>)).toThrow('signature');
    expect(() => new Webhook(secret).verify(`${body} `, headers as Record<string, string>)).toThrow('signature');
  });

  it.each<[string, Reply]>([
    ['408', 408],
    ['429', 429],
    ['500', 500],
    ['503', 503],
    ['a connection that is cut', 'cut'],
  ])('is tried again after %s: under the same id', async (_what, reply) => {
    const target = await startTarget(reply, reply, 204);
    expect(await send(hook(target), changesOf(1))).toEqual([]);
    const ids = target.requests.map(({ headers }) => headers['webhook-id']);
    expect(ids).toEqual(Array(3).fill(`removed_s0_${requestId}`));
    for (const { body, headers } of target.requests)
      new Webhook(secret).verify(body, headers as Record<string, string>);
  });

  it.each([301, 307, 400, 401, 404, 410, 422])(
    'is not tried again after %i, nor sent anywhere else',
    async (status) => {
      const target = await startTarget(status);
      expect(await send(hook(target), changesOf(1))).toEqual([lost('WEBHOOK_URL', `it answered ${status}`)]);
      expect(target.requests).toHaveLength(1);
    },
  );

  it('has arrived with the status of its answer, whatever comes of the rest', async () => {
    const target = await startTarget('hang after the headers');
    expect(await send(hook(target), changesOf(1))).toEqual([]);
  });

  it.each<[string, Reply[], string]>([
    ['hangs', [], 'there was not enough time'],
    ['answers 500', [500, 500], 'it answered 500'],
    ['cuts every connection', ['cut'], 'UND_ERR_SOCKET'],
  ])('that %s is given up when the time is over, and why is told', async (_what, replies, why) => {
    const end = new AbortController();
    const target = await startTarget(...replies, endAtCall(end, 'hang'));
    expect(await send(hook(target), changesOf(1), end.signal)).toEqual([lost('WEBHOOK_URL', why)]);
    expect(target.requests).toHaveLength(replies.length + 1);
  });

  it('that nobody takes is given up when the time is over, and the log has neither its address nor its secret', async () => {
    const [port] = await findFreePorts(1);
    const signal = AbortSignal.timeout(150);
    const url = `http://127.0.0.1:${port}`;
    expect(await send(hook({ url }), changesOf(1), signal)).toEqual([lost('WEBHOOK_URL', 'ECONNREFUSED')]);
  });

  it('of many events is many, ten at once, and what is left at the end stands in the log', async () => {
    const end = new AbortController();
    // When ten hang, those before them have arrived.
    const replies = [...Array<Reply>(25).fill(204), ...Array<Reply>(9).fill('hang'), endAtCall(end, 'hang')];
    const target = await startTarget(...replies);
    const told = await send(hook(target), changesOf(100), end.signal);
    expect(target.requests).toHaveLength(35);
    expect(new Set(told.map(({ id }) => id)).size).toBe(75);
    expect(told).toHaveLength(75);
  });

  describe('whose secret AWS keeps', () => {
    const kept = (port: number) => ({
      ...{ ...aws, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(port), WEBHOOK_SECRET_ID: 'hook' },
    });

    it.each<[string, string]>([
      ['as it is', secret],
      ['in a JSON object', JSON.stringify({ WEBHOOK_SECRET: secret })],
    ])('is signed with it, which is read once: %s', async (_how, SecretString) => {
      const extension = await startApiServer((_request, response) => answerJson(response, { SecretString }));
      const target = await startTarget(500, 204);
      expect(await send({ WEBHOOK_URL: target.url, ...kept(extension.port) }, changesOf(3))).toEqual([]);
      expect(extension.requests).toHaveLength(1);
      for (const { body, headers } of target.requests)
        new Webhook(secret).verify(body, headers as Record<string, string>);
    });

    it('is not sent with a secret that is too short', async () => {
      const short = `whsec_${base64('short')}`;
      const extension = await startApiServer((_request, response) => answerJson(response, { SecretString: short }));
      const target = await startTarget();
      const env = { WEBHOOK_URL: target.url, ...kept(extension.port) };
      const [{ why } = expect.fail()] = await send(env, changesOf(1), AbortSignal.timeout(150));
      expect(why).toMatch(/^'hook' must be 'whsec_' and 24 to 64 random bytes/);
      expect(target.requests).toEqual([]);
    });
  });
});

describe('PutEvents', () => {
  it('has ten events at most, by the bus, and is signed as the AWS SDK does it', async () => {
    const target = await startTarget(takeAll);
    expect(await send(bus(target), changesOf(23))).toEqual([]);
    expect(target.requests[0]?.headers).toMatchObject({ 'x-amz-target': 'AWSEvents.PutEvents', connection: 'close' });
    const entries = target.requests.map(({ body }) => JSON.parse(body).Entries);
    expect(entries.map(({ length }) => length).toSorted()).toEqual([10, 10, 3]);
    const { Time, Detail, ...rest } = entries.flat().find((one) => one.Detail.includes('"s0"'));
    expect(rest).toEqual({ EventBusName: 'agents', Source: 'sandbox-provisioner', DetailType: 'sandbox.removed' });
    expect(JSON.parse(Detail)).toMatchObject({
      id: `removed_s0_${requestId}`,
      timestamp: new Date(Time * 1000).toJSON(),
    });
    for (const request of target.requests) expect(request.headers.authorization).toBe(await signWithSdk(request));
  });

  it('is repeated with those alone that were refused in passing', async () => {
    const codes = ['ThrottlingException', 'InternalFailure', undefined, 'MalformedDetail'];
    const target = await startTarget(({ body }) => answerEach(body, (index) => codes[index]), takeAll);
    expect(await send(bus(target), changesOf(4))).toEqual([
      lost('EVENT_BUS_NAME', 'it answered MalformedDetail', 's3'),
    ]);
    const ids = target.requests.map(({ body }) =>
      JSON.parse(body).Entries.map(({ Detail }: { Detail: string }) => JSON.parse(Detail).data.sandbox_id),
    );
    expect(ids).toEqual([
      ['s0', 's1', 's2', 's3'],
      ['s0', 's1'],
    ]);
  });

  it.each<[string, Reply]>([
    ['500', { code: 500, body: { __type: 'InternalException' } }],
    ['a throttle', { code: 400, body: { __type: 'com.amazon.coral.availability#ThrottlingException' } }],
    ['an answer that is none', { body: {} }],
    ['a connection that is cut', 'cut'],
  ])('is repeated after %s', async (_what, reply) => {
    const target = await startTarget(reply, takeAll);
    expect(await send(bus(target), changesOf(2))).toEqual([]);
    expect(target.requests.map(({ body }) => body)).toEqual(Array(2).fill(target.requests[0]?.body));
  });

  it.each<[string, Record<string, string>, string]>([
    ['that may not be made', {}, 'it answered 400 AccessDeniedException'],
    ['without credentials', { AWS_SECRET_ACCESS_KEY: '' }, 'there are no AWS credentials in the environment'],
    ['without a region', { AWS_REGION: '' }, 'neither EVENT_BUS_NAME nor AWS_REGION names a region'],
  ])('is not repeated %s', async (_what, env, why) => {
    const target = await startTarget({
      code: 400,
      body: { __type: 'AccessDeniedException', message: 'x is not allowed' },
    });
    expect(await send({ ...bus(target), ...env }, changesOf(1))).toEqual([lost('EVENT_BUS_NAME', why)]);
  });

  it('goes to the region of a bus that is named by its ARN', async () => {
    const EVENT_BUS_NAME = 'arn:aws:events:eu-west-1:123456789012:event-bus/agents';
    const target = await startTarget(takeAll);
    expect(await send({ ...bus(target), EVENT_BUS_NAME, AWS_REGION: '' }, changesOf(1))).toEqual([]);
    const [{ body, headers } = expect.fail()] = target.requests;
    expect(JSON.parse(body).Entries[0].EventBusName).toBe(EVENT_BUS_NAME);
    expect(headers.authorization).toContain('/eu-west-1/events/aws4_request');
  });

  it('that hangs is given up when the time is over, and holds up no webhook', async () => {
    const end = AbortSignal.timeout(1_000);
    const [events, target] = [await startTarget('hang'), await startTarget(204)];
    const told = await send({ ...bus(events), ...hook(target) }, changesOf(2), end);
    expect(target.requests).toHaveLength(2);
    expect(told).toEqual(['s0', 's1'].map((id) => lost('EVENT_BUS_NAME', 'there was not enough time', id)));
  });
});

it('a delivery ends with its time, whatever a target does', async () => {
  const event = buildEvent({ type: 'sandbox.created', sandboxId: 'a' }, requestId, new Date());
  const end = new AbortController();
  const send = () => {
    end.abort();
    return new Promise<never>(() => {});
  };
  const why = 'there was not enough time';
  expect(await deliver([event], { most: 1, send }, end.signal)).toEqual([{ event, why, isFinal: false }]);
});

describe('a request that is over', () => {
  const sandboxId = 'a';
  const whose = { threadId: 'thread-1', userId: 'alice' };
  const record: ClosedRecord = {
    ...{ requestId, routeKey: 'POST /api/sandboxes', statusCode: 200, durationMs: 1, coldStart: false },
    ...{ kubernetes: { calls: 1, ms: 1 }, sandboxId, ...whose },
  };
  const sandbox = { sandboxId, ...whose };
  const evicted = { reason: 'Evicted', message: 'Its node had no room.' };
  const failure = (kind: ErrorKind) => ({ error: { kind, message: 'm', cause: undefined } });

  it.each<[string, Partial<ClosedRecord>, Change[]]>([
    ['made a sandbox', { did: 'created' }, [{ type: 'sandbox.created', ...sandbox }]],
    [
      'made one and saw it ready',
      { did: 'created', waited: 'ready' },
      [
        { type: 'sandbox.created', ...sandbox },
        { type: 'sandbox.ready', ...sandbox },
      ],
    ],
    ['gave one a Pod', { did: 'healed' }, [{ type: 'sandbox.healed', ...sandbox }]],
    ['gave one another Pod', { did: 'replaced' }, [{ type: 'sandbox.healed', ...sandbox }]],
    ['saw one ready', { waited: 'ready' }, [{ type: 'sandbox.ready', ...sandbox }]],
    [
      'saw one that cannot become ready',
      { did: 'found', waited: evicted },
      [{ type: 'sandbox.failed', ...sandbox, ...evicted }],
    ],
    ['removed one', { did: 'deleted' }, [{ type: 'sandbox.removed', ...sandbox, reason: 'requested' }]],
    [
      'made one in vain',
      { did: 'created', ...failure('quota-exceeded') },
      [{ type: 'sandbox.failed', ...sandbox, reason: 'quota-exceeded', message: 'm' }],
    ],
    ...(['found', 'adopted', 'renewed', 'updated', 'absent'] as const).map(
      (did): [string, Partial<ClosedRecord>, Change[]] => [`has ${did} one`, { did }, []],
    ),
    ['was refused as it belongs to another', failure('conflict'), []],
    ['failed at a look', { routeKey: 'GET /api/sandboxes/{sandbox_id}', ...failure('unavailable') }, []],
    ['failed before Kubernetes was asked', { kubernetes: { calls: 0, ms: 0 }, ...failure('unavailable') }, []],
  ])('%s: what others are told', (_what, facts, changes) => {
    expect(findChanges({ ...record, ...facts })).toEqual(changes);
  });
});

it.each(['expired', 'too-old', 'ended', 'stuck'])('the clean-up tells why it removed a sandbox: %s', (reason) => {
  const removed = { sandboxId: 'a', threadId: undefined, userId: 'alice', reason };
  const type = reason === 'expired' || reason === 'too-old' ? 'sandbox.expired' : 'sandbox.removed';
  const event = buildEvent(toChange(removed), requestId, new Date());
  expect(event).toMatchObject({ type, data: { sandbox_id: 'a', thread_id: null, user_id: 'alice', reason } });
  expect(findEventFaults(event)).toEqual([]);
});

it('docs/events.md shows the event of each type that the description shows', async () => {
  const page = await readFile(new URL('../../docs/events.md', import.meta.url), 'utf8');
  const shown = [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text = '']) => JSON.parse(text));
  const events = shown.filter((one) => 'id' in one);
  expect(events).toEqual(eventTypes.map(exampleOf));
  expect(events.flatMap(findEventFaults)).toEqual([]);
  expect(findEventFaults({ ...events[0], type: 'sandbox.removed' })).not.toEqual([]);
});

it('no event goes anywhere where the settings name no place', async () => {
  const fetching = vi.spyOn(globalThis, 'fetch');
  expect(await send(aws, changesOf(1))).toEqual([]);
  expect(fetching).not.toHaveBeenCalled();
  fetching.mockRestore();
});

async function signWithSdk({ headers, body }: SeenRequest): Promise<string | undefined> {
  const credentials = {
    accessKeyId: aws.AWS_ACCESS_KEY_ID,
    secretAccessKey: aws.AWS_SECRET_ACCESS_KEY,
    sessionToken: aws.AWS_SESSION_TOKEN,
  };
  const signer = new SignatureV4({
    credentials,
    region: aws.AWS_REGION,
    service: 'events',
    sha256: Sha256,
    applyChecksum: false,
  });
  const at = String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5');
  const [, names = ''] = /SignedHeaders=([^,]+)/.exec(String(headers.authorization)) ?? [];
  const signed = await signer.sign(
    {
      ...{ method: 'POST', protocol: 'http:', hostname: '127.0.0.1', path: '/', query: {}, body },
      headers: Object.fromEntries(names.split(';').map((name) => [name, String(headers[name])])),
    },
    { signingDate: new Date(at) },
  );
  return signed.headers.authorization;
}
