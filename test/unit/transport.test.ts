import { describe, expect, it, onTestFinished } from 'vitest';
import { KubernetesError } from '../../lib/errors.ts';
import type { Kubernetes } from '../../lib/kubernetes/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import { startRelay } from '../support/relay.ts';
import { type ApiServer, answerJson, answerNotFound, answerStatus, startApiServer } from './api-server.ts';
import { base64, during, made, never, open, read, thrownBy } from './opened.ts';
import { answerOf, field, listOf } from './protobuf-answers.ts';

type Answer = typeof answerNotFound;

/** An API server that answers so, and a client of it. */
async function start(answer?: Answer) {
  const api = await startApiServer(answer);
  return { api, kubernetes: await open({ server: api.url }) };
}

async function errorOf(call: Promise<unknown>): Promise<KubernetesError> {
  const error = await thrownBy(call);
  expect(error).toBeInstanceOf(KubernetesError);
  return error as KubernetesError;
}

/** Answers with a body of this type, or only begins it. */
const say = (response: Parameters<Answer>[1], code: number, type: string, body: string | Buffer = '') => {
  response.writeHead(code, { 'content-type': type });
  response.end(body);
};
const begin = (response: Parameters<Answer>[1], body: string, then?: () => void) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write(body, then);
};
/** The last parts of the paths that were asked for. */
const asked = (api: ApiServer) => api.requests.map(({ url }) => url.split('/').at(-1));
const readAll = (kubernetes: Kubernetes, ...names: string[]) =>
  Promise.all(names.map((name) => read(kubernetes, name)));
const isList = ({ url }: { url: string }) => url.includes('?');

const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'sandbox-a-svc' } };
const noPods = { kind: 'PodList', metadata: {}, items: [] };

describe('the connection to Kubernetes', () => {
  // The client's own way opens one for every call, with a TLS handshake each.
  it.each(['http', 'https'] as const)('is one for 20 calls in a row over %s', async (scheme) => {
    const identity = scheme === 'https' ? makeCertificate('kube.example') : undefined;
    const api = await startApiServer(undefined, identity);
    const trust = identity && { 'certificate-authority-data': base64(identity.certificate) };
    const kubernetes = await open({ server: api.url, cluster: { ...trust, 'tls-server-name': 'kube.example' } });
    for (let call = 0; call < 20; call += 1) await expect(read(kubernetes)).resolves.toBeUndefined();
    expect([api.requests.length, api.connections()]).toEqual([20, 1]);
  });

  it('is replaced without an error where the server has closed it meanwhile', async () => {
    const { api, kubernetes } = await start();
    for (let call = 0; call < 3; call += 1) {
      await expect(read(kubernetes)).resolves.toBeUndefined();
      api.cutConnections();
    }
    expect(api.connections()).toBe(3);
  });

  it('is replaced without an error where the server closes it in the moment of its next use', async () => {
    const { api, kubernetes } = await start((request, response) => {
      // Only the request on the old connection is cut off.
      if (request.url.endsWith('/late') && api.connections() === 1) response.destroy();
      else answerNotFound(request, response);
    });
    await read(kubernetes, 'first');
    await expect(read(kubernetes, 'late')).resolves.toBeUndefined();
    expect([api.connections(), asked(api)]).toEqual([2, ['first', 'late', 'late']]);
  });

  it.each<[string, number, (kubernetes: Kubernetes) => Promise<unknown>, number, unknown]>([
    ['cut every time is an error, in the end', 9, read, 4, 'Kubernetes is unreachable (ECONNRESET)'],
    ['cut once is not noticed', 1, read, 2, undefined],
    // The caller looks first whether it was made.
    [
      'cut is not tried again for a creation',
      9,
      (client) => client.createService(service, never),
      1,
      expect.any(String),
    ],
  ])('that was new and is %s', async (_what, cuts, call, requests, reason) => {
    const { api, kubernetes } = await start((request, response) => {
      if (api.requests.length <= cuts) response.destroy();
      else answerNotFound(request, response);
    });
    if (reason === undefined) await expect(call(kubernetes)).resolves.toBeUndefined();
    else expect(await errorOf(call(kubernetes))).toMatchObject({ kind: 'unavailable', reason });
    expect(api.requests).toHaveLength(requests);
  });

  it('that is refused is an error', async () => {
    // Nothing listens on port 1.
    const kubernetes = await open({ server: 'http://127.0.0.1:1' });
    const reason = 'Kubernetes is unreachable (ECONNREFUSED)';
    const error = { kind: 'unavailable', reason, headers: { 'retry-after': '1' } };
    expect(await errorOf(kubernetes.listPods(never))).toMatchObject(error);
  });
});

