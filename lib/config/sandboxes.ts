import type * as z from 'zod/mini';
import { hostName, hostPath, isIPv6Address, matching, withDefault } from './fields.ts';

/** What a sandbox is made of, and where it is reached. */
export type SandboxConfig = Readonly<{
  namespace: string;
  sandboxImage: string;
  skillsHostPath: string;
  threadsHostPath: string;
  nodeHost: string;
}>;

/** The settings of a sandbox. */
export const sandboxSettings = {
  K8S_NAMESPACE: withDefault(
    matching(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a legal namespace name (RFC 1123 label)'),
    'deer-flow',
  ),
  SANDBOX_IMAGE: withDefault(
    matching(/^\S+$/, 'must be an image reference without spaces'),
    'enterprise-public-cn-beijing.cr.volces.com/vefaas-public/all-in-one-sandbox:latest',
  ),
  SKILLS_HOST_PATH: withDefault(hostPath, '/skills'),
  THREADS_HOST_PATH: withDefault(hostPath, '/.deer-flow/threads'),
  NODE_HOST: withDefault(hostName, 'host.docker.internal'),
};

type Values = z.infer<z.ZodMiniObject<typeof sandboxSettings>>;

/** What the settings of a sandbox mean. */
export const readSandboxConfig = (values: Values): SandboxConfig => ({
  namespace: values.K8S_NAMESPACE,
  sandboxImage: values.SANDBOX_IMAGE,
  skillsHostPath: values.SKILLS_HOST_PATH,
  threadsHostPath: values.THREADS_HOST_PATH.replace(/(?<=.)\/+$/, ''),
  nodeHost: isIPv6Address(values.NODE_HOST) ? `[${values.NODE_HOST}]` : values.NODE_HOST,
});
