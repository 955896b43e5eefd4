import type { V1ObjectMeta } from '@kubernetes/client-node';

/** What a list tells of an object whatever its kind. */
export type ListedMetadata = Pick<
  V1ObjectMeta,
  'name' | 'uid' | 'resourceVersion' | 'labels' | 'annotations' | 'creationTimestamp' | 'deletionTimestamp'
> & { ownerReferences?: { uid?: string }[] };

/** What a list tells of a Pod, and all that anything is judged by. A whole one, a `V1Pod`, does as well. */
export type ListedPod = {
  metadata?: ListedMetadata;
  spec?: { volumes?: { name?: string; hostPath?: { path?: string } }[] };
  status?: {
    phase?: string;
    conditions?: { lastTransitionTime?: Date }[];
    containerStatuses?: { state?: { terminated?: { finishedAt?: Date } } }[];
  };
};

/** The same of a Service. */
export type ListedService = {
  metadata?: ListedMetadata;
  spec?: { ports?: { name?: string; nodePort?: number }[] };
};
