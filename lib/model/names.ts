/**
 * What a `sandbox_id` may be: 1 to 51 of `a-z`, `0-9` and `-`, the first and the last no `-`. With `sandbox-` before it and
 * `-svc` behind it, it is then a legal Service name (RFC 1035 label, at most 63), Pod name and label value.
 */
export const sandboxIdPattern = /^[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?$/;

/** What a `thread_id` may be: it becomes one folder of a path on the node, so nothing that could leave that folder. */
export const threadIdPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** What a `user_id` may be: it becomes one folder as well, whose name Linux allows 255 bytes. */
export const userIdPattern = /^[A-Za-z0-9_-]{1,255}$/;

/** The name of the Pod of a sandbox. */
export const podName = (sandboxId: string): string => `sandbox-${sandboxId}`;

/** The name of the Service of a sandbox. */
export const serviceName = (sandboxId: string): string => `sandbox-${sandboxId}-svc`;

/** The label that bears a sandbox's id, on its Pod and its Service; the Service selects its Pod by it. */
export const sandboxIdLabel = 'sandbox-id';

/** The label that every Pod and Service of a sandbox bears, the original provisioner's too. */
export const sandboxLabel = { app: 'deer-flow-sandbox' } as const;

/** Selects by it. */
export const sandboxSelector = `app=${sandboxLabel.app}`;

/** The NetworkPolicy of all sandboxes of the namespace. */
export const networkPolicyName = 'sandbox-provisioner';

type Labelled = Readonly<{ metadata?: { name?: string; labels?: Readonly<Record<string, string | undefined>> } }>;

/**
 * The sandbox that an object is a part of: it has a sandbox's labels, and the name that goes with its id (`podName`,
 * `serviceName`). Undefined for everything else, which is somebody else's: not shown, and never touched.
 */
export function findSandboxId({ metadata }: Labelled, nameOf: (sandboxId: string) => string): string | undefined {
  const sandboxId = metadata?.labels?.[sandboxIdLabel] ?? '';
  const isSandbox = metadata?.labels?.app === sandboxLabel.app && sandboxIdPattern.test(sandboxId);
  return isSandbox && metadata?.name === nameOf(sandboxId) ? sandboxId : undefined;
}

/** An object that was read by its name, if it is a part of a sandbox: see `findSandboxId`. */
export const ifSandbox = <T extends Labelled>(
  object: T | undefined,
  nameOf: (sandboxId: string) => string,
): T | undefined => (object !== undefined && findSandboxId(object, nameOf) !== undefined ? object : undefined);

/** The labels of the namespace, as the original sets them. */
export const namespaceLabels = {
  'app.kubernetes.io/name': 'deer-flow',
  'app.kubernetes.io/component': 'sandbox',
} as const;

/** The four labels of a sandbox's Pod and Service, as the original sets them. */
export const sandboxLabels = (sandboxId: string): Record<string, string> => ({
  ...sandboxLabel,
  [sandboxIdLabel]: sandboxId,
  ...namespaceLabels,
});

/** The thread that a sandbox was made for. On its Service; absent from one that the original provisioner made. */
export const threadIdAnnotation = 'sandbox-provisioner/thread-id';

/** The user that it was made for, likewise; no label, as it may be longer than one. */
export const userIdAnnotation = 'sandbox-provisioner/user-id';

/** When a sandbox was last asked for (RFC 3339). On its Service; on a Pod of the original provisioner that has none. */
export const lastUsedAtAnnotation = 'sandbox-provisioner/last-used-at';

/**
 * The id of the request that last asked for a sandbox. On its Service. Kubernetes does not change an object's resource
 * version when a patch changes nothing, so two uses within one millisecond would look like one; this tells them apart.
 */
export const lastUsedByAnnotation = 'sandbox-provisioner/last-used-by';

/** How many seconds a sandbox may go unused before it is removed; 0 is for ever. On its Service. */
export const ttlSecondsAnnotation = 'sandbox-provisioner/ttl-seconds';

/**
 * What stands before a key of the metadata in a label of the Service. Callers choose the keys; behind it, none can be another of our
 * labels.
 */
export const metadataPrefix = 'metadata.sandbox-provisioner/';

/** What a key of the metadata may be: what Kubernetes lets stand behind the prefix of a label. */
export const metadataKeyPattern = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** What a value may be: the value of a label, which may be empty. */
export const metadataValuePattern = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** Tells of what its provisioner made a Pod: a part of the SHA-256 of its spec. On the Pod; absent where the original made it. */
export const specHashAnnotation = 'sandbox-provisioner/spec-hash';

/** Tells the image how many shells may be open at once. In the environment of the container. */
export const maxShellSessionsVariable = 'MAX_SHELL_SESSIONS';

/** What the container of a sandbox is called. */
export const containerName = 'sandbox';
