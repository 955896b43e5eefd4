import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { loadYaml } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildArtifact } from '../../lib/deploy/bundle.ts';
import { afterUse, aTime } from '../support/answers.ts';
import { aReport, latch } from '../support/clean-up.ts';
import { type HttpRequest, httpEvent, scheduledEvent } from '../support/events.ts';
import { isFor, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { type Invoked, type LambdaFunction, noLambdaRuntime, startLambdaFunction } from '../support/lambda-runtime.ts';
import { usePlace } from '../support/place.ts';
import { setReadinessAside } from '../support/readiness.ts';
import { keepSecret } from '../support/secrets.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { functions } = loadYaml<{ functions: Record<string, { handler: string }> }>(
  await readFile(join(root, 'serverless.yml'), 'utf8'),
);
const apiKey = keepSecret('a-key-of-the-tests-0123456789');

const openNames = ['health', 'get-ready', 'fallback', 'get-console', 'cleanup-sandboxes'];
const askingNames = Object.keys(functions).filter((name) => !openNames.includes(name));

let folder: string;
const place = usePlace();
const running = new Map<string, LambdaFunction>();

beforeAll(async () => {
  const { cluster, proxy, namespace } = place;
  folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-lambda-'));
  const own = { KUBECONFIG_PATH: proxy.kubeconfig, K8S_NAMESPACE: namespace };
  const settings = { ...cluster.settings, ...own, PROVISIONER_API_KEY: apiKey, LOG_LEVEL: 'INFO', API_DOCS: 'callers' };
  for (const [name, { handler }] of Object.entries(functions)) {
    await buildArtifact(root, handler.replace(/\.handler$/, ''), join(folder, name));
    running.set(name, await startLambdaFunction(name, { folder: join(folder, name), handler, settings }));
  }
}, 120_000);

afterAll(async () => {
  await Promise.all([...running.values()].map((one) => one.stop()));
  await rm(folder, { recursive: true, force: true });
});

const invoke = (name: string, event: unknown, remainingMs?: number): Promise<Invoked> => {
  const found = running.get(name);
  if (found === undefined) throw new Error(`serverless.yml has no function ${name}`);
  return found.invoke(event, remainingMs);
};

/** A call of API Gateway, and its answer. */
async function call(name: string, request: HttpRequest, remainingMs?: number) {
  const invoked = await invoke(name, httpEvent({ ...request, headers: { 'x-api-key': apiKey } }), remainingMs);
  if (!('answer' in invoked)) throw new Error(`${name} failed: ${JSON.stringify(invoked)}`);
  const { statusCode, headers, body } = invoked.answer;
  // What the log says of this invocation bears the same id.
  expect(headers).toMatchObject({ 'x-request-id': invoked.requestId });
  return setReadinessAside({ status: statusCode, body: JSON.parse(body) });
}

const pathParameters = { sandbox_id: 'a1b2' };
const create = () => {
  const body = { sandbox_id: 'a1b2', thread_id: 'thread-1' };
  return call('create-sandbox', { method: 'POST', path: '/api/sandboxes', body });
};
const get = () => call('get-sandbox', { method: 'GET', path: '/api/sandboxes/a1b2', pathParameters });
const list = (remainingMs?: number) => call('list-sandboxes', { method: 'GET', path: '/api/sandboxes' }, remainingMs);
const renew = () => {
  const request = { method: 'POST', path: '/api/sandboxes/a1b2/renew', pathParameters, body: { ttl_seconds: 60 } };
  return call('renew-sandbox', request);
};
const destroy = () => call('destroy-sandbox', { method: 'DELETE', path: '/api/sandboxes/a1b2', pathParameters });

