import { posix } from 'node:path';
import { hostPaths } from '../model/volumes/host-paths.ts';
import { isSubPathTemplate, type VolumeSources } from '../model/volumes/sources.ts';
import { hostPath, matching, meaning, oneOf, passing } from './rules.ts';
import type { Settings, Values } from './setting.ts';

const claimName = () =>
  matching(
    /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/,
    'must be the name of a PersistentVolumeClaim (RFC 1123 subdomain)',
  );

/** A folder without the slashes at its end; the root of a drive keeps its own. */
const folder = () => meaning(hostPath(), (path) => path.replace(/(?<=[^:\\/])[\\/]+$/, ''));

/** What a sandbox mounts. */
export const volumeSettings = {
  SKILLS_PVC_NAME: {
    rule: claimName,
    neededBy: 'kubernetes',
    doc: 'the PersistentVolumeClaim with all skills. It goes before the two settings below',
  },
  SKILLS_PVC_SUBPATH_TEMPLATE: {
    rule: () =>
      passing([
        isSubPathTemplate,
        "must be a relative path without '..', with nothing but {user_id} and {thread_id} in braces",
      ]),
    neededBy: 'kubernetes',
    doc: 'the folder of that claim that a sandbox sees, such as `users/{user_id}/skills`; unset: all of it',
  },
  SKILLS_HOST_PATH: {
    rule: hostPath,
    neededBy: 'kubernetes',
    unset: '`/skills`, where `DEER_FLOW_HOST_BASE_DIR` is unset as well',
    doc: 'the folder on the node that sandboxes see as `/mnt/skills`, read-only. **It must exist on every node**, or Pods stay `Pending` for ever',
  },
  DEER_FLOW_HOST_BASE_DIR: {
    rule: folder,
    neededBy: 'kubernetes',
    doc: "DeerFlow's state on the node: [each user's skills, user data and what callers ask to mount](own-cluster.md#where-the-files-lie)",
  },
  USERDATA_PVC_NAME: {
    rule: claimName,
    neededBy: 'kubernetes',
    doc: "the PersistentVolumeClaim with DeerFlow's state in its folder `deer-flow`. Threads' files and what callers ask to mount are there then",
  },
  USER_DATA_LAYOUT: {
    rule: () => oneOf('users', 'threads'),
    neededBy: 'kubernetes',
    unset: '`users` where `DEER_FLOW_HOST_BASE_DIR` is set, `threads` otherwise',
    doc: "where a thread's files are on the node: `users`, where DeerFlow's gateway writes them, or `threads`, in `THREADS_HOST_PATH`, where the original provisioner has them. [Choose `threads` if there are such files](own-cluster.md#where-the-files-lie)",
  },
  THREADS_HOST_PATH: {
    rule: folder,
    default: '/.deer-flow/threads',
    neededBy: 'kubernetes',
    doc: "the folder on the node with the threads' files; `{thread_id}/user-data` in it becomes `/mnt/user-data`. [Each node has its own](own-cluster.md#where-the-files-lie)",
  },
} as const satisfies Settings;

/**
 * What they mean. Skills are where the first of these says that is set: SKILLS_PVC_NAME, SKILLS_HOST_PATH, DEER_FLOW_HOST_BASE_DIR;
 * else where the original once had them. User data is where DeerFlow's gateway writes it if it is known where that is, unless
 * USER_DATA_LAYOUT says `threads`: there the original puts it.
 */
export function readVolumes(values: Values<typeof volumeSettings>): VolumeSources {
  const { SKILLS_PVC_NAME, SKILLS_HOST_PATH, DEER_FLOW_HOST_BASE_DIR: state, USERDATA_PVC_NAME } = values;
  const threads = values.THREADS_HOST_PATH;
  return {
    skills:
      SKILLS_PVC_NAME !== undefined
        ? { in: 'claim', claim: SKILLS_PVC_NAME, subPathTemplate: values.SKILLS_PVC_SUBPATH_TEMPLATE }
        : SKILLS_HOST_PATH === undefined && state !== undefined
          ? { in: 'projections', root: state }
          : { in: 'folder', path: SKILLS_HOST_PATH ?? '/skills' },
    userData:
      USERDATA_PVC_NAME !== undefined
        ? { in: 'claim', claim: USERDATA_PVC_NAME }
        : state !== undefined && values.USER_DATA_LAYOUT !== 'threads'
          ? { in: 'users', root: state }
          : { in: 'threads', root: threads },
    stateRoot: state ?? findStateRoot(threads),
  };
}

/** The folder of the threads is in the state's, if it has its name; the root of the node is nobody's state. */
function findStateRoot(threads: string): string | undefined {
  const { basename, dirname } = hostPaths(threads);
  const root = dirname(threads);
  return basename(threads) === 'threads' && root !== dirname(root) ? root : undefined;
}

/** What is wrong with them together, where each for itself is right. */
export function findVolumeProblems(values: Values<typeof volumeSettings>): string[] {
  const { SKILLS_PVC_NAME: skills, SKILLS_PVC_SUBPATH_TEMPLATE: template, USERDATA_PVC_NAME: userData } = values;
  const problems: string[] = [];
  if (template !== undefined && skills === undefined) {
    problems.push('SKILLS_PVC_SUBPATH_TEMPLATE is of no use without SKILLS_PVC_NAME');
  }
  if (skills !== undefined && skills === userData && showsAllUsers(template)) {
    problems.push(
      "SKILLS_PVC_SUBPATH_TEMPLATE must be set, to no folder around users', where SKILLS_PVC_NAME is USERDATA_PVC_NAME: every sandbox would see all users' files",
    );
  }
  if (values.USER_DATA_LAYOUT === 'threads' && userData !== undefined) {
    problems.push('USER_DATA_LAYOUT=threads is of no use with USERDATA_PVC_NAME, where files are by user and thread');
  }
  if (values.USER_DATA_LAYOUT === 'users' && (values.DEER_FLOW_HOST_BASE_DIR ?? userData) === undefined) {
    problems.push('USER_DATA_LAYOUT=users needs DEER_FLOW_HOST_BASE_DIR');
  }
  return problems;
}

/** Whether a folder of DeerFlow's claim has the files of all users in it. */
function showsAllUsers(template = '.'): boolean {
  const [first, second, user = ''] = posix.normalize(template).replace(/\/$/, '').split('/');
  if (first !== 'deer-flow') return first === '.';
  return second === undefined || (second === 'users' && !user.includes('{user_id}'));
}