describe('a kept connection that was forgotten by what is in between', () => {
  async function startForgetting(answer?: Answer) {
    const api = await startApiServer(answer);
    const relay = await during(startRelay(api.port));
    const kubernetes = await open({ server: `http://127.0.0.1:${relay.port}` });
    await readAll(kubernetes, 'a', 'b', 'c', 'd');
    relay.forget();
    return { api, relay, kubernetes };
  }
  const secondsOf = async (work: Promise<unknown>) => {
    const start = performance.now();
    await work;
    return (performance.now() - start) / 1000;
  };

  // A get answered 504 after its 8 s, and a create would have used up its 25.
  it('is given up, and the call is made on a new one; the others that are as old cost nobody any time', async () => {
    const { api, relay, kubernetes } = await startForgetting();
    expect(await secondsOf(read(kubernetes, 'e', AbortSignal.timeout(8_000)))).toBeLessThan(6);
    expect([asked(api), relay.connections()]).toEqual([['a', 'b', 'c', 'd', 'e'], 5]);
    expect(await secondsOf(readAll(kubernetes, 'f', 'g', 'h'))).toBeLessThan(1.5);
  });

  it('is given up for a list and for what is written as well', async () => {
    const { kubernetes, api } = await startForgetting((request, response) => {
      if (request.method === 'POST') answerJson(response, service, 201);
      else if (isList(request)) answerJson(response, noPods);
      else answerNotFound(request, response);
    });
    const signal = AbortSignal.timeout(8_000);
    const calls = [kubernetes.createService(service, signal), kubernetes.listPods(signal)];
    expect(await Promise.all<unknown>(calls)).toMatchObject([service, []]);
    expect(api.requests).toHaveLength(6);
  });

  it('is not waited for again by the next call, where the first one had less time than that', async () => {
    const { kubernetes } = await startForgetting();
    await errorOf(read(kubernetes, 'e', AbortSignal.timeout(200)));
    expect(await secondsOf(read(kubernetes, 'f'))).toBeLessThan(1.5);
  });

  it('is not what a server has that takes its time: its call is not made twice', async () => {
    const { api, kubernetes } = await start((request, response) => {
      const isLong = request.url.endsWith('/long');
      const isLate = isLong || request.url.endsWith('/new') || isList(request);
      const notFound = { kind: 'Status', reason: 'NotFound', details: { kind: 'services' }, code: 404 };
      response.writeHead(isList(request) ? 200 : 404, { 'content-type': 'application/json' });
      if (isLong) response.write(' ');
      setTimeout(() => response.end(JSON.stringify(isList(request) ? noPods : notFound)), isLate ? 3_000 : 0);
    });
    await readAll(kubernetes, 'a', 'b');
    // A list that is long in coming, and an answer that has begun, on kept connections; whatever it is on a new one.
    const onKept = [kubernetes.listPods(never), read(kubernetes, 'long')];
    await made(api, 4);
    await Promise.all([...onKept, read(kubernetes, 'new')]);
    expect(api.requests).toHaveLength(5);
  });
});

it('an API server that is slow to answer is asked twice once at most, not at each call', async () => {
  let isSlow = false;
  const { api, kubernetes } = await start((request, response) => {
    setTimeout(() => answerNotFound(request, response), isSlow ? 2_300 : 0);
  });
  await readAll(kubernetes, 'a', 'b', 'c');
  isSlow = true;
  await read(kubernetes, 'd');
  await readAll(kubernetes, 'e', 'f');
  expect(asked(api).toSorted().join('')).toBe('abcddef');
});

