import { afterEach, describe, expect, it } from 'vitest';

import { cleanUpSandboxes } from '../../lib/cleanup/sweep.ts';
import { readQuotaLeft } from '../../lib/kubernetes/quotas.ts';
import { log } from '../../lib/log.ts';
import { createSandbox } from '../../lib/sandboxes/create.ts';
import { destroySandbox } from '../../lib/sandboxes/destroy.ts';
import { tellEvents } from '../../lib/sandboxes/events.ts';
import { getSandbox } from '../../lib/sandboxes/get.ts';
import { listSandboxes } from '../../lib/sandboxes/list.ts';
import { inspect } from '../../lib/sandboxes/readiness.ts';
import { renewSandbox } from '../../lib/sandboxes/renew.ts';
import { updateSandbox } from '../../lib/sandboxes/update.ts';
import { aReport, cleanUpByHand, usedAgo } from '../support/clean-up.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type KubernetesObject, openKubernetesClient } from '../support/kubernetes-client.ts';
import type { KubernetesCall } from '../support/kubernetes-proxy.ts';
import { originalPod } from '../support/original.ts';
import { type Place, startProcess, usePlace } from '../support/place.ts';
import { printedPathOf, printRights, readPrinted } from '../support/rights.ts';
import { newSandboxId, newThreadId } from '../support/world.ts';

log.setLogLevel('SILENT');

const settingsOf = (policy: string | undefined): Record<string, string> => ({
  METRICS: 'prometheus',
  ...(policy !== undefined && { SANDBOX_NETWORK_POLICY: policy }),
});

type Rule = { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] };

/** `delete pods`, and where a rule is for one object alone, `get networkpolicies/name`. */
const pairsOf = (rules: Rule[]): string[] =>
  rules.flatMap(({ resources, verbs, resourceNames = [''] }) =>
    resources.flatMap((resource) =>
      resourceNames.flatMap((name) => verbs.map((verb) => `${verb} ${resource}${name && `/${name}`}`)),
    ),
  );

const printedPairs = (policy: string | undefined): string[] => {
  const [role] = readPrinted(printRights(['--user', 'u'], settingsOf(policy)));
  return pairsOf(role?.rules as Rule[]);
};

