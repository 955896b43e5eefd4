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
  const ownerReferences = [owner('this-service')];
  const own = { name: 'sandbox-a', uid: 'this-pod', creationTimestamp: ago(100_000), ownerReferences };
  return { metadata: { ...own, ...metadata }, status };
}

const running = pod({ phase: 'Running' });
const failed = pod({ phase: 'Failed' });
const originals = pod({ phase: 'Running' }, { ownerReferences: [] });
const anothers = pod({ phase: 'Running' }, { ownerReferences: [owner('gone')] });
const ending = pod({}, { deletionTimestamp: ago(1) });
const pending = (createdAt: Date) => pod({ phase: 'Pending' }, { creationTimestamp: createdAt });
const container = (state: object) => ({
  name: 'sandbox',
  image: '',
  imageID: '',
  ready: false,
  restartCount: 0,
  state,
});
const ended = (finishedAt: Date | string): V1ContainerStatus[] => [
  container({ terminated: { exitCode: 1, finishedAt } }),
];
const condition = (lastTransitionTime: Date) => ({ type: 'Ready', status: 'False', lastTransitionTime });

const keep = (reason: string) => ({ keep: reason });
const remove = (reason: string) => ({ remove: reason });
const adopt = { adopt: true };
const [inUse, fresh, terminating] = [keep('in-use'), keep('fresh-orphan'), keep('terminating')];
const [expired, tooOld, podless] = [remove('expired'), remove('too-old'), remove('service-without-pod')];
const lifetime = (seconds: number) => ({ sandboxMaxLifetimeSeconds: seconds });
const neverExpires = { sandboxTtlSeconds: 0 };
const noGrace = { orphanGraceSeconds: 0 };
const day = 86_400;

