import type { V1ContainerStatus, V1Pod, V1PodStatus, V1Service } from '@kubernetes/client-node';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Config, loadConfig } from '../../lib/config/index.ts';
import {
  findExpiresAt,
  findTtlSeconds,
  isUseDue,
  judgeOrphanPod,
  judgeSandbox,
  type Verdict,
} from '../../lib/model/expiry.ts';

const now = new Date('2026-11-22T12:00:00.000Z');
const defaults = loadConfig({});
const withSettings = (settings: Partial<Config>): Config => ({ ...defaults, ...settings });

/** That many seconds before `now`. */
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1000);
const text = (date: Date): string => date.toISOString();

type Noted = { usedAt?: string | undefined; ttl?: string | undefined; createdAt?: Date | undefined };

function service({ usedAt, ttl, createdAt = ago(100_000) }: Noted, metadata: V1Service['metadata'] = {}): V1Service {
  return {
    metadata: {
      name: 'sandbox-a-svc',
      uid: 'this-service',
      creationTimestamp: createdAt,
      annotations: {
        'sandbox-provisioner/thread-id': 'a',
        ...(usedAt !== undefined && { 'sandbox-provisioner/last-used-at': usedAt }),
        ...(ttl !== undefined && { 'sandbox-provisioner/ttl-seconds': ttl }),
      },
      ...metadata,
    },
  };
}

/** A Service whose sandbox was used that many seconds ago. */
const usedAgo = (seconds: number, noted: Noted = {}) => service({ usedAt: text(ago(seconds)), ...noted });

const owner = (uid: string) => ({ apiVersion: 'v1', kind: 'Service', name: 'sandbox-a-svc', uid });

function pod(status: V1PodStatus, metadata: V1Pod['metadata'] = {}): V1Pod {
  return {
    metadata: {
      name: 'sandbox-a',
      uid: 'this-pod',
      creationTimestamp: ago(100_000),
      ownerReferences: [owner('this-service')],
      ...metadata,
    },
    status,
  };
}

const running = pod({ phase: 'Running' });
const originals = pod({ phase: 'Running' }, { ownerReferences: [] });
const ended = (finishedAt: Date): V1ContainerStatus[] => [
  {
    name: 'sandbox',
    image: '',
    imageID: '',
    ready: false,
    restartCount: 0,
    state: { terminated: { exitCode: 1, finishedAt } },
  },
];
const condition = (lastTransitionTime: Date) => ({ type: 'Ready', status: 'False', lastTransitionTime });

const keep = (reason: string) => ({ keep: reason });
const remove = (reason: string) => ({ remove: reason });
const adopt = { adopt: true };

