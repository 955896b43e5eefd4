import { configFailures, describeScheduling, evictions, explain, pullFailures } from './reasons.ts';
import { findHindrance } from './reasons-by-events.ts';

/** An event of a Pod, as Kubernetes writes it: as far as it is told of. What newer components write has a series and no count. */
export type KubernetesEvent = {
  type?: string;
  reason?: string;
  message?: string;
  count?: number;
  firstTimestamp?: string | null;
  lastTimestamp?: string | null;
  eventTime?: string | null;
  series?: { count?: number; lastObservedTime?: string | null } | null;
  metadata?: { creationTimestamp?: string };
};

/**
 * What a caller sees of an event. `reason` is Kubernetes' own word. `message` is ours where we know the reason; otherwise Kubernetes'
 * without what is no plain word. Times are RFC 3339.
 */
export type EventView = {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  count: number;
  first_seen: string | null;
  last_seen: string | null;
};

const findFirst = ({ firstTimestamp, eventTime, metadata }: KubernetesEvent): number =>
  Date.parse(firstTimestamp ?? eventTime ?? metadata?.creationTimestamp ?? '');

const findLast = (event: KubernetesEvent): number =>
  Date.parse(event.series?.lastObservedTime ?? event.lastTimestamp ?? '') || findFirst(event);

/**
 * The events, newest first. Most tell whole seconds. Kubernetes lists them by their names, which tell when they were first seen: those
 * of one second keep that order.
 */
export function sortEvents(events: readonly KubernetesEvent[]): KubernetesEvent[] {
  const secondOf = (event: KubernetesEvent) => Math.floor((findLast(event) || 0) / 1000);
  return events.toReversed().toSorted((one, other) => secondOf(other) - secondOf(one));
}

/** What a caller sees of an event. */
export function viewEvent(event: KubernetesEvent): EventView {
  const { type, reason = '', message = '', count, series } = event;
  const toTime = (milliseconds: number) => (milliseconds ? new Date(milliseconds).toISOString() : null);
  return {
    type: type === 'Warning' ? type : 'Normal',
    reason: /^[A-Za-z]{1,60}$/.test(reason) ? reason : 'Unknown',
    message: describeEvent(reason, message) ?? clean(message),
    count: series?.count || count || 1,
    first_seen: toTime(findFirst(event)),
    last_seen: toTime(findLast(event)),
  };
}

/** What an event means whatever its message. */
const meanings: Readonly<Record<string, string>> = {
  Scheduled: 'A node was found for it.',
  Pulled: 'Its image is on the node.',
  Created: 'Its container was made.',
  Started: 'Its container was started.',
  Unhealthy: 'Its process did not answer a probe.',
  NodeNotReady: 'Its node has stopped reporting.',
  Preempted: 'It had to make room for a Pod of a higher priority.',
  TaintManagerEviction: 'Its node takes it no longer (taints).',
};

/** What an event means, in a sentence that names nothing of the cluster's; undefined where we do not know it. */
function describeEvent(reason: string, message: string): string | undefined {
  const hindrance = findHindrance([{ reason, message }]);
  if (hindrance !== undefined && !hindrance.ready) return hindrance.message;
  switch (reason) {
    case 'FailedScheduling':
      return describeScheduling({ reason: 'Unschedulable', message }).message;
    case 'InspectFailed':
      return /couldn't parse/.test(message) ? 'The name of its image is no legal one.' : undefined;
    case 'Failed':
      return /pull/i.test(message)
        ? `Its image cannot be pulled${explain(pullFailures, message)}.`
        : `Its container cannot be made or started${explain(configFailures, message)}.`;
    case 'BackOff':
      return /pull/i.test(message)
        ? 'Its image cannot be pulled, and is tried again later.'
        : 'Its process has ended, and is started again later.';
    case 'Killing':
      return /probe/.test(message)
        ? 'Its process did not answer, and is started again.'
        : 'Its container is being ended.';
    case 'Evicted':
      return `Its Pod was evicted${explain(evictions, message)}.`;
    default:
      return Object.hasOwn(meanings, reason) ? meanings[reason] : undefined;
  }
}

/** A word, a small number or a time span; with a bracket before and punctuation behind. Paths, addresses, names, ids are none. */
const plainWord = /^\(?(?:[A-Za-z]+(?:'[a-z]+)?|\d{1,5}[a-zA-Z%]{0,2})[)]?[.,:;]?$/;

/** At most 200 characters of a text of Kubernetes', with a mark in the place of what is no plain word. */
function clean(message: string): string {
  const words = message
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => (plainWord.test(word) ? word : '…'));
  return words
    .filter((word, index) => word !== '…' || words[index - 1] !== '…')
    .join(' ')
    .slice(0, 200);
}
