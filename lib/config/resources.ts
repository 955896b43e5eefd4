import type * as z from 'zod/mini';
import { withDefault } from './fields.ts';
import { quantity, readQuantity } from './quantities.ts';

/** What a sandbox may use, as quantities of Kubernetes: what is kept free for it, and what it never gets more of. */
export type ResourceConfig = Readonly<{
  cpuRequest: string;
  cpuLimit: string;
  memoryRequest: string;
  memoryLimit: string;
  ephemeralStorageRequest: string;
  ephemeralStorageLimit: string;
}>;

/** The settings of what a sandbox may use. */
export const resourceSettings = {
  SANDBOX_CPU_REQUEST: withDefault(quantity, '100m'),
  SANDBOX_CPU_LIMIT: withDefault(quantity, '1000m'),
  SANDBOX_MEMORY_REQUEST: withDefault(quantity, '256Mi'),
  SANDBOX_MEMORY_LIMIT: withDefault(quantity, '1Gi'),
  SANDBOX_EPHEMERAL_STORAGE_REQUEST: withDefault(quantity, '500Mi'),
  SANDBOX_EPHEMERAL_STORAGE_LIMIT: withDefault(quantity, '500Mi'),
};

type Values = z.infer<z.ZodMiniObject<typeof resourceSettings>>;

/** What the settings of what a sandbox may use mean. */
export const readResourceConfig = (values: Values): ResourceConfig => ({
  cpuRequest: values.SANDBOX_CPU_REQUEST,
  cpuLimit: values.SANDBOX_CPU_LIMIT,
  memoryRequest: values.SANDBOX_MEMORY_REQUEST,
  memoryLimit: values.SANDBOX_MEMORY_LIMIT,
  ephemeralStorageRequest: values.SANDBOX_EPHEMERAL_STORAGE_REQUEST,
  ephemeralStorageLimit: values.SANDBOX_EPHEMERAL_STORAGE_LIMIT,
});

/** Requests above their limits: Kubernetes would refuse every Pod. */
export function findResourceProblems(config: ResourceConfig): string[] {
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
