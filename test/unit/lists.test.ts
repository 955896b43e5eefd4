import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { readPods, readServices, readStatus } from '../../lib/kubernetes/lists.ts';
import { answerOf, type Field, field, listOf } from './protobuf-answers.ts';

const time = (seconds: number) => [field(1, seconds), field(2, 0)];
const entry = (key: string, value: string) => [field(1, key), field(2, value)];

const owner = field(13, [field(1, 'Service'), field(3, 'a'), field(4, 'u-2'), field(5, 'v1'), field(6, 1)]);

const metadata = [
  field(1, 'sandbox-a'),
  field(2, ''),
  field(3, 'a-namespace'),
  field(5, 'u-1'),
  field(6, '77'),
  field(7, 0),
  field(8, time(1_790_000_000)),
  field(9, time(-1)),
  field(11, entry('app', 'deer-flow-sandbox')),
  field(11, entry('sandbox-id', 'a')),
  field(11, entry('sandbox-ic', 'its key is as long')),
  field(11, entry('metadata.sandbox-provisioner/team', 'red').toReversed()),
  field(11, [field(1, 'metadata.sandbox-provisioner/é'), field(2, '')]),
  field(11, entry('metadata.sandbox-provisioner/', 'no key')),
  field(11, entry('metadata-sandbox-provisioner/team', 'its beginning is as long')),
  field(12, entry('sandbox-provisioner/thread-id', 'é😀 and more').toReversed()),
  field(12, [field(1, 'sandbox-provisioner/ttl-seconds')]),
  field(12, entry('sandbox-provisioner/user-id', 'alice')),
  field(12, entry('sandbox-provisioner/spec-hash', '0123')),
  field(12, entry('note', 'x')),
  field(17, [field(1, 'manager'), field(7, [field(1, '{"f:x":{}}')])]),
];

const hostPath = [field(1, '/skills'), field(2, 'Directory')];
const podSpec = [
  field(1, [field(1, 'skills'), field(2, [field(1, hostPath)])]),
  field(1, [field(1, 'scratch'), field(2, [field(2, [])])]),
  field(2, [
    field(1, 'sandbox'),
    field(2, 'image'),
    field(7, [field(1, 'MAX_SHELL_SESSIONS'), field(2, '13')]),
    field(9, [field(1, 'user-data'), field(2, 1), field(3, '/mnt/user-data'), field(4, 'a/b')]),
  ]),
];

const sandbox = { name: 'sandbox', image: 'image', env: [{ name: 'MAX_SHELL_SESSIONS', value: '13' }] };

const terminated = [
  field(1, 137),
  field(3, 'OOMKilled'),
  field(4, 'its own words'),
  field(5, time(1)),
  field(6, time(120)),
];
const ends = [
  field(2, [field(1, 'Ready'), field(2, 'False'), field(3, []), field(4, time(60))]),
  field(2, [field(1, 'Initialized'), field(4, [])]),
  field(3, 'it was ended'),
  field(4, 'Evicted'),
  field(8, [field(1, 'sandbox'), field(2, [field(3, terminated)]), field(3, [field(3, [field(6, time(5))])])]),
  field(8, [field(1, 'other'), field(2, [field(2, [field(1, time(1))])])]),
];

const podOf = (metadata: readonly Field[], phase: string) => [
  field(1, metadata),
  field(2, podSpec),
  field(3, [field(1, phase), ...ends]),
];

const pod = podOf(metadata, 'Failed');

const service = [
  field(1, [field(1, 'sandbox-a-svc')]),
  field(2, [
    field(1, [field(1, 'http'), field(2, 'TCP'), field(3, 8080), field(4, [field(2, 8080)]), field(5, 30123)]),
    field(1, [field(1, 'other'), field(5, 0)]),
    field(4, 'NodePort'),
  ]),
];

const kubernetesError = expect.objectContaining({ name: 'KubernetesError' });

