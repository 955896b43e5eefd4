import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { afterUse, expectError, expectUnavailable, expectUnprocessable } from '../support/answers.ts';
import { cleanUp } from '../support/clean-up.ts';
import { providerMounts, type SentMount } from '../support/deerflow.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { callTo, holdCalls, kubernetesStatus, writesAmong } from '../support/kubernetes-proxy.ts';
import { alter, onNoNode, originalPod, type SandboxNames } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

// What DeerFlow's gateway has asked for since August 2026.
const world = useWorld(lean);

afterEach(async () => {
  world.proxy.reset();
  await world.clear();
});

const bodyOf = ({ sandboxId, threadId }: SandboxNames) => ({ sandbox_id: sandboxId, thread_id: threadId });
const newBody = () => ({ sandbox_id: newSandboxId(), thread_id: newThreadId() });

/** What must stay as it is. */
async function look(sandboxId: string) {
  return { service: await world.findService(sandboxId), pod: (await world.findPod(sandboxId))?.metadata.uid };
}

/** A sandbox of somebody else's making: its Service and a Pod that runs, with these volumes and mounts. */
async function givenOriginalWith(spec: { volumes: object[]; volumeMounts: object[]; env?: object[] }) {
  const names = await world.givenOriginalSandbox({}, { withPod: false });
  const pod = originalPod(names, world.settings) as { spec: { containers: object[] } };
  const { volumes, ...container } = spec;
  const containers = [{ ...pod.spec.containers[0], ...container }];
  await world.kubernetes.create('pods', alter(pod, { spec: { ...onNoNode, volumes, containers } }));
  await world.kubernetes.patch('pods', `sandbox-${names.sandboxId}`, { status: { phase: 'Running' } }, 'status');
  return names;
}

describe('GET /api/capabilities', () => {
  it('says that there is neither Lark image, and needs no Kubernetes for that', async () => {
    await world.proxy.refuseConnections();
    try {
      const answer = await world.call('GET', '/api/capabilities');
      expect(answer).toMatchObject({ status: 200, headers: { 'content-type': /^application\/json/ } });
      expect(answer.body).toEqual({ lark_cli_init_image: false, lark_cli_broker_image: false });
    } finally {
      await world.proxy.acceptConnections();
    }
  });
});

describe('GET /api/sandboxes/{sandbox_id}/presence', () => {
  const ask = (sandboxId: string) => world.call('GET', `/api/sandboxes/${sandboxId}/presence`);

  // A gateway lifts a quarantine by it: that of the Pod with this UID, and only once there is none.
  it.each<[string, boolean, () => Promise<SandboxNames>]>([
    ['has one that runs', true, () => world.givenRunningSandbox()],
    [
      'has one that ends',
      true,
      async () => {
        const given = await world.givenRunningSandbox();
        await world.destroy(given.sandboxId);
        return given;
      },
    ],
    [
      'has one without a Service',
      true,
      async () => {
        const given = await world.givenOriginalSandbox();
        await world.kubernetes.remove('services', `sandbox-${given.sandboxId}-svc`);
        return given;
      },
    ],
    ['has a Service alone', false, () => world.givenOriginalSandbox({}, { withPod: false })],
    ['never was', false, async () => ({ sandboxId: newSandboxId(), threadId: 't' })],
    [
      // The original took it for the sandbox's.
      'is only the name of a Pod',
      false,
      async () => {
        const names = { sandboxId: newSandboxId(), threadId: 't' };
        const labels = { app: 'else' };
        await world.kubernetes.create('pods', {
          ...alter(originalPod(names, world.settings), { spec: onNoNode }),
          metadata: { name: `sandbox-${names.sandboxId}`, labels },
        });
        return names;
      },
    ],
  ])('tells whether there is a Pod: of a sandbox that %s', async (_what, exists, give) => {
    const { sandboxId } = await give();
    const uid = (await world.findPod(sandboxId))?.metadata.uid;
    const service = await world.findService(sandboxId);
    const answer = await ask(sandboxId);
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual({ sandbox_id: sandboxId, exists, container_id: exists ? uid : null });
    // It is no use.
    expect(await world.findService(sandboxId)).toEqual(service);
  });

  it('fails where Kubernetes does not say, as nothing is known then; and refuses what is no id', async () => {
    const { sandboxId } = await world.givenSandbox();
    const fail = (code: number, reason: string) =>
      world.proxy.injectFault({
        when: callTo('GET', 'pods'),
        action: { answer: kubernetesStatus(code, reason, 'no') },
      });
    fail(500, 'InternalError');
    expectError(await ask(sandboxId), 500, /^Failed to check Pod presence: \S/);
    fail(503, 'ServiceUnavailable');
    expectUnavailable(await ask(sandboxId), /^Failed to check Pod presence: \S/);
    expectUnprocessable(await ask('NO_ID'), ['path', 'sandbox_id']);
  });
});

