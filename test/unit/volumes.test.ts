import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { ProvisionerError } from '../../lib/errors.ts';
import { refuseLarkBroker } from '../../lib/model/lark.ts';
import type { CreateSandboxRequest, ExtraMount } from '../../lib/model/request.ts';
import { buildVolumes, findUnmetMounts } from '../../lib/model/volumes/index.ts';
import { describeVolumes } from '../../lib/model/volumes/sources.ts';

type Variables = Readonly<Record<string, string>>;
const sourcesOf = (variables: Variables) => loadConfig(variables).volumes;

const old: CreateSandboxRequest = { sandboxId: 'a1', threadId: 'T_1' };
const alice: CreateSandboxRequest = { ...old, userId: 'alice' };

const extra = (containerPath: string, below: string, readOnly = true, root = '/state'): ExtraMount => ({
  hostPath: `${root}/${below}`,
  containerPath,
  readOnly,
});
const lark = '/mnt/integrations/lark-cli';
const own = 'users/alice/integrations/lark-cli';
const acp = extra('/mnt/acp-workspace', 'users/alice/threads/T_1/acp-workspace');
const custom = extra('/mnt/skills/custom', 'users/alice/skills_view/custom');
const integrations = extra('/mnt/skills/integrations', 'users/alice/skills_view/integrations');
const larkMounts = [
  extra(`${lark}/config`, `${own}/config`),
  extra(`${lark}/config/locks`, `${own}/config/locks`, false),
  extra(`${lark}/data`, `${own}/data`, false),
];
const runtime = extra(`${lark}/runtime`, 'integrations/lark-cli/sandbox-cli');
/** What DeerFlow's provider sends: of August 2026, and of a later one. */
const six = [acp, custom, integrations, ...larkMounts];
const nine = [
  acp,
  extra('/mnt/skills/public', 'skills_view/public'),
  custom,
  extra('/mnt/skills/legacy', 'users/alice/skills_view/legacy'),
  integrations,
  ...larkMounts,
  runtime,
];

type Layout = Record<string, string>;

/** What is mounted where, a line for each mount: from where, with which type or subPath, and whether it may be written to. */
function layoutOf(request: CreateSandboxRequest, variables: Variables): Layout {
  const { volumes, volumeMounts } = buildVolumes(request, sourcesOf(variables));
  expect(new Set(volumes.map(({ name }) => name)).size).toBe(volumes.length);
  expect(volumeMounts.every(({ name }) => volumes.some((volume) => volume.name === name))).toBe(true);
  const sources = volumes.map(({ name, hostPath, persistentVolumeClaim }): [string, string] => [
    name,
    hostPath
      ? `${hostPath.path} ${hostPath.type}`
      : `claim ${persistentVolumeClaim?.claimName}${persistentVolumeClaim?.readOnly ? ' (ro)' : ''}`,
  ]);
  const sourceOf = new Map(sources);
  return Object.fromEntries(
    volumeMounts.map(({ name, mountPath, subPath, readOnly }) => [
      mountPath,
      `${name}: ${sourceOf.get(name)}${subPath === undefined ? '' : ` ${subPath}`}${readOnly ? ', ro' : ''}`,
    ]),
  );
}

const compose = { DEER_FLOW_HOST_BASE_DIR: '/state', THREADS_HOST_PATH: '/state/threads' };
const chart = { DEER_FLOW_HOST_BASE_DIR: '/state', USERDATA_PVC_NAME: 'home' };
const userDataOfAlice = 'user-data: /state/users/alice/threads/T_1/user-data DirectoryOrCreate';
const claimed = (path: string) => `user-data: claim home deer-flow/${path}`;

