import { expect, it } from 'vitest';
import {
  failure,
  JSON_PATCH,
  MERGE_PATCH,
  podManifest,
  SOME_UID,
  serviceManifest,
  startTestCluster,
} from './cluster.ts';

const { call } = await startTestCluster();
const PODS = '/api/v1/namespaces/default/pods';
const SERVICES = '/api/v1/namespaces/default/services';
// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever JSON it is.
type Json = any;

const invalid = (kind: string, name: string, causes: [field: string, message: string, reason?: string][]): object => {
  const told = [...new Set(causes.map(([field, message]) => `${field}: ${message}`))];
  const list = told.length === 1 ? told[0] : `[${told.join(', ')}]`;
  return failure(422, 'Invalid', `${kind} "${name}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name }),
    kind,
    causes: causes.map(([field, message, reason = 'FieldValueInvalid']) => ({ reason, message, field })),
  });
};

const REQUIRED = 'FieldValueRequired';
const DUPLICATE = 'FieldValueDuplicate';
const FORBIDDEN = 'FieldValueForbidden';
const NOT_FOUND = 'FieldValueNotFound';
const NOT_SUPPORTED = 'FieldValueNotSupported';
const ONE_TYPE = 'may not specify more than 1 volume type';
const HOST_PATH_TYPES =
  'supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"';
const LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " +
  "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and " +
  "end with an alphanumeric character (e.g. 'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035 =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and " +
  "end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is " +
  "'[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_NAME =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
  "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
  "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end " +
  "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is " +
  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

it('answers the create of a Pod with what Kubernetes adds to it', async () => {
  const { status, body } = await call('POST', PODS, podManifest('whole', { labels: { app: 'whole' } }));
  expect(status).toBe(201);
  expect(body).toEqual({
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name: 'whole',
      namespace: 'default',
      uid: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      resourceVersion: expect.stringMatching(/^\d+$/),
      creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      labels: { app: 'whole' },
    },
    spec: {
      containers: [{ name: 'sandbox', image: 'sandbox:1' }],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
    },
    status: { phase: 'Pending' },
  });
});

it('answers the create of a Service with an address, a NodePort and its defaults', async () => {
  const { body } = await call('POST', SERVICES, serviceManifest('whole'));
  expect(body).toMatchObject({
    spec: {
      type: 'NodePort',
      clusterIP: expect.stringMatching(/^10\.96\./),
      clusterIPs: [body.spec.clusterIP],
      ports: [{ name: 'http', protocol: 'TCP', port: 8080, targetPort: 8080, nodePort: expect.any(Number) }],
      selector: { app: 'x' },
      sessionAffinity: 'None',
      externalTrafficPolicy: 'Cluster',
    },
    status: { loadBalancer: {} },
  });
});

const value = (given: string, why: string) => `Invalid value: "${given}": ${why}`;
const tooLong = 'must be no more than 63 characters';
const long = 'y'.repeat(64);
const badName = podManifest('Bad_Name');
const badLabels = podManifest('a', { labels: { a: '-x', b: long } });
const noImage = podManifest('a', { spec: { containers: [{ name: 'b' }] } });
const climbing = podManifest('a', { spec: { volumes: [{ name: 'v', hostPath: { path: '/a/../b' } }] } });
const noOwner = podManifest('a', { ownerReferences: [{ apiVersion: '', kind: '', name: '', uid: '' }] });
const emptyOf = (field: string, what = field): [string, string] => [
  `metadata.ownerReferences.${field}`,
  value('', `${what} must not be empty`),
];

it.each<[what: string, kind: 'Pod' | 'Service', manifest: object, causes: Parameters<typeof invalid>[2]]>([
  ['a Pod name with capitals', 'Pod', badName, [['metadata.name', value('Bad_Name', SUBDOMAIN)]]],
  ['a name that starts with a digit', 'Service', serviceManifest('1abc'), [['metadata.name', value('1abc', DNS_1035)]]],
  ['a name of 64 letters', 'Service', serviceManifest(long), [['metadata.name', value(long, tooLong)]]],
  [
    'bad labels',
    'Pod',
    badLabels,
    [value('-x', LABEL_VALUE), value(long, tooLong)].map((why) => ['metadata.labels', why]),
  ],
  [
    'labels of bad names',
    'Service',
    serviceManifest(
      'a',
      {},
      { labels: { 'a b': 'x', 'c/': 'x', '/d': 'x', 'E/e': 'x', 'f/f/f': 'x', [`g/${long}`]: '', 'h.i/J_.k': '' } },
    ),
    [
      ['a b', `name part ${LABEL_NAME}`],
      ['c/', 'name part must be non-empty'],
      ['c/', `name part ${LABEL_NAME}`],
      ['/d', 'prefix part must be non-empty'],
      ['E/e', `prefix part ${SUBDOMAIN}`],
      [
        'f/f/f',
        `a qualified name ${LABEL_NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
      ],
      [`g/${long}`, `name part ${tooLong}`],
    ].map(([given = '', why = '']) => ['metadata.labels', value(given, why)]),
  ],
  [
    'no name and no containers',
    'Pod',
    {},
    [
      ['metadata.name', 'Required value: name or generateName is required', REQUIRED],
      ['spec.containers', 'Required value', REQUIRED],
    ],
  ],
  ['no image', 'Pod', noImage, [['spec.containers[0].image', 'Required value', REQUIRED]]],
  [
    'a path that climbs',
    'Pod',
    climbing,
    [['spec.volumes[0].hostPath.path', value('/a/../b', "must not contain '..'")]],
  ],
  [
    'volumes that are none',
    'Pod',
    podManifest('a', {
      spec: {
        volumes: [
          { name: 'v', hostPath: { path: '/a', type: 'Folder' } },
          { name: 'v', hostPath: { path: '' } },
          { name: 'v', hostPath: { path: 'a/../b', type: 'Nope' } },
          { name: 'w', emptyDir: {} },
          { name: 'w', emptyDir: {} },
          { name: 'Bad_Name', emptyDir: {}, hostPath: { path: '' }, persistentVolumeClaim: { claimName: 'c' } },
          { name: '', persistentVolumeClaim: { claimName: '' } },
        ],
      },
    }),
    [
      ['spec.volumes[0].hostPath.type', `Unsupported value: "Folder": ${HOST_PATH_TYPES}`, NOT_SUPPORTED],
      ['spec.volumes[1].hostPath.path', 'Required value', REQUIRED],
      ['spec.volumes[2].hostPath.path', `Invalid value: "a/../b": must not contain '..'`],
      ['spec.volumes[2].hostPath.type', `Unsupported value: "Nope": ${HOST_PATH_TYPES}`, NOT_SUPPORTED],
      ['spec.volumes[4].name', 'Duplicate value: "w"', DUPLICATE],
      ['spec.volumes[5].hostPath', `Forbidden: ${ONE_TYPE}`, FORBIDDEN],
      ['spec.volumes[5].persistentVolumeClaim', `Forbidden: ${ONE_TYPE}`, FORBIDDEN],
      ['spec.volumes[5].name', `Invalid value: "Bad_Name": ${LABEL}`],
      ['spec.volumes[6].persistentVolumeClaim.claimName', 'Required value', REQUIRED],
      ['spec.volumes[6].name', 'Required value', REQUIRED],
    ],
  ],
  [
    'mounts that are none, of init containers as well',
    'Pod',
    podManifest('a', {
      spec: {
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'wrong', hostPath: { path: '' } },
        ],
        containers: [
          {
            name: 'b',
            image: 'x',
            volumeMounts: [
              { name: 'v', mountPath: '/a' },
              { name: 'v', mountPath: '/a', subPath: 'a..b/c' },
              { name: 'wrong', mountPath: '/c', subPath: '/../x' },
              { name: '', mountPath: '' },
            ],
          },
          { name: 'b', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/a' }] },
        ],
        initContainers: [
          { name: 'b', image: 'x' },
          { name: '', volumeMounts: [{ name: 'w', mountPath: '/a' }] },
        ],
      },
    }),
    [
      ['spec.volumes[1].hostPath.path', 'Required value', REQUIRED],
      ['spec.containers[0].volumeMounts[1].mountPath', 'Invalid value: "/a": must be unique'],
      ['spec.containers[0].volumeMounts[2].name', 'Not found: "wrong"', NOT_FOUND],
      ['spec.containers[0].volumeMounts.subPath', 'Invalid value: "/../x": must be a relative path'],
      ['spec.containers[0].volumeMounts.subPath', `Invalid value: "/../x": must not contain '..'`],
      ['spec.containers[0].volumeMounts[3].name', 'Required value', REQUIRED],
      ['spec.containers[0].volumeMounts[3].name', 'Not found: ""', NOT_FOUND],
      ['spec.containers[0].volumeMounts[3].mountPath', 'Required value', REQUIRED],
      ['spec.containers[1].name', 'Duplicate value: "b"', DUPLICATE],
      ['spec.initContainers[1].name', 'Required value', REQUIRED],
      ['spec.initContainers[1].image', 'Required value', REQUIRED],
      ['spec.initContainers[1].volumeMounts[0].name', 'Not found: "w"', NOT_FOUND],
      ['spec.initContainers[0].name', 'Duplicate value: "b"', DUPLICATE],
    ],
  ],
  ['no owner', 'Pod', noOwner, [emptyOf('apiVersion', 'version'), emptyOf('kind'), emptyOf('name'), emptyOf('uid')]],
])('refuses %s', async (_what, kind, manifest, causes) => {
  const { metadata } = manifest as { metadata?: { name: string } };
  const body = invalid(kind, metadata?.name ?? '', causes);
  expect(await call('POST', kind === 'Pod' ? PODS : SERVICES, manifest)).toEqual({ status: 422, body });
});

