import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { expectError } from '../support/answers.ts';
import { makeCertificate } from '../support/certificate.ts';
import { openTestCluster, type TestCluster } from '../support/cluster.ts';
import { callHttp, type HttpAnswer } from '../support/http-call.ts';
import { type KubernetesProxy, kubeconfigOf, startKubernetesProxy } from '../support/kubernetes-proxy.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { keepSecret } from '../support/secrets.ts';
import { newSandboxId } from '../support/world.ts';

// The name that the kubeconfig knows the API server by, which leads nowhere from here; K8S_API_SERVER says where it is.
const hostName = 'kubernetes.test';

let cluster: TestCluster;
let proxy: KubernetesProxy;
let front: https.Server;
let address: string;
let provisioner: Provisioner | undefined;
const trusted = makeCertificate(hostName);
const apiKey = randomBytes(32).toString('hex');
const token = keepSecret(randomBytes(16).toString('hex'));
const folder = mkdtempSync(path.join(tmpdir(), 'kubeconfig-test-'));
const file = path.join(folder, 'config');

beforeAll(async () => {
  cluster = await openTestCluster();
  proxy = await startKubernetesProxy(cluster.access);
  front = https.createServer({ cert: trusted.certificate, key: trusted.key }, (request, response) => {
    const outgoing = http.request(
      `${proxy.url}${request.url}`,
      { method: request.method, headers: request.headers },
      (incoming) => {
        response.writeHead(incoming.statusCode ?? 502, incoming.headers);
        incoming.pipe(response);
      },
    );
    outgoing.on('error', () => response.destroy());
    request.pipe(outgoing);
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  address = `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
}, 120_000);

afterAll(async () => {
  front?.closeAllConnections();
  front?.close();
  await proxy?.close();
  rmSync(folder, { recursive: true, force: true });
  await cluster?.close();
}, 120_000);

afterEach(async () => {
  await provisioner?.stop();
  provisioner = undefined;
  rmSync(file, { recursive: true, force: true });
  proxy.reset();
});

async function start(settings: Record<string, string> = {}): Promise<Provisioner> {
  provisioner = await startProvisioner({
    EMBEDDED_KUBERNETES: 'false',
    KUBECONFIG_PATH: file,
    KUBECONFIG_WAIT_SECONDS: '0',
    K8S_NAMESPACE: cluster.namespace,
    K8S_API_SERVER: address,
    PROVISIONER_API_KEY: apiKey,
    ...cluster.settings,
    ...settings,
  });
  return provisioner;
}

const ask = (method: string, route: string, rest: { body?: unknown; timeoutMs?: number } = {}): Promise<HttpAnswer> =>
  callHttp({
    method,
    url: `${provisioner?.url}${route}`,
    timeoutMs: 10_000,
    headers: { 'x-api-key': apiKey },
    ...rest,
  });

function writeKubeconfig(certificateAuthority: string, server = `https://${hostName}:6443`): void {
  writeFileSync(file, JSON.stringify(kubeconfigOf({ server, token, certificateAuthority })));
}

describe('the kubeconfig', () => {
  it('is looked for again until it is there and good; meanwhile the answers say what is wrong, and health is well', async () => {
    await start();
    const id = newSandboxId();
    const get = () => ask('GET', `/api/sandboxes/${id}`);

    // Neither a file nor a Pod's own credentials: both are named.
    expectError(await get(), [500, 503], /config.*in-cluster/);
    expect((await get()).body.detail).toContain(file);

    mkdirSync(file);
    expectError(await get(), 500, /directory/);
    expect((await get()).body.detail).toContain(file);
    rmdirSync(file);

    for (const text of ['', '{"apiVersion": "v1"', 'apiVersion: v1\nkind: Config\n', '[]', 'null']) {
      writeFileSync(file, text);
      expectError(await get(), 500, /kubeconfig/);
      expectError(await ask('GET', '/api/sandboxes'), 500, /kubeconfig/);
      expectError(await ask('DELETE', `/api/sandboxes/${id}`), 500, /kubeconfig/);
      expectError(await ask('POST', '/api/sandboxes', { body: { sandbox_id: id } }), 500, /kubeconfig/);
    }
    expect(await ask('GET', '/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(proxy.calls).toEqual([]);

    writeKubeconfig(trusted.certificate);
    expectError(await get(), 404, `Sandbox '${id}' not found`);
    // It was loaded once, and is not asked for any more.
    rmSync(file);
    expectError(await get(), 404, `Sandbox '${id}' not found`);
  });

  it('is waited for, if somebody else is still writing it', async () => {
    await start({ KUBECONFIG_WAIT_SECONDS: '30' });
    const id = newSandboxId();
    const pending = ask('GET', `/api/sandboxes/${id}`);
    expect((await ask('GET', '/health')).status).toBe(200);
    writeKubeconfig(trusted.certificate);
    expectError(await pending, 404, `Sandbox '${id}' not found`);
  });
});

describe('K8S_API_SERVER', () => {
  it('leads to the API server, whose certificate is checked against the name that the kubeconfig has for it', async () => {
    writeKubeconfig(trusted.certificate);
    await start();
    const id = newSandboxId();
    const answer = await ask('POST', '/api/sandboxes', { body: { sandbox_id: id }, timeoutMs: 30_000 });
    expect(answer.status, answer.text).toBe(200);
    expect((await ask('DELETE', `/api/sandboxes/${id}`)).status).toBe(200);
  });

  // The original turned the check off as soon as the address was rewritten.
  it.each<[string, () => void]>([
    ['is not signed by the CA of the kubeconfig', () => writeKubeconfig(makeCertificate(hostName).certificate)],
    ['is for another name', () => writeKubeconfig(trusted.certificate, 'https://another.test:6443')],
  ])('leads nowhere, if the certificate %s', async (_what, write) => {
    write();
    await start();
    const id = newSandboxId();
    expectError(await ask('GET', `/api/sandboxes/${id}`), 500, /certificate/);
    expectError(await ask('GET', '/api/sandboxes'), 500, /certificate/);
    expectError(await ask('DELETE', `/api/sandboxes/${id}`), 500, /certificate/);
    expectError(await ask('POST', '/api/sandboxes', { body: { sandbox_id: id } }), 500, /certificate/);
    expect(proxy.calls).toEqual([]);
  });

  it('leads there all the same, if an explicit setting turns the check off', async () => {
    writeKubeconfig(makeCertificate(hostName).certificate);
    await start({ K8S_TLS_SKIP_VERIFY: 'true' });
    const id = newSandboxId();
    expectError(await ask('GET', `/api/sandboxes/${id}`), 404, `Sandbox '${id}' not found`);
  });
});
