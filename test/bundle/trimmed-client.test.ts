import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as client from '@kubernetes/client-node';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Config, loadConfig } from '../../lib/config/index.ts';
import { buildArtifact, bundleOptions } from '../../lib/deploy/bundle.ts';
import { trimClient } from '../../lib/deploy/trim-client.ts';
import { type Kubernetes, openKubernetes } from '../../lib/kubernetes/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import { startConnectProxy, startSocksProxy } from '../support/forward-proxies.ts';
import { answerJson, kubeconfigText, type SeenRequest, startApiServer } from '../unit/api-server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);
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
      selectServices: () => kubernetes.selectServices({ a: 'b' }, never),
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

  it('has nothing of what we do not call', async () => {
    const code = await readFile(join(folder, 'kubernetes/lib/kubernetes/index.cjs'), 'utf8');
    expect(code).toContain('/api/v1/namespaces/{namespace}/pods/{name}');
    expect(code).toContain('V1Toleration');
    for (const absent of [
      '/api/v1/nodes',
      '/apis/apps/v1',
      'V1Deployment.attributeTypeMap',
      'V1NodeSpec.attributeTypeMap',
      '/pods/{name}/exec',
    ]) {
      expect(code).not.toContain(absent);
    }
    const { sources } = JSON.parse(await readFile(join(folder, 'kubernetes/lib/kubernetes/index.cjs.map'), 'utf8'));
    expect(sources.filter((source: string) => source.includes('node_modules/undici/'))).toEqual([]);
  });
});

describe('what is seldom called', () => {
  it('is in the zip beside the bundle', async () => {
    expect((await readdir(join(folder, 'kubernetes/node_modules'))).toSorted()).toEqual([
      '@aws-lambda-powertools',
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
    await expect(callWith('{"current-context":')).rejects.toMatchObject({ kind: 'misconfigured' });
  });
});

describe('a release of the client', () => {
  const model = (name: string, type: string) =>
    `export class ${name} { static getAttributeTypeMap() { return [{ name: 'a', type: '${type}' }]; } }`;
  const files: Readonly<Record<string, string>> = {
    'index.js': `export * from './gen/types/ObjectParamAPI.js'; export * from './gen/models/all.js';`,
    'gen/apis/CoreV1Api.js': `export class CoreV1ApiRequestFactory {
      readPod() { return this.ask('V1Pod'); }
      ask(kind) { return kind; }
      readNode() { return this.ask('V1Node'); }
    }`,
    'gen/types/ObservableAPI.js': '',
    'gen/types/ObjectParamAPI.js': `import { CoreV1ApiRequestFactory } from '../apis/CoreV1Api.js';
      import { models } from '../models/ObjectSerializer.js';
      export class CoreV1Api {
        readPod() { return models[new CoreV1ApiRequestFactory().readPod()].getAttributeTypeMap(); }
        readNode() { return models[new CoreV1ApiRequestFactory().readNode()]; }
      }`,
    'gen/models/all.js': ['V1Pod', 'V1Volume', 'V1Node'].map((name) => `export * from './${name}.js';`).join(''),
    'gen/models/ObjectSerializer.js': `import { V1Pod } from './V1Pod.js';
      import { V1Volume } from './V1Volume.js';
      import { V1Node } from './V1Node.js';
      export const models = { V1Pod, V1Volume, V1Node };`,
    'gen/models/V1Pod.js': model('V1Pod', 'Array<V1Volume>'),
    'gen/models/V1Volume.js': model('V1Volume', 'string'),
    'gen/models/V1Node.js': model('V1Node', 'string'),
  };

  /** Bundles one call of a client with these files, and makes it. */
  async function call(dist: Readonly<Record<string, string>>) {
    const home = await mkdtemp(join(folder, 'release-'));
    const package_ = join(home, 'node_modules/@kubernetes/client-node');
    const source = `import { CoreV1Api } from '@kubernetes/client-node'; export const answer = new CoreV1Api().readPod();`;
    const paths = Object.entries(dist).map(([path, text]): [string, string] => [join(package_, 'dist', path), text]);
    const manifest = '{ "type": "module", "main": "dist/index.js" }';
    paths.push([join(package_, 'package.json'), manifest], [join(home, 'lib/kubernetes/index.ts'), source]);
    for (const [path, text] of paths) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    }
    const outfile = join(home, 'bundle.cjs');
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    await build({
      ...bundleOptions,
      logLevel: 'silent',
      absWorkingDir: home,
      entryPoints: ['lib/kubernetes/index.ts'],
      outfile,
      metafile: true,
      plugins: [trimClient(home)],
    });
    const code = await readFile(outfile, 'utf8');
    const warnings = warn.mock.calls.map(([text]) => text);
    warn.mockRestore();
    return { answer: require(outfile).answer, code, warnings };
  }
  const answer = [{ name: 'a', type: 'Array<V1Volume>' }];

  it('is cut down to what our sources name, and to what that calls, sends and gets', async () => {
    const called = await call(files);
    expect(called).toMatchObject({ answer, warnings: [] });
    expect(called.code).toMatch(/V1Volume ?= ?class/);
    expect(called.code).not.toMatch(/V1Node ?= ?class|readNode/);
  });

  const api = 'gen/apis/CoreV1Api.js';
  it.each<[string, (dist: Record<string, string>) => void]>([
    [
      'its APIs are elsewhere',
      (dist) => {
        dist['gen/core.js'] = dist[api] as string;
        dist[api] = `export * from '../core.js';`;
      },
    ],
    [
      'its models are elsewhere',
      (dist) => {
        for (const path of Object.keys(dist).filter((path) => path.startsWith('gen/models/V1'))) {
          dist[path.replace('V1', 'v1/V1')] = dist[path] as string;
          delete dist[path];
        }
        for (const path of ['gen/models/all.js', 'gen/models/ObjectSerializer.js']) {
          dist[path] = (dist[path] as string).replaceAll("'./V1", "'./v1/V1");
        }
      },
    ],
    [
      'its models say nothing of themselves',
      (dist) => {
        for (const [path, text] of Object.entries(dist)) dist[path] = text.replaceAll('getAttributeTypeMap', 'read');
      },
    ],
  ])('that is laid out otherwise is bundled whole, and the build says so: %s', async (_what, change) => {
    const dist = { ...files };
    change(dist);
    const called = await call(dist);
    expect(called).toMatchObject({
      answer,
      warnings: [expect.stringMatching(/bundle.cjs has \d+ KB .* bundled whole/)],
    });
    expect(called.code).toMatch(/V1Node ?= ?class/);
  });
});
