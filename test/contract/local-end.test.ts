import net from 'node:net';

import { afterEach, expect, it, onTestFinished } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { isListening } from '../support/free-ports.ts';
import { callHttp } from '../support/http-call.ts';
import { callTo, holdCalls } from '../support/kubernetes-proxy.ts';
import { usePlace } from '../support/place.ts';
import { type Provisioner, startProvisioner } from '../support/provisioner.ts';
import { newSandboxId } from '../support/world.ts';

const place = usePlace();
let provisioner: Provisioner | undefined;
afterEach(async () => {
  await provisioner?.stop();
  provisioner = undefined;
});

type By = 'node' | 'npm' | 'server';

async function start(by: By): Promise<Provisioner> {
  const { cluster, proxy, namespace } = place;
  const settings = {
    EMBEDDED_KUBERNETES: 'false',
    KUBECONFIG_PATH: proxy.kubeconfig,
    K8S_NAMESPACE: namespace,
    AUTH: 'off',
  };
  provisioner = await startProvisioner({ ...settings, ...cluster.settings }, by);
  return provisioner;
}

/** Gives it a signal, and says when all of it has ended; nobody else stops it then. */
function end(signal: NodeJS.Signals, withinMs?: number): Promise<void> | undefined {
  const ended = provisioner?.end(signal, withinMs);
  provisioner = undefined;
  return ended;
}

/** A create that is under way: it waits for Kubernetes until it is released. */
async function givenHeldCreate(url: string) {
  const sandboxId = newSandboxId();
  const { reached, release } = holdCalls(place.proxy, callTo('POST', 'pods'));
  const creating = callHttp({ method: 'POST', url: `${url}/api/sandboxes`, body: { sandbox_id: sandboxId } }).catch(
    (error: NodeJS.ErrnoException) => error.code,
  );
  await reached();
  return { sandboxId, creating, release };
}

it.each([
  ['SIGTERM', 'npm'],
  ['SIGTERM', 'node'],
  ['SIGINT', 'node'],
  ['SIGTERM', 'server'],
] as const)('a create that is under way at a %s to %s is answered, then all ends', async (signal, by) => {
  const { url, ports, output } = await start(by);
  const { sandboxId, creating, release } = await givenHeldCreate(url);
  const ended = end(signal, 40_000);
  await eventually(
    'closed to others',
    () => isListening(ports[0] as number),
    (isOpen) => !isOpen,
  );
  await eventually('waiting', output, (text) => text.includes('under way'));
  // It was cut after 5 s, though the sandbox was made.
  setTimeout(release, 8_000);
  expect(await creating).toMatchObject({ status: 200, body: { sandbox_id: sandboxId } });
  await ended;
  expect(await place.cluster.kubernetes.find('pods', `sandbox-${sandboxId}`)).toBeDefined();
});

it.each<By>(['node', 'server'])('whoever says it once more has it end at once: %s', async (by) => {
  const { url, pid, output } = await start(by);
  const { creating, release } = await givenHeldCreate(url);
  onTestFinished(() => release());
  const ended = end('SIGINT');
  await eventually('waiting', output, (text) => text.includes('under way'));
  // Sooner, it is taken for the first.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  process.kill(pid, 'SIGINT');
  expect(await creating).toBe('ECONNRESET');
  await ended;
});

it.each<By>(['node', 'server'])('a connection that nobody uses keeps nothing open: %s', async (by) => {
  const { ports } = await start(by);
  const connect = async (request: string) => {
    // One that does not end when the other side does.
    const socket = net.connect({ port: ports[0] as number, host: '127.0.0.1', allowHalfOpen: true });
    onTestFinished(() => void socket.destroy());
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    if (request === '') return;
    socket.write(request);
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
  };
  await connect('');
  await connect('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  // Throws after 15 s; a call may take twice that.
  await end('SIGTERM');
});