describe('a call', () => {
  it.each<[string, Answer]>([
    ['before the answer', () => {}],
    ['in the middle of it', (_request, response) => begin(response, '{"kind":"Service",')],
  ])('ends when its signal does, %s', async (_when, answer) => {
    const { kubernetes } = await start(answer);
    expect(await errorOf(read(kubernetes, 'a', AbortSignal.timeout(200)))).toMatchObject({
      kind: 'deadline-exceeded',
      reason: 'Kubernetes did not answer in time',
      status: undefined,
    });
  });

  it('is not made where its signal is over', async () => {
    const { api, kubernetes } = await start();
    const call = read(kubernetes, 'a', AbortSignal.abort());
    expect(await errorOf(call)).toMatchObject({ kind: 'deadline-exceeded' });
    expect(api.requests).toEqual([]);
  });

  it('bears a token, and goes below the path of the server', async () => {
    const api = await startApiServer();
    await read(await open({ server: `${api.url}/k8s/clusters/c-1/` }));
    const [{ url, headers } = {}] = api.requests;
    expect(url).toBe('/k8s/clusters/c-1/api/v1/namespaces/deer-flow/services/a');
    expect(headers?.authorization).toBe('Bearer test-token');
  });

  // Node frames the body of a DELETE only if it is told its length. Without, the API server took the body for the next
  // request on the connection, and answered that one with 400.
  it('that deletes with preconditions frames its body, and the next one is answered', async () => {
    const { api, kubernetes } = await start((_request, response) => answerJson(response, { kind: 'Status' }));
    const preconditions = { uid: 'ü', resourceVersion: '7' };
    await expect(kubernetes.deleteService('a', preconditions, never)).resolves.toBe('deleted');
    await kubernetes.evictPod('sandbox-a', { uid: 'uid' }, never);
    await kubernetes.deleteNetworkPolicy('a', never);
    expect(api.connections()).toBe(1);
    const bodies = [{ preconditions }, { gracePeriodSeconds: 0, preconditions: { uid: 'uid' } }, undefined];
    for (const [index, { method, headers, body }] of api.requests.entries()) {
      expect([method, headers['transfer-encoding']]).toEqual(['DELETE', undefined]);
      expect(headers['content-length'] ?? '0').toBe(String(Buffer.byteLength(body)));
      expect(body === '' ? undefined : JSON.parse(body)).toEqual(bodies[index]);
    }
    expect(api.requests).toHaveLength(3);
  });

  it('that writes frames its body in bytes, not characters', async () => {
    const { api, kubernetes } = await start(({ body }, response) => answerJson(response, JSON.parse(body), 201));
    const annotated = { ...service, metadata: { ...service.metadata, annotations: { note: 'ü€😀' } } };
    await expect(kubernetes.createService(annotated, never)).resolves.toMatchObject(annotated);
    const [seen] = api.requests;
    expect(seen?.headers['content-length']).toBe(String(Buffer.byteLength(seen?.body ?? '')));
  });

  it.each<[string, object, string]>([
    ['a JSON patch', [{ op: 'add', path: '/x', value: 1 }], 'application/json-patch+json'],
    ['a merge patch', { metadata: { annotations: { a: 'b' } } }, 'application/merge-patch+json'],
  ])('that patches says that it is %s', async (_what, patch, contentType) => {
    const { api, kubernetes } = await start((_request, response) => answerJson(response, service));
    await kubernetes.patchService('a', patch, never);
    expect(api.requests).toMatchObject([{ method: 'PATCH', headers: { 'content-type': contentType } }]);
    expect(JSON.parse(api.requests[0]?.body ?? '')).toEqual(patch);
  });
});

