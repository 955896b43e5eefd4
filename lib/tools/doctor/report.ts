import { parseArgs } from 'node:util';
import type { Finding, Level } from './finding.ts';

/** How the command is used. */
export const usage = `Looks at all that the provisioner needs, and says what to do about what is not well

  npm run --silent doctor -- [--sandbox] [--json]

  --sandbox   also makes a sandbox, waits until it is ready, opens it from here and removes it
  --json      prints one JSON object in place of lines

The settings are those of the environment. Ends with 0 if all is well, 1 if there are warnings, 2 if something failed; with 64 for
wrong options, and with 130 where it was interrupted.`;

export type Options = Readonly<{ sandbox: boolean; json: boolean; help: boolean }>;

/** What a person asked for; or what is wrong with it. */
export function readOptions(args: readonly string[]): Options | string {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { sandbox, json, help } = parseArgs({
      args: [...args],
      options: { sandbox: flag, json: flag, help: flag },
    }).values;
    return { sandbox, json, help };
  } catch (error) {
    return (error as Error).message;
  }
}

const words: Record<Level, string> = { ok: 'ok', warning: 'WARNING', failed: 'FAILED', skipped: '-' };

/** One finding in one line; where there is something to do, that in another. */
export function formatFinding({ check, level, message, advice, page, ms }: Finding): string {
  const time = ms === undefined ? '' : ` (${ms} ms)`;
  const line = `${words[level].padEnd(8)} ${check.padEnd(15)} ${message}${time}`;
  return advice === undefined
    ? line
    : `${line}\n${' '.repeat(9)}-> ${advice}${page === undefined ? '' : ` See ${page}`}`;
}

/** How bad it is: 0, 1 or 2, as the command ends with. */
export function judge(findings: readonly Finding[]): 0 | 1 | 2 {
  if (findings.some(({ level }) => level === 'failed')) return 2;
  return findings.some(({ level }) => level === 'warning') ? 1 : 0;
}

const statuses = ['well', 'warnings', 'failed'] as const;

/** All of it as one JSON object; where it was interrupted, that is not all there is. */
export const formatJson = (findings: readonly Finding[], isInterrupted: boolean): string =>
  JSON.stringify({ status: isInterrupted ? 'interrupted' : statuses[judge(findings)], findings }, undefined, 2);

/** The last line for a person. */
export function summarize(findings: readonly Finding[], isInterrupted: boolean): string {
  if (isInterrupted) return 'Interrupted.';
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length;
  return judge(findings) === 0 ? 'All is well.' : `Failed: ${count('failed')}. Warnings: ${count('warning')}.`;
}
