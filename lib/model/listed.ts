import type { V1ObjectMeta } from '@kubernetes/client-node';
import {
  lastUsedAtAnnotation,
  type metadataPrefix,
  sandboxIdLabel,
  specHashAnnotation,
  threadIdAnnotation,
  ttlSecondsAnnotation,
  userIdAnnotation,
} from './names.ts';

/** The labels, beside those of the metadata, and the annotations that a list tells of. */
export const listedLabels = ['app', sandboxIdLabel] as const;
export const listedAnnotations = [
  threadIdAnnotation,
  userIdAnnotation,
  lastUsedAtAnnotation,
  ttlSecondsAnnotation,
  specHashAnnotation,
] as const;

/** What a list tells of an object whatever its kind. */
export type ListedMetadata = Pick<
  V1ObjectMeta,
  'name' | 'namespace' | 'uid' | 'resourceVersion' | 'creationTimestamp' | 'deletionTimestamp'
> & {
  labels?: Partial<Record<(typeof listedLabels)[number] | `${typeof metadataPrefix}${string}`, string>>;
  annotations?: Partial<Record<(typeof listedAnnotations)[number], string>>;
  ownerReferences?: { uid?: string }[];
};

/** What a list tells of how a container is, or was before it was started again. */
export type ListedState = {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: Date };
  terminated?: { exitCode?: number; reason?: string; finishedAt?: Date };
};

/**
 * What a list tells of a Pod, and all that anything is judged by: its volumes and mounts where it has no owner; its containers'
 * states where it is not ready; why it ended where it has. A whole one, a `V1Pod`, does as well.
 */
export type ListedPod = {
  metadata?: ListedMetadata;
  spec?: {
    volumes?: { name?: string; hostPath?: { path?: string } }[];
    containers?: {
      name?: string;
      image?: string;
      env?: { name?: string; value?: string }[];
      volumeMounts?: { mountPath?: string; subPath?: string }[];
    }[];
  };
  status?: {
    phase?: string;
    message?: string;
    reason?: string;
    conditions?: { type?: string; status?: string; lastTransitionTime?: Date; reason?: string; message?: string }[];
    containerStatuses?: {
      name?: string;
      state?: ListedState;
      lastState?: ListedState;
      ready?: boolean;
      restartCount?: number;
      started?: boolean;
    }[];
  };
};

/** The same of a Service. */
export type ListedService = {
  metadata?: ListedMetadata;
  spec?: { type?: string; ports?: { name?: string; port?: number; nodePort?: number }[] };
};
