import { describe, expect, it } from 'vitest';

import { isEmbeddedCluster } from '../support/cluster.ts';
import type { KubernetesObject } from '../support/kubernetes-client.ts';
import { runInSandbox } from '../support/look-inside.ts';
import { originalPod, originalService } from '../support/original.ts';
import { newSandboxId, newThreadId, useWorld, type World } from '../support/world.ts';

/** What a sandbox knows of the world around it: its environment, its mounts and its process. */
async function lookInto(world: World, sandboxId: string) {
  const read = (file: string) => runInSandbox(world.cluster, sandboxId, ['/bin/busybox', 'cat', file]);
  const environment = (await read('/proc/1/environ')).split('\0').map((entry) => entry.split('=')[0] ?? '');
  const mounts = (await read('/proc/1/mounts')).split('\n').map((line) => line.split(' ')[1] ?? '');
  const status = Object.fromEntries(
    (await read('/proc/1/status')).split('\n').map((line) => line.split(/:\s+/) as [string, string]),
  );
  const files = await runInSandbox(world.cluster, sandboxId, ['/bin/busybox', 'find', '/', '-xdev', '-name', 'token']);
  return { environment, mounts, status, tokens: files.split('\n').filter(Boolean) };
}

const servicesIn = (environment: string[]) => environment.filter((variable) => variable.endsWith('_SERVICE_HOST'));
const tokenMount = '/var/run/secrets/kubernetes.io/serviceaccount';

// The sandboxes of the embedded Kubernetes are stand-ins: there is nothing to look into.
describe.skipIf(isEmbeddedCluster)('from inside a sandbox', () => {
  const world = useWorld();

  it('there is no token, and nothing of other sandboxes', async () => {
    await world.givenSandbox();
    const { sandboxId } = await world.givenRunningSandbox();
    const { environment, mounts, tokens } = await lookInto(world, sandboxId);
    // Kubernetes' own address is in every Pod, whatever it asks for.
    expect(servicesIn(environment)).toEqual(['KUBERNETES_SERVICE_HOST']);
    expect(mounts).toContain('/mnt/user-data');
    expect(mounts).not.toContain(tokenMount);
    expect(tokens).toEqual([]);
  });

  it('of the original provisioner there were both', async () => {
    await world.givenSandbox();
    const names = { sandboxId: newSandboxId(), threadId: newThreadId() };
    await world.kubernetes.create('services', originalService(names));
    // A kubelet hears of a Service a moment after it was made, and a Pod gets the variables of those that it knows.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await world.kubernetes.create('pods', originalPod(names, world.settings));
    await world.untilRunning(names.sandboxId);
    const { environment, mounts } = await lookInto(world, names.sandboxId);
    expect(servicesIn(environment).length).toBeGreaterThan(1);
    expect(mounts).toContain(tokenMount);
  });
});

describe('a sandbox that is confined by every setting', () => {
  const world = useWorld({
    SANDBOX_POD_SECURITY: 'restricted',
    SANDBOX_RUN_AS_USER: '1000',
    SANDBOX_NETWORK_POLICY: 'isolated',
    SANDBOX_CPU_REQUEST: '50m',
    SANDBOX_CPU_LIMIT: '0.5',
    SANDBOX_MEMORY_REQUEST: '32Mi',
    SANDBOX_MEMORY_LIMIT: '64Mi',
    SANDBOX_EPHEMERAL_STORAGE_REQUEST: '10Mi',
    SANDBOX_EPHEMERAL_STORAGE_LIMIT: '20Mi',
  });

  it('runs, and has what is set', async () => {
    const { sandboxId, view } = await world.givenRunningSandbox();
    expect((await world.untilOpen(view)).status).toBe(200);
    const [container] = ((await world.findPod(sandboxId)) as KubernetesObject).spec.containers;
    expect(container.securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(container.resources.requests).toEqual({ cpu: '50m', memory: '32Mi', 'ephemeral-storage': '10Mi' });
    // Kubernetes may write an amount in another way.
    expect(container.resources.limits).toMatchObject({
      cpu: expect.toBeOneOf(['0.5', '500m']),
      'ephemeral-storage': '20Mi',
    });
    expect(await world.kubernetes.find('networkpolicies', 'sandbox-provisioner')).toBeDefined();
  });

  it.skipIf(isEmbeddedCluster)('has no power over its node, seen from inside', async () => {
    const { sandboxId } = await world.givenRunningSandbox();
    const { status } = await lookInto(world, sandboxId);
    expect(status).toMatchObject({
      Uid: '1000\t1000\t1000\t1000',
      Gid: '1000\t1000\t1000\t1000',
      // No system calls but those of the runtime's profile, no capabilities, and no way to get any.
      Seccomp: '2',
      NoNewPrivs: '1',
      CapBnd: '0000000000000000',
      CapEff: '0000000000000000',
    });
  });
});
