import { expect, it } from 'vitest';
import { type KubernetesEvent, sortEvents, viewEvent } from '../../lib/model/events.ts';
import { seenPods } from './reasons-fixtures.ts';

const [pulling, backOff, , notPulled, pullFailed] = seenPods['unknown registry, later'].events ?? [];
const [folder] = seenPods['missing folder'].events ?? [];
const pod = 'Pod deer-flow/sandbox-a of node-1';

it.each<[KubernetesEvent | undefined, message: string]>([
  [{ reason: 'Scheduled', message: 'Successfully assigned deer-flow/sandbox-a to node-1' }, 'A node was found for it.'],
  [
    { reason: 'FailedScheduling', message: '0/1 nodes are available: 1 Insufficient cpu.' },
    'No node takes it. They lack: CPU.',
  ],
  [pulling, 'Its image is being pulled.'],
  [pullFailed, 'Its image cannot be pulled: its registry does not answer.'],
  [notPulled, 'Its image cannot be pulled.'],
  [backOff, 'Its image cannot be pulled, and is tried again later.'],
  [
    { reason: 'BackOff', message: 'Back-off restarting failed container' },
    'Its process has ended, and is started again later.',
  ],
  [folder, "The volume 'skills' cannot be mounted: its folder is not on the node."],
  [
    { reason: 'Failed', message: 'Error: configmap "absent" not found' },
    'Its container cannot be made or started: something that it refers to is not there.',
  ],
  [
    {
      reason: 'InspectFailed',
      message: 'Failed to apply default image tag "A/B": couldn\'t parse image reference "A/B"',
    },
    'The name of its image is no legal one.',
  ],
  [
    { reason: 'Unhealthy', message: 'Startup probe failed: Get "http://10.0.0.7:8080/v1/sandbox": dial tcp' },
    'Its process did not answer a probe.',
  ],
  [
    { reason: 'Killing', message: 'Container sandbox failed liveness probe, will be restarted' },
    'Its process did not answer, and is started again.',
  ],
  [{ reason: 'Killing', message: 'Stopping container sandbox' }, 'Its container is being ended.'],
  [
    { reason: 'Evicted', message: 'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ' },
    'Its Pod was evicted: it wrote more to the disk than it may.',
  ],
  // What we do not know keeps Kubernetes' plain words.
  [
    { reason: 'Odd', message: `Could not, within 30s, attach ${pod}: is (10.0.0.7:53) up` },
    'Could not, within 30s, attach Pod … of … is … up',
  ],
  [{ reason: 'Odd', message: 'See https://a.example/b /srv/x fe80::1 "secret" 0b9bd1ea-4b8b a.b.example' }, 'See …'],
  [{ reason: 'constructor', message: '' }, ''],
])('%j says: %s', (event, message) => {
  expect(viewEvent(event ?? {})).toMatchObject({ reason: event?.reason, message, type: 'Normal' });
});

const at = (seconds: number, fraction = '') => `2026-11-25T18:00:0${seconds}${fraction}Z`;

it.each<[string, KubernetesEvent, object]>([
  [
    'the kubelet',
    { type: 'Warning', count: 3, firstTimestamp: at(1), lastTimestamp: at(4) },
    { type: 'Warning', count: 3, first_seen: at(1, '.000'), last_seen: at(4, '.000') },
  ],
  [
    'a newer component, once',
    { firstTimestamp: null, lastTimestamp: null, eventTime: at(2, '.345678'), series: null },
    { count: 1, first_seen: at(2, '.345'), last_seen: at(2, '.345') },
  ],
  [
    'a newer component, often',
    { eventTime: at(2), series: { count: 7, lastObservedTime: at(5) } },
    { count: 7, first_seen: at(2, '.000'), last_seen: at(5, '.000') },
  ],
  [
    'who says no time',
    { count: 0, metadata: { creationTimestamp: at(3) } },
    { count: 1, first_seen: at(3, '.000'), last_seen: at(3, '.000') },
  ],
  ['who says nothing', { reason: 'a b' }, { reason: 'Unknown', count: 1, first_seen: null, last_seen: null }],
])('how often and when, of %s', (_what, event, expected) => {
  expect(viewEvent(event)).toMatchObject(expected);
});

it('come newest first; those of one second in the order in which they were first seen', () => {
  const listed: KubernetesEvent[] = [
    { reason: 'repeated', firstTimestamp: at(0), lastTimestamp: at(9) },
    { reason: 'scheduled', eventTime: at(1, '.900000') },
    { reason: 'pulled', firstTimestamp: at(1), lastTimestamp: at(1) },
    { reason: 'started', firstTimestamp: at(2), lastTimestamp: at(2) },
  ];
  expect(sortEvents(listed).map(({ reason }) => reason)).toEqual(['repeated', 'started', 'pulled', 'scheduled']);
});
