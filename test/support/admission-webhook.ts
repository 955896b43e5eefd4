import { randomBytes } from 'node:crypto';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

import { makeCertificate } from './certificate.ts';
import { eventually } from './eventually.ts';
import type { KubernetesClient } from './kubernetes-client.ts';

/** What a webhook does with the next Pods: how it refuses them (a `Status`), or something that is no answer. */
export type WebhookAction = { readonly deny: object } | 'allow' | 'hang' | 'fail';

/** A webhook of this process that a real API server on this machine asks for the Pods of one namespace. */
export interface AdmissionWebhook {
  readonly name: string;
  next(action: WebhookAction): void;
  /** Nothing listens any more. */
  stop(): Promise<void>;
  /** The API server does not ask any more, either. */
  remove(): Promise<void>;
}

/** Where a cluster has its webhooks; ours bear the name of their namespace. */
export const webhooksPath = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

/** Starts one, and waits until the API server asks it. It is asked for no other namespace. */
export async function startAdmissionWebhook(kubernetes: KubernetesClient): Promise<AdmissionWebhook> {
  const { namespace } = kubernetes;
  const name = `pods.${randomBytes(4).toString('hex')}.example`;
  const { certificate, key } = makeCertificate('localhost');
  let action: WebhookAction = 'allow';
  let asked = 0;
  const server = https.createServer({ cert: certificate, key }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    asked += 1;
    if (action === 'hang') return;
    if (action === 'fail') return void response.writeHead(500).end('secret words of the webhook');
    const { uid } = JSON.parse(Buffer.concat(chunks).toString()).request;
    const verdict = action === 'allow' ? { allowed: true } : { allowed: false, status: action.deny };
    response.writeHead(200, { 'content-type': 'application/json' });
    const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, ...verdict } };
    response.end(JSON.stringify(review));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const must = async (method: string, path: string, body?: object) => {
    const answer = await kubernetes.request(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  };
  const namespacePath = `/api/v1/namespaces/${namespace}`;
  await must('PATCH', namespacePath, { metadata: { labels: { 'sandbox-test-webhook': namespace } } });
  await must('POST', webhooksPath, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: namespace },
    webhooks: [
      {
        name,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        timeoutSeconds: 1,
        failurePolicy: 'Fail',
        clientConfig: {
          url: `https://localhost:${port}/secret-path`,
          caBundle: Buffer.from(certificate).toString('base64'),
        },
        namespaceSelector: { matchLabels: { 'sandbox-test-webhook': namespace } },
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
      },
    ],
  });
  const pod = { metadata: { name: 'a-pod' }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  await eventually(
    'asked: the webhook',
    async () => {
      await kubernetes.request('POST', `${namespacePath}/pods?dryRun=All`, pod);
      return asked;
    },
    (count) => count > 0,
  );
  const stop = async () => {
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return {
    name,
    next(next) {
      action = next;
    },
    stop,
    async remove() {
      await must('DELETE', `${webhooksPath}/${namespace}`);
      await stop();
    },
  };
}
