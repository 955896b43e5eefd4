import { afterEach, describe, expect, it } from 'vitest';

import { log } from '../../lib/log.ts';
import { createSandbox } from '../../lib/sandboxes/create.ts';
import { inspect } from '../../lib/sandboxes/readiness.ts';
import { expectUnavailable } from '../support/answers.ts';
import { eventually } from '../support/eventually.ts';
import { type FaultAction, type KubernetesCall, kubernetesStatus } from '../support/kubernetes-proxy.ts';
import { startProcess, usePlace } from '../support/place.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

log.setLogLevel('SILENT');

describe('GET /ready', () => {
  const world = useWorld(lean);
  const ask = () => world.call('GET', '/ready', { headers: { 'x-api-key': '' } });

  it('says to anybody that sandboxes can be made, and has Kubernetes asked once for all who ask', async () => {
    const calls = await world.callsOf(async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, ask));
      for (const { status, body } of [...answers, await ask()])
        expect({ status, body }).toEqual({ status: 200, body: { status: 'ready' } });
    });
    const paths = calls.map(({ method, path, body }) => `${method} ${path} ${body}`);
    expect(new Set(paths).size).toBe(paths.length);
    // It changes nothing: what is posted are questions.
    const posted = calls.filter(({ method }) => method !== 'GET').map(({ path }) => path);
    expect([...new Set(posted)]).toEqual(['/apis/authorization.k8s.io/v1/selfsubjectaccessreviews']);
  });

  it('says where Kubernetes is not reached that it is that, and no more; the log says what; and it passes', async () => {
    await world.proxy.refuseConnections();
    const down = await eventually('not ready', ask, ({ status }) => status !== 200).finally(
      world.proxy.acceptConnections,
    );
    expectUnavailable(down, 'Not ready: kubernetes');
    expect(world.provisioner.output()).toContain('kubernetes: Kubernetes is unreachable (ECONNREFUSED)');
    await eventually('ready again', ask, ({ status }) => status === 200);
  });

  describe('with a wrong setting', () => {
    const other = useWorld({ ...lean, SANDBOX_MEMORY_LIMIT: 'top-secret' }, 'namespace', { beside: world });

    it('says that it is a setting; its name and its text are no business of who asks', async () => {
      expectUnavailable(await other.call('GET', '/ready'), 'Not ready: settings');
      expect(other.provisioner.output()).toContain('settings: Misconfigured: SANDBOX_MEMORY_LIMIT must be');
    });
  });
});

