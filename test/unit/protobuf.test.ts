import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { readPods, readServices, readStatus } from '../../lib/kubernetes/protobuf.ts';
import { answerOf, type Field, listOf } from './protobuf-answers.ts';

const at = (seconds: number): Field[] => [
  [1, seconds],
  [2, 0],
];

const pod: Field[] = [
  [
    1,
    [
      [1, 'sandbox-a'],
      [2, ''],
      [3, 'a-namespace'],
      [5, 'u-1'],
      [6, '77'],
      [7, 0],
      [8, at(1_790_000_000)],
      [9, at(-1)],
      [
        11,
        [
          [1, 'app'],
          [2, 'é😀 and more than twelve bytes'],
        ] as Field[],
      ],
      [11, [[1, 'empty']] as Field[]],
      [
        12,
        [
          [1, 'note'],
          [2, 'x'],
        ] as Field[],
      ],
      [
        13,
        [
          [1, 'Service'],
          [3, 'a'],
          [4, 'u-2'],
          [5, 'v1'],
          [6, 1],
        ] as Field[],
      ],
      [
        17,
        [
          [1, 'manager'],
          [7, [[1, '{"f:x":{}}']]],
        ] as Field[],
      ],
    ],
  ],
  [
    2,
    [
      [
        1,
        [
          [1, 'skills'],
          [
            2,
            [
              [
                1,
                [
                  [1, '/skills'],
                  [2, 'Directory'],
                ],
              ],
            ],
          ],
        ] as Field[],
      ],
      [
        1,
        [
          [1, 'scratch'],
          [2, [[2, []]]],
        ] as Field[],
      ],
      [2, [[1, 'container']] as Field[]],
    ],
  ],
  [
    3,
    [
      [1, 'Failed'],
      [
        2,
        [
          [1, 'Ready'],
          [2, 'False'],
          [3, []],
          [4, at(60)],
        ] as Field[],
      ],
      [
        2,
        [
          [1, 'Initialized'],
          [4, []],
        ] as Field[],
      ],
      [
        8,
        [
          [1, 'sandbox'],
          [
            2,
            [
              [
                3,
                [
                  [1, 137],
                  [5, at(1)],
                  [6, at(120)],
                ],
              ],
            ],
          ],
          [3, [[3, [[6, at(5)]]]]],
        ] as Field[],
      ],
      [
        8,
        [
          [1, 'other'],
          [2, [[2, [[1, at(1)]]]]],
        ] as Field[],
      ],
    ],
  ],
];

const service: Field[] = [
  [1, [[1, 'sandbox-a-svc']]],
  [
    2,
    [
      [
        1,
        [
          [1, 'http'],
          [2, 'TCP'],
          [3, 8080],
          [
            4,
            [
              [1, 0],
              [2, 8080],
            ],
          ],
          [5, 30123],
        ] as Field[],
      ],
      [
        1,
        [
          [1, 'other'],
          [5, 0],
        ] as Field[],
      ],
    ],
  ],
];

