import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as client from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Config, loadConfig } from '../../lib/config/index.ts';
import { buildArtifact } from '../../lib/deploy/bundle.ts';
import { trimGenerated } from '../../lib/deploy/generated-client.ts';
import { type Kubernetes, openKubernetes } from '../../lib/kubernetes/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import { startConnectProxy, startSocksProxy } from '../support/forward-proxies.ts';
import { answerJson, kubeconfigText, type SeenRequest, startApiServer } from '../unit/api-server.ts';
import * as clientUse from './client-use.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);
const dist = dirname(require.resolve('@kubernetes/client-node'));
const never = new AbortController().signal;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-client-'));
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

type Model = { getAttributeTypeMap(): { name: string; baseName: string; type: string }[] };

/** An object of a model with something in every field of it, as it is in JSON. */
function fill(type: string, path: string): unknown {
  const inner = type.match(/^Array<(.*)>$/)?.[1];
  if (inner !== undefined) return [fill(inner, `${path}0`), fill(inner, `${path}1`)];
  const value = type.match(/^\{ \[key: string\]: (.*); \}$/)?.[1];
  if (value !== undefined) return { a: fill(value, `${path}a`), 'b/c.d': fill(value, `${path}b`) };
  if (type === 'string') return path;
  if (type === 'number') return path.length;
  if (type === 'boolean') return path.length % 2 === 0;
  if (type === 'any') return { any: [path, { thing: null }] };
  if (type === 'IntOrString') return path.length % 2 === 0 ? 8080 : '50%';
  if (type === 'Date' || type === 'V1MicroTime') return new Date(1_800_000_000_000 + path.length * 1000).toISOString();
  const model = (client as unknown as Record<string, Model | undefined>)[type];
  if (model === undefined) throw new Error(`What is a ${type}?`);
  return Object.fromEntries(
    model.getAttributeTypeMap().map(({ baseName, type }) => [baseName, fill(type, `${path}.${baseName}`)]),
  );
}

const full = (type: string, kind: string) => ({ ...(fill(type, kind) as object), kind, apiVersion: 'v1' });

/** The classes of which an object is, and all in it. */
function describeClasses(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return typeof value;
  const parts = Object.entries(value).map(([key, part]) => [key, describeClasses(part)]);
  return [value.constructor.name, Object.fromEntries(parts)];
}

/** The same as the client gives it: its own names, and dates. */
const asObject = <T>(type: string, json: object): T =>
  client.loadYaml<T>(JSON.stringify({ ...json, kind: type.slice(2), apiVersion: 'v1' }));

let trimmed: { openKubernetes: typeof openKubernetes };
beforeAll(async () => {
  const { bundle } = await buildArtifact(root, 'lib/kubernetes/index', join(folder, 'kubernetes'));
  trimmed = require(bundle);
}, 60_000);

