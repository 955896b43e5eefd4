import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';

import { afterEach, describe, expect, it } from 'vitest';

import { allSettings } from '../../lib/config/themes.ts';
import { expectError } from '../support/answers.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { callHttp, type HttpAnswer } from '../support/http-call.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { callRaw } from '../support/raw-call.ts';
import { newSandboxId } from '../support/world.ts';

let provisioner: Provisioner | undefined;
afterEach(async () => {
  await provisioner?.stop();
  provisioner = undefined;
});

const apiKey = randomBytes(32).toString('hex');
const start = async (settings: Record<string, string>): Promise<Provisioner> => {
  provisioner = await startProvisioner({ EMBEDDED_KUBERNETES: 'true', ...settings });
  return provisioner;
};
const list = (headers: Record<string, string> = {}): Promise<HttpAnswer> =>
  callHttp({ method: 'GET', url: `${provisioner?.url}/api/sandboxes`, headers });
const said = () => provisioner?.output().match(/^.*Callers: .*$/m)?.[0];

// Where a real cluster is named, this is about another one.
describe.skipIf(!isEmbeddedCluster)('npm start', () => {
  it('on this machine lets anybody on it in where no key is set, and says so; but not what a page brings here', async () => {
    // As compose sets what is not set.
    const own = ['HOST', 'PORT', 'EMBEDDED_KUBERNETES', 'CLEANUP_SCHEDULE'];
    const unset = Object.keys(allSettings).filter((name) => !own.includes(name));
    const { url } = await start(Object.fromEntries(unset.map((name) => [name, ''])));
    expect(said()).toBe('Callers: anybody on this machine (AUTH is off: no PROVISIONER_API_KEY is set)');
    const volumes = 'skills: /skills; user data: /.deer-flow/threads, by thread; extra mounts: below /.deer-flow';
    expect(provisioner?.output()).toContain(`Volumes: ${volumes}\n`);
    expect(await list()).toMatchObject({ status: 200 });
    expect(await list({ 'x-api-key': 'whatever' })).toMatchObject({ status: 200 });
    const sandbox = { method: 'POST', url: `${url}/api/sandboxes`, body: { sandbox_id: newSandboxId() } };
    expect((await callHttp(sandbox)).body).toMatchObject({ sandbox_url: expect.stringContaining('//127.0.0.1:') });
    expectError(await list({ origin: 'http://localhost' }), 403, 'Calls from web pages are refused');

    // A page that makes its own name lead here is of the same origin as we are: no Origin is sent, but its name is.
    const port = new URL(url).port;
    const foreign = [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      '169.254.1.1',
    ];
    for (const host of [...foreign, 'a b', '']) {
      const answer = await callRaw(url, 'GET /api/sandboxes', [`Host: ${host}`]);
      expectError(answer, 403, 'Calls by another name than that of this machine are refused');
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    }
    const ownNames = ['localhost', `localhost:${port}`, 'LOCALHOST:1', '127.0.0.1', `[::1]:${port}`];
    for (const host of [...ownNames, 'host.docker.internal:8002']) {
      expect(await callRaw(url, 'GET /api/sandboxes', [`Host: ${host}`])).toMatchObject({ status: 200 });
    }
  });

  it('asks for the key where one is set, on this machine too, and then does not care for its name', async () => {
    const shortKey = 'of 8, or 12';
    const { url } = await start({ PROVISIONER_API_KEY: shortKey });
    const warning = 'one has fewer than 16 characters, and could be guessed';
    expect(said()).toBe(`Callers: those with a PROVISIONER_API_KEY (${warning})`);
    expectError(await list(), 401, 'A valid X-API-Key is required');
    expect(await list({ 'x-api-key': shortKey })).toMatchObject({ status: 200 });
    const headers = ['Host: provisioner.internal', `X-API-Key: ${shortKey}`];
    expect(await callRaw(url, 'GET /api/sandboxes', headers)).toMatchObject({ status: 200 });
  });

  it('lets nobody in without a key when it listens on more than this machine', async () => {
    await start({ HOST: '0.0.0.0' });
    expect(said()).toBe('Callers: all are refused until PROVISIONER_API_KEY is set');
    expectError(await list(), 401, 'A valid X-API-Key is required');
    expectError(await list({ 'x-api-key': 'any' }), 401, 'A valid X-API-Key is required');
    expect(await callHttp({ method: 'GET', url: `${provisioner?.url}/health` })).toMatchObject({ status: 200 });
    expect(provisioner?.output()).toMatch(/Every caller is refused: no key is set.*AUTH=off/);
  });

  it('lets anybody in from everywhere only when it is told so in so many words', async () => {
    const { url } = await start({ HOST: '0.0.0.0', AUTH: 'off' });
    expect(said()).toBe('Callers: anybody (AUTH is off)');
    const headers = ['Host: provisioner:8002'];
    expect(await callRaw(url, 'GET /api/sandboxes', headers)).toMatchObject({ status: 200 });
    const { port } = new URL(url);
    for (const { address, family, internal } of Object.values(networkInterfaces()).flatMap((all) => all ?? [])) {
      if (internal || family !== 'IPv4') continue;
      const answer = await callHttp({ method: 'GET', url: `http://${address}:${port}/api/sandboxes` });
      expect(answer.status).toBe(200);
    }
  });

  it('lets nobody in where the settings of callers are wrong, and says what is wrong', async () => {
    await start({ PROVISIONER_API_KEY: '[no-list]' });
    expect(said()).toMatch(
      /^Callers: all are refused\. Misconfigured: PROVISIONER_API_KEY must be a key or a JSON list/,
    );
    expectError(await list({ 'x-api-key': '[no-list]' }), 500, 'The access of callers is misconfigured');
    expect(await callHttp({ method: 'GET', url: `${provisioner?.url}/health` })).toMatchObject({ status: 200 });
  });

  it('lets the pages in that are named, and their browsers ask beforehand', async () => {
    const origin = 'https://app.example';
    const { url } = await start({ PROVISIONER_API_KEY: apiKey, CORS_ALLOWED_ORIGINS: origin });
    expect(said()).toBe('Callers: those with a PROVISIONER_API_KEY');
    const granted = {
      'access-control-allow-origin': origin,
      'access-control-allow-headers': 'authorization, content-type, x-api-key',
      vary: expect.stringMatching(/\borigin\b/),
    };
    const asks = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' };
    const preflight = (from: string) =>
      callHttp({ method: 'OPTIONS', url: `${url}/api/sandboxes`, headers: { origin: from, ...asks } });
    expect(await preflight(origin)).toMatchObject({ status: 204, headers: granted, text: '' });
    const answer = await list({ origin, 'x-api-key': apiKey });
    expect(answer).toMatchObject({ status: 200, headers: granted });
    expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    expectError(await list({ origin }), 401, 'A valid X-API-Key is required');
    const evil = 'https://evil.example';
    for (const other of [await preflight(evil), await list({ origin: evil, 'x-api-key': apiKey })]) {
      expectError(other, 403, 'Calls from web pages are refused');
      expect(Object.keys(other.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });
});