/** The right that a call asks for, as Kubernetes reads it; undefined for the question what we may do, which anybody may ask. */
function rightOf({ method, path }: KubernetesCall): string | undefined {
  if (path.endsWith('/selfsubjectaccessreviews')) return undefined;
  if (method === 'GET' && /^\/api\/v1\/namespaces\/[^/]+$/.test(path)) return 'get namespaces';
  const [, resource = '', name, part = ''] =
    /^\/(?:api|apis\/[^/]+)\/v1\/namespaces\/[^/]+\/([^/]+)(?:\/([^/]+)(\/log)?)?$/.exec(path) ?? [];
  const verb =
    { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ??
    (name === undefined ? 'list' : 'get');
  return /^(networkpolicies|persistentvolumeclaims)$/.test(resource) && name !== undefined
    ? `${verb} ${resource}/${name}`
    : `${verb} ${resource}${part}`;
}

/**
 * All that the provisioner does in Kubernetes, each in a way that needs its rights. Gives the steps that failed, and how.
 */
async function doEverything(place: Place, policy: string | undefined): Promise<Record<string, string>> {
  const { cluster } = place;
  // A cold start each: what one remembers of the network policy, the next has to look at.
  const operationOf = async () => (await startProcess(place, { ...settingsOf(policy), SANDBOX_TTL_SECONDS: '60' }))();
  const admin = cluster.kubernetes;
  const failures: Record<string, string> = {};
  const step = async (name: string, work: () => Promise<unknown>) => {
    await work().catch((error: Error) => {
      failures[name] = error.message;
    });
  };
  const names = () => ({ sandboxId: newSandboxId(), threadId: newThreadId() });

  const one = names();
  await step('create', async () => createSandbox(one, await operationOf()));
  await step('create again', async () => createSandbox(one, await operationOf()));
  await step('get', async () => getSandbox(one.sandboxId, await operationOf()));
  await step('list', async () => listSandboxes(await operationOf()));
  await step('renew', async () => renewSandbox(one.sandboxId, 60, await operationOf()));
  await step('update', async () => updateSandbox(one.sandboxId, { team: 'red' }, await operationOf()));
  await step('events', async () => {
    const operation = await operationOf();
    await tellEvents(one.sandboxId, operation, operation.diagnostics);
  });
  await step('log', async () => {
    const { diagnostics, signal } = await operationOf();
    const selection = { container: 'sandbox', previous: false, tailLines: 1, limitBytes: 1000 };
    await diagnostics.readLog(`sandbox-${one.sandboxId}`, selection, signal).catch((error: Error) => {
      // An API server that does not find the kubelet says so once it has looked at the rights.
      if (error.message !== 'HTTP 500') throw error;
    });
  });
  await step('quota', async () => {
    const { opened, signal } = await operationOf();
    await readQuotaLeft(opened, place.namespace, signal);
  });
  await step('destroy', async () => destroySandbox(one.sandboxId, await operationOf()));

  const orphan = names();
  await admin.create('pods', originalPod(orphan, cluster.settings));
  await step('take over', async () => createSandbox(orphan, await operationOf()));

  const policyName = 'sandbox-provisioner';
  if ((await admin.find('networkpolicies', policyName)) !== undefined) {
    await admin.patch('networkpolicies', policyName, { spec: { policyTypes: ['Ingress'] } });
  } else if (policy !== 'isolated') {
    await admin.create('networkpolicies', { metadata: { name: policyName }, spec: { podSelector: {} } });
  }
  await step('ready', async () => {
    const operation = await operationOf();
    const looks = await inspect(operation, operation.signal);
    const wrong = looks.filter(({ check, state }) => check !== 'network-policy' && state !== 'ok');
    if (wrong.length > 0) throw new Error(wrong.map(({ words }) => words).join('; '));
  });
  const expired = names();
  await step('create under a policy that was changed', async () => createSandbox(expired, await operationOf()));
  const service = `sandbox-${expired.sandboxId}-svc`;
  if ((await admin.find('services', service)) !== undefined) {
    await admin.patch('services', service, { metadata: { annotations: usedAgo(120, 60) } });
  }
  await step('clean up', async () => {
    const { failed, networkPolicy } = await cleanUpSandboxes(await operationOf());
    const kept = networkPolicy === 'failed' || networkPolicy === 'not-permitted' ? [`policy ${networkPolicy}`] : [];
    const all = [...Object.keys(failed), ...kept];
    if (all.length > 0) throw new Error(all.join('; '));
  });
  return failures;
}

describe.each([undefined, 'none', 'isolated'])(
  'the rights that are printed where the network policy is %s',
  (policy) => {
    const place = usePlace(settingsOf(policy));

    it('are enough for all that is done, and no more: each is used', async () => {
      place.proxy.reset();
      expect(await doEverything(place, policy)).toEqual({});
      const used = new Set(place.proxy.calls.map(rightOf).filter((right) => right !== undefined));
      expect([...used].toSorted()).toEqual(printedPairs(policy).toSorted());
    });

    it.skipIf(isEmbeddedCluster)('are not what a client certificate of an administrator may do', async () => {
      const { request } = openKubernetesClient(place.cluster.access, place.namespace);
      for (const path of ['/api/v1/nodes', '/api/v1/namespaces', `/api/v1/namespaces/${place.namespace}/secrets`]) {
        expect((await request('GET', path)).status, path).toBe(403);
      }
    });
  },
);

// The embedded Kubernetes has no RBAC.
describe.skipIf(isEmbeddedCluster)('without one of the printed rights', () => {
  const place = usePlace(settingsOf('isolated'));

  /** Takes rights out of the Role, and waits until Kubernetes goes by it. */
  async function withdraw(pairs: string[]): Promise<void> {
    const { cluster, namespace } = place;
    const role = cluster.role as KubernetesObject;
    const rules = (role.rules as Rule[]).flatMap((rule) =>
      rule.resources.map((resource) => ({
        ...rule,
        resources: [resource],
        verbs: rule.verbs.filter((verb) => !pairsOf([{ ...rule, resources: [resource], verbs: [verb] }]).some(isTaken)),
      })),
    );
    function isTaken(pair: string): boolean {
      return pairs.includes(pair);
    }
    const given = rules.filter(({ verbs }) => verbs.length > 0);
    await cluster.kubernetes.request('PUT', printedPathOf(role), { ...role, rules: given });
    const { request } = openKubernetesClient(cluster.access, namespace);
    const all = pairsOf(role.rules as Rule[]);
    await eventually(
      'in force: the rights that are left',
      () =>
        Promise.all(
          all.map(async (pair) => {
            const [verb, resource = ''] = pair.split(' ');
            const [plural = '', name] = resource.split('/');
            const group = plural === 'networkpolicies' ? 'networking.k8s.io' : '';
            const part = plural === 'pods' ? { subresource: name } : { name };
            const resourceAttributes = { namespace, verb, group, resource: plural, ...(name && part) };
            const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
            const { body } = await request('POST', path, { spec: { resourceAttributes } });
            return body.status.allowed === !isTaken(pair);
          }),
        ),
      (answers) => answers.every(Boolean),
    );
  }

  afterEach(() => withdraw([]));

  it.each(printedPairs('isolated'))('something fails: %s', async (pair) => {
    await withdraw([pair]);
    const failures = await doEverything(place, 'isolated');
    const right = /events|log/.test(pair) ? `Kubernetes does not permit it: ${pair} ` : '';
    expect(Object.values(failures).join('\n')).toContain(`${right}(403 Forbidden)`);
    expect(failures.ready).toMatch(new RegExp(`^not permitted: ${pair}(;|$)`));
  });

  it('to delete Pods, the clean-up tells each that it could not delete, removes what it may, and fails', async () => {
    const { cluster } = place;
    const operation = (await startProcess(place, settingsOf('isolated')))();
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    const given = [names, ...Array.from({ length: 3 }, () => ({ ...names, sandboxId: newSandboxId() }))];
    for (const request of given) await createSandbox(request, operation);
    const [one = names, other = names, withoutPod = names, alive = names] = given;
    const orphan = { sandboxId: newSandboxId(), threadId: newThreadId() };
    await cluster.kubernetes.create('pods', originalPod(orphan, cluster.settings));
    await cluster.kubernetes.patch('pods', `sandbox-${orphan.sandboxId}`, { metadata: { annotations: usedAgo(600) } });
    for (const { sandboxId } of [one, other, withoutPod]) {
      const annotations = usedAgo(86_400);
      await cluster.kubernetes.patch('services', `sandbox-${sandboxId}-svc`, { metadata: { annotations } });
    }
    await cluster.kubernetes.remove('pods', `sandbox-${withoutPod.sandboxId}`, 0);

    await withdraw(['delete pods']);
    const { exitCode, report, output } = await cleanUpByHand(place, settingsOf('isolated'));
    const failed = { 'Kubernetes does not permit it (403 Forbidden)': 3 };
    const done = { examined: 5, deleted: { expired: 1 }, kept: { 'in-use': 1 }, failed };
    expect(report, output).toEqual(aReport({ ...done, networkPolicy: 'unchanged' }));
    expect(exitCode).toBe(1);
    for (const { sandboxId } of [one, other, orphan]) expect(output).toContain(sandboxId);

    const find = async (resource: 'pods' | 'services', name: string) => cluster.kubernetes.find(resource, name);
    for (const { sandboxId } of [one, other, withoutPod]) {
      expect(await find('services', `sandbox-${sandboxId}-svc`)).toBeUndefined();
    }
    // Their Pods go with their Services, which own them; one that nobody owns stays.
    for (const { sandboxId } of [one, other]) {
      await eventually(
        'collected: the Pod of a Service that was removed',
        () => find('pods', `sandbox-${sandboxId}`),
        (pod) => pod === undefined || pod.metadata.deletionTimestamp !== undefined,
      );
    }
    expect((await find('pods', `sandbox-${orphan.sandboxId}`))?.metadata.deletionTimestamp).toBeUndefined();
    expect((await find('pods', `sandbox-${alive.sandboxId}`))?.metadata.deletionTimestamp).toBeUndefined();
    expect(await find('services', `sandbox-${alive.sandboxId}-svc`)).toBeDefined();
  });
});
