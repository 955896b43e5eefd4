import {
  type Container,
  isEnded,
  isPod,
  isResourceQuota,
  isService,
  type KubernetesObject,
  type Quantities,
  type ResourceQuota,
  type ResourceType,
} from './kubernetes-objects.ts';
import { formatQuantity, isBinaryQuantity, parseQuantity } from './kubernetes-quantities.ts';
import { forbidden } from './kubernetes-status.ts';
import type { Store } from './kubernetes-store.ts';
import type { Timers } from './kubernetes-timers.ts';

type Usage = Map<string, number>;

const COMPUTE = /^(?:(requests|limits)\.)?(cpu|memory|ephemeral-storage)$/;

function computeUsage(containers: readonly Container[]): Usage {
  const usage: Usage = new Map();
  const add = (name: string, amount: string) => usage.set(name, (usage.get(name) ?? 0) + parseQuantity(amount));
  for (const { resources } of containers) {
    for (const [name, amount] of Object.entries(resources?.limits ?? {})) add(`limits.${name}`, amount);
    for (const [name, amount] of Object.entries(resources?.requests ?? {})) {
      add(`requests.${name}`, amount);
      add(name, amount);
    }
  }
  return usage;
}

/** What one object uses of the things that a quota can limit. */
function usageOf(type: ResourceType, object: KubernetesObject): Usage {
  const usage: Usage = new Map([[`count/${type.plural}`, 1]]);
  // A Pod that has ended counts only as an object.
  if (isPod(object) && !isEnded(object)) {
    usage.set('pods', 1);
    for (const [name, amount] of computeUsage(object.spec.containers)) usage.set(name, amount);
  }
  if (isService(object)) {
    const outside = object.spec.type === 'NodePort' || object.spec.type === 'LoadBalancer';
    usage.set('services', 1).set('services.nodeports', outside ? (object.spec.ports ?? []).length : 0);
    usage.set('services.loadbalancers', object.spec.type === 'LoadBalancer' ? 1 : 0);
  }
  if (isResourceQuota(object)) usage.set('resourcequotas', 1);
  return usage;
}

const isBinary = (name: string, hard: Quantities) => isBinaryQuantity(hard[name] ?? '') || /memory|storage/.test(name);

const render = (usage: Usage, names: readonly string[], hard: Quantities) =>
  names.map((name) => `${name}=${formatQuantity(usage.get(name) ?? 0, isBinary(name, hard))}`).join(',');

export type Quotas = {
  /**
   * Charges every quota of the object's namespace for it, before anything is stored; a create that fails after
   * that stays charged until the next count, as in Kubernetes. Throws the 403 of the first quota that it exceeds.
   */
  charge(type: ResourceType, object: KubernetesObject, dryRun: boolean): void;
};

/**
 * The quotas' admission and controller. They are counted anew when a quota is made or changed, when something that
 * it counts is gone or has ended, and every `resyncMs`.
 */
export function createQuotas(store: Store, types: readonly ResourceType[], timers: Timers, resyncMs: number): Quotas {
  const quotaType = types.find((type) => type.kind === 'ResourceQuota');
  if (quotaType === undefined) throw new Error('no type ResourceQuota');

  const quotasIn = (namespace: string | undefined) => store.list(quotaType, namespace).filter(isResourceQuota);

  function setUsed(quota: ResourceQuota, used: Quantities): void {
    const hard = sorted(quota.spec.hard ?? {});
    if (JSON.stringify(quota.status) === JSON.stringify({ hard, used })) return;
    store.put(quotaType as ResourceType, { ...quota, status: { hard, used } } as ResourceQuota);
  }

  function recount(): void {
    for (const quota of quotasIn(undefined)) {
      const hard = quota.spec.hard ?? {};
      const total: Usage = new Map();
      for (const type of types) {
        if (!type.namespaced) continue;
        for (const object of store.list(type, quota.metadata.namespace)) {
          for (const [name, amount] of usageOf(type, object)) total.set(name, (total.get(name) ?? 0) + amount);
        }
      }
      const names = Object.keys(hard).sort();
      setUsed(
        quota,
        Object.fromEntries(names.map((name) => [name, formatQuantity(total.get(name) ?? 0, isBinary(name, hard))])),
      );
    }
  }

  const recountSoon = timers.coalesce(50, recount);
  const repeat = () => {
    recount();
    timers.after(resyncMs, repeat);
  };
  timers.after(resyncMs, repeat);

  store.onChange(({ type, object, previous }) => {
    const isNew = isResourceQuota(object) && sameHard(object) === false;
    const hasEnded =
      isPod(object) && isEnded(object) && previous !== undefined && isPod(previous) && !isEnded(previous);
    if (type === 'DELETED' || isNew || hasEnded) recountSoon();
  });

  return {
    charge(type, object, dryRun) {
      const requested = usageOf(type, object);
      const charged: [ResourceQuota, Quantities][] = [];
      for (const quota of quotasIn(object.metadata.namespace)) {
        const hard = quota.status.hard ?? {};
        const used: Usage = new Map(
          Object.entries(quota.status.used ?? {}).map(([name, amount]) => [name, parseQuantity(amount)]),
        );
        const unknown = Object.keys(quota.spec.hard ?? {}).filter((name) => requested.has(name) && !used.has(name));
        if (unknown.length > 0) {
          const why = `status unknown for quota: ${quota.metadata.name}, resources: ${unknown.sort().join(',')}`;
          throw forbidden(type, object.metadata.name, why);
        }
        const limited = Object.keys(hard).sort();
        if (isPod(object)) {
          const missing = limited.filter(
            (name) =>
              COMPUTE.test(name) && object.spec.containers.some((container) => !computeUsage([container]).has(name)),
          );
          if (missing.length > 0) {
            throw forbidden(
              type,
              object.metadata.name,
              `failed quota: ${quota.metadata.name}: must specify ${missing.join(',')}`,
            );
          }
        }
        const counted = limited.filter((name) => (requested.get(name) ?? 0) > 0);
        const limit: Usage = new Map(Object.entries(hard).map(([name, amount]) => [name, parseQuantity(amount)]));
        const exceeded = counted.filter(
          (name) => (used.get(name) ?? 0) + (requested.get(name) ?? 0) > (limit.get(name) ?? 0) + 1e-9,
        );
        if (exceeded.length > 0) {
          const told = [requested, used, limit].map((usage) => render(usage, exceeded, hard));
          throw forbidden(
            type,
            object.metadata.name,
            `exceeded quota: ${quota.metadata.name}, requested: ${told[0]}, used: ${told[1]}, limited: ${told[2]}`,
          );
        }
        if (counted.length === 0) continue;
        for (const name of counted) used.set(name, (used.get(name) ?? 0) + (requested.get(name) ?? 0));
        const now = limited.map((name) => [name, formatQuantity(used.get(name) ?? 0, isBinary(name, hard))]);
        charged.push([quota, Object.fromEntries(now)]);
      }
      if (!dryRun) for (const [quota, used] of charged) setUsed(quota, used);
    },
  };
}

const sorted = (quantities: Quantities): Quantities =>
  Object.fromEntries(Object.entries(quantities).sort(([a], [b]) => (a < b ? -1 : 1)));

const sameHard = (quota: ResourceQuota): boolean =>
  JSON.stringify(quota.status.hard) === JSON.stringify(sorted(quota.spec.hard ?? {}));
