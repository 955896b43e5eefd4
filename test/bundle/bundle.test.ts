import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { inflateRawSync } from 'node:zlib';
import { loadYaml } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Artifact, buildArtifact } from '../../lib/build/bundle.ts';
import { aTime } from '../support/answers.ts';
import { aReport } from '../support/clean-up.ts';
import { type HttpRequest, httpEvent, scheduledEvent } from '../support/events.ts';
import { answerJson, answerStatus, kubeconfigText, type SeenRequest, startApiServer } from '../unit/api-server.ts';
import { field, listOf } from '../unit/protobuf-answers.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { functions } = loadYaml<{ functions: Record<string, { handler: string }> }>(
  await readFile(join(root, 'serverless.yml'), 'utf8'),
);
const modules = Object.entries(functions).map(([name, { handler }]) => ({
  name,
  module: handler.replace(/\.handler$/, ''),
}));
const askingNames = [
  'create-sandbox',
  'get-sandbox',
  'list-sandboxes',
  'renew-sandbox',
  'destroy-sandbox',
  'cleanup-sandboxes',
];

type Built = Artifact & { entries: { path: string; content: Buffer }[]; code: string; sources: string[] };
const builds = new Map<string, Built>();
const built = (name: string) => builds.get(name) as Built;
let folder: string;

