import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import {
  Conflict,
  InvalidRequest,
  ListExpired,
  QuotaExceeded,
  SandboxClient,
  SandboxError,
  SandboxNotFound,
  SandboxNotReady,
  Unauthenticated,
  Unavailable,
} from '../../lib/client/index.ts';
import type { KubernetesAnswer } from '../support/kubernetes-client.ts';
import { callTo, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';
import { seenPods } from '../unit/reasons-fixtures.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

const world = useWorld(lean);
let sandboxes: SandboxClient;
const asked: string[] = [];
beforeEach(() => {
  asked.length = 0;
  const ask = (request: Request) => {
    asked.push(`${request.method} ${request.url.slice(world.provisioner.url.length)}`);
    return fetch(request);
  };
  sandboxes = new SandboxClient({ url: `${world.provisioner.url}/`, key: world.apiKey, fetch: ask });
});
afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

it('takes a sandbox through its life', async () => {
  const [sandbox_id, thread_id] = [newSandboxId(), newThreadId()];
  const metadata = { team: 'red', 'a.b': '' };
  const created = await sandboxes.create({ sandbox_id, thread_id, ttl_seconds: 600, metadata, wait_seconds: 1 });
  expect(created).toMatchObject({ sandbox_id, created: true, status: expect.any(String), metadata });
  const ready = await sandboxes.waitUntilReady(sandbox_id);
  expect(asked[1]).toBe(`GET /api/sandboxes/${sandbox_id}?wait_seconds=20`);
  expect(ready).toMatchObject({ sandbox_url: created.sandbox_url, status: 'Running', ready: true });
  expect((await fetch(`${ready.sandbox_url}/v1/sandbox`)).status).toBe(200);
  expect(await sandboxes.get(sandbox_id)).toMatchObject({ status: 'Running' });
  expect(await sandboxes.presence(sandbox_id)).toEqual({ sandbox_id, exists: true, container_id: ready.container_id });
  expect(await sandboxes.events(sandbox_id)).toMatchObject({ sandbox_id, events: expect.any(Array) });
  await expect(sandboxes.logs(sandbox_id, { tail: 10, previous: true })).rejects.toThrow(Conflict);
  const updated = await sandboxes.update(sandbox_id, { metadata: { team: 'blue', 'a.b': null } });
  expect(updated.metadata).toEqual({ team: 'blue' });
  const renewed = await sandboxes.renew(sandbox_id, { ttl_seconds: 3_600 });
  expect(Date.parse(renewed.expires_at ?? '')).toBeGreaterThan(Date.parse(ready.expires_at ?? ''));
  expect(await sandboxes.renew(sandbox_id)).toMatchObject({ sandbox_id });
  expect(await sandboxes.capabilities()).toEqual({ lark_cli_init_image: false, lark_cli_broker_image: false });
  expect(await sandboxes.destroy(sandbox_id)).toEqual({ ok: true, sandbox_id });
  await expect(sandboxes.get(sandbox_id)).rejects.toThrow(SandboxNotFound);
});

it('lists those that a filter says', async () => {
  const body = (team: string, user_id: string) => ({
    sandbox_id: newSandboxId(),
    user_id,
    metadata: { team, 'a.b': '' },
  });
  const [red, blue] = [body('red', 'alice'), body('blue', 'alice')];
  for (const one of [red, blue, body('red', 'bob')]) await sandboxes.create(one);
  const idsOf = async (filter: Parameters<typeof sandboxes.list>[0]) =>
    (await sandboxes.list(filter)).sandboxes.map(({ sandbox_id }) => sandbox_id);
  expect(await idsOf({ user_id: 'alice', metadata: { team: 'red', 'a.b': '' } })).toEqual([red.sandbox_id]);
  expect(await idsOf({ metadata: { team: 'blue' }, limit: 5 })).toEqual([blue.sandbox_id]);
  expect(await idsOf({ status: 'NotFound' })).toEqual([]);
  expect(await idsOf({ ready: false, thread_id: blue.sandbox_id, metadata: {} })).toBeOneOf([[blue.sandbox_id], []]);
  await expect(sandboxes.list({ metadata: { 'a/b': 'x' } })).rejects.toThrow(InvalidRequest);
});

it('lists all sandboxes, and page by page', async () => {
  const ids = await Promise.all(Array.from({ length: 3 }, async () => (await world.givenSandbox()).sandboxId));
  expect(await sandboxes.list()).toMatchObject({ count: 3 });
  const first = await sandboxes.list({ limit: 2 });
  const second = await sandboxes.list({ limit: 2, ...(first.continue && { continue: first.continue }) });
  const found = [first, second].flatMap((page) => page.sandboxes.map(({ sandbox_id }) => sandbox_id));
  expect(found).toEqual(ids.toSorted());
  expect(second).not.toHaveProperty('continue');
});

describe('an error', () => {
  const faulty = (code: number, reason: string, message: string, headers = {}) =>
    world.proxy.injectFault({
      when: () => true,
      action: { answer: { ...kubernetesStatus(code, reason, message), headers } },
    });

  it.each<[string, new (...args: never[]) => SandboxError, object, () => Promise<unknown>]>([
    ['a request that does not validate', InvalidRequest, { status: 422 }, () => sandboxes.get('Not An Id')],
    ['no key', Unauthenticated, { status: 401 }, () => new SandboxClient({ url: world.provisioner.url }).list()],
    [
      'a wrong key',
      Unauthenticated,
      { status: 401 },
      () => new SandboxClient({ url: world.provisioner.url, key: 'x' }).list(),
    ],
    ['no such sandbox', SandboxNotFound, { status: 404 }, () => sandboxes.renew(newSandboxId())],
    [
      "another thread's sandbox",
      Conflict,
      { status: 409 },
      async () => sandboxes.create({ sandbox_id: (await world.givenSandbox()).sandboxId, thread_id: newThreadId() }),
    ],
    [
      'a quota that is full',
      QuotaExceeded,
      { status: 429 },
      () => {
        faulty(403, 'Forbidden', 'services "x" is forbidden: exceeded quota: full, requested: services=1');
        return sandboxes.create({ sandbox_id: newSandboxId() });
      },
    ],
    [
      'what refuses us',
      SandboxError,
      { status: 500 },
      () => {
        faulty(401, 'Unauthorized', 'Unauthorized');
        return sandboxes.list();
      },
    ],
    [
      'what passes by itself',
      Unavailable,
      { status: 503, retryAfterSeconds: expect.toSatisfy((seconds) => seconds >= 1) },
      () => {
        faulty(503, 'ServiceUnavailable', 'starting', { 'retry-after': '30' });
        return sandboxes.list();
      },
    ],
    [
      'a list that Kubernetes has forgotten',
      ListExpired,
      { status: 410 },
      () => {
        faulty(410, 'Expired', 'The provided continue parameter is too old');
        return sandboxes.list({ limit: 1, continue: 'abc' });
      },
    ],
  ])('has a class of its own: %s', async (_what, errorClass, more, call) => {
    const error = await call().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ ...more, name: errorClass.name, requestId: expect.stringMatching(/\S/) });
  });

  it('says all that is wrong with a request', async () => {
    const error = await sandboxes.create({ sandbox_id: 'A', ttl_seconds: -1 }).catch((error: unknown) => error);
    expect((error as InvalidRequest).issues.map(({ loc }) => loc.join('.'))).toEqual([
      'body.sandbox_id',
      'body.ttl_seconds',
    ]);
    expect((error as Error).message).toMatch(/^body\.sandbox_id: String should .*; body\.ttl_seconds: Input should /);
  });

  it('of a sandbox that can no longer become ready comes at once', async () => {
    const { sandboxId } = await world.givenSandbox();
    const { status } = seenPods['no legal image name'];
    const rewrite = (answer: KubernetesAnswer) => ({
      ...answer,
      text: JSON.stringify({ ...JSON.parse(answer.text), status }),
    });
    const shown = world.proxy.injectFault({ when: callTo('GET', 'pods', sandboxId), action: { rewrite } });
    await expect(sandboxes.waitUntilReady(sandboxId)).rejects.toThrow(SandboxNotReady);
    expect(shown.hits.length).toBe(1);
  });

  it('of a sandbox that does not become ready in time tells how it was', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    const fault = { when: () => true, action: { answer: kubernetesStatus(503, 'ServiceUnavailable', 'starting') } };
    world.proxy.injectFault(fault);
    const error = await sandboxes.waitUntilReady(sandboxId, { timeoutSeconds: 0.2 }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(SandboxNotReady);
    expect(error).toMatchObject({ status: 'Unknown', cause: expect.any(Unavailable) });
    world.proxy.reset();
    const ended = sandboxes.waitUntilReady(sandboxId, { signal: AbortSignal.abort(new Error('enough')) });
    await expect(ended).rejects.toThrow('enough');
  });
});