describe('a client that was trimmed', () => {
  const [pod, service, namespace, policy] = [
    full('V1Pod', 'Pod'),
    full('V1Service', 'Service'),
    full('V1Namespace', 'Namespace'),
    full('V1NetworkPolicy', 'NetworkPolicy'),
  ];
  const answer = ({ method, url }: SeenRequest): object => {
    const kind = url.match(/\/(pod|service)s/)?.[1] === 'pod' ? 'Pod' : 'Service';
    const object = kind === 'Pod' ? pod : service;
    if (url.endsWith('/namespaces')) return namespace;
    if (url.includes('/networkpolicies')) return policy;
    if (method !== 'GET' || !/\/(pod|service)s(\?|$)/.test(url)) return object;
    const metadata = { ...(fill('V1ListMeta', 'list') as object), continue: '' };
    return { kind: `${kind}List`, apiVersion: 'v1', metadata, items: [object, object] };
  };

  /** What each way of making calls sends, and what it gives. */
  async function callEverything(open: typeof openKubernetes) {
    const api = await startApiServer((request, response) => {
      answerJson(response, answer(request), request.method === 'POST' ? 201 : 200);
    });
    const kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigText({ server: api.url }));
    const config: Config = loadConfig({ KUBECONFIG_PATH: kubeconfig });
    const kubernetes = (await open(config, never)).inNamespace(config.namespace);
    const preconditions = { uid: 'u', resourceVersion: 'r' };
    const [aPod, aService] = [asObject<client.V1Pod>('V1Pod', pod), asObject<client.V1Service>('V1Service', service)];
    const aPolicy = asObject<client.V1NetworkPolicy>('V1NetworkPolicy', policy);
    const calls: { [Call in Exclude<keyof Kubernetes, 'namespace'>]: () => Promise<unknown> } = {
      createNamespace: () => kubernetes.createNamespace(asObject('V1Namespace', namespace), never),
      createService: () => kubernetes.createService(aService, never),
      readService: () => kubernetes.readService('name', never),
      listServices: () => kubernetes.listServices(never),
      readServicePage: () => kubernetes.readServicePage(2, 'token', never),
      patchService: () => kubernetes.patchService('name', [{ op: 'add', path: '/a', value: { b: 1 } }], never),
      deleteService: () => kubernetes.deleteService('name', preconditions, never),
      createPod: () => kubernetes.createPod(aPod, never),
      readPod: () => kubernetes.readPod('name', never),
      listPods: () => kubernetes.listPods(never),
      pageServices: () => kubernetes.pageServices(never),
      pagePods: () => kubernetes.pagePods(never),
      patchPod: () => kubernetes.patchPod('name', { metadata: { annotations: { a: null } } }, never),
      deletePod: () => kubernetes.deletePod('name', preconditions, never),
      evictPod: () => kubernetes.evictPod('name', { uid: 'uid' }, never),
      readNetworkPolicy: () => kubernetes.readNetworkPolicy('name', never),
      createNetworkPolicy: () => kubernetes.createNetworkPolicy(aPolicy, never),
      replaceNetworkPolicy: () => kubernetes.replaceNetworkPolicy(aPolicy, never),
      deleteNetworkPolicy: () => kubernetes.deleteNetworkPolicy('name', never),
    };
    const answers: Record<string, unknown> = {};
    for (const [name, call] of Object.entries(calls)) answers[name] = await call();
    return {
      answers,
      requests: api.requests.map(({ headers: { host, ...headers }, ...rest }) => ({ ...rest, headers })),
    };
  }

  it('sends and gives what the whole one does, of objects with something in every field', async () => {
    const [theirs, ours] = [await callEverything(openKubernetes), await callEverything(trimmed.openKubernetes)];
    expect(ours.requests).toEqual(theirs.requests);
    expect(ours.answers).toEqual(theirs.answers);
    // Nothing is lost on the way out, and times are times on the way in.
    const created = ours.requests.find(({ method, url }) => method === 'POST' && url.endsWith('/pods'));
    expect(JSON.parse(created?.body ?? '')).toEqual(pod);
    const read = ours.answers.readPod as client.V1Pod;
    expect(read.metadata?.creationTimestamp).toBeInstanceOf(Date);
    expect(read.status?.containerStatuses?.[1]?.state?.running?.startedAt).toBeInstanceOf(Date);
    expect(Object.keys(read.spec ?? {}).length).toBeGreaterThan(40);
  });

  it('makes of every kind that we send or get what the whole one does, by the same classes', async () => {
    const { bundle } = await buildArtifact(root, 'test/bundle/client-use', join(folder, 'serialize'));
    const use: typeof clientUse = require(bundle);
    const kinds = ['DeleteOptions', 'Status', 'Pod', 'Service', 'Namespace', 'NetworkPolicy'] as const;
    const into = Object.fromEntries(kinds.map((kind) => [kind, { ...full(`V1${kind}`, kind), unknown: { to: 'us' } }]));
    const entries = kinds.map((kind) => [kind, asObject(`V1${kind}`, into[kind] ?? {})]);
    const out: clientUse.Sent = Object.fromEntries(entries);
    const [theirs, ours] = [await clientUse.serializeEach(out, into), await use.serializeEach(out, into)];
    expect(ours.sent).toEqual(theirs.sent);
    expect(describeClasses(ours.got)).toEqual(describeClasses(theirs.got));
    expect(ours.got).toEqual(theirs.got);
    expect(Object.keys(ours.sent).toSorted()).toEqual([
      'DeleteOptions',
      'Namespace',
      'NetworkPolicy',
      'Pod',
      'Service',
    ]);
    for (const [kind, sent] of Object.entries(ours.sent)) expect(sent, kind).toEqual(full(`V1${kind}`, kind));
  });

  it('has nothing of what we do not call', async () => {
    const code = await readFile(join(folder, 'kubernetes/lib/kubernetes/index.cjs'), 'utf8');
    expect(code).toContain('/api/v1/namespaces/{namespace}/pods/{name}');
    expect(code).toContain('V1Toleration');
    for (const absent of ['/api/v1/nodes', '/apis/apps/v1', 'V1Deployment', 'V1NodeSpec', '/pods/{name}/exec']) {
      expect(code).not.toContain(absent);
    }
  });
});

