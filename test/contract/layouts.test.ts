import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectError } from '../support/answers.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { providerMounts, type SentMount } from '../support/deerflow.ts';
import { callTo } from '../support/kubernetes-proxy.ts';
import { runInSandbox } from '../support/look-inside.ts';
import { originalPod } from '../support/original.ts';
import { lean, newSandboxId, newThreadId, useWorld } from '../support/world.ts';

/** DeerFlow's state: where a real kubelet may make folders. */
const state = `${process.env.THREADS_HOST_PATH || '/srv/threads'}/state`;
// As its compose file and its chart set them; an empty variable is an unset one.
const compose = { SKILLS_HOST_PATH: '', DEER_FLOW_HOST_BASE_DIR: state, THREADS_HOST_PATH: `${state}/threads` };
const chart = { ...compose, USERDATA_PVC_NAME: 'home' };

const world = useWorld({ ...compose, ...lean });
afterEach(() => world.clear());

type Volume = {
  name: string;
  hostPath?: { path: string; type: string };
  persistentVolumeClaim?: { claimName: string; readOnly?: boolean };
};
type Mount = { name: string; mountPath: string; subPath?: string; readOnly?: boolean };
type Layout = Record<string, string>;

const newNames = (userId = 'alice') => ({
  sandboxId: newSandboxId(),
  threadId: newThreadId(),
  userId,
});
type Names = ReturnType<typeof newNames>;

/** Makes a sandbox, and gives the volumes and mounts of its Pod as they were sent; Kubernetes has taken them. */
async function make(by: typeof world, { sandboxId, threadId, userId }: Names, rest: object = {}) {
  const answer = await by.create({ sandbox_id: sandboxId, thread_id: threadId, user_id: userId, ...rest });
  expect(answer.status, answer.text).toBe(200);
  const { spec } = JSON.parse(by.proxy.calls.find(callTo('POST', 'pods', sandboxId))?.body ?? '{}');
  return { volumes: spec.volumes as Volume[], volumeMounts: spec.containers[0].volumeMounts as Mount[] };
}

/** A line for each mount: from where, with which type or sub-path, and whether it may be written to. */
function describeLayout({ volumes, volumeMounts }: { volumes: Volume[]; volumeMounts: Mount[] }): Layout {
  expect(new Set(volumeMounts.map(({ mountPath }) => mountPath)).size).toBe(volumeMounts.length);
  const claims = volumes.flatMap(({ persistentVolumeClaim: claim }) => claim?.claimName ?? []);
  // Some drivers attach a claim once for each volume of it.
  expect(new Set(claims).size).toBe(claims.length);
  return Object.fromEntries(
    volumeMounts.map(({ name, mountPath, subPath, readOnly }) => {
      const { hostPath, persistentVolumeClaim: claim } = volumes.find((volume) => volume.name === name) as Volume;
      const source = hostPath
        ? `${hostPath.path} ${hostPath.type}`
        : `${claim?.claimName}${claim?.readOnly ? ' (ro)' : ''}`;
      return [mountPath, `${source}${subPath === undefined ? '' : ` ${subPath}`}${readOnly ? ', ro' : ''}`];
    }),
  );
}

/** What such mounts become on the node, and in the claim of user data. */
const onNode = (mounts: readonly SentMount[]): Layout =>
  Object.fromEntries(
    mounts.map(({ host_path, container_path, read_only }) => [
      container_path,
      `${host_path} ${read_only ? 'Directory, ro' : 'DirectoryOrCreate'}`,
    ]),
  );
const inClaim = (mounts: readonly SentMount[]): Layout =>
  Object.fromEntries(
    mounts.map(({ host_path, container_path, read_only }) => [
      container_path,
      `home deer-flow${host_path.slice(state.length)}${read_only ? ', ro' : ''}`,
    ]),
  );

