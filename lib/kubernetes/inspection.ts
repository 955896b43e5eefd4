import { HttpMethod, RequestContext } from '@kubernetes/client-node';
import { sandboxSelector } from '../model/names.ts';
import type { Right } from '../model/rights.ts';
import { foreignAnswerError, isNotFound } from './errors.ts';
import { placeholderServer } from './exchange.ts';
import type { Cluster } from './index.ts';
import { listQuotas, type Quota } from './quotas.ts';
import { isKubernetesJson } from './transport.ts';

/** What is looked at of the namespace and of a claim. */
export type Found = Readonly<{ phase: string | undefined; isGoing: boolean }>;

/**
 * What tells whether the provisioner could work in one namespace. Each is one request, made once: who asks wants to know how it is
 * now. They throw as those of `Kubernetes` do, and are none of the client's, nor called as one of these is, for the reason that those of
 * `diagnostics` are not.
 */
export type Inspection = {
  /** Whether we have this right, as the API server's own authorizers say. */
  isPermitted(right: Right, signal: AbortSignal): Promise<boolean>;
  findNamespace(signal: AbortSignal): Promise<Found | undefined>;
  findClaim(name: string, signal: AbortSignal): Promise<Found | undefined>;
  /** Whether there is a Pod of a sandbox. */
  hasSandboxPods(signal: AbortSignal): Promise<boolean>;
  listQuotas(signal: AbortSignal): Promise<Quota[]>;
};

type Json = {
  kind?: string;
  metadata?: { name?: string; deletionTimestamp?: string };
  status?: { allowed?: boolean; phase?: string };
  items?: Json[] | null;
};

/** The calls about this namespace. */
export function openInspection({ transport }: Cluster, namespace: string): Inspection {
  const send = async (request: RequestContext, kind: string, signal: AbortSignal): Promise<Json> => {
    const answer = await transport.call(request, signal);
    const text = answer.body.toString();
    const json: Json = isKubernetesJson(answer, text) ? JSON.parse(text) : {};
    if (json.kind !== kind) throw foreignAnswerError(answer.code);
    return json;
  };
  const own = `/api/v1/namespaces/${namespace}`;
  const get = (path: string, kind: string, signal: AbortSignal) =>
    send(new RequestContext(`${placeholderServer}${path}`, HttpMethod.GET), kind, signal);
  const find = async (path: string, kind: string, signal: AbortSignal): Promise<Found | undefined> => {
    try {
      const { metadata, status } = await get(path, kind, signal);
      return { phase: status?.phase, isGoing: metadata?.deletionTimestamp !== undefined };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };
  return {
    async isPermitted(right, signal) {
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
      const request = new RequestContext(`${placeholderServer}${path}`, HttpMethod.POST);
      request.setHeaderParam('Content-Type', 'application/json');
      // Namespaces belong to none, but a Role permits to read its own.
      const isOfCluster = right.resource === 'namespaces' && right.verb === 'create';
      const resourceAttributes = {
        ...right,
        ...(!isOfCluster && { namespace }),
        ...(right.resource === 'namespaces' && !isOfCluster && { name: namespace }),
      };
      const kind = 'SelfSubjectAccessReview';
      const body = { apiVersion: 'authorization.k8s.io/v1', kind, spec: { resourceAttributes } };
      request.setBody(JSON.stringify(body));
      return (await send(request, kind, signal)).status?.allowed === true;
    },
    findNamespace: (signal) => find(own, 'Namespace', signal),
    findClaim: (name, signal) => find(`${own}/persistentvolumeclaims/${name}`, 'PersistentVolumeClaim', signal),
    async hasSandboxPods(signal) {
      const query = new URLSearchParams({ labelSelector: sandboxSelector, limit: '1' });
      const { items } = await get(`${own}/pods?${query}`, 'PodList', signal);
      return (items ?? []).length > 0;
    },
    listQuotas: (signal) => listQuotas({ transport }, namespace, signal),
  };
}
