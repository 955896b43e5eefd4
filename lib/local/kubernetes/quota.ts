import { isDeepStrictEqual } from 'node:util';
import { isEnded, KINDS, type KubernetesObject, type ResourceQuota, resourceOf } from './objects.ts';
import { forbidden } from './status.ts';
import type { Store } from './store.ts';
import type { Timers } from './timers.ts';

type Usage = Record<string, number>;

/** What one object uses of the things that a quota can limit. */
function usageOf(object: KubernetesObject): Usage {
  const usage: Usage = { [`count/${resourceOf(object.kind)}`]: 1 };
  // A Pod that has ended counts only as an object.
  if (object.kind === 'Pod' && !isEnded(object)) usage.pods = 1;
  if (object.kind !== 'Service') return usage;
  return { ...usage, services: 1, 'services.nodeports': object.spec.ports.filter(({ nodePort }) => nodePort).length };
}

export type Quotas = {
  /**
   * Charges every quota of the object's namespace for it, before anything is stored; a create that fails after
   * that stays charged until the next count, as in Kubernetes. Throws the 403 of the first quota that it exceeds.
   */
  charge(object: KubernetesObject): void;
};

/**
 * The quotas' admission and controller. One is counted when it is made or changed; all are counted anew when something
 * that they count is gone or has ended, and every `resyncMs`.
 */
export function createQuotas(store: Store, timers: Timers, resyncMs: number): Quotas {
  function count(quota: ResourceQuota): void {
    const { namespace } = quota.metadata;
    const usages = Object.values(KINDS).flatMap((kind) => store.list(kind, namespace).map(usageOf));
    const { hard = {} } = quota.spec;
    const total = (name: string) => usages.reduce((sum, usage) => sum + (usage[name] ?? 0), 0);
    const used = Object.fromEntries(Object.keys(hard).map((name) => [name, String(total(name))]));
    if (!isDeepStrictEqual(quota.status, { hard, used })) store.put({ ...quota, status: { hard, used } });
  }

  const countAll = () => store.list('ResourceQuota').forEach(count);
  const countSoon = timers.coalesce(50, countAll);

  store.onChange((now, before) => {
    if (now === undefined || (now.kind === 'Pod' && isEnded(now) && before?.kind === 'Pod' && !isEnded(before))) {
      countSoon();
    }
    if (now?.kind === 'ResourceQuota' && !isDeepStrictEqual(now.status.hard, now.spec.hard ?? {})) count(now);
  });

  const repeat = () => {
    countAll();
    timers.after(resyncMs, repeat);
  };
  timers.after(resyncMs, repeat);

  return {
    charge(object) {
      const requested = usageOf(object);
      const charged = store.list('ResourceQuota', object.metadata.namespace).flatMap((quota) => {
        const { hard = {}, used = {} } = quota.status;
        const names = Object.keys(hard).filter((name) => requested[name]);
        const sums = Object.fromEntries(names.map((name) => [name, Number(used[name]) + (requested[name] ?? 0)]));
        const exceeded = names.filter((name) => (sums[name] ?? 0) > Number(hard[name])).sort();
        if (exceeded.length > 0) {
          const list = (amounts: object) => exceeded.map((name) => `${name}=${amounts[name as never]}`).join(',');
          const told = `requested: ${list(requested)}, used: ${list(used)}, limited: ${list(hard)}`;
          const { name } = object.metadata;
          throw forbidden(object.kind, name, `exceeded quota: ${quota.metadata.name}, ${told}`);
        }
        const now = Object.fromEntries(names.map((name) => [name, String(sums[name])]));
        return names.length === 0 ? [] : { ...quota, status: { hard, used: { ...used, ...now } } };
      });
      charged.forEach(store.put);
    },
  };
}
