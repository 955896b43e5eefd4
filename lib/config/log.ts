import { matching } from './rules.ts';
import type { Settings } from './setting.ts';

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
    doc: '`DEBUG`, `INFO`, `WARN`, `ERROR` or `SILENT`. The log is one JSON object a line',
  },
} as const satisfies Settings;
