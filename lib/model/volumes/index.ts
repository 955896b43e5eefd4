import type { V1Pod, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { containerName } from '../names.ts';
import { type CreateSandboxRequest, requestDefaults, type WholeRequest } from '../request.ts';
import { type AllowedMount, allowExtraMounts } from './extra-mounts.ts';
import { hostPaths } from './host-paths.ts';
import { checkSkillsPath, skillCategories } from './skills-path.ts';
import { fillSubPath, type VolumeSources } from './sources.ts';

/** The volumes of a sandbox's Pod, and where its container has them. */
export type PodVolumes = {
  volumes: V1Volume[];
  volumeMounts: V1VolumeMount[];
  /** The places that the request asked for. */
  asked: readonly string[];
  /** Where it is to find skills that it did not ask for apart. */
  skills: readonly string[];
};

/** One mount, and the volume that it is of. */
type Mount = { volume: V1Volume; mount: V1VolumeMount };

/**
 * What the Pod of this request mounts: skills, user data, and what it asks for beside them, which replaces what would be at its
 * place. Throws `bad-request` for paths that must not be mounted; so it is asked before the sandbox is looked at, too.
 */
export function buildVolumes(request: CreateSandboxRequest, sources: VolumeSources): PodVolumes {
  const whole = { ...requestDefaults, ...request, userId: request.userId ?? requestDefaults.userId };
  checkSkillsPath(whole.skillsPath);
  const extras = allowExtraMounts(whole, sources.stateRoot);
  const taken = new Set(extras.map(({ containerPath }) => containerPath));
  const skillMounts = mountSkills(whole, sources, taken);
  const mounts = [
    ...skillMounts,
    mountUserData(whole, sources),
    ...extras.map((extra, index) => mountExtra(extra, index, sources)),
  ];
  const isElsewhere = whole.skillsPath !== requestDefaults.skillsPath;
  const skillPlaces = skillMounts.map(({ mount }) => mount.mountPath);
  const asked = [...taken, ...(isElsewhere ? skillPlaces : [])];
  const legacy = `${whole.skillsPath}/legacy`;
  const skills = [...skillPlaces, ...(whole.includeLegacySkills ? [legacy] : [])];
  // A claim is one volume, however often it is mounted: some drivers attach it once for each.
  const volumes = new Map(mounts.map(({ volume }) => [volume.name, volume]));
  return { volumes: [...volumes.values()], volumeMounts: mounts.map(({ mount }) => mount), asked, skills };
}

function mountSkills(request: WholeRequest, sources: VolumeSources, taken: ReadonlySet<string>): Mount[] {
  const { skills } = sources;
  const { skillsPath } = request;
  const isFree = (category: string) => !taken.has(`${skillsPath}/${category}`);
  if (skills.in === 'projections') {
    const view = ['users', request.userId, 'skills_view'];
    const paths = { public: ['skills_view', 'public'], custom: [...view, 'custom'], legacy: [...view, 'legacy'] };
    return Object.entries(paths)
      .filter(([category]) => isFree(category))
      .map(([category, parts]) => mountProjection(`${skillsPath}/${category}`, category, parts, skills.root, sources));
  }
  const volume: V1Volume =
    skills.in === 'folder'
      ? { name: 'skills', hostPath: { path: skills.path, type: 'Directory' } }
      : isUserDataClaim(skills.claim, sources)
        ? userDataClaim(skills.claim)
        : {
            name: 'skills',
            // In a claim that is mounted read-only, the kubelet could not make the folders that are missing.
            persistentVolumeClaim: {
              claimName: skills.claim,
              ...(skillCategories.every(isFree) && { readOnly: true }),
            },
          };
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

/** What DeerFlow's gateway lays out of one category: where its state is, in the claim or on the node. */
function mountProjection(
  mountPath: string,
  category: string,
  parts: readonly string[],
  root: string,
  { userData }: VolumeSources,
): Mount {
  if (userData.in === 'claim') {
    const volume = userDataClaim(userData.claim);
    return { volume, mount: { name: volume.name, mountPath, readOnly: true, subPath: subPathOf(parts) } };
  }
  const name = `skills-${category}`;
  return {
    volume: { name, hostPath: { path: hostPaths(root).join(root, ...parts), type: 'Directory' } },
    mount: { name, mountPath, readOnly: true },
  };
}

function mountUserData({ userId, threadId }: WholeRequest, { userData }: VolumeSources): Mount {
  const mount = { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false };
  const byUser = ['users', userId, 'threads', threadId, 'user-data'];
  if (userData.in === 'claim') {
    return { volume: userDataClaim(userData.claim), mount: { ...mount, subPath: subPathOf(byUser) } };
  }
  const parts = userData.in === 'users' ? byUser : [threadId, 'user-data'];
  const path = hostPaths(userData.root).join(userData.root, ...parts);
  return { volume: { name: 'user-data', hostPath: { path, type: 'DirectoryOrCreate' } }, mount };
}

function mountExtra(extra: AllowedMount, index: number, { userData }: VolumeSources): Mount {
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

const isUserDataClaim = (claim: string, { userData }: VolumeSources): boolean =>
  userData.in === 'claim' && userData.claim === claim;

const userDataClaim = (claimName: string): V1Volume => ({ name: 'user-data', persistentVolumeClaim: { claimName } });

/** Where in the claim DeerFlow's state is: its chart mounts the claim's `deer-flow` there. */
const subPathOf = (parts: readonly string[]): string => ['deer-flow', ...parts].join('/');

/**
 * The places that the request asks for and that this Pod does not have so: a Pod keeps what it was made with. For one whose spec says
 * nothing of a place, that is all of them. Of the usual skills it is asked that they are there, not where they come from: that is for
 * the settings to say, which may have changed since.
 */
export function findUnmetMounts({ volumes, volumeMounts, asked, skills }: PodVolumes, pod: V1Pod): string[] {
  const sources = new Map(pod.spec?.volumes?.map((volume) => [volume.name, volume]));
  const ownMounts = pod.spec?.containers.find(({ name }) => name === containerName)?.volumeMounts ?? [];
  const has = ({ name, mountPath, subPath, readOnly }: V1VolumeMount) => {
    const own = ownMounts.find((mount) => mount.mountPath === mountPath);
    const [source, wanted] = [sources.get(own?.name ?? ''), volumes.find((volume) => volume.name === name)];
    return (
      own !== undefined &&
      own.subPath === subPath &&
      (own.readOnly ?? false) === (readOnly ?? false) &&
      source?.hostPath?.path === wanted?.hostPath?.path &&
      source?.persistentVolumeClaim?.claimName === wanted?.persistentVolumeClaim?.claimName
    );
  };
  const isThere = (place: string) =>
    ownMounts.some(({ mountPath }) => `${place}/`.startsWith(`${mountPath}/`) || mountPath.startsWith(`${place}/`));
  const unmet = volumeMounts.filter((mount) => asked.includes(mount.mountPath) && !has(mount));
  return [...new Set([...unmet.map(({ mountPath }) => mountPath), ...skills.filter((place) => !isThere(place))])];
}
