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

/** The same, with what others have left in it. */
function besideBroken(text: string): string {
  const { clusters, users, contexts, ...rest }: Kubeconfig = JSON.parse(text);
  return JSON.stringify({
    ...rest,
    clusters: [{ name: 'empty', cluster: {} }, ...clusters],
    users: [{ user: {} }, ...users],
    contexts: [{ name: 'empty', context: null }, { name: 'half', context: { user: 'empty' } }, ...contexts],
  });
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
  const get = (url = provisioner.url) => callHttp({ method: 'GET', url: `${url}/api/sandboxes/${newSandboxId()}` });
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
  const authority = { name: 'another authority', ...makeCertificate('another authority') };

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
      'with a client certificate that our own TLS does not take is refused as ours',
      () => variant({}, withClientCertificate(makeCertificate('me', { signedBy: authority, rsaBits: 1024 }))),
      /^500 Service lookup failed: the client certificate of the kubeconfig cannot be used \(ERR_SSL_EE_KEY_TOO_SMALL\)$/,
    ],
    [
      "with another certificate's key is refused as ours",
      () => variant({}, withClientCertificate({ ...expired, key: makeCertificate('somebody').key })),
      /^500 Service lookup failed: the client certificate of the kubeconfig and its key do not belong together$/,
    ],
    [
      'with an entry beside it that nobody can use is used',
      () => besideBroken(variant({}, { token: 'nobody' })),
      /^500 Service lookup failed: Kubernetes refused our credentials \(401 Unauthorized\)$/,
    ],
    [
      'with a plug-in that waits for somebody is refused with its name',
      () => variant({}, { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sleep', args: ['60'] } }),
      /^504 Service lookup failed: the plug-in 'sleep' of the kubeconfig did not end in time/,
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

  it('of one who acts as another are those of the other: user, groups, and the rest', async () => {
    const { kubernetes } = cluster;
    const must = async (method: string, route: string, body?: object) => {
      const answer = await kubernetes.request(method, route, body);
      if (answer.status >= 300) throw new Error(`${method} ${route}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    };
    const roles = '/apis/rbac.authorization.k8s.io/v1';
    const mine = `${roles}/namespaces/${kubernetes.namespace}`;
    const account = `/api/v1/namespaces/${kubernetes.namespace}/serviceaccounts`;
    const name = `sandbox-provisioner:${kubernetes.namespace}-acting`;
    await must('POST', account, { metadata: { name: 'acting' } });
    const { status } = await must('POST', `${account}/acting/token`, { spec: { expirationSeconds: 600 } });
    const group = `${name}-group`;
    const rule = (resource: string, ...resourceNames: string[]) => ({
      apiGroups: ['', 'authentication.k8s.io'],
      resources: [resource],
      verbs: ['impersonate'],
      resourceNames,
    });
    const rules = [
      rule('users', 'another'),
      rule('groups', group),
      rule('userextras/example.com/project', 'mine', 'ours'),
    ];
    const ofRole = (kind: string, role: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: role });
    await must('POST', `${roles}/clusterroles`, { metadata: { name }, rules });
    try {
      await must('POST', `${roles}/clusterrolebindings`, {
        metadata: { name },
        roleRef: ofRole('ClusterRole', name),
        subjects: [{ kind: 'ServiceAccount', name: 'acting', namespace: kubernetes.namespace }],
      });
      // Only who is in the group may look.
      await must('POST', `${mine}/roles`, {
        metadata: { name: 'looking' },
        rules: [{ apiGroups: [''], resources: ['services', 'pods'], verbs: ['get', 'list'] }],
      });
      await must('POST', `${mine}/rolebindings`, {
        metadata: { name: 'looking' },
        roleRef: ofRole('Role', 'looking'),
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: group }],
      });
      const act = (as: Entry) => rotate(variant({}, { token: status.token, as: 'another', ...as }));
      const refused = /^500 Service lookup failed: Kubernetes does not permit it \(403 Forbidden\)$/;
      act({});
      await answerIs(refused);
      act({ 'as-groups': [group] });
      await answerIs(notFound);
      act({ 'as-groups': ['system:masters', group] });
      await answerIs(refused);
      act({ 'as-groups': [group], 'as-user-extra': { 'example.com/project': ['mine', 'ours'] } });
      await answerIs(notFound);
      act({ 'as-groups': [group], 'as-user-extra': { 'example.com/project': ['mine', 'theirs'] } });
      await answerIs(refused);
    } finally {
      await must('DELETE', `${roles}/clusterroles/${name}`);
      await kubernetes.request('DELETE', `${roles}/clusterrolebindings/${name}`);
      rotate(variant());
    }
  }, 120_000);

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
