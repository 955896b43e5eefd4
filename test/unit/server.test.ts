import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { loadYaml } from '@kubernetes/client-node';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadServerConfig } from '../../lib/config/server.ts';
import type { ServerContext } from '../../lib/http/serve.ts';
import { functions } from '../../lib/server/functions.ts';
import { invoke } from '../../lib/server/invoke.ts';
import { runEvery } from '../../lib/server/schedule.ts';
import { type Functions, startServer, type Times } from '../../lib/server/server.ts';
import { callHttp, type HttpAnswer } from '../support/http-call.ts';

const root = new URL('../..', import.meta.url);

type Handler = Functions['$default'];
const ok: Handler = async () => ({ statusCode: 200, body: 'ok' });

/** A server whose one function answers everything; it may answer later than it is told to end. */
async function serve(handler: Handler, times: Partial<Times> = {}) {
  const server = await startServer({ $default: handler }, { host: '127.0.0.1', port: 0 }, { lastCallsMs: 0, ...times });
  let stopped: Promise<number> | undefined;
  const stop = () => {
    stopped ??= server.stop();
    return stopped;
  };
  onTestFinished(() => void stop());
  const url = `http://127.0.0.1:${server.address.port}/x`;
  return { stop, url, port: server.address.port, ask: (body?: string) => callHttp({ method: 'POST', url, body }) };
}

/** A function that answers when it is told to. */
function held() {
  const begun = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const handler: Handler = async () => {
    begun.resolve();
    await promise;
    return { statusCode: 200, body: 'late' };
  };
  return { handler, begun: begun.promise, release: resolve };
}

describe('the functions of the server', () => {
  it('are those of serverless.yml, by their routes', async () => {
    type Service = { functions: Record<string, { handler: string; events: { httpApi?: string }[] }> };
    const service = loadYaml<Service>(readFileSync(new URL('serverless.yml', root), 'utf8'));
    const routed = Object.values(service.functions).flatMap(({ handler, events }) =>
      events.flatMap(({ httpApi }) => (httpApi === undefined ? [] : [[httpApi, handler.split('.')[0]] as const])),
    );
    const wanted = routed.map(async ([route, module]) => {
      const { handler } = await import(fileURLToPath(new URL(`${module}.ts`, root)));
      return [route === '*' ? '$default' : route, handler] as const;
    });
    expect(new Map(Object.entries(functions))).toEqual(new Map(await Promise.all(wanted)));
  });
});

describe('a function that', () => {
  it.each<[string, number, string, Handler]>([
    ['rejects', 500, 'Internal Server Error', () => Promise.reject(new Error('secret words'))],
    [
      'throws',
      500,
      'Internal Server Error',
      () => {
        throw new Error('secret words');
      },
    ],
    ['rejects with nothing', 500, 'Internal Server Error', () => Promise.reject()],
    ['answers nothing', 500, 'Internal Server Error', async () => undefined as never],
    ['answers without a status', 500, 'Internal Server Error', async () => ({ body: '' })],
    ['answers what is no text', 500, 'Internal Server Error', async () => ({ statusCode: 200, body: {} as string })],
    ['answers odd headers', 500, 'Internal Server Error', async () => ({ statusCode: 200, headers: { a: '\n' } })],
    ['never answers', 504, 'The function had no time left', () => new Promise(() => {})],
  ])('%s is a failure in our words, and the next one is called', async (_what, status, detail, fail) => {
    let calls = 0;
    const { ask } = await serve((...args) => (calls++ === 0 ? fail(...args) : ok(...args)), { functionMs: 100 });
    const answer = await ask();
    expect(answer).toMatchObject({ status, body: { detail } });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(await ask()).toMatchObject({ status: 200, text: 'ok' });
  });
});

it('a function is told its time as Lambda tells it: in whole milliseconds', async () => {
  const left = await invoke(
    async (_event, context) => [context.getRemainingTimeInMillis(), context.awsRequestId],
    {},
    999,
  );
  expect(left).toEqual([expect.toSatisfy((ms) => Number.isInteger(ms) && ms > 0 && ms <= 999), expect.any(String)]);
});