describe('a sandbox', () => {
  it.each<[string, V1Service, V1Pod | undefined, object, Partial<Config>?]>([
    ['used just now', usedAgo(0), running, inUse],
    ['used by a clock that goes before ours', usedAgo(-3600), running, inUse],
    ['used a moment less than its time ago', usedAgo(99.999, { ttl: '100' }), running, inUse],
    ['used its time ago', usedAgo(100, { ttl: '100' }), running, expired],
    ['used the default time ago, none noted', usedAgo(day), running, expired],
    ['used a moment less than the default ago', usedAgo(day - 0.001), running, inUse],
    ['noted to live longer than the default', usedAgo(day, { ttl: '90000' }), running, inUse],
    ['that never expires', usedAgo(90 * day, { ttl: '0' }), running, inUse],
    ['where none expires', usedAgo(90 * day), running, inUse, neverExpires],
    ['with its own time where none expires', usedAgo(9, { ttl: '9' }), running, expired, neverExpires],
    ['whose time is garbage: the default counts', usedAgo(day, { ttl: 'soon' }), running, expired],
    ['whose time is negative: the default counts', usedAgo(60, { ttl: '-1' }), running, inUse],
    ['whose time is not whole: the default counts', usedAgo(60, { ttl: '1.5' }), running, inUse],
    ['whose time is empty: the default counts', usedAgo(60, { ttl: '' }), running, inUse],
    ['whose time no Date can hold: the default counts', usedAgo(60, { ttl: '9'.repeat(20) }), running, inUse],
    ['that expired and is in use by nobody, without a Pod', usedAgo(day), undefined, expired],
    ['that expired, with a Pod that ended', usedAgo(day), failed, expired],

    ['of which no use is noted', service({}), running, adopt],
    ['of which no use is noted, without a Pod', service({}), undefined, adopt],
    ['of which no use is noted, its Pod ended', service({}), failed, adopt],
    ['of which no use is noted, too old', service({}), running, adopt, lifetime(1)],
    ['whose use is garbage', service({ usedAt: 'yesterday' }), running, adopt],
    ['whose use is empty', service({ usedAt: '' }), running, adopt],
    ['whose use is out of every calendar', service({ usedAt: '2026-13-45T99:00:00Z' }), running, adopt],
    ['without annotations', { metadata: { name: 'sandbox-a-svc' } }, running, adopt],
    ['without anything', {}, undefined, adopt],

    ['that is being removed', service({ usedAt: text(ago(day)) }, { deletionTimestamp: ago(1) }), running, terminating],
    ['that is being removed, unknown', { metadata: { deletionTimestamp: ago(1) } }, undefined, terminating],

    // It would be kept until then.
    ['used at a time far ahead', usedAgo(-3_601), running, adopt],
    ['used at a time that no year of four digits has', service({ usedAt: '+275760-09-13T00:00:00Z' }), running, adopt],
    ['as old as it may grow', usedAgo(0, { createdAt: ago(50) }), running, tooOld, lifetime(50)],
    ['a moment younger than that', usedAgo(0, { createdAt: ago(49.999) }), running, inUse, lifetime(50)],
    ['however old, where that is no matter', usedAgo(0, { createdAt: new Date(0) }), running, inUse],
    ['whose age is not known', usedAgo(0, { createdAt: null as never }), originals, inUse, lifetime(1)],
    ['that never expires', usedAgo(0, { ttl: '0', createdAt: ago(50) }), running, tooOld, lifetime(50)],

    ['without a Pod, used lately', usedAgo(299.999), undefined, fresh],
    ['without a Pod, unused for the grace', usedAgo(300), undefined, podless],
    ['without a Pod, for ever', usedAgo(300, { ttl: '0' }), undefined, podless],
    ['without a Pod and without grace', usedAgo(0), undefined, podless, noGrace],
    ['whose Pod terminates, used lately', usedAgo(10), ending, fresh],
    ['whose Pod terminates, unused', usedAgo(300), ending, podless],
    ['with a Pod of another Service, used lately', usedAgo(10), anothers, fresh],
    ['with a Pod of another Service, unused', usedAgo(300), anothers, podless],
    ["with the original's Pod, which nobody owns", usedAgo(300), originals, inUse],

    ['whose Pod has not run for its patience', usedAgo(20_000), pending(ago(1800)), remove('never-ran')],
    ['whose Pod has not run a moment less', usedAgo(20_000), pending(ago(1799.999)), inUse],
    // The Service is old: what counts is how long this Pod has been trying.
    ['whose Pod has not run lately, behind an old Service', usedAgo(20_000), pending(ago(10)), inUse],
    ['without patience', usedAgo(20_000), pending(now), remove('never-ran'), { pendingTimeoutSeconds: 0 }],
    ['whose Pod has no status and no age', usedAgo(20_000), {}, inUse],
    ['whose Pod is pending, and has no age', usedAgo(20_000), { status: { phase: 'Pending' } }, inUse],
    ['whose Pod failed, and has no age', usedAgo(20_000), { status: { phase: 'Failed' } }, inUse],
  ])('%s', (_which, itsService, itsPod, verdict, settings = {}) => {
    expect(judgeSandbox(itsService, itsPod, now, withSettings(settings))).toStrictEqual(verdict);
  });

  const isEnded = remove('ended');
  it.each<[string, V1PodStatus['phase'] | undefined, Omit<V1PodStatus, 'phase'>, object, Partial<Config>?]>([
    ['failed for its retention', 'Failed', { containerStatuses: ended(ago(3600)) }, isEnded],
    ['failed a moment less', 'Failed', { containerStatuses: ended(ago(3599.999)) }, inUse],
    ['succeeded for its retention', 'Succeeded', { containerStatuses: ended(ago(3600)) }, isEnded],
    ['succeeded a moment less', 'Succeeded', { containerStatuses: ended(ago(3599.999)) }, inUse],
    ['ended with its last one', 'Failed', { containerStatuses: [...ended(ago(9999)), ...ended(ago(10))] }, inUse],
    ['ended before that', 'Failed', { containerStatuses: ended(ago(3600)), conditions: [condition(ago(1))] }, isEnded],
    ['was evicted for its retention', 'Failed', { reason: 'Evicted', conditions: [condition(ago(3600))] }, isEnded],
    ['was evicted lately', 'Failed', { reason: 'Evicted', conditions: [condition(ago(10))] }, inUse],
    [
      'was evicted: its last change counts',
      'Failed',
      { conditions: [condition(ago(9999)), condition(ago(10))] },
      inUse,
    ],
    ['was evicted, and is not known otherwise: its age counts', 'Failed', { reason: 'Evicted' }, isEnded],
    ['ended, and never ran', 'Failed', { containerStatuses: [container({ waiting: {} })] }, isEnded],
    ['ended at a time that is text', 'Failed', { containerStatuses: ended(text(ago(3600))) }, isEnded],
    ['ended, with no retention', 'Failed', { containerStatuses: ended(now) }, isEnded, { failedRetentionSeconds: 0 }],
    ['runs, however long ago a container ended', 'Running', { containerStatuses: ended(ago(9999)) }, inUse],
    ['is lost from sight', 'Unknown', { conditions: [condition(ago(9999))] }, inUse],
    ['has no phase', undefined, {}, inUse],
  ])('whose Pod %s', (_which, phase, status, verdict, settings = {}) => {
    const itsPod = pod({ ...(phase !== undefined && { phase }), ...status });
    expect(judgeSandbox(usedAgo(20_000), itsPod, now, withSettings(settings))).toStrictEqual(verdict);
  });
});

