import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { protobufType, writeProtobuf } from '../../lib/local/kubernetes/protobuf.ts';
import { findFreePorts } from './free-ports.ts';
import { type KubernetesAddress, type KubernetesAnswer, sendToKubernetes } from './kubernetes-client.ts';
import { keepSecret } from './secrets.ts';

/** One call that the provisioner made to Kubernetes, as the proxy saw it. Times are milliseconds of a monotonic clock. */
export interface KubernetesCall {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** The body that was sent, as text; empty where there was none. */
  readonly body: string;
  readonly startedAt: number;
  /** When the answer had left the proxy; undefined while the call is running. */
  endedAt?: number;
  /** The status that the provisioner was given; undefined while the call runs and where the connection was cut. */
  status?: number;
  /** The status that the cluster gave; undefined where the call never reached it. */
  clusterStatus?: number;
  /** The media type of its answer. */
  clusterType?: string | undefined;
  /** True where the connection ended without an answer, cut by a fault or given up by the provisioner. */
  cut?: boolean;
}

/** What goes wrong with a call. */
export type FaultAction =
  /** The cluster is not asked; this is the answer. */
  | { readonly answer: KubernetesAnswer }
  /** The call reaches the cluster this much later. */
  | { readonly delayMs: number }
  /** The call waits for the promise (one of its own, of a function), then goes on as `afterwards` says, or to the cluster. */
  | {
      readonly hold: Promise<unknown> | ((call: KubernetesCall) => Promise<unknown>);
      readonly afterwards?: FaultAction;
    }
  /** The connection is cut, before the cluster has seen the call or after it has done what was asked. */
  | { readonly cut: 'before' | 'after' }
  /** The cluster does what was asked; its answer comes this much later, or once the promise that the function gives resolves. */
  | { readonly delayAnswerMs: number }
  | { readonly holdAnswer: () => Promise<unknown> }
  /** The cluster is asked; its answer is changed on the way back. */
  | { readonly rewrite: (answer: KubernetesAnswer) => KubernetesAnswer };

/** A fault, the calls it hits, and how many of them (all, unless `times` says otherwise). */
export interface Fault {
  readonly when: (call: KubernetesCall) => boolean;
  readonly action: FaultAction;
  readonly times?: number;
}

/** A fault in force. */
export interface InjectedFault {
  /** The calls it has hit so far. */
  readonly hits: readonly KubernetesCall[];
  /** Resolves when it hits a call, at once where it already has. */
  firstHit(): Promise<KubernetesCall>;
  remove(): void;
}

/** An HTTP proxy in front of a Kubernetes API server that records calls and makes them fail on demand. */
export interface KubernetesProxy {
  readonly url: string;
  /** Path of a kubeconfig that names the proxy as its cluster. */
  readonly kubeconfig: string;
  /** Every call since the last `reset`, in the order of their arrival. */
  readonly calls: readonly KubernetesCall[];
  /** Delays every call; 0 for none. */
  delayEachCall(delayMs: number): void;
  /** The newest matching fault wins. */
  injectFault(fault: Fault): InjectedFault;
  /** Nothing listens on the port any more, and open connections are cut. */
  refuseConnections(): Promise<void>;
  acceptConnections(): Promise<void>;
  /** Forgets calls, faults and delay. */
  reset(): void;
  close(): Promise<void>;
}

/** The body of an error as Kubernetes makes it. */
export function kubernetesStatus(code: number, reason: string, message: string, details?: object): KubernetesAnswer {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, details, code };
  return { status: code, headers: { 'content-type': 'application/json' }, text: JSON.stringify(status) };
}

/**
 * Starts a proxy in front of the cluster, on a free port of 127.0.0.1, which shows every answer of it as `translate` gives it.
 * Answers that the tests change are asked for as JSON, and given in what the provisioner has asked for.
 */
