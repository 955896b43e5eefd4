import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeBody, decodeFields } from './kubernetes-decode.ts';
import { discover } from './kubernetes-discovery.ts';
import { type KubernetesObject, RESOURCE_TYPES, type ResourceType } from './kubernetes-objects.ts';
import { readPatch } from './kubernetes-patch.ts';
import { type DeleteOptions, decodePatched, type Registry } from './kubernetes-registry.ts';
import { parseFieldSelector, parseLabelSelector, type Selector } from './kubernetes-selectors.ts';
import {
  badRequest,
  type FieldError,
  goStrings,
  internalError,
  invalid,
  invalidValue,
  methodNotAllowed,
  noSuchResource,
  notFound,
  StatusError,
  unsupportedValue,
} from './kubernetes-status.ts';
import type { Change, Store } from './kubernetes-store.ts';
import { toTable } from './kubernetes-tables.ts';

const BODY_LIMIT = 3 * 1024 * 1024;

type Target = { type: ResourceType; namespace: string; isAll: boolean; name: string; isStatus: boolean };

/** What a request asks for, once it is known to be one of the API's. */
type Call = Target & { query: URLSearchParams; body: string; contentType: string; request: IncomingMessage };

type Answer = { code: number; body: unknown };

const ok = (body: unknown): Answer => ({ code: 200, body });

/** Which object or list a path names; undefined when none. */
function readPath(path: string): Target | undefined {
  const steps = path.replace(/\/$/, '').split('/').slice(3);
  const find = (plural: string | undefined, namespaced: boolean) =>
    RESOURCE_TYPES.find((type) => type.plural === plural && type.namespaced === namespaced);
  const subresource = (at: number) => steps.length === at || (steps.length === at + 1 && steps[at] === 'status');
  if (steps[0] === 'namespaces' && steps.length > 2 && steps[2] !== 'status') {
    const [, namespace = '', plural, name = ''] = steps;
    const type = find(plural, true);
    if (type === undefined || (steps.length > 3 && !subresource(4))) return undefined;
    return { type, namespace, isAll: false, name, isStatus: steps.length > 4 };
  }
  if (steps[0] === 'namespaces') {
    const type = find('namespaces', false);
    if (type === undefined || (steps.length > 1 && !subresource(2))) return undefined;
    return { type, namespace: '', isAll: true, name: steps[1] ?? '', isStatus: steps.length > 2 };
  }
  const type = find(steps[0], true);
  return type === undefined || steps.length > 1
    ? undefined
    : { type, namespace: '', isAll: true, name: '', isStatus: false };
}

function readInteger(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^[+-]?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

const isTrue = (text: string | null): boolean => text !== null && !['', 'false', '0'].includes(text);

function checkDryRun(values: readonly string[]): FieldError[] {
  const bad = values.filter((value) => value !== 'All');
  if (bad.length === 0) return [];
  return [unsupportedValue('dryRun', String(goStrings(values)), ['All'])];
}

function readDryRun(query: URLSearchParams, options: string): boolean {
  const values = query.getAll('dryRun').filter((value) => value !== '');
  const errors = checkDryRun(values);
  if (errors.length > 0) throw invalid(options, '', errors, 'meta.k8s.io');
  return values.length > 0;
}

/** From the body where there is one, else from the query, as Kubernetes does. */
function readDeleteOptions({ query, body }: Call): DeleteOptions {
  let options: DeleteOptions & { kind?: string };
  if (body.trim() === '') {
    const gracePeriodSeconds = readInteger(query, 'gracePeriodSeconds');
    const propagationPolicy = query.get('propagationPolicy');
    options = {
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(propagationPolicy ? { propagationPolicy } : {}),
      ...(query.has('orphanDependents') ? { orphanDependents: isTrue(query.get('orphanDependents')) } : {}),
      dryRun: query.getAll('dryRun').filter((value) => value !== ''),
    };
  } else {
    try {
      options = decodeFields('DeleteOptions', JSON.parse(body)) as DeleteOptions;
    } catch (error) {
      throw new StatusError(500, undefined, `couldn't get version/kind; json parse error: ${(error as Error).message}`);
    }
  }
  const { kind = 'DeleteOptions' } = options;
  if (kind !== 'DeleteOptions') {
    throw new StatusError(500, undefined, `no kind "${kind}" is registered for version "v1"`);
  }
  const errors: FieldError[] = [];
  const { propagationPolicy: policy, orphanDependents } = options;
  if (policy !== undefined && orphanDependents !== undefined) {
    const both = 'orphanDependents and deletionPropagation cannot be both set';
    errors.push(invalidValue('propagationPolicy', policy, both));
  }
  if (policy !== undefined && !['Foreground', 'Background', 'Orphan'].includes(policy)) {
    const known = ['Foreground', 'Background', 'Orphan', 'nil'];
    errors.push(unsupportedValue('propagationPolicy', JSON.stringify(policy), known));
  }
  errors.push(...checkDryRun(options.dryRun ?? []));
  if (errors.length > 0) throw invalid('DeleteOptions', '', errors, 'meta.k8s.io');
  return options;
}

const encodeContinue = (rv: number, start: string): string =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv, start })).toString('base64url');

