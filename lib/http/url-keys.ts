import { type CachedValue, cacheValue } from '../cached-value.ts';
import { parseUrlKeys, urlKeysRule } from '../config/addresses.ts';
import type { Config } from '../config/index.ts';
import { ProvisionerError } from '../errors.ts';
import { log } from '../log.ts';
import { pickField, readSecret } from '../secrets.ts';

/** For how long keys that were read are good, and how soon after a reading there may be another one, in milliseconds. */
const [goodForMs, retryAfterMs] = [60_000, 5_000];

let stored: { config: Config; keys: CachedValue<readonly string[]> } | undefined;

/**
 * The configuration with the keys that URLs are signed with, where AWS keeps them: they are read at the first use, and again when they
 * are a minute old. They stay what they were while they cannot be read. Throws what reading a secret throws where there are none yet.
 */
export async function withUrlKeys(config: Config, signal: AbortSignal): Promise<Config> {
  if (config.urlKeys?.kind !== 'stored') return config;
  const { source } = config.urlKeys;
  if (stored?.config !== config) {
    const read = (signal: AbortSignal) => readKeys(source, config, signal);
    const onStale = (error: unknown) => log.error('The keys of URLs stay what they were', { error: error as Error });
    stored = { config, keys: cacheValue({ read, goodForMs, retryAfterMs, onStale, now: () => new Date() }) };
  }
  return { ...config, urlKeys: { kind: 'given', keys: await stored.keys.get(signal) } };
}

async function readKeys(
  source: Parameters<typeof readSecret>[0],
  { aws }: Config,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const extension = { port: aws.secretsExtensionPort, sessionToken: aws.sessionToken };
  const keys = parseUrlKeys(pickField(await readSecret(source, extension, signal), 'SANDBOX_URL_KEY'));
  if (keys !== undefined) return keys;
  throw new ProvisionerError('misconfigured', `'${source.id}' must hold ${urlKeysRule}`);
}