describe('an answer', () => {
  const text = JSON.stringify({ ...service, status: {} });
  const cutOff = (response: Parameters<Answer>[1], length?: number) =>
    begin(response, text.slice(0, length), () => response.destroy());
  it.each<[string, Answer]>([
    ['with a length', (_request, response) => cutOff(response.setHeader('content-length', text.length), 20)],
    // What has come by then would even parse.
    ['without one, on a kept connection', (_request, response) => cutOff(response)],
  ])('that is cut in the middle is an error, not half an answer: %s', async (_what, cut) => {
    const { kubernetes } = await start((request, response) => {
      if (request.url.endsWith('/cut')) cut(request, response);
      else answerNotFound(request, response);
    });
    await read(kubernetes);
    const reason = 'Kubernetes is unreachable (ECONNRESET)';
    expect(await errorOf(read(kubernetes, 'cut'))).toMatchObject({ kind: 'unavailable', reason });
  });

  it('is read as UTF-8 wherever the packets part it', async () => {
    const { kubernetes } = await start((_request, response) => {
      const bytes = Buffer.from(JSON.stringify({ ...service, metadata: { name: '😀' } }));
      const middle = bytes.indexOf(Buffer.from('😀')) + 2;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(bytes.subarray(0, middle));
      setTimeout(() => response.end(bytes.subarray(middle)), 50);
    });
    await expect(read(kubernetes)).resolves.toMatchObject({ metadata: { name: '😀' } });
  });

  it('of 404 is nothing for a read and a deletion, of 409 a change for a deletion with preconditions alone', async () => {
    const { kubernetes } = await start((request, response) => {
      if (request.body.includes('"uid":"other"') || request.url.endsWith('/held'))
        answerStatus(response, 409, 'Conflict');
      else answerNotFound(request, response);
    });
    const [gone, other] = [{ uid: 'gone' }, { uid: 'other' }];
    await expect(kubernetes.readPod('a', never)).resolves.toBeUndefined();
    await expect(kubernetes.deletePod('a', gone, never)).resolves.toBe('gone');
    await expect(kubernetes.deletePod('a', other, never)).resolves.toBe('changed');
    await expect(kubernetes.deleteService('a', gone, never)).resolves.toBe('gone');
    await expect(kubernetes.deleteService('a', other, never)).resolves.toBe('changed');
    await expect(kubernetes.evictPod('a', other, never)).resolves.toBe('changed');
    await expect(kubernetes.deleteNetworkPolicy('a', never)).resolves.toBe('gone');
    // Nothing was deleted.
    expect(await errorOf(kubernetes.deleteNetworkPolicy('held', never))).toMatchObject({ kind: 'conflict' });
  });

  const protobuf = 'application/vnd.kubernetes.protobuf';
  // The client takes any JSON for an object, so what a login page or a captive portal says must not become one.
  it.each<[string, string, string | Buffer]>([
    ['JSON of its own', 'application/json', '{"message":"Sign in"}'],
    ['HTML', 'text/html', '<html>Sign in</html>'],
    ['HTML that says it is JSON', 'application/json', '<html>Sign in</html>'],
    ['nothing', 'application/json', ''],
    ['protobuf, which was not asked for', protobuf, answerOf('Service', [])],
  ])('of 200 with %s is an error', async (_what, type, body) => {
    const { kubernetes } = await start((_request, response) => say(response, 200, type, body));
    const { reason } = await errorOf(read(kubernetes));
    expect(reason).toBe('what answered was not the Kubernetes API (200)');
  });

  it('that sends elsewhere is an error, and is not followed', async () => {
    const other = await startApiServer();
    const { kubernetes } = await start((_request, response) => {
      response.writeHead(302, { location: `${other.url}/login` });
      response.end();
    });
    expect((await errorOf(read(kubernetes))).reason).toBe('what answered was not the Kubernetes API (302)');
    expect(other.requests).toEqual([]);
  });

  describe('to a list', () => {
    const pod = { metadata: { name: 'sandbox-a' } };
    const onePod = listOf('PodList', [[field(1, [field(1, 'sandbox-a')])]]);
    const foreign = (code: number) => ({
      kind: 'failed',
      reason: `what answered was not the Kubernetes API (${code})`,
    });
    const tooOld = 'the continue token is too old';
    const refusal = { status: { code: 410, reason: 'Expired', message: tooOld } };

    it('is asked for as protobuf, and as JSON of a server that knows no protobuf', async () => {
      const { api, kubernetes } = await start((_request, response) => say(response, 200, protobuf, onePod));
      expect(await kubernetes.listPods(never)).toEqual([pod]);
      expect(api.requests[0]?.headers.accept).toBe(`${protobuf}, application/json`);
    });

    it('is read as JSON where that is answered, its times as Dates; null, as Go says it, is an empty one', async () => {
      const creationTimestamp = '2026-11-22T12:00:00Z';
      const metadata = { ...pod.metadata, creationTimestamp };
      let items: object[] | null = [{ metadata }];
      const { kubernetes } = await start((_request, response) => answerJson(response, { ...noPods, items }));
      const [listed] = await kubernetes.listPods(never);
      expect(listed?.metadata).toEqual({ ...metadata, creationTimestamp: new Date(creationTimestamp) });
      items = null;
      expect(await kubernetes.listPods(never)).toEqual([]);
    });

    // That nothing is there must not be read into it.
    it.each<[string, number, string, string | Buffer, object]>([
      ['another kind in JSON', 200, 'application/json', '{"kind":"ServiceList","items":[]}', foreign(200)],
      ['no list in JSON', 200, 'application/json', '{"kind":"PodList","metadata":{}}', foreign(200)],
      ['another kind', 200, protobuf, listOf('ServiceList', []), foreign(200)],
      ['half of one', 200, protobuf, onePod.subarray(0, -10), foreign(200)],
      ['a page in HTML', 200, protobuf, '<html></html>', foreign(200)],
      ['another address, in JSON', 302, 'application/json', '{"kind":"PodList","items":[]}', foreign(302)],
      ['another address', 302, protobuf, '{"kind":"PodList","items":[]}', foreign(302)],
      ['a text, which is kept for the log', 400, protobuf, 'no', { status: { code: 400, message: 'no' } }],
      ['why it is refused', 410, protobuf, answerOf('Status', [field(3, tooOld), field(4, 'Expired')]), refusal],
    ])('is an error where it is %s', async (_what, code, type, body, error) => {
      const { kubernetes } = await start((_request, response) => say(response, code, type, body));
      // A list begins anew when a page has expired; a page does not.
      const call = code === 410 ? kubernetes.readServicePage(2, 'token', never) : kubernetes.listPods(never);
      expect(await errorOf(call)).toMatchObject(error);
    });
  });
});

