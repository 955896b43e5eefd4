import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadYaml } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, it } from 'vitest';
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

const withClientCertificate = ({ certificate, key }: { certificate: string; key: string }) =>
  variant({}, { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) });

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
  const ask = async () => {
    const url = `${provisioner.url}/api/sandboxes/${newSandboxId()}`;
    const { status, body } = await callHttp({ method: 'GET', url });
    return `${status} ${body.detail}`;
  };
  const answerIs = (expected: RegExp, waitMs = 15_000) =>
    eventually(`answered: ${expected}`, ask, (answer) => expected.test(answer), waitMs);

  beforeAll(async () => {
    cluster = await openTestCluster();
    rotate(variant());
    provisioner = await startProvisioner({
      EMBEDDED_KUBERNETES: 'false',
      KUBECONFIG_WAIT_SECONDS: '0',
      K8S_NAMESPACE: cluster.namespace,
      ...cluster.settings,
      KUBECONFIG_PATH: file,
    });
  }, 120_000);

  afterAll(async () => {
    await provisioner?.stop();
    rmSync(folder, { recursive: true, force: true });
    await cluster?.close();
  }, 120_000);

  const notFound = /^404 Sandbox '.*' not found$/;
  const { certificate: otherCA } = makeCertificate('another authority');
  const expired = makeCertificate('somebody', { validTo: new Date(Date.now() - 43_200_000) });
  const refusedUs = /^Kubernetes refused our credentials \(401 Unauthorized\)$/;
  const forbidden = /^Kubernetes does not permit it \(403 Forbidden\)$/;
  const notSigned = /^the certificate of the API server is not signed by the cluster's CA \(/;
  const otherName = /^the certificate of the API server is for another host name \(/;
  const hasExpired = /^.*: the client certificate expired at 20\d\d-\d\d-\d\dT[\d:]{8}Z$/;
  const failed = ({ source }: RegExp) => new RegExp(source.replaceAll('^', '^500 Service lookup failed: '));

  // One process all along: that it finds its way back is the other half of each of these. What an API server has no part in is in
  // the unit tests of credentials and TLS.
  it.each<[string, () => string, RegExp]>([
    ['of another CA', () => variant({ 'certificate-authority-data': base64(otherCA) }), notSigned],
    ['of another host name', () => variant({ 'tls-server-name': 'another.test' }), otherName],
    ['with a client certificate that has expired', () => withClientCertificate(expired), hasExpired],
    ['with a client certificate of a stranger', () => withClientCertificate(makeCertificate('somebody')), refusedUs],
    ['with a token of nobody', () => variant({}, { token: 'nobody' }), refusedUs],
    ['without any credentials', () => variant({}, {}), new RegExp(`(${refusedUs.source})|(${forbidden.source})`)],
  ])(
    'a kubeconfig %s is refused with that reason; once it is right again, so is everything',
    async (_what, write, expected) => {
      await answerIs(notFound);
      rotate(write());
      await answerIs(failed(expected));
      rotate(variant());
      await answerIs(notFound);
    },
  );

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
    await answerIs(failed(forbidden));
    await kubernetes.request('DELETE', `${account}/rotated`);
    // It remembers for some seconds whom it knew.
    await answerIs(failed(refusedUs), 60_000);
    writeFileSync(path.join(folder, 'token'), `${await makeToken()}\n`);
    await answerIs(failed(forbidden), 60_000);
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
    const apiGroups = ['', 'authentication.k8s.io'];
    const rules = Object.entries({
      users: ['another'],
      groups: [group],
      'userextras/example.com/project': ['mine', 'ours'],
    }).map(([resource, resourceNames]) => ({
      apiGroups,
      resources: [resource],
      verbs: ['impersonate'],
      resourceNames,
    }));
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
      for (const [as, expected] of [
        [{}, failed(forbidden)],
        [{ 'as-groups': [group] }, notFound],
        [{ 'as-groups': ['system:masters', group] }, failed(forbidden)],
        [{ 'as-groups': [group], 'as-user-extra': { 'example.com/project': ['mine', 'ours'] } }, notFound],
        [{ 'as-groups': [group], 'as-user-extra': { 'example.com/project': ['mine', 'theirs'] } }, failed(forbidden)],
      ] as const) {
        rotate(variant({}, { token: status.token, as: 'another', ...as }));
        await answerIs(expected);
      }
    } finally {
      await must('DELETE', `${roles}/clusterroles/${name}`);
      await kubernetes.request('DELETE', `${roles}/clusterrolebindings/${name}`);
      rotate(variant());
    }
  }, 120_000);
});
