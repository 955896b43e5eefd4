import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { HttpEvent } from '../../lib/http/serve.ts';
import { functions } from '../../lib/server/functions.ts';
import { type Functions, type Server, startServer } from '../../lib/server/server.ts';
import { callHttp } from '../support/http-call.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { callRaw } from '../support/raw-call.ts';

describe('an event of the server', () => {
  // In the place of the functions: each says which it is, and gives its event back.
  const routes: Record<string, string> = {
    'GET /health': 'health',
    'GET /api/sandboxes': 'list-sandboxes',
    'POST /api/sandboxes': 'create-sandbox',
    'GET /api/sandboxes/{sandbox_id}': 'get-sandbox',
    'PATCH /api/sandboxes/{sandbox_id}': 'update-sandbox',
    'DELETE /api/sandboxes/{sandbox_id}': 'destroy-sandbox',
    'POST /api/sandboxes/{sandbox_id}/renew': 'renew-sandbox',
    $default: 'fallback',
  };
  let folder = '';
  let offline: Provisioner | undefined;
  let server: Server | undefined;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'echoing-functions-'));
    const echoing: Record<string, Functions['$default']> = {};
    for (const [route, name] of Object.entries(routes)) {
      await mkdir(path.join(folder, name, 'functions'), { recursive: true });
      const answer = `{ statusCode: 200, headers: { 'x-request-id': 'x' }, body: JSON.stringify({ name: '${name}', event }) }`;
      await writeFile(
        path.join(folder, name, 'functions', `${name}.cjs`),
        `exports.handler = async (event) => (${answer});`,
      );
      echoing[route] = async (event) => ({ statusCode: 200, body: JSON.stringify({ name, event }) });
    }
    offline = await startProvisioner({ EMBEDDED_KUBERNETES: 'true', OFFLINE_BUNDLES: folder }, 'node');
    server = await startServer({ ...functions, ...echoing }, { host: '127.0.0.1', port: 0 });
  });
  afterAll(async () => {
    await Promise.all([offline?.stop(), server?.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  /** What is read of an event, in one form: API Gateway leaves out what serverless-offline says is null. */
  function readable({ name, event }: { name: string; event: HttpEvent }) {
    const { rawPath, rawQueryString, requestContext, body, isBase64Encoded, routeKey } = event;
    const { host, 'sls-offline-authorizer-override': _, ...headers } = event.headers;
    return {
      name,
      // serverless-offline has words of its own for it.
      isFallback: routeKey === '$default' || name === 'fallback',
      // API Gateway decodes it, as does the server.
      rawPath: decodeURIComponent(rawPath ?? ''),
      rawQueryString,
      pathParameters: name === 'fallback' ? {} : (event.pathParameters ?? {}),
      queryStringParameters: event.queryStringParameters ?? {},
      headers,
      method: requestContext.http.method,
      stage: requestContext.stage,
      body: body ?? undefined,
      isBase64Encoded,
    };
  }

  const json = 'Content-Type: application/json';
  it.each<[requestLine: string, headers?: string[], body?: string]>([
    ['GET /health'],
    ['GET /api/sandboxes'],
    ['GET /api/sandboxes?limit=2&continue=a%2Bb+c&limit=3&=x&y=&z'],
    ['GET /api/sandboxes?caf%C3%A9=%E2%82%AC&bad=%FF%'],
    ['GET /api/sandboxes?'],
    ['POST /api/sandboxes', [json], '{"sandbox_id":"a"}'],
    ['POST /api/sandboxes', [json], '{"sandbox_id":"\xc3\xa9"}'],
    ['POST /api/sandboxes', [json], '\xff\xfe'],
    ['POST /api/sandboxes', ['Content-Type: text/plain'], 'no JSON'],
    ['POST /api/sandboxes', ['Content-Type: application/x-www-form-urlencoded'], 'a=b&c=d'],
    ['POST /api/sandboxes'],
    ['GET /api/sandboxes/abc', ['X-API-Key: one', 'x-api-key: two', 'COOKIE: a=b', 'Cookie: c=d']],
    ['GET /api/sandboxes/abc', ['X-Odd: caf\xe9', 'X-Empty:', '__proto__: x']],
    ['GET /api/sandboxes/a%20b'],
    ['GET /api/sandboxes/a%2Fb'],
    ['GET /api/sandboxes/caf%C3%A9'],
    ['GET /%61pi/sandboxes'],
    ['DELETE /api/sandboxes/abc'],
    ['POST /api/sandboxes/abc/renew', [json], '{"ttl_seconds":60}'],
    ['POST /api/sandboxes/abc/renew?x=y'],
    ['PATCH /api/sandboxes/abc', [json], '{"metadata":{"a":null}}'],
    ['GET /api/sandboxes?metadata.a=b&metadata.a=c&metadata.%61%62=%20&ready=true'],
    ['GET /api/sandboxes/../sandboxes/abc'],
    ['GET /api/sandboxes/abc/other'],
    ['PUT /api/sandboxes', [json], '{}'],
    ['OPTIONS /api/sandboxes', ['Access-Control-Request-Method: POST']],
    ['GET //health'],
    ['GET /nothing'],
    ['GET /nowhere?x=1'],
  ])('is, as far as a function reads it, that of serverless-offline: %s %o %j', async (requestLine, headers, body) => {
    const url = `http://127.0.0.1:${server?.address.port}`;
    const [there, here] = await Promise.all(
      [offline?.url ?? '', url].map((at) => callRaw(at, requestLine, headers, body)),
    );
    expect(there?.status, there?.text).toBe(200);
    expect(readable(here?.body)).toEqual(readable(there?.body));
  });
});

describe('the server', () => {
  it('outlives what nobody catches, and says so in one line', async () => {
    // As if a callback of some library failed.
    const failing = `process.on('SIGUSR2', () => { Promise.reject(new Error('one')); throw new Error('two'); })`;
    const provisioner = await startProvisioner(
      { AUTH: 'off', NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(failing)}` },
      'server',
    );
    try {
      process.kill(provisioner.pid, 'SIGUSR2');
      await expect.poll(() => provisioner.output(), { timeout: 10_000 }).toMatch(/one.*two|two.*one/s);
      const lines = provisioner.output().trim().split('\n');
      const logged = lines.map((line) => JSON.parse(line)).filter(({ cause }) => /^(one|two)$/.test(cause?.message));
      expect(logged).toEqual([
        expect.objectContaining({ level: 'ERROR', event: 'uncaughtException' }),
        expect.objectContaining({ level: 'ERROR', event: 'unhandledRejection' }),
      ]);
      expect(await callHttp({ method: 'GET', url: `${provisioner.url}/health` })).toMatchObject({ status: 200 });
      // No call of the health leaves a line.
      expect(provisioner.output().trim().split('\n').length).toBe(lines.length);
    } finally {
      await provisioner.stop();
    }
  });

  it('shows its figures to callers alone, where the settings say so, and each request has one line', async () => {
    const key = 'a-key-of-those-who-scrape';
    const settings = { PROVISIONER_API_KEY: key, METRICS: 'prometheus', EMBEDDED_KUBERNETES: 'false' };
    const provisioner = await startProvisioner({ ...settings, KUBECONFIG_CONTENT: 'a: [YAML]' }, 'server');
    const off = await startProvisioner({ ...settings, METRICS: 'off', KUBECONFIG_CONTENT: 'a: [YAML]' }, 'server');
    const ask = (url: string, headers: Record<string, string> = { 'x-api-key': key }) =>
      callHttp({ method: 'GET', url, headers });
    try {
      const before = provisioner.output();
      for (const path of ['/api/sandboxes/x', '/api/capabilities', '/api/capabilities', '/nothing', '/health']) {
        await ask(`${provisioner.url}${path}`);
      }
      expect(await ask(`${provisioner.url}/metrics`, {})).toMatchObject({ status: 401 });
      // It is no part of the API that is described.
      const shown = await fetch(`${provisioner.url}/metrics`, { headers: { 'x-api-key': key } });
      expect(shown.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      const requests = (await shown.text())
        .split('\n')
        .filter((line) => line.startsWith('sandbox_provisioner_requests_total{'));
      expect(requests.toSorted()).toEqual([
        'sandbox_provisioner_requests_total{route="$default"} 1',
        'sandbox_provisioner_requests_total{route="GET /api/capabilities"} 2',
        'sandbox_provisioner_requests_total{route="GET /api/sandboxes/{sandbox_id}"} 1',
      ]);
      const lines = provisioner.output().slice(before.length).split('\n').filter(Boolean);
      const seen = lines.map((line) => JSON.parse(line)).filter(({ durationMs }) => durationMs !== undefined);
      expect(seen.map(({ routeKey, statusCode, sourceIp }) => [routeKey, statusCode, sourceIp])).toEqual([
        ['GET /api/sandboxes/{sandbox_id}', 500, '127.0.0.1'],
        ['GET /api/capabilities', 200, '127.0.0.1'],
        ['GET /api/capabilities', 200, '127.0.0.1'],
        ['$default', 404, '127.0.0.1'],
        // That of one who has no key is no noise.
        ['GET /metrics', 401, '127.0.0.1'],
      ]);
      expect(await ask(`${off.url}/metrics`)).toMatchObject({ status: 404, body: { detail: 'Not Found' } });
    } finally {
      await Promise.all([provisioner.stop(), off.stop()]);
    }
  });
});