describe('many calls at once', () => {
  // Of 200 who listed 350 sandboxes at once, 97 got a 504.
  it('that list all share one that begins after they came, and never one that began before', async () => {
    const there = ['a'];
    const held = Promise.withResolvers<void>();
    const { api, kubernetes } = await start(async (_request, response) => {
      // What there was when the call came.
      const body = { ...noPods, items: there.map((name) => ({ metadata: { name } })) };
      if (api.requests.length === 1) await held.promise;
      answerJson(response, body);
    });
    const first = kubernetes.listPods(never);
    await made(api, 1);
    there.push('b');
    const others = Array.from({ length: 50 }, () => kubernetes.listPods(never));
    held.resolve();
    const namesOf = async (pods: ReturnType<Kubernetes['listPods']>) =>
      (await pods).map(({ metadata }) => metadata?.name);
    expect(await namesOf(first)).toEqual(['a']);
    for (const other of others) expect(await namesOf(other)).toEqual(['a', 'b']);
    expect(api.requests).toHaveLength(2);
    // Nor do others: those of some sandboxes, of another kind, or of another client.
    const another = await open({ server: api.url });
    const some = ['x', 'y'].map((id) => kubernetes.listPods(never, [id]));
    await Promise.all([kubernetes.listPods(never), another.listPods(never), ...some]);
    expect(api.requests).toHaveLength(6);
  });

  it('are 64 at most, and lists 8: the others wait, and the ones do not hold up the others', async () => {
    const underWay = { calls: 0, lists: 0 };
    const most = { calls: 0, lists: 0 };
    const held: (() => void)[] = [];
    const { kubernetes } = await start((request, response) => {
      const kind = isList(request) ? 'lists' : 'calls';
      underWay[kind] += 1;
      most[kind] = Math.max(most[kind], underWay[kind]);
      const end = () => {
        underWay[kind] -= 1;
        if (kind === 'calls') answerNotFound(request, response);
        else answerJson(response, noPods);
      };
      if (kind === 'lists') held.push(end);
      else setTimeout(end, 50);
    });
    const lists = Array.from({ length: 20 }, (_, index) => kubernetes.listPods(never, [`${index}`]));
    const late = errorOf(kubernetes.listPods(AbortSignal.timeout(1_500), ['late']));
    await readAll(kubernetes, ...Array.from({ length: 200 }, (_, index) => `${index}`));
    expect(most.calls).toBeGreaterThan(8);
    expect(most.calls).toBeLessThanOrEqual(64);
    expect(most.lists).toBe(8);
    const reason = 'other calls to Kubernetes took all time';
    expect(await late).toMatchObject({ kind: 'deadline-exceeded', reason });
    const ending = setInterval(() => held.shift()?.(), 5);
    onTestFinished(() => clearInterval(ending));
    await Promise.all(lists);
    expect(most.lists).toBe(8);
  });
});

