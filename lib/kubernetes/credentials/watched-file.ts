import fs from 'node:fs';
import { promisify } from 'node:util';
import { log } from '../../log.ts';

/**
 * Node's own, which give promises. Not from `node:fs/promises`: that brings streams and `readline` with it, some 2 ms of each
 * cold start.
 */
export const [readFile, stat] = [promisify(fs.readFile), promisify(fs.stat)];

/** How long a look at a file is good, in milliseconds: a call costs no more than this lets it. */
export const lookAgainAfterMs = 1000;

/** A text file that somebody may replace under us. */
export type WatchedFile = {
  /**
   * What is in it, as of a second ago at most. What it was, where it cannot be read any more or is empty, as a file is that is
   * about to be written: that is logged once. Throws if there never was anything to read.
   */
  read(): Promise<string>;
  /** The next `read` looks at the file again. */
  lookAgain(): void;
};

/** Watches a file by looking at it when it is asked for. */
export function watchFile(path: string, now: () => Date): WatchedFile {
  let known: { text: string; state: string } | undefined;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let isLost = false;
  return {
    async read() {
      const nowMs = now().getTime();
      if (known !== undefined && Math.abs(nowMs - lookedAtMs) < lookAgainAfterMs) return known.text;
      try {
        const state = await readFileState(path);
        if (state !== known?.state) {
          const text = await readFile(path, 'utf8');
          if (text.trim() === '') throw Object.assign(new Error('The file is empty'), { code: 'EMPTY', path });
          known = { text, state };
        }
        isLost = false;
      } catch (error) {
        if (known === undefined) throw error;
        const { code } = error as NodeJS.ErrnoException;
        if (!isLost) log.warn('A file of the credentials cannot be read again', { path, code });
        isLost = true;
      }
      lookedAtMs = nowMs;
      return known.text;
    },
    lookAgain() {
      lookedAtMs = Number.NEGATIVE_INFINITY;
    },
  };
}

/** A text that is another one once the file is another one, or has been written to. */
export async function readFileState(path: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(path);
  return [ino, size, mtimeMs].join(' ');
}
