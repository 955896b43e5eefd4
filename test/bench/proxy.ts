import { once } from 'node:events';
import net from 'node:net';
import { answerQuestions, startHelper } from './helper-process.ts';

/**
 * A TCP proxy that adds a delay to each round trip, in a process of its own so that it takes no time from what is measured. It
 * terminates no TLS: what is in the connections is the API server's business. A connection costs one round trip to open, as
 * over a network, so its first bytes wait twice.
 */
export type DelayingProxy = {
  readonly port: number;
  /** How many connections have been made through it. */
  connections(): Promise<number>;
  close(): Promise<void>;
};

type Question = { target: { host: string; port: number }; delayMs: number } | 'connections';

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startProxy(target: { host: string; port: number }, delayMs: number): Promise<DelayingProxy> {
  const helper = startHelper(import.meta.url);
  const { port } = await helper.ask<{ port: number }>({ target, delayMs } satisfies Question);
  return { port, connections: () => helper.ask('connections' satisfies Question), close: () => helper.end() };
}

let connections = 0;

function serve(target: { host: string; port: number }, delayMs: number): net.Server {
  return net.createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    connections += 1;
    const server = net.connect({ ...target, noDelay: true, allowHalfOpen: true });
    // Bytes must not overtake each other, whichever timer is the first: each sends what has waited longest.
    const waiting: (() => void)[] = [];
    const later = (act: () => void) => {
      if (delayMs === 0) return act();
      setTimeout(() => waiting.shift()?.(), server.bytesWritten > 0 ? delayMs : 2 * delayMs);
      waiting.push(act);
    };
    client.on('data', (chunk) => later(() => server.writable && server.write(chunk)));
    client.on('end', () => later(() => server.end()));
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
  answerQuestions(async (question: Question) => {
    if (question === 'connections') return connections;
    const proxy = serve(question.target, question.delayMs).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    return { port: (proxy.address() as net.AddressInfo).port };
  });
}
