import { HttpMethod, RequestContext } from '@kubernetes/client-node';
import { readQuantity } from '../config/quantities.ts';
import { foreignAnswerError } from './errors.ts';
import { placeholderServer } from './exchange.ts';
import type { Cluster } from './index.ts';
import { retry } from './retries.ts';
import { isKubernetesJson } from './transport.ts';

type Amounts = Readonly<Record<string, string>>;
type QuotaList = { kind?: string; items?: { status?: { hard?: Amounts; used?: Amounts } }[] | null };

/**
 * What is left of the namespace's ResourceQuotas, by the resource, in percent; of several that limit the same, the least. Nothing where
 * there is none. None of the client's calls, as in `diagnostics`: the clean-up alone makes it. Throws as these do.
 */
export async function readQuotaLeft(
  { transport }: Cluster,
  namespace: string,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const url = `${placeholderServer}/api/v1/namespaces/${namespace}/resourcequotas?limit=100`;
  const answer = await retry(() => transport.call(new RequestContext(url, HttpMethod.GET), signal), signal);
  const text = answer.body.toString();
  if (!isKubernetesJson(answer, text)) throw foreignAnswerError(answer.code);
  const { kind, items } = JSON.parse(text) as QuotaList;
  if (kind !== 'ResourceQuotaList') throw foreignAnswerError(answer.code);
  const left: Record<string, number> = {};
  for (const { status: { hard = {}, used = {} } = {} } of items ?? []) {
    for (const [resource, most] of Object.entries(hard)) {
      left[resource] = Math.min(left[resource] ?? 100, percentLeft(most, used[resource]));
    }
  }
  return left;
}

/** A quota can be exceeded: it may have been made smaller. Of nothing, nothing is left. */
function percentLeft(most: string, used = '0'): number {
  const [all, gone] = [Number(readQuantity(most) ?? 0n), Number(readQuantity(used) ?? 0n)];
  return all === 0 ? 0 : Math.max(0, (1 - gone / all) * 100);
}
