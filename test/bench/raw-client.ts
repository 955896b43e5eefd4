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

/** The floor: what a call costs that nothing is done about but to send it over a kept connection and to read the answer. */
export type RawClient = {
  /** Text is sent as JSON; a PATCH as a JSON patch where it is an array, as a merge patch otherwise. Takes any status. */
  send(method: string, path: string, body?: string): Promise<RawAnswer>;
  /** As `send`, but throws for a status from 300 up that is not among the ones named. */
  require(method: string, path: string, body?: string, ...alsoFine: number[]): Promise<RawAnswer>;
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

  async function send(method: string, path: string, body?: string): Promise<RawAnswer> {
    const headers: http.OutgoingHttpHeaders = { ...address.headers, accept: 'application/json' };
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
        return send(method, path, body);
      throw error;
    }
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(answer, 'end');
    return { status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
  }

  return {
    send,
    async require(method, path, body, ...alsoFine) {
      const answer = await send(method, path, body);
      if (answer.status < 300 || alsoFine.includes(answer.status)) return answer;
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`);
    },
    close: () => agent.destroy(),
  };
}

function contentType(method: string, body: string): string {
  if (method !== 'PATCH') return 'application/json';
  return body.startsWith('[') ? 'application/json-patch+json' : 'application/merge-patch+json';
}
