import { posix } from 'node:path';
import { ProvisionerError } from '../../errors.ts';

/** The folders that DeerFlow's callers divide skills into, in the order in which they are mounted. */
export const skillCategories = ['public', 'custom', 'legacy', 'integrations'] as const;

/** What a sandbox has at fixed places. */
const reserved = ['/mnt/user-data', '/mnt/acp-workspace', '/mnt/integrations/lark-cli', '/proc', '/sys', '/dev'];

/**
 * Refuses a place for the skills that is no folder of its own, in the original's words: callers and operators look for them. Throws
 * `bad-request`.
 */
export function checkSkillsPath(path: string): void {
  if (!path.startsWith('/') || path.startsWith('//')) {
    throw new ProvisionerError('bad-request', 'The skills container path must be an absolute non-root path');
  }
  if (path === '/' || path.endsWith('/') || posix.normalize(path) !== path) {
    throw new ProvisionerError(
      'bad-request',
      "The skills container path must not be root or contain redundant separators, '.' or '..'",
    );
  }
  if (/[:\p{Cc}]/u.test(path)) {
    throw new ProvisionerError('bad-request', "The skills container path must not contain ':' or control characters");
  }
  const overlapped = reserved.find((place) => isWithin(path, place) || isWithin(place, path));
  if (overlapped === undefined) return;
  throw new ProvisionerError(
    'bad-request',
    `The skills container path '${path.slice(0, 256)}' overlaps reserved sandbox path '${overlapped}'`,
  );
}

/** Whether a path in a container is this folder, or below it. */
export const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
