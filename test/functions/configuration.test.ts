import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { answerEmpty, kubeconfigText, startApiServer, temporaryFolder, writeKubeconfig } from '../unit/api-server.ts';
import { type Answer, askingFunctions, call, create, get, keepPrinted, list, load, startCold } from './handlers.ts';

const json = { 'content-type': 'application/json' };
const noSandboxes = { status: 200, headers: json, body: { sandboxes: [], count: 0 } };

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('a function that is misconfigured', () => {
  it.each(askingFunctions)('says which variables are wrong: %s', async (_name, callIt) => {
    startCold({ K8S_NAMESPACE: 'Not_Legal', NODE_HOST: 'a b', K8S_TLS_SKIP_VERIFY: 'maybe' });
    const { status, headers, body } = await callIt();
    expect({ status, headers }).toEqual({ status: 500, headers: json });
    const { detail } = body as { detail: string };
    expect(detail).toMatch(/^Misconfigured: K8S_NAMESPACE .*; NODE_HOST .*; K8S_TLS_SKIP_VERIFY [^;]*$/);
    expect(detail).not.toMatch(/Not_Legal|a b|maybe/);
  });

  it('still tells its caller what is wrong with the request', async () => {
    startCold({ K8S_NAMESPACE: 'Not_Legal' });
    expect(await get('A')).toMatchObject({ status: 422 });
    // What a body may ask for is a setting: of a create, only what is wrong with the configuration can be told.
    expect(await create({})).toMatchObject({ status: 500 });
  });

  it('answers GET /health and unknown paths all the same', async () => {
    startCold({ K8S_NAMESPACE: 'Not_Legal', KUBECONFIG_PATH: '/', K8S_API_SERVER: 'x', KUBECONFIG_WAIT_SECONDS: 'x' });
    const health = await call('health', { method: 'GET', path: '/health' });
    expect(health).toEqual({ status: 200, headers: json, body: { status: 'ok' } });
    const unknown = await call('fallback', { method: 'GET', path: '/x', routeKey: '$default' });
    expect(unknown).toEqual({ status: 404, headers: json, body: { detail: 'Not Found' } });
  });

  it('reads the environment again at the next request: only success is remembered', async () => {
    const api = await startApiServer(answerEmpty);
    startCold({ KUBECONFIG_PATH: await writeKubeconfig({ server: api.url }), NODE_HOST: 'a b' });
    expect(await list()).toMatchObject({ status: 500 });
    vi.stubEnv('NODE_HOST', 'node.example');
    expect(await list()).toEqual(noSandboxes);
    vi.stubEnv('NODE_HOST', 'a b');
    expect(await list()).toEqual(noSandboxes);
  });
});

