import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
let front: tls.Server;
const provisioners: Provisioner[] = [];
const trusted = makeCertificate(hostName);
const apiKey = randomBytes(32).toString('hex');
const token = keepSecret(randomBytes(16).toString('hex'));
const folder = mkdtempSync(path.join(tmpdir(), 'kubeconfig-test-'));

beforeAll(async () => {
  cluster = await openTestCluster();
  proxy = await startKubernetesProxy(cluster.access);
  front = tls.createServer({ cert: trusted.certificate, key: trusted.key }, (socket) => {
    const upstream = net.connect(Number(new URL(proxy.url).port), '127.0.0.1');
    for (const end of [socket, upstream]) end.on('error', () => [socket, upstream].map((each) => each.destroy()));
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
}, 120_000);

afterAll(async () => {
  await Promise.all(provisioners.map((provisioner) => provisioner.stop()));
  front?.close();
  await proxy?.close();
  rmSync(folder, { recursive: true, force: true });
  await cluster?.close();
}, 120_000);

/** Starts a provisioner whose kubeconfig is to be this file of the folder, and asks it. */
async function start(file: string, settings: Record<string, string>) {
  const provisioner = await startProvisioner({
    EMBEDDED_KUBERNETES: 'false',
    KUBECONFIG_PATH: path.join(folder, file),
    K8S_NAMESPACE: cluster.namespace,
    K8S_API_SERVER: `https://127.0.0.1:${(front.address() as net.AddressInfo).port}`,
    PROVISIONER_API_KEY: apiKey,
    ...cluster.settings,
    ...settings,
  });
  provisioners.push(provisioner);
  // No clock of our own: the first call of a function loads it, which may take long beside other tests, and is not in its time.
  return (method: string, route: string, body?: unknown): Promise<HttpAnswer> =>
    callHttp({ method, url: `${provisioner.url}${route}`, headers: { 'x-api-key': apiKey }, body });
}

type Ask = Awaited<ReturnType<typeof start>>;

const id = newSandboxId();
const get = (ask: Ask) => ask('GET', `/api/sandboxes/${id}`);
const askAll = (ask: Ask) =>
  Promise.all([
    get(ask),
    ask('GET', '/api/sandboxes'),
    ask('DELETE', `/api/sandboxes/${id}`),
    ask('POST', '/api/sandboxes', { sandbox_id: id }),
  ]);

function writeKubeconfig(file: string, certificateAuthority: string, server = `https://${hostName}:6443`): void {
  writeFileSync(path.join(folder, file), JSON.stringify(kubeconfigOf({ server, token, certificateAuthority })));
}

// One process all along.
describe('the kubeconfig', () => {
  const file = path.join(folder, 'config');
  let ask: Ask;

  it('is looked for again until it is there and good; meanwhile the answers say what is wrong, and health is well', async () => {
    ask = await start('config', { KUBECONFIG_WAIT_SECONDS: '0' });
    const saysHere = async (statuses: number | number[], words: RegExp) => {
      const answer = await get(ask);
      expectError(answer, statuses, words);
      expect(answer.body.detail).toContain(file);
    };
    // Neither a file nor a Pod's own credentials: both are named.
    await saysHere([500, 503], /config.*in-cluster/);
    mkdirSync(file);
    await saysHere(500, /directory/);
    rmdirSync(file);
    // Whatever else may be in it: test/unit/kubeconfig.test.ts.
    writeFileSync(file, '{"apiVersion": "v1"');
    await saysHere(500, /kubeconfig/);
    for (const answer of await askAll(ask)) expectError(answer, 500, /kubeconfig/);
    expect(await ask('GET', '/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(proxy.calls).toEqual([]);
  });

  // The original turned the check off as soon as the address was rewritten.
  it.each<[string, () => void]>([
    ['is not signed by its CA', () => writeKubeconfig('config', makeCertificate(hostName).certificate)],
    ['is for another name', () => writeKubeconfig('config', trusted.certificate, 'https://another.test:6443')],
  ])('leads nowhere with K8S_API_SERVER, if the certificate there %s', async (_what, write) => {
    write();
    for (const answer of await askAll(ask)) expectError(answer, 500, /certificate/);
    expect(proxy.calls).toEqual([]);
  });

  it('leads to the API server of K8S_API_SERVER, if the certificate there is good, and stays good without its file', async () => {
    writeKubeconfig('config', trusted.certificate);
    const created = await ask('POST', '/api/sandboxes', { sandbox_id: id });
    expect(created.status, created.text).toBe(200);
    expect((await ask('DELETE', `/api/sandboxes/${id}`)).status).toBe(200);
    expectError(await get(ask), 404, `Sandbox '${id}' not found`);
    rmSync(file);
    expectError(await get(ask), 404, `Sandbox '${id}' not found`);
  });
});

describe('the kubeconfig of a provisioner that may wait', () => {
  it('is waited for, if somebody else is still writing it; and its CA does not count where K8S_TLS_SKIP_VERIFY says so', async () => {
    const ask = await start('late', { KUBECONFIG_WAIT_SECONDS: '30', K8S_TLS_SKIP_VERIFY: 'true' });
    const pending = get(ask);
    expect((await ask('GET', '/health')).status).toBe(200);
    writeKubeconfig('late', makeCertificate(hostName).certificate);
    expectError(await pending, 404, `Sandbox '${id}' not found`);
  });
});
