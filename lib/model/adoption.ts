import { specHashAnnotation, threadIdAnnotation, userIdAnnotation } from './names.ts';

type Annotated = { metadata?: { annotations?: Readonly<Record<string, string | undefined>> } };

type VolumeMount = { name?: string; mountPath?: string; subPath?: string };

/** What is read of a Pod here: a whole one, or what a list tells of one. */
type MountingPod = Annotated & {
  spec?: {
    volumes?: { name?: string; hostPath?: { path?: string } }[];
    containers?: { volumeMounts?: VolumeMount[] }[];
  };
};

/**
 * The thread that a sandbox was made for, as far as its objects tell: the Service's annotation, or, where the original
 * provisioner made the sandbox and noted nothing, the folder that its Pod mounts as user data, on the node or in a claim.
 */
export const findThreadId = (service: Annotated | undefined, pod: MountingPod | undefined): string | undefined =>
  service?.metadata?.annotations?.[threadIdAnnotation] ?? findUserData(pod)?.match(/([^/\\]+)[/\\]user-data$/)?.[1];

/**
 * The user that a sandbox was made for, in the same way: in a claim, the user data has the user in its path; on the node the
 * original has it in those of the skills and integrations alone, and a Pod with another user's is nobody's.
 */
export function findUserId(service: Annotated | undefined, pod: MountingPod | undefined): string | undefined {
  const noted = service?.metadata?.annotations?.[userIdAnnotation];
  if (noted !== undefined) return noted;
  // We note on the Service whose a sandbox is, and tell it from no path of an operator's.
  if (pod === undefined || pod.metadata?.annotations?.[specHashAnnotation] !== undefined) return undefined;
  const { volumes = [], containers = [] } = pod.spec ?? {};
  const mounts = containers.flatMap(({ volumeMounts = [] }) => volumeMounts);
  const users = new Set([
    ...volumes.flatMap(({ hostPath }) => ownPath.exec(hostPath?.path ?? '')?.[1] ?? []),
    ...mounts.flatMap(({ subPath }) => ownSubPath.exec(subPath ?? '')?.[1] ?? []),
  ]);
  return users.size === 1 ? [...users][0] : undefined;
}

/**
 * A folder of a user's below DeerFlow's state, in a claim or on a node. There, user data alone does not tell: the folder of all
 * threads may be in anybody's home.
 */
const ownPath =
  /[/\\]users[/\\]([A-Za-z0-9_-]+)[/\\](?:skills_view|integrations|threads[/\\][^/\\]+[/\\](?:skills_view|acp-workspace))(?:[/\\]|$)/;
const ownSubPath = /^deer-flow\/users\/([A-Za-z0-9_-]+)\//;

/** The folder that a Pod mounts as user data. */
function findUserData(pod: MountingPod | undefined): string | undefined {
  const mounts = pod?.spec?.containers?.flatMap(({ volumeMounts = [] }) => volumeMounts) ?? [];
  const subPath = mounts.find(({ mountPath }) => mountPath === '/mnt/user-data')?.subPath;
  // In a list, what is not set is empty.
  return subPath || pod?.spec?.volumes?.find(({ name }) => name === 'user-data')?.hostPath?.path;
}
