import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

/** Where an API server is and what it takes to be let in, as plain data that can be handed to another process. */
export type RawAddress = Readonly<{
  url: string;
  headers: Record<string, string>;
  tls: Pick<https.AgentOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;
}>;

export type RawAnswer = { status: number; text: string };

/** What the functions ask for where they list. */
const listTypes = 'application/vnd.kubernetes.protobuf, application/json';

/** The floor: what a call costs that nothing is done about but to send it over a kept connection and to read the answer. */
export type RawClient = {
  /** Text is sent as JSON; a PATCH as a JSON patch where it is an array, as a merge patch otherwise. Takes any status. */
  send(method: string, path: string, body?: string): Promise<RawAnswer>;
  /** As `send`, but throws for a status from 300 up that is not among the ones named. */
  require(method: string, path: string, body?: string, ...alsoFine: number[]): Promise<RawAnswer>;
  /** Reads a list, as protobuf where the server writes it, and does nothing with it. Throws as `require` does. */
  readList(path: string): Promise<void>;
  close(): void;
};

/** Opens a client; its connections are made when they are needed, and kept. */
export function openRawClient(address: RawAddress): RawClient {
  const url = new URL(address.url);
  const prefix = url.pathname.replace(/\/$/, '');
  const isTls = url.protocol === 'https:';
  const agent = isTls
    ? new https.Agent({ keepAlive: true, scheduling: 'lifo', ...address.tls })
    : new http.Agent({ keepAlive: true, scheduling: 'lifo' });
  const begin = isTls ? https.request : http.request;

  async function exchange(method: string, path: string, accept: string, body?: string): Promise<[number, Buffer]> {
    const headers: http.OutgoingHttpHeaders = { ...address.headers, accept };
    if (body !== undefined) {
      headers['content-type'] = contentType(method, body);
      headers['content-length'] = Buffer.byteLength(body);
    }
    const request = begin({ agent, host: url.hostname, port: url.port, method, path: prefix + path, headers });
    request.end(body);
    let answer: http.IncomingMessage;
    try {
      [answer] = (await once(request, 'response')) as [http.IncomingMessage];
    } catch (error) {
      // The server may close a connection that was at rest in the moment it is taken again.
      if (request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET')
        return exchange(method, path, accept, body);
      throw error;
    }
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(answer, 'end');
    return [answer.statusCode ?? 0, Buffer.concat(chunks)];
  }

  async function send(method: string, path: string, body?: string): Promise<RawAnswer> {
    const [status, bytes] = await exchange(method, path, 'application/json', body);
    return { status, text: bytes.toString() };
  }

  return {
    send,
    async require(method, path, body, ...alsoFine) {
      const answer = await send(method, path, body);
      if (answer.status < 300 || alsoFine.includes(answer.status)) return answer;
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`);
    },
    async readList(path) {
      const [status, bytes] = await exchange('GET', path, listTypes);
      if (status >= 300) throw new Error(`GET ${path}: ${status} ${bytes.toString().slice(0, 500)}`);
    },
    close: () => agent.destroy(),
  };
}

function contentType(method: string, body: string): string {
  if (method !== 'PATCH') return 'application/json';
  return body.startsWith('[') ? 'application/json-patch+json' : 'application/merge-patch+json';
}