describe('a sandbox', () => {
  const day = 86_400;

  it.each<[string, V1Service, V1Pod | undefined, object, Partial<Config>?]>([
    ['used just now', usedAgo(0), running, keep('in-use')],
    ['used by a clock that goes before ours', usedAgo(-3600), running, keep('in-use')],
    ['used a moment less than its time ago', usedAgo(99.999, { ttl: '100' }), running, keep('in-use')],
    ['used its time ago', usedAgo(100, { ttl: '100' }), running, remove('expired')],
    ['used the default time ago, none noted', usedAgo(day), running, remove('expired')],
    ['used a moment less than the default ago', usedAgo(day - 0.001), running, keep('in-use')],
    ['noted to live longer than the default', usedAgo(day, { ttl: '90000' }), running, keep('in-use')],
    ['that never expires', usedAgo(90 * day, { ttl: '0' }), running, keep('in-use')],
    ['where none expires', usedAgo(90 * day), running, keep('in-use'), { sandboxTtlSeconds: 0 }],
    [
      'with its own time where none expires',
      usedAgo(9, { ttl: '9' }),
      running,
      remove('expired'),
      { sandboxTtlSeconds: 0 },
    ],
    ['whose time is garbage: the default counts', usedAgo(day, { ttl: 'soon' }), running, remove('expired')],
    ['whose time is negative: the default counts', usedAgo(60, { ttl: '-1' }), running, keep('in-use')],
    ['whose time is not whole: the default counts', usedAgo(60, { ttl: '1.5' }), running, keep('in-use')],
    ['whose time is empty: the default counts', usedAgo(60, { ttl: '' }), running, keep('in-use')],
    ['whose time no Date can hold: the default counts', usedAgo(60, { ttl: '9'.repeat(20) }), running, keep('in-use')],
    ['that expired and is in use by nobody, without a Pod', usedAgo(day), undefined, remove('expired')],
    ['that expired, with a Pod that ended', usedAgo(day), pod({ phase: 'Failed' }), remove('expired')],

    ['of which no use is noted', service({}), running, adopt],
    ['of which no use is noted, without a Pod', service({}), undefined, adopt],
    ['of which no use is noted, its Pod ended', service({}), pod({ phase: 'Failed' }), adopt],
    ['of which no use is noted, too old', service({}), running, adopt, { sandboxMaxLifetimeSeconds: 1 }],
    ['whose use is garbage', service({ usedAt: 'yesterday' }), running, adopt],
    ['whose use is empty', service({ usedAt: '' }), running, adopt],
    ['whose use is out of every calendar', service({ usedAt: '2026-13-45T99:00:00Z' }), running, adopt],
    ['without annotations', { metadata: { name: 'sandbox-a-svc' } }, running, adopt],
    ['without anything', {}, undefined, adopt],

    [
      'that is being removed already',
      service({ usedAt: text(ago(day)) }, { deletionTimestamp: ago(1) }),
      running,
      keep('terminating'),
    ],
    ['that is being removed, unknown', { metadata: { deletionTimestamp: ago(1) } }, undefined, keep('terminating')],

    ['used in an hour, by a clock that is fast', usedAgo(-3_600), running, keep('in-use')],
    // It would be kept until then.
    ['used at a time far ahead', usedAgo(-3_601), running, adopt],
    ['used at a time that no year of four digits has', service({ usedAt: '+275760-09-13T00:00:00Z' }), running, adopt],
    [
      'as old as it may grow',
      usedAgo(0, { createdAt: ago(50) }),
      running,
      remove('too-old'),
      { sandboxMaxLifetimeSeconds: 50 },
    ],
    [
      'a moment younger than that',
      usedAgo(0, { createdAt: ago(49.999) }),
      running,
      keep('in-use'),
      { sandboxMaxLifetimeSeconds: 50 },
    ],
    ['however old, where that is no matter', usedAgo(0, { createdAt: new Date(0) }), running, keep('in-use')],
    [
      'whose age is not known',
      { metadata: { annotations: { 'sandbox-provisioner/last-used-at': text(now) } } },
      originals,
      keep('in-use'),
      { sandboxMaxLifetimeSeconds: 1 },
    ],
    [
      'that never expires may still be too old',
      usedAgo(0, { ttl: '0', createdAt: ago(50) }),
      running,
      remove('too-old'),
      { sandboxMaxLifetimeSeconds: 50 },
    ],

    ['without a Pod, used lately', usedAgo(299.999), undefined, keep('fresh-orphan')],
    ['without a Pod, unused for the grace', usedAgo(300), undefined, remove('service-without-pod')],
    ['without a Pod, for ever', usedAgo(300, { ttl: '0' }), undefined, remove('service-without-pod')],
    [
      'without a Pod and without grace',
      usedAgo(0),
      undefined,
      remove('service-without-pod'),
      { orphanGraceSeconds: 0 },
    ],
    ['whose Pod terminates, used lately', usedAgo(10), pod({}, { deletionTimestamp: ago(1) }), keep('fresh-orphan')],
    [
      'whose Pod terminates, unused',
      usedAgo(300),
      pod({}, { deletionTimestamp: ago(1) }),
      remove('service-without-pod'),
    ],
    [
      'with a Pod of another Service, used lately',
      usedAgo(10),
      pod({ phase: 'Running' }, { ownerReferences: [owner('gone')] }),
      keep('fresh-orphan'),
    ],
    [
      'with a Pod of another Service, unused',
      usedAgo(300),
      pod({ phase: 'Running' }, { ownerReferences: [owner('gone')] }),
      remove('service-without-pod'),
    ],
    ["with the original's Pod, which nobody owns", usedAgo(300), originals, keep('in-use')],
  ])('%s', (_which, itsService, itsPod, verdict, settings = {}) => {
    expect(judgeSandbox(itsService, itsPod, now, withSettings(settings))).toStrictEqual(verdict);
  });

  it.each<[string, V1PodStatus, object, Partial<Config>?]>([
    ['failed for its retention', { phase: 'Failed', containerStatuses: ended(ago(3600)) }, remove('ended')],
    ['failed a moment less', { phase: 'Failed', containerStatuses: ended(ago(3599.999)) }, keep('in-use')],
    ['succeeded for its retention', { phase: 'Succeeded', containerStatuses: ended(ago(3600)) }, remove('ended')],
    ['succeeded a moment less', { phase: 'Succeeded', containerStatuses: ended(ago(3599.999)) }, keep('in-use')],
    [
      'ended with its last container, not its first',
      { phase: 'Failed', containerStatuses: [...ended(ago(9999)), ...ended(ago(10))] },
      keep('in-use'),
    ],
    [
      'ended with its containers, whatever happened to it since',
      { phase: 'Failed', containerStatuses: ended(ago(3600)), conditions: [condition(ago(1))] },
      remove('ended'),
    ],
    [
      'was evicted for its retention',
      { phase: 'Failed', reason: 'Evicted', conditions: [condition(ago(3600))] },
      remove('ended'),
    ],
    ['was evicted lately', { phase: 'Failed', reason: 'Evicted', conditions: [condition(ago(10))] }, keep('in-use')],
    [
      'was evicted: its last change counts',
      { phase: 'Failed', conditions: [condition(ago(9999)), condition(ago(10))] },
      keep('in-use'),
    ],
    [
      'was evicted, and nothing else is known of it: its age counts',
      { phase: 'Failed', reason: 'Evicted' },
      remove('ended'),
    ],
    [
      'ended, with a container that never ran',
      {
        phase: 'Failed',
        containerStatuses: [{ ...(ended(now)?.[0] as never as object), state: { waiting: {} } } as never],
      },
      remove('ended'),
    ],
    [
      'ended at a time that is text',
      { phase: 'Failed', containerStatuses: ended(text(ago(3600)) as never) },
      remove('ended'),
    ],
    [
      'ended, with no retention',
      { phase: 'Failed', containerStatuses: ended(now) },
      remove('ended'),
      { failedRetentionSeconds: 0 },
    ],
    [
      'runs, however long ago a container ended',
      { phase: 'Running', containerStatuses: ended(ago(9999)) },
      keep('in-use'),
    ],
    ['is lost from sight', { phase: 'Unknown', conditions: [condition(ago(9999))] }, keep('in-use')],
    ['has no phase', {}, keep('in-use')],
  ])('whose Pod %s', (_which, status, verdict, settings = {}) => {
    expect(judgeSandbox(usedAgo(20_000), pod(status), now, withSettings(settings))).toStrictEqual(verdict);
  });

  it.each<[string, V1Pod, object, Partial<Config>?]>([
    ['for its patience', pod({ phase: 'Pending' }, { creationTimestamp: ago(1800) }), remove('never-ran')],
    ['a moment less', pod({ phase: 'Pending' }, { creationTimestamp: ago(1799.999) }), keep('in-use')],
    // The Service is old: what counts is how long this Pod has been trying.
    ['lately, behind an old Service', pod({ phase: 'Pending' }, { creationTimestamp: ago(10) }), keep('in-use')],
    [
      'without patience',
      pod({ phase: 'Pending' }, { creationTimestamp: now }),
      remove('never-ran'),
      { pendingTimeoutSeconds: 0 },
    ],
  ])('whose Pod has not run %s', (_which, itsPod, verdict, settings = {}) => {
    expect(judgeSandbox(usedAgo(20_000), itsPod, now, withSettings(settings))).toStrictEqual(verdict);
  });

  it('whose Pod has no status and no age is in use', () => {
    expect(judgeSandbox(usedAgo(20_000), {}, now, defaults)).toStrictEqual(keep('in-use'));
    expect(judgeSandbox(usedAgo(20_000), { status: { phase: 'Pending' } }, now, defaults)).toStrictEqual(
      keep('in-use'),
    );
    expect(judgeSandbox(usedAgo(20_000), { status: { phase: 'Failed' } }, now, defaults)).toStrictEqual(keep('in-use'));
  });
});