const userData = ({ userId, threadId }: Names) => `users/${userId}/threads/${threadId}/user-data`;
const onNodeByUser = (names: Names) => ({ '/mnt/user-data': `${state}/${userData(names)} DirectoryOrCreate` });
const onNodeByThread = ({ threadId }: Names) => ({
  '/mnt/user-data': `${state}/threads/${threadId}/user-data DirectoryOrCreate`,
});
const inClaimByUser = (names: Names) => ({ '/mnt/user-data': `home deer-flow/${userData(names)}` });
const projections = ({ userId }: Names): Layout => ({
  '/mnt/skills/public': `${state}/skills_view/public Directory, ro`,
  '/mnt/skills/custom': `${state}/users/${userId}/skills_view/custom Directory, ro`,
  '/mnt/skills/legacy': `${state}/users/${userId}/skills_view/legacy Directory, ro`,
});

/** The same in the claim, which is where the state is then. */
const claimedProjections = ({ userId }: Names): Layout => ({
  '/mnt/skills/public': 'home deer-flow/skills_view/public, ro',
  '/mnt/skills/custom': `home deer-flow/users/${userId}/skills_view/custom, ro`,
  '/mnt/skills/legacy': `home deer-flow/users/${userId}/skills_view/legacy, ro`,
});

describe('with the settings of DeerFlow’s compose file', () => {
  // It got the default user's folders, which everybody shares who says no user; and its own user was refused from then on.
  it('a new Pod has the folders of the user that is noted, where a caller says none', async () => {
    const names = newNames();
    const before = await make(world, names);
    await world.kubernetes.remove('pods', `sandbox-${names.sandboxId}`, 0);
    world.proxy.reset();
    expect(await make(world, { ...names, userId: undefined as never })).toEqual(before);
    expect(
      (await world.create({ sandbox_id: names.sandboxId, thread_id: names.threadId, user_id: 'alice' })).status,
    ).toBe(200);
    const other = { ...newNames(), userId: undefined as never };
    await make(world, other);
    const alices = { sandbox_id: other.sandboxId, thread_id: other.threadId, user_id: 'alice' };
    expectError(await world.create(alices), 409, `Sandbox '${other.sandboxId}' belongs to another user`);
  });

  it('a sandbox has, whole, three projections of skills, user data where the gateway writes it, and what is asked for', async () => {
    const names = newNames();
    const path = (below: string) => `${state}/users/alice/${below}`;
    const [, custom, , config, locks] = providerMounts(state, names).six;
    expect(await make(world, names, { extra_mounts: [custom, config, locks] })).toEqual({
      volumes: [
        { name: 'skills-public', hostPath: { path: `${state}/skills_view/public`, type: 'Directory' } },
        { name: 'skills-legacy', hostPath: { path: path('skills_view/legacy'), type: 'Directory' } },
        {
          name: 'user-data',
          hostPath: { path: path(`threads/${names.threadId}/user-data`), type: 'DirectoryOrCreate' },
        },
        // In the place of the projection: the original had both, which Kubernetes refuses.
        { name: 'extra-0', hostPath: { path: path('skills_view/custom'), type: 'Directory' } },
        { name: 'extra-1', hostPath: { path: path('integrations/lark-cli/config'), type: 'Directory' } },
        { name: 'extra-2', hostPath: { path: path('integrations/lark-cli/config/locks'), type: 'DirectoryOrCreate' } },
      ],
      volumeMounts: [
        { name: 'skills-public', mountPath: '/mnt/skills/public', readOnly: true },
        { name: 'skills-legacy', mountPath: '/mnt/skills/legacy', readOnly: true },
        { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false },
        { name: 'extra-0', mountPath: '/mnt/skills/custom', readOnly: true },
        { name: 'extra-1', mountPath: '/mnt/integrations/lark-cli/config', readOnly: true },
        { name: 'extra-2', mountPath: '/mnt/integrations/lark-cli/config/locks', readOnly: false },
      ],
    });
  });

  it.each([{}, { include_legacy_skills: true }, { include_legacy_skills: false }])(
    'a sandbox without extra mounts has three projections and user data, in that order: with %j',
    async (flag) => {
      const names = newNames();
      const layout = describeLayout(await make(world, names, flag));
      expect(Object.entries(layout)).toEqual(Object.entries({ ...projections(names), ...onNodeByUser(names) }));
    },
  );

  it('who says no user is the default one, as the original has it; a null thread is the sandbox', async () => {
    const names = { ...newNames(), threadId: newSandboxId(), userId: 'default' };
    const sandboxId = names.threadId;
    const layout = describeLayout(await make(world, { ...names, sandboxId }, { thread_id: null, user_id: undefined }));
    expect(layout).toEqual({ ...projections(names), ...onNodeByUser(names) });
  });

  // The original gave both the same folder.
  it("two users' threads of one id have a folder each", async () => {
    const names = [newNames('alice'), newNames('bob')].map((each) => ({ ...each, threadId: 't1' }));
    const layouts = await Promise.all(names.map(async (each) => describeLayout(await make(world, each))));
    expect(layouts).toEqual(names.map((each) => ({ ...projections(each), ...onNodeByUser(each) })));
  });
});

