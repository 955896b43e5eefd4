import fs from 'node:fs';
import { promisify } from 'node:util';
import { type CachedValue, cacheValue } from '../../cached-value.ts';
import { log } from '../../log.ts';

/**
 * Node's own, which give promises. Not from `node:fs/promises`: that brings streams and `readline` with it, some 2 ms of each
 * cold start.
 */
export const [readFile, stat] = [promisify(fs.readFile), promisify(fs.stat)];

/** How long what was read of a file is good, in milliseconds. */
export const fileGoodForMs = 1000;

/**
 * A text file that somebody may replace under us: what is in it, as of a second ago at most. What it was, where it cannot be read
 * any more or is empty, as a file is that is about to be written: that is logged once. Throws if there never was anything to
 * read.
 */
export const watchFile = (path: string, now: () => Date): CachedValue<string> =>
  cacheValue({
    async read() {
      const text = await readFile(path, 'utf8');
      if (text.trim() === '') throw Object.assign(new Error('The file is empty'), { code: 'EMPTY', path });
      return text;
    },
    goodForMs: fileGoodForMs,
    retryAfterMs: fileGoodForMs,
    onStale(error) {
      const { code } = error as NodeJS.ErrnoException;
      log.warn('A file of the credentials cannot be read again', { path, code });
    },
    now,
  });
