import fc from 'fast-check';
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

describe('a list that is read item by item', () => {
  it('is the same as one that is read whole, whatever is in it', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', '\n', 'é', '😀') }),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        text,
        fc.integer(),
        fc.constantFrom(null, true, '"items":[{}]}'),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(text, tie('value'), { maxKeys: 3 }),
      ),
    }));
    const item = fc.record({ spec: value, data: fc.dictionary(text, value, { maxKeys: 3 }) });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 4 }), fc.option(text, { nil: undefined }), (items, token) => {
        const list = { kind: 'PodList', apiVersion: 'v1', metadata: { continue: token }, items };
        // With blanks, it is not as the API server writes it, and is read whole.
        expect(readList('PodList', JSON.stringify(list))).toEqual(readList('PodList', JSON.stringify(list, null, 1)));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['it ends early', '{"kind":"PodList","items":[{"spec":{}}'],
    ['an item ends early', '{"kind":"PodList","items":[{"spec":{"a":"}]}"'],
    ['there is a comma too many', '{"kind":"PodList","items":[{},]}'],
    ['there is a comma too few', '{"kind":"PodList","items":[{}{}]}'],
    ['an item is no object', '{"kind":"PodList","items":[{},1x]}'],
    ['something comes after it', '{"kind":"PodList","items":[{}]}}'],
    ['its beginning is wrong', '{"kind":"PodList",,"items":[{}]}'],
  ])('is no list where %s', (_why, text) => {
    expect(() => readList('PodList', text)).toThrow();
  });

  it('may have its items in the middle', () => {
    const text = '{"kind":"PodList","items":[{"spec":{"a":1}}],"metadata":{"continue":"next"}}';
    expect(readList('PodList', text)).toEqual({
      items: [{ metadata: {}, spec: { a: 1 } }],
      metadata: { _continue: 'next' },
    });
  });
});
