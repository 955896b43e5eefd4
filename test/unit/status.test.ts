import type { V1ObjectMeta, V1Pod, V1PodStatus, V1Service } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { belongsTo } from '../../lib/model/ownership.ts';
import { cannotStart, findNodePort, isServing, viewSandbox } from '../../lib/model/status.ts';

const config = loadConfig({ NODE_HOST: 'node.example' });

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
const terminating = { deletionTimestamp: new Date('2026-11-22T12:00:00Z') };
const pod = (metadata: V1Pod['metadata'], phase?: string): V1Pod => ({
  metadata: { name: 'sandbox-a', ...metadata },
  ...(phase !== undefined && { status: { phase } }),
});

describe('what a caller sees of a sandbox', () => {
  it.each<[string, V1Pod | undefined, string]>([
    ['no Pod', undefined, 'NotFound'],
    ['its own Pod that is pending', pod({ ownerReferences: owned }, 'Pending'), 'Pending'],
    ['its own Pod that runs', pod({ ownerReferences: owned }, 'Running'), 'Running'],
    ['its own Pod that has succeeded', pod({ ownerReferences: owned }, 'Succeeded'), 'Succeeded'],
    ['its own Pod that has failed', pod({ ownerReferences: owned }, 'Failed'), 'Failed'],
    ['its own Pod of which the node says nothing', pod({ ownerReferences: owned }, 'Unknown'), 'Unknown'],
    ['its own Pod in a phase that is none', pod({ ownerReferences: owned }, 'Terminating'), 'Unknown'],
    ['its own Pod without a phase', pod({ ownerReferences: owned }), 'Unknown'],
    ["the original's Pod, which has no owner", pod({}, 'Running'), 'Running'],
    ["the original's Pod with an empty list of owners", pod({ ownerReferences: [] }, 'Running'), 'Running'],
    ["another Service's Pod", pod({ ownerReferences: [owner('gone')] }, 'Running'), 'NotFound'],
    [
      'a Pod of two Services, this one among them',
      pod({ ownerReferences: [owner('gone'), ...owned] }, 'Running'),
      'Running',
    ],
    ['its own Pod that terminates', pod({ ...terminating, ownerReferences: owned }, 'Running'), 'NotFound'],
    ["the original's Pod that terminates", pod(terminating, 'Running'), 'NotFound'],
  ])('with %s', (_which, itsPod, status) => {
    expect(viewSandbox('a', service, itsPod, config)).toStrictEqual({
      sandbox_id: 'a',
      sandbox_url: 'http://node.example:30123',
      status,
      created_at: '2026-11-22T11:00:00.000Z',
      expires_at: '2026-11-22T13:01:40.000Z',
    });
  });

  it('is NotFound while its Service is being removed, though its Pod runs', () => {
    const going = { ...service, metadata: { ...service.metadata, ...terminating } };
    expect(viewSandbox('a', going, pod({ ownerReferences: owned }, 'Running'), config)?.status).toBe('NotFound');
  });

  it('has the address of an IPv6 node in brackets, as the configuration gives it', () => {
    expect(viewSandbox('a', service, undefined, loadConfig({ NODE_HOST: '::1' }))?.sandbox_url).toBe(
      'http://[::1]:30123',
    );
  });

  it.each<[string, V1ObjectMeta, { created_at: string | null; expires_at: string | null }]>([
    ['nothing is noted', {}, { created_at: null, expires_at: null }],
    [
      'no use is noted',
      { creationTimestamp: new Date(0) },
      { created_at: '1970-01-01T00:00:00.000Z', expires_at: null },
    ],
    [
      'no time is noted: the settings have it',
      { annotations: { 'sandbox-provisioner/last-used-at': '2026-11-22T13:00:00.5Z' } },
      { created_at: null, expires_at: '2026-11-23T13:00:00.500Z' },
    ],
    [
      'it is to live for ever',
      {
        annotations: {
          'sandbox-provisioner/last-used-at': '2026-11-22T13:00:00Z',
          'sandbox-provisioner/ttl-seconds': '0',
        },
      },
      { created_at: null, expires_at: null },
    ],
  ])('has its times, or null, where %s', (_what, metadata, times) => {
    expect(viewSandbox('a', { ...service, metadata }, undefined, config)).toMatchObject(times);
  });

  it.each<[string, V1Service]>([
    ['has no NodePort yet', { spec: { ports: [{ name: 'http', port: 8080 }] } }],
    ['has the NodePort 0', { spec: { ports: [{ name: 'http', port: 8080, nodePort: 0 }] } }],
    ['has no ports', { spec: {} }],
    ['has no spec', {}],
    ['has other ports only', { spec: { ports: [{ name: 'metrics', port: 9090, nodePort: 30_001 }] } }],
  ])('is nothing while its Service %s', (_how, incomplete) => {
    expect(findNodePort(incomplete)).toBeUndefined();
    expect(viewSandbox('a', incomplete, pod({}, 'Running'), config)).toBeUndefined();
  });

  it('leads to the port `http`, whichever place it has', () => {
    const ports = [{ name: 'metrics', port: 9090, nodePort: 30_001 }, ...service.spec.ports];
    expect(findNodePort({ spec: { ports } })).toBe(30_123);
  });
});

