import { hostPaths } from './host-paths.ts';

/** Where the folders that a sandbox mounts are, and which layout they have. */
export type VolumeSettings = Readonly<{
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

/** What an operator has set; what is unset, or empty, is undefined. */
export type VolumeVariables = Readonly<{
  SKILLS_PVC_NAME?: string | undefined;
  SKILLS_PVC_SUBPATH_TEMPLATE?: string | undefined;
  SKILLS_HOST_PATH?: string | undefined;
  DEER_FLOW_HOST_BASE_DIR?: string | undefined;
  USERDATA_PVC_NAME?: string | undefined;
  USER_DATA_LAYOUT?: string | undefined;
  THREADS_HOST_PATH?: string | undefined;
}>;

/**
 * What the variables mean. Skills are where the first of these says that is set: SKILLS_PVC_NAME, SKILLS_HOST_PATH,
 * DEER_FLOW_HOST_BASE_DIR; else where the original once had them. User data is where DeerFlow's gateway writes it if it is known
 * where that is, unless USER_DATA_LAYOUT says `threads`: there the original puts it.
 */
export function readVolumeSettings(variables: VolumeVariables): VolumeSettings {
  const { SKILLS_PVC_NAME, SKILLS_HOST_PATH, DEER_FLOW_HOST_BASE_DIR, USERDATA_PVC_NAME } = variables;
  const state = trim(DEER_FLOW_HOST_BASE_DIR);
  const threads = trim(variables.THREADS_HOST_PATH) ?? '/.deer-flow/threads';
  const layout = variables.USER_DATA_LAYOUT ?? 'users';
  return {
    skills:
      SKILLS_PVC_NAME !== undefined
        ? { in: 'claim', claim: SKILLS_PVC_NAME, subPathTemplate: variables.SKILLS_PVC_SUBPATH_TEMPLATE }
        : SKILLS_HOST_PATH === undefined && state !== undefined
          ? { in: 'projections', root: state }
          : { in: 'folder', path: SKILLS_HOST_PATH ?? '/skills' },
    userData:
      USERDATA_PVC_NAME !== undefined
        ? { in: 'claim', claim: USERDATA_PVC_NAME }
        : state !== undefined && layout === 'users'
          ? { in: 'users', root: state }
          : { in: 'threads', root: threads },
    stateRoot: state ?? findStateRoot(threads),
  };
}

/** The folder of the threads is in the state's, if it has its name. */
function findStateRoot(threads: string): string | undefined {
  const { basename, dirname } = hostPaths(threads);
  return basename(threads) === 'threads' ? dirname(threads) : undefined;
}

const trim = (path: string | undefined): string | undefined => path?.replace(/(?<=.)[\\/]+$/, '');

/** What is wrong with these variables, each said in a sentence that names it. The paths are judged elsewhere. */
export function findVolumeProblems(variables: VolumeVariables): string[] {
  const problems: string[] = [];
  for (const name of ['SKILLS_PVC_NAME', 'USERDATA_PVC_NAME'] as const) {
    const claim = variables[name];
    if (claim !== undefined && !claimName.test(claim)) {
      problems.push(`${name} must be the name of a PersistentVolumeClaim (RFC 1123 subdomain)`);
    }
  }
  const { SKILLS_PVC_SUBPATH_TEMPLATE: template, USER_DATA_LAYOUT: layout } = variables;
  if (template !== undefined && !isSubPathTemplate(template)) {
    problems.push(
      "SKILLS_PVC_SUBPATH_TEMPLATE must be a relative path without '..', with nothing but {user_id} and {thread_id} in braces",
    );
  }
  if (template !== undefined && variables.SKILLS_PVC_NAME === undefined) {
    problems.push('SKILLS_PVC_SUBPATH_TEMPLATE is of no use without SKILLS_PVC_NAME');
  }
  if (layout !== undefined && layout !== 'users' && layout !== 'threads') {
    problems.push("USER_DATA_LAYOUT must be 'users' or 'threads'");
  }
  if (layout === 'users' && (variables.DEER_FLOW_HOST_BASE_DIR ?? variables.USERDATA_PVC_NAME) === undefined) {
    problems.push('USER_DATA_LAYOUT=users needs DEER_FLOW_HOST_BASE_DIR');
  }
  return problems;
}

const claimName = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

function isSubPathTemplate(template: string): boolean {
  const filled = fillSubPath(template, { userId: 'u', threadId: 't' });
  return !/[{}]/.test(filled) && !filled.startsWith('/') && !filled.split('/').includes('..');
}

/** The `subPath` that a template means for this user and thread. */
export const fillSubPath = (template: string, { userId, threadId }: { userId: string; threadId: string }): string =>
  template.replaceAll('{user_id}', userId).replaceAll('{thread_id}', threadId);

/** In one line, where the folders are that sandboxes mount: for the log, as defaults that cannot be right stay silent otherwise. */
export function describeVolumes({ skills, userData, stateRoot }: VolumeSettings): string {
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