describe('a function that waits for something', () => {
  const stopOf = (context: object) => (context as ServerContext).stopWaiting as AbortSignal;

  it.each(['its caller goes', 'the server is to stop', 'the server was to stop before'])(
    'is told when %s',
    async (when) => {
      const begun = Promise.withResolvers<void>();
      const told = Promise.withResolvers<string>();
      const { stop, url, ask } = await serve(
        async (_event, context) => {
          begun.resolve();
          const signal = stopOf(context);
          if (!signal.aborted) {
            await new Promise((resolve) => setTimeout(resolve, 200));
            // Until then it is not: the request is all here.
            told.resolve(signal.aborted ? 'too early' : 'waits');
            await new Promise((resolve) => signal.addEventListener('abort', resolve));
          }
          told.resolve('at once');
          return { statusCode: 200, body: 'what there is' };
        },
        { lastCallsMs: 500 },
      );
      if (when === 'the server was to stop before') void stop();
      const call = request(url, { method: 'POST' }).on('error', () => {});
      const answered = when === 'its caller goes' ? void call.end('x') : ask('x');
      await begun.promise;
      expect(await told.promise).toBe(when === 'the server was to stop before' ? 'at once' : 'waits');
      if (when === 'its caller goes') call.destroy();
      else void stop();
      if (answered) expect(await answered).toMatchObject({ status: 200, text: 'what there is' });
      // It waits for what is under way.
      expect(await stop()).toBe(0);
    },
  );
});

it('what a function leaves to go on is not waited for by its caller, but by who ends the server', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { stop, ask } = await serve(async (_event, context) => {
    (context as ServerContext).goOn?.(promise);
    return { statusCode: 200, body: 'answered' };
  });
  expect(await ask()).toMatchObject({ status: 200, text: 'answered' });
  let isOver = false;
  const stopped = stop().then(() => {
    isOver = true;
  });
  await expect(ask()).rejects.toMatchObject({ code: expect.any(String) });
  await new Promise((wait) => setTimeout(wait, 200));
  expect(isOver).toBe(false);
  resolve();
  await stopped;
});

describe('what callers send', () => {
  it.each([
    [65_536, 65_536],
    [65_537, 65_537],
    // As it comes in parts, there may be one more.
    [20_000_000, 131_073],
  ])('is, of %i bytes, no more than a function has to see: %i at most', async (sent, most) => {
    const { ask } = await serve(async ({ body }) => ({ statusCode: 200, body: String((body as string).length) }));
    const seen = Number((await ask('x'.repeat(sent))).text);
    expect(seen).toBeGreaterThanOrEqual(Math.min(sent, 65_537));
    expect(seen).toBeLessThanOrEqual(most);
  });

  it.each([
    ['nothing', ''],
    ['half of its headers', 'POST /x HTTP/1.1\r\nHost: x\r\n'],
    ['half of its body', 'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf'],
  ])('is waited for no longer than a while: %s', async (_what, bytes) => {
    const { port, ask } = await serve(ok, { headersMs: 300, requestMs: 600 });
    const socket = connect(port, '127.0.0.1');
    socket.write(bytes);
    expect(await ask()).toMatchObject({ status: 200 });
    let text = '';
    for await (const chunk of socket) text += chunk;
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
  });

  it.each(['*', 'x', 'http://'])('is refused where it asks for no path: %s', async (target) => {
    const { port } = await serve(ok);
    const answer = await new Promise((resolve, reject) => {
      request({ port, host: '127.0.0.1', path: target, method: 'OPTIONS' }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      })
        .on('error', reject)
        .end();
    });
    expect(answer).toBe(400);
  });
});