/** What is asked for: the provider's extra mounts, none, or not even a user. */
type Asked = 'nobody' | 'none' | 'six' | 'nine';
type Case = [what: string, asked: Asked, expected: (names: Names, mounts: SentMount[]) => Layout];
const layouts: [string, Record<string, string>, Case[]][] = [
  [
    'the old folder of skills, and user data where the original has it',
    { ...compose, SKILLS_HOST_PATH: `${state}/skills`, USER_DATA_LAYOUT: 'threads' },
    [
      [
        'that folder',
        'none',
        (names) => ({ '/mnt/skills': `${state}/skills Directory, ro`, ...onNodeByThread(names) }),
      ],
      [
        'what is left of that folder',
        'six',
        (names, mounts) => ({
          '/mnt/skills/public': `${state}/skills Directory public, ro`,
          ...onNodeByThread(names),
          ...onNode(mounts),
        }),
      ],
      ['nothing of that folder', 'nine', (names, mounts) => ({ ...onNodeByThread(names), ...onNode(mounts) })],
    ],
  ],
  [
    'a claim of user data, as the chart',
    chart,
    [
      ['the projections', 'none', (names) => ({ ...claimedProjections(names), ...inClaimByUser(names) })],
      [
        'what is left of the projections',
        'six',
        (names, mounts) => {
          const { '/mnt/skills/custom': _, ...others } = claimedProjections(names);
          return { ...others, ...inClaimByUser(names), ...inClaim(mounts) };
        },
      ],
      ['no projection', 'nine', (names, mounts) => ({ ...inClaimByUser(names), ...inClaim(mounts) })],
      [
        'the default user’s projections',
        'nobody',
        (names) => ({ ...claimedProjections(names), ...inClaimByUser(names) }),
      ],
    ],
  ],
  [
    'a claim of skills beside it',
    {
      ...chart,
      SKILLS_PVC_NAME: 'skills',
      SKILLS_PVC_SUBPATH_TEMPLATE: 'deer-flow/users/{user_id}/threads/{thread_id}/skills',
    },
    [
      [
        'its folder in the claim',
        'none',
        (names) => ({
          '/mnt/skills': `skills (ro) deer-flow/users/alice/threads/${names.threadId}/skills, ro`,
          ...inClaimByUser(names),
        }),
      ],
      [
        'what is left of that folder',
        'six',
        (names, mounts) => ({
          '/mnt/skills/public': `skills deer-flow/users/alice/threads/${names.threadId}/skills/public, ro`,
          ...inClaimByUser(names),
          ...inClaim(mounts),
        }),
      ],
    ],
  ],
  [
    'a claim of skills alone',
    { ...compose, SKILLS_PVC_NAME: 'skills' },
    [
      ['all of the claim', 'none', (names) => ({ '/mnt/skills': 'skills (ro), ro', ...onNodeByUser(names) })],
      ['nothing of the claim', 'nine', (names, mounts) => ({ ...onNodeByUser(names), ...onNode(mounts) })],
    ],
  ],
  [
    'one claim of everything',
    { ...chart, SKILLS_PVC_NAME: 'home', SKILLS_PVC_SUBPATH_TEMPLATE: 'skills' },
    [
      ['its folder', 'none', (names) => ({ '/mnt/skills': 'home skills, ro', ...inClaimByUser(names) })],
      ['no folder of skills', 'nine', (names, mounts) => ({ ...inClaimByUser(names), ...inClaim(mounts) })],
    ],
  ],
];