describe('a Pod without a Service', () => {
  const lastUsed = (seconds: number) => ({ annotations: { 'sandbox-provisioner/last-used-at': text(ago(seconds)) } });

  it.each<[string, V1Pod['metadata'], object, Partial<Config>?]>([
    ['of ours, made a moment less than the grace ago', { creationTimestamp: ago(299.999) }, keep('fresh-orphan')],
    ['of ours, made the grace ago', { creationTimestamp: ago(300) }, remove('pod-without-service')],
    ['of ours, of which no age is known', { creationTimestamp: undefined } as never, adopt],
    ['of ours that terminates', { deletionTimestamp: ago(1) }, keep('terminating')],
    [
      'that should have ended a moment less than the grace ago',
      { deletionTimestamp: ago(299.999) },
      keep('terminating'),
    ],
    ['that should have ended the grace ago', { deletionTimestamp: ago(300) }, remove('stuck')],
    ['without grace', { creationTimestamp: now }, remove('pod-without-service'), { orphanGraceSeconds: 0 }],
    ["of the original's, however old", { ownerReferences: [] }, adopt],
    ["of the original's that terminates", { ownerReferences: [], deletionTimestamp: ago(1) }, keep('terminating')],
    ["of the original's, stamped with a time far ahead", { ownerReferences: [], ...lastUsed(-3_601) }, adopt],
    [
      "of the original's, stamped a moment less than the grace ago",
      { ownerReferences: [], ...lastUsed(299.999) },
      keep('fresh-orphan'),
    ],
    [
      "of the original's, stamped the grace ago",
      { ownerReferences: [], ...lastUsed(300) },
      remove('pod-without-service'),
    ],
    [
      "of the original's, stamped with garbage",
      { ownerReferences: [], annotations: { 'sandbox-provisioner/last-used-at': '?' } },
      adopt,
    ],
  ])('%s', (_which, metadata, verdict, settings = {}) => {
    const orphan = pod({ phase: 'Running' }, metadata);
    expect(judgeOrphanPod(orphan, now, withSettings(settings))).toStrictEqual(verdict);
  });

  it('of which nothing is known is adopted', () => {
    expect(judgeOrphanPod({}, now, defaults)).toStrictEqual(adopt);
  });
});