describe('a server that is to stop', () => {
  it('answers what is under way and what comes in the next second, and says that the connection ends', async () => {
    const { handler, begun, release } = held();
    let calls = 0;
    const { stop, url, ask } = await serve((...args) => (calls++ === 0 ? handler : ok)(...args), { lastCallsMs: 500 });
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const asking = new Promise<HttpAnswer['headers']>((resolve, reject) => {
      request(url, { agent }, (response) => response.resume().on('end', () => resolve(response.headers)))
        .on('error', reject)
        .end();
    });
    await begun;
    const stopped = stop();
    expect(await ask()).toMatchObject({ status: 200, headers: { connection: 'close' } });
    setTimeout(release, 1_000);
    expect(await asking).toMatchObject({ connection: 'close' });
    expect(await stopped).toBe(0);
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('cuts what takes too long, and says how many', async () => {
    const { handler, begun, release } = held();
    onTestFinished(() => release());
    const { stop, ask } = await serve(handler, { endMs: 200 });
    const asking = ask().catch(({ code }: NodeJS.ErrnoException) => code);
    await begun;
    expect(await stop()).toBe(1);
    expect(await asking).toBe('ECONNRESET');
  });

  it('waits for a call whose caller has gone', async () => {
    const { handler, begun, release } = held();
    const { stop, url } = await serve(handler);
    const call = request(url).on('error', () => {});
    call.end();
    await begun;
    call.destroy();
    setTimeout(release, 300);
    expect(await stop()).toBe(0);
  });
});

it('what is to be done every so often is not done twice at once', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const runs: (() => void)[] = [];
  const end = runEvery(1_000, () => new Promise((resolve) => runs.push(resolve)));
  await vi.advanceTimersByTimeAsync(999);
  expect(runs.length).toBe(0);
  await vi.advanceTimersByTimeAsync(2_001);
  expect(runs.length).toBe(1);
  runs[0]?.();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(runs.length).toBe(2);
  end();
  runs[1]?.();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs.length).toBe(2);
});

describe('the settings of the server', () => {
  it('have defaults', () => {
    expect(loadServerConfig({})).toEqual({ host: 'localhost', port: 8002, cleanupIntervalMs: 300_000 });
  });

  it.each([
    ['rate(1 minute)', 60_000],
    ['rate(2 hours)', 7_200_000],
    ['rate(20 days)', 1_728_000_000],
  ])('%s', (CLEANUP_SCHEDULE, cleanupIntervalMs) => {
    const given = { HOST: '0.0.0.0', PORT: '80', CLEANUP_SCHEDULE };
    expect(loadServerConfig(given)).toEqual({ host: '0.0.0.0', port: 80, cleanupIntervalMs });
  });

  it.each([
    [{ PORT: '65536' }, 'PORT must be a port'],
    [{ PORT: 'http' }, 'PORT must be a port'],
    [{ HOST: 'http://x' }, 'HOST must be a host name or an IP address'],
    [{ CLEANUP_SCHEDULE: 'cron(0 * * * ? *)' }, 'CLEANUP_SCHEDULE must be rate(… minutes): the server knows no cron'],
    [{ CLEANUP_SCHEDULE: 'rate(0 minutes)' }, 'CLEANUP_SCHEDULE must be rate(… minutes), hours or days, from 1 minute'],
    [{ CLEANUP_SCHEDULE: 'rate(21 days)' }, 'CLEANUP_SCHEDULE must be rate(… minutes), hours or days, from 1 minute'],
    [{ CLEANUP_SCHEDULE: 'rate(5 moons)' }, 'CLEANUP_SCHEDULE must be rate(… minutes), hours or days, from 1 minute'],
  ])('are refused: %o', (given, problem) => {
    expect(() => loadServerConfig(given)).toThrow(problem);
  });

  it.each([
    [{ K8S_NAMESPACE: 'A' }, 'K8S_NAMESPACE must be'],
    [{ PORT: 'x' }, 'PORT must be a port'],
    [{ JWT_ISSUER: 'https://x.example', JWT_AUDIENCE: 'a' }, 'JWT_ISSUER: API Gateway checks tokens'],
    [{ PROVISIONER_API_KEY_SECRET_ID: 'keys' }, "these are read through Lambda's extension"],
    [{ WEBHOOK_URL: 'https://hooks.example', WEBHOOK_SECRET_ID: 'hook' }, 'Set WEBHOOK_SECRET instead'],
    [{ EVENT_BUS_NAME: 'agents' }, 'EVENT_BUS_NAME needs AWS_ACCESS_KEY_ID'],
    [{ PORT: '0', HOST: '203.0.113.1' }, 'EADDRNOTAVAIL'],
  ])('end it at its start, with one line that says why: %o', (given, problem) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['lib/server/main.ts'], {
      cwd: fileURLToPath(root),
      env: { PATH: process.env.PATH, AUTH: 'required', PROVISIONER_API_KEY: undefined, ...given },
      encoding: 'utf8',
    });
    const lines = `${stdout}${stderr}`.trim().split('\n');
    const log = lines.map((line) => JSON.parse(line));
    expect(status).toBe(1);
    expect(log.at(-1)).toMatchObject({ level: 'ERROR', message: 'The server cannot start' });
    expect(log.at(-1).cause.message).toContain(problem);
  });
});
