import { describe, expect, it } from 'vitest';

import { readList } from '../../lib/kubernetes/lists.ts';

const at = '2026-11-22T12:00:00Z';

const podList = (items: unknown, metadata: object = {}) =>
  JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '7', ...metadata }, items });

describe('a list', () => {
  it('has the times of its objects as Dates, and all else as it stands, without the managed fields', () => {
    const labels = { app: 'x', startTime: at };
    const state = { terminated: { exitCode: 0, startedAt: at, finishedAt: at } };
    const pod = {
      metadata: {
        name: 'p',
        labels,
        annotations: { finishedAt: at },
        creationTimestamp: at,
        deletionTimestamp: at,
        managedFields: [{ manager: 'm', time: at }],
      },
      spec: { containers: [{ name: 'c', env: [{ name: 'startedAt', value: at }] }] },
      status: {
        phase: 'Failed',
        startTime: at,
        conditions: [{ type: 'Ready', status: 'False', lastProbeTime: null, lastTransitionTime: at }],
        containerStatuses: [{ name: 'c', state, lastState: {} }],
      },
    };
    const date = new Date(at);
    expect(readList('PodList', podList([pod]))).toEqual({
      metadata: {},
      items: [
        {
          metadata: {
            name: 'p',
            labels,
            annotations: { finishedAt: at },
            creationTimestamp: date,
            deletionTimestamp: date,
          },
          spec: pod.spec,
          status: {
            phase: 'Failed',
            startTime: date,
            conditions: [{ type: 'Ready', status: 'False', lastProbeTime: null, lastTransitionTime: date }],
            containerStatuses: [
              { name: 'c', state: { terminated: { exitCode: 0, startedAt: date, finishedAt: date } }, lastState: {} },
            ],
          },
        },
      ],
    });
  });

  it('leaves out the times that an object has not: an object that is not being deleted has no time of it', () => {
    const { items } = readList('PodList', podList([{ metadata: { name: 'p' } }, {}]));
    expect(items).toStrictEqual([{ metadata: { name: 'p' } }, { metadata: {} }]);
  });

  it.each([
    ['more', { continue: 'token' }, { _continue: 'token' }],
    ['no more, said by an empty text', { continue: '' }, {}],
    ['no more', {}, {}],
  ])('tells whether there is %s', (_what, metadata, expected) => {
    expect(readList('PodList', podList([], metadata)).metadata).toStrictEqual(expected);
  });

  it('is empty where Kubernetes, as Go does, says null', () => {
    expect(readList('PodList', podList(null)).items).toEqual([]);
  });

  it.each([
    ['another kind', '{"kind":"ServiceList","items":[]}'],
    ['no kind', '{"items":[]}'],
    ['no items', '{"kind":"PodList"}'],
  ])('of %s is refused: that nothing is there must not be read into it', (_what, text) => {
    expect(() => readList('PodList', text)).toThrow(expect.objectContaining({ name: 'KubernetesError' }));
  });
});
