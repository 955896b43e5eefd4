import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

/** Where an API server is and what it takes to be let in, as plain data that can be handed to another process. */
export type RawAddress = Readonly<{
  url: string;
  headers: Record<string, string>;
  tls: Pick<https.AgentOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;
}>;

type Answer = { status: number; bytes: Buffer };

/** The floor: what a call costs that nothing is done about but to send it over a kept connection and to read the answer. */
export type RawClient = {
  /**
   * Text is sent as JSON; a PATCH as a JSON patch where it is an array, as a merge patch otherwise. Throws for a status from 300 up
   * that is not among the ones named.
   */
  send(method: string, path: string, body?: string, ...alsoFine: number[]): Promise<Answer & { text: string }>;
  /** Reads a list as the functions ask for it, as protobuf where the server writes it, and does nothing with it. */
  readList(path: string): Promise<void>;
  close(): void;
};

/** Opens a client; its connections are made when they are needed, and kept. */
export function openRawClient(address: RawAddress): RawClient {
  const url = new URL(address.url);
  const prefix = url.pathname.replace(/\/$/, '');
  const { Agent, request: begin } = url.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, scheduling: 'lifo', ...address.tls });

  async function exchange(method: string, path: string, accept: string, body?: string): Promise<Answer> {
    const headers: http.OutgoingHttpHeaders = { ...address.headers, accept };
    if (body !== undefined) {
      const patch = body.startsWith('[') ? 'json-patch+json' : 'merge-patch+json';
      headers['content-type'] = `application/${method === 'PATCH' ? patch : 'json'}`;
      headers['content-length'] = Buffer.byteLength(body);
    }
    const request = begin({ agent, host: url.hostname, port: url.port, method, path: prefix + path, headers });
    request.end(body);
    try {
      const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
      return { status: answer.statusCode ?? 0, bytes: Buffer.concat(await answer.toArray()) };
    } catch (error) {
      // The server may close a connection that was at rest in the moment it is taken again.
      if (!request.reusedSocket || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
      return exchange(method, path, accept, body);
    }
  }

  async function expectFine(method: string, path: string, accept: string, body?: string, ...alsoFine: number[]) {
    const answer = await exchange(method, path, accept, body);
    if (answer.status < 300 || alsoFine.includes(answer.status)) return answer;
    throw new Error(`${method} ${path}: ${answer.status} ${answer.bytes.toString().slice(0, 500)}`);
  }

  return {
    async send(method, path, body, ...alsoFine) {
      const answer = await expectFine(method, path, 'application/json', body, ...alsoFine);
      return { ...answer, text: answer.bytes.toString() };
    },
    async readList(path) {
      await expectFine('GET', path, 'application/vnd.kubernetes.protobuf, application/json');
    },
    close: () => agent.destroy(),
  };
}