export async function startKubernetesProxy(
  cluster: KubernetesAddress,
  translate?: (answer: KubernetesAnswer) => KubernetesAnswer,
): Promise<KubernetesProxy> {
  const folder = mkdtempSync(path.join(tmpdir(), 'kubernetes-proxy-'));
  const kubeconfig = path.join(folder, 'kubeconfig');
  const calls: KubernetesCall[] = [];
  const sockets = new Set<Socket>();
  let faults: { readonly fault: Fault; readonly hit: (call: KubernetesCall) => void; left: number }[] = [];
  let delayMs = 0;

  function takeFault(call: KubernetesCall): FaultAction | undefined {
    const found = faults.find(({ fault, left }) => left > 0 && fault.when(call));
    if (found === undefined) return undefined;
    found.left -= 1;
    found.hit(call);
    return found.fault.action;
  }

  async function serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '/', 'http://proxy');
    const call: KubernetesCall = {
      method: request.method ?? 'GET',
      path: decodeURIComponent(url.pathname),
      query: decodeURIComponent(url.search.slice(1)),
      body: Buffer.concat(chunks).toString('utf8'),
      startedAt,
    };
    calls.push(call);
    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) gone.abort();
    });

    try {
      await pause(delayMs, gone.signal);
      let action = takeFault(call);
      while (action !== undefined && 'hold' in action) {
        const held = typeof action.hold === 'function' ? action.hold(call) : action.hold;
        await Promise.race([held, untilAborted(gone.signal)]);
        if (gone.signal.aborted) throw new Error('the provisioner gave up');
        action = action.afterwards;
      }
      if (action !== undefined && 'delayMs' in action) await pause(action.delayMs, gone.signal);
      if (action !== undefined && 'cut' in action && action.cut === 'before') throw new Error('cut by a fault');

      let answer: KubernetesAnswer;
      if (action !== undefined && 'answer' in action) {
        answer = action.answer;
      } else {
        const isChanged = translate !== undefined || (action !== undefined && 'rewrite' in action);
        const sent = await sendToKubernetes(cluster, {
          method: call.method,
          path: request.url ?? '/',
          headers: { ...forwardedHeaders(request.headers), ...(isChanged && { accept: 'application/json' }) },
          text: call.body,
        });
        answer = translate === undefined ? sent : translate(sent);
        call.clusterStatus = answer.status;
        call.clusterType = answer.headers['content-type'];
        if (action !== undefined && 'cut' in action) throw new Error('cut by a fault');
        if (action !== undefined && 'delayAnswerMs' in action) await pause(action.delayAnswerMs, gone.signal);
        if (action !== undefined && 'holdAnswer' in action) await action.holdAnswer();
        if (action !== undefined && 'rewrite' in action) answer = action.rewrite(answer);
      }
      if (request.headers.accept?.startsWith(protobufType)) answer = asProtobuf(answer);
      call.status = answer.status;
      response.writeHead(answer.status, forwardedHeaders(answer.headers));
      response.end(answer.bytes ?? answer.text, () => {
        call.endedAt = performance.now();
      });
    } catch {
      call.cut = true;
      call.endedAt = performance.now();
      response.destroy();
    }
  }

  const server = http.createServer((request, response) => void serve(request, response));
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });

  async function listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
  }

  async function stopListening(): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  // One that nobody else gets while it refuses connections.
  const [port = 0] = await findFreePorts(1);
  await listen(port);
  const url = `http://127.0.0.1:${port}`;
  writeFileSync(
    kubeconfig,
    JSON.stringify(kubeconfigOf({ server: url, token: keepSecret(randomBytes(16).toString('hex')) })),
  );

  return {
    url,
    kubeconfig,
    calls,
    delayEachCall(newDelayMs) {
      delayMs = newDelayMs;
    },
    injectFault(fault) {
      const hits: KubernetesCall[] = [];
      let announce: (call: KubernetesCall) => void = () => {};
      const first = new Promise<KubernetesCall>((resolve) => {
        announce = resolve;
      });
      const entry = {
        fault,
        left: fault.times ?? Number.POSITIVE_INFINITY,
        hit(call: KubernetesCall) {
          hits.push(call);
          announce(call);
        },
      };
      faults = [entry, ...faults];
      return {
        hits,
        firstHit: () => first,
        remove() {
          faults = faults.filter((other) => other !== entry);
        },
      };
    },
    refuseConnections: stopListening,
    async acceptConnections() {
      await listen(port);
    },
    reset() {
      calls.length = 0;
      faults = [];
      delayMs = 0;
    },
    async close() {
      if (server.listening) await stopListening();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A kubeconfig as an object; JSON is YAML, so `JSON.stringify` of it is a kubeconfig file. */
export function kubeconfigOf(cluster: { server: string; token?: string; certificateAuthority?: string }): object {
  const { server, token, certificateAuthority } = cluster;
  // Without TLS there is nothing to verify, but client-node wants it said.
  const authority =
    certificateAuthority === undefined
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': Buffer.from(certificateAuthority).toString('base64') };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'proxy', cluster: { server, ...authority } }],
    users: [{ name: 'proxy', user: token === undefined ? {} : { token } }],
    contexts: [{ name: 'proxy', context: { cluster: 'proxy', user: 'proxy' } }],
    'current-context': 'proxy',
  };
}

/**
 * The length of the longest chain of calls of which each began after the one before had ended: what a caller has to wait
 * for, in round trips. Calls that are still running are left out: nothing can have waited for them.
 */
export function roundTripsInARow(calls: readonly KubernetesCall[]): number {
  const ended = calls
    .filter((call): call is KubernetesCall & { endedAt: number } => call.endedAt !== undefined)
    .sort((one, other) => one.startedAt - other.startedAt);
  const chains: number[] = [];
  for (const [index, call] of ended.entries()) {
    const before = ended
      .slice(0, index)
      .map((earlier, at) => (earlier.endedAt <= call.startedAt ? (chains[at] ?? 0) : 0));
    chains.push(1 + Math.max(0, ...before));
  }
  return Math.max(0, ...chains);
}

/** True of calls that read or write an object of this sandbox: by name, by label selector or in the body. */
export function isAbout(call: KubernetesCall, sandboxId: string): boolean {
  return [call.path, call.query, call.body].some(
    (text) => text.includes(`sandbox-${sandboxId}`) || text.includes(`sandbox-id=${sandboxId}`),
  );
}

/** True of calls to this kind of object. */
export function isFor(call: KubernetesCall, resource: 'pods' | 'services' | 'namespaces'): boolean {
  const [, , , top, , nested] = call.path.split('/');
  return resource === 'namespaces' ? top === 'namespaces' && nested === undefined : nested === resource;
}

/** What tells calls to this kind of object, of this sandbox where one is named. */
export const callTo =
  (method: string, resource: 'pods' | 'services', sandboxId?: string) =>
  (call: KubernetesCall): boolean =>
    call.method === method && isFor(call, resource) && (sandboxId === undefined || isAbout(call, sandboxId));

/** Keeps such calls from the cluster until they are released: the next one, unless told otherwise. */
export function holdCalls(proxy: KubernetesProxy, when: Fault['when'], times = 1) {
  const { promise: hold, resolve: release } = Promise.withResolvers<void>();
  const fault = proxy.injectFault({ when, action: { hold }, times });
  return { hits: fault.hits, reached: () => fault.firstHit(), release };
}

/** The calls that changed something in the cluster. */
export function writesAmong(calls: readonly KubernetesCall[]): KubernetesCall[] {
  return calls.filter(
    ({ method, clusterStatus }) => method !== 'GET' && clusterStatus !== undefined && clusterStatus < 300,
  );
}

// Besides those that belong to one connection: credentials are the proxy's own, and answers are not compressed.
const NOT_FORWARDED = new Set([
  'accept-encoding',
  'authorization',
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'transfer-encoding',
]);

function forwardedHeaders(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_FORWARDED.has(name)));
}

/** What Kubernetes answers to who asks for protobuf: the answer in protobuf, where it is one of Kubernetes' that it writes so. */
function asProtobuf(answer: KubernetesAnswer): KubernetesAnswer {
  if (answer.headers['content-type'] !== 'application/json') return answer;
  const bytes = writeProtobuf(JSON.parse(answer.text));
  return bytes === undefined
    ? answer
    : { ...answer, headers: { ...answer.headers, 'content-type': protobufType }, bytes };
}

async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs <= 0) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  // A caller that has gone away must not leave a write behind that comes into force seconds later.
  if (signal.aborted) throw new Error('the provisioner gave up');
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
}