describe('what a Pod mounts', () => {
  it('is, whole, what it was for callers that say no more than ids, where nothing is set', () => {
    const { asked: _, skills: __, ...made } = buildVolumes(old, sourcesOf({}));
    expect(JSON.stringify(made)).toBe(
      JSON.stringify({
        volumes: [
          { name: 'skills', hostPath: { path: '/skills', type: 'Directory' } },
          { name: 'user-data', hostPath: { path: '/.deer-flow/threads/T_1/user-data', type: 'DirectoryOrCreate' } },
        ],
        volumeMounts: [
          { name: 'skills', mountPath: '/mnt/skills', readOnly: true },
          { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false },
        ],
      }),
    );
  });

  it('is, whole, one volume of a claim, however often it is mounted', () => {
    const settings = sourcesOf({
      ...chart,
      SKILLS_PVC_NAME: 'skills',
      SKILLS_PVC_SUBPATH_TEMPLATE: '{user_id}',
    });
    expect(buildVolumes({ ...alice, extraMounts: [acp, larkMounts[1] as ExtraMount] }, settings)).toStrictEqual({
      volumes: [
        { name: 'skills', persistentVolumeClaim: { claimName: 'skills', readOnly: true } },
        { name: 'user-data', persistentVolumeClaim: { claimName: 'home' } },
      ],
      volumeMounts: [
        { name: 'skills', mountPath: '/mnt/skills', readOnly: true, subPath: 'alice' },
        {
          name: 'user-data',
          mountPath: '/mnt/user-data',
          readOnly: false,
          subPath: 'deer-flow/users/alice/threads/T_1/user-data',
        },
        {
          name: 'user-data',
          mountPath: '/mnt/acp-workspace',
          readOnly: true,
          subPath: 'deer-flow/users/alice/threads/T_1/acp-workspace',
        },
        {
          name: 'user-data',
          mountPath: `${lark}/config/locks`,
          readOnly: false,
          subPath: `deer-flow/${own}/config/locks`,
        },
      ],
      asked: ['/mnt/acp-workspace', `${lark}/config/locks`],
      skills: ['/mnt/skills'],
    });
  });

  const sixOnNode = {
    '/mnt/acp-workspace': 'extra-0: /state/users/alice/threads/T_1/acp-workspace Directory, ro',
    '/mnt/skills/custom': 'extra-1: /state/users/alice/skills_view/custom Directory, ro',
    '/mnt/skills/integrations': 'extra-2: /state/users/alice/skills_view/integrations Directory, ro',
    [`${lark}/config`]: `extra-3: /state/${own}/config Directory, ro`,
    [`${lark}/config/locks`]: `extra-4: /state/${own}/config/locks DirectoryOrCreate`,
    [`${lark}/data`]: `extra-5: /state/${own}/data DirectoryOrCreate`,
  };
  const nineInClaim = {
    '/mnt/user-data': claimed('users/alice/threads/T_1/user-data'),
    '/mnt/acp-workspace': `${claimed('users/alice/threads/T_1/acp-workspace')}, ro`,
    '/mnt/skills/public': `${claimed('skills_view/public')}, ro`,
    '/mnt/skills/custom': `${claimed('users/alice/skills_view/custom')}, ro`,
    '/mnt/skills/legacy': `${claimed('users/alice/skills_view/legacy')}, ro`,
    '/mnt/skills/integrations': `${claimed('users/alice/skills_view/integrations')}, ro`,
    [`${lark}/config`]: `${claimed(`${own}/config`)}, ro`,
    [`${lark}/config/locks`]: claimed(`${own}/config/locks`),
    [`${lark}/data`]: claimed(`${own}/data`),
    [`${lark}/runtime`]: `${claimed('integrations/lark-cli/sandbox-cli')}, ro`,
  };

  it.each<[string, CreateSandboxRequest, Variables, Layout]>([
    [
      'one folder of skills elsewhere',
      { ...old, skillsPath: '/srv/skills' },
      { SKILLS_HOST_PATH: '/s', THREADS_HOST_PATH: '/t/' },
      {
        '/srv/skills': 'skills: /s Directory, ro',
        '/mnt/user-data': 'user-data: /t/T_1/user-data DirectoryOrCreate',
      },
    ],
    [
      // Into a read-only folder nothing can be mounted where it has no folder already.
      'what is left of one folder of skills beside the extra mounts',
      { ...alice, extraMounts: six },
      { ...compose, SKILLS_HOST_PATH: '/s' },
      { '/mnt/skills/public': 'skills: /s Directory public, ro', '/mnt/user-data': userDataOfAlice, ...sixOnNode },
    ],
    [
      'the three projections of a user that is not named',
      { ...old, includeLegacySkills: true },
      compose,
      {
        '/mnt/skills/public': 'skills-public: /state/skills_view/public Directory, ro',
        '/mnt/skills/custom': 'skills-custom: /state/users/default/skills_view/custom Directory, ro',
        '/mnt/skills/legacy': 'skills-legacy: /state/users/default/skills_view/legacy Directory, ro',
        '/mnt/user-data': 'user-data: /state/users/default/threads/T_1/user-data DirectoryOrCreate',
      },
    ],
    [
      "the projections, but for those that extra mounts replace; user data where the original's is",
      { ...alice, extraMounts: six },
      { ...compose, USER_DATA_LAYOUT: 'threads' },
      {
        '/mnt/skills/public': 'skills-public: /state/skills_view/public Directory, ro',
        '/mnt/skills/legacy': 'skills-legacy: /state/users/alice/skills_view/legacy Directory, ro',
        '/mnt/user-data': 'user-data: /state/threads/T_1/user-data DirectoryOrCreate',
        ...sixOnNode,
      },
    ],
    [
      'the projections on a node of Windows',
      { ...alice, extraMounts: [{ ...acp, hostPath: 'c:\\df\\users\\alice\\x\\' }] },
      { DEER_FLOW_HOST_BASE_DIR: 'C:\\df\\' },
      {
        '/mnt/skills/public': 'skills-public: C:\\df\\skills_view\\public Directory, ro',
        '/mnt/skills/custom': 'skills-custom: C:\\df\\users\\alice\\skills_view\\custom Directory, ro',
        '/mnt/skills/legacy': 'skills-legacy: C:\\df\\users\\alice\\skills_view\\legacy Directory, ro',
        '/mnt/user-data': 'user-data: C:\\df\\users\\alice\\threads\\T_1\\user-data DirectoryOrCreate',
        '/mnt/acp-workspace': 'extra-0: c:\\df\\users\\alice\\x Directory, ro',
      },
    ],
    ['a claim of user data with all that today’s provider sends', { ...alice, extraMounts: nine }, chart, nineInClaim],
    [
      'no skills of a claim where the extra mounts have them all',
      { ...alice, extraMounts: nine },
      { ...chart, SKILLS_PVC_NAME: 'skills', SKILLS_HOST_PATH: '/s' },
      nineInClaim,
    ],
    [
      'what is left of a claim of skills beside the extra mounts, with the old ones where there are any',
      { ...alice, includeLegacySkills: true, extraMounts: [custom, integrations] },
      { ...chart, SKILLS_PVC_NAME: 'skills', SKILLS_PVC_SUBPATH_TEMPLATE: 'of/{user_id}/{thread_id}/s' },
      {
        '/mnt/skills/public': 'skills: claim skills of/alice/T_1/s/public, ro',
        '/mnt/skills/legacy': 'skills: claim skills of/alice/T_1/s/legacy, ro',
        '/mnt/user-data': claimed('users/alice/threads/T_1/user-data'),
        '/mnt/skills/custom': `${claimed('users/alice/skills_view/custom')}, ro`,
        '/mnt/skills/integrations': `${claimed('users/alice/skills_view/integrations')}, ro`,
      },
    ],
    [
      'one claim of everything',
      old,
      { SKILLS_PVC_NAME: 'home', SKILLS_PVC_SUBPATH_TEMPLATE: 'skills', USERDATA_PVC_NAME: 'home' },
      {
        '/mnt/skills': 'user-data: claim home skills, ro',
        '/mnt/user-data': claimed('users/default/threads/T_1/user-data'),
      },
    ],
    [
      'skills of a policy, from folders that are written in a roundabout way, below the folder around the threads',
      {
        ...alice,
        extraMounts: [
          { ...custom, hostPath: '//state/./users/bob/..//alice/threads/T_1/skills_view/custom/' },
          { ...acp, hostPath: '/state/threads/T_1/acp-workspace', containerPath: '/mnt//x/../acp-workspace/' },
        ],
      },
      { THREADS_HOST_PATH: '/state/threads', SKILLS_PVC_NAME: 'skills' },
      {
        '/mnt/skills/public': 'skills: claim skills public, ro',
        '/mnt/skills/integrations': 'skills: claim skills integrations, ro',
        '/mnt/user-data': 'user-data: /state/threads/T_1/user-data DirectoryOrCreate',
        '/mnt/skills/custom': 'extra-0: /state/users/alice/threads/T_1/skills_view/custom Directory, ro',
        '/mnt/acp-workspace': 'extra-1: /state/threads/T_1/acp-workspace Directory, ro',
      },
    ],
  ])('is %s', (_what, request, variables, layout) => {
    expect(layoutOf(request, variables)).toStrictEqual(layout);
  });
});

