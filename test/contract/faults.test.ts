import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';

import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { callHttp } from '../support/http-call.ts';
import { openLogs, runInSandbox } from '../support/look-inside.ts';
import { alter, originalPod } from '../support/original.ts';
import { lean, useWorld, type World } from '../support/world.ts';

/** A registry of this machine that has no image. */
const registry = createServer((_request, response) => {
  response.writeHead(404, { 'content-type': 'application/json' });
  response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
});
registry.listen(0, '127.0.0.1').unref();
await once(registry, 'listening');
const { port: registryPort } = registry.address() as AddressInfo;

/** What a real Kubernetes does to a sandbox that cannot serve; the embedded one has no containers that could fail. */
describe.skipIf(isEmbeddedCluster)('on real nodes, a sandbox says what is wrong', { timeout: 150_000 }, () => {
  const world = useWorld(lean);
  const beside = (settings: Record<string, string>) =>
    useWorld({ ...lean, ...settings }, 'namespace', { beside: world });
  const worlds = {
    'an image that its registry does not have': beside({ SANDBOX_IMAGE: `localhost:${registryPort}/absent:1` }),
    'a registry that is not there': beside({ SANDBOX_IMAGE: 'registry.invalid/sandbox:1' }),
    'an image with no legal name': beside({ SANDBOX_IMAGE: 'Registry/Sandbox:1' }),
    'no skills folder': beside({ SKILLS_HOST_PATH: '/no/such/folder' }),
    'no node with so much CPU': beside({ SANDBOX_CPU_REQUEST: '4096', SANDBOX_CPU_LIMIT: '4096' }),
  };

  afterEach(async () => {
    world.proxy.reset();
    await world.clear();
  });

  /** What a call says, with nothing set aside. */
  const tell = async (sandboxId: string, what = '') =>
    (
      await callHttp({
        method: 'GET',
        url: `${world.provisioner.url}/api/sandboxes/${sandboxId}${what}`,
        headers: { 'x-api-key': world.apiKey },
      })
    ).body;

  /** Waits until a look, or the events where these alone can tell, give this reason and message; a node may be busy with others. */
  const untilTold = (sandboxId: string, reason: string, message: RegExp, what = '') =>
    eventually(
      `told: ${reason}`,
      () => tell(sandboxId, what),
      (body) => body.ready === false && body.reason === reason && message.test(body.message),
      60_000,
    );
  const untilEvent = (sandboxId: string, reason: string) =>
    eventually(
      `an event: ${reason}`,
      () => tell(sandboxId, '/events'),
      ({ events }) => events.some((one: { reason: string }) => one.reason === reason),
      90_000,
    );

  /** A sandbox as the original makes it, of an image that runs this. */
  async function givenSandboxThatRuns(command: string, resources: object = {}): Promise<string> {
    const names = await world.givenOriginalSandbox({}, { withPod: false });
    const pod = originalPod(names, world.settings) as { spec: { containers: object[] } };
    const containers = pod.spec.containers.map((container) => ({
      ...container,
      command: ['/bin/busybox', 'sh', '-c', command],
      resources,
    }));
    await world.kubernetes.create('pods', alter(pod, { spec: { containers } }));
    return names.sandboxId;
  }

  it.each([
    ['an image that its registry does not have', 'ImagePullBackOff', /its registry does not have it/, '', 'Failed'],
    ['a registry that is not there', 'ImagePullBackOff', /its registry does not answer/, '/events', 'Failed'],
    ['an image with no legal name', 'InvalidImageName', /no legal one/, '', 'InspectFailed'],
    [
      'no skills folder',
      'FailedMount',
      /'skills' cannot be mounted: its folder is not on the node/,
      '/events',
      'FailedMount',
    ],
    ['no node with so much CPU', 'Scheduling', /They lack: CPU/, '', 'FailedScheduling'],
  ] as const)('%s: %s', async (what, reason, message, where, event) => {
    const { sandboxId } = await (worlds[what] as World).givenSandbox();
    await untilTold(sandboxId, reason, message, where);
    await untilEvent(sandboxId, event);
    const log = await world.call('GET', `/api/sandboxes/${sandboxId}/logs`);
    expect(log).toMatchObject({ status: 409, body: { detail: expect.stringContaining('has no log') } });
  });

  it('a process that ends: CrashLoopBackOff, and the log of the run before says why', async () => {
    const sandboxId = await givenSandboxThatRuns('echo it is broken; exit 3');
    await untilTold(sandboxId, 'CrashLoopBackOff', /exit code 3/);
    await untilEvent(sandboxId, 'BackOff');
    await openLogs(world.cluster, world.proxy, sandboxId);
    await eventually(
      'kept: the log of the run before',
      () => world.call('GET', `/api/sandboxes/${sandboxId}/logs?previous=true`),
      ({ status, text }) => {
        // Once, an answer was Kubernetes' own words of a container that is removed, with its id.
        expect(status === 409 || text === 'it is broken\n').toBe(true);
        return status === 200;
      },
    );
  });

  it('a process that wants too much memory: CrashLoopBackOff, OOMKilled', async () => {
    const eats = 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done';
    const sandboxId = await givenSandboxThatRuns(eats, { limits: { memory: '20Mi' } });
    await untilTold(sandboxId, 'CrashLoopBackOff', /more memory than it may have \(OOMKilled\)/);
  });

  it('a process that writes too much: Evicted', async () => {
    const writes = 'dd if=/dev/zero of=/big bs=1M count=30; sleep 600';
    const sandboxId = await givenSandboxThatRuns(writes, { limits: { 'ephemeral-storage': '10Mi' } });
    await untilTold(sandboxId, 'Evicted', /it wrote more to the disk than it may/);
    await untilEvent(sandboxId, 'Evicted');
  });

  it('a process that does not answer any more: Unready', async () => {
    const { sandboxId } = await world.givenSandbox();
    await eventually(
      'ready',
      () => tell(sandboxId),
      ({ ready }) => ready,
    );
    await runInSandbox(world.cluster, sandboxId, ['/bin/busybox', 'rm', '/www/v1/sandbox']);
    await untilTold(sandboxId, 'Unready', /does not answer/);
    await untilEvent(sandboxId, 'Unhealthy');
  });

  it('a process that listens elsewhere: Starting', async () => {
    const sandboxId = await givenSandboxThatRuns('/bin/busybox httpd -f -p 8081 -h /www');
    await untilTold(sandboxId, 'Starting', /does not answer yet/);
    await untilEvent(sandboxId, 'Unhealthy');
  });
});
