import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fillConfiguration } from '../../lib/tools/gateway-manifests.ts';
import { eventually } from './eventually.ts';
import { findFreePorts, isListening } from './free-ports.ts';
import type { KubernetesClient } from './kubernetes-client.ts';

const folderOf = (name: string) => fileURLToPath(new URL(`../../lib/gateway/${name}`, import.meta.url));
const nginx = '/usr/sbin/nginx';

/** Whether Debian's nginx and its JavaScript module are here (`apt-get install nginx libnginx-mod-http-js`). */
export const hasNginx = existsSync(nginx) && existsSync('/usr/lib/nginx/modules/ngx_http_js_module.so');

/** The gateway in nginx, as in a cluster but for its places. */
export interface Gateway {
  readonly url: string;
  /** The names that it has asked the DNS for. */
  readonly asked: ReadonlySet<string>;
  /** The kilobytes that its processes hold now. */
  memoryKb(): Promise<number>;
  /** All that it has logged; the entries of the access log, parsed. */
  readLog(): Promise<{ text: string; entries: Record<string, unknown>[] }>;
  stop(): Promise<void>;
}

/** Starts it with these settings, and with a DNS that knows what `resolve` says: an address, or none for a name that is not there. */
export async function startGateway(
  settings: Readonly<Record<string, string>>,
  resolve: (name: string) => Promise<string | undefined> | string | undefined,
  port?: number,
): Promise<Gateway> {
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-gateway-'));
  const [free = 0, health = 0] = await findFreePorts(2);
  const dns = await startNameServer(resolve);
  const at = port ?? free;
  const log = join(folder, 'access.log');
  const file = join(folder, 'nginx.conf');
  await writeFile(file, await fill({ folder, log, resolver: dns.address, health, listen: at }));
  const child = spawn(nginx, ['-c', file, '-g', 'daemon off;'], {
    env: { ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let printed = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const ended = once(child, 'close');
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    await dns.close();
    await rm(folder, { recursive: true, force: true });
  };
  await eventually(
    'listening: the gateway',
    async () => child.exitCode !== null || (await isListening(at)),
    (is) => is,
  );
  if (child.exitCode !== null) throw new Error(`nginx has ended\n${printed}`);
  return {
    url: `http://127.0.0.1:${at}`,
    asked: dns.asked,
    stop,
    async readLog() {
      const text = await readFile(log, 'utf8');
      return {
        text: `${text}${printed}`,
        entries: text
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
      };
    },
    async memoryKb() {
      const { stdout } = spawnSync('ps', ['-o', 'rss=', '--ppid', String(child.pid), '--pid', String(child.pid)], {
        encoding: 'utf8',
      });
      return stdout
        .trim()
        .split(/\s+/)
        .reduce((sum, kilobytes) => sum + Number(kilobytes), 0);
    },
  };
}

/**
 * What the cluster's DNS says of a headless Service of this namespace: its Pod's address, as soon as the Pod has one. There is no such DNS
 * where the tests run.
 */
export const resolveByPods =
  (kubernetes: KubernetesClient) =>
  async (name: string): Promise<string | undefined> => {
    const [service = '', namespace] = name.split('.');
    const found = namespace === kubernetes.namespace ? await kubernetes.find('services', service) : undefined;
    const sandboxId = found?.spec.clusterIP === 'None' ? found.spec.selector['sandbox-id'] : undefined;
    const pod = sandboxId && (await kubernetes.find('pods', `sandbox-${sandboxId}`));
    return pod?.metadata.deletionTimestamp === undefined ? pod?.status.podIP : undefined;
  };

/** What nginx says of the configuration with a certificate in this folder: nothing, where it is right. */
export async function checkConfiguration(tls: string): Promise<string> {
  const file = join(tls, 'nginx.conf');
  await writeFile(
    file,
    await fill({ folder: tls, log: '/dev/null', resolver: '127.0.0.1', health: 8081, listen: 8443, tls }),
  );
  const { status, stderr } = spawnSync(nginx, ['-t', '-q', '-c', file], { encoding: 'utf8' });
  return status === 0 ? '' : stderr;
}

type Places = { folder: string; log: string; resolver: string; health: number; listen: number; tls?: string };

const fill = async ({ health, listen, ...places }: Places) =>
  fillConfiguration(await readFile(folderOf('nginx.conf'), 'utf8'), {
    ...places,
    script: folderOf('gateway.js'),
    health: `127.0.0.1:${health}`,
    listen: `127.0.0.1:${listen}`,
  });

/** A DNS (RFC 1035) that has addresses of IPv4 alone, each for a second. */
async function startNameServer(resolve: Parameters<typeof startGateway>[1]) {
  const socket = createSocket('udp4');
  const asked = new Set<string>();
  socket.on('message', async (question, sender) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
      labels.push(question.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.');
    asked.add(name);
    const address = await resolve(name);
    const isIPv4 = question.readUInt16BE(at + 1) === 1;
    const answers = address !== undefined && isIPv4 ? 1 : 0;
    const head = Buffer.from(question.subarray(0, at + 5));
    // A response of one who knows; NXDOMAIN (3) for a name that is not there.
    head.writeUInt16BE(address === undefined ? 0x8583 : 0x8580, 2);
    for (const [index, count] of [1, answers, 0, 0].entries()) head.writeUInt16BE(count, 4 + index * 2);
    const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...(address ?? '').split('.').map(Number)];
    socket.send(answers === 1 ? Buffer.concat([head, Buffer.from(record)]) : head, sender.port, sender.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  return { address: `127.0.0.1:${port}`, asked, close: () => new Promise<void>((done) => socket.close(() => done())) };
}
