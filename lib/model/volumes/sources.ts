/** Where the folders are that a sandbox mounts, and which layout they have. */
export type VolumeSources = Readonly<{
  skills: SkillsSource;
  userData: UserDataSource;
  /** DeerFlow's state as its gateway names it: what extra mounts are below of. Undefined: there are none. */
  stateRoot: string | undefined;
}>;

/** One folder or claim with all skills, or what DeerFlow's gateway lays out for each user below its state. */
export type SkillsSource = Readonly<
  | { in: 'claim'; claim: string; subPathTemplate?: string | undefined }
  | { in: 'folder'; path: string }
  | { in: 'projections'; root: string }
>;

/** Below `root`, by the thread alone or by user and thread; or in a claim, by user and thread. */
export type UserDataSource = Readonly<
  { in: 'claim'; claim: string } | { in: 'threads'; root: string } | { in: 'users'; root: string }
>;

/** The `subPath` that a template means for this user and thread. */
export const fillSubPath = (template: string, { userId, threadId }: { userId: string; threadId: string }): string =>
  template.replaceAll('{user_id}', userId).replaceAll('{thread_id}', threadId);

/** Whether a template means a folder of the claim, for every user and thread. */
export function isSubPathTemplate(template: string): boolean {
  const filled = fillSubPath(template, { userId: 'u', threadId: 't' });
  return !/[{}]/.test(filled) && !filled.startsWith('/') && !filled.split('/').includes('..');
}

/** Whether it depends on the user what a sandbox mounts. */
export const isByUser = ({ skills, userData }: VolumeSources): boolean =>
  userData.in !== 'threads' ||
  skills.in === 'projections' ||
  (skills.in === 'claim' && (skills.subPathTemplate?.includes('{user_id}') ?? false));

/** The claims that sandboxes mount. */
export const findClaims = ({ skills, userData }: VolumeSources): string[] => [
  ...new Set([skills, userData].flatMap((source) => (source.in === 'claim' ? [source.claim] : []))),
];

/** In one line, where the folders are that sandboxes mount: defaults that cannot be right stay silent otherwise. */
export function describeVolumes({ skills, userData, stateRoot }: VolumeSources): string {
  const skillsAre =
    skills.in === 'claim'
      ? `the claim ${skills.claim}${skills.subPathTemplate ? `, ${skills.subPathTemplate}` : ''}`
      : skills.in === 'folder'
        ? skills.path
        : `each user's view below ${skills.root}`;
  const userDataIs =
    userData.in === 'claim'
      ? `the claim ${userData.claim}`
      : `${userData.root}, by ${userData.in === 'users' ? 'user and thread' : 'thread'}`;
  return `skills: ${skillsAre}; user data: ${userDataIs}; extra mounts: ${stateRoot ? `below ${stateRoot}` : 'none'}`;
}
