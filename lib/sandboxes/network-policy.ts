import { isDeepStrictEqual } from 'node:util';
import type { V1NetworkPolicy, V1NetworkPolicySpec } from '@kubernetes/client-node';
import type { SandboxSettings } from '../config/index.ts';
import { KubernetesError } from '../errors.ts';
import { isAlreadyExists, isConflict, isNamespaceMissing, isNotFound, type Kubernetes } from '../kubernetes/index.ts';
import { networkPolicyName } from '../model/names.ts';
import { buildNetworkPolicy } from '../model/network-policy.ts';

/** What became of the NetworkPolicy of all sandboxes; `removed` also where there may have been none. */
export type NetworkPolicyState = 'unchanged' | 'created' | 'changed' | 'removed' | 'not-permitted';

/** For how long a process believes that the policy is as it was, in milliseconds. The clean-up looks as often. */
const believeMs = 5 * 60_000;

/** How often somebody else may write it at the same moment. */
const maxAttempts = 5;

/** When a policy was last as it should be, in each namespace of each client. */
const seenAt = new WeakMap<Kubernetes, number>();

/** Where it was removed. */
const removedBy = new WeakSet<Kubernetes>();

/**
 * Makes sure that sandboxes are under their NetworkPolicy: to be called before a Pod is made, beside other calls. One round
 * trip when this process has not looked for five minutes, none otherwise, or where no policy is set. Throws what calls to
 * Kubernetes throw; no Pod may be made then.
 */
export async function requireNetworkPolicy(
  kubernetes: Kubernetes,
  config: SandboxSettings,
  now: Date,
  signal: AbortSignal,
): Promise<void> {
  const wanted = buildNetworkPolicy(kubernetes.namespace, config);
  // A clock that was put back counts as well.
  const age = Math.abs(now.getTime() - (seenAt.get(kubernetes) ?? Number.NEGATIVE_INFINITY));
  if (wanted === undefined || age < believeMs) return;
  await writeNetworkPolicy(wanted, kubernetes, false, signal);
  seenAt.set(kubernetes, now.getTime());
}

/** Makes the next Pod wait for a look at the policy: its namespace is gone, or is going, and the policy with it. */
export function forgetNetworkPolicy(kubernetes: Kubernetes): void {
  seenAt.delete(kubernetes);
}

/**
 * Mends the NetworkPolicy, however lately it was seen, or removes it where the setting is `none`; undefined where the setting
 * leaves it alone. `isDry`: only reads, and says what it would write; of a removal it says nothing. Throws what calls to Kubernetes throw.
 */
export async function keepNetworkPolicy(
  kubernetes: Kubernetes,
  config: SandboxSettings,
  isDry: boolean,
  signal: AbortSignal,
): Promise<NetworkPolicyState | undefined> {
  const wanted = buildNetworkPolicy(kubernetes.namespace, config);
  if (wanted !== undefined) return writeNetworkPolicy(wanted, kubernetes, isDry, signal);
  // Nobody makes it while the setting is `none`, so it is enough that each process removes it once.
  if (config.networkPolicy === undefined || removedBy.has(kubernetes) || isDry) return undefined;
  const state = await removeNetworkPolicy(kubernetes, signal);
  if (state !== 'not-permitted') removedBy.add(kubernetes);
  return state;
}

async function removeNetworkPolicy(kubernetes: Kubernetes, signal: AbortSignal): Promise<NetworkPolicyState> {
  try {
    const deletion = await kubernetes.deleteNetworkPolicy(networkPolicyName, signal);
    return deletion === 'deleted' ? 'removed' : 'unchanged';
  } catch (error) {
    // Whoever never had a policy need not be permitted to remove one.
    if (error instanceof KubernetesError && error.status?.code === 403) return 'not-permitted';
    throw error;
  }
}

async function writeNetworkPolicy(
  wanted: V1NetworkPolicy,
  kubernetes: Kubernetes,
  isDry: boolean,
  signal: AbortSignal,
): Promise<NetworkPolicyState> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const found = await kubernetes.readNetworkPolicy(networkPolicyName, signal);
      if (found === undefined) {
        if (!isDry) await kubernetes.createNetworkPolicy(wanted, signal);
        return 'created';
      }
      if (isDeepStrictEqual(plain(found.spec), plain(wanted.spec))) return 'unchanged';
      // As it was read, so that two who write at the same moment notice each other.
      if (!isDry) await kubernetes.replaceNetworkPolicy({ ...wanted, metadata: found.metadata ?? {} }, signal);
      return 'changed';
    } catch (error) {
      // It was made, changed or removed between the two calls.
      const isRace = isAlreadyExists(error) || isConflict(error) || (isNotFound(error) && !isNamespaceMissing(error));
      if (!isRace || attempt === maxAttempts) throw error;
    }
  }
}

/** Without what is undefined and without the client's classes. */
const plain = (spec: V1NetworkPolicySpec | undefined): unknown => JSON.parse(JSON.stringify(spec ?? null));