it.each<[what: string, body: string | object, message: string]>([
  ['no JSON', '{nope', "couldn't get version/kind; json parse error: "],
  ['no body', '', "couldn't get version/kind; json parse error: "],
  ['an array', '[]', 'the object provided is unrecognized'],
  ['another kind', serviceManifest('a'), 'Service in version "v1" cannot be handled as a Pod'],
  [
    'another namespace',
    podManifest('a', { namespace: 'other' }),
    'the namespace of the provided object does not match',
  ],
])('cannot read %s: 400', async (_what, body, message) => {
  const answer = await call('POST', PODS, body);
  expect(answer).toMatchObject({
    status: 400,
    body: { reason: 'BadRequest', message: expect.stringContaining(message) },
  });
});

it('says of a name that it is taken', async () => {
  await call('POST', PODS, podManifest('twice'));
  expect(await call('POST', PODS, podManifest('twice'))).toEqual({
    status: 409,
    body: failure(409, 'AlreadyExists', 'pods "twice" already exists', { name: 'twice', kind: 'pods' }),
  });
});

/** A Service of its own, and what it takes to patch it. */
async function makeService(name: string): Promise<{ path: string; service: Json }> {
  const { body } = await call('POST', SERVICES, serviceManifest(name, {}, { annotations: { k: 'v' } }));
  return { path: `${SERVICES}/${name}`, service: body };
}