describe('when a sandbox expires', () => {
  it.each<[string, Noted, Partial<Config>, string | undefined]>([
    ['its time after its last use', { usedAt: text(now), ttl: '60' }, {}, '2026-11-22T12:01:00.000Z'],
    ['the default time after it', { usedAt: text(now) }, {}, '2026-11-23T12:00:00.000Z'],
    ['never, as it was asked for', { usedAt: text(now), ttl: '0' }, {}, undefined],
    ['never, as is the default', { usedAt: text(now) }, { sandboxTtlSeconds: 0 }, undefined],
    ['at no time that is known, where no use is', { ttl: '60' }, {}, undefined],
    ['at no time that is known, where its use is garbage', { usedAt: 'x', ttl: '60' }, {}, undefined],
    [
      'after the longest time that can be noted',
      { usedAt: text(now), ttl: '999999999' },
      {},
      '2058-07-31T13:46:39.000Z',
    ],
    ['a time that is no time of ours', { usedAt: '+275760-09-13T00:00:00Z' }, {}, undefined],
    [
      'the end of its longest life, where that comes first',
      { usedAt: text(ago(10)), ttl: '100', createdAt: ago(50) },
      { sandboxMaxLifetimeSeconds: 60 },
      text(ago(-10)),
    ],
    [
      'the end of its longest life, where it never goes unused for too long',
      { usedAt: text(ago(10)), ttl: '0', createdAt: ago(50) },
      { sandboxMaxLifetimeSeconds: 60 },
      text(ago(-10)),
    ],
  ])('%s', (_when, noted, settings, expiresAt) => {
    expect(findExpiresAt(service(noted), withSettings(settings))?.toISOString()).toBe(expiresAt);
  });

  it.each([
    ['0', 0],
    ['7', 7],
    ['999999999', 999_999_999],
    ['1000000000', 86_400],
    [' 7', 86_400],
    ['7\n', 86_400],
    ['', 86_400],
    [undefined, 86_400],
  ])('comes from the seconds that are noted, %j: %i', (ttl, seconds) => {
    expect(findTtlSeconds(service({ ttl }), defaults)).toBe(seconds);
  });
});

