import type { Metadata } from './metadata.ts';
import type { SandboxView } from './status.ts';

/** A folder of DeerFlow's state that a request asks for beside the usual ones, as it was sent. */
export type ExtraMount = Readonly<{ hostPath: string; containerPath: string; readOnly: boolean }>;

/** What a request may say of itself; where it does not, `requestDefaults` says it. */
type Choices = Readonly<{
  userId: string;
  extraMounts: readonly ExtraMount[];
  /** Where the skills are mounted. */
  skillsPath: string;
  includeLegacySkills: boolean;
  larkRuntime: boolean;
  larkBroker: boolean;
  metadata: Metadata;
}>;

/**
 * A request for a sandbox whose form is right; its paths are judged by the settings, in `buildVolumes`. Without `ttlSeconds` the
 * sandbox lives as long as the settings, or an earlier request, say; without `maxShellSessions` its image decides.
 */
export type CreateSandboxRequest = Readonly<{
  sandboxId: string;
  threadId: string;
  ttlSeconds?: number | undefined;
  maxShellSessions?: number | undefined;
  /** For how long the answer may wait for the sandbox to be ready. */
  waitSeconds?: number;
}> &
  Partial<Omit<Choices, 'userId'>> & {
    /** Undefined where nobody said whose it is: as an older caller, which knows no users. */
    readonly userId?: string | undefined;
  };

/** The same, with everything that it may say. */
export type WholeRequest = CreateSandboxRequest & Choices;

/**
 * Which sandboxes a list is to have: those whose views have all of this. What Kubernetes can select by is `metadata` alone: it keeps the
 * owners in annotations, and the rest is judged by the Pod.
 */
export type ListFilter = Readonly<{
  status?: SandboxView['status'] | undefined;
  ready?: boolean | undefined;
  threadId?: string | undefined;
  userId?: string | undefined;
  metadata?: Metadata | undefined;
}>;

/** A page of a list: how many at most, and from where on. */
export type PageRequest = Readonly<{ limit: number; continueToken?: string | undefined }>;

/** What the original takes where a caller says nothing: an older one knows no users and no other place for skills. */
export const requestDefaults: Choices = {
  userId: 'default',
  extraMounts: [],
  skillsPath: '/mnt/skills',
  includeLegacySkills: false,
  larkRuntime: false,
  larkBroker: false,
  metadata: {},
};

/** Which part of which log: so many of its last lines; of the run before the last start, or of the last one; of this container. */
export type LogRequest = Readonly<{ tail: number; previous: boolean; container: string }>;

/** What a URL is asked for: for how long, and of which port; undefined: of the sandbox's own. */
export type UrlRequest = Readonly<{ ttlSeconds: number; port?: number | undefined }>;
