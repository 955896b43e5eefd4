import type { V1ObjectMeta } from '@kubernetes/client-node';
import { lastUsedAtAnnotation, sandboxIdLabel, threadIdAnnotation, ttlSecondsAnnotation } from './names.ts';

/** The labels and annotations that a list tells of. */
export const listedLabels = ['app', sandboxIdLabel] as const;
export const listedAnnotations = [threadIdAnnotation, lastUsedAtAnnotation, ttlSecondsAnnotation] as const;

/** What a list tells of an object whatever its kind. */
export type ListedMetadata = Pick<
  V1ObjectMeta,
  'name' | 'namespace' | 'uid' | 'resourceVersion' | 'creationTimestamp' | 'deletionTimestamp'
> & {
  labels?: Partial<Record<(typeof listedLabels)[number], string>>;
  annotations?: Partial<Record<(typeof listedAnnotations)[number], string>>;
  ownerReferences?: { uid?: string }[];
};

/**
 * What a list tells of a Pod, and all that anything is judged by: its volumes and mounts where it has no owner, its conditions and
 * containers' states where it does not run and does not begin to. A whole one, a `V1Pod`, does as well.
 */
export type ListedPod = {
  metadata?: ListedMetadata;
  spec?: {
    volumes?: { name?: string; hostPath?: { path?: string } }[];
    containers?: {
      name?: string;
      env?: { name?: string; value?: string }[];
      volumeMounts?: { mountPath?: string; subPath?: string }[];
    }[];
  };
  status?: {
    phase?: string;
    conditions?: { lastTransitionTime?: Date }[];
    containerStatuses?: { state?: { terminated?: { finishedAt?: Date } } }[];
  };
};

/** The same of a Service. */
export type ListedService = {
  metadata?: ListedMetadata;
  spec?: { type?: string; ports?: { name?: string; port?: number; nodePort?: number }[] };
};
