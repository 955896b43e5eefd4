import type { V1ObjectMeta, V1Pod, V1PodStatus, V1Service } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { belongsTo } from '../../lib/model/ownership.ts';
import { findReadiness } from '../../lib/model/reasons.ts';
import { cannotStart, isServing, viewSandbox } from '../../lib/model/status.ts';

const config = loadConfig({ NODE_HOST: 'node.example' });
const now = new Date('2026-11-22T12:00:00Z');

const service = {
  metadata: {
    name: 'sandbox-a-svc',
    uid: 'this-service',
    creationTimestamp: new Date('2026-11-22T11:00:00Z'),
    annotations: {
      'sandbox-provisioner/last-used-at': '2026-11-22T13:00:00.000Z',
      'sandbox-provisioner/ttl-seconds': '100',
    },
  },
  spec: { ports: [{ name: 'http', port: 8080, nodePort: 30_123 }] },
} satisfies V1Service;

const owner = (uid: string) => ({ apiVersion: 'v1', kind: 'Service', name: 'sandbox-a-svc', uid });
const owned = [owner('this-service')];
const phased = (phase?: string) => pod({ ownerReferences: owned }, phase);
const terminating = { deletionTimestamp: new Date('2026-11-22T12:00:00Z') };
const pod = (metadata: V1Pod['metadata'], phase?: string): V1Pod => ({
  metadata: { name: 'sandbox-a', uid: 'this-pod', ...metadata },
  ...(phase !== undefined && { status: { phase } }),
});

/** The original's: its thread and user are in what it mounts. */
const mounting = (metadata: V1Pod['metadata']): V1Pod => ({
  ...pod(metadata, 'Running'),
  spec: {
    containers: [{ name: 'sandbox', image: 'i:2' }],
    volumes: [
      { name: 'skills-custom', hostPath: { path: '/state/users/bob/skills_view/custom' } },
      { name: 'user-data', hostPath: { path: '/state/threads/T/user-data' } },
    ],
  },
});