/** What a caller is told, if it is refused. */
function refusalOf(build: () => unknown): string | undefined {
  try {
    build();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ProvisionerError);
    expect((error as ProvisionerError).kind).toBe('bad-request');
    return (error as ProvisionerError).message;
  }
}

describe('what a Pod that is there does not have', () => {
  const split: CreateSandboxRequest = { ...alice, extraMounts: [custom] };
  const elsewhere: CreateSandboxRequest = { ...alice, skillsPath: '/srv/skills' };
  const legacy = { includeLegacySkills: true };
  const settings = { ...compose, SKILLS_HOST_PATH: '/skills' };
  const unmetOf = (made: CreateSandboxRequest, asked: CreateSandboxRequest, changed: Variables = {}) => {
    const { volumes, volumeMounts } = buildVolumes(made, sourcesOf(settings));
    const pod = { spec: { containers: [{ name: 'sandbox', volumeMounts }], volumes } };
    return findUnmetMounts(buildVolumes(asked, sourcesOf({ ...settings, ...changed })), pod);
  };

  it.each<[string, made: CreateSandboxRequest, asked: CreateSandboxRequest, unmet: string[]]>([
    ['what it was made with', split, split, []],
    ['less than it was made with', split, alice, []],
    ['another folder in the place of one', alice, split, ['/mnt/skills/custom']],
    ['skills elsewhere', alice, elsewhere, ['/srv/skills']],
    ['skills at the usual place', elsewhere, alice, ['/mnt/skills']],
    ['the old skills, which are in the whole folder', alice, { ...alice, ...legacy }, []],
    ['the old skills, which are not among the others', split, { ...split, ...legacy }, ['/mnt/skills/legacy']],
    ['the old skills, in a whole folder', split, { ...alice, ...legacy }, ['/mnt/skills/legacy']],
    ['the old skills, which are there', { ...split, ...legacy }, { ...alice, ...legacy }, []],
    ['the old skills elsewhere', elsewhere, { ...elsewhere, ...legacy }, []],
  ])('is told where it is asked for %s', (_what, made, asked, unmet) => {
    expect(unmetOf(made, asked)).toEqual(unmet);
  });

  it('is not the usual skills that the settings have moved since', () => {
    expect(unmetOf(alice, alice, { SKILLS_HOST_PATH: '/moved' })).toEqual([]);
    expect(unmetOf(elsewhere, elsewhere, { SKILLS_HOST_PATH: '/moved' })).toEqual(['/srv/skills']);
  });
});

