import type { Sandbox } from '../../client/index.ts';
import { statuses } from './filter.ts';

/** How many sandboxes there are: `all`, `unready`, and of each status. */
export type Counts = Readonly<Record<string, number>>;

/** How many there were at a time, in milliseconds since 1970. */
export type Sample = Readonly<{ at: number; counts: Counts }>;

/** The counts that are always shown, and those that are shown where there are some; in the order of the page. */
export const alwaysShown: readonly string[] = ['all', 'Running', 'Pending', 'Failed', 'unready'];
export const shownOrder: readonly string[] = ['all', ...statuses, 'unready'];

/** Counts them. */
export function countSandboxes(sandboxes: readonly Sandbox[]): Counts {
  const counts: Record<string, number> = { all: sandboxes.length, unready: 0 };
  for (const { status, ready } of sandboxes) {
    counts[status] = (counts[status] ?? 0) + 1;
    if (!ready) counts.unready = (counts.unready ?? 0) + 1;
  }
  return counts;
}

/** As many samples as a chart has room for. */
const mostSamples = 300;

/** Adds a sample. Where there are too many, every second of the older ones goes, so that the whole time stays in sight. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const kept = samples.length < mostSamples ? samples : samples.filter((_, index) => index % 2 === 0);
  return [...kept, sample];
}
