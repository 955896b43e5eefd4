import { cacheValue } from '../cached-value.ts';
import type { Config } from '../config/index.ts';
import { KubernetesError, ProvisionerError } from '../errors.ts';
import type { Kubernetes } from '../kubernetes/index.ts';
import type { Inspection } from '../kubernetes/inspection.ts';
import { describeRight, findNeededRules, listRights, namespaceCreation, type Right } from '../model/rights.ts';
import { findClaims } from '../model/volumes/sources.ts';
import { keepNetworkPolicy } from './network-policy.ts';

/** What is looked at, in this order. An answer tells of no more than these words. */
export type Check = 'settings' | 'kubernetes' | 'rights' | 'namespace' | 'claims' | 'network-policy';

/**
 * What came of one look: it is well; a create would mend it; it has to be mended by somebody; or we may not look, and then a right
 * is missing that is told of. `words` say what was found, for whoever runs the provisioner.
 */
export type Look = Readonly<{ check: Check; state: 'ok' | 'passing' | 'failed' | 'unknown'; words: string }>;

/** Where is looked, and by which settings. */
export type Place = Readonly<{ config: Config; kubernetes: Kubernetes; inspection: Inspection }>;

/**
 * Looks whether sandboxes could be made: Kubernetes is reached and knows us, we have each right that the settings need, the namespace
 * and the claims are there, and the network policy is as the settings have it. Two round trips, three where there is no policy.
 * Changes nothing. Never throws: what cannot be asked because Kubernetes is not reached is left out.
 */
export async function inspect({ config, kubernetes, inspection }: Place, signal: AbortSignal): Promise<Look[]> {
  const rights = listRights(findNeededRules(config));
  const reached = { check: 'kubernetes', state: 'ok' } as const;
  const first = await settle(inspection.isPermitted(namespaceCreation, signal));
  if ('error' in first) {
    // Whoever is somebody may ask what it may do, unless an administrator took that right away.
    return isForbidden(first.error)
      ? [{ ...reached, words: 'reached' }, failed('rights', `we may not even ask for them: ${describe(first.error)}`)]
      : [failed('kubernetes', describe(first.error))];
  }
  const areRightsThere = () => Promise.all(rights.map((right) => inspection.isPermitted(right, signal)));
  const looks = await Promise.all([
    look('rights', async () => judgeRights(config.namespace, rights, await areRightsThere())),
    look('namespace', () => lookAtNamespace(config.namespace, first.value, inspection, signal)),
    ...(findClaims(config.volumes).length === 0
      ? []
      : [look('claims', () => lookAtClaims(findClaims(config.volumes), inspection, signal))]),
    ...(config.networkPolicy === undefined || config.networkPolicy === 'none'
      ? []
      : [look('network-policy', () => lookAtNetworkPolicy(config, kubernetes, inspection, signal))]),
  ]);
  return [{ ...reached, words: 'reached, and our credentials are taken' }, ...looks];
}

type Judgement = Omit<Look, 'check'>;

/** What has become of Kubernetes between two calls is a matter of Kubernetes, whatever was looked at. */
async function look(check: Check, judge: () => Promise<Judgement>): Promise<Look> {
  const judged = await settle(judge());
  if ('value' in judged) return { check, ...judged.value };
  const words = describe(judged.error);
  return isForbidden(judged.error) ? { check, state: 'unknown', words } : failed('kubernetes', words);
}

function judgeRights(namespace: string, rights: readonly Right[], permitted: readonly boolean[]): Judgement {
  const missing = rights.filter((_right, index) => !permitted[index]).map(describeRight);
  if (missing.length === 0) return { state: 'ok', words: `all ${rights.length} that the settings need` };
  // Nobody who has none at all is told whether a namespace is there.
  const nowhere =
    missing.length === rights.length ? ` anything in the namespace '${namespace}', which may not be there:` : '';
  return { state: 'failed', words: `not permitted:${nowhere} ${missing.join(', ')}` };
}