it('is in the package, for any Node program and its compiler', { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'sandbox-provisioner-client-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const installed = path.join(folder, 'node_modules/sandbox-provisioner');
  await mkdir(installed, { recursive: true });
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  await run('tar', [
    'xf',
    path.join(folder, stdout.trim().split('\n').at(-1) ?? ''),
    '--strip-components=1',
    '-C',
    installed,
  ]);
  // The program of docs/api.md.
  const page = await readFile(path.join(root, 'docs/api.md'), 'utf8');
  const [, program = ''] = /```ts\n([^`]*sandbox-provisioner\/client[^`]*)```/.exec(page) ?? [];
  const own = program
    .replace("'http://localhost:8002'", `'${world.provisioner.url}'`)
    .replaceAll('3f2a9c11', newSandboxId());
  expect(own).toContain(world.provisioner.url);
  await writeFile(path.join(folder, 'program.mts'), own);
  await writeFile(path.join(folder, 'package.json'), '{"type":"module"}');
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const flags = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022'];
  const types = ['--typeRoots', path.join(root, 'node_modules/@types'), '--types', 'node'];
  await run(process.execPath, [tsc, ...flags, ...types, 'program.mts'], { cwd: folder });
  const env = { PATH: process.env.PATH ?? '', PROVISIONER_API_KEY: world.apiKey };
  const ran = await run(process.execPath, ['program.mts'], { cwd: folder, env });
  expect(ran.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
  expect((await world.list()).body).toEqual({ sandboxes: [], count: 0 });
});
