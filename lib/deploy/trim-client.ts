import { access, readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Metafile, Plugin } from 'esbuild';

const client = '@kubernetes/client-node';

/** What the client imports for its own way to the API server, which ours replaces. It does not ship: nobody calls it. */
const neverCalled = 'undici';

/**
 * What many requests do without: the logger, where the settings ask for no line of those that go well; the metrics, where they ask for
 * none; and what some kubeconfigs need, to be read or to go where they say.
 */
const seldomCalled = [
  '@aws-lambda-powertools/logger',
  '@aws-lambda-powertools/metrics',
  'js-yaml',
  'prom-client',
  'socks-proxy-agent',
];

/** What of our own they do without: the modules, by the names of the packages that they become beside the bundle. */
const seldomCalledOfOurs: Readonly<Record<string, string>> = { '@sandbox-provisioner/events': 'lib/events/sending.ts' };

/** What of Node most requests, or `health`, do without. */
const seldomCalledOfNode = ['node:child_process', 'node:crypto', 'node:http', 'node:net'];

/** Code that answers the simplest calls of a package without loading it. */
const shortcuts: Readonly<Record<string, string>> = {
  // JSON is YAML, but that a key may stand twice. To load the package and to read a kubeconfig with it takes some 10 ms.
  'js-yaml': `if (name === 'load') return (text, options) => {
    if (text.startsWith('{')) try { return JSON.parse(text); } catch {}
    return require('js-yaml').load(text, options);
  };`,
};

/**
 * Bundles of the Kubernetes client, which has every call and every object of Kubernetes, what our sources name. They import it from
 * its root and know nothing of this. What is seldom called is loaded when it is first called. Where the client is not laid out as
 * this expects, it is bundled whole, with a warning that says why and how large that is. What each part saves: docs/performance.md.
 *
 * @param root the project's folder
 */
export function trimClient(root: string): Plugin {
  const dist = dirname(createRequire(join(root, 'package.json')).resolve(client));
  const isInClient = (path: string) => path.startsWith(dist);
  let trimming: ReturnType<typeof trim> | undefined;
  return {
    name: 'trim-client',
    setup(build) {
      // The client has a table with all of its models. Those that are left out are undefined there.
      build.initialOptions.logOverride = { 'import-is-undefined': 'silent' };
      build.onResolve({ filter: /^/ }, async ({ path, importer, resolveDir, namespace }) => {
        if (namespace === 'when-called') return { path, external: true };
        if (seldomCalled.includes(path) || seldomCalledOfNode.includes(path)) return { path, namespace: 'when-called' };
        const own = findOwn(relative(root, join(resolveDir, path)));
        if (own !== undefined) return { path: own, namespace: 'when-called' };
        if (path !== client && !isInClient(importer)) return undefined;
        trimming = trimmings.get(root) ?? trim(root, dist);
        trimmings.set(root, trimming);
        if ('whole' in (await trimming)) return undefined;
        if (path === neverCalled) return { path, namespace: 'when-called' };
        // Its modules only define what they export. One does more, polyfill.js: for Node 18.
        if (path === client) return { path: join(dist, 'index.js'), sideEffects: false };
        return /^\..*\.js$/.test(path) ? { path: join(resolveDir, path), sideEffects: false } : undefined;
      });
      build.onLoad({ filter: /\.js$/ }, async ({ path }) => {
        const contents = isInClient(path) ? (await trimming)?.files?.get(path) : undefined;
        return contents === undefined ? undefined : { contents };
      });
      // Each export is found when it is touched. It has none of its own: esbuild would touch them all where it is imported.
      build.onLoad({ filter: /^/, namespace: 'when-called' }, ({ path }) => ({
        contents: `module.exports = Object.create(new Proxy({}, { get(_, name) {
          if (name === '__esModule') return;
          ${shortcuts[path] ?? ''}
          return require(${JSON.stringify(path)})[name];
        } }));`,
      }));
      build.onEnd(async ({ metafile }) => {
        const { whole } = (await trimming) ?? {};
        if (whole === undefined) return;
        const [bundle, { bytes }] = Object.entries(metafile?.outputs ?? {}).find(
          ([path]) => !path.endsWith('.map'),
        ) ?? ['', { bytes: 0 }];
        // esbuild itself prints no warning that comes this late.
        console.warn(
          `Warning: ${bundle} has ${Math.round(bytes / 1000)} KB in place of some 400, and a cold start takes some 90 ms longer: ` +
            `${client} is bundled whole, because lib/deploy/trim-client.ts does not know its layout (${whole}).`,
        );
      });
    },
  };
}