describe('a list of Pods', () => {
  it('is read with what is judged by, and nothing else', () => {
    expect(readPods(listOf('PodList', [pod, []], 'next'))).toStrictEqual({
      metadata: { _continue: 'next' },
      items: [
        {
          metadata: {
            name: 'sandbox-a',
            uid: 'u-1',
            resourceVersion: '77',
            creationTimestamp: new Date(1_790_000_000_000),
            deletionTimestamp: new Date(-1000),
            labels: { app: 'é😀 and more than twelve bytes', empty: '' },
            annotations: { note: 'x' },
            ownerReferences: [{ uid: 'u-2' }],
          },
          spec: { volumes: [{ name: 'skills', hostPath: { path: '/skills' } }, { name: 'scratch' }] },
          status: {
            phase: 'Failed',
            conditions: [{ lastTransitionTime: new Date(60_000) }, {}],
            containerStatuses: [{ state: { terminated: { finishedAt: new Date(120_000) } } }, { state: {} }],
          },
        },
        {},
      ],
    });
  });

  it('may be empty, and the last page', () => {
    expect(readPods(listOf('PodList', []))).toStrictEqual({ items: [], metadata: {} });
    expect(readPods(answerOf('PodList', []))).toStrictEqual({ items: [], metadata: {} });
  });

  it('has in a map what an object has by its nature, as any other key', () => {
    const labels: Field[] = ['__proto__', 'constructor'].map((key) => [
      11,
      [
        [1, key],
        [2, 'x'],
      ] as Field[],
    ]);
    const [{ metadata } = {}] = readPods(listOf('PodList', [[[1, labels]]])).items;
    expect(Object.keys(metadata?.labels ?? {})).toContain('constructor');
    expect(({} as { x?: string }).x).toBeUndefined();
    expect(Object.getPrototypeOf(metadata?.labels)).toBe(Object.prototype);
  });

  it('is none where it is cut, wherever that is: not all that is there may be in it', () => {
    const answer = listOf('PodList', [pod, pod]);
    // Behind the list, there are two empty fields of the envelope.
    for (let length = 0; length < answer.length - 4; length += 1) {
      expect(() => readPods(answer.subarray(0, length)), `${length}`).toThrow(
        expect.objectContaining({ name: 'KubernetesError' }),
      );
    }
  });

  it.each([
    ['another list', listOf('ServiceList', [])],
    ['an error', answerOf('Status', [[3, 'message']])],
    ['no kind', answerOf('', [])],
    ['JSON', Buffer.from('{"kind":"PodList","items":[]}')],
    ['nothing', Buffer.alloc(0)],
    ['something behind it', Buffer.concat([listOf('PodList', [pod]), Buffer.from([0, 0])])],
    [
      'a message that ends within a field',
      answerOf('PodList', [
        [
          2,
          [
            [1, 'name'],
            [1, '\u0005'],
          ] as Field[],
        ],
      ]),
    ],
  ])('is none where there is %s', (_what, answer) => {
    expect(() => readPods(answer)).toThrow(expect.objectContaining({ name: 'KubernetesError' }));
  });

  it('is never made of random bytes, and nothing is waited for in them', () => {
    const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([Buffer.from('k8s\0'), bytes]));
    fc.assert(
      fc.property(random, (answer) => {
        expect(() => readPods(answer)).toThrow();
        expect(readStatus(answer)).toBeUndefined();
      }),
      { numRuns: 5000 },
    );
  });
});

describe('a list of Services', () => {
  it('is read with their ports', () => {
    expect(readServices(listOf('ServiceList', [service])).items).toStrictEqual([
      {
        metadata: { name: 'sandbox-a-svc' },
        spec: {
          ports: [
            { name: 'http', nodePort: 30123 },
            { name: 'other', nodePort: 0 },
          ],
        },
      },
    ]);
  });
});

describe('a refusal', () => {
  it('says why', () => {
    const details: Field[] = [
      [1, 'a-namespace'],
      [3, 'namespaces'],
      [
        4,
        [
          [1, 'NamespaceTerminating'],
          [2, 'text'],
          [3, 'field'],
        ] as Field[],
      ],
      [5, 7],
    ];
    const object: Field[] = [
      [1, []],
      [2, 'Failure'],
      [3, 'it is being terminated'],
      [4, 'Forbidden'],
      [5, details],
      [6, 403],
    ];
    expect(readStatus(answerOf('Status', object))).toStrictEqual({
      kind: 'Status',
      message: 'it is being terminated',
      reason: 'Forbidden',
      details: { kind: 'namespaces', causes: [{ reason: 'NamespaceTerminating' }] },
    });
  });

  it.each([
    ['another object', listOf('PodList', [])],
    ['half of one', answerOf('Status', [[3, 'message']]).subarray(0, 20)],
    ['text', Buffer.from('404 page not found')],
  ])('is none where there is %s', (_what, answer) => {
    expect(readStatus(answer)).toBeUndefined();
  });
});
