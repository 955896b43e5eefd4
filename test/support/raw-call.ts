import net from 'node:net';

import type { HttpAnswer } from './http-call.ts';
import { watchText } from './secrets.ts';

/**
 * One HTTP call byte by byte, for what no client sends: a path as it stands, odd bytes in headers (each character is one
 * byte), any method. The answer's headers as they came, in lower case, those of one name joined.
 */
export async function callRaw(
  url: string,
  requestLine: string,
  headers: readonly string[] = [],
  body = '',
): Promise<HttpAnswer> {
  const { hostname, port, host } = new URL(url);
  const hasHost = headers.some((line) => /^host:/i.test(line));
  const lines = [`${requestLine} HTTP/1.1`, ...(hasHost ? [] : [`Host: ${host}`]), 'Connection: close', ...headers];
  if (body !== '') lines.push(`Content-Length: ${Buffer.byteLength(body, 'latin1')}`);
  const socket = net.connect(Number(port), hostname);
  socket.setTimeout(20_000, () => socket.destroy(new Error('no answer in time')));
  socket.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1'));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  watchText(`the answer to ${requestLine}`, text);
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...fields] = head.split('\r\n');
  const joined: Record<string, string> = {};
  for (const field of fields) {
    const [name = '', ...value] = field.split(':');
    const key = name.toLowerCase();
    joined[key] = [...(joined[key] === undefined ? [] : [joined[key]]), value.join(':').trim()].join(', ');
  }
  const content = rest.join('\r\n\r\n');
  return {
    status: Number(statusLine.split(' ')[1] ?? 0),
    headers: joined,
    text: content,
    body: parseOrUndefined(content),
  };
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
