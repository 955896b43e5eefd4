import { posix } from 'node:path';
import { ProvisionerError } from '../../errors.ts';
import type { ExtraMount, WholeRequest } from '../request.ts';
import { hostPaths } from './host-paths.ts';
import { skillCategories } from './skills-path.ts';

/** An extra mount that may be made; `parts` are the names from the state's root down to its folder. */
export type AllowedMount = ExtraMount & { parts: readonly string[] };

const maxExtraMounts = 10;
const larkPath = '/mnt/integrations/lark-cli';

/** Where extra mounts may be, beside the categories of skills; whether the sandbox may write there. */
const places: Readonly<Record<string, 'read-only' | 'writable'>> = {
  '/mnt/acp-workspace': 'read-only',
  [`${larkPath}/config`]: 'read-only',
  [`${larkPath}/config/locks`]: 'writable',
  [`${larkPath}/data`]: 'writable',
  [`${larkPath}/runtime`]: 'read-only',
};

/**
 * The extra mounts of a request, normalized, in its order. Throws `bad-request` for the first that must not be, with the original's
 * words where it refuses the same. Beyond the original, a folder has to be the user's, the thread's or one that is everybody's, is
 * written to only where callers do so, and lies in another as it does on the node: else the container could not be made.
 * Paths are compared as they are written: whoever else can put a symbolic link into the state can lead elsewhere.
 */
export function allowExtraMounts(request: WholeRequest, stateRoot: string | undefined): AllowedMount[] {
  if (request.extraMounts.length > maxExtraMounts) refuse(`Too many extra mounts; max is ${maxExtraMounts}`);
  const allowed: AllowedMount[] = [];
  for (const mount of request.extraMounts) {
    const { hostPath, parts } = allowHostPath(mount.hostPath, stateRoot, request);
    const containerPath = allowContainerPath(mount.containerPath, request.skillsPath);
    if (allowed.some((other) => other.containerPath === containerPath)) {
      refuse('Duplicate extra mount path', containerPath);
    }
    if (!mount.readOnly && places[containerPath] !== 'writable') refuse('Extra mount must be read-only', containerPath);
    // Wherever else a sandbox wrote, it could put a link into the way of a later mount.
    const writableFolder = `users/${request.userId}/integrations${containerPath.slice('/mnt/integrations'.length)}`;
    if (!mount.readOnly && parts.join('/') !== writableFolder) {
      refuse('Extra mount host path must be read-only', mount.hostPath);
    }
    allowed.push({ hostPath, containerPath, readOnly: mount.readOnly, parts });
  }
  for (const outer of allowed) {
    for (const inner of allowed) {
      if (!inner.containerPath.startsWith(`${outer.containerPath}/`)) continue;
      const below = inner.containerPath.slice(outer.containerPath.length + 1).split('/');
      // Into a read-only folder the runtime can only mount where a folder is, which so is that very one.
      if ([...outer.parts, ...below].join('/') !== inner.parts.join('/')) {
        refuse(`Extra mount is not in the folder that is mounted around it, ${quote(outer.hostPath)}`, inner.hostPath);
      }
    }
  }
  return allowed;
}

function allowHostPath(sent: string, stateRoot: string | undefined, request: WholeRequest) {
  const paths = hostPaths(stateRoot ?? '/');
  if (!paths.isAbsolute(sent)) refuse('Extra mount host path must be absolute', sent);
  if (/\p{Cc}/u.test(sent)) refuse('Invalid extra mount host path', sent);
  const hostPath = paths.normalize(sent).replace(/(?<=.)[\\/]+$/, '');
  const parts = stateRoot === undefined ? ['..'] : paths.relative(stateRoot, hostPath).split(paths.sep);
  if (parts[0] === '..' || paths.isAbsolute(parts.join(paths.sep))) {
    refuse('Extra mount host path is outside DeerFlow state', sent);
  }
  const [folder = '', owner, ...below] = parts;
  // A hostPath follows a symbolic link, which a sandbox can make wherever it writes.
  // To Windows, capitals make no difference.
  if (isWrittenBySandboxes(parts.join('/').toLowerCase())) refuse('Invalid extra mount host path', sent);
  const isShared = folder === 'skills_view' || folder === 'integrations';
  const isOwn =
    (folder === 'users' && owner === request.userId) || (folder === 'threads' && owner === request.threadId);
  if (isShared || (isOwn && below.length > 0)) return { hostPath, parts };
  if (below.length > 0 && (folder === 'users' || folder === 'threads')) {
    refuse(`Extra mount host path belongs to another ${folder === 'users' ? 'user' : 'thread'}`, sent);
  }
  return refuse('Invalid extra mount host path', sent);
}

/** Whether a path lies below a folder that sandboxes write to. */
const isWrittenBySandboxes = (path: string): boolean =>
  /(^|\/)user-data\/|^users\/[^/]+\/integrations\/lark-cli\/(data|config\/locks)\//.test(`${path}/`) &&
  !/^users\/[^/]+\/integrations\/lark-cli\/(data|config\/locks)$/.test(path);

function allowContainerPath(sent: string, skillsPath: string): string {
  if (!sent.startsWith('/')) refuse('Extra mount path must be absolute', sent);
  const path = posix.normalize(sent).replace(/(?<=.)\/+$/, '');
  const isCategory = skillCategories.some((category) => path === `${skillsPath}/${category}`);
  if (sent.startsWith('//') || !(isCategory || Object.hasOwn(places, path))) {
    refuse('Unsupported extra mount path', sent);
  }
  return path;
}

function refuse(what: string, path?: string): never {
  throw new ProvisionerError('bad-request', path === undefined ? what : `${what}: ${quote(path)}`);
}

/** As much of a path as helps its sender. */
const quote = (path: string): string => (path.length <= 256 ? path : `${path.slice(0, 256)}…`);