describe('a Pod without a Service', () => {
  const orphaned = remove('pod-without-service');
  const stamped = (time: string) => {
    return { ownerReferences: [], annotations: { 'sandbox-provisioner/last-used-at': time } };
  };

  it.each<[string, V1Pod['metadata'], object, Partial<Config>?]>([
    ['of ours, made a moment less than the grace ago', { creationTimestamp: ago(299.999) }, fresh],
    ['of ours, made the grace ago', { creationTimestamp: ago(300) }, orphaned],
    ['of ours, of which no age is known', { creationTimestamp: undefined } as never, adopt],
    ['of ours that terminates', { deletionTimestamp: ago(1) }, terminating],
    ['that should have ended a moment less than the grace ago', { deletionTimestamp: ago(299.999) }, terminating],
    ['that should have ended the grace ago', { deletionTimestamp: ago(300) }, remove('stuck')],
    ['without grace', { creationTimestamp: now }, orphaned, noGrace],
    ["of the original's, however old", { ownerReferences: [] }, adopt],
    ["of the original's that terminates", { ownerReferences: [], deletionTimestamp: ago(1) }, terminating],
    ["of the original's, stamped with a time far ahead", stamped(text(ago(-3_601))), adopt],
    ["of the original's, stamped a moment less than the grace ago", stamped(text(ago(299.999))), fresh],
    ["of the original's, stamped the grace ago", stamped(text(ago(300))), orphaned],
    ["of the original's, stamped with garbage", stamped('?'), adopt],
  ])('%s', (_which, metadata, verdict, settings = {}) => {
    const orphan = pod({ phase: 'Running' }, metadata);
    expect(judgeOrphanPod(orphan, now, withSettings(settings))).toStrictEqual(verdict);
  });

  it('of which nothing is known is adopted', () => {
    expect(judgeOrphanPod({}, now, defaults)).toStrictEqual(adopt);
  });
});

describe('when a sandbox expires', () => {
  const old = { usedAt: text(ago(10)), createdAt: ago(50) };
  it.each<[string, Noted, Partial<Config>, string | undefined]>([
    ['its time after its last use', { usedAt: text(now), ttl: '60' }, {}, '2026-11-22T12:01:00.000Z'],
    ['the default time after it', { usedAt: text(now) }, {}, '2026-11-23T12:00:00.000Z'],
    ['never, as it was asked for', { usedAt: text(now), ttl: '0' }, {}, undefined],
    ['never, as is the default', { usedAt: text(now) }, neverExpires, undefined],
    ['at no time that is known, where no use is', { ttl: '60' }, {}, undefined],
    ['at no time that is known, where its use is garbage', { usedAt: 'x', ttl: '60' }, {}, undefined],
    ['after the longest that can be noted', { usedAt: text(now), ttl: '999999999' }, {}, '2058-07-31T13:46:39.000Z'],
    ['a time that is no time of ours', { usedAt: '+275760-09-13T00:00:00Z' }, {}, undefined],
    ['the end of its longest life, where that comes first', { ...old, ttl: '100' }, lifetime(60), text(ago(-10))],
    ['the end of its longest life, where it may go unused', { ...old, ttl: '0' }, lifetime(60), text(ago(-10))],
  ])('%s', (_when, noted, settings, expiresAt) => {
    expect(findExpiresAt(service(noted), withSettings(settings))?.toISOString()).toBe(expiresAt);
  });

  it.each([
    ['0', 0],
    ['7', 7],
    ['999999999', 999_999_999],
    ['1000000000', day],
    [' 7', day],
    ['7\n', day],
    ['', day],
    [undefined, day],
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
    ['where none expires', usedAgo(99_999_999), false, neverExpires],
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

  it('is one of those that there are, whatever the objects hold, changes nothing in them, and removes nothing unknown', () => {
    fc.assert(
      fc.property(anyService, anyPod, settings, (itsService, itsPod, config) => {
        const before = structuredClone({ itsService, itsPod });
        const verdict = judgeSandbox(itsService, itsPod, now, config);
        expect({ itsService, itsPod }).toStrictEqual(before);
        expect(Object.keys(verdict)).toEqual([expect.toBeOneOf(['keep', 'remove', 'adopt'])]);
        const usedAt = itsService.metadata?.annotations?.['sandbox-provisioner/last-used-at'];
        if (usedAt === undefined || Number.isNaN(Date.parse(usedAt))) expect(isRemoval(verdict)).toBe(false);
        if (itsService.metadata?.deletionTimestamp !== undefined) expect(verdict).toEqual(keep('terminating'));
      }),
      { numRuns: 1000 },
    );
  });
});
