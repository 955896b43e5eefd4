import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import type net from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import gateway from '../../lib/gateway/gateway.js';
import { signToken } from '../../lib/model/address.ts';
import { makeCertificate } from '../support/certificate.ts';
import { findFreePorts } from '../support/free-ports.ts';
import { checkConfiguration, type Gateway, hasNginx, startGateway } from '../support/gateway.ts';
import { callHttp } from '../support/http-call.ts';
import { callRaw } from '../support/raw-call.ts';
import { keepSecret } from '../support/secrets.ts';
import { temporaryFolder } from './api-server.ts';

const [key, oldKey] = [keepSecret(randomBytes(32).toString('hex')), keepSecret(randomBytes(32).toString('hex'))];
const keys = JSON.stringify([key, oldKey]);
const namespace = 'agents';
const templates = {
  path: 'https://sandboxes.example/{namespace}/{sandbox_id}/{token}',
  'path with a port': 'https://sandboxes.example/x/{port}/{service}/{token}',
  host: 'https://{sandbox_id}--{token}.sandboxes.example',
  'host with a port': 'https://{sandbox_id}-{port}--{token}.sandboxes.example:8443/in',
};

type Signed = { id: string; port: number; token: string };
const sign = (id: string, port = 8080, expiresAt = 0, by = key, where = namespace): Signed => ({
  id,
  port,
  token: signToken({ namespace: where, sandboxId: id, port }, expiresAt, by),
});

/** The host and the path of an address, as a caller sends them. */
function write(
  template: string,
  { id, port, token }: { id: string; port: number | string; token: string },
  where = namespace,
) {
  const url = template
    .replace('{namespace}', where)
    .replace('{sandbox_id}', id)
    .replace('{service}', `sandbox-${id}-svc`)
    .replace('{port}', String(port))
    .replace('{token}', token);
  const [, host = '', path = ''] = /^https:\/\/([^/]*)(.*)$/s.exec(url) ?? [];
  return { host, path };
}

/** What nginx would be told, of a request that it took. */
function check(template: string, host: string, path: string) {
  vi.stubEnv('SANDBOX_URL_TEMPLATE', template);
  const variables: Record<string, string | undefined> = {
    host: host.replace(/:\d+$/, '').toLowerCase(),
    request_uri: path,
  };
  const verdict = gateway.check({ variables, headersIn: {}, headersOut: {}, status: 0 });
  return { verdict, target: variables.gateway_target, rest: variables.gateway_rest };
}

beforeAll(() => {
  vi.stubEnv('SANDBOX_URL_KEY', keys);
  vi.stubEnv('K8S_NAMESPACE', namespace);
  vi.stubEnv('SANDBOX_CONTAINER_PORT', '8080');
});
afterAll(() => void vi.unstubAllEnvs());

const past = Math.floor(Date.now() / 1000) - 1;
const soon = past + 3600;
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const newId = () => randomBytes(8).toString('hex');