describe('an API server that has just started', () => {
  const words = 'pods "a" is forbidden: User "me" cannot get resource "pods" in API group "" in the namespace "b"';
  const refuse: Answer = (_request, response) =>
    answerJson(response, { kind: 'Status', message: words, reason: 'Forbidden', details: {}, code: 403 }, 403);
  const refused = { kind: 'refused', reason: 'Kubernetes does not permit it (403 Forbidden)' };

  // While it reads the rights, it says what it says where there are none.
  it('is asked again where it does not permit what it may permit in a moment', async () => {
    const { api, kubernetes } = await start((request, response) => {
      if ([2, 3].includes(api.requests.length)) refuse(request, response);
      else answerNotFound(request, response);
    });
    await kubernetes.readPod('a', never);
    api.cutConnections();
    await expect(kubernetes.readPod('a', never)).resolves.toBeUndefined();
    expect(api.requests).toHaveLength(4);
  });

  it.each([
    ['is what does not answer in time after connections have ended', true],
    ['is not what does not answer in time again, where it was we who ended the connection', false],
  ])('%s', async (_what, isCut) => {
    const { api, kubernetes } = await start((request, response) => {
      if (api.requests.length === 1) answerNotFound(request, response);
    });
    await kubernetes.readPod('a', never);
    if (isCut) api.cutConnections();
    // At rest the end of a connection is noticed as well.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const away = { reason: 'Kubernetes did not answer in time: it was away before', headers: { 'retry-after': '1' } };
    const expected = isCut ? { kind: 'unavailable', ...away } : { kind: 'deadline-exceeded' };
    for (let round = 0; round < 2; round += 1) {
      const late = AbortSignal.timeout(200);
      const calls = [kubernetes.readPod('a', late), kubernetes.listPods(late), kubernetes.listPods(late)].map(errorOf);
      for (const error of await Promise.all(calls)) expect(error).toMatchObject(expected);
    }
  });

  it('is believed where no connection has ended, and after half a minute', async () => {
    let now = new Date();
    const api = await startApiServer(refuse);
    const kubernetes = await open({ server: api.url }, {}, () => now);
    for (const calls of [1, 2]) {
      expect(await errorOf(kubernetes.readPod('a', never))).toMatchObject(refused);
      expect(api.requests).toHaveLength(calls);
    }
    api.cutConnections();
    const reason = 'Kubernetes does not permit it, or is only starting (403 Forbidden)';
    expect(await errorOf(kubernetes.readPod('a', never))).toMatchObject({ kind: 'unavailable', reason });
    now = new Date(now.getTime() + 31_000);
    expect(await errorOf(kubernetes.readPod('a', never))).toMatchObject(refused);
    // An API server ends a connection that was at rest for long, and what is in between does.
    now = new Date(now.getTime() + 91_000);
    api.cutConnections();
    expect(await errorOf(kubernetes.readPod('a', never))).toMatchObject(refused);
  });
});
