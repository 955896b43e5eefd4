import { HttpMethod, RequestContext } from '@kubernetes/client-node';
import { KubernetesError } from '../errors.ts';
import type { KubernetesEvent } from '../model/events.ts';
import { foreignAnswerError, isInvalidToken } from './errors.ts';
import { type Answer, placeholderServer } from './exchange.ts';
import type { Cluster } from './index.ts';
import { retry } from './retries.ts';
import { isKubernetesJson } from './transport.ts';

/** Which log, and how much of it: so many of its last lines, and of these the first so many bytes. */
export type LogSelection = Readonly<{ container: string; previous: boolean; tailLines: number; limitBytes: number }>;

/**
 * What Kubernetes knows of the Pods of one namespace beyond their objects. The calls are as those of `Kubernetes` are, but an error
 * that is about rights names the one that is missing. They are none of the client's: each call of it that is named in this room is in
 * the bundle of every function.
 */
export type Diagnostics = {
  /** The events of this very Pod, in no order that counts. */
  readEvents(podUid: string, signal: AbortSignal): Promise<KubernetesEvent[]>;
  /** What a container has printed, as it is; undefined where it has no such log. */
  readLog(podName: string, selection: LogSelection, signal: AbortSignal): Promise<Buffer | undefined>;
};

/** The calls in this namespace. */
export function openDiagnostics({ transport }: Cluster, namespace: string): Diagnostics {
  const get = async (path: string, query: Record<string, string>, right: string, signal: AbortSignal) => {
    const url = `${placeholderServer}/api/v1/namespaces/${namespace}/${path}?${new URLSearchParams(query)}`;
    try {
      return await retry(() => transport.call(new RequestContext(url, HttpMethod.GET), signal), signal);
    } catch (error) {
      throw nameRight(error, right);
    }
  };
  return {
    async readEvents(podUid, signal) {
      const fieldSelector = `involvedObject.uid=${podUid},involvedObject.kind=Pod`;
      const answer = await get('events', { fieldSelector }, 'list events', signal);
      const text = answer.body.toString();
      if (!isKubernetesJson(answer, text)) throw foreignAnswerError(answer.code);
      const { kind, items } = JSON.parse(text) as { kind?: string; items?: KubernetesEvent[] | null };
      if (kind !== 'EventList') throw foreignAnswerError(answer.code);
      return items ?? [];
    },
    async readLog(podName, { container, ...amounts }, signal) {
      const query = Object.entries(amounts).map(([name, value]) => [name, String(value)]);
      let answer: Answer;
      try {
        const path = `pods/${podName}/log`;
        answer = await get(path, { container, ...Object.fromEntries(query) }, 'get pods/log', signal);
      } catch (error) {
        // So Kubernetes refuses one of a container that has not started, or was not started again.
        if (isInvalidToken(error)) return undefined;
        throw error;
      }
      // And answers so where the Pod has no node.
      if (answer.code === 204) return undefined;
      // A login page may say 200 as well.
      if (!answer.headers['content-type']?.startsWith('text/plain')) throw foreignAnswerError(answer.code);
      return isForgotten(answer.body) ? undefined : answer.body;
    },
  };
}

/** Of a container that is being removed, the kubelet says in the place of its log, with a 200, that there is none. */
const isForgotten = (log: Buffer): boolean =>
  log.length < 250 && /^unable to retrieve container logs for \S+$/.test(log.toString());

/** The same error; where it is about rights, with the verb and the resource that it takes. */
function nameRight(error: unknown, right: string): unknown {
  if (!(error instanceof KubernetesError) || error.kind !== 'refused' || error.status?.code !== 403) return error;
  const { status, cause } = error;
  return new KubernetesError('refused', `Kubernetes does not permit it: ${right} (403 Forbidden)`, { status, cause });
}