/** What a function has logged: one JSON object a line. */
const logOf = (name: string): Record<string, unknown>[] =>
  (running.get(name)?.output() ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe.skipIf(noLambdaRuntime !== undefined)(
  `every function, run as Lambda runs it${noLambdaRuntime === undefined ? '' : ` (${noLambdaRuntime})`}`,
  () => {
    it('answers, and again from the same process, without Kubernetes: health and fallback', async () => {
      for (const _ of ['first', 'second']) {
        expect(await call('health', { method: 'GET', path: '/health' })).toEqual({
          status: 200,
          body: { status: 'ok' },
        });
        const unknown = await call('fallback', { method: 'GET', path: '/x', routeKey: '$default' });
        expect(unknown).toEqual({ status: 404, body: { detail: 'Not Found' } });
      }
      expect(place.proxy.calls).toEqual([]);
    });

    it('says that sandboxes can be made', async () => {
      const ready = { status: 200, body: { status: 'ready' } };
      expect(await call('get-ready', { method: 'GET', path: '/ready' })).toEqual(ready);
    });

    it('describes the API, and shows the description and the console, from what lies in its zip', async () => {
      const described = await call('get-openapi', { method: 'GET', path: '/prod/openapi.json' });
      expect(described).toMatchObject({ status: 200, body: { openapi: '3.1.1', servers: [{ url: '/prod' }] } });
      const event = httpEvent({ method: 'GET', path: '/docs', headers: { 'x-api-key': apiKey } });
      const { answer } = (await invoke('get-docs', event)) as { answer: { statusCode: number; body: string } };
      expect(answer).toMatchObject({ statusCode: 200, body: expect.stringContaining('<openapi-explorer') });
      const shown = (await invoke('get-console', httpEvent({ method: 'GET', path: '/' }))) as {
        answer: { body: string };
      };
      expect(shown.answer).toMatchObject({ statusCode: 200, body: expect.stringContaining('<div id="console">') });
    });

    it('takes a sandbox through its life, and once more through the same processes', async () => {
      for (const _ of ['first', 'second']) {
        const created = await create();
        const url = expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/);
        const status = expect.stringMatching(/^(Pending|Running)$/);
        const own = { max_shell_sessions: 10, container_id: expect.any(String), lark_cli_broker: false };
        const noted = { thread_id: expect.any(String), user_id: null, metadata: {}, image: expect.any(String) };
        const view = {
          sandbox_id: 'a1b2',
          sandbox_url: url,
          status,
          ...own,
          ...noted,
          created_at: aTime,
          expires_at: aTime,
        };
        expect(created).toEqual({ status: 200, body: { ...view, created: true } });
        delete created.body.created;
        const used = afterUse(created.body, { status });
        expect(await create()).toEqual({ status: 200, body: { ...used, created: false } });
        expect(await get()).toEqual({ status: 200, body: used });
        const update = { method: 'PATCH', path: '/api/sandboxes/a1b2', pathParameters, body: { metadata: { a: 'b' } } };
        expect(await call('update-sandbox', update)).toMatchObject({ status: 200, body: { metadata: { a: 'b' } } });
        expect(await list()).toMatchObject({ status: 200, body: { count: 1, sandboxes: [{ sandbox_id: 'a1b2' }] } });
        const renewed = await renew();
        expect(renewed).toMatchObject({ status: 200, body: { sandbox_id: 'a1b2', expires_at: aTime } });
        expect(Date.parse(renewed.body.expires_at) - Date.now()).toBeLessThan(60_000);
        expect(await destroy()).toEqual({ status: 200, body: { ok: true, sandbox_id: 'a1b2' } });
        expect(await get()).toEqual({ status: 404, body: { detail: "Sandbox 'a1b2' not found" } });
      }
    });

    it.each([...askingNames])('lets nobody in who shows no key: %s', async (name) => {
      const event = httpEvent({ method: 'GET', path: '/api/sandboxes/a1b2', pathParameters });
      expect(await invoke(name, event)).toMatchObject({ answer: { statusCode: 401 } });
      expect(place.proxy.calls).toEqual([]);
    });

    it('runs on its schedule, and logs its report', async () => {
      expect(await invoke('cleanup-sandboxes', scheduledEvent())).toMatchObject({ answer: aReport({}) });
      await create();
      const report = aReport({ examined: 1, kept: { 'in-use': 1 } });
      expect(await invoke('cleanup-sandboxes', scheduledEvent())).toMatchObject({ answer: report });
      expect(logOf('cleanup-sandboxes').map((line) => line.report)).toEqual([aReport({}), report]);
    });

    it('has an answer of its own where its time is over, and goes on with the next', async () => {
      const { hold, release } = latch();
      const hung = place.proxy.injectFault({ when: () => true, action: { hold } });
      expect(await list(2_500)).toEqual({ status: 504, body: { detail: expect.any(String) } });
      expect(hung.hits.length).toBeGreaterThan(0);
      hung.remove();
      release();
      expect(await list()).toEqual({ status: 200, body: { sandboxes: [], count: 0 } });
    });

    it('answers an error, and goes on with the next', async () => {
      const refusal = kubernetesStatus(403, 'Forbidden', 'pods is forbidden');
      const fault = place.proxy.injectFault({ when: (one) => isFor(one, 'pods'), action: { answer: refusal } });
      expect(await list()).toEqual({ status: 500, body: { detail: expect.stringMatching(/^Failed to list/) } });
      fault.remove();
      expect((await list()).status).toBe(200);
    });

    it('fails where nobody is there to be answered, as alarms on errors see it: the clean-up', async () => {
      const refusal = kubernetesStatus(403, 'Forbidden', 'pods is forbidden');
      place.proxy.injectFault({ when: (one) => isFor(one, 'pods'), action: { answer: refusal } });
      expect(await invoke('cleanup-sandboxes', scheduledEvent())).toMatchObject({
        errorType: expect.stringMatching(/Error$/),
        errorMessage: expect.stringMatching(/\S/),
      });
      place.proxy.reset();
      expect(await invoke('cleanup-sandboxes', scheduledEvent())).toHaveProperty('answer');
    });
  },
);