describe('what is seldom called', () => {
  it('is in the zip beside the bundle', async () => {
    expect((await readdir(join(folder, 'kubernetes/node_modules'))).toSorted()).toEqual([
      '@aws-lambda-powertools',
      'hpagent.js',
      'js-yaml.js',
      'socks-proxy-agent.js',
    ]);
  });

  const { certificate, key } = makeCertificate('kubernetes.test');
  const trust = { 'certificate-authority-data': Buffer.from(certificate).toString('base64') };
  const callWith = async (kubeconfig: string) => {
    const config = loadConfig({ KUBECONFIG_CONTENT: kubeconfig });
    return (await trimmed.openKubernetes(config, never)).inNamespace('a').readService('a', never);
  };

  it.each([
    ['https', 'CONNECT', startConnectProxy],
    ['http', 'CONNECT', startConnectProxy],
    ['https', 'SOCKS', startSocksProxy],
  ])('is there when it is called: a proxy to %s, %s', async (scheme, _how, startProxy) => {
    const api = await startApiServer(undefined, scheme === 'https' ? { certificate, key } : undefined);
    const proxy = await startProxy(api.port);
    onTestFinished(() => proxy.close());
    const server = `${scheme}://kubernetes.test:6443`;
    await expect(
      callWith(kubeconfigText({ server, cluster: { ...trust, 'proxy-url': proxy.url } })),
    ).resolves.toBeUndefined();
    expect(proxy.targets).toEqual(['kubernetes.test:6443']);
  });

  it('is loaded for a kubeconfig in YAML, and not for one in JSON', async () => {
    const isLoaded = () => require.resolve(join(folder, 'kubernetes/node_modules/js-yaml.js')) in require.cache;
    const api = await startApiServer();
    const json = kubeconfigText({ server: api.url });
    await expect(callWith(json)).resolves.toBeUndefined();
    expect(isLoaded()).toBe(false);
    // It begins like JSON.
    await expect(callWith(json.replace('"kind":', 'kind: '))).resolves.toBeUndefined();
    expect(isLoaded()).toBe(true);
    const lines = Object.entries(JSON.parse(json)).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
    await expect(callWith(lines.join('\n'))).resolves.toBeUndefined();
    await expect(callWith('{"current-context":')).rejects.toMatchObject({ outcome: 'misconfigured' });
  });

  it('says so where it is left out', async () => {
    const { bundle } = await buildArtifact(root, 'test/bundle/client-use', join(folder, 'client-use'));
    const use: typeof clientUse = require(bundle);
    await expect(use.callWithoutTransport('http://127.0.0.1:1')).rejects.toThrow(
      'undici is not in this bundle: lib/deploy/trim-client.ts leaves it out (fetch)',
    );
  });
});