beforeAll(async () => {
  // Outside of the project, so that nothing that a bundle forgot is found in node_modules.
  folder = await mkdtemp(join(tmpdir(), 'sandbox-provisioner-bundle-'));
  for (const { name, module } of modules) {
    const artifact = await buildArtifact(root, module, join(folder, 'first', name));
    const entries = readZip(await readFile(artifact.zip));
    const code = entries[0]?.content.toString('utf8') ?? '';
    const { sources } = JSON.parse(await readFile(artifact.sourceMap, 'utf8'));
    builds.set(name, { ...artifact, entries, code, sources });
    for (const { path, content } of entries) {
      const file = join(folder, 'unpacked', name, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
    }
  }
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(modules)('the zip of $name', ({ name, module }) => {
  it('holds one file at the path of its handler, and packages that it loads only when it calls them', () => {
    const [first, ...others] = built(name).entries.map(({ path }) => path);
    expect(first).toBe(`${module}.cjs`);
    expect(others.filter((path) => !/^node_modules\/(@[\w-]+\/)?[\w-]+\.js$/.test(path))).toEqual([]);
    expect(others).toContain('node_modules/@aws-lambda-powertools/logger.js');
    expect(others.length > 1).toBe(askingNames.includes(name));
  });

  it('is small', async () => {
    expect((await readFile(built(name).zip)).length).toBeLessThan(250_000);
    // V8 reads all of it at each cold start.
    expect(built(name).code.length).toBeLessThan(300_000);
  });

  it('holds what was bundled, without a source map or a word about one', async () => {
    expect(built(name).entries[0]?.content.equals(await readFile(built(name).bundle))).toBe(true);
    expect(built(name).code).not.toContain('sourceMappingURL');
    expect(built(name).code).not.toContain('sourcesContent');
    expect(built(name).sources.length).toBeGreaterThan(0);
  });

  it('holds nothing that belongs to a machine of developers', async () => {
    // A text that only lib/local has; should it go, this test must look for another.
    const mark = 'EMBEDDED_KUBERNETES';
    expect(await readFile(join(root, 'lib/local/serverless-plugin.ts'), 'utf8')).toContain(mark);
    expect(built(name).code).not.toContain(mark);
    expect(built(name).sources.filter((source) => /lib\/(local|build)\/|\/test\//.test(source))).toEqual([]);
  });

  it('loads, when it is imported, nothing but itself and what of Node it needs for a call', async () => {
    const { files, builtins } = await importInChild(join(folder, 'unpacked', name, `${module}.cjs`));
    expect(files).toEqual([`${module}.cjs`]);
    // Node's own undici, 25 ms, is behind `fetch`, `Headers` and their like, and behind some exports of `node:http`.
    const dear =
      /undici|child_process|webcrypto|sqlite|inspector|fs\/promises|readline|perf_hooks|NativeModule (net|crypto)$/;
    const needed = askingNames.includes(name) ? ['NativeModule crypto', 'NativeModule net'] : [];
    expect(builtins.filter((builtin) => dear.test(builtin)).toSorted()).toEqual(needed);
  });

  it('copies no module of Node to import it', () => {
    expect(built(name).code).not.toMatch(/__toESM\(require\(/);
  });

  it('names no folder of the machine that built it', () => {
    expect(built(name).code).not.toContain(root);
    expect(built(name).code).not.toContain(folder);
  });

  it('is the same, byte for byte, when it is built again', async () => {
    const again = await buildArtifact(root, module, join(folder, 'second', name));
    expect((await readFile(again.zip)).equals(await readFile(built(name).zip))).toBe(true);
  });
});

describe('a bundle', () => {
  // A zip keeps times: the developer's and the build server's make two deployments of one source otherwise.
  it.each(['UTC', 'Asia/Tokyo', 'America/Los_Angeles'])('is the same, byte for byte, built in %s', async (TZ) => {
    const script = `
      import { buildArtifact } from ${JSON.stringify(pathToFileURL(join(root, 'lib/build/bundle.ts')).href)};
      await buildArtifact(process.argv[1], 'functions/health', process.argv[2]);
    `;
    const output = join(folder, 'zones', TZ, 'health');
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, root, output], {
      env: { ...process.env, TZ },
    });
    expect((await readFile(`${output}.zip`)).equals(await readFile(built('health').zip))).toBe(true);
  });

  it.each(askingNames)('of a function that asks Kubernetes has the client: %s', (name) => {
    expect(built(name).code).toContain('/api/v1/namespaces/{namespace}/services');
    expect(built(name).sources.some((source) => source.includes('@kubernetes/client-node'))).toBe(true);
  });

  it.each(['health', 'fallback'])('of a function that does not ask Kubernetes does without: %s', (name) => {
    expect(built(name).code).not.toContain('/api/v1/namespaces');
    expect(built(name).sources.filter((source) => source.includes('@kubernetes/client-node'))).toEqual([]);
    expect(built(name).code.length).toBeLessThan(200_000);
  });

  it('calls everything by the name that it has in the sources: the log shows it', () => {
    expect(built('get-sandbox').code).toMatch(/\basync function getSandbox\(/);
    expect(built('get-sandbox').code).toMatch(/\bKubernetesError ?= ?class extends ProvisionerError\b/);
  });

  it('is there for every function of serverless.yml', () => {
    expect([...builds.keys()].toSorted()).toEqual(['fallback', 'health', ...askingNames].toSorted());
  });
});

describe('what is unpacked from the zip, where there is no node_modules,', () => {
  const request = (method: string, path: string, rest: Partial<HttpRequest> = {}): HttpRequest => ({
    method,
    path,
    ...rest,
  });
  const pathParameters = { sandbox_id: 'a1b2' };

  it.each<[string, HttpRequest, number, unknown]>([
    ['health', request('GET', '/health'), 200, { status: 'ok' }],
    ['fallback', request('GET', '/x', { routeKey: '$default' }), 404, { detail: 'Not Found' }],
    ['list-sandboxes', request('GET', '/api/sandboxes'), 200, { sandboxes: [], count: 0 }],
    [
      'get-sandbox',
      request('GET', '/api/sandboxes/a1b2', { pathParameters }),
      404,
      { detail: "Sandbox 'a1b2' not found" },
    ],
    [
      'destroy-sandbox',
      request('DELETE', '/api/sandboxes/a1b2', { pathParameters }),
      200,
      { ok: true, sandbox_id: 'a1b2' },
    ],
    [
      'create-sandbox',
      request('POST', '/api/sandboxes', { body: { sandbox_id: 'a1b2' } }),
      200,
      {
        sandbox_id: 'a1b2',
        sandbox_url: 'http://host.docker.internal:30123',
        status: 'Pending',
        created_at: null,
        expires_at: aTime,
      },
    ],
    [
      'renew-sandbox',
      request('POST', '/api/sandboxes/a1b2/renew', { pathParameters }),
      404,
      { detail: "Sandbox 'a1b2' not found" },
    ],
  ])('answers as Lambda calls it: %s', async (name, call, status, body) => {
    const api = await startApiServer(likeKubernetes);
    const kubeconfig = join(folder, `${name}.kubeconfig`);
    await writeFile(kubeconfig, kubeconfigText({ server: api.url }));
    const file = join(folder, 'unpacked', name, functions[name]?.handler.replace(/\.handler$/, '.cjs') ?? '');
    const answer = await callInChild(file, httpEvent(call), { KUBECONFIG_PATH: kubeconfig, AUTH: 'off' });
    expect({ status: answer.statusCode, body: JSON.parse(answer.body) }).toEqual({ status, body });
    expect(api.requests.length > 0).toBe(askingNames.includes(name));
    // Nobody is let in by what is deployed without a word about callers.
    const isOpen = ['health', 'fallback'].includes(name);
    const closed = await callInChild(file, httpEvent(call), { KUBECONFIG_PATH: kubeconfig });
    expect(closed.statusCode).toBe(isOpen ? status : 401);
  });

  it('reads what Kubernetes writes in protobuf: list-sandboxes', async () => {
    const label = (name: string, value: string) => field(11, [field(1, name), field(2, value)]);
    const labels = [label('app', 'deer-flow-sandbox'), label('sandbox-id', 'a1b2')];
    const ports = [field(1, 'http'), field(5, 30_123)];
    const service = [field(1, [field(1, 'sandbox-a1b2-svc'), ...labels]), field(2, [field(1, ports)])];
    const pod = [field(1, [field(1, 'sandbox-a1b2'), ...labels]), field(3, [field(1, 'Running')])];
    const api = await startApiServer(({ url }, response) => {
      response.writeHead(200, { 'content-type': 'application/vnd.kubernetes.protobuf' });
      response.end(url.includes('/pods') ? listOf('PodList', [pod]) : listOf('ServiceList', [service]));
    });
    const kubeconfig = join(folder, 'protobuf.kubeconfig');
    await writeFile(kubeconfig, kubeconfigText({ server: api.url }));
    const file = join(folder, 'unpacked', 'list-sandboxes', 'functions', 'list-sandboxes.cjs');
    const event = httpEvent(request('GET', '/api/sandboxes'));
    const answer = await callInChild(file, event, { KUBECONFIG_PATH: kubeconfig, AUTH: 'off' });
    expect(JSON.parse(answer.body).sandboxes).toMatchObject([{ sandbox_id: 'a1b2', status: 'Running' }]);
  });

  it('runs on its schedule: cleanup-sandboxes', async () => {
    const name = 'cleanup-sandboxes';
    const api = await startApiServer(likeKubernetes);
    const kubeconfig = join(folder, `${name}.kubeconfig`);
    await writeFile(kubeconfig, kubeconfigText({ server: api.url }));
    const file = join(folder, 'unpacked', name, 'functions', `${name}.cjs`);
    expect(await callInChild(file, scheduledEvent(), { KUBECONFIG_PATH: kubeconfig })).toEqual(aReport({}));
    expect(api.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
  });

  it.each(modules)('exports the handler and nothing else: $name', ({ name, module }) => {
    const exported = createRequire(import.meta.url)(join(folder, 'unpacked', name, `${module}.cjs`));
    expect(Object.keys(exported)).toEqual(['handler']);
  });
});

/** An API server in a few lines: nothing is there, and what is created is. */
function likeKubernetes({ method, url, body }: SeenRequest, response: Parameters<typeof answerJson>[0]): void {
  const list = url.match(/\/(service|pod)s(\?|$)/)?.[1];
  if (method === 'GET' && list !== undefined) {
    answerJson(response, {
      kind: list === 'pod' ? 'PodList' : 'ServiceList',
      apiVersion: 'v1',
      metadata: {},
      items: [],
    });
    return;
  }
  if (method !== 'POST') {
    answerStatus(response, 404, 'NotFound', { kind: 'services' });
    return;
  }
  const object = JSON.parse(body);
  object.metadata.uid = `uid-of-${object.metadata.name}`;
  if (object.kind === 'Service') object.spec.ports[0].nodePort = 30_123;
  else object.status = { phase: 'Pending' };
  answerJson(response, object, 201);
}

/** What a process has loaded once it has imported a bundle: files, by their paths in the zip, and modules of Node. */
async function importInChild(file: string): Promise<{ files: string[]; builtins: string[] }> {
  const script = `
    const before = new Set(process.moduleLoadList);
    require(process.argv[2]);
    const files = Object.keys(require.cache).filter((file) => file !== __filename);
    const builtins = process.moduleLoadList.filter((name) => !before.has(name));
    process.stdout.write(JSON.stringify({ files, builtins }), () => process.exit());
  `;
  // From a file: for `-e`, Node itself has loaded some of what is looked for.
  const main = join(folder, 'import.cjs');
  await writeFile(main, script);
  const { stdout } = await promisify(execFile)(process.execPath, [main, file], {
    env: { PATH: process.env.PATH ?? '', AWS_LAMBDA_FUNCTION_NAME: 'example' },
  });
  const { files, builtins }: { files: string[]; builtins: string[] } = JSON.parse(stdout);
  return { files: files.map((path) => path.split('/').slice(-2).join('/')), builtins };
}

/** Calls a bundle's handler in a process of its own that has nothing but this environment. */
async function callInChild(
  file: string,
  event: unknown,
  env: Record<string, string>,
): Promise<{ statusCode: number; body: string }> {
  const script = `
    const context = { awsRequestId: 'request', getRemainingTimeInMillis: () => 20_000 };
    require(process.argv[1]).handler(JSON.parse(process.argv[2]), context).then((answer) => {
      process.stdout.write(JSON.stringify(answer), () => process.exit());
    });
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script, file, JSON.stringify(event)], {
    cwd: dirname(file),
    env: { PATH: process.env.PATH ?? '', LOG_LEVEL: 'SILENT', AWS_LAMBDA_FUNCTION_NAME: 'example', ...env },
    timeout: 15_000,
  });
  return JSON.parse(stdout);
}

/** The files of a zip, by its central directory (APPNOTE.TXT 4.3.12); for stored and deflated ones. */
function readZip(zip: Buffer): { path: string; content: Buffer }[] {
  const end = zip.lastIndexOf(Buffer.from('504b0506', 'hex'));
  let at = zip.readUInt32LE(end + 16);
  return Array.from({ length: zip.readUInt16LE(end + 10) }, () => {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset));
    const [method, packedSize, local] = [
      zip.readUInt16LE(at + 10),
      zip.readUInt32LE(at + 20),
      zip.readUInt32LE(at + 42),
    ];
    const path = zip.toString('utf8', at + 46, at + 46 + (nameLength ?? 0));
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const packed = zip.subarray(start, start + packedSize);
    at += 46 + (nameLength ?? 0) + (extraLength ?? 0) + (commentLength ?? 0);
    return { path, content: method === 0 ? packed : inflateRawSync(packed) };
  });
}
