import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { type CreateSandboxRequest, requestDefaults, type WholeRequest } from '../request.ts';
import { type AllowedMount, allowExtraMounts } from './extra-mounts.ts';
import { hostPaths } from './host-paths.ts';
import { fillSubPath, type VolumeSettings } from './settings.ts';
import { checkSkillsPath, skillCategories } from './skills-path.ts';

/** The volumes of a sandbox's Pod, and where its container has them. */
export type PodVolumes = { volumes: V1Volume[]; volumeMounts: V1VolumeMount[] };

/** One mount, and the volume that it is of. */
type Mount = { volume: V1Volume; mount: V1VolumeMount };

/**
 * What the Pod of this request mounts: skills, user data, and what it asks for beside them, which replaces what would be at its
 * place. Throws `bad-request` for paths that must not be mounted; so it is asked before the sandbox is looked at, too.
 */
export function buildVolumes(request: CreateSandboxRequest, settings: VolumeSettings): PodVolumes {
  const whole = { ...requestDefaults, ...request };
  checkSkillsPath(whole.skillsPath);
  const extras = allowExtraMounts(whole, settings.stateRoot);
  const taken = new Set(extras.map(({ containerPath }) => containerPath));
  const mounts = [
    ...mountSkills(whole, settings, taken),
    mountUserData(whole, settings),
    ...extras.map((extra, index) => mountExtra(extra, index, settings)),
  ];
  // A claim is one volume, however often it is mounted: some drivers attach it once for each.
  const volumes = new Map(mounts.map(({ volume }) => [volume.name, volume]));
  return { volumes: [...volumes.values()], volumeMounts: mounts.map(({ mount }) => mount) };
}

function mountSkills(request: WholeRequest, settings: VolumeSettings, taken: ReadonlySet<string>): Mount[] {
  const { skills } = settings;
  const { skillsPath } = request;
  const isFree = (category: string) => !taken.has(`${skillsPath}/${category}`);
  if (skills.in === 'projections') {
    const { join } = hostPaths(skills.root);
    const view = join(skills.root, 'users', request.userId, 'skills_view');
    const paths = {
      public: join(skills.root, 'skills_view', 'public'),
      custom: join(view, 'custom'),
      legacy: join(view, 'legacy'),
    };
    return Object.entries(paths)
      .filter(([category]) => isFree(category))
      .map(([category, path]) => ({
        volume: { name: `skills-${category}`, hostPath: { path, type: 'Directory' } },
        mount: { name: `skills-${category}`, mountPath: `${skillsPath}/${category}`, readOnly: true },
      }));
  }
  const volume: V1Volume =
    skills.in === 'folder'
      ? { name: 'skills', hostPath: { path: skills.path, type: 'Directory' } }
      : isUserDataClaim(skills.claim, settings)
        ? userDataClaim(skills.claim)
        : { name: 'skills', persistentVolumeClaim: { claimName: skills.claim, readOnly: true } };
  const template = skills.in === 'claim' ? skills.subPathTemplate : undefined;
  const folder = template === undefined ? [] : [fillSubPath(template, request)];
  const mountAt = (mountPath: string, subPath: string): Mount => ({
    volume,
    mount: { name: volume.name, mountPath, readOnly: true, ...(subPath !== '' && { subPath }) },
  });
  if (skillCategories.every(isFree)) return [mountAt(skillsPath, folder.join('/'))];
  // Within a read-only folder another can only be mounted where one is already, which nobody can say. So what is left of it is
  // mounted beside the others, where the kubelet makes what is missing; the old skills only if there are some to be seen.
  return skillCategories
    .filter((category) => isFree(category) && (category !== 'legacy' || request.includeLegacySkills))
    .map((category) => mountAt(`${skillsPath}/${category}`, [...folder, category].join('/')));
}

function mountUserData({ userId, threadId }: WholeRequest, { userData }: VolumeSettings): Mount {
  const mount = { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false };
  const byUser = ['users', userId, 'threads', threadId, 'user-data'];
  if (userData.in === 'claim') {
    return { volume: userDataClaim(userData.claim), mount: { ...mount, subPath: subPathOf(byUser) } };
  }
  const parts = userData.in === 'users' ? byUser : [threadId, 'user-data'];
  const path = hostPaths(userData.root).join(userData.root, ...parts);
  return { volume: { name: 'user-data', hostPath: { path, type: 'DirectoryOrCreate' } }, mount };
}

function mountExtra(extra: AllowedMount, index: number, { userData }: VolumeSettings): Mount {
  const { hostPath, containerPath, readOnly } = extra;
  if (userData.in === 'claim') {
    const volume = userDataClaim(userData.claim);
    const subPath = subPathOf(extra.parts);
    return { volume, mount: { name: volume.name, mountPath: containerPath, readOnly, subPath } };
  }
  const name = `extra-${index}`;
  return {
    volume: { name, hostPath: { path: hostPath, type: readOnly ? 'Directory' : 'DirectoryOrCreate' } },
    mount: { name, mountPath: containerPath, readOnly },
  };
}

const isUserDataClaim = (claim: string, { userData }: VolumeSettings): boolean =>
  userData.in === 'claim' && userData.claim === claim;

const userDataClaim = (claimName: string): V1Volume => ({ name: 'user-data', persistentVolumeClaim: { claimName } });

/** Where in the claim DeerFlow's state is: its chart mounts the claim's `deer-flow` there. */
const subPathOf = (parts: readonly string[]): string => ['deer-flow', ...parts].join('/');
