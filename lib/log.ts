import { Logger } from '@aws-lambda-powertools/logger';

type Details = Record<string, unknown>;

/** How much a line matters. */
export type Level = 'debug' | 'info' | 'warn' | 'error';

/** Shows a line to a person, or does not, by its level. */
export type Show = (level: Level, message: string, details: Details) => void;

/** Characters that JSON leaves as they are, and that some terminal or reader takes for a command or the end of a line. */
const harmful = /[\u007f-\u009f\u2028\u2029]/g;
const spell = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

let made: Logger | undefined;
let madeForChanges: Logger | undefined;
let show: Show | undefined;

const make = (options: { logLevel?: 'INFO' } = {}) =>
  new Logger({
    serviceName: 'sandbox-provisioner',
    jsonReplacerFn: (_key, value) => (typeof value === 'string' ? value.replace(harmful, spell) : value),
    ...options,
  });

/** Made by the first who has something to say: to load and make it takes some 6 ms of a cold start. */
function logger(): Logger {
  made ??= make();
  return made;
}

/** One that writes at every level but `SILENT`. */
function loggerForChanges(): Logger {
  const level = logger().getLevelName();
  if (['TRACE', 'DEBUG', 'INFO', 'SILENT'].includes(level)) return logger();
  madeForChanges ??= make({ logLevel: 'INFO' });
  return madeForChanges;
}

const write = (level: Level, message: string, details: Details) => {
  if (show !== undefined) show(level, message, details);
  else logger()[level](message, details);
};

/** The log: one JSON object a line. `LOG_LEVEL` says from which level on (`DEBUG`, `INFO`, `WARN`, `ERROR`, `SILENT`). */
export const log = {
  debug: (message: string, details: Details) => write('debug', message, details),
  info: (message: string, details: Details) => write('info', message, details),
  warn: (message: string, details: Details) => write('warn', message, details),
  error: (message: string, details: Details) => write('error', message, details),
  /** Who changed what, or tried to: marked, and written whatever `LOG_LEVEL` is, but for `SILENT`. */
  audit(level: Exclude<Level, 'debug'>, message: string, details: Details) {
    const marked = { ...details, audit: true };
    if (show !== undefined) show(level, message, marked);
    else loggerForChanges()[level](message, marked);
  },
  setLogLevel: (level: 'SILENT') => logger().setLogLevel(level),
};

/** Has all lines of this process shown this way from here on. */
export function showLog(by: Show): void {
  show = by;
}
