import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { expectError } from '../support/answers.ts';
import { callHttp, type HttpAnswer } from '../support/http-call.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { useWorld } from '../support/world.ts';

describe('API Gateway, as serverless-offline is made to be it,', () => {
  const world = useWorld();

  it('has no route for HEAD: it is not allowed, and no use of a sandbox', async () => {
    const { sandboxId } = await world.givenSandbox();
    world.proxy.reset();
    for (const [route, allow] of [
      ['/health', 'GET'],
      ['/api/sandboxes', 'GET, POST'],
      [`/api/sandboxes/${sandboxId}`, 'DELETE, GET, PATCH'],
      [`/api/sandboxes/${sandboxId}/renew`, 'POST'],
    ] as const) {
      const answer = await world.call('HEAD', route);
      expect(answer, route).toMatchObject({ status: 405, text: '', headers: { allow, 'cache-control': 'no-store' } });
    }
    expect(await world.call('HEAD', '/nowhere')).toMatchObject({ status: 404, text: '' });
    expect(world.proxy.calls).toEqual([]);
  });

  it('keeps a connection that is idle for longer than callers do', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const ask = () =>
      new Promise<{ isReused: boolean; status: number | undefined; keepAlive: unknown }>((resolve, reject) => {
        const request = http.get(`${world.provisioner.url}/health`, { agent }, (response) => {
          response.resume().on('end', () => {
            const { statusCode: status, headers } = response;
            resolve({ isReused: request.reusedSocket, status, keepAlive: headers['keep-alive'] });
          });
        });
        request.on('error', reject);
      });
    expect(await ask()).toEqual({ isReused: false, status: 200, keepAlive: 'timeout=100' });
    // Node's own server closes it after 5 s, and looks once a second.
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    expect(await ask()).toMatchObject({ isReused: true, status: 200 });
  });
});

describe('what serverless-offline makes of a function', () => {
  // In the place of bundles, each failing in its own way.
  const functions = {
    health: `async () => ({ statusCode: 200, headers: { 'x-request-id': 'x' }, body: '{"status":"ok"}' })`,
    'get-sandbox': `async () => { throw new Error('secret words of ' + __filename); }`,
    'list-sandboxes': `require('./not-there.cjs')`,
    'renew-sandbox': 'async () => undefined',
    'destroy-sandbox': `async () => ({ statusCode: 200, headers: {}, body: { path: __filename } })`,
    'create-sandbox': '() => new Promise(() => {})',
  };
  let folder = '';
  let provisioner: Provisioner | undefined;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'failing-functions-'));
    for (const [name, code] of Object.entries(functions)) {
      await mkdir(path.join(folder, name, 'functions'), { recursive: true });
      await writeFile(path.join(folder, name, 'functions', `${name}.cjs`), `exports.handler = ${code};`);
    }
    provisioner = await startProvisioner({ EMBEDDED_KUBERNETES: 'true', OFFLINE_BUNDLES: folder });
  });
  afterAll(async () => {
    await provisioner?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const ask = (method: string, route: string): Promise<HttpAnswer> =>
    callHttp({
      method,
      url: `${provisioner?.url}${route}`,
      body: method === 'POST' ? {} : undefined,
      timeoutMs: 30_000,
    });
  const expectFailure = (answer: HttpAnswer, status: number, detail: string) => {
    expectError(answer, status, detail);
    expect(answer.body).toEqual({ detail });
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  };

  it.each([
    ['throws', 'GET', '/api/sandboxes/abc'],
    ['cannot be loaded', 'GET', '/api/sandboxes'],
    ['answers nothing', 'POST', '/api/sandboxes/abc/renew'],
    ['answers what is no text', 'DELETE', '/api/sandboxes/abc'],
  ])('that %s is a failure in our words', async (_what, method, route) => {
    expectFailure(await ask(method, route), 500, 'Internal Server Error');
  });

  it('that never ends is a failure too, before its caller gives up', async () => {
    expectFailure(await ask('POST', '/api/sandboxes'), 504, 'The function had no time left');
  });
});
