import * as z from 'zod/mini';
import { hostName, matching, withDefault } from './fields.ts';
import { type Environment, parse } from './index.ts';

/** Where the server listens, and how often it cleans up. */
export type ServerConfig = Readonly<{ host: string; port: number; cleanupIntervalMs: number }>;

const minutes = { minute: 1, hour: 60, day: 24 * 60 };

/** A timer of Node's takes 24 days at most. */
const mostMinutes = 20 * minutes.day;

function readRate(text: string): number {
  const [, number, unit] = /^rate\((\d{1,5}) (minute|hour|day)s?\)$/.exec(text) ?? [];
  return Number(number) * minutes[unit as keyof typeof minutes];
}

const serverSettings = z.object({
  HOST: withDefault(hostName, 'localhost'),
  PORT: withDefault(
    matching(/^\d{1,5}$/, 'must be a port').check(z.refine((port) => Number(port) <= 65_535, 'must be a port')),
    '8002',
  ),
  CLEANUP_SCHEDULE: withDefault(
    matching(/^rate\(/, 'must be rate(… minutes): the server knows no cron(…)').check(
      z.refine(
        (text) => readRate(text) >= 1 && readRate(text) <= mostMinutes,
        'must be rate(… minutes), hours or days, from 1 minute to 20 days',
      ),
    ),
    'rate(5 minutes)',
  ),
});

/** Reads the settings that only the server has. Throws as `loadConfig` does. */
export function loadServerConfig(env: Environment): ServerConfig {
  const values = parse(serverSettings, env);
  return {
    host: values.HOST,
    port: Number(values.PORT),
    cleanupIntervalMs: readRate(values.CLEANUP_SCHEDULE) * 60_000,
  };
}

/** The process's own. */
export const currentServerConfig = (): ServerConfig => loadServerConfig(process.env);