describe('what must not be mounted', () => {
  const at = (hostPath: string): ExtraMount[] => [{ ...acp, hostPath }];
  const into = (containerPath: string): ExtraMount[] => [{ ...acp, containerPath }];

  it.each<[string, ExtraMount[]]>([
    ['Too many extra mounts; max is 10', Array.from({ length: 11 }, () => acp)],
    ['Extra mount host path must be absolute: state/x', at('state/x')],
    ['Extra mount host path must be absolute: ', at('')],
    ['Extra mount host path is outside DeerFlow state: /etc', at('/etc')],
    ['Extra mount host path is outside DeerFlow state: /state/../etc', at('/state/../etc')],
    ['Extra mount host path is outside DeerFlow state: /state2/users/alice/x', at('/state2/users/alice/x')],
    [`Extra mount host path is outside DeerFlow state: /${'x'.repeat(255)}…`, at(`/${'x'.repeat(999)}`)],
    ['Invalid extra mount host path: /state', at('/state')],
    ['Invalid extra mount host path: /state/skills_view/..', at('/state/skills_view/..')],
    ['Invalid extra mount host path: /state/users', at('/state/users')],
    ['Invalid extra mount host path: /state/users/alice', at('/state/users/alice')],
    // DeerFlow keeps its secrets there.
    ['Invalid extra mount host path: /state/.internal-auth-token', at('/state/.internal-auth-token')],
    ['Invalid extra mount host path: /state/users/alice/\n', at('/state/users/alice/\n')],
    ['Extra mount host path belongs to another user: /state/users/bob/x', at('/state/users/bob/x')],
    ['Extra mount host path belongs to another user: /state/users/alice/../bob/x', at('/state/users/alice/../bob/x')],
    ['Extra mount host path belongs to another thread: /state/threads/T_2/x', at('/state/threads/T_2/x')],
    ['Extra mount path must be absolute: mnt/acp-workspace', into('mnt/acp-workspace')],
    ['Unsupported extra mount path: /mnt/secrets', into('/mnt/secrets')],
    ['Unsupported extra mount path: //mnt/acp-workspace', into('//mnt/acp-workspace')],
    ['Unsupported extra mount path: /mnt/skills', into('/mnt/skills')],
    ['Unsupported extra mount path: /mnt/user-data/x', into('/mnt/user-data/x')],
    ['Unsupported extra mount path: /mnt/skills/constructor', into('/mnt/skills/constructor')],
    ['Duplicate extra mount path: /mnt/acp-workspace', [acp, ...into('/mnt/acp-workspace/')]],
    ['Extra mount must be read-only: /mnt/acp-workspace', [{ ...acp, readOnly: false }]],
    // Where a sandbox wrote, it can put a link into the way of a later mount.
    ...(
      [
        ['data', 'skills_view/public'],
        ['data', `${own}/config`],
        ['config/locks', 'users/alice/integrations'],
        ['config/locks', `${own}/data`],
      ] as const
    ).map(([place, path]): [string, ExtraMount[]] => [
      `Extra mount host path must be read-only: /state/${path}`,
      [extra(`${lark}/${place}`, path, false)],
    ]),
    ...['users/alice/threads/T_1/user-data/x', `${own}/data/x`, `${own}/config/locks/x`, 'threads/T_1/user-data'].map(
      (path): [string, ExtraMount[]] => [
        `Invalid extra mount host path: /state/${path}`,
        [extra('/mnt/acp-workspace', path)],
      ],
    ),
    ['Extra mount must be read-only: /mnt/skills/custom', [{ ...custom, readOnly: false }]],
    [`Extra mount must be read-only: ${lark}/config`, [extra(`${lark}/config`, `${own}/config`, false)]],
    [
      `Extra mount is not in the folder that is mounted around it, /state/${own}/config: /state/${own}/locks`,
      [extra(`${lark}/config/locks`, `${own}/locks`), extra(`${lark}/config`, `${own}/config`)],
    ],
  ])('%s', (refusal, extraMounts) => {
    for (const variables of [compose, chart]) {
      const settings = sourcesOf(variables);
      expect(refusalOf(() => buildVolumes({ ...alice, extraMounts }, settings))).toBe(refusal);
    }
  });

  it('is anything extra where nobody knows where the state is', () => {
    const settings = sourcesOf({ THREADS_HOST_PATH: '/srv/t' });
    expect(refusalOf(() => buildVolumes({ ...alice, extraMounts: at('/srv/users/alice/x') }, settings))).toBe(
      'Extra mount host path is outside DeerFlow state: /srv/users/alice/x',
    );
  });

  it.each<[string, string]>([
    ['', 'must be an absolute non-root path'],
    ['mnt/skills', 'must be an absolute non-root path'],
    ['//mnt/skills', 'must be an absolute non-root path'],
    ...['/', '/a/', '/a//b', '/a/./b', '/a/..'].map((path): [string, string] => [
      path,
      "must not be root or contain redundant separators, '.' or '..'",
    ]),
    ['/mnt', "'/mnt' overlaps reserved sandbox path '/mnt/user-data'"],
    ['/mnt/user-data', "'/mnt/user-data' overlaps reserved sandbox path '/mnt/user-data'"],
    ['/mnt/acp-workspace/x', "'/mnt/acp-workspace/x' overlaps reserved sandbox path '/mnt/acp-workspace'"],
    ['/mnt/integrations', "'/mnt/integrations' overlaps reserved sandbox path '/mnt/integrations/lark-cli'"],
    ['/proc/skills', "'/proc/skills' overlaps reserved sandbox path '/proc'"],
    ['/mnt/a:b', "must not contain ':' or control characters"],
    ['/mnt/a\0', "must not contain ':' or control characters"],
  ])('skills at %j', (skillsPath, why) => {
    const refusal = refusalOf(() => buildVolumes({ ...old, skillsPath }, sourcesOf({})));
    expect(refusal).toBe(`The skills container path ${why}`);
  });

  it.each(['/mnt/skills', '/mnt/user-data2', '/opt/a.b'])('not so skills at %j', (skillsPath) => {
    expect(refusalOf(() => buildVolumes({ ...old, skillsPath }, sourcesOf({})))).toBeUndefined();
  });

  it("is nothing of another user's, however a path is written", () => {
    const part = fc.constantFrom(
      'state',
      'users',
      'alice',
      'bob',
      'threads',
      'T_1',
      '.',
      '..',
      '',
      'integrations',
      'x',
    );
    const path = fc.array(part, { maxLength: 9 }).map((parts) => `/state/${parts.join('/')}`);
    fc.assert(
      fc.property(path, (hostPath) => {
        const request = { ...alice, extraMounts: at(hostPath) };
        const refusal = refusalOf(() => {
          const [source] = buildVolumes(request, sourcesOf(compose)).volumes.slice(-1);
          expect(source?.hostPath?.path).toMatch(
            /^\/state\/(users\/alice\/(?!\.\.)|threads\/T_1\/(?!\.\.)|integrations(\/|$))(?!.*\/\.\.?(\/|$))/,
          );
        });
        expect(refusal ?? 'Extra').toMatch(/Extra|extra/);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the settings', () => {
  it.each<[Variables, string]>([
    [{}, 'skills: /skills; user data: /.deer-flow/threads, by thread; extra mounts: below /.deer-flow'],
    [
      compose,
      "skills: each user's view below /state; user data: /state, by user and thread; extra mounts: below /state",
    ],
    [
      { THREADS_HOST_PATH: '/t', SKILLS_PVC_NAME: 's', SKILLS_PVC_SUBPATH_TEMPLATE: '{user_id}' },
      'skills: the claim s, {user_id}; user data: /t, by thread; extra mounts: none',
    ],
    [
      { USERDATA_PVC_NAME: 'home', SKILLS_HOST_PATH: '/s', DEER_FLOW_HOST_BASE_DIR: '/app/' },
      'skills: /s; user data: the claim home; extra mounts: below /app',
    ],
  ])('%j are told in a line', (variables, line) => {
    expect(describeVolumes(sourcesOf(variables))).toBe(line);
  });

  it.each<[Variables, string[]]>([
    [{ SKILLS_PVC_SUBPATH_TEMPLATE: 'a' }, ['SKILLS_PVC_SUBPATH_TEMPLATE is of no use without SKILLS_PVC_NAME']],
    ...[undefined, '.', './', 'deer-flow', 'deer-flow/users', 'deer-flow//users/alice/x'].map(
      (template): [Variables, string[]] => [
        { SKILLS_PVC_NAME: 'a', USERDATA_PVC_NAME: 'a', ...(template && { SKILLS_PVC_SUBPATH_TEMPLATE: template }) },
        [
          "SKILLS_PVC_SUBPATH_TEMPLATE must be set, to no folder around users', where SKILLS_PVC_NAME is USERDATA_PVC_NAME: every sandbox would see all users' files",
        ],
      ],
    ),
    [
      { USERDATA_PVC_NAME: 'a', USER_DATA_LAYOUT: 'threads' },
      ['USER_DATA_LAYOUT=threads is of no use with USERDATA_PVC_NAME, where files are by user and thread'],
    ],
    [{ USER_DATA_LAYOUT: 'users' }, ['USER_DATA_LAYOUT=users needs DEER_FLOW_HOST_BASE_DIR']],
  ])('%j are refused', (variables, problems) => {
    expect(() => loadConfig(variables)).toThrow(`Misconfigured: ${problems.join('; ')}`);
  });
});

describe('a sandbox planned for Lark', () => {
  it('is refused with a broker, and its gateway is told to ask again what there is', () => {
    refuseLarkBroker({ ...old, larkRuntime: true });
    expect(() => refuseLarkBroker({ ...old, larkRuntime: true, larkBroker: true })).toThrow(
      expect.objectContaining({
        kind: 'unavailable',
        detail: 'Requested Lark broker image is not configured',
        headers: { 'x-deerflow-capability-refresh': 'lark-broker' },
      }),
    );
  });
});
