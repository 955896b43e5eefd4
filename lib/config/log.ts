import { matching } from './rules.ts';
import { type Environment, readText, type Settings } from './setting.ts';

/** The log. Its logger reads the setting itself, and takes what it does not know for the default. */
export const logSettings = {
  LOG_LEVEL: {
    rule: () =>
      matching(
        /^(trace|debug|info|warn|error|critical|silent)$/i,
        "must be 'DEBUG', 'INFO', 'WARN', 'ERROR' or 'SILENT'",
      ),
    default: 'INFO',
    neededBy: 'every function',
    doc: '`DEBUG`, `INFO`, `WARN`, `ERROR` or `SILENT`. [The log](operations.md#the-log) is one JSON object a line',
  },
} as const satisfies Settings;

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'critical', 'silent'];

/** Whether lines of this level are written, as the logger reads the setting. */
export function isLevelWritten(env: Environment, level: 'debug' | 'info' | 'warn' | 'error'): boolean {
  const from = levels.indexOf(readText(env, 'LOG_LEVEL')?.toLowerCase() ?? 'info');
  return levels.indexOf(level) >= (from < 0 ? levels.indexOf('info') : from);
}
