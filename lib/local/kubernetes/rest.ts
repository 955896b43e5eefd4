import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { createLists } from './lists.ts';
import { readLog } from './logs.ts';
import { groupOf, isObject, KINDS, type Kind, type Pod } from './objects.ts';
import { readPatch } from './patch.ts';
import { protobufType, writeProtobuf } from './protobuf.ts';
import type { DeleteOptions, Given, Registry } from './registry.ts';
import { badRequest, internalError, methodNotAllowed, noSuchPath, StatusError, unsupported } from './status.ts';

const VERSION = { major: '1', minor: '20', gitVersion: 'v1.20.2+embedded' };

const PATH =
  /^\/(?:api|apis\/(?<group>[^/]+))\/v1(?:\/namespaces\/(?<namespace>[^/]+))?\/(?<plural>[^/]+)(?:\/(?<name>[^/]+)(?:\/(?<part>status|log))?)?$/;

/** Which list or object a path names. */
function readPath(path: string): { kind: Kind; namespace: string | undefined; name: string; part: string } {
  const { group = '', namespace, plural = '', name = '', part = 'itself' } = PATH.exec(path)?.groups ?? {};
  const kind = Object.hasOwn(KINDS, plural) ? KINDS[plural] : undefined;
  if (kind === undefined || groupOf(kind) !== group || (kind === 'Namespace') !== (namespace === undefined))
    throw noSuchPath();
  if (part === 'log' && kind !== 'Pod') throw noSuchPath();
  return { kind, namespace, name, part };
}

/** Throws where somebody asks for more than there is here: to leave it out would be another answer than Kubernetes'. */
function allowOnly(names: readonly string[], given: Iterable<string>): void {
  for (const name of given) if (!names.includes(name)) throw unsupported(name);
}

function readJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw badRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
}

function readObject(body: string): Record<string, unknown> {
  const json = readJson(body);
  if (!isObject(json)) throw badRequest('the object provided is unrecognized');
  return json;
}

function readDeleteOptions(body: string): DeleteOptions {
  const options = body === '' ? {} : readObject(body);
  allowOnly(['apiVersion', 'kind', 'gracePeriodSeconds', 'preconditions'], Object.keys(options));
  return options;
}

type Answer = { code: number; body: object | string };

const ok = (body: Answer['body']): Answer => ({ code: 200, body });

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

/** Whoever bears the token may do everything: there is no RBAC. */
function review(given: Record<string, unknown>): Answer {
  const spec = isObject(given.spec) ? given.spec : {};
  if (!isObject(spec.resourceAttributes)) throw unsupported('a review of anything but a resource');
  const [kind, apiVersion] = ['SelfSubjectAccessReview', 'authorization.k8s.io/v1'];
  return { code: 201, body: { kind, apiVersion, metadata: {}, spec, status: { allowed: true } } };
}

const digest = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** The API over HTTP: the function answers one request, and never rejects. */
export function createRestHandler(
  registry: Registry,
  list: ReturnType<typeof createLists>,
  token: string,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  async function answer(request: IncomingMessage): Promise<Answer> {
    // Constant-time, so that the token cannot be guessed byte by byte.
    if (!timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${token}`))) {
      throw new StatusError(401, 'Unauthorized', 'Unauthorized');
    }
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/version') return ok(VERSION);
    const body = await text(request);
    if (pathname === REVIEWS && request.method === 'POST') return review(readObject(body));
    const { kind, namespace, name, part } = readPath(pathname);
    const change = (apply: (old: object) => unknown) =>
      registry.update(registry.find(kind, namespace, name), apply, part === 'status');
    const ofLog = ['container', 'previous', 'tailLines', 'limitBytes'];
    allowOnly(part === 'log' ? ofLog : ['labelSelector', 'fieldSelector', 'limit', 'continue'], query.keys());
    switch (`${request.method} ${name === '' ? 'all' : part}`) {
      case 'GET all':
        return ok(list(kind, namespace, query));
      case 'POST all':
        return { code: 201, body: await registry.create(kind, namespace, readObject(body) as Given) };
      case 'GET itself':
        return ok(registry.find(kind, namespace, name));
      case 'GET log': {
        const pod = registry.find(kind, namespace, name) as Pod;
        // So Kubernetes answers for a Pod without a node.
        return pod.spec.nodeName === undefined ? { code: 204, body: '' } : ok(readLog(pod, query));
      }
      case 'PUT itself': {
        const replacement = readObject(body);
        return ok(await change(() => replacement));
      }
      case 'PATCH itself':
      case 'PATCH status':
        return ok(await change(readPatch(request.headers['content-type']?.split(';')[0] ?? '', readJson(body))));
      case 'DELETE itself':
        return ok(registry.remove(registry.find(kind, namespace, name), readDeleteOptions(body)));
      default:
        throw methodNotAllowed();
    }
  }

  return async (request, response) => {
    const { code, body } = await answer(request).catch(
      (error): Answer => (error instanceof StatusError ? error : internalError(String(error))),
    );
    if (typeof body === 'string') {
      response.writeHead(code, code === 204 ? {} : { 'content-type': 'text/plain' }).end(body);
      return;
    }
    // Kubernetes takes the first type that it knows.
    const protobuf = request.headers.accept?.startsWith(protobufType) ? writeProtobuf(body) : undefined;
    response.writeHead(code, { 'content-type': protobuf === undefined ? 'application/json' : protobufType });
    response.end(protobuf ?? JSON.stringify(body));
    // What is left of a body that was not read would be taken for the next request.
    request.resume();
  };
}
