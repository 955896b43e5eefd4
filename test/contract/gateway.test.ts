import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { findFreePorts } from '../support/free-ports.ts';
import { type Gateway, hasNginx, resolveByPods, startGateway } from '../support/gateway.ts';
import { callHttp } from '../support/http-call.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { printedPathOf } from '../support/rights.ts';
import { keepSecret } from '../support/secrets.ts';
import { lean, useWorld } from '../support/world.ts';

// There is no DNS of a cluster here: the test's own says of a headless Service what Kubernetes says of its Pod. The stand-ins of the
// embedded Kubernetes listen on no address of a Pod; one server has the addresses of them all.
const [gatewayPort = 0, free = 0] = await findFreePorts(2);
const port = isEmbeddedCluster ? free : 8080;
const settings = {
  SANDBOX_URL_TEMPLATE: `http://127.0.0.1:${gatewayPort}/{namespace}/{sandbox_id}/{token}`,
  SANDBOX_URL_KEY: keepSecret(randomBytes(32).toString('hex')),
  SANDBOX_CONTAINER_PORT: String(port),
};
const world = useWorld({ ...settings, ...lean, SANDBOX_SERVICE_TYPE: 'Headless' });

describe.runIf(hasNginx)('a sandbox behind the gateway', () => {
  let gateway: Gateway;
  let standIn: Server | undefined;

  beforeAll(async () => {
    if (isEmbeddedCluster) {
      standIn = createServer((request, response) => response.end(`at ${request.socket.localAddress}`));
      await new Promise<void>((listening) => void standIn?.listen(port, '0.0.0.0', listening));
    }
    const find = resolveByPods(world.kubernetes);
    const resolve = async (name: string) => {
      const address = await find(name);
      return isEmbeddedCluster ? address?.replace(/^10\./, '127.') : address;
    };
    gateway = await startGateway({ ...settings, K8S_NAMESPACE: world.namespace }, resolve, gatewayPort);
  });
  afterEach(() => world.clear());
  afterAll(async () => {
    await gateway?.stop();
    standIn?.close();
  });

  const get = (url: string) => callHttp({ method: 'GET', url });
  const open = (url: string) =>
    eventually(
      'open through the gateway',
      () => get(`${url}/v1/sandbox`),
      ({ status }) => status === 200,
    );

  it('is open at its URL, and again when its Pod was replaced; not when it is gone', async () => {
    const { sandboxId, threadId, view } = await world.givenSandbox();
    const first = await open(view.sandbox_url);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    const { view: again } = await world.givenSandbox({ sandboxId, threadId });
    expect(again.sandbox_url).toBe(view.sandbox_url);
    const second = await eventually(
      'open at another address',
      () => open(view.sandbox_url),
      ({ text }) => !isEmbeddedCluster || text !== first.text,
    );
    expect(second.status).toBe(200);
    await world.destroy(sandboxId);
    await eventually(
      'gone',
      () => get(`${view.sandbox_url}/v1/sandbox`),
      ({ status }) => status === 404,
    );
  });

  it.skipIf(isEmbeddedCluster)('is taken by Kubernetes as it is printed', async () => {
    const args = [fileURLToPath(new URL('../../lib/tools/gateway.ts', import.meta.url))];
    const env = { ...settings, K8S_NAMESPACE: world.namespace };
    const { stdout } = await promisify(execFile)(process.execPath, args, { env });
    for (const object of loadAll(stdout).filter((one) => one !== null) as KubernetesObject[]) {
      // Kubernetes before 1.21 has the same under an older name.
      const versions = object.kind === 'PodDisruptionBudget' ? ['policy/v1', 'policy/v1beta1'] : [object.apiVersion];
      const statuses = versions.map(async (apiVersion) => {
        const path = printedPathOf({ ...object, apiVersion } as KubernetesObject, '').replace('/apis/v1/', '/api/v1/');
        const { status } = await world.kubernetes.request('POST', path.replace(/\/$/, '?dryRun=All'), {
          ...object,
          apiVersion,
        });
        return status;
      });
      expect(await Promise.all(statuses), String(object.kind)).toContain(201);
    }
  });

  it('is open to its own URL alone', async () => {
    const [one, other] = [await world.givenSandbox(), await world.givenSandbox()];
    await open(one.view.sandbox_url);
    const token = one.view.sandbox_url.split('/').at(-1) ?? '';
    const forged = other.view.sandbox_url.replace(/[^/]+$/, token);
    expect(await get(`${forged}/v1/sandbox`)).toMatchObject({ status: 403 });
    expect([...gateway.asked]).not.toContain(`sandbox-${other.sandboxId}-svc.${world.namespace}.svc.cluster.local`);
  });
});
