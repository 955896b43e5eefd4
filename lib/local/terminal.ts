import { isLogged } from '../config/index.ts';
import type { Level } from '../log.ts';

type Details = Readonly<Record<string, unknown>>;

const colours: Readonly<Record<Level, number>> = { debug: 90, info: 32, warn: 33, error: 31 };

/** What would end a line, or be a terminal's command. */
const controls = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A text that is one line, and moves or colours nothing. */
const plain = (text: string): string =>
  text.replace(controls, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Writes a line of the log for a person who looks on, if `LOG_LEVEL` lets it. */
export function showLine(level: Level, message: string, details: Details): void {
  // What says who changed what is written at every level but SILENT.
  if (!isLogged(details.audit === true ? 'error' : level)) return;
  process.stdout.write(`${renderLine(level, message, details, new Date(), process.stdout.isTTY === true)}\n`);
}

/** One line; of an error, what it came from is below it, indented. Pure. */
export function renderLine(level: Level, message: string, details: Details, now: Date, isColoured: boolean): string {
  const name = level.toUpperCase().padEnd(5);
  const shown = isColoured ? `\u001b[${colours[level]}m${name}\u001b[0m` : name;
  const text = typeof details.durationMs === 'number' ? renderRequest(message, details) : renderOther(message, details);
  const below = level === 'error' ? renderCause(details.cause ?? details.error) : [];
  return [
    `${now.toTimeString().slice(0, 8)} ${shown} ${plain(text)}`,
    ...below.map((line) => `    ${plain(line)}`),
  ].join('\n');
}

/** The lines of what an error came from: where it began, or what was said. */
function renderCause(cause: unknown): string[] {
  if (cause === undefined || cause === null) return [];
  const { stack } = cause as { stack?: unknown };
  if (typeof stack === 'string') return stack.split('\n');
  return [cause].flat().map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
}

/** A request, as `lib/telemetry/request` tells of it. */
function renderRequest(message: string, details: Details): string {
  const { routeKey = '', statusCode, durationMs, sandboxId, did, errorKind, requestId } = details;
  const { kubernetesCalls, kubernetesMs } = details;
  const calls = kubernetesCalls === 1 ? '1 call' : `${kubernetesCalls} calls`;
  const kubernetes = kubernetesCalls === 0 ? '' : `(Kubernetes: ${calls}, ${kubernetesMs} ms)`;
  return [
    ...[routeKey, statusCode, `${durationMs} ms`, kubernetes, sandboxId, did],
    ...(errorKind === undefined ? [] : [`- ${message} (request ${requestId})`]),
  ]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
}

function renderOther(message: string, details: Details): string {
  const told = Object.entries(details).filter(([name, value]) => value !== undefined && name !== 'audit');
  return [message, ...told.map(([name, value]) => `${name}=${renderValue(value)}`)].join(' ');
}

const renderValue = (value: unknown): string => {
  if (value instanceof Error) return JSON.stringify(value.message);
  const { message } = (value ?? {}) as { message?: unknown };
  return JSON.stringify(typeof message === 'string' ? message : value);
};
