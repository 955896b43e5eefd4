import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sandboxLabels } from '../../lib/model/names.ts';
import { httpEvent, lambdaContext } from '../support/events.ts';
import { answerJson, answerNotFound, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { apiKey, create, get, load, startCold } from './handlers.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Keys of callers that AWS keeps and takes its time to tell. */
async function storeKeys(milliseconds: number): Promise<Record<string, string>> {
  const extension = await startApiServer((_request, response) => {
    setTimeout(() => answerJson(response, { SecretString: apiKey }), milliseconds);
  });
  return {
    PROVISIONER_API_KEY_SECRET_ID: 'keys',
    AWS_SESSION_TOKEN: 'session',
    PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: `${extension.port}`,
  };
}

/** What Kubernetes makes of a Service that is sent to it. */
function makeService(body: string): object {
  const { metadata, spec } = JSON.parse(body);
  const [port] = spec.ports;
  const ports = [{ ...port, nodePort: 30_000 }];
  return { kind: 'Service', metadata: { ...metadata, uid: 'u', resourceVersion: '7' }, spec: { ...spec, ports } };
}

describe('the time of a request', () => {
  // A create had its 25 s after the 2 s that the keys had taken, and Lambda ended it before it had taken back what it made.
  it('begins with its first middleware: the look at who calls is part of it', async () => {
    startCold(await storeKeys(1_800));
    const { json, serve } = await import('../../lib/http/serve.ts');
    const handler = serve({ deadlineSeconds: 3 }, async (_event, { signal }) => {
      await once(signal, 'abort');
      return json({});
    });
    const start = performance.now();
    const event = httpEvent({ method: 'GET', path: '/', headers: { 'x-api-key': apiKey } });
    await handler(event as Parameters<typeof handler>[0], lambdaContext());
    const seconds = (performance.now() - start) / 1000;
    expect(seconds).toBeGreaterThan(2.9);
    expect(seconds).toBeLessThan(4.5);
  });

  it.each<[string, number, number, { leastSeconds?: number; mostReads?: number }]>([
    ['more than the 8 s of a look', 29_000, 10, { leastSeconds: 8.5 }],
    ['no more than Lambda leaves, or it had no answer', 5_000, 20, {}],
    // Two seconds are left for looks; the first comes beside the Service.
    ['counted from its begin', 29_000, 3, { mostReads: 5 }],
  ])(
    'may be waited in: %s',
    { timeout: 60_000 },
    async (_what, leftMs, seconds, { leastSeconds = 0, mostReads = 99 }) => {
      const labels = sandboxLabels('a1b2c3d4');
      const annotations = { 'sandbox-provisioner/last-used-at': new Date().toISOString() };
      const spec = { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30_000 }] };
      const service = { kind: 'Service', metadata: { name: 'sandbox-a1b2c3d4-svc', labels, annotations }, spec };
      const pod = { kind: 'Pod', metadata: { name: 'sandbox-a1b2c3d4', labels }, status: { phase: 'Pending' } };
      const api = await startApiServer(({ url }, response) =>
        answerJson(response, url.includes('/pods/') ? pod : service),
      );
      startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), ...(await storeKeys(1_000)) });
      await load('get-sandbox');
      const start = performance.now();
      const answer = await get('a1b2c3d4', lambdaContext('get-sandbox', leftMs), { wait_seconds: `${seconds}` });
      expect(answer).toMatchObject({ status: 200, body: { ready: false, reason: 'Scheduling' } });
      expect((performance.now() - start) / 1000).toBeGreaterThan(leastSeconds);
      expect(api.requests.filter(({ url }) => url.includes('/pods/')).length).toBeLessThanOrEqual(mostReads);
    },
  );

  it('is enough to take back a sandbox that could not be made, before the answer', async () => {
    const done: string[] = [];
    const api = await startApiServer((request, response) => {
      const what = `${request.method} ${request.url.split('/')[5]}`;
      if (what === 'POST pods') return;
      if (what === 'POST services') {
        return answerJson(response, makeService(request.body), 201);
      }
      if (what !== 'DELETE services') return answerNotFound(request, response);
      setTimeout(() => {
        done.push(what);
        answerJson(response, { kind: 'Status', status: 'Success' });
      }, 700);
    });
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), ...(await storeKeys(1_000)) });
    // Less than the 25 s of a create: it ends so early that the rest is enough.
    const answer = await create({ sandbox_id: 'a1b2c3d4' }, {}, lambdaContext('create-sandbox', 7_000));
    expect(answer).toMatchObject({
      status: 504,
      body: { detail: 'Pod creation failed: Kubernetes did not answer in time' },
    });
    expect(done).toEqual(['DELETE services']);
    expect(api.requests.filter(({ method }) => method === 'DELETE').map(({ body }) => JSON.parse(body))).toEqual([
      { preconditions: { uid: 'u', resourceVersion: '7' } },
    ]);
  });

  // A webhook that hangs uses up all time: who hears of it alone does not know of the webhook.
  it.each(['services', 'pods'])('that is over is told with what Kubernetes said before: %s', async (resource) => {
    const api = await startApiServer((request, response) => {
      if (request.method === 'POST' && request.url.endsWith(`/${resource}`)) {
        const posts = api.requests.filter(({ method, url }) => method === 'POST' && url.endsWith(`/${resource}`));
        if (posts.length > 1) return;
        const message = 'Internal error occurred: failed calling webhook "hook.example.com": context deadline exceeded';
        return answerJson(response, { kind: 'Status', reason: 'InternalError', message, code: 500 }, 500);
      }
      if (request.method === 'POST') return answerJson(response, makeService(request.body), 201);
      answerNotFound(request, response);
    });
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    const what = resource === 'pods' ? 'Pod' : 'Service';
    expect(await create({ sandbox_id: 'a1b2c3d4' }, {}, lambdaContext('create-sandbox', 5_000))).toEqual({
      status: 503,
      headers: { 'content-type': 'application/json', 'retry-after': '1' },
      body: { detail: `${what} creation failed: admission fails: the webhook 'hook.example.com' (500)` },
    });
  });
});
