import { isDeepStrictEqual } from 'node:util';
import { isObject } from './objects.ts';
import { badRequest, StatusError, unsupported } from './status.ts';

/** RFC 7386: `null` takes a field away, an object goes into the one that is there, anything else replaces. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}

/** What Kubernetes says of every JSON patch that cannot be applied, a failing `test` among them. */
const rejected = () =>
  new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request', {});

/** Takes one step of a pointer. Never leads to what an object inherits: that is shared with every other. */
function enter(value: unknown, step: string): unknown {
  if (!isObject(value) || !Object.hasOwn(value, step)) throw rejected();
  return value[step];
}

function applyOperation(root: unknown, operation: unknown): void {
  const { op, path, value = null } = isObject(operation) ? operation : {};
  const steps = String(path).split('/').slice(1);
  const keys = steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  const key = keys.pop();
  const parent = keys.reduce(enter, root);
  if (Array.isArray(parent)) throw unsupported('JSON patches within lists');
  if (key === undefined || key === '__proto__' || !isObject(parent)) throw rejected();
  if (op === 'test') {
    // What is not there is null: so one tests for that.
    const found = Object.hasOwn(parent, key) ? parent[key] : null;
    if (!isDeepStrictEqual(found, value)) throw rejected();
  } else if (op === 'remove') {
    enter(parent, key);
    delete parent[key];
  } else if (op === 'add' || op === 'replace') {
    // Kubernetes 1.20 lets a key be replaced that is not there.
    parent[key] = value;
  } else throw rejected();
}

/**
 * Reads a merge patch or a JSON patch (`add`, `remove`, `replace` and `test`, of maps), and gives the function that applies
 * it to an object. 415 for another content type.
 */
export function readPatch(contentType: string, body: unknown): (target: object) => unknown {
  if (contentType === 'application/merge-patch+json') return (target) => mergePatch(target, body);
  if (contentType !== 'application/json-patch+json') {
    throw new StatusError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});
  }
  if (!Array.isArray(body)) throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  return (target) => {
    const root = structuredClone(target);
    for (const operation of body) applyOperation(root, operation);
    return root;
  };
}
