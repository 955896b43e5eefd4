import { afterEach, describe, expect, it, vi } from 'vitest';
import { lambdaContext } from '../support/events.ts';
import { type ApiServer, answerStatus, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { askingFunctions, type FunctionName, get, keepPrinted, list, load, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };

async function startWith(answer: Parameters<typeof startApiServer>[0], settings = {}): Promise<ApiServer> {
  const api = await startApiServer(answer);
  startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), ...settings });
  return api;
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** What each function says it could not do. */
const sentences: Record<string, (reason: string) => string> = {
  'create-sandbox': (reason) => `Service creation failed: ${reason}`,
  'get-sandbox': (reason) => `Service lookup failed: ${reason}`,
  'list-sandboxes': (reason) => `Failed to list services: ${reason}`,
  'renew-sandbox': (reason) => `Service update failed: ${reason}`,
  'update-sandbox': (reason) => `Service lookup failed: ${reason}`,
  'destroy-sandbox': (reason) => `Partial cleanup: service: ${reason}, pod: ${reason}`,
};
const says = (name: FunctionName, reason: string) => ({ detail: sentences[name]?.(reason) });

// What else it may answer: test/unit/errors, and over HTTP test/contract/kubernetes-errors and admission.
describe.each(askingFunctions)('%s, where Kubernetes', (name, callIt) => {
  // A proxy's page once passed for an empty Service, and a deletion that it answered for done.
  it.each([
    ['HTML', 'text/html', '<html>secret: sign in</html>'],
    ['JSON of its own', 'application/json', '{"message":"secret: sign in"}'],
  ])(
    'is not what answers, with 200 and %s: that is no sandbox, and nothing has been done',
    async (_what, type, text) => {
      await startWith((_request, response) => {
        response.writeHead(200, { 'content-type': type });
        response.end(text);
      });
      await load(name);
      const start = performance.now();
      const answer = await callIt();
      // Long before its time is over.
      expect(performance.now() - start).toBeLessThan(4000);
      expect(answer).toMatchObject({ headers: json, body: { detail: expect.any(String) } });
      expect(answer.status).toBeGreaterThanOrEqual(500);
      expect(JSON.stringify(answer)).not.toContain('secret');
    },
  );

  it('has the certificate of another: says so', async () => {
    const { makeCertificate } = await import('../support/certificate.ts');
    const api = await startApiServer(undefined, makeCertificate('kube.example'));
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }) });
    const reason = "the certificate of the API server is not signed by the cluster's CA (DEPTH_ZERO_SELF_SIGNED_CERT)";
    expect(await callIt()).toEqual({ status: 500, headers: json, body: says(name, reason) });
  });

  it('does not answer before Lambda would end the function: answers 504 in time', async () => {
    await startWith(() => {});
    await load(name);
    const start = performance.now();
    const answer = await callIt(lambdaContext(name, 1500));
    expect(answer).toEqual({ status: 504, headers: json, body: { detail: expect.stringMatching(/time/) } });
    expect(performance.now() - start).toBeGreaterThan(300);
    expect(performance.now() - start).toBeLessThan(1400);
  });

  it('would have to be asked with no time left at all: answers 504 at once', async () => {
    await startWith(() => {});
    await load(name);
    const start = performance.now();
    expect(await callIt(lambdaContext(name, 200))).toMatchObject({ status: 504, headers: json });
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe('a failure', () => {
  it('is logged once, with its cause and the id of the request', async () => {
    await startWith((_request, response) => answerStatus(response, 403, 'Forbidden'), { LOG_LEVEL: 'INFO' });
    const written = keepPrinted();
    await get('a1b2c3d4');
    vi.restoreAllMocks();
    const entries = written.filter((line) => line.includes('"level"')).map((line) => JSON.parse(line));
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      level: 'ERROR',
      message: 'Service lookup failed: Kubernetes does not permit it (403 Forbidden)',
      routeKey: 'GET /api/sandboxes/{sandbox_id}',
      statusCode: 500,
      requestId: '8f507cfc-xmpl-4697-b07a-ac58fc914c95',
      cause: { code: 403, reason: 'Forbidden', message: 'secret words: Forbidden' },
    });
  });
});

// API Gateway made a 502 of it, which says nothing.
it('a list that Lambda has no room for says to ask for pages; one that it has room for is whole', async () => {
  const service = (id: number) => ({
    metadata: {
      name: `sandbox-${id}-svc`,
      namespace: 'deer-flow',
      uid: `${id}`,
      labels: { app: 'deer-flow-sandbox', 'sandbox-id': `${id}` },
      annotations: { 'sandbox-provisioner/thread-id': 't'.repeat(64), 'sandbox-provisioner/user-id': 'u'.repeat(64) },
    },
    spec: { type: 'NodePort', ports: [{ name: 'http', port: 8080, nodePort: 30_000 }] },
  });
  const listOf = (count: number) => Array.from({ length: count }, (_, id) => service(id));
  let count = 8_000;
  const answer: Parameters<typeof startApiServer>[0] = ({ url }, response) => {
    response.writeHead(200, json);
    const kind = url.includes('/services') ? 'ServiceList' : 'PodList';
    const items = kind === 'ServiceList' ? listOf(count) : [];
    response.end(JSON.stringify({ kind, apiVersion: 'v1', metadata: {}, items }));
  };
  await startWith(answer, { AWS_LAMBDA_FUNCTION_NAME: 'list-sandboxes' });
  expect((await list()).body).toMatchObject({ count });
  count = 16_000;
  const msg = 'Value error, an answer has no room for 16000 sandboxes: ask for them in pages, or for fewer by a filter';
  expect(await list()).toMatchObject({ status: 422, body: { detail: [{ loc: ['query', 'limit'], msg }] } });
  await startWith(answer);
  expect((await list()).body).toMatchObject({ count });
});
