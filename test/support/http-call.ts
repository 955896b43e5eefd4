import http from 'node:http';

import { checkDescribed } from './description.ts';
import { watchText } from './secrets.ts';

/** An answer over HTTP, whole. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body, undefined where it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert what it is
  readonly body: any;
}

export interface HttpCall {
  readonly method: string;
  readonly url: string;
  /** Sent as it is where it is text, as JSON otherwise. */
  readonly body?: unknown;
  /** A content type is sent only where it stands here. */
  readonly headers?: Record<string, string>;
  /** How long a caller waits; the call throws then. */
  readonly timeoutMs?: number;
}

/** One HTTP call with nothing added: no content type, no retry, no redirect followed. Throws for an answer of ours that is not as described. */
export function callHttp({ method, url, body, headers = {}, timeoutMs = 40_000 }: HttpCall): Promise<HttpAnswer> {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const bytes = Buffer.from(text);
  return new Promise((resolve, reject) => {
    const request = http.request(
      url,
      {
        method,
        agent: false,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-length': bytes.length }) },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const answer = Buffer.concat(chunks).toString('utf8');
          watchText(`the answer to ${method} ${url}`, `${response.rawHeaders.join('\n')}\n${answer}`);
          const whole = {
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: answer,
            body: parseOrUndefined(answer),
          };
          try {
            checkDescribed(method, url, whole);
            resolve(whole);
          } catch (error) {
            reject(error);
          }
        });
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