async function lookAtNamespace(
  name: string,
  mayMake: boolean,
  inspection: Inspection,
  signal: AbortSignal,
): Promise<Judgement> {
  const found = await inspection.findNamespace(signal);
  if (found?.isGoing) return { state: 'failed', words: `the namespace '${name}' is being deleted` };
  if (found !== undefined) return { state: 'ok', words: `'${name}' is there` };
  const words = `the namespace '${name}' is not there`;
  return mayMake
    ? { state: 'passing', words: `${words}: the first create makes it` }
    : { state: 'failed', words: `${words}, and may not be made` };
}

async function lookAtClaims(names: string[], inspection: Inspection, signal: AbortSignal): Promise<Judgement> {
  const judge = async (name: string) => {
    const found = await inspection.findClaim(name, signal);
    if (found === undefined) return [`the claim '${name}' is not there`];
    if (found.isGoing) return [`the claim '${name}' is being deleted`];
    // One that is pending may be waiting for its first Pod.
    return found.phase === 'Lost' ? [`the claim '${name}' has lost its volume`] : [];
  };
  const faults = (await Promise.all(names.map(judge))).flat();
  return faults.length === 0
    ? { state: 'ok', words: names.map((name) => `'${name}' is there`).join(', ') }
    : { state: 'failed', words: faults.join(', ') };
}

/**
 * A create makes the policy before its Pod, so that it is missing says nothing before the first. But a process believes for some
 * minutes what it has seen, and what runs already is not confined without it.
 */
async function lookAtNetworkPolicy(
  config: Config,
  kubernetes: Kubernetes,
  inspection: Inspection,
  signal: AbortSignal,
): Promise<Judgement> {
  const state = await keepNetworkPolicy(kubernetes, config, true, signal);
  if (state === 'changed') return { state: 'failed', words: 'the network policy is not as the settings have it' };
  if (state !== 'created') return { state: 'ok', words: `'${config.networkPolicy}', as the settings have it` };
  return (await inspection.hasSandboxPods(signal))
    ? { state: 'failed', words: 'the network policy is not there, and there are sandboxes' }
    : { state: 'passing', words: 'the network policy is not there: the first create makes it' };
}

const failed = (check: Check, words: string): Look => ({ check, state: 'failed', words });

const settle = <T>(call: Promise<T>): Promise<{ value: T } | { error: unknown }> =>
  call.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );

const describe = (error: unknown): string => (error instanceof ProvisionerError ? error.message : String(error));

/** Whether it is a right to look that is missing. */
const isForbidden = (error: unknown): boolean =>
  error instanceof KubernetesError && error.kind === 'refused' && error.status?.code === 403;

/** How long a look may take, for how long what it gave is good, and when to ask again, in milliseconds and seconds. */
const [lookMs, goodForMs, retryAfterSeconds] = [4_000, 5_000, 5];

/**
 * What `GET /ready` answers with. Anybody may ask, so nobody has it look more than every few seconds, nor twice at once. Throws
 * `unavailable` with the checks that fail; what is wrong with them is the error's cause, for the log alone.
 *
 * @param readConfig the settings; what it throws is a fault as well
 * @param open gives where to look; the same
 */
export function keepReadiness(
  readConfig: () => Config,
  open: (config: Config, signal: AbortSignal) => Promise<Place>,
  now: () => Date,
) {
  const cached = cacheValue({ read: findFaults, goodForMs, now });
  async function findFaults(signal: AbortSignal): Promise<Look[]> {
    const within = AbortSignal.any([signal, AbortSignal.timeout(lookMs)]);
    const config = await settle((async () => readConfig())());
    if ('error' in config) return [failed('settings', describe(config.error))];
    const place = await settle(open(config.value, within));
    if ('error' in place) return [failed('kubernetes', describe(place.error))];
    const looks = await inspect(place.value, within);
    return looks.filter(({ state }) => state === 'failed');
  }
  return async (signal: AbortSignal): Promise<{ status: 'ready' }> => {
    const faults = await cached.get(signal);
    if (faults.length === 0) return { status: 'ready' };
    const checks = [...new Set(faults.map(({ check }) => check))];
    throw new ProvisionerError('unavailable', `Not ready: ${checks.join(', ')}`, {
      cause: faults.map(({ check, words }) => `${check}: ${words}`),
      headers: { 'retry-after': String(retryAfterSeconds) },
    });
  };
}
