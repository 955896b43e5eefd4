import type { ListedPod, ListedService } from './listed.ts';
import { belongsTo } from './ownership.ts';
import { findReadiness } from './reasons.ts';
import { type SandboxStatus, statuses, statusOf } from './status.ts';

/** How many sandboxes there are, by their status (each has its number, if it is 0), and how many are not ready, by the reason. */
export type Census = { status: Record<SandboxStatus, number>; reason: Record<string, number> };

/** Counts the sandboxes of these Services. Pure. */
export function takeCensus(
  sandboxes: readonly { service: ListedService | undefined; pod: ListedPod | undefined }[],
  now: Date,
): Census {
  const census: Census = {
    status: Object.fromEntries(statuses.map((one) => [one, 0])) as Census['status'],
    reason: {},
  };
  for (const { service, pod } of sandboxes) {
    if (service === undefined) continue;
    const own = pod !== undefined && belongsTo(pod, service) ? pod : undefined;
    census.status[statusOf(service, own)] += 1;
    const readiness = findReadiness(service, pod, now);
    if (!readiness.ready) census.reason[readiness.reason] = (census.reason[readiness.reason] ?? 0) + 1;
  }
  return census;
}
