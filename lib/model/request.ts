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
}> &
  Partial<Choices>;

/** The same, with everything that it may say. */
export type WholeRequest = CreateSandboxRequest & Choices;

/** What the original takes where a caller says nothing: an older one knows no users and no other place for skills. */
export const requestDefaults: Choices = {
  userId: 'default',
  extraMounts: [],
  skillsPath: '/mnt/skills',
  includeLegacySkills: false,
  larkRuntime: false,
  larkBroker: false,
};
