import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  mounting,
  podOf,
  reasons,
  refusedPods,
  refusedServices,
  serviceOf,
  settings,
} from '../support/admission-cases.ts';
import { isEmbeddedCluster, openTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type KubernetesClient, openKubernetesClient, readKubeconfig } from '../support/kubernetes-client.ts';
import { printedPathOf, printRights, readPrinted } from '../support/rights.ts';

const policiesPath = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';

/** Kubernetes knows such policies from 1.30 on. */
async function knowsPolicies(): Promise<boolean> {
  const kubernetes = openKubernetesClient(await readKubeconfig(process.env.KUBECONFIG_PATH as string), 'default');
  return (await kubernetes.request('GET', policiesPath)).status === 200;
}

describe.skipIf(isEmbeddedCluster || !(await knowsPolicies()))('the admission policy, on an API server', () => {
  let cluster: TestCluster;
  let provisioner: KubernetesClient;
  const printed = () => {
    const options = ['--service-account', `${cluster.namespace}/provisioner`];
    const own = { ...settings, K8S_NAMESPACE: cluster.namespace };
    const rights = readPrinted(printRights(options, own));
    return readPrinted(printRights([...options, '--admission-policy'], own)).slice(rights.length);
  };

  /** What the API server says to the making of an object that it does not keep. */
  const make = (who: KubernetesClient, resource: string, object: object) =>
    who.request('POST', `/api/v1/namespaces/${cluster.namespace}/${resource}?dryRun=All`, {
      ...object,
      metadata: { ...(object as { metadata: object }).metadata, namespace: cluster.namespace },
    });

  beforeAll(async () => {
    cluster = await openTestCluster();
    provisioner = openKubernetesClient(cluster.access, cluster.namespace);
    for (const object of printed()) {
      const { status } = await cluster.kubernetes.request('POST', printedPathOf(object, '').replace(/\/$/, ''), object);
      expect(status).toBe(201);
    }
    for (const [resource, object] of [
      ['pods', mounting('/')],
      ['services', { ...serviceOf(), spec: { ports: [{ port: 1 }] } }],
    ] as const) {
      await eventually(
        'in force: the policy',
        () => make(provisioner, resource, object),
        ({ status }) => status === 422,
      );
    }
  }, 120_000);

  afterAll(async () => {
    for (const object of printed()) await cluster.kubernetes.request('DELETE', printedPathOf(object));
    await cluster.close();
  }, 120_000);

  it('has expressions that fit the kinds that they are for', async () => {
    for (const policy of printed().filter(({ kind }) => kind === 'ValidatingAdmissionPolicy')) {
      const { body } = await eventually(
        'checked: the policy',
        () => cluster.kubernetes.request('GET', printedPathOf(policy)),
        ({ body }) => body.status?.observedGeneration !== undefined,
      );
      expect(body.status.typeChecking?.expressionWarnings ?? []).toEqual([]);
    }
  });

  it('lets a sandbox through', async () => {
    expect(await make(provisioner, 'pods', podOf())).toMatchObject({ status: 201 });
    expect(await make(provisioner, 'services', serviceOf())).toMatchObject({ status: 201 });
  });

  it.each([
    ...refusedPods.map((one) => ['pods', ...one] as const),
    ...refusedServices.map((one) => ['services', ...one] as const),
  ])('refuses, of %s, %s', async (resource, _what, object, reason) => {
    const { status, body } = await make(provisioner, resource, object);
    expect([403, 422]).toContain(status);
    // Some of them nobody may make.
    const { status: toAdministrator } = await make(cluster.kubernetes, resource, object);
    if (toAdministrator === 201) expect(body.message).toContain(reasons[reason]);
  });

  it('leaves what is of others as it is', async () => {
    await cluster.kubernetes.create('services', { metadata: { name: 'database' }, spec: { ports: [{ port: 1 }] } });
    const path = `/api/v1/namespaces/${cluster.namespace}/services/database`;
    const { status, body } = await provisioner.request('DELETE', path);
    expect({ status, message: body.message }).toEqual({ status: 422, message: expect.stringContaining(reasons.marks) });
  });
});
