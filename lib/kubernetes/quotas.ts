import { HttpMethod, RequestContext } from '@kubernetes/client-node';
import { readQuantity } from '../config/quantities.ts';
import { foreignAnswerError } from './errors.ts';
import { placeholderServer } from './exchange.ts';
import type { Cluster } from './index.ts';
import { retry } from './retries.ts';
import { isKubernetesJson } from './transport.ts';

type Amounts = Readonly<Record<string, string>>;

/** What a quota of the namespace counts, by resource, as quantities; `scopes`, where it does not count every Pod. */
export type Quota = Readonly<{ name: string; scopes: readonly string[]; hard: Amounts; used: Amounts }>;

type QuotaList = {
  kind?: string;
  items?:
    | {
        metadata?: { name?: string };
        spec?: { scopes?: string[]; scopeSelector?: { matchExpressions?: { scopeName?: string }[] } };
        status?: { hard?: Amounts; used?: Amounts };
      }[]
    | null;
};

/**
 * The namespace's ResourceQuotas, by one request that is made once. None of the client's calls, as in `diagnostics`: few functions
 * make it. Throws as these do.
 */
export async function listQuotas(
  { transport }: Pick<Cluster, 'transport'>,
  namespace: string,
  signal: AbortSignal,
): Promise<Quota[]> {
  // With a question mark, as all lists have it: they take turns of their own.
  const url = `${placeholderServer}/api/v1/namespaces/${namespace}/resourcequotas?limit=100`;
  const answer = await transport.call(new RequestContext(url, HttpMethod.GET), signal);
  const text = answer.body.toString();
  const { kind, items }: QuotaList = isKubernetesJson(answer, text) ? JSON.parse(text) : {};
  if (kind !== 'ResourceQuotaList') throw foreignAnswerError(answer.code);
  return (items ?? []).map(({ metadata, spec, status }) => ({
    name: metadata?.name ?? '',
    scopes: [
      ...(spec?.scopes ?? []),
      ...(spec?.scopeSelector?.matchExpressions ?? []).map(({ scopeName = '' }) => scopeName),
    ],
    hard: status?.hard ?? {},
    used: status?.used ?? {},
  }));
}

/**
 * What is left of the namespace's ResourceQuotas, by the resource, in percent; of several that limit the same, the least. Nothing where
 * there is none, nor of what is forbidden (none of 0 is used): it does not run low. Throws as `listQuotas` does.
 */
export async function readQuotaLeft(
  cluster: Cluster,
  namespace: string,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const left: Record<string, number> = {};
  for (const { hard, used } of await retry(() => listQuotas(cluster, namespace, signal), signal)) {
    for (const [resource, most] of Object.entries(hard)) {
      const percent = percentLeft(most, used[resource]);
      if (percent !== undefined) left[resource] = Math.min(left[resource] ?? 100, percent);
    }
  }
  return left;
}

/** A quota can be exceeded: it may have been made smaller. Undefined for what is forbidden. */
function percentLeft(most: string, used = '0'): number | undefined {
  const [all, gone] = [Number(readQuantity(most) ?? 0n), Number(readQuantity(used) ?? 0n)];
  if (all === 0) return gone === 0 ? undefined : 0;
  return Math.max(0, (1 - gone / all) * 100);
}
