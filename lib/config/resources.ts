import { quantity, readQuantity } from './quantities.ts';
import type { Fields, Settings } from './setting.ts';

/** What a sandbox may use, as quantities of Kubernetes: what is kept free for it, and what it never gets more of. */
export const resourceSettings = {
  SANDBOX_CPU_REQUEST: {
    field: 'cpuRequest',
    rule: quantity,
    default: '100m',
    neededBy: 'kubernetes',
    doc: 'the CPU that is kept free for a sandbox',
  },
  SANDBOX_CPU_LIMIT: {
    field: 'cpuLimit',
    rule: quantity,
    default: '1000m',
    neededBy: 'kubernetes',
    doc: 'the most CPU that it gets',
  },
  SANDBOX_MEMORY_REQUEST: {
    field: 'memoryRequest',
    rule: quantity,
    default: '256Mi',
    neededBy: 'kubernetes',
    doc: 'the memory that is kept free for a sandbox',
  },
  SANDBOX_MEMORY_LIMIT: {
    field: 'memoryLimit',
    rule: quantity,
    default: '1Gi',
    neededBy: 'kubernetes',
    doc: 'the memory of a sandbox; a process that wants more is killed',
  },
  SANDBOX_EPHEMERAL_STORAGE_REQUEST: {
    field: 'ephemeralStorageRequest',
    rule: quantity,
    default: '500Mi',
    neededBy: 'kubernetes',
    doc: "the node's disk that is kept free for a sandbox, beside `/mnt/user-data`",
  },
  SANDBOX_EPHEMERAL_STORAGE_LIMIT: {
    field: 'ephemeralStorageLimit',
    rule: quantity,
    default: '500Mi',
    neededBy: 'kubernetes',
    doc: 'what it may write beside `/mnt/user-data`; a sandbox that writes more is evicted',
  },
} as const satisfies Settings;

/** Requests above their limits: Kubernetes would refuse every Pod. */
export function findResourceProblems(config: Fields<typeof resourceSettings>): string[] {
  const pairs = [
    ['CPU', config.cpuRequest, config.cpuLimit],
    ['MEMORY', config.memoryRequest, config.memoryLimit],
    ['EPHEMERAL_STORAGE', config.ephemeralStorageRequest, config.ephemeralStorageLimit],
  ] as const;
  return pairs
    .filter(([, request, limit]) => (readQuantity(request) ?? 0n) > (readQuantity(limit) ?? 0n))
    .map(
      ([name, request, limit]) =>
        `SANDBOX_${name}_REQUEST (${request}) must not be larger than SANDBOX_${name}_LIMIT (${limit})`,
    );
}