describe('what a caller sees of a sandbox', () => {
  it.each<[string, V1Pod | undefined, string]>([
    ['no Pod', undefined, 'NotFound'],
    ['its own Pod that is pending', phased('Pending'), 'Pending'],
    ['its own Pod that runs', phased('Running'), 'Running'],
    ['its own Pod that has succeeded', phased('Succeeded'), 'Succeeded'],
    ['its own Pod that has failed', phased('Failed'), 'Failed'],
    ['its own Pod of which the node says nothing', phased('Unknown'), 'Unknown'],
    ['its own Pod in a phase that is none', phased('Terminating'), 'Unknown'],
    ['its own Pod without a phase', phased(), 'Unknown'],
    ["the original's Pod, which has no owner", pod({}, 'Running'), 'Running'],
    ["the original's Pod with an empty list of owners", pod({ ownerReferences: [] }, 'Running'), 'Running'],
    ["another Service's Pod", pod({ ownerReferences: [owner('gone')] }, 'Running'), 'NotFound'],
    ['a Pod of two Services', pod({ ownerReferences: [owner('gone'), ...owned] }, 'Running'), 'Running'],
    ['its own Pod that terminates', pod({ ...terminating, ownerReferences: owned }, 'Running'), 'NotFound'],
    ["the original's Pod that terminates", pod(terminating, 'Running'), 'NotFound'],
  ])('with %s', (_which, itsPod, status) => {
    expect(viewSandbox('a', service, itsPod, config, now)).toStrictEqual({
      sandbox_id: 'a',
      sandbox_url: 'http://node.example:30123',
      status,
      ...findReadiness(service, itsPod, now),
      max_shell_sessions: 10,
      container_id: status === 'NotFound' ? null : 'this-pod',
      ...{ lark_cli_broker: false, thread_id: null, user_id: null, metadata: {} },
      image: null,
      created_at: '2026-11-22T11:00:00.000Z',
      expires_at: '2026-11-22T13:01:40.000Z',
    });
  });

  it.each<[string, V1Service, V1Pod | undefined, object]>([
    [
      'what is noted on its Service, and the image of its Pod',
      {
        ...service,
        metadata: {
          ...service.metadata,
          labels: { app: 'x', 'metadata.sandbox-provisioner/team': 'red', 'metadata.sandbox-provisioner/app': '' },
          annotations: { 'sandbox-provisioner/thread-id': 'T', 'sandbox-provisioner/user-id': 'alice' },
        },
      },
      {
        ...phased('Running'),
        spec: {
          containers: [
            { name: 'injected', image: 'x' },
            { name: 'sandbox', image: 'i:1' },
          ],
        },
      },
      { thread_id: 'T', user_id: 'alice', metadata: { team: 'red', app: '' }, image: 'i:1' },
    ],
    ["what the original's Pod mounts", service, mounting({}), { thread_id: 'T', user_id: 'bob', image: 'i:2' }],
    ['so while that Pod terminates', service, mounting(terminating), { thread_id: 'T', user_id: 'bob', image: null }],
    // A list does not tell what it mounts.
    [
      'not so of one with an owner',
      service,
      mounting({ ownerReferences: owned }),
      { thread_id: null, user_id: null, image: 'i:2' },
    ],
    [
      'nothing where nothing tells it',
      service,
      undefined,
      { thread_id: null, user_id: null, metadata: {}, image: null },
    ],
  ])('tells whose it is and what it is made with: %s', (_what, itsService, itsPod, expected) => {
    expect(viewSandbox('a', itsService, itsPod, config, now)).toMatchObject(expected);
  });

  it('is ready, or not and why', () => {
    const ready = {
      ...phased('Running'),
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    };
    const view = viewSandbox('a', service, ready, config, now);
    expect(view).toMatchObject({ status: 'Running', ready: true });
    expect(view).not.toHaveProperty('reason');
    const message = 'It has no Pod. The next create brings one, behind the same address.';
    expect(viewSandbox('a', service, undefined, config, now)).toMatchObject({ ready: false, reason: 'NoPod', message });
  });

  it('is NotFound while its Service is being removed, though its Pod runs', () => {
    const going = { ...service, metadata: { ...service.metadata, ...terminating } };
    expect(viewSandbox('a', going, phased('Running'), config, now)?.status).toBe('NotFound');
  });

  it('has the address of an IPv6 node in brackets, as the configuration gives it', () => {
    const view = viewSandbox('a', service, undefined, loadConfig({ NODE_HOST: '::1' }), now);
    expect(view?.sandbox_url).toBe('http://[::1]:30123');
  });

  const used = (time: string, rest = {}) => ({ annotations: { 'sandbox-provisioner/last-used-at': time, ...rest } });
  it.each<[string, V1ObjectMeta, created_at: string | null, expires_at: string | null]>([
    ['nothing is noted', {}, null, null],
    ['no use is noted', { creationTimestamp: new Date(0) }, '1970-01-01T00:00:00.000Z', null],
    ['no time is noted: the settings have it', used('2026-11-22T13:00:00.5Z'), null, '2026-11-23T13:00:00.500Z'],
    ['it is for ever', used('2026-11-22T13:00:00Z', { 'sandbox-provisioner/ttl-seconds': '0' }), null, null],
  ])('has its times, or null, where %s', (_what, metadata, created_at, expires_at) => {
    const view = viewSandbox('a', { ...service, metadata }, undefined, config, now);
    expect(view).toMatchObject({ created_at, expires_at });
  });

  it.each<[string, V1Service]>([
    ['has no NodePort yet', { spec: { ports: [{ name: 'http', port: 8080 }] } }],
    ['has the NodePort 0', { spec: { ports: [{ name: 'http', port: 8080, nodePort: 0 }] } }],
    ['has no ports', { spec: {} }],
    ['has no spec', {}],
    ['has other ports only', { spec: { ports: [{ name: 'metrics', port: 9090, nodePort: 30_001 }] } }],
  ])('is nothing while its Service %s', (_how, incomplete) => {
    expect(viewSandbox('a', incomplete, pod({}, 'Running'), config, now)).toBeUndefined();
  });

  it('leads to the port `http`, whichever place it has', () => {
    const ports = [{ name: 'metrics', port: 9090, nodePort: 30_001 }, ...service.spec.ports];
    const view = viewSandbox('a', { ...service, spec: { ports } }, undefined, config, now);
    expect(view?.sandbox_url).toBe('http://node.example:30123');
  });

  it('leads to the name of its Service within the cluster, whatever the settings say by now', () => {
    const metadata = { ...service.metadata, namespace: 'agents' };
    const spec = { type: 'ClusterIP', ports: [{ name: 'http', port: 9000 }] };
    const view = viewSandbox('a', { metadata, spec }, undefined, config, now);
    expect(view?.sandbox_url).toBe('http://sandbox-a-svc.agents.svc.cluster.local:9000');
  });

  it.each<[string | undefined, number]>([
    ['13', 13],
    [undefined, 10],
    ['0', 10],
    ['-1', 10],
    ['1.5', 10],
    ['many', 10],
  ])('tells of MAX_SHELL_SESSIONS=%s', (value, shells) => {
    const env = [
      { name: 'OTHER', value: '7' },
      { name: 'MAX_SHELL_SESSIONS', ...(value !== undefined && { value }) },
    ];
    const spec = { containers: [{ name: 'injected' }, { name: 'sandbox', env }] };
    const view = viewSandbox('a', service, { ...phased('Running'), spec }, config, now);
    expect(view?.max_shell_sessions).toBe(shells);
  });
});