describe('a client that is written in another way than we know', () => {
  const words = new Set(['CoreV1Api', 'createNamespacedPod', 'readNamespacedPod']);
  const trim = (change: (text: string, file: string) => string, named: ReadonlySet<string> = words) =>
    trimGenerated(
      async (file) => change(await readFile(join(dist, file), 'utf8'), file),
      (word) => named.has(word),
    );

  it('is trimmed as it is', async () => {
    const trimmed = await trim((text) => text);
    const files = [...trimmed.keys()];
    expect(files).toEqual([
      'gen/apis/CoreV1Api.js',
      'gen/types/ObservableAPI.js',
      'gen/types/ObjectParamAPI.js',
      'gen/models/ObjectSerializer.js',
    ]);
    const models = trimmed.get('gen/models/ObjectSerializer.js');
    expect(models).toContain('V1PodSpec');
    expect(models).not.toContain('V1ServiceSpec');
  });

  it('keeps what each API that is named sends and gets', async () => {
    const named = new Set([...words, 'NetworkingV1Api', 'createNamespacedNetworkPolicyWithHttpInfo']);
    const trimmed = await trim((text) => text, named);
    expect(trimmed.get('gen/models/ObjectSerializer.js')).toContain('V1NetworkPolicyPeer');
    const requests = trimmed.get('gen/apis/NetworkingV1Api.js');
    expect(requests).toContain('async createNamespacedNetworkPolicy(');
    expect(requests).not.toContain('async createNamespacedIngress(');
  });

  it.each<[string, string, RegExp | string, string]>([
    ['no APIs', 'gen/index.js', /Object(\w+Api) as /g, ''],
    ['another indentation', 'gen/apis/CoreV1Api.js', /^ {4}/gm, '\t'],
    ['something else in a class', 'gen/types/ObservableAPI.js', /^ {4}constructor/m, '    field = 1;\n    constructor'],
    ['no such call', 'gen/apis/CoreV1Api.js', /(create|read)NamespacedPod\(/g, '$1PodOfNamespace('],
    ['other answers than requests', 'gen/apis/CoreV1Api.js', 'readNamespacedPodWithHttpInfo(', 'readPod('],
    [
      'a body whose type is not said',
      'gen/apis/CoreV1Api.js',
      /serialize\(body, "V1Pod", ""\)/,
      'serialize(body, type)',
    ],
    ['other calls than requests', 'gen/types/ObjectParamAPI.js', /readNamespacedPod\(param,/, 'readPod(param,'],
    ['a class that is not there', 'gen/types/ObservableAPI.js', /^export class ObservableAppsApi /m, 'export class {'],
    ['no table of models', 'gen/models/ObjectSerializer.js', 'let typeMap', 'const typeMap'],
    ['another table of models', 'gen/models/ObjectSerializer.js', '"V1Pod": V1Pod,', 'V1Pod,'],
    ['a model that is missing', 'gen/models/ObjectSerializer.js', '    "V1PodSpec": V1PodSpec,\n', ''],
    ['a model without its attributes', 'gen/models/V1Pod.js', 'V1Pod.attributeTypeMap = [', 'V1Pod.attributes = ['],
    ['a model with another getter', 'gen/models/V1Pod.js', 'return V1Pod.attributeTypeMap', 'return super.attributes'],
    ['a model that does something', 'gen/models/V1Pod.js', 'constructor() {', "constructor() { this.kind = 'Pod';"],
    ['a model that stands for others', 'gen/models/V1Pod.js', 'discriminator = undefined', 'discriminator = "kind"'],
    ['an attribute of which more is said', 'gen/models/V1Pod.js', '"format": ""', '"format": "", "required": true'],
  ])('fails the build: %s', async (_what, file, pattern, replacement) => {
    const changed = trim((text, path) => (path === file ? text.replace(pattern, replacement) : text));
    await expect(changed).rejects.toThrow(
      /^@kubernetes\/client-node is not written as lib\/deploy\/generated-client.ts knows it: gen\/.* Was it updated\?$/,
    );
  });
});