const modified = (name: string) =>
  failure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on services "${name}": the object has been modified; please apply your changes to ` +
      'the latest version and try again',
    { name, kind: 'services' },
  );

it('takes a merge patch, with uid and resourceVersion as conditions', async () => {
  const { path, service } = await makeService('merge');
  const { uid, resourceVersion } = service.metadata;
  const patch = (metadata: object) => call('PATCH', path, { metadata }, MERGE_PATCH);
  const immutable = `Invalid value: "${SOME_UID}": field is immutable`;
  const twice = [immutable, immutable].map((why): [string, string] => ['metadata.uid', why]);
  const uidChanged = { status: 422, body: invalid('Service', 'merge', twice) };
  expect(await patch({ uid: SOME_UID, annotations: { a: '1' } })).toEqual(uidChanged);
  const outdated = { status: 409, body: modified('merge') };
  expect(await patch({ resourceVersion: '1', annotations: { a: '1' } })).toEqual(outdated);
  const { body } = await patch({ uid, resourceVersion, annotations: { a: '1', k: null } });
  expect(body.metadata.annotations).toEqual({ a: '1' });
  expect(body.metadata.resourceVersion).not.toBe(resourceVersion);
  // Nothing changes: nothing is written.
  const again = await patch({ annotations: { a: '1' } });
  expect(again).toEqual({ status: 200, body });
  expect((await patch({ name: 'other' })).body.message).toBe(
    'the name of the object (other) does not match the name on the URL (merge)',
  );
});

it('lets patches of one Service conflict that come at once, and not those of a Pod', async () => {
  const { path } = await makeService('contended');
  await call('POST', PODS, podManifest('contended'));
  const patchAll = async (target: string) => {
    const patches = ['a', 'b', 'c', 'd'].map((key) =>
      call('PATCH', target, { metadata: { annotations: { [key]: '1' } } }, MERGE_PATCH),
    );
    return (await Promise.all(patches)).map(({ status }) => status).sort();
  };
  const statuses = await patchAll(path);
  expect(new Set(statuses)).toEqual(new Set([200, 409]));
  expect(await patchAll(`${PODS}/contended`)).toEqual([200, 200, 200, 200]);
});

it('takes a JSON patch, and tells no more of one that cannot be applied', async () => {
  const { path, service } = await makeService('operations');
  const patch = (...operations: object[]) => call('PATCH', path, operations, JSON_PATCH);
  const rejected = failure(422, 'Invalid', 'the server rejected our request due to an error in our request', {});
  const add = { op: 'add', path: '/metadata/annotations/a~1b', value: '1' };
  const absent = { op: 'test', path: '/metadata/annotations/nope', value: null };
  for (const operation of [
    { op: 'test', path: '/metadata/uid', value: SOME_UID },
    { op: 'test', path: '/metadata/nope/x', value: 'x' },
    { op: 'test', path: '/metadata/annotations/k', value: null },
    { op: 'remove', path: '/metadata/annotations/nope' },
    { op: 'add', path: '/metadata/nope/x', value: 'x' },
    { op: 'nope', path: '/metadata' },
  ]) {
    expect(await patch(add, operation)).toEqual({ status: 422, body: rejected });
  }
  const { body } = await patch({ op: 'test', path: '/metadata/uid', value: service.metadata.uid }, absent, add);
  expect(body.metadata.annotations).toEqual({ k: 'v', 'a/b': '1' });
  expect((await call('PATCH', path, {}, JSON_PATCH)).status).toBe(400);
  expect((await call('PATCH', path, {}, 'application/json')).status).toBe(415);
});

it('lets no JSON patch reach what all objects share', async () => {
  const { path } = await makeService('shared');
  for (const pointer of ['/__proto__/polluted', '/metadata/__proto__', '/constructor/prototype/polluted']) {
    expect((await call('PATCH', path, [{ op: 'add', path: pointer, value: {} }], JSON_PATCH)).status).toBe(422);
  }
  expect({}).not.toHaveProperty('polluted');
});

it('replaces an object whose version, if it is given, is current', async () => {
  const { path, service } = await makeService('replaced');
  const put = (metadata: object) => call('PUT', path, { ...service, metadata: { ...service.metadata, ...metadata } });
  expect(await put({ resourceVersion: '1' })).toEqual({ status: 409, body: modified('replaced') });
  expect((await put({ name: 'other' })).status).toBe(400);
  expect((await put({ labels: { new: '1' } })).body.metadata).toMatchObject({ labels: { new: '1' } });
});

it('lets the specs of Pods and Services not be changed, and a status only at its own path', async () => {
  await call('POST', PODS, podManifest('fixed'));
  const ignored = await call('PATCH', `${PODS}/fixed`, { status: { phase: 'Failed' } }, MERGE_PATCH);
  expect(ignored.body.status.phase).not.toBe('Failed');
  await makeService('fixed');
  for (const path of [`${PODS}/fixed`, `${SERVICES}/fixed`]) {
    expect((await call('PATCH', path, { spec: { any: 'change' } }, MERGE_PATCH)).status).toBe(501);
  }
});

// As 1.20.2 was seen to do it.
it('lets a Service lose and get its address by way of a name elsewhere alone', async () => {
  const { path, service } = await makeService('address');
  const patch = (spec: object) => call('PATCH', path, { spec }, MERGE_PATCH);
  const field = 'spec.clusterIPs[0]';
  const refusals: [spec: object, field: string, message: string][] = [
    [{ type: 'ClusterIP', clusterIP: 'None' }, field, 'Invalid value: []string{"None"}: may not change once set'],
    [{ clusterIP: null, clusterIPs: null }, field, 'Invalid value: []string(nil): primary clusterIP can not be unset'],
  ];
  for (const [spec, at, message] of refusals) {
    expect(await patch(spec)).toEqual({ status: 422, body: invalid('Service', 'address', [[at, message]]) });
  }
  expect((await patch({ type: 'ExternalName' })).body.message).toMatch(
    /is invalid: spec.externalName: Required value$/,
  );
  const passing = await patch({ type: 'ExternalName', externalName: 'sandbox.invalid' });
  expect(passing.body.spec).toEqual({
    externalName: 'sandbox.invalid',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP', targetPort: 8080 }],
    selector: service.spec.selector,
    sessionAffinity: 'None',
    type: 'ExternalName',
  });
  const headless = await patch({ type: 'ClusterIP', externalName: null, clusterIP: 'None' });
  expect(headless.body.spec).toMatchObject({ type: 'ClusterIP', clusterIP: 'None', clusterIPs: ['None'] });
  const wrong = value('None', "may not be set to 'None' for NodePort services");
  expect((await patch({ type: 'NodePort' })).body).toEqual(invalid('Service', 'address', [[field, wrong]]));
  await patch({ type: 'ExternalName', externalName: 'sandbox.invalid' });
  const { clusterIP, ports } = (await patch({ type: 'NodePort', externalName: null })).body.spec;
  expect([clusterIP, ports[0].nodePort]).toEqual([expect.stringMatching(/^10\.96\./), expect.any(Number)]);
});

it.each([
  ['app=a', ['a1', 'a2']],
  ['app==a,tier!=one', ['a2']],
  ['tier!=one', ['a2', 'b1', 'c']],
  ['app in (a),tier notin (one, two)', ['a2']],
  ['app in (a, b)', ['a1', 'a2', 'b1']],
  ['app notin (a)', ['b1', 'c']],
  ['tier', ['a1']],
  ['!app', ['c']],
  [' app = b ', ['b1']],
  ['', ['a1', 'a2', 'b1', 'c']],
])('selects by the labels %j', async (selector, names) => {
  await call('POST', '/api/v1/namespaces', { metadata: { name: 'select' } });
  const labels = { a1: { app: 'a', tier: 'one' }, a2: { app: 'a' }, b1: { app: 'b' }, c: {} };
  for (const [name, own] of Object.entries(labels)) {
    const service = serviceManifest(name, { type: 'ClusterIP' }, { labels: own });
    await call('POST', '/api/v1/namespaces/select/services', service);
  }
  const path = `/api/v1/namespaces/select/services?labelSelector=${encodeURIComponent(selector)}`;
  const { body } = await call('GET', path);
  expect(body.items.map((item: Json) => item.metadata.name)).toEqual(names);
});

it.each(['a b', 'app in x', '=x', '!', 'app=x,,', 'app=!!', '!app=x'])(
  'cannot read the label selector %j',
  async (selector) => {
    expect(await call('GET', `${PODS}?labelSelector=${encodeURIComponent(selector)}`)).toMatchObject({
      status: 400,
      body: { reason: 'BadRequest', message: expect.stringContaining('unable to parse requirement') },
    });
  },
);

it('hands a list out in pages, all as of the first one', async () => {
  const path = '/api/v1/namespaces/paged/services';
  await call('POST', '/api/v1/namespaces', { metadata: { name: 'paged' } });
  for (const name of ['a', 'b', 'c']) await call('POST', path, serviceManifest(name, { type: 'ClusterIP' }));
  const first = (await call('GET', `${path}?limit=2`)).body;
  expect(first).toMatchObject({ kind: 'ServiceList', metadata: { remainingItemCount: 1 } });
  expect(first.items.map((item: Json) => [item.metadata.name, item.kind])).toEqual([
    ['a', undefined],
    ['b', undefined],
  ]);
  await call('DELETE', `${path}/c`);
  const second = (await call('GET', `${path}?limit=2&continue=${first.metadata.continue}`)).body;
  expect(second.items.map((item: Json) => item.metadata.name)).toEqual(['c']);
  expect(second.metadata).toEqual({ resourceVersion: first.metadata.resourceVersion });
  expect((await call('GET', `${path}?continue=garbage`)).status).toBe(400);
  // With a selector the rest is not counted.
  const selected = (await call('GET', `${path}?limit=1&labelSelector=!nope`)).body;
  expect(Object.keys(selected.metadata).sort()).toEqual(['continue', 'resourceVersion']);
});

it('says that a page is too old when the list it belongs to is forgotten', async () => {
  const old = Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: 1_000_000, start: 'a\0' })).toString('base64url');
  const { status, body } = await call('GET', `${SERVICES}?limit=2&continue=${old}`);
  expect({ status, reason: body.reason }).toEqual({ status: 410, reason: 'Expired' });
  const next = await call('GET', `${SERVICES}?limit=2&continue=${body.metadata.continue}`);
  expect(next.status).toBe(200);
});