describe('a Pod', () => {
  it.each<[string, V1Pod, { belongs: boolean; serves: boolean }]>([
    ['pending', pod({ ownerReferences: owned }, 'Pending'), { belongs: true, serves: true }],
    ['running', pod({ ownerReferences: owned }, 'Running'), { belongs: true, serves: true }],
    ['lost from sight', pod({ ownerReferences: owned }, 'Unknown'), { belongs: true, serves: true }],
    ['without a phase', pod({ ownerReferences: owned }), { belongs: true, serves: true }],
    ['succeeded', pod({ ownerReferences: owned }, 'Succeeded'), { belongs: true, serves: false }],
    ['failed', pod({ ownerReferences: owned }, 'Failed'), { belongs: true, serves: false }],
    ["the original's", pod({}, 'Running'), { belongs: true, serves: true }],
    ["another Service's", pod({ ownerReferences: [owner('gone')] }, 'Running'), { belongs: false, serves: false }],
    ['terminating', pod({ ...terminating, ownerReferences: owned }, 'Running'), { belongs: false, serves: false }],
    ['nameless', {}, { belongs: true, serves: true }],
  ])('that is %s', (_which, itsPod, { belongs, serves }) => {
    expect({ belongs: belongsTo(itsPod, service), serves: isServing(itsPod, service) }).toEqual({ belongs, serves });
  });
});

describe('a Pod that never ran', () => {
  const now = new Date('2026-11-22T12:00:00Z');
  const ago = (seconds: number) => new Date(now.getTime() - seconds * 1000);
  const waiting = (reason?: string, rest: object = {}) => ({
    name: 'sandbox',
    image: '',
    imageID: '',
    ready: false,
    restartCount: 0,
    state: { waiting: { ...(reason !== undefined && { reason }) } },
    ...rest,
  });
  const unschedulable = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable' };
  const scheduled = { type: 'PodScheduled', status: 'True' };

  it.each<[string, V1PodStatus, boolean]>([
    ['is not looked at yet', { phase: 'Pending' }, false],
    ['fits no node', { phase: 'Pending', conditions: [unschedulable] }, true],
    [
      'waits for the scheduler',
      { phase: 'Pending', conditions: [{ ...unschedulable, reason: 'SchedulerError' }] },
      false,
    ],
    ['has no image', { phase: 'Pending', conditions: [scheduled], containerStatuses: [waiting('ErrImagePull')] }, true],
    ['has had none for long', { phase: 'Pending', containerStatuses: [waiting('ImagePullBackOff')] }, true],
    ['has one of no legal name', { phase: 'Pending', containerStatuses: [waiting('InvalidImageName')] }, true],
    ['lacks a ConfigMap', { phase: 'Pending', containerStatuses: [waiting('CreateContainerConfigError')] }, true],
    ['cannot be made', { phase: 'Pending', containerStatuses: [waiting('CreateContainerError')] }, true],
    ['is being made', { phase: 'Pending', containerStatuses: [waiting('ContainerCreating')] }, false],
    ['waits for its init containers', { phase: 'Pending', containerStatuses: [waiting('PodInitializing')] }, false],
    [
      'has started before',
      { phase: 'Pending', containerStatuses: [waiting('ErrImagePull', { restartCount: 1 })] },
      false,
    ],
    [
      'has a container beside it that runs',
      { phase: 'Pending', containerStatuses: [waiting('ErrImagePull'), waiting('', { state: { running: {} } })] },
      false,
    ],
    ['runs', { phase: 'Running', containerStatuses: [waiting('', { state: { running: {} } })] }, false],
    ['has crashed', { phase: 'Running', containerStatuses: [waiting('CrashLoopBackOff', { restartCount: 3 })] }, false],
  ])('cannot, or may still: one that %s', (_what, status, cannot) => {
    const seen = { metadata: { creationTimestamp: ago(10) }, status };
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