/** The claims of the settings, on a node. */
const claims = ['home', 'skills'];
const claimPath = () => `/api/v1/namespaces/${world.namespace}/persistentvolumeclaims`;
const volumePath = '/api/v1/persistentvolumes';
const volumeName = (claim: string) => `${world.namespace}-${claim}`;

beforeAll(async () => {
  if (isEmbeddedCluster) return;
  for (const claim of claims) {
    // A class of its own: no other claim of the cluster takes the volume.
    const shared = { accessModes: ['ReadWriteMany'], storageClassName: world.namespace };
    const hostPath = { path: `${state}/claims/${claim}`, type: 'DirectoryOrCreate' };
    const volume = {
      metadata: { name: volumeName(claim) },
      spec: { ...shared, capacity: { storage: '1Gi' }, hostPath },
    };
    const spec = { ...shared, volumeName: volumeName(claim), resources: { requests: { storage: '1Gi' } } };
    expect((await world.kubernetes.request('POST', volumePath, volume)).status).toBe(201);
    expect((await world.kubernetes.request('POST', claimPath(), { metadata: { name: claim }, spec })).status).toBe(201);
  }
});

afterAll(async () => {
  if (isEmbeddedCluster) return;
  for (const claim of claims) {
    await world.kubernetes.request('DELETE', `${claimPath()}/${claim}`);
    await world.kubernetes.request('DELETE', `${volumePath}/${volumeName(claim)}`);
  }
});

/** Fresh names, the extra mounts that are sent with them, and what a create says of both. */
function ask(asked: Asked) {
  const names = newNames(asked === 'nobody' ? 'default' : 'alice');
  const mounts = asked === 'six' || asked === 'nine' ? providerMounts(state, names)[asked] : [];
  return { names, mounts, body: { extra_mounts: mounts, ...(asked === 'nobody' && { user_id: undefined }) } };
}

/** Has the node make the folders that DeerFlow's gateway would have made. */
async function makeFolders(volumes: readonly Volume[]): Promise<void> {
  const folders = volumes.flatMap(({ name, hostPath }) =>
    hostPath === undefined ? [] : [{ name, hostPath: { ...hostPath, type: 'DirectoryOrCreate' } }],
  );
  const { spec } = originalPod({ sandboxId: 'a', threadId: 'a' }, world.settings) as { spec: { containers: object[] } };
  const volumeMounts = folders.map(({ name }) => ({ name, mountPath: `/${name}` }));
  const containers = [{ ...spec.containers[0], volumeMounts }];
  const metadata = { name: `folders-${newSandboxId()}` };
  await world.kubernetes.create('pods', { metadata, spec: { ...spec, containers, volumes: folders } });
}

describe.each(layouts)('with %s', (_which, settings, cases) => {
  const other = useWorld({ ...settings, ...lean }, 'namespace', { beside: world });

  it.each(cases)(
    'a sandbox has %s, user data, and the extra mounts that are asked for: %s',
    async (_what, asked, expected) => {
      const { names, body, mounts } = ask(asked);
      const layout = describeLayout(await make(other, names, body));
      expect(layout).toEqual(expected(names, mounts));
    },
  );

  it.skipIf(isEmbeddedCluster).each(cases)(
    'it runs on a node, and writes where it may, and nowhere else: %s, for %s',
    async (_what, asked) => {
      const { names, body } = ask(asked);
      const { volumes, volumeMounts } = await make(other, names, body);
      await makeFolders(volumes);
      await other.untilRunning(names.sandboxId);
      const run = (...command: string[]) => runInSandbox(world.cluster, names.sandboxId, ['/bin/busybox', ...command]);
      for (const { mountPath, readOnly } of volumeMounts) {
        const file = `${mountPath}/written`;
        const writing = run('cp', '/proc/version', file);
        if (readOnly) await expect(writing, mountPath).rejects.toThrow(/[Rr]ead-only file system/);
        else await writing;
        if (!readOnly) expect(await run('cat', file), mountPath).toMatch(/^Linux/);
        else await run('ls', mountPath);
      }
    },
  );
});