describe('a kubeconfig', () => {
  it.each(askingFunctions)('that is missing makes it unavailable: %s', async (_name, callIt) => {
    const path = join(await temporaryFolder(), 'kubeconfig');
    startCold({ KUBECONFIG_PATH: path });
    const why = 'in-cluster config is unavailable: this is not a Pod with a service account';
    const body = { detail: `No kubeconfig at ${path}, and ${why}` };
    expect(await callIt()).toEqual({ status: 503, headers: { ...json, 'retry-after': '5' }, body });
  });

  it('that was missing is found at the next request, and then kept with its connection', async () => {
    const api = await startApiServer(answerEmpty);
    const path = join(await temporaryFolder(), 'kubeconfig');
    startCold({ KUBECONFIG_PATH: path });
    expect(await list()).toMatchObject({ status: 503 });
    expect(await list()).toMatchObject({ status: 503 });
    await writeFile(path, kubeconfigText({ server: api.url }));
    expect(await list()).toEqual(noSandboxes);
    // From here on it may not even be good.
    await writeFile(path, 'no kubeconfig any more');
    for (let request = 0; request < 5; request += 1) expect(await list()).toEqual(noSandboxes);
    expect(api.requests).toHaveLength(12);
    expect(api.connections()).toBe(2);
  });

  it('is read while the function is loaded, before anybody calls it', async () => {
    const api = await startApiServer(answerEmpty);
    const path = await writeKubeconfig({ server: api.url });
    startCold({ KUBECONFIG_PATH: path });
    await import('../../functions/list-sandboxes.ts');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await rm(path);
    expect(await list()).toEqual(noSandboxes);
  });

  it('that does not parse is told by its path, without what is in it', async () => {
    const path = join(await temporaryFolder(), 'kubeconfig');
    await writeFile(path, 'users: [ {token: top-secret');
    startCold({ KUBECONFIG_PATH: path });
    const body = { detail: `Failed to load kubeconfig from ${path}: it is not valid (line 1)` };
    expect(await list()).toEqual({ status: 500, headers: json, body });
  });

  it('that somebody is still writing is quoted neither to the caller nor in the log, wherever it ends by now', async () => {
    const secret = 'V3ryS3cr3t';
    const user = { token: secret.repeat(3), password: secret, 'client-key-data': secret };
    const flow = kubeconfigText({ server: 'https://127.0.0.1:1', user });
    const fields = `token: "${secret.repeat(3)}"\n    password: '${secret}\n    client-key-data: ${secret}\n`;
    const block = `apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user:\n    ${fields}`;
    const begun = [flow, block].flatMap((text) =>
      [...text].flatMap((_, end) => (end < text.indexOf(secret) ? [] : [text.slice(0, end)])),
    );
    // What follows the half that is there makes no sense of it either.
    const odd = [`${block}\t]`, `users: {token: ${secret}: ${secret}}`, `- ${secret}\n${secret}`, `*${secret}`];
    const texts = [...begun, ...odd];
    const path = join(await temporaryFolder(), 'kubeconfig');
    startCold({ KUBECONFIG_PATH: path, LOG_LEVEL: 'DEBUG' });
    const written: string[] = [];
    const keep = (...parts: unknown[]) => {
      written.push(inspect(parts, { depth: null, maxStringLength: null }));
      return true;
    };
    for (const stream of [process.stdout, process.stderr]) vi.spyOn(stream, 'write').mockImplementation(keep);
    for (const level of ['debug', 'info', 'log', 'warn', 'error'] as const)
      vi.spyOn(console, level).mockImplementation(keep);
    const answers: Answer[] = [];
    for (const text of texts) {
      await writeFile(path, text);
      answers.push(await list());
    }
    vi.restoreAllMocks();
    for (const { status, body } of answers) {
      expect({ status, body }).toEqual({ status: 500, body: { detail: expect.stringMatching(/kubeconfig/) } });
    }
    expect(written.filter((text) => text.includes('"level"')).length).toBe(texts.length);
    expect(JSON.stringify(answers)).not.toContain(secret.slice(0, 4));
    expect(written.filter((text) => text.includes(secret.slice(0, 4)))).toEqual([]);
  });

  it('that is a folder is told by its path', async () => {
    const path = await temporaryFolder();
    startCold({ KUBECONFIG_PATH: path, KUBECONFIG_WAIT_SECONDS: '30' });
    const body = { detail: `Kubeconfig path is a directory, expected a file: ${path}` };
    expect(await list()).toEqual({ status: 500, headers: json, body });
  });

  it('that is not there is waited for no longer than the function has time', async () => {
    startCold({ KUBECONFIG_PATH: join(await temporaryFolder(), 'kubeconfig'), KUBECONFIG_WAIT_SECONDS: '30' });
    const { lambdaContext } = await import('../support/events.ts');
    await load('list-sandboxes');
    const start = performance.now();
    const answer = await list(lambdaContext('list-sandboxes', 1500));
    expect([503, 504]).toContain(answer.status);
    expect(performance.now() - start).toBeLessThan(1400);
  });
});

describe('a certificate of the API server that is not checked', () => {
  const linesIn = (printed: string[]) =>
    printed
      .join('')
      .split('\n')
      .filter((line) => line.startsWith('{"level"'));

  it.each<[string, Record<string, unknown>, Record<string, string>, RegExp]>([
    ['by K8S_TLS_SKIP_VERIFY', {}, { K8S_TLS_SKIP_VERIFY: 'true' }, /^K8S_TLS_SKIP_VERIFY$/],
    ['by the kubeconfig', { 'insecure-skip-tls-verify': true }, {}, /^insecure-skip-tls-verify of the kubeconfig \//],
  ])('is logged as a warning, once at each cold start: %s', async (_how, cluster, env, setting) => {
    const api = await startApiServer(answerEmpty, makeCertificate('a.example'));
    const path = await writeKubeconfig({ server: api.url, cluster });
    const printed = keepPrinted();
    for (const coldStart of [1, 2]) {
      startCold({ KUBECONFIG_PATH: path, LOG_LEVEL: 'WARN', ...env });
      for (let request = 0; request < 3; request += 1) expect(await list()).toEqual(noSandboxes);
      expect(linesIn(printed)).toHaveLength(coldStart);
    }
    expect(JSON.parse(linesIn(printed)[0] ?? '')).toMatchObject({
      level: 'WARN',
      message: expect.stringContaining('The certificate of the API server is not checked'),
      setting: expect.stringMatching(setting),
    });
  });

  it('is no matter where there is none: nothing is logged', async () => {
    const api = await startApiServer(answerEmpty);
    const printed = keepPrinted();
    const KUBECONFIG_PATH = await writeKubeconfig({ server: api.url });
    startCold({ KUBECONFIG_PATH, LOG_LEVEL: 'WARN', K8S_TLS_SKIP_VERIFY: 'true' });
    expect(await list()).toEqual(noSandboxes);
    expect(linesIn(printed)).toEqual([]);
  });
});