function decodeContinue(token: string): { rv: number; start: string } {
  const bad = (why: string) => badRequest(`invalid continue token: continue key is not valid: ${why}`);
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64').toString()) as Record<string, unknown>;
    if (v !== 'meta.k8s.io/v1') throw new Error('server does not recognize this encoded version');
    if (typeof rv !== 'number' || rv === 0)
      throw new Error('incorrect encoded start resourceVersion (version meta.k8s.io/v1)');
    if (typeof start !== 'string' || start === '') throw new Error('encoded start key empty');
    return { rv, start };
  } catch (error) {
    throw bad((error as Error).message);
  }
}

const EXPIRED =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list ' +
  'without the continue parameter, or use the continue token in this response to retrieve the remainder of the ' +
  'results. Continuing with the provided token results in an inconsistent list - objects that were created, ' +
  'modified, or deleted between the time the first chunk was returned and now may show up in the list.';

/** Constant-time, so that the token cannot be guessed byte by byte. */
function isSame(a: string, b: string): boolean {
  const [one, two] = [Buffer.from(a), Buffer.from(b)];
  return one.length === two.length && timingSafeEqual(one, two);
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= BODY_LIMIT) chunks.push(chunk);
      // The rest is still read, and dropped: a connection that is cut would lose the answer.
      else reject(new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${BODY_LIMIT}`));
    });
    request.on('end', () => resolve(Buffer.concat(chunks).toString()));
    request.on('error', reject);
  });
}

/** The API over HTTP: the function answers one request, and never rejects. */
export function createRestHandler(
  store: Store,
  registry: Registry,
  token: string,
  server: () => string,
  now: () => number,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const readSelector = ({ query, type }: Call): Selector => {
    const labels = parseLabelSelector(query.get('labelSelector') ?? '');
    const fields = parseFieldSelector(query.get('fieldSelector') ?? '', type.kind);
    return (object) => labels(object) && fields(object);
  };

  function list(call: Call): Answer {
    const { type, query } = call;
    const namespace = call.isAll ? undefined : call.namespace;
    const matches = readSelector(call);
    const isSelected = Boolean(query.get('labelSelector') || query.get('fieldSelector'));
    const version = query.get('resourceVersion') ?? '';
    const next = query.get('continue') ?? '';
    // Asked for any version, Kubernetes answers from its cache, and whole.
    const limit = version === '0' ? 0 : Math.max(0, readInteger(query, 'limit') ?? 0);
    if (version !== '' && !/^\d+$/.test(version)) {
      const why = `strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`;
      throw new StatusError(500, undefined, `resourceVersion: Invalid value: ${JSON.stringify(version)}: ${why}`);
    }
    if (Number(version) > store.revision()) {
      const what = `Too large resource version: ${version}, current: ${store.revision()}`;
      const causes = [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }];
      throw new StatusError(504, 'Timeout', `Timeout: ${what}`, { causes, retryAfterSeconds: 1 });
    }
    if (next !== '' && version !== '' && version !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const keyOf = ({ metadata }: KubernetesObject) =>
      namespace === undefined && type.namespaced ? `${metadata.namespace}/${metadata.name}` : metadata.name;

    let revision = store.revision();
    let items = store.list(type, namespace);
    if (next !== '' && version !== '0') {
      const { rv, start } = decodeContinue(next);
      if (rv > 0) {
        const kept = store.listAt(type, namespace, rv);
        if (kept === undefined) throw new StatusError(410, 'Expired', EXPIRED, undefined, encodeContinue(-1, start));
        items = kept;
        revision = rv;
      }
      items = items.filter((item) => keyOf(item) >= start);
    }
    items = items.filter(matches);
    const page = limit > 0 ? items.slice(0, limit) : items;
    const last = page.at(-1);
    const isCut = page.length < items.length && last !== undefined;
    const metadata = {
      resourceVersion: String(revision),
      ...(isCut ? { continue: encodeContinue(revision, `${keyOf(last)}\0`) } : {}),
      // With a selector the server does not count what it has not looked at.
      ...(isCut && !isSelected ? { remainingItemCount: items.length - page.length } : {}),
    };
    if (wantsTable(call.request)) return ok(toTable(type, page, metadata, now()));
    return ok({ kind: `${type.kind}List`, apiVersion: 'v1', metadata, items: page.map(withoutKind) });
  }

  function get({ type, namespace, name, request }: Call): Answer {
    const object = store.get(type, namespace, name);
    if (object === undefined) throw notFound(type, name);
    return ok(wantsTable(request) ? toTable(type, [object], {}, now()) : withKindFirst(object));
  }

  /** Streams changes from a resource version on, or all there is and then changes, until the caller goes. */
  function watch(call: Call, response: ServerResponse): void {
    const { type, query } = call;
    const namespace = call.isAll ? undefined : call.namespace;
    const nameOnly = call.name === '' ? () => true : (object: KubernetesObject) => object.metadata.name === call.name;
    const selected = readSelector(call);
    const matches = (object: KubernetesObject) =>
      nameOnly(object) && selected(object) && (namespace === undefined || object.metadata.namespace === namespace);
    const from = Number(query.get('resourceVersion') ?? 0);
    const missed = from > 0 ? store.changesSince(from) : [];
    response.writeHead(200, { 'content-type': 'application/json' });
    const shown = (object: KubernetesObject) =>
      wantsTable(call.request) ? toTable(type, [object], {}, now()) : withKindFirst(object);
    const send = (event: string, object: unknown) => response.write(`${JSON.stringify({ type: event, object })}\n`);
    function tell(change: Change): void {
      if (change.resource !== type) return;
      const was = change.type !== 'ADDED' && change.previous !== undefined && matches(change.previous);
      const is = change.type !== 'DELETED' && matches(change.object);
      if (is) send(was ? 'MODIFIED' : 'ADDED', shown(change.object));
      else if (was) send('DELETED', shown(change.object));
    }
    if (missed === undefined) {
      const old = new StatusError(410, 'Expired', `too old resource version: ${from}`);
      send('ERROR', old.status);
      response.end();
      return;
    }
    if (from === 0) for (const object of store.list(type, namespace).filter(matches)) send('ADDED', shown(object));
    for (const change of missed) tell(change);
    response.flushHeaders();
    const forget = store.onChange(tell);
    const seconds = readInteger(query, 'timeoutSeconds');
    const timer = seconds === undefined ? undefined : setTimeout(() => response.end(), seconds * 1000);
    response.on('close', () => {
      forget();
      clearTimeout(timer);
    });
  }

  async function create(call: Call): Promise<Answer> {
    const { type, namespace, query, body, contentType } = call;
    checkContentType(contentType);
    const dryRun = readDryRun(query, 'CreateOptions');
    const object = await registry.create(type, namespace, decodeBody(body, type.kind), dryRun);
    return { code: 201, body: withKindFirst(withoutVersionIf(dryRun, object)) };
  }

  async function update(call: Call): Promise<Answer> {
    const { type, namespace, name, query, body, contentType, isStatus } = call;
    checkContentType(contentType);
    const dryRun = readDryRun(query, 'UpdateOptions');
    const next = decodeBody(body, type.kind);
    const options = { dryRun, isStatus, isPatch: false };
    return ok(withKindFirst(await registry.update(type, namespace, name, () => next, options)));
  }

  async function patch(call: Call): Promise<Answer> {
    const { type, namespace, name, query, body, contentType, isStatus } = call;
    const dryRun = readDryRun(query, 'PatchOptions');
    const apply = readPatch(contentType, body);
    const change = (old: KubernetesObject) => decodePatched(type.kind, apply(old));
    return ok(withKindFirst(await registry.update(type, namespace, name, change, { dryRun, isStatus, isPatch: true })));
  }

  function removeAll(call: Call): Answer {
    const options = readDeleteOptions(call);
    const matches = readSelector(call);
    const items = store.list(call.type, call.namespace).filter(matches);
    for (const { metadata } of items) registry.remove(call.type, call.namespace, metadata.name, options);
    const metadata = { resourceVersion: String(store.revision()) };
    return ok({ kind: `${call.type.kind}List`, apiVersion: 'v1', metadata, items: items.map(withoutKind) });
  }

  function remove(call: Call): Answer {
    const { type, namespace, name } = call;
    return ok(withKindFirst(registry.remove(type, namespace, name, readDeleteOptions(call))));
  }

  function dispatch(call: Call, response: ServerResponse): Promise<Answer> | Answer | undefined {
    const { method } = call.request;
    const isWatch = method === 'GET' && isTrue(call.query.get('watch'));
    const isOneType = !call.isAll || !call.type.namespaced;
    if (isWatch) return watch(call, response) as undefined;
    if (call.name === '') {
      if (method === 'GET') return list(call);
      if (method === 'POST' && isOneType) return create(call);
      if (method === 'DELETE' && isOneType && call.type.verbs.includes('deletecollection')) return removeAll(call);
      throw methodNotAllowed();
    }
    if (method === 'GET') return get(call);
    if (method === 'PUT') return update(call);
    if (method === 'PATCH') return patch(call);
    if (method === 'DELETE' && !call.isStatus) return remove(call);
    throw methodNotAllowed();
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<Answer | string | undefined> {
    let url: URL;
    let path: string;
    try {
      const [rawPath = '/', rawQuery = ''] = (request.url ?? '/').split(/\?(.*)/s);
      path = decodeURIComponent(rawPath);
      url = new URL(`http://localhost/?${rawQuery}`);
    } catch {
      return '400 Bad Request';
    }
    // kubectl sends no token over plain HTTP: for it, the token may stand before the path.
    const [, first = ''] = path.split('/');
    if (isSame(first, token)) path = path.slice(first.length + 1) || '/';
    else if (!isSame(request.headers.authorization ?? '', `Bearer ${token}`)) {
      throw new StatusError(401, 'Unauthorized', 'Unauthorized');
    }
    const told = discover(path.length > 1 ? path.replace(/\/$/, '') : path, server());
    if (told !== undefined) {
      if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
      return typeof told === 'string' ? told : ok(told);
    }
    const accept = request.headers.accept ?? '*/*';
    if (!/json|\*\/\*|application\/\*/.test(accept))
      throw new StatusError(406, 'NotAcceptable', '406: Not Acceptable', {});
    const target = path.startsWith('/api/v1/') ? readPath(path) : undefined;
    if (target === undefined) throw noSuchResource();
    const body = await readBody(request);
    const contentType = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
    return dispatch({ ...target, query: url.searchParams, body, contentType, request }, response);
  }

  return async (request, response) => {
    let result: Answer | string | undefined;
    try {
      result = await answer(request, response);
    } catch (error) {
      const failure = error instanceof StatusError ? error : internalError(String(error));
      result = { code: failure.code, body: failure.status };
    }
    if (result === undefined || response.headersSent) return;
    const isText = typeof result === 'string';
    const type = isText ? 'text/plain; charset=utf-8' : 'application/json';
    const code = typeof result === 'string' ? (result === 'ok' ? 200 : 400) : result.code;
    // What is left of a body that was not read would be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    response.writeHead(code, { 'content-type': type, 'cache-control': 'no-cache, private' });
    response.end(typeof result === 'string' ? result : JSON.stringify(result.body));
    if (!request.complete) request.resume();
  };
}

const wantsTable = (request: IncomingMessage): boolean => (request.headers.accept ?? '').includes('as=Table');

/** In a list Kubernetes leaves each item's kind out. */
function withoutKind({ kind, apiVersion, ...rest }: KubernetesObject): object {
  return rest;
}

function withKindFirst(object: object): object {
  const { kind, apiVersion, ...rest } = object as KubernetesObject;
  return { kind, apiVersion, ...rest };
}

/** Nothing was written, so there is no version. */
function withoutVersionIf(dryRun: boolean, object: KubernetesObject): object {
  if (!dryRun) return object;
  const { resourceVersion, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function checkContentType(contentType: string): void {
  if (contentType === '' || contentType === 'application/json') return;
  const accepted = 'application/json, application/yaml, application/vnd.kubernetes.protobuf';
  throw new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted}`,
  );
}
