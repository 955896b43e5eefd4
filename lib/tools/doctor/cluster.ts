import type { Config } from '../../config/index.ts';
import { readQuantity } from '../../config/quantities.ts';
import { KubernetesError } from '../../errors.ts';
import type { Quota } from '../../kubernetes/quotas.ts';
import { type Check, inspect, type Look, type Place } from '../../sandboxes/readiness.ts';
import { advise } from './advice.ts';
import { type Advice, type Finding, type Level, type Tell, timed } from './finding.ts';

/** How long Kubernetes may take for all that is asked, in milliseconds. */
const askMs = 15_000;

/** The next create mends what is passing; what is unknown is so because of a right that is told of. */
const levels: Record<Look['state'], Level> = { ok: 'ok', passing: 'warning', failed: 'failed', unknown: 'skipped' };

/** What to do about a check of `GET /ready`. That of Kubernetes itself is by the words. */
const adviceOf = ({ namespace }: Config): Record<Exclude<Check, 'kubernetes' | 'settings'>, Advice> => ({
  rights: {
    advice: `Is '${namespace}' the namespace (K8S_NAMESPACE)? Then have somebody apply what npm run rbac prints with these settings.`,
    page: 'docs/own-cluster.md#the-rights-it-needs',
  },
  namespace: {
    advice: `Is '${namespace}' the namespace (K8S_NAMESPACE)? Then make it: kubectl create namespace ${namespace}. If it is being deleted, wait for its end.`,
    page: 'docs/own-cluster.md#the-rights-it-needs',
  },
  claims: {
    advice: 'Make the claim in that namespace, or mend SKILLS_PVC_NAME or USERDATA_PVC_NAME.',
    page: 'docs/own-cluster.md#where-the-files-lie',
  },
  'network-policy': {
    advice:
      'The next create or clean-up makes it as it should be; npm run cleanup does at once. If it was there before, find out who removed or changed it.',
    page: 'docs/security.md#the-network',
  },
});

/** Looks at what `GET /ready` looks at, and at the quotas. Whether a sandbox could be made by all this. */
export async function checkCluster(place: Place, tell: Tell, signal: AbortSignal): Promise<boolean> {
  const { config } = place;
  const within = AbortSignal.any([signal, AbortSignal.timeout(askMs)]);
  const begun = performance.now();
  const looks = await inspect(place, within);
  const ms = Math.round(performance.now() - begun);
  for (const { check, state, words } of looks) {
    const message = state === 'unknown' ? `cannot be looked at: ${words}` : words;
    const isWell = state === 'ok' || state === 'unknown';
    const advice = check === 'kubernetes' || check === 'settings' ? advise(words) : adviceOf(config)[check];
    tell({ check, level: levels[state], message, ...(!isWell && advice), ...(check === 'kubernetes' && { ms }) });
  }
  if (looks.some(({ check, state }) => check === 'kubernetes' && state === 'failed')) return false;
  await checkQuotas(place, tell, within);
  return looks.every(({ state }) => state !== 'failed');
}

/** What one sandbox takes of a quota, in the quota's own unit, by what the quota calls it. */
const needs = (config: Config): Record<string, string> => ({
  pods: '1',
  'count/pods': '1',
  services: '1',
  'count/services': '1',
  ...(config.serviceType === 'NodePort' && { 'services.nodeports': '1' }),
  cpu: config.cpuRequest,
  'requests.cpu': config.cpuRequest,
  'limits.cpu': config.cpuLimit,
  memory: config.memoryRequest,
  'requests.memory': config.memoryRequest,
  'limits.memory': config.memoryLimit,
  'ephemeral-storage': config.ephemeralStorageRequest,
  'requests.ephemeral-storage': config.ephemeralStorageRequest,
  'limits.ephemeral-storage': config.ephemeralStorageLimit,
});

async function checkQuotas({ config, inspection }: Place, tell: Tell, signal: AbortSignal): Promise<void> {
  const check = 'quota';
  const { value: quotas, error } = await timed(() => inspection.listQuotas(signal));
  if (error !== undefined) {
    const isForbidden = error instanceof KubernetesError && error.status?.code === 403;
    const message = isForbidden
      ? 'not known: we may not list resourcequotas. With METRICS=off the provisioner does without; to look, run this as an administrator'
      : `cannot be looked at: ${error.message}`;
    tell({ check, level: isForbidden ? 'skipped' : 'warning', message, ...(!isForbidden && advise(error.message)) });
    return;
  }
  const findings = quotas.flatMap((quota) => judgeQuota(quota, config));
  for (const finding of findings) tell({ check, ...finding });
  if (findings.length > 0) return;
  const names = quotas.map(({ name }) => `'${name}'`).join(', ');
  tell({ check, level: 'ok', message: names === '' ? 'there is none' : `there is room in ${names}` });
}

/** What of a quota has no room for one more sandbox, or less than a tenth left. */
export function judgeQuota({ name, scopes, hard, used }: Quota, config: Config): Omit<Finding, 'check'>[] {
  // A sandbox has requests and limits, and no end: these count others alone. Of priorities we know nothing.
  if (scopes.some((scope) => /^(BestEffort|Terminating|PriorityClass|CrossNamespacePodAffinity)$/.test(scope)))
    return [];
  const rules = { advice: 'Raise it, or let sandboxes end sooner (SANDBOX_TTL_SECONDS).', page: 'docs/lifecycle.md' };
  return Object.entries(needs(config)).flatMap(([resource, need]): Omit<Finding, 'check'>[] => {
    const [limit, taken, wanted] = [hard[resource], used[resource], need].map((text) => readQuantity(text ?? ''));
    if (limit === undefined || taken === undefined || wanted === undefined) return [];
    const left = limit - taken;
    const message = `'${name}' has ${used[resource]} of ${hard[resource]} ${resource} in use`;
    if (left < wanted) return [{ level: 'failed', message: `${message}: no room for a sandbox`, ...rules }];
    return left * 10n < limit ? [{ level: 'warning', message: `${message}: less than 10 % is left`, ...rules }] : [];
  });
}
