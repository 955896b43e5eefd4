import { ApiException, CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { afterAll } from 'vitest';
import {
  type EmbeddedKubernetes,
  type EmbeddedKubernetesOptions,
  startEmbeddedKubernetes,
} from '../../../lib/local/kubernetes/index.ts';

export type Answer = { status: number; body: Json };
// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever JSON it is; the tests say what it has to be.
type Json = any;

export const MERGE_PATCH = 'application/merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
export const SOME_UID = '00000000-0000-4000-8000-000000000000';

export type TestCluster = {
  kubernetes: EmbeddedKubernetes;
  /** The real client, over the kubeconfig. */
  api: CoreV1Api;
  /** One bare request with the kubeconfig's token. */
  call(method: string, path: string, body?: unknown, contentType?: string): Promise<Answer>;
};

/** Starts an embedded Kubernetes for a test file, which is closed after it; quick, unless the options say otherwise. */
export async function startTestCluster(options: EmbeddedKubernetesOptions = {}): Promise<TestCluster> {
  const kubernetes = await startEmbeddedKubernetes({ startupMs: 20, readyMs: 10, terminationGraceMs: 50, ...options });
  afterAll(() => kubernetes.close());
  const config = new KubeConfig();
  config.loadFromString(kubernetes.kubeconfig);
  const token = config.getCurrentUser()?.token;
  return {
    kubernetes,
    api: config.makeApiClient(CoreV1Api),
    async call(method, path, body, contentType = 'application/json') {
      const response = await fetch(`${kubernetes.server}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': contentType },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
      return { status: response.status, body: isJson ? JSON.parse(text) : text };
    },
  };
}

/** Asks again and again until the answer is as wanted; fails after 15 s with the last one. */
export async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<T> {
  const end = Date.now() + 15_000;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`still ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The HTTP status and the `Status` of a call that the real client rejects. */
export async function failureOf(call: Promise<unknown>): Promise<{ code: number; body: Json }> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    return { code: error.code, body: typeof error.body === 'string' ? JSON.parse(error.body) : error.body };
  }
  throw new Error('the call did not fail');
}

/** The whole `Status` of a failure. */
export const failure = (code: number, reason: string | undefined, message: string, details?: object): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  ...(reason === undefined ? {} : { reason }),
  ...(details === undefined ? {} : { details }),
  code,
});

export const podManifest = (name: string, { spec, ...metadata }: { spec?: object; [field: string]: unknown } = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: 'x' }, ...metadata },
  spec: { containers: [{ name: 'sandbox', image: 'sandbox:1' }], ...spec },
});

export const serviceManifest = (name: string, spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...metadata },
  spec: { type: 'NodePort', selector: { app: 'x' }, ports: [{ name: 'http', port: 8080 }], ...spec },
});