const findOwn = (file: string) => Object.entries(seldomCalledOfOurs).find(([, module]) => module === file)?.[0];

/**
 * The packages that a bundle made with `trimClient` needs beside it, because it loads them when they are first called; and what each is
 * made of.
 */
export const findSeldomCalled = ({ inputs }: Metafile): { name: string; entryPoint: string }[] =>
  [...seldomCalled.map((name) => [name, name] as const), ...Object.entries(seldomCalledOfOurs)].flatMap(
    ([name, entryPoint]) => (inputs[`when-called:${name}`] === undefined ? [] : [{ name, entryPoint }]),
  );

/** By the project's folder: every function has the same client. */
const trimmings = new Map<string, ReturnType<typeof trim>>();

type Model = { getAttributeTypeMap(): { type: string }[] };

/**
 * Finds the files of the client that are to be others than they are, by their paths: APIs without the calls that our sources do not
 * name, and nothing in the place of models that the other calls do not send or get. Asks the client's own classes what is in them. Where
 * they do not say, gives the reason why the client is to stay `whole`.
 */
async function trim(root: string, dist: string): Promise<{ files?: Map<string, string>; whole?: string }> {
  try {
    const load = async (file: string): Promise<object> => import(pathToFileURL(join(dist, file)).href);
    const exported = Object.entries(await load('index.js'));
    const models = new Map(
      exported.filter((entry): entry is [string, Model] => 'getAttributeTypeMap' in Object(entry[1])),
    );
    // No other room calls the client.
    const reached = new Set((await readSources(join(root, 'lib/kubernetes'))).flatMap(readWords));
    const apis = exported.map(([name]) => name).filter((name) => name.endsWith('Api') && reached.has(name));
    const files = new Map<string, string>();
    const methods: { file: string; name: string; source: string }[] = [];
    for (const file of [
      ...apis.map((api) => `gen/apis/${api}.js`),
      'gen/types/ObservableAPI.js',
      'gen/types/ObjectParamAPI.js',
    ]) {
      files.set(join(dist, file), await readFile(join(dist, file), 'utf8'));
      const found = findMethods(await load(file), apis);
      methods.push(...found.map(([name, source]) => ({ file: join(dist, file), name, source })));
    }
    const sources = Map.groupBy(methods, ({ name }) => name);
    // Which words lead to which, through methods and models. The loop comes to what is added on its way.
    for (const word of reached) {
      const texts = sources.get(word)?.map(({ source }) => source) ?? [];
      const types =
        models
          .get(word)
          ?.getAttributeTypeMap()
          .map(({ type }) => type) ?? [];
      for (const next of [...texts, ...types].flatMap(readWords)) reached.add(next);
    }
    const cut = methods.filter(({ name }) => !reached.has(name));
    const unreached = [...models.keys()].filter((name) => !reached.has(name));
    if (cut.length === methods.length || unreached.length === models.size)
      return { whole: 'it has no such calls or no such models' };
    for (const { file, name, source } of cut) {
      const text = files.get(file) as string;
      if (!text.includes(source)) return { whole: `${name} is not in ${file}` };
      files.set(file, text.replace(source, ''));
    }
    for (const file of unreached.map((name) => join(dist, `gen/models/${name}.js`))) {
      await access(file);
      files.set(file, '');
    }
    return { files };
  } catch (error) {
    return { whole: (error as Error).message };
  }
}

async function readSources(folder: string): Promise<string[]> {
  const paths = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('.ts'));
  return Promise.all(paths.map((path) => readFile(join(folder, path), 'utf8')));
}

const readWords = (text: string): string[] => text.match(/\w+/g) ?? [];

/** The methods of these APIs' classes: their names, and their sources as they stand in the file. */
function findMethods(exported: object, apis: readonly string[]): [name: string, source: string][] {
  return Object.entries(exported)
    .filter(([name]) => apis.some((api) => name.includes(api)))
    .flatMap(([, { prototype }]) => Object.entries(Object.getOwnPropertyDescriptors(prototype as object)))
    .filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function')
    .map(([name, { value }]) => [name, String(value)]);
}
