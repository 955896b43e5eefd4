import { once } from 'node:events';
import net from 'node:net';
import { answerQuestions, startHelper } from './helper-process.ts';

/** What has gone through the proxy since it was started; bytes are those on the wire, of TLS where there is TLS. */
export type Traffic = { connections: number; bytesSent: number; bytesReceived: number };

/**
 * A TCP proxy that adds a delay to each round trip, in a process of its own so that it takes no time from what is measured. It
 * terminates no TLS: what is in the connections is the API server's business. A connection costs one round trip to open, as
 * over a network, so its first bytes wait twice.
 */
export type DelayingProxy = {
  readonly port: number;
  traffic(): Promise<Traffic>;
  close(): Promise<void>;
};

type Question = { target: { host: string; port: number }; delayMs: number } | 'traffic';

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startProxy(target: { host: string; port: number }, delayMs: number): Promise<DelayingProxy> {
  const helper = startHelper(import.meta.url);
  const { port } = await helper.ask<{ port: number }>({ target, delayMs } satisfies Question);
  return { port, traffic: () => helper.ask<Traffic>('traffic' satisfies Question), close: () => helper.end() };
}

function serve(target: { host: string; port: number }, delayMs: number, traffic: Traffic): net.Server {
  return net.createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    traffic.connections += 1;
    const server = net.connect({ ...target, noDelay: true, allowHalfOpen: true });
    // Bytes must not overtake each other, whichever timer is the first: each sends what has waited longest.
    const waiting: (() => void)[] = [];
    const later = (act: () => void) => {
      if (delayMs === 0) return act();
      setTimeout(() => waiting.shift()?.(), server.bytesWritten > 0 ? delayMs : 2 * delayMs);
      waiting.push(act);
    };
    client.on('data', (chunk) => {
      later(() => server.writable && server.write(chunk));
      traffic.bytesSent += chunk.length;
    });
    client.on('end', () => later(() => server.end()));
    server.on('data', (chunk) => {
      traffic.bytesReceived += chunk.length;
    });
    server.pipe(client);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
}

if (import.meta.main) {
  const traffic: Traffic = { connections: 0, bytesSent: 0, bytesReceived: 0 };
  answerQuestions(async (question: Question) => {
    if (question === 'traffic') return traffic;
    const proxy = serve(question.target, question.delayMs, traffic).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    return { port: (proxy.address() as net.AddressInfo).port };
  });
}
