import { ProvisionerError } from '../errors.ts';
import { deploymentSettings } from './deployment.ts';
import { currentEnvironment } from './index.ts';
import { localSettings } from './local.ts';
import { passing } from './rules.ts';
import { type Environment, readSettings, type Settings } from './setting.ts';

/** Where the server listens, and how often it cleans up. */
export type ServerConfig = Readonly<{ host: string; port: number; cleanupIntervalMs: number }>;

const minutes = { minute: 1, hour: 60, day: 24 * 60 };

/** A timer of Node's takes 24 days at most. */
const mostMinutes = 20 * minutes.day;

/** The minutes of a `rate(…)`; NaN for another text. */
export function readRateMinutes(text: string): number {
  const [, number, unit] = /^rate\((\d{1,5}) (minute|hour|day)s?\)$/.exec(text) ?? [];
  return Number(number) * minutes[unit as keyof typeof minutes];
}

const serverSettings = {
  HOST: localSettings.HOST,
  PORT: localSettings.PORT,
  CLEANUP_SCHEDULE: {
    ...deploymentSettings.CLEANUP_SCHEDULE,
    rule: () =>
      passing(
        [(text) => text.startsWith('rate('), 'must be rate(… minutes): the server knows no cron(…)'],
        [
          (text) => !text.startsWith('rate(') || (readRateMinutes(text) >= 1 && readRateMinutes(text) <= mostMinutes),
          'must be rate(… minutes), hours or days, from 1 minute to 20 days',
        ],
      ),
  },
} as const satisfies Settings;

/** Reads the settings that only the server has. Throws as `loadConfig` does. */
export function loadServerConfig(env: Environment): ServerConfig {
  const { values, problems } = readSettings(serverSettings, env);
  if (values === undefined) throw new ProvisionerError('misconfigured', `Misconfigured: ${problems.join('; ')}`);
  return { host: values.HOST, port: values.PORT, cleanupIntervalMs: readRateMinutes(values.CLEANUP_SCHEDULE) * 60_000 };
}

/** The process's own. */
export const currentServerConfig = (): ServerConfig => loadServerConfig(currentEnvironment());