describe('a list of Pods', () => {
  it('is read with what is judged by, and nothing else', () => {
    expect(readPods(listOf('PodList', [pod, []], 'next'))).toStrictEqual({
      metadata: { _continue: 'next' },
      items: [
        {
          metadata: {
            name: 'sandbox-a',
            namespace: 'a-namespace',
            uid: 'u-1',
            resourceVersion: '77',
            creationTimestamp: new Date(1_790_000_000_000),
            deletionTimestamp: new Date(-1000),
            labels: {
              ...{ app: 'deer-flow-sandbox', 'sandbox-id': 'a' },
              ...{ 'metadata.sandbox-provisioner/team': 'red', 'metadata.sandbox-provisioner/é': '' },
            },
            annotations: {
              ...{ 'sandbox-provisioner/thread-id': 'é😀 and more', 'sandbox-provisioner/ttl-seconds': '' },
              ...{ 'sandbox-provisioner/user-id': 'alice', 'sandbox-provisioner/spec-hash': '0123' },
            },
          },
          spec: {
            volumes: [{ name: 'skills', hostPath: { path: '/skills' } }, { name: 'scratch' }],
            containers: [{ ...sandbox, volumeMounts: [{ mountPath: '/mnt/user-data', subPath: 'a/b' }] }],
          },
          status: {
            phase: 'Failed',
            message: 'it was ended',
            reason: 'Evicted',
            conditions: [
              { type: 'Ready', status: 'False', lastTransitionTime: new Date(60_000) },
              { type: 'Initialized' },
            ],
            containerStatuses: [
              {
                name: 'sandbox',
                state: { terminated: { exitCode: 137, reason: 'OOMKilled', finishedAt: new Date(120_000) } },
                lastState: { terminated: { finishedAt: new Date(5_000) } },
              },
              { name: 'other', state: { running: { startedAt: new Date(1_000) } } },
            ],
          },
        },
        {},
      ],
    });
  });

  it('tells nothing of what one mounts that has an owner', () => {
    const [read] = readPods(listOf('PodList', [podOf([owner], 'Failed')])).items;
    expect(read?.metadata).toStrictEqual({ ownerReferences: [{ uid: 'u-2' }] });
    expect(read?.spec).toStrictEqual({ containers: [sandbox] });
    expect(read?.status).toHaveProperty('conditions');
  });

  const condition = (type: string, status: string, ...rest: Field[]) => [
    field(2, [field(1, type), field(2, status), field(3, []), ...rest]),
  ];
  const statusOf = (...fields: Field[]) =>
    readPods(listOf('PodList', [[field(1, []), field(3, [field(1, 'Running'), ...fields])]])).items[0]?.status;

  it('tells of one that is ready only that it is', () => {
    const conditions = [
      ...condition('Initialized', 'True', field(4, time(1))),
      ...condition('Ready', 'True', field(4, time(2))),
      ...condition('PodScheduled', 'True'),
    ];
    const containers = [field(8, [field(1, 'sandbox'), field(4, 1)])];
    expect(statusOf(...conditions, ...containers)).toStrictEqual({
      phase: 'Running',
      conditions: [{}, { type: 'Ready', status: 'True' }],
    });
  });

  it('tells of one that is not ready why, but not how it ended', () => {
    const waiting = [field(1, 'CrashLoopBackOff'), field(2, 'back-off 10s')];
    const fields = [
      ...condition('Readz', 'True'),
      ...condition(
        'Ready',
        'False',
        field(4, time(60)),
        field(5, 'ContainersNotReady'),
        field(6, 'unready: [sandbox]'),
      ),
      ...condition('PodScheduled', 'True', field(4, time(1))),
      field(3, 'no words'),
      field(4, 'NoReason'),
      field(8, [field(1, 'sandbox'), field(2, [field(1, waiting)]), field(4, 0), field(5, 3), field(9, 1)]),
    ];
    expect(statusOf(...fields)).toStrictEqual({
      phase: 'Running',
      conditions: [
        {},
        {
          type: 'Ready',
          status: 'False',
          lastTransitionTime: new Date(60_000),
          reason: 'ContainersNotReady',
          message: 'unready: [sandbox]',
        },
        { type: 'PodScheduled', status: 'True', lastTransitionTime: new Date(1_000) },
      ],
      containerStatuses: [
        {
          name: 'sandbox',
          state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
          ready: false,
          restartCount: 3,
          started: true,
        },
      ],
    });
  });

  it('may be empty, and the last page', () => {
    expect(readPods(listOf('PodList', []))).toStrictEqual({ items: [], metadata: {} });
    expect(readPods(answerOf('PodList', []))).toStrictEqual({ items: [], metadata: {} });
  });

  it('is none where it is cut, wherever that is: not all that is there may be in it', () => {
    const answer = listOf('PodList', [pod, pod]);
    // Behind the list, there are two empty fields of the envelope.
    for (let length = 0; length < answer.length - 4; length += 1) {
      expect(() => readPods(answer.subarray(0, length)), `${length}`).toThrow(kubernetesError);
    }
  });

  it.each([
    ['another list', listOf('ServiceList', [])],
    ['an error', answerOf('Status', [field(3, 'message')])],
    ['no kind', answerOf('', [])],
    ['JSON', Buffer.from('{"kind":"PodList","items":[]}')],
    ['nothing', Buffer.alloc(0)],
    ['something behind it', Buffer.concat([listOf('PodList', [pod]), Buffer.from([0, 0])])],
    ['a message that ends within a field', answerOf('PodList', [field(2, [field(1, 'name'), field(1, '\u0005')])])],
  ])('is none where there is %s', (_what, answer) => {
    expect(() => readPods(answer)).toThrow(kubernetesError);
  });

  it('is one or an error, whatever bytes are in it: nothing else is thrown, and nothing is waited for', () => {
    const whole = listOf('PodList', [pod, podOf([owner], 'Running')]);
    const begin = whole.indexOf('sandbox-a') - 10;
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
    const place = fc.integer({ min: begin, max: whole.length - 40 });
    let lists = 0;
    fc.assert(
      fc.property(bytes, place, (bytes, place) => {
        const answer = Buffer.from(whole);
        answer.set(bytes, place);
        try {
          expect(readPods(answer).items).toBeInstanceOf(Array);
          lists += 1;
        } catch (error) {
          expect(error).toEqual(kubernetesError);
        }
      }),
      { numRuns: 20_000 },
    );
    expect(lists).toBeGreaterThan(100);
  });
});

describe('a list of Services', () => {
  it('is read with their ports', () => {
    const ports = [
      { name: 'http', port: 8080, nodePort: 30123 },
      { name: 'other', nodePort: 0 },
    ];
    expect(readServices(listOf('ServiceList', [service])).items).toStrictEqual([
      { metadata: { name: 'sandbox-a-svc' }, spec: { ports, type: 'NodePort' } },
    ]);
  });
});

describe('a refusal', () => {
  it('says why', () => {
    const details = [field(1, 'a-namespace'), field(3, 'namespaces'), field(5, 7)];
    const words = [field(3, 'the token is too old'), field(4, 'Expired')];
    const status = [field(1, []), field(2, 'Failure'), ...words, field(5, details), field(6, 410)];
    const told = { kind: 'Status', message: 'the token is too old', reason: 'Expired' };
    expect(readStatus(answerOf('Status', status))).toStrictEqual(told);
  });

  it.each([
    ['another object', listOf('PodList', [])],
    ['half of one', answerOf('Status', [field(3, 'message')]).subarray(0, 20)],
    ['text', Buffer.from('404 page not found')],
  ])('is none where there is %s', (_what, answer) => {
    expect(readStatus(answer)).toBeUndefined();
  });
});
