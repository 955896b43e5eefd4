import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { afterUse } from '../support/answers.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { callHttp, type HttpAnswer } from '../support/http-call.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { setReadinessAside } from '../support/readiness.ts';
import { newSandboxId } from '../support/world.ts';

let provisioner: Provisioner | undefined;
let temporary = '';
const foldersOfIt = () => readdirSync(temporary).filter((name) => name.startsWith('sandbox-provisioner-'));

beforeAll(() => {
  // A short name: the socket in it has a path of some hundred characters at most.
  temporary = mkdtempSync(path.join(tmpdir(), 't-'));
});

afterEach(async () => {
  await provisioner?.stop();
  provisioner = undefined;
});

afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const ask = async (method: string, route: string, body?: unknown): Promise<HttpAnswer> =>
  setReadinessAside(await callHttp({ method, url: `${provisioner?.url}${route}`, body }));

/** What answers at a sandbox' URL; undefined where nothing does. */
const open = (url: string): Promise<{ stand_in: boolean; pod: string } | undefined> =>
  callHttp({ method: 'GET', url: `${url}/v1/sandbox` }).then(
    ({ body }) => body,
    () => undefined,
  );

// Where a real cluster is named, this is about another one.
describe.skipIf(!isEmbeddedCluster)('npm start on a machine without Kubernetes', () => {
  it('makes a sandbox, opens it, removes it; and Ctrl-C leaves no process and no port', async () => {
    provisioner = await startProvisioner({ EMBEDDED_KUBERNETES: 'true', TMPDIR: temporary });
    expect(provisioner.output()).toMatch(/Kubernetes.*embedded/i);

    const [first, second] = [newSandboxId(), newSandboxId()];
    const body = { sandbox_id: first, thread_id: 'my-thread' };
    const created = await ask('POST', '/api/sandboxes', body);
    expect(created.status, created.text).toBe(200);
    const url: string = created.body.sandbox_url;
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await eventually(
      'Running: the first sandbox',
      () => ask('GET', `/api/sandboxes/${first}`),
      (answer) => answer.body?.status === 'Running',
    );
    // Nobody should take it for the real thing.
    await eventually(
      'open: the first sandbox',
      () => open(url),
      (answer) => answer?.stand_in === true && answer.pod === `sandbox-${first}`,
    );
    const { created: isNew, ...view } = { ...created.body, status: 'Running' };
    const used = await ask('POST', '/api/sandboxes', body);
    expect([isNew, used]).toMatchObject([true, { status: 200, body: { ...afterUse(view), created: false } }]);
    delete used.body.created;
    expect((await ask('GET', '/api/sandboxes')).body).toEqual({ sandboxes: [used.body], count: 1 });

    const left: string = (await ask('POST', '/api/sandboxes', { sandbox_id: second })).body.sandbox_url;
    expect((await ask('DELETE', `/api/sandboxes/${first}`)).body).toEqual({ ok: true, sandbox_id: first });
    expect((await ask('GET', `/api/sandboxes/${first}`)).status).toBe(404);
    // For a person, and nothing of what serverless-offline says beside it. Bundles, and the server, write JSON.
    if (process.env.OFFLINE_BUNDLES === undefined && process.env.SANDBOX_TEST_SERVER !== 'true') {
      const lines = provisioner.output().split('\n');
      const ofFirst = lines.filter((line) => line.includes(first));
      expect(ofFirst[0]).toMatch(
        /^\d\d:\d\d:\d\d INFO {2}POST \/api\/sandboxes 200 \d+ ms \(Kubernetes: \d+ calls, \d+ ms\) \w+ created$/,
      );
      expect(ofFirst.at(-1)).toMatch(
        /^\S+ INFO {2}GET \/api\/sandboxes\/\{sandbox_id\} 404 .* not found \(request \S+\)$/,
      );
      expect(lines.filter((line) => /\u03bb|RequestId|Billed|^\{/.test(line))).toEqual([]);
    }

    await eventually(
      'open: the second sandbox',
      () => open(left),
      (answer) => answer?.pod === `sandbox-${second}`,
    );
    // Throws where the process or one of its own ports is left.
    await provisioner.stop();
    provisioner = undefined;
    // By now a port may be that of another cluster's sandbox.
    expect((await open(left))?.pod).not.toBe(`sandbox-${second}`);
    expect((await open(url))?.pod).not.toBe(`sandbox-${first}`);
  });
});

describe.skipIf(!isEmbeddedCluster)('the folder of a provisioner, in the temporary one', () => {
  const settings = {
    'the embedded Kubernetes': { EMBEDDED_KUBERNETES: 'true' },
    'another one': { EMBEDDED_KUBERNETES: 'false', KUBECONFIG_PATH: '/nowhere' },
  };

  it.each(Object.entries(settings))(
    'is gone after Ctrl-C, and nobody else could look into it: with %s',
    async (...row) => {
      provisioner = await startProvisioner({ ...row[1], TMPDIR: temporary });
      expect(foldersOfIt()).toEqual([expect.any(String)]);
      expect(statSync(path.join(temporary, foldersOfIt()[0] ?? '')).mode & 0o077).toBe(0);
      await provisioner.stop();
      provisioner = undefined;
      expect(foldersOfIt()).toEqual([]);
    },
  );

  it.each(Object.entries(settings))('is gone when the port is taken: with %s', async (...row) => {
    const other = net.createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    await expect(startProvisioner({ ...row[1], TMPDIR: temporary, PORT: String(port) })).rejects.toThrow(/EADDRINUSE/);
    expect(foldersOfIt()).toEqual([]);
  });
});

describe.skipIf(!isEmbeddedCluster)('npm start', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends, and all that it has started, when npm alone gets %s',
    async (signal) => {
      const started = await startProvisioner({ EMBEDDED_KUBERNETES: 'true', TMPDIR: temporary }, 'npm');
      provisioner = started;
      const sandboxId = newSandboxId();
      const created = await ask('POST', '/api/sandboxes', { sandbox_id: sandboxId });
      provisioner = undefined;
      // Throws where a process or a port of it is left.
      await started.end(signal);
      expect((await open(created.body.sandbox_url))?.pod).not.toBe(`sandbox-${sandboxId}`);
      expect(foldersOfIt()).toEqual([]);
    },
  );
});