describe('a Pod', () => {
  it.each<[string, V1Pod, belongs: boolean, serves: boolean]>([
    ['pending', phased('Pending'), true, true],
    ['running', phased('Running'), true, true],
    ['lost from sight', phased('Unknown'), true, true],
    ['without a phase', phased(), true, true],
    ['succeeded', phased('Succeeded'), true, false],
    ['failed', phased('Failed'), true, false],
    ["the original's", pod({}, 'Running'), true, true],
    ["another Service's", pod({ ownerReferences: [owner('gone')] }, 'Running'), false, false],
    ['terminating', pod({ ...terminating, ownerReferences: owned }, 'Running'), false, false],
    ['nameless', {}, true, true],
  ])('that is %s', (_which, itsPod, belongs, serves) => {
    expect([belongsTo(itsPod, service), isServing(itsPod, service)]).toEqual([belongs, serves]);
  });
});

describe('a Pod that never ran', () => {
  const ago = (seconds: number) => new Date(now.getTime() - seconds * 1000);
  const container = (state: object, restartCount = 0) => {
    return { name: 'sandbox', image: '', imageID: '', ready: false, restartCount, state };
  };
  const waiting = (reason?: string, restartCount = 0) =>
    container({ waiting: { ...(reason !== undefined && { reason }) } }, restartCount);
  const runs = container({ running: {} });
  const unschedulable = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable' };
  const scheduled = { type: 'PodScheduled', status: 'True' };

  it.each<[string, V1PodStatus, cannot: boolean]>([
    ['is not looked at yet', {}, false],
    ['fits no node', { conditions: [unschedulable] }, true],
    ['waits for the scheduler', { conditions: [{ ...unschedulable, reason: 'SchedulerError' }] }, false],
    ['has no image', { conditions: [scheduled], containerStatuses: [waiting('ErrImagePull')] }, true],
    ['has had none for long', { containerStatuses: [waiting('ImagePullBackOff')] }, true],
    ['has one of no legal name', { containerStatuses: [waiting('InvalidImageName')] }, true],
    ['lacks a ConfigMap', { containerStatuses: [waiting('CreateContainerConfigError')] }, true],
    ['cannot be made', { containerStatuses: [waiting('CreateContainerError')] }, true],
    ['is being made', { containerStatuses: [waiting('ContainerCreating')] }, false],
    ['waits for its init containers', { containerStatuses: [waiting('PodInitializing')] }, false],
    ['has started before', { containerStatuses: [waiting('ErrImagePull', 1)] }, false],
    ['has a container beside it that runs', { containerStatuses: [waiting('ErrImagePull'), runs] }, false],
    ['runs', { phase: 'Running', containerStatuses: [runs] }, false],
    ['has crashed', { phase: 'Running', containerStatuses: [waiting('CrashLoopBackOff', 3)] }, false],
  ])('cannot, or may still: one that %s', (_what, status, cannot) => {
    const seen = { metadata: { creationTimestamp: ago(10) }, status: { phase: 'Pending', ...status } };
    expect(cannotStart(seen, now)).toBe(cannot);
  });

  it.each([
    [60, false],
    [61, true],
  ])('cannot, where its container has been about to be made for more than a minute: %i s', (seconds, cannot) => {
    const status = { phase: 'Pending', containerStatuses: [waiting('ContainerCreating')] };
    expect(cannotStart({ metadata: { creationTimestamp: ago(seconds) }, status }, now)).toBe(cannot);
  });
});
