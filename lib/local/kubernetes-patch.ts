import { isDeepStrictEqual } from 'node:util';
import { badRequest, StatusError } from './kubernetes-status.ts';

type Json = unknown;
type JsonObject = Record<string, Json>;

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7386: `null` takes a field away, an object goes into the one that is there, anything else replaces. */
function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const merged: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === '__proto__') continue;
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}

/** What Kubernetes says of every JSON patch that cannot be applied, a failing `test` among them. */
const rejected = () =>
  new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request', {});

const readPointer = (pointer: string) =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** Where a pointer leads: its parent (a 422 where there is none), and the last step. */
function locate(root: Json, pointer: unknown): { parent: JsonObject | Json[]; key: string } {
  if (typeof pointer !== 'string' || !pointer.startsWith('/')) throw rejected();
  const steps = readPointer(pointer);
  const key = steps.pop() ?? '';
  let parent: Json = root;
  for (const step of steps) parent = (parent as JsonObject | undefined)?.[step];
  if (key === '__proto__' || steps.includes('__proto__')) throw rejected();
  if (!isObject(parent) && !Array.isArray(parent)) throw rejected();
  return { parent, key };
}

function arrayIndex(list: Json[], key: string, extra: number): number {
  const index = key === '-' && extra > 0 ? list.length : /^\d+$/.test(key) ? Number(key) : Number.NaN;
  if (!(index < list.length + extra)) throw rejected();
  return index;
}

function removeAt(root: Json, path: unknown): Json {
  const { parent, key } = locate(root, path);
  if (Array.isArray(parent)) return parent.splice(arrayIndex(parent, key, 0), 1)[0];
  if (!Object.hasOwn(parent, key)) throw rejected();
  const value = parent[key];
  delete parent[key];
  return value;
}

function addAt(root: Json, path: unknown, value: Json): void {
  const { parent, key } = locate(root, path);
  if (Array.isArray(parent)) parent.splice(arrayIndex(parent, key, 1), 0, value);
  else parent[key] = value;
}

function valueAt(root: Json, path: unknown): Json {
  const { parent, key } = locate(root, path);
  return Array.isArray(parent) ? parent[arrayIndex(parent, key, 0)] : parent[key];
}

function jsonPatch(target: Json, operations: Json[]): Json {
  const root = structuredClone(target);
  for (const operation of operations) {
    if (!isObject(operation)) throw badRequest('json: cannot unmarshal into Go value of type jsonpatch.Operation');
    const { op, path, from, value = null } = operation;
    if (op === 'add') addAt(root, path, value);
    else if (op === 'remove') removeAt(root, path);
    else if (op === 'replace') {
      // Of a map Kubernetes 1.20 lets a key be replaced that is not there.
      const { parent, key } = locate(root, path);
      if (Array.isArray(parent)) parent[arrayIndex(parent, key, 0)] = value;
      else parent[key] = value;
    } else if (op === 'move') addAt(root, path, removeAt(root, from));
    else if (op === 'copy') addAt(root, path, structuredClone(valueAt(root, from)));
    else if (op === 'test') {
      if (!isDeepStrictEqual(valueAt(root, path) ?? null, value)) throw rejected();
    } else throw rejected();
  }
  return root;
}

const MERGE = 'application/merge-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';
const JSON_PATCH = 'application/json-patch+json';

/**
 * Reads a patch and answers the function that applies it to an object's JSON. A strategic merge patch is applied
 * as a merge patch: the same for maps, metadata's lists and ports are replaced whole. 415 for another content
 * type, 400 or 500 (as Kubernetes) for a body that is not JSON.
 */
export function readPatch(contentType: string, body: string): (target: object) => unknown {
  if (contentType !== MERGE && contentType !== STRATEGIC && contentType !== JSON_PATCH) {
    throw new StatusError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});
  }
  let patch: Json;
  try {
    patch = JSON.parse(body);
  } catch (error) {
    if (contentType === MERGE) throw new StatusError(500, undefined, 'Invalid JSON Patch');
    throw badRequest((error as Error).message);
  }
  if (contentType === JSON_PATCH) {
    if (!Array.isArray(patch)) {
      throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
    }
    return (target) => jsonPatch(target, patch as Json[]);
  }
  return (target) => mergePatch(target, patch);
}