describe('what is looked at', () => {
  const claims = { SKILLS_PVC_NAME: 'skills', USERDATA_PVC_NAME: 'home' };
  const settings = { ...lean, ...claims, SKILLS_PVC_SUBPATH_TEMPLATE: 'skills', SANDBOX_NETWORK_POLICY: 'isolated' };
  const place = usePlace(settings);
  const claimsPath = () => `/api/v1/namespaces/${place.namespace}/persistentvolumeclaims`;
  const admin = () => place.cluster.kubernetes;

  async function givenClaims(...names: string[]): Promise<void> {
    for (const name of names) {
      const spec = {
        accessModes: ['ReadWriteMany'],
        resources: { requests: { storage: '1Mi' } },
        storageClassName: '',
      };
      // One of the test before stays until its Pods are gone.
      await eventually(
        `made: the claim ${name}`,
        () => admin().request('POST', claimsPath(), { metadata: { name }, spec }),
        ({ status }) => status === 201,
      );
    }
  }
  async function givenSandbox(): Promise<void> {
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    await createSandbox(names, (await startProcess(place, settings))());
  }
  /** What is not well, with what is said of it. */
  async function look(others: Record<string, string> = {}): Promise<Record<string, string>> {
    const operation = (await startProcess(place, { ...settings, ...others }))();
    const looks = await inspect(operation, operation.signal);
    const wrong = looks.filter(({ state }) => state !== 'ok');
    return Object.fromEntries(wrong.map(({ check, state, words }) => [check, `${state}: ${words}`]));
  }
  const policyName = 'sandbox-provisioner';
  const missing = 'the network policy is not there';

  afterEach(async () => {
    for (const name of Object.values(claims)) await admin().request('DELETE', `${claimsPath()}/${name}`);
  });

  it('is well with all that the settings need; a policy is not missed before there is a sandbox', async () => {
    await givenClaims('skills', 'home');
    expect(await look()).toEqual({ 'network-policy': `passing: ${missing}: the first create makes it` });
    await givenSandbox();
    expect(await look()).toEqual({});
  });

  it('finds a policy that somebody removed, or changed, and claims that are not there', async () => {
    await givenClaims('home');
    await givenSandbox();
    const claim = "failed: the claim 'skills' is not there";
    await admin().patch('networkpolicies', policyName, { spec: { egress: [{}] } });
    const changed = 'failed: the network policy is not as the settings have it';
    expect(await look()).toEqual({ claims: claim, 'network-policy': changed });
    await admin().remove('networkpolicies', policyName);
    expect(await look()).toEqual({ claims: claim, 'network-policy': `failed: ${missing}, and there are sandboxes` });
    // Nobody asked for one.
    expect(await look({ SANDBOX_NETWORK_POLICY: '' })).toEqual({ claims: claim });
  });

  const reviews = (of: (attributes: Record<string, string>) => boolean) => (call: KubernetesCall) =>
    call.path.endsWith('reviews') && of(JSON.parse(call.body).spec.resourceAttributes);
  const denied: FaultAction = {
    rewrite: (answer) => ({ ...answer, text: answer.text.replace('"allowed":true', '"allowed":false') }),
  };
  const namespaceRead = ({ path }: KubernetesCall) => /^\/api\/v1\/namespaces\/[^/]+$/.test(path);
  const gone: FaultAction = {
    answer: kubernetesStatus(404, 'NotFound', 'namespaces "x" not found', { name: 'x', kind: 'namespaces' }),
  };
  const going: FaultAction = {
    rewrite: (answer) => ({
      ...answer,
      text: answer.text.replace('"metadata":{', '"metadata":{"deletionTimestamp":"2026-11-25T00:00:00Z",'),
    }),
  };
  const forbidden: FaultAction = {
    answer: kubernetesStatus(403, 'Forbidden', 'x is forbidden: User "u" cannot get it', {}),
  };
  const unknown = 'unknown: Kubernetes does not permit it (403 Forbidden)';
  const refused = { answer: kubernetesStatus(401, 'Unauthorized', 'Unauthorized') };
  type Faults = [when: (call: KubernetesCall) => boolean, action: FaultAction][];
  const mayNotMake: Faults[number] = [
    reviews(({ verb, resource }) => verb === 'create' && resource === 'namespaces'),
    denied,
  ];

  it.each<[string, Faults, Record<string, unknown>]>([
    [
      'a right, and one to a part of an object',
      [
        [reviews(({ verb, resource }) => verb === 'delete' && resource === 'pods'), denied],
        [reviews(({ subresource }) => subresource === 'log'), denied],
        [reviews(({ name }) => name === policyName), denied],
      ],
      {
        rights: `failed: not permitted: delete pods, get pods/log, get networkpolicies/${policyName}, update networkpolicies/${policyName}`,
      },
    ],
    [
      'the namespace',
      [[namespaceRead, gone], mayNotMake],
      { namespace: 'failed: the namespace NAME is not there, and may not be made' },
    ],
    [
      'all rights, and with them the namespace',
      [
        [reviews(() => true), denied],
        [namespaceRead, forbidden],
      ],
      {
        rights: expect.stringMatching(
          /^failed: not permitted: anything in the namespace '.*', which may not be there: create pods, /,
        ),
        namespace: unknown,
      },
    ],
    [
      'the namespace, which we may make',
      [
        [namespaceRead, gone],
        [
          mayNotMake[0],
          { rewrite: (answer) => ({ ...answer, text: answer.text.replace('"allowed":false', '"allowed":true') }) },
        ],
      ],
      { namespace: 'passing: the namespace NAME is not there: the first create makes it' },
    ],
    ['a namespace that stays', [[namespaceRead, going]], { namespace: 'failed: the namespace NAME is being deleted' }],
    [
      'a claim that stays',
      [[({ path }) => path.endsWith('/skills'), going]],
      { claims: "failed: the claim 'skills' is being deleted" },
    ],
    [
      'the volume of a claim',
      [
        [
          ({ path }) => path.endsWith('/home'),
          { rewrite: (answer) => ({ ...answer, text: answer.text.replace('"Pending"', '"Lost"') }) },
        ],
      ],
      { claims: "failed: the claim 'home' has lost its volume" },
    ],
    [
      'who we are',
      [[reviews(() => true), forbidden]],
      { rights: 'failed: we may not even ask for them: Kubernetes does not permit it (403 Forbidden)' },
    ],
    ['the right to look', [[namespaceRead, forbidden]], { namespace: unknown }],
    [
      'our credentials',
      [[() => true, refused]],
      { kubernetes: 'failed: Kubernetes refused our credentials (401 Unauthorized)' },
    ],
    [
      'an answer',
      [[({ path }) => path.endsWith('/home'), { cut: 'before' }]],
      { kubernetes: 'failed: Kubernetes is unreachable (ECONNRESET)' },
    ],
  ])('finds missing: %s', async (_what, faults, found) => {
    await givenClaims('skills', 'home');
    await givenSandbox();
    for (const [when, action] of faults) place.proxy.injectFault({ when, action });
    const named = Object.entries(found).map(([check, words]) => [
      check,
      typeof words === 'string' ? words.replace('NAME', `'${place.namespace}'`) : words,
    ]);
    expect(await look()).toEqual(Object.fromEntries(named));
  });
});
