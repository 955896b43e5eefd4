import { badRequest } from './kubernetes-status.ts';

/** `string`, `integer`, …: what a JSON value has to be; a list or a map of it; an object's known fields. */
type Shape = 'string' | 'integer' | 'boolean' | 'port' | 'quantity' | [Shape] | { [field: string]: Shape };

const STRINGS = { '*': 'string' } as const;
const QUANTITIES = { '*': 'quantity' } as const;

const METADATA: Shape = {
  name: 'string',
  generateName: 'string',
  namespace: 'string',
  uid: 'string',
  resourceVersion: 'string',
  creationTimestamp: 'string',
  deletionTimestamp: 'string',
  deletionGracePeriodSeconds: 'integer',
  labels: STRINGS,
  annotations: STRINGS,
  finalizers: ['string'],
  ownerReferences: [{ apiVersion: 'string', kind: 'string', name: 'string', uid: 'string' }],
};

const PROBE: Shape = {
  httpGet: { path: 'string', port: 'port', scheme: 'string' },
  initialDelaySeconds: 'integer',
  timeoutSeconds: 'integer',
  periodSeconds: 'integer',
  successThreshold: 'integer',
  failureThreshold: 'integer',
};

const SHAPES: Record<string, Shape> = {
  Pod: {
    spec: {
      nodeName: 'string',
      nodeSelector: STRINGS,
      restartPolicy: 'string',
      terminationGracePeriodSeconds: 'integer',
      activeDeadlineSeconds: 'integer',
      automountServiceAccountToken: 'boolean',
      enableServiceLinks: 'boolean',
      serviceAccountName: 'string',
      tolerations: [{}],
      volumes: [{ name: 'string', hostPath: { path: 'string', type: 'string' } }],
      containers: [
        {
          name: 'string',
          image: 'string',
          imagePullPolicy: 'string',
          command: ['string'],
          args: ['string'],
          env: [{ name: 'string', value: 'string' }],
          ports: [{ name: 'string', containerPort: 'integer', hostPort: 'integer', protocol: 'string' }],
          resources: { requests: QUANTITIES, limits: QUANTITIES },
          volumeMounts: [{ name: 'string', mountPath: 'string', readOnly: 'boolean' }],
          readinessProbe: PROBE,
          livenessProbe: PROBE,
          startupProbe: PROBE,
        },
      ],
    },
    status: { phase: 'string', reason: 'string', message: 'string', conditions: [{}], containerStatuses: [{}] },
  },
  Service: {
    spec: {
      type: 'string',
      clusterIP: 'string',
      clusterIPs: ['string'],
      selector: STRINGS,
      sessionAffinity: 'string',
      externalTrafficPolicy: 'string',
      ports: [{ name: 'string', protocol: 'string', port: 'integer', targetPort: 'port', nodePort: 'integer' }],
    },
    status: {},
  },
  Namespace: { spec: { finalizers: ['string'] }, status: { phase: 'string' } },
  ResourceQuota: { spec: { hard: QUANTITIES }, status: { hard: QUANTITIES, used: QUANTITIES } },
  Event: {
    involvedObject: { kind: 'string', namespace: 'string', name: 'string', uid: 'string', apiVersion: 'string' },
    reason: 'string',
    message: 'string',
    type: 'string',
    count: 'integer',
    source: { component: 'string', host: 'string' },
    reportingComponent: 'string',
    reportingInstance: 'string',
  },
  DeleteOptions: {
    gracePeriodSeconds: 'integer',
    preconditions: { uid: 'string', resourceVersion: 'string' },
    propagationPolicy: 'string',
    orphanDependents: 'boolean',
    dryRun: ['string'],
  },
};

const QUANTITY = /^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/;

const isWanted = {
  string: (value: unknown) => typeof value === 'string',
  integer: (value: unknown) => Number.isSafeInteger(value),
  boolean: (value: unknown) => typeof value === 'boolean',
  port: (value: unknown) => typeof value === 'string' || Number.isSafeInteger(value),
  quantity: (value: unknown) => typeof value === 'number' || (typeof value === 'string' && QUANTITY.test(value)),
};

const nameType = (value: unknown) => (Array.isArray(value) ? 'array' : typeof value);

/** Go reads `null` as "not given": such fields are left out of the copy. */
function read(value: unknown, shape: Shape | undefined, path: string): unknown {
  if (typeof shape === 'string') {
    if (isWanted[shape](value)) return shape === 'quantity' ? String(value) : value;
    throw new TypeError(
      `${path}: expects ${shape === 'port' ? 'integer or string' : shape}, but found ${nameType(value)}`,
    );
  }
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) throw new TypeError(`${path}: expects array, but found ${nameType(value)}`);
    return value.map((item, index) => read(item ?? {}, shape[0], `${path}[${index}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (shape !== undefined) throw new TypeError(`${path}: expects object, but found ${nameType(value)}`);
    return Array.isArray(value) ? value.map((item) => read(item, undefined, path)) : value;
  }
  const copy: Record<string, unknown> = {};
  for (const [field, inner] of Object.entries(value)) {
    if (field === '__proto__') continue;
    const wanted = shape?.[field] ?? shape?.['*'];
    // An event's `lastTimestamp: null` and the like stand in fields that no shape names: they stay.
    if (inner === null && wanted !== undefined) continue;
    copy[field] = read(inner, wanted, path === '' ? field : `${path}.${field}`);
  }
  return copy;
}

/**
 * Reads JSON as an object of a kind: a copy whose known fields have the types that Kubernetes declares.
 * Throws a `TypeError` that names the first field that has not.
 */
export function decodeFields(kind: string, json: unknown): Record<string, unknown> {
  const shape = kind === 'DeleteOptions' ? SHAPES[kind] : { metadata: METADATA, ...(SHAPES[kind] as object) };
  return read(json, { apiVersion: 'string', kind: 'string', ...(shape as object) }, '') as Record<string, unknown>;
}

/** Parses a body; its error is a 400 in Kubernetes' words. */
export function parseJson(text: string, kind: string): unknown {
  const unrecognized = (why: string) =>
    badRequest(
      `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${why}`,
    );
  if (text === '') throw unrecognized('unexpected end of JSON input (<empty>)');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw unrecognized(`${(error as Error).message}`);
  }
  if (json !== null && (typeof json !== 'object' || Array.isArray(json))) {
    throw unrecognized(`json: cannot unmarshal ${nameType(json)} into Go value of type struct`);
  }
  return json ?? {};
}

/** Reads a request's body as an object of a kind: 400 where it is none, or one of another kind. */
export function decodeBody(text: string, kind: string): Record<string, unknown> {
  const json = parseJson(text, kind) as Record<string, unknown>;
  const given = { kind: json.kind ?? kind, version: json.apiVersion ?? 'v1' };
  if (given.version !== 'v1') {
    const where = `no kind "${given.kind}" is registered for version "${given.version}"`;
    throw badRequest(`${given.kind} in version "${given.version}" cannot be handled as a ${kind}: ${where}`);
  }
  if (given.kind !== kind) {
    throw badRequest(
      SHAPES[String(given.kind)] === undefined
        ? `no kind "${given.kind}" is registered for version "v1"`
        : `${given.kind} in version "v1" cannot be handled as a ${kind}: ` +
            `converting (v1.${given.kind}) to (core.${kind}): unknown conversion`,
    );
  }
  try {
    return decodeFields(kind, json);
  } catch (error) {
    throw badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${(error as Error).message}`);
  }
}
