import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startEmbeddedKubernetes } from '../../lib/local/kubernetes/index.ts';
import { aTime } from '../support/answers.ts';
import { eventually } from '../support/eventually.ts';
import { callHttp } from '../support/http-call.ts';
import type { SandboxView } from '../support/world.ts';
import { temporaryFolder } from '../unit/api-server.ts';
import { create, destroy, get, list, startCold } from './handlers.ts';

afterEach(() => vi.unstubAllEnvs());

describe('the functions together, in front of the embedded Kubernetes', () => {
  it('give a thread its sandbox, keep it, and take it away', async () => {
    const cluster = await startEmbeddedKubernetes({ startupMs: 100, readyMs: 50 });
    onTestFinished(() => cluster.close());
    const path = join(await temporaryFolder(), 'kubeconfig');
    await writeFile(path, cluster.kubeconfig);
    startCold({ KUBECONFIG_PATH: path, NODE_HOST: '127.0.0.1', K8S_NAMESPACE: 'agents' });

    expect(await list()).toMatchObject({ status: 200, body: { sandboxes: [], count: 0 } });
    expect(await get('a1b2c3d4')).toMatchObject({ status: 404 });

    const created = await create({ sandbox_id: 'a1b2c3d4', thread_id: 'thread-1' });
    expect(created).toEqual({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: {
        sandbox_id: 'a1b2c3d4',
        sandbox_url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:3\d{4}$/),
        status: expect.stringMatching(/^(Pending|Running)$/),
        created_at: aTime,
        expires_at: aTime,
      },
    });
    const { sandbox_url, created_at } = created.body as SandboxView;
    const running = { sandbox_id: 'a1b2c3d4', sandbox_url, status: 'Running', created_at, expires_at: aTime };

    const found = await eventually(
      'Running',
      () => get('a1b2c3d4'),
      ({ body }) => (body as { status: string }).status === 'Running',
    );
    expect(found).toMatchObject({ status: 200, body: running });
    const probe = await eventually(
      'open',
      () => callHttp({ method: 'GET', url: `${sandbox_url}/v1/sandbox` }).catch(() => undefined),
      (answer) => answer?.status === 200,
    );
    expect(probe?.status).toBe(200);

    expect(await create({ sandbox_id: 'a1b2c3d4', thread_id: 'thread-1' })).toMatchObject({
      status: 200,
      body: running,
    });
    expect(await create({ sandbox_id: 'a1b2c3d4', thread_id: 'thread-2' })).toMatchObject({
      status: 409,
      body: { detail: "Sandbox 'a1b2c3d4' belongs to another thread" },
    });
    expect(await create({ sandbox_id: 'e5f6', thread_id: null })).toMatchObject({ status: 200 });
    expect(await list()).toMatchObject({
      status: 200,
      body: { sandboxes: expect.arrayContaining([running, expect.objectContaining({ sandbox_id: 'e5f6' })]), count: 2 },
    });

    const gone = { status: 200, body: { ok: true, sandbox_id: 'a1b2c3d4' } };
    expect(await destroy('a1b2c3d4')).toMatchObject(gone);
    expect(await get('a1b2c3d4')).toMatchObject({ status: 404, body: { detail: "Sandbox 'a1b2c3d4' not found" } });
    expect(await destroy('a1b2c3d4')).toMatchObject(gone);
    // While the old Pod still ends, its thread may come back.
    const back = await create({ sandbox_id: 'a1b2c3d4', thread_id: 'thread-1' });
    expect(back).toMatchObject({ status: 200, body: { status: expect.stringMatching(/^(Pending|Running)$/) } });
  });
});