/** Addresses that must open nothing, made of one that is good: what is wrong with them, and the address. */
function forge(template: string): [what: string, address: { host: string; path: string }][] {
  const good = sign(newId());
  const { id, token } = good;
  const at = (changes: object, where?: string) => write(template, { ...good, ...changes }, where);
  const change = (text: string, index: number, to: string) => text.slice(0, index) + to + text.slice(index + 1);
  const whole = at({});
  const inPath = (what: string, path: string): [string, typeof whole][] => [[what, { ...whole, path }]];
  const encode = (text: string) => `%${text.charCodeAt(0).toString(16)}`;
  return [
    ...Array.from(token, (letter, index): [string, typeof whole] => {
      const other = alphabet.replace(letter, '').charAt(Math.floor(Math.random() * 31));
      return ['forged', at({ token: change(token, index, other) })];
    }),
    // Of the last character two bits are none of the token's.
    ...Array.from(alphabet.replace(token.slice(-1), ''), (letter): [string, typeof whole] => [
      'end',
      at({ token: change(token, 33, letter) }),
    ]),
    ...Array.from(token, (_letter, index): [string, typeof whole] => ['cut', at({ token: token.slice(0, index) })]),
    ['longer', at({ token: `${token}a` })],
    ['empty', at({ token: '' })],
    ['twice', at({ token: token + token })],
    ['expired', at(sign(id, 8080, past))],
    ['expired long ago', at(sign(id, 8080, 1))],
    ['of another sandbox', at({ token: sign(newId()).token })],
    ['of another namespace', at({ token: sign(id, 8080, 0, key, 'other').token })],
    ['of another port', at({ token: sign(id, 8081).token })],
    ['of another key', at({ token: sign(id, 8080, 0, 'x'.repeat(64)).token })],
    [
      'of a longer time',
      at({ token: sign(id, 8080, soon + 1).token.slice(0, 8) + sign(id, 8080, soon).token.slice(8) }),
    ],
    ...[
      id.slice(1),
      `${id}0`,
      `${id}-`,
      `-${id}`,
      `${id}.evil.example`,
      `${id}%00`,
      `${id}%2e`,
      `${id}@evil`,
      `${id}:80`,
      `${id}\\`,
      'x'.repeat(52),
      'ü',
      '..',
      '',
    ].map((other): [string, typeof whole] => [`the id ${other}`, at({ id: other })]),
    ...(template.includes('{port}')
      ? ['', '0', '08080', '+8080', '8081', '73616', '8080.0', '0x1f90', '8e3', '%38080'].map(
          (port): [string, typeof whole] => [`the port ${port}`, at({ port })],
        )
      : []),
    ...(template.includes('{namespace}')
      ? ['other', 'AGENTS', '..', '.', 'agents%2f..%2fagents', 'kube-system', ''].map(
          (where): [string, typeof whole] => [where, at({}, where)],
        )
      : []),
    ...(whole.path.includes(token)
      ? [
          ...inPath('capitals', whole.path.replace(token, token.toUpperCase())),
          ...inPath('encoded', whole.path.replace(token, encode(token) + token.slice(1))),
          ...inPath('encoded twice', whole.path.replace(token, `%25${encode(token).slice(1)}${token.slice(1)}`)),
          ...inPath('slash', whole.path.replace(`/${token}`, `%2f${token}`)),
          ...inPath('two slashes', `/${whole.path}`),
          ...inPath('up', `/a/..${whole.path}`),
          ...inPath('up, encoded', `/a/%2e%2e${whole.path}`),
          ...inPath('up, encoded twice', `/a/%252e%252e${whole.path}`),
          ...inPath('here', `/.${whole.path}`),
          ...inPath('a header', `${whole.path}%0d%0aHost:evil`),
          ...inPath('a parameter', `${whole.path};x`),
          ...inPath('in the query', `/?${whole.path}`),
          ...inPath('nothing', '/'),
        ]
      : ([
          ['another host', { ...whole, host: `${whole.host}.evil.example` }],
          ['a host before it', { ...whole, host: `evil.${whole.host}` }],
          ['the bare host', { ...whole, host: 'sandboxes.example' }],
          ['another domain', { ...whole, host: whole.host.replace('sandboxes.', 'sandboxesX') }],
        ] as [string, typeof whole][])),
  ];
}

describe.each(Object.entries(templates))('the judge of addresses, in the form of a %s', (_form, template) => {
  const isPorted = template.includes('{port}');
  it.each([
    ['by the new key', sign('3f2a9c11')],
    ['by the old key', sign('3f2a9c11', 8080, 0, oldKey)],
    ['until soon', sign('3f2a9c11', 8080, soon)],
    ['of an id with hyphens', sign('a--b-c')],
    ...(isPorted ? [['of another port', sign('3f2a9c11', 3000)] as const] : []),
  ] as [string, Signed][])('lets through what is signed: %s', (_what, signed) => {
    const { host, path } = write(template, signed);
    const target = `sandbox-${signed.id}-svc.${namespace}.svc.cluster.local:${signed.port}`;
    for (const [tail, rest] of [
      ['', '/'],
      ['/', '/'],
      ['/a/%2f..?x=/../%00', '/a/%2f..?x=/../%00'],
      ['?x=1', '/?x=1'],
    ]) {
      expect(check(template, host, `${path}${tail}`)).toEqual({ verdict: 'good', target, rest });
    }
  });

  // Whoever knows that there is no key could sign with it.
  it.each(['', ' ', 'short', '["","short"]'])('takes no key that could be guessed: %j', (given) => {
    vi.stubEnv('SANDBOX_URL_KEY', given);
    for (const guess of ['', 'short']) {
      const { host, path } = write(template, sign('3f2a9c11', 8080, 0, guess));
      expect(check(template, host, path)).toMatchObject({ verdict: '403' });
    }
    vi.stubEnv('SANDBOX_URL_KEY', keys);
  });

  it('lets none of 25,000 others through, of whatever is wrong with them', () => {
    const kinds = new Set<string>();
    for (let count = 0; count < 25_000; ) {
      for (const [what, { host, path }] of forge(template)) {
        const { verdict, target } = check(template, host, path);
        if (!/^40[134]$/.test(verdict) || target !== undefined)
          throw new Error(`let through, ${what}: ${host} ${path}`);
        kinds.add(verdict);
        count += 1;
      }
    }
    expect([...kinds].toSorted()).toEqual(['401', '403', '404']);
  });
});

