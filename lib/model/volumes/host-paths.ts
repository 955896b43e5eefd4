import { type PlatformPath, posix, win32 } from 'node:path';

/** How paths are written where this one is: a node of Docker Desktop on Windows has its own way. */
export const hostPaths = (root: string): PlatformPath => (/^[A-Za-z]:[\\/]|\\/.test(root) ? win32 : posix);
