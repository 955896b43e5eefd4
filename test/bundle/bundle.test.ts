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
import { allSettings } from '../../lib/config/themes.ts';
import { type Artifact, buildArtifact } from '../../lib/deploy/bundle.ts';
import { viewerFile } from '../../lib/openapi/page.ts';

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
  'get-presence',
  'get-events',
  'get-logs',
  'get-ready',
  'list-sandboxes',
  'renew-sandbox',
  'update-sandbox',
  'sign-url',
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
    const viewer = name === 'get-docs' ? [`node_modules/${viewerFile}`] : [];
    expect(others.filter((path) => !/^node_modules\/(@[\w-]+\/)?[\w-]+\.js$/.test(path))).toEqual(viewer);
    const ofAll = ['logger', 'metrics'].map((one) => `node_modules/@aws-lambda-powertools/${one}.js`);
    expect(others).toEqual(expect.arrayContaining(ofAll));
    expect(others.length > ofAll.length + viewer.length).toBe(askingNames.includes(name));
  });

  it('is small', async () => {
    expect((await readFile(built(name).zip)).length).toBeLessThan(name === 'get-docs' ? 300_000 : 250_000);
    // V8 reads all of it at each cold start.
    expect(built(name).code.length).toBeLessThan(452_000);
  });

  it('holds what was bundled, without a source map or a word about one', async () => {
    for (const { path, content } of built(name).entries) {
      expect(content.equals(await readFile(join(folder, 'first', name, path))), path).toBe(true);
    }
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

  it('holds nothing of what docs/settings.md says', () => {
    const told = Object.values(allSettings).filter(({ doc }) => doc.length > 60 && built(name).code.includes(doc));
    expect(told.map(({ doc }) => doc)).toEqual([]);
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
      import { buildArtifact } from ${JSON.stringify(pathToFileURL(join(root, 'lib/deploy/bundle.ts')).href)};
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

  it('describes the API in the one function that says it', () => {
    const describing = [...builds.keys()].filter((name) =>
      built(name).sources.some((one) => one.includes('lib/openapi/')),
    );
    expect(describing).toEqual(['get-openapi', 'get-docs']);
    const withAnswers = describing.filter((name) =>
      built(name).sources.some((one) => one.endsWith('openapi/answers.ts')),
    );
    expect(withAnswers).toEqual(['get-openapi']);
  });

  it('has the console as it was built in the one function that shows it, and nothing of what builds it', () => {
    const mark = 'There are no sandboxes.';
    expect([...builds.keys()].filter((name) => built(name).code.includes(mark))).toEqual(['get-console']);
    expect(built('get-console').sources.filter((one) => /esbuild|preact|browser/.test(one))).toEqual([]);
  });

  it('asks for events, logs and rights in the functions that tell of them alone', () => {
    const asking = [...builds.keys()].filter((name) =>
      built(name).sources.some((one) => one.endsWith('kubernetes/diagnostics.ts')),
    );
    expect(asking).toEqual(['get-events', 'get-logs']);
    const inspecting = [...builds.keys()].filter((name) =>
      built(name).sources.some((one) => /(kubernetes\/inspection|model\/rights)\.ts$/.test(one)),
    );
    expect(inspecting).toEqual(['get-ready']);
  });

  it.each([
    ['/health, whose line is for DEBUG', 'health', {}, 'GET', []],
    ['an unknown path, whose line nobody wants', 'fallback', { LOG_LEVEL: 'WARN' }, 'GET', []],
    ['an unknown path', 'fallback', {}, 'GET', ['logger']],
    ['an unknown path, measured', 'fallback', { LOG_LEVEL: 'WARN', METRICS: 'emf' }, 'GET', ['metrics']],
  ])('loads the logger and the metrics for who has something to tell: %s', async (_what, name, env, method, loaded) => {
    const script = `
      const event = { routeKey: 'x', rawPath: '/x', requestContext: { http: { method: '${method}' } } };
      if (process.argv[2].includes('health')) event.routeKey = 'GET /health';
      require(process.argv[2]).handler(event, { awsRequestId: 'r' }).then(() => {
        const files = Object.keys(require.cache).filter((file) => file.includes('node_modules'));
        require('node:fs').writeSync(2, JSON.stringify(files));
        process.exit();
      });
    `;
    const main = join(folder, 'call.cjs');
    await writeFile(main, script);
    const { stderr } = await promisify(execFile)(
      process.execPath,
      [main, join(folder, 'unpacked', name, 'functions', `${name}.cjs`)],
      { env: { PATH: process.env.PATH ?? '', AWS_LAMBDA_FUNCTION_NAME: 'example', ...env } },
    );
    const files: string[] = JSON.parse(stderr);
    expect(files.map((file) => /([a-z]+)\.js$/.exec(file)?.[1])).toEqual(loaded);
  });

  it('has what sends events beside it in the functions that send some alone', () => {
    const sending = [...builds.keys()].filter((name) =>
      built(name).entries.some(({ path }) => path === 'node_modules/@sandbox-provisioner/events.js'),
    );
    expect(sending).toEqual(['create-sandbox', 'get-sandbox', 'destroy-sandbox', 'cleanup-sandboxes']);
    for (const name of sending) expect(built(name).code).not.toContain('webhook-signature');
  });

  it('is there for every function of serverless.yml', () => {
    const others = ['fallback', 'get-capabilities', 'get-console', 'get-docs', 'get-openapi', 'health'];
    expect([...builds.keys()].toSorted()).toEqual([...others, ...askingNames].toSorted());
  });
});

// How the functions answer: lambda-runtime.test.ts.
describe('what is unpacked from the zip', () => {
  it.each(modules)('exports the handler and nothing else: $name', ({ name, module }) => {
    const exported = createRequire(import.meta.url)(join(folder, 'unpacked', name, `${module}.cjs`));
    expect(Object.keys(exported)).toEqual(['handler']);
  });
});

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