describe('a look at a sandbox', () => {
  it.each<[string, V1Service, boolean, Partial<Config>?]>([
    ['a moment before a quarter of its time', usedAgo(24.999, { ttl: '100' }), false],
    ['at a quarter of its time', usedAgo(25, { ttl: '100' }), true],
    ['at a quarter of a time that has no whole one', usedAgo(0.25, { ttl: '1' }), true],
    ['before a quarter of the default', usedAgo(21_599), false],
    ['at a quarter of the default', usedAgo(21_600), true],
    ['after it has expired, and was not removed yet', usedAgo(1_000, { ttl: '100' }), true],
    ['at one that never expires', usedAgo(99_999_999, { ttl: '0' }), false],
    ['where none expires', usedAgo(99_999_999), false, { sandboxTtlSeconds: 0 }],
    ['at one of which no use is noted: it has not been adopted', service({ ttl: '100' }), false],
    ['at one that was used by a clock that goes before ours', usedAgo(-100, { ttl: '100' }), false],
  ])('is noted or not, %s', (_when, itsService, isDue, settings = {}) => {
    expect(isUseDue(itsService, now, withSettings(settings))).toBe(isDue);
  });
});

describe('the verdict', () => {
  const seconds = fc.integer({ min: 0, max: 1_000_000 });
  const settings: fc.Arbitrary<Config> = fc
    .record({
      sandboxTtlSeconds: seconds,
      sandboxMaxLifetimeSeconds: fc.oneof(fc.constant(0), seconds),
      orphanGraceSeconds: seconds,
      failedRetentionSeconds: seconds,
      pendingTimeoutSeconds: seconds,
    })
    .map(withSettings);
  const garbage = fc.oneof(fc.string(), fc.constantFrom('', '0', '-1', '1e9', 'NaN', '9'.repeat(30), 'null'));
  const anyTime = fc.option(fc.date({ min: ago(2_000_000), max: ago(-2_000_000), noInvalidDate: true }), {
    nil: undefined,
  });
  const anyService = fc
    .record({
      usedAt: fc.oneof(
        anyTime.map((time) => time && text(time)),
        garbage,
      ),
      ttl: fc.oneof(fc.constant(undefined), seconds.map(String), garbage),
      createdAt: anyTime,
      isTerminating: fc.boolean(),
    })
    .map(({ isTerminating, ...noted }) => service(noted, isTerminating ? { deletionTimestamp: ago(1) } : {}));
  const anyPod = fc.option(
    fc
      .record({
        phase: fc.constantFrom(undefined, 'Pending', 'Running', 'Succeeded', 'Failed', 'Unknown', 'Odd'),
        finishedAt: anyTime,
        changedAt: anyTime,
        createdAt: anyTime,
        isTerminating: fc.boolean(),
        owners: fc.subarray(['this-service', 'gone']),
      })
      .map(({ phase, finishedAt, changedAt, createdAt, isTerminating, owners }) =>
        pod(
          {
            ...(phase !== undefined && { phase }),
            ...(finishedAt && { containerStatuses: ended(finishedAt) as never }),
            ...(changedAt && { conditions: [condition(changedAt)] }),
          },
          {
            ownerReferences: owners.map(owner),
            ...(createdAt && { creationTimestamp: createdAt }),
            ...(isTerminating && { deletionTimestamp: ago(1) }),
          },
        ),
      ),
    { nil: undefined },
  );
  const isRemoval = (verdict: Verdict) => 'remove' in verdict;

  it('never takes a sandbox with a Pod of its own that runs and that was used within its time', () => {
    const phase = fc.constantFrom('Running', 'Unknown', undefined);
    fc.assert(
      fc.property(settings, fc.integer({ min: 0, max: 999_999 }), seconds, phase, (config, ttl, unusedMs, itsPhase) => {
        // Used less than its time ago: by as little as a millisecond.
        const used = ttl === 0 ? unusedMs * 1000 : Math.min(unusedMs, ttl * 1000 - 1);
        const itsService = usedAgo(used / 1000, { ttl: String(ttl) });
        const itsPod = pod(itsPhase === undefined ? {} : { phase: itsPhase });
        const verdict = judgeSandbox(itsService, itsPod, now, { ...config, sandboxMaxLifetimeSeconds: 0 });
        expect(verdict).toStrictEqual(keep('in-use'));
      }),
      { numRuns: 1000 },
    );
  });

  it('is one of those that there are, whatever the objects hold, and removes nothing of which no use is noted', () => {
    fc.assert(
      fc.property(anyService, anyPod, settings, (itsService, itsPod, config) => {
        const verdict = judgeSandbox(itsService, itsPod, now, config);
        expect(Object.keys(verdict)).toEqual([expect.toBeOneOf(['keep', 'remove', 'adopt'])]);
        const usedAt = itsService.metadata?.annotations?.['sandbox-provisioner/last-used-at'];
        if (usedAt === undefined || Number.isNaN(Date.parse(usedAt))) expect(isRemoval(verdict)).toBe(false);
        if (itsService.metadata?.deletionTimestamp !== undefined) expect(verdict).toEqual(keep('terminating'));
      }),
      { numRuns: 1000 },
    );
  });

  it('is the same for the same objects, and changes nothing in them', () => {
    fc.assert(
      fc.property(anyService, anyPod, settings, (itsService, itsPod, config) => {
        const before = structuredClone({ itsService, itsPod });
        const verdict = judgeSandbox(itsService, itsPod, now, config);
        expect(judgeSandbox(itsService, itsPod, now, config)).toStrictEqual(verdict);
        expect({ itsService, itsPod }).toStrictEqual(before);
      }),
    );
  });

  it('is never taken back by time alone: what is to be removed now is to be removed later', () => {
    fc.assert(
      fc.property(anyService, anyPod, settings, fc.nat(3_000_000), (itsService, itsPod, config, later) => {
        fc.pre(isRemoval(judgeSandbox(itsService, itsPod, now, config)));
        expect(isRemoval(judgeSandbox(itsService, itsPod, ago(-later), config))).toBe(true);
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(anyPod, settings, fc.nat(3_000_000), (itsPod, config, later) => {
        fc.pre(itsPod !== undefined && isRemoval(judgeOrphanPod(itsPod, now, config)));
        expect(isRemoval(judgeOrphanPod(itsPod as V1Pod, ago(-later), config))).toBe(true);
      }),
    );
  });

  it('keeps with a use what it would have removed without: each use puts the expiry off', () => {
    fc.assert(
      fc.property(seconds, seconds, fc.integer({ min: 1, max: 1_000_000 }), (one, other, ttl) => {
        const [newer, older] = [Math.min(one, other), Math.max(one, other)];
        const verdictFor = (unused: number) =>
          judgeSandbox(usedAgo(unused, { ttl: String(ttl) }), running, now, defaults);
        if (isRemoval(verdictFor(newer))) expect(isRemoval(verdictFor(older))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