describe('the user of a sandbox', () => {
  const userIdOf = async (sandboxId: string) =>
    (await world.findService(sandboxId))?.metadata.annotations?.['sandbox-provisioner/user-id'];

  const projections = (user: string) => ({
    volumes: [
      { name: 'skills-custom', hostPath: { path: `/state/users/${user}/skills_view/custom`, type: 'Directory' } },
      { name: 'user-data', hostPath: { path: '/state/threads/T_1/user-data', type: 'DirectoryOrCreate' } },
    ],
    volumeMounts: [
      { name: 'skills-custom', mountPath: '/mnt/skills/custom', readOnly: true },
      { name: 'user-data', mountPath: '/mnt/user-data' },
    ],
  });
  const claimed = (user: string) => ({
    volumes: [{ name: 'user-data', persistentVolumeClaim: { claimName: 'home' } }],
    volumeMounts: [
      { name: 'user-data', mountPath: '/mnt/user-data', subPath: `deer-flow/users/${user}/threads/T_1/user-data` },
    ],
  });

  it.each<[string, () => Promise<SandboxNames>]>([
    [
      'noted at its first create',
      async () => {
        const body = { ...newBody(), user_id: 'alice' };
        expect((await world.create(body)).status).toBe(200);
        return { sandboxId: body.sandbox_id, threadId: body.thread_id };
      },
    ],
    [
      "told by the skills of the original's Pod",
      async () => ({ ...(await givenOriginalWith(projections('alice'))), threadId: 'T_1' }),
    ],
    [
      "told by the claim of the original's Pod",
      async () => ({ ...(await givenOriginalWith(claimed('alice'))), threadId: 'T_1' }),
    ],
  ])('%s: another gets 409, and nothing changes; who says none, or the same, is served', async (_how, give) => {
    const given = await give();
    const before = await look(given.sandboxId);
    const calls = await world.callsOf(async () => {
      const refusal = `Sandbox '${given.sandboxId}' belongs to another user`;
      expectError(await world.create({ ...bodyOf(given), user_id: 'bob' }), 409, refusal);
      const another = { ...bodyOf(given), thread_id: 'another', user_id: 'alice' };
      expectError(await world.create(another), 409, `Sandbox '${given.sandboxId}' belongs to another thread`);
    });
    expect(writesAmong(calls)).toEqual([]);
    expect(await look(given.sandboxId)).toEqual(before);
    for (const user of [{}, { user_id: 'alice' }, {}]) {
      const answer = await world.create({ ...bodyOf(given), ...user });
      expect(answer, answer.text).toMatchObject({ status: 200, body: { container_id: before.pod } });
    }
    expect(await userIdOf(given.sandboxId)).toBe('alice');
  });

  it.each<[string, () => Promise<SandboxNames>]>([
    ['an older caller, which knows no users', () => world.givenSandbox()],
    ['the oldest original', () => world.givenOriginalSandbox()],
    [
      "an original with two users' folders in it",
      async () => {
        const [{ volumes, volumeMounts }, bob] = [projections('alice'), projections('bob')];
        const other = { ...bob.volumes[0], name: 'other' };
        return { ...(await givenOriginalWith({ volumes: [...volumes, other], volumeMounts })), threadId: 'T_1' };
      },
    ],
  ])('that nobody noted is whoever says so first: of a sandbox of %s', async (_whose, give) => {
    const given = await give();
    const { pod } = await look(given.sandboxId);
    expect(await userIdOf(given.sandboxId)).toBeUndefined();
    const answer = await world.create({ ...bodyOf(given), user_id: 'alice' });
    expect(answer, answer.text).toMatchObject({ status: 200, body: { container_id: pod } });
    expect(await userIdOf(given.sandboxId)).toBe('alice');
    expectError(await world.create({ ...bodyOf(given), user_id: 'bob' }), 409);
  });

  // Its Pod, which tells it, may be lost later.
  it.each<[string, (sandboxId: string) => Promise<unknown>]>([
    ['a renewal', (sandboxId) => world.renew(sandboxId)],
    ['the clean-up', () => cleanUp(world)],
  ])('is noted by %s, where the original left it in a claim alone', async (_who, look) => {
    const { sandboxId } = await givenOriginalWith(claimed('alice'));
    await look(sandboxId);
    expect((await world.findService(sandboxId))?.metadata.annotations).toMatchObject({
      'sandbox-provisioner/thread-id': 'T_1',
      'sandbox-provisioner/user-id': 'alice',
    });
  });

  it('is one of two that come at once', async () => {
    const body = newBody();
    const users = ['alice', 'bob'];
    const answers = await Promise.all(users.map((user_id) => world.create({ ...body, user_id })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    const winner = users[answers.findIndex(({ status }) => status === 200)];
    expect(await userIdOf(body.sandbox_id)).toBe(winner);
  });

  it('has 1 to 255 letters, digits, - and _; and is not null', async () => {
    const longest = 'aZ09-_'.padEnd(255, 'x');
    expect((await world.create({ ...newBody(), user_id: longest })).status).toBe(200);
    for (const user_id of [null, '', '..', 'a/b', 'a b', 'ä', `${longest}x`, 7]) {
      expectUnprocessable(await world.create({ ...newBody(), user_id }), ['body', 'user_id']);
    }
  });
});

describe('the shells of a sandbox', () => {
  const tooFew =
    'Existing sandbox shell capacity is below the requested value; replacement must be coordinated by the Gateway';
  const shellsOf = async (sandboxId: string) => (await world.findPod(sandboxId))?.spec.containers[0].env;

  it('are as many as were asked for; to ask for more later is 409, and changes nothing', async () => {
    const body = newBody();
    const id = body.sandbox_id;
    const { created, ...view } = (await world.create({ ...body, max_shell_sessions: 13 })).body;
    expect(await shellsOf(id)).toEqual([{ name: 'MAX_SHELL_SESSIONS', value: '13' }]);
    const { pod } = await look(id);
    expect({ ...view, created }).toMatchObject({
      created: true,
      max_shell_sessions: 13,
      container_id: pod,
      lark_cli_broker: false,
    });
    const running = await world.untilRunning(id);
    expect(running).toEqual({ ...view, status: 'Running' });
    expect((await world.list()).body).toEqual({ sandboxes: [running], count: 1 });
    expect((await world.call('GET', '/api/sandboxes?limit=9')).body.sandboxes).toEqual([running]);
    expect((await world.renew(id)).body).toEqual(afterUse(running));
    for (const asked of [{ max_shell_sessions: 14 }, { max_shell_sessions: 1_000_000 }]) {
      expectError(await world.create({ ...body, ...asked }), 409, tooFew);
    }
    for (const asked of [{ max_shell_sessions: 13 }, { max_shell_sessions: 12 }, { max_shell_sessions: null }, {}]) {
      expect((await world.create({ ...body, ...asked })).body).toEqual({ ...afterUse(running), created: false });
    }
    expect((await look(id)).pod).toBe(pod);
  });

  it('are the request’s again once the Pod is gone, or ends', async () => {
    const { sandboxId, threadId } = await world.givenRunningSandbox();
    const body = { sandbox_id: sandboxId, thread_id: threadId };
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`);
    expect((await world.create({ ...body, max_shell_sessions: 14 })).body).toMatchObject({ max_shell_sessions: 14 });
    expectError(await world.create({ ...body, max_shell_sessions: 15 }), 409, tooFew);
    await world.kubernetes.remove('pods', `sandbox-${sandboxId}`, 0);
    expect((await world.create(body)).body).toMatchObject({ max_shell_sessions: 10 });
  });

  // The original judged the Pod that it saw first, and answered of the one that there was at last.
  it('are those of the Pod that is answered, whoever makes it', async () => {
    const body = newBody();
    const making = holdCalls(world.proxy, callTo('POST', 'pods', body.sandbox_id));
    const creating = world.create({ ...body, max_shell_sessions: 13 });
    await making.reached();
    expect((await world.create(body)).body).toMatchObject({ max_shell_sessions: 10 });
    making.release();
    expectError(await creating, 409, tooFew);
    expect((await world.get(body.sandbox_id)).body).toMatchObject({ max_shell_sessions: 10 });
  });

  // The original answered a get with 500 then, and left the sandbox out of its list.
  it.each<[string, object]>([
    ['nothing', {}],
    ['no number', { value: 'many' }],
    ['no positive number', { value: '0' }],
    ['where to look for it', { valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
  ])('are ten where the Pod says %s', async (_what, said) => {
    const env = Object.keys(said).length > 0 ? [{ name: 'MAX_SHELL_SESSIONS', ...said }] : [];
    const { volumes, containers } = (
      originalPod({ sandboxId: 'a', threadId: 'T_1' }, world.settings) as KubernetesObject
    ).spec;
    const { sandboxId } = await givenOriginalWith({ volumes, volumeMounts: containers[0].volumeMounts, env });
    const body = { sandbox_id: sandboxId, thread_id: 'T_1' };
    expect((await world.get(sandboxId)).body).toMatchObject({ status: 'Running', max_shell_sessions: 10 });
    expect((await world.list()).body.sandboxes).toEqual([expect.objectContaining({ max_shell_sessions: 10 })]);
    expectError(await world.create({ ...body, max_shell_sessions: 11 }), 409, tooFew);
    expect((await world.create({ ...body, max_shell_sessions: 10 })).status).toBe(200);
  });

  it('are at least one', async () => {
    for (const max_shell_sessions of [0, -1, 1.5, 'many', true]) {
      expectUnprocessable(await world.create({ ...newBody(), max_shell_sessions }), ['body', 'max_shell_sessions']);
    }
  });
});

describe('a sandbox planned for Lark', () => {
  it('with a broker is refused, whether there is a sandbox or not, and the gateway asks again for what there is', async () => {
    const { sandboxId, threadId } = await world.givenSandbox();
    for (const body of [newBody(), { sandbox_id: sandboxId, thread_id: threadId }]) {
      const calls = await world.callsOf(async () => {
        const answer = await world.create({ ...body, provision_lark_cli_broker: true });
        expectError(answer, 503, 'Requested Lark broker image is not configured');
        expect(answer.headers['x-deerflow-capability-refresh']).toBe('lark-broker');
      });
      expect(calls).toEqual([]);
    }
  });

  it('without one is made, and says that it has none', async () => {
    const flags = { provision_lark_cli_runtime: true, provision_lark_cli_broker: false, include_legacy_skills: true };
    expect((await world.create({ ...newBody(), ...flags })).body).toMatchObject({ lark_cli_broker: false });
  });
});

describe('what a sandbox mounts beside the usual', () => {
  /** DeerFlow's state on the node, as these settings have it. */
  const root = () => path.dirname(world.settings.THREADS_HOST_PATH);
  const acpOf = (host_path: string): SentMount => ({
    host_path,
    container_path: '/mnt/acp-workspace',
    read_only: true,
  });

  it('is all that the provider sends; a later create without it says nothing, one with more says what is not there', async () => {
    const body = { ...newBody(), user_id: 'alice' };
    const { six, nine } = providerMounts(root(), { threadId: body.thread_id, userId: 'alice' });
    const made = await world.create({ ...body, extra_mounts: six });
    expect(made.status, made.text).toBe(200);
    expect(made.body).not.toHaveProperty('unmet_mounts');
    const { pod } = await look(body.sandbox_id);
    for (const extra_mounts of [[], six, six.toReversed(), six.slice(2)]) {
      const again = await world.create({ ...body, extra_mounts });
      expect(again, again.text).toMatchObject({ status: 200, body: { container_id: pod } });
      expect(again.body).not.toHaveProperty('unmet_mounts');
    }
    const more = await world.create({ ...body, extra_mounts: nine });
    expect(more.body).toEqual({
      ...afterUse(made.body, { status: expect.any(String) }),
      created: false,
      unmet_mounts: ['/mnt/skills/public', '/mnt/skills/legacy', '/mnt/integrations/lark-cli/runtime'],
    });
    // Nor is it there from elsewhere, or to be written to.
    const [acp = acpOf(''), ...others] = six;
    const moved = { ...acp, host_path: `${root()}/users/alice/threads/other/acp-workspace` };
    const answer = await world.create({ ...body, extra_mounts: [moved, ...others] });
    expect(answer.body).toMatchObject({ unmet_mounts: ['/mnt/acp-workspace'] });
    expect((await look(body.sandbox_id)).pod).toBe(pod);
    // A new Pod has it.
    await world.kubernetes.remove('pods', `sandbox-${body.sandbox_id}`, 0);
    const mended = await world.create({ ...body, extra_mounts: nine });
    expect(mended.body).not.toHaveProperty('unmet_mounts');
    const mounts = (await world.findPod(body.sandbox_id))?.spec.containers[0].volumeMounts;
    const paths = mounts.map(({ mountPath }: { mountPath: string }) => mountPath);
    expect(paths).toEqual(expect.arrayContaining(nine.map(({ container_path }) => container_path)));
    expect(new Set(paths).size).toBe(paths.length);
  });

  const lark = '/mnt/integrations/lark-cli';

  type Refusal = [detail: string, asked: (root: string) => object];
  const mounting = (detail: string, mountsOf: (root: string) => SentMount[]): Refusal => [
    detail,
    (root) => ({ extra_mounts: mountsOf(root) }),
  ];
  const skillsAt = (skills_container_path: string, why: string): Refusal => [
    `The skills container path ${why}`,
    () => ({ skills_container_path }),
  ];
  // Each rule once; the fine print is in test/unit/volumes.test.ts.
  const refusals: Refusal[] = [
    mounting('Too many extra mounts; max is 10', () => Array.from({ length: 11 }, () => acpOf('/etc'))),
    mounting('Extra mount host path must be absolute: state', () => [acpOf('state')]),
    mounting('Extra mount host path is outside DeerFlow state: /etc', () => [acpOf('/etc')]),
    mounting('Invalid extra mount host path: ROOT', (root) => [acpOf(root)]),
    mounting('Invalid extra mount host path: ROOT/users', (root) => [acpOf(`${root}/users`)]),
    mounting('Extra mount host path belongs to another user: ROOT/users/bob/x', (root) => [
      acpOf(`${root}/users/bob/x`),
    ]),
    mounting('Extra mount path must be absolute: mnt', (root) => [
      { ...acpOf(`${root}/users/alice/x`), container_path: 'mnt' },
    ]),
    mounting('Unsupported extra mount path: /mnt/secrets', (root) => [
      { ...acpOf(`${root}/users/alice/x`), container_path: '/mnt/secrets' },
    ]),
    mounting('Duplicate extra mount path: /mnt/acp-workspace', (root) => [
      acpOf(`${root}/users/alice/x`),
      { ...acpOf(`${root}/users/alice/y`), container_path: '/mnt/acp-workspace/' },
    ]),
    mounting('Extra mount must be read-only: /mnt/integrations/lark-cli/config', (root) => [
      { host_path: `${root}/users/alice/integrations/x`, container_path: `${lark}/config`, read_only: false },
    ]),
    mounting('Extra mount host path must be read-only: ROOT/skills_view/public', (root) => [
      { host_path: `${root}/skills_view/public`, container_path: `${lark}/data`, read_only: false },
    ]),
    // Into a read-only folder nothing can be mounted that has no place there: the Pod would never start.
    mounting(
      'Extra mount is not in the folder that is mounted around it, ROOT/users/alice/integrations/a: ROOT/users/alice/integrations/b',
      (root) => [
        { host_path: `${root}/users/alice/integrations/a`, container_path: `${lark}/config`, read_only: true },
        { host_path: `${root}/users/alice/integrations/b`, container_path: `${lark}/config/locks`, read_only: true },
      ],
    ),
    skillsAt('skills', 'must be an absolute non-root path'),
    skillsAt('/a/../b', "must not be root or contain redundant separators, '.' or '..'"),
    skillsAt('/mnt/user-data/s', "'/mnt/user-data/s' overlaps reserved sandbox path '/mnt/user-data'"),
  ];

  it.each(refusals)('400: %s. Also of a sandbox that is there, and Kubernetes is not asked', async (detail, asked) => {
    const { sandboxId, threadId } = await world.givenSandbox();
    for (const body of [newBody(), { sandbox_id: sandboxId, thread_id: threadId }]) {
      const calls = await world.callsOf(async () => {
        const answer = await world.create({ ...body, user_id: 'alice', ...asked(root()) });
        expectError(answer, 400, detail.replaceAll('ROOT', root()));
      });
      expect(calls).toEqual([]);
    }
  });

  it.each<[unknown, (string | number)[]]>([
    ['/mnt', ['body', 'extra_mounts']],
    [null, ['body', 'extra_mounts']],
    [['/mnt'], ['body', 'extra_mounts', 0]],
    [[{ host_path: '/x' }], ['body', 'extra_mounts', 0, 'container_path']],
    [[{ ...acpOf('/x'), read_only: 'maybe' }], ['body', 'extra_mounts', 0, 'read_only']],
  ])('422: extra_mounts of %j', async (extra_mounts, place) => {
    expectUnprocessable(await world.create({ ...newBody(), extra_mounts }), place);
  });

  it('has the skills where the request says', async () => {
    const body = newBody();
    expect((await world.create({ ...body, skills_container_path: '/opt/skills' })).status).toBe(200);
    const mounts = (await world.findPod(body.sandbox_id))?.spec.containers[0].volumeMounts;
    expect(mounts).toContainEqual({ name: 'skills', mountPath: '/opt/skills', readOnly: true });
  });
});
