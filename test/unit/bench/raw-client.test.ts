import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { callBare } from '../../bench/floor.ts';
import { type DelayingProxy, startProxy } from '../../bench/proxy.ts';
import { openRawClient, type RawClient } from '../../bench/raw-client.ts';

type Seen = { method: string; url: string; type: string | undefined; body: string };

let seen: Seen[];
let answer: { status: number; text: string };
let server: http.Server;
let proxy: DelayingProxy;
let client: RawClient;
let connections: number;

beforeEach(async () => {
  seen = [];
  connections = 0;
  answer = { status: 200, text: '{"metadata":{"uid":"the-uid"}}' };
  server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, type: headers['content-type'], body: Buffer.concat(chunks).toString() });
    response.writeHead(answer.status).end(answer.text);
  });
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await startProxy({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, 5);
  client = openRawClient({ url: `http://127.0.0.1:${proxy.port}/prefix`, headers: { 'x-api-key': 'k' }, tls: {} });
});

afterEach(async () => {
  client.close();
  await proxy.close();
  server.closeAllConnections();
  server.close();
});

const bodies = { service: '{"s":1}', pod: '{"uid":"00000000-0000-0000-0000-000000000000"}', use: '[]' };

describe('the bare calls', () => {
  it('keep their connections, and the proxy passes on what is sent, large or small, in order', async () => {
    answer.text = 'x'.repeat(3_000_000);
    const body = JSON.stringify({ of: 'y'.repeat(2_000_000) });
    for (let call = 0; call < 3; call += 1) {
      expect((await client.send('POST', '/a', body)).text).toBe(answer.text);
    }
    expect(seen.map((call) => call.body === body)).toEqual([true, true, true]);
    expect(seen[0]).toMatchObject({ method: 'POST', url: '/prefix/a', type: 'application/json' });
    expect(connections).toBe(1);
    expect(await proxy.connections()).toBe(1);
  });

  it('of a create: a Service beside a look for the Pod, then the Pod that the Service owns', async () => {
    await callBare(client, 'create', 'n', 'a1', bodies);
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(
      expect.arrayContaining([
        'POST /prefix/api/v1/namespaces/n/services',
        'GET /prefix/api/v1/namespaces/n/pods/sandbox-a1',
      ]),
    );
    expect(seen[2]).toMatchObject({
      method: 'POST',
      url: '/prefix/api/v1/namespaces/n/pods',
      body: '{"uid":"the-uid"}',
    });
    expect(seen.length).toBe(3);
  });

  it('of a renewal are a JSON patch and a look', async () => {
    await callBare(client, 'renew', 'n', 'a1', bodies);
    expect(seen.map(({ method, type }) => [method, type])).toEqual(
      expect.arrayContaining([
        ['PATCH', 'application/json-patch+json'],
        ['GET', undefined],
      ]),
    );
  });

  it('fail when Kubernetes says no: a floor must not be low because nothing was done', async () => {
    answer = { status: 403, text: 'no' };
    await expect(callBare(client, 'get', 'n', 'a1', bodies)).rejects.toThrow('403 no');
  });
});
