import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadYaml } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { makeCertificate } from '../support/certificate.ts';
import { isEmbeddedCluster, openTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { callHttp } from '../support/http-call.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { newSandboxId } from '../support/world.ts';

type Entry = Record<string, unknown>;
type Kubeconfig = {
  clusters: { name: string; cluster: Entry }[];
  users: { name: string; user: Entry }[];
  contexts: { name: string; context: { cluster: string; user: string } }[];
  'current-context': string;
};

const base64 = (text: string) => Buffer.from(text).toString('base64');
const kubeconfig = () => loadYaml<Kubeconfig>(readFileSync(process.env.KUBECONFIG_PATH as string, 'utf8'));

/** The kubeconfig of the tests, with some of its cluster or its user in another way. */
function variant(cluster: Entry = {}, user?: Entry): string {
  const config = kubeconfig();
  const context = config.contexts.find(({ name }) => name === config['current-context'])?.context;
  for (const entry of config.clusters) if (entry.name === context?.cluster) Object.assign(entry.cluster, cluster);
  for (const entry of config.users) if (user !== undefined && entry.name === context?.user) entry.user = user;
  return JSON.stringify(config);
}

const withClientCertificate = ({ certificate, key }: { certificate: string; key: string }) => ({
  'client-certificate-data': base64(certificate),
  'client-key-data': base64(key),
});

// The embedded Kubernetes speaks no TLS and knows nobody; what an API server makes of it is seen on a real one.
describe.skipIf(isEmbeddedCluster)('the credentials of a cluster', () => {
  let cluster: TestCluster;
  let provisioner: Provisioner;
  const folder = mkdtempSync(path.join(tmpdir(), 'credentials-test-'));
  const file = path.join(folder, 'config');

  /** Replaces the kubeconfig as a whole, as tools that rotate it do. */
  function rotate(text: string): void {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
  const get = (url = provisioner.url) =>
    callHttp({ method: 'GET', url: `${url}/api/sandboxes/${newSandboxId()}`, timeoutMs: 10_000 });
  const answerIs = (expected: RegExp, waitMs = 15_000) =>
    eventually(
      `answered: ${expected}`,
      async () => {
        const { status, body } = await get();
        return `${status} ${body.detail}`;
      },
      (answer) => expected.test(answer),
      waitMs,
    );

  const start = (settings: Record<string, string>) =>
    startProvisioner({
      EMBEDDED_KUBERNETES: 'false',
      KUBECONFIG_WAIT_SECONDS: '0',
      K8S_NAMESPACE: cluster.namespace,
      ...cluster.settings,
      ...settings,
    });

  beforeAll(async () => {
    cluster = await openTestCluster();
    rotate(variant());
    provisioner = await start({ KUBECONFIG_PATH: file });
  }, 120_000);

  afterAll(async () => {
    await provisioner?.stop();
    rmSync(folder, { recursive: true, force: true });
    await cluster?.close();
  }, 120_000);

  const notFound = /^404 Sandbox '.*' not found$/;
  const { certificate } = makeCertificate('another authority');
  const day = 86_400_000;
  const expired = makeCertificate('somebody', { validTo: new Date(Date.now() - day / 2) });

  // One process all along: that it finds its way back is the other half of each of these.
  it.each<[string, () => string, RegExp]>([
    [
      'of another CA is refused with that reason',
      () => variant({ 'certificate-authority-data': base64(certificate) }),
      /^500 Service lookup failed: the certificate of the API server is not signed by the cluster's CA \(/,
    ],
    [
      'of another host name is refused with that reason',
      () => variant({ 'tls-server-name': 'another.test' }),
      /^500 Service lookup failed: the certificate of the API server is for another host name \(/,
    ],
    [
      'with a client certificate that has expired is refused with that reason, and when',
      () => variant({}, withClientCertificate(expired)),
      /^500 Service lookup failed: .*: the client certificate expired at 20\d\d-\d\d-\d\dT[\d:]{8}Z$/,
    ],
    [
      'with a client certificate of a stranger is refused',
      () => variant({}, withClientCertificate(makeCertificate('somebody'))),
      /^500 Service lookup failed: Kubernetes refused our credentials \(401 Unauthorized\)$/,
    ],
    [
      'with a token of nobody is refused',
      () => variant({}, { token: 'nobody' }),
      /^500 Service lookup failed: Kubernetes refused our credentials \(401 Unauthorized\)$/,
    ],
    [
      'without any credentials is refused',
      () => variant({}, {}),
      /^500 Service lookup failed: Kubernetes (refused our credentials \(401 Unauthorized\)|does not permit it \(403 Forbidden\))$/,
    ],
    [
      'with a plug-in that is not there is refused with its name',
      () => variant({}, { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'no-such-plug-in' } }),
      /^500 Service lookup failed: the plug-in 'no-such-plug-in' of the kubeconfig is not installed$/,
    ],
  ])('a kubeconfig %s; once it is right again, so is everything', async (_what, write, expected) => {
    await answerIs(notFound);
    rotate(write());
    await answerIs(expected);
    rotate(variant());
    await answerIs(notFound);
  });

  it('that are a token in a file are taken from there anew when the old one is worth nothing any more', async () => {
    const { kubernetes } = cluster;
    const account = `/api/v1/namespaces/${kubernetes.namespace}/serviceaccounts`;
    const makeToken = async () => {
      await kubernetes.request('POST', account, { metadata: { name: 'rotated' } });
      const spec = { audiences: [], expirationSeconds: 600 };
      const { body } = await kubernetes.request('POST', `${account}/rotated/token`, { spec });
      return (body as unknown as { status: { token: string } }).status.token;
    };
    writeFileSync(path.join(folder, 'token'), await makeToken());
    rotate(variant({}, { tokenFile: 'token' }));
    // Somebody whom Kubernetes knows, and who may do nothing.
    await answerIs(/^500 Service lookup failed: Kubernetes does not permit it \(403 Forbidden\)$/);
    await kubernetes.request('DELETE', `${account}/rotated`);
    // It remembers for some seconds whom it knew.
    await answerIs(/^500 Service lookup failed: Kubernetes refused our credentials \(401 Unauthorized\)$/, 60_000);
    writeFileSync(path.join(folder, 'token'), `${await makeToken()}\n`);
    await answerIs(/^500 Service lookup failed: Kubernetes does not permit it \(403 Forbidden\)$/, 60_000);
  }, 180_000);

  it('may be in the environment, in base64, with a context of our choice', async () => {
    const config = kubeconfig();
    const others = { contexts: [...config.contexts, { name: 'nobody', context: { cluster: 'x', user: 'x' } }] };
    const other = await start({
      KUBECONFIG_PATH: path.join(folder, 'that-is-not-there'),
      KUBECONFIG_CONTENT: base64(JSON.stringify({ ...config, ...others, 'current-context': 'nobody' })),
      KUBECONFIG_CONTEXT: config['current-context'],
    });
    try {
      expect(await get(other.url)).toMatchObject({ status: 404 });
    } finally {
      await other.stop();
    }
  }, 120_000);
});
