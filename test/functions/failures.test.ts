import { afterEach, describe, expect, it, vi } from 'vitest';
import { lambdaContext } from '../support/events.ts';
import { type ApiServer, answerJson, answerStatus, startApiServer, writeKubeconfig } from '../unit/api-server.ts';
import { askingFunctions, type FunctionName, get, keepPrinted, load, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const again = { ...json, 'retry-after': '1' };

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
  'destroy-sandbox': (reason) => `Partial cleanup: service: ${reason}, pod: ${reason}`,
};
const says = (name: FunctionName, reason: string) => ({ detail: sentences[name]?.(reason) });

describe.each(askingFunctions)('%s, where Kubernetes', (name, callIt) => {
  const refusal = (code: number, reason: string, message = `secret words: ${reason}`) => {
    return { kind: 'Status', reason, message, code };
  };
  const notReady = (code: number) => `Kubernetes is overloaded or not ready (${code})`;
  const says403 = (words: string) => refusal(403, 'Forbidden', `pods "secret" is forbidden: ${words}`);
  const limit = says403('maximum cpu usage per Container is 500m, but limit is 1');
  const [denied, failing] = [
    'admission webhook "deny.example.com" denied the request: secret',
    'failed calling webhook',
  ];
  const isDown = `Internal error occurred: ${failing} "deny.example.com": Post "https://secret/": EOF`;

  it.each<[string, { code: number }, typeof json, string]>([
    ['does not permit it', refusal(403, 'Forbidden'), json, 'Kubernetes does not permit it (403 Forbidden)'],
    ['has no such user', refusal(401, 'Unauthorized'), json, 'Kubernetes refused our credentials (401 Unauthorized)'],
    ['fails', refusal(500, 'InternalError'), json, 'InternalError (500)'],
    ['is overloaded', refusal(429, 'TooManyRequests'), again, notReady(429)],
    ['is not ready', refusal(503, 'ServiceUnavailable'), again, notReady(503)],
    ['has an admission that refuses it', limit, json, 'admission refuses it: a LimitRange (403)'],
    ['has a webhook', refusal(409, '', denied), json, "admission refuses it: the webhook 'deny.example.com' (409)"],
    ['asks in vain', refusal(500, '', isDown), again, "admission fails: the webhook 'deny.example.com' (500)"],
    ['is only starting', says403('not yet ready to handle request'), again, notReady(403)],
  ])('%s: says which, and not in the words of Kubernetes', async (_what, refused, headers, reason) => {
    await startWith((_request, response) => answerJson(response, refused, refused.code));
    const answer = await callIt();
    expect(answer).toEqual({ status: headers === json ? 500 : 503, headers, body: says(name, reason) });
    expect(JSON.stringify(answer)).not.toContain('secret');
  });

  it('is not what answers, with a 404 in HTML: that does not make the sandbox one that is not there', async () => {
    await startWith((_request, response) => {
      response.writeHead(404, { 'content-type': 'text/html' });
      response.end('<html>secret</html>');
    });
    expect(await callIt()).toEqual({
      status: 500,
      headers: json,
      body: says(name, 'what answered was not the Kubernetes API (404)'),
    });
  });

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

  it('cuts the connection: says so', async () => {
    await startWith((_request, response) => response.destroy());
    expect(await callIt()).toEqual({
      status: 503,
      headers: again,
      body: says(name, 'Kubernetes is unreachable (ECONNRESET)'),
    });
  });

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