const why = hasNginx ? '' : ', for want of nginx and its JavaScript module (libnginx-mod-http-js)';

describe.runIf(hasNginx)(`the gateway in nginx${why}`, () => {
  let form: Gateway;
  let hosts: Gateway;
  let sandbox: http.Server;
  let port: number;
  const seen: http.IncomingMessage[] = [];
  /** Has the sandbox send the next of its events. */
  let sendEvent: () => void;
  const settings = () => ({ K8S_NAMESPACE: namespace, SANDBOX_URL_KEY: keys, SANDBOX_CONTAINER_PORT: String(port) });

  beforeAll(async () => {
    const [free = 0] = await findFreePorts(1);
    port = free;
    sandbox = http.createServer(answerAsSandbox).on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      socket.pipe(socket).on('error', () => {});
    });
    await new Promise<void>((listening) => void sandbox.listen({ port, host: '127.0.0.1', backlog: 2_000 }, listening));
    const resolve = (name: string) =>
      name.startsWith('sandbox-gone') ? undefined : name.startsWith('sandbox-down') ? '127.0.0.2' : '127.0.0.1';
    form = await startGateway({ ...settings(), SANDBOX_URL_TEMPLATE: templates.path }, resolve);
    hosts = await startGateway({ ...settings(), SANDBOX_URL_TEMPLATE: templates.host }, resolve);
  });
  afterAll(async () => {
    await form.stop();
    await hosts.stop();
    sandbox.closeAllConnections();
    sandbox.close();
  });

  function answerAsSandbox(request: http.IncomingMessage, response: http.ServerResponse): void {
    seen.push(request);
    const { pathname } = new URL(request.url ?? '', 'http://s');
    if (pathname === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let count = 0;
      sendEvent = () => {
        if (count === 5) response.end();
        else response.write(`data: ${count++}\n\n`);
      };
      sendEvent();
    } else if (pathname === '/upload') {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => response.end(String(bytes)));
    } else {
      const said = `${request.method} ${request.url}`;
      response.writeHead(pathname === '/redirect' ? 302 : pathname === '/missing' ? 404 : 200, {
        ...(pathname === '/redirect' && { location: '/there' }),
        'set-cookie': ['a=1; Domain=sandboxes.example; Path=/', 'b=2'],
        'content-length': said.length,
        'x-accel-redirect': '/elsewhere',
        'x-accel-buffering': 'yes',
      });
      response.end(said);
    }
  }

  const of = (id: string) => write(templates.path, sign(id, port)).path;
  const get = (path: string, headers: Record<string, string> = {}) =>
    callHttp({ method: 'GET', url: `${form.url}${path}`, headers });

  it.each([
    ['', '/'],
    ['/v1/sandbox', '/v1/sandbox'],
    ['/a%2fb/../%2e?x=%2f&y', '/a%2fb/../%2e?x=%2f&y'],
  ])('hands the path on as it came: %s', async (path, arrives) => {
    const { status, text } = await callRaw(form.url, `GET ${of('up')}${path}`);
    expect([status, text]).toEqual([200, `GET ${arrives}`]);
  });

  it('has of headers what is for the sandbox, and of the answer what is for the caller', async () => {
    const headers = {
      cookie: 'sso=1',
      'x-api-key': 'k',
      te: 'trailers',
      'keep-alive': '1',
      authorization: 'Bearer x',
      'proxy-authorization': 'x',
    };
    const byPath = await get(`${of('up')}/x`, headers);
    expect(byPath).toMatchObject({ status: 200, text: 'GET /x' });
    const { host } = write(templates.host, sign('up', port));
    const byHost = await callHttp({ method: 'GET', url: `${hosts.url}/x`, headers: { ...headers, host } });
    const [first, second] = seen.slice(-2).map(({ headers }) => headers);
    const wire = {
      connection: 'close',
      authorization: 'Bearer x',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
    };
    const { host: own } = new URL(form.url);
    expect(first).toEqual({ ...wire, host: own, 'x-forwarded-host': own });
    expect(second).toEqual({ ...wire, host, 'x-forwarded-host': host, cookie: 'sso=1' });
    // Of a host that all sandboxes share, none sets cookies; of its own, each for itself alone.
    expect(byPath.headers['set-cookie']).toBeUndefined();
    expect(byHost.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2']);
    expect(byHost.headers).toMatchObject({ 'referrer-policy': 'same-origin' });
    expect((await get(`${of('up')}/redirect`)).headers.location).toBe(`${of('up')}/there`);
  });

  const detail = {
    401: 'This address has no token, or one that has expired: ask for a new address',
    403: 'The token of this address is not one for it',
    404: 'There is no sandbox at this address, or it is gone',
    502: 'The sandbox does not answer yet: try again in a moment',
  };
  it.each<[keyof typeof detail, string, () => string]>([
    [401, 'no token', () => `/${namespace}/up/x`],
    [401, 'an old token', () => write(templates.path, sign('up', port, past)).path],
    [403, "another's token", () => write(templates.path, { ...sign('other', port), id: 'up' }).path],
    [404, 'another address', () => '/favicon.ico'],
    [404, 'a sandbox that is gone', () => of('gone')],
    [502, 'a sandbox that does not listen', () => of('down')],
  ])('answers %d for %s, in JSON and as a page', async (status, _what, address) => {
    const answer = await get(address());
    expect(answer).toMatchObject({
      status,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: { detail: detail[status] },
    });
    expect([answer.headers['www-authenticate'], answer.headers['retry-after']]).toEqual([
      status === 401 ? 'SignedAddress' : undefined,
      status === 502 ? '1' : undefined,
    ]);
    const page = await get(address(), { accept: 'text/html,*/*' });
    expect(page).toMatchObject({
      status,
      headers: { 'content-type': 'text/html; charset=utf-8' },
      text: expect.stringContaining(`<p>${detail[status]}.</p>`),
    });
  });

  it("hands on a sandbox's own refusal as it is", async () => {
    expect(await get(`${of('up')}/missing`)).toMatchObject({ status: 404, text: 'GET /missing' });
  });

  it('lets no forged address through, answers each, and asks for no name but those of sandboxes', async () => {
    const before = seen.length;
    for (const [at, template] of [
      [form, templates.path],
      [hosts, templates.host],
    ] as const) {
      const forged = Array.from({ length: 6 }, () => forge(template))
        .flat()
        .filter(([what]) => what !== 'of another port');
      for (let index = 0; index < forged.length; index += 50) {
        const some = forged.slice(index, index + 50);
        const answers = await Promise.all(
          some.map(([, { host, path }]) => callRaw(at.url, `GET ${path || '/'}`, [`Host: ${host || 'x'}`])),
        );
        for (const [place, { status }] of answers.entries())
          expect([400, 401, 403, 404], some[place]?.join()).toContain(status);
      }
      const { path } = write(template, sign('up', port));
      const injected = ['Host: evil.example\r\nHost: other', `Host: evil\r\nX-Forwarded-Host: evil`];
      for (const header of injected) expect((await callRaw(at.url, 'GET /', [header])).status).toBeLessThan(500);
      for (const target of ['http://evil.example/', `http://127.0.0.1:${port}${path}x`, '*']) {
        expect((await callRaw(at.url, `GET ${target}`)).status).toBeLessThan(500);
      }
    }
    expect(seen.length).toBe(before);
    expect(
      [...form.asked, ...hosts.asked].filter(
        (name) => !/^sandbox-[a-z0-9-]+-svc\.agents\.svc\.cluster\.local$/.test(name),
      ),
    ).toEqual([]);
  });

  it('answers a thousand requests side by side', async () => {
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => get(`${of(`up-${index % 100}`)}/${index}`)),
    );
    const failed = answers.filter(({ status, text }, index) => status !== 200 || text !== `GET /${index}`);
    expect(failed.map(({ status, text }) => `${status} ${text}`)).toEqual([]);
  });

  it('keeps a WebSocket open, with traffic and without', async () => {
    const open = async () => {
      const request = http.get(`${form.url}${of('up')}/socket`, {
        headers: { connection: 'upgrade', upgrade: 'websocket' },
      });
      return new Promise<net.Socket>((resolve, reject) => {
        request.on('upgrade', (_response, socket) => resolve(socket as net.Socket)).on('error', reject);
      });
    };
    const [busy, idle] = await Promise.all([open(), open()]);
    const echo = (socket: net.Socket, text: string) =>
      new Promise((resolve) => {
        socket.once('data', (data: Buffer) => resolve(data.toString()));
        socket.write(text);
      });
    // By hand, for ten minutes: GATEWAY_SOCKET_SECONDS=600.
    const seconds = Number(process.env.GATEWAY_SOCKET_SECONDS ?? 2);
    for (let count = 0; count < seconds * 2; count += 1) {
      expect(await echo(busy, `message ${count}`)).toBe(`message ${count}`);
      await wait(500);
    }
    expect(await echo(idle, 'after a while')).toBe('after a while');
    busy.destroy();
    idle.destroy();
  }, 660_000);

  it('hands events on line by line', async () => {
    const arrivals: string[] = [];
    const request = http.get(`${form.url}${of('up')}/events`);
    const [response] = (await new Promise((resolve) => request.on('response', (...args) => resolve(args)))) as [
      http.IncomingMessage,
    ];
    for await (const chunk of response) {
      arrivals.push(String(chunk));
      // The next one comes when this one has arrived: what kept it back would keep all.
      sendEvent();
    }
    expect(arrivals).toEqual([0, 1, 2, 3, 4].map((count) => `data: ${count}\n\n`));
  });

  it('hands a large upload on as it comes, with flat memory', async () => {
    // By hand, of 1 GB: GATEWAY_UPLOAD_MB=1024.
    const megabytes = Number(process.env.GATEWAY_UPLOAD_MB ?? 64);
    const before = await form.memoryKb();
    const request = http.request(`${form.url}${of('up')}/upload`, { method: 'POST' });
    const answered = new Promise<string>((resolve, reject) => {
      request.on('error', reject).on('response', async (response) => {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve(text);
      });
    });
    const chunk = Buffer.alloc(1 << 20, 'x');
    let most = before;
    for (let count = 0; count < megabytes; count += 1) {
      if (!request.write(chunk)) await new Promise((resolve) => request.once('drain', resolve));
      if (count % 16 === 0) most = Math.max(most, await form.memoryKb());
    }
    request.end();
    expect(await answered).toBe(String(megabytes << 20));
    expect(most - before).toBeLessThan(8 * 1024);
  }, 120_000);

  it('logs what became of a request, and neither its token nor its query', async () => {
    const { token } = sign('up', port);
    await get(`${of('up')}/logged?q=secret`);
    await callHttp({
      method: 'GET',
      url: `${hosts.url}/logged`,
      headers: { host: write(templates.host, sign('up', port)).host },
    });
    await get(of('down'));
    await get(of('gone'));
    for (const at of [form, hosts]) {
      const { text, entries } = await at.readLog();
      expect(entries).toContainEqual(
        expect.objectContaining({
          method: 'GET',
          to: `sandbox-up-svc.agents.svc.cluster.local:${port}`,
          path: '/logged',
          status: 200,
          upstream: `127.0.0.1:${port}`,
        }),
      );
      for (const secret of [token, 'q=secret', token.slice(8, 20), sign('down', port).token, sign('gone', port).token])
        expect(text).not.toContain(secret);
    }
  });

  it('speaks HTTPS by a certificate, if it is given one', async () => {
    const folder = await temporaryFolder();
    const { certificate, key: own } = makeCertificate('sandboxes.example');
    await writeFile(join(folder, 'tls.crt'), certificate);
    await writeFile(join(folder, 'tls.key'), own);
    expect(await checkConfiguration(folder)).toBe('');
  });
});
