import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Metafile, Plugin, PluginBuild } from 'esbuild';
import { trimGenerated, whyCut } from './generated-client.ts';

const client = '@kubernetes/client-node';

/** What the client imports and nobody calls: its own way to the API server, which ours replaces. */
const neverCalled = ['undici'];

/**
 * What most requests do without: the logger, for nothing is said of those that go well, and what some kubeconfigs need, to be
 * read or to go where they say.
 */
const seldomCalled = ['@aws-lambda-powertools/logger', 'hpagent', 'js-yaml', 'socks-proxy-agent'];

/** Code that answers the simplest calls of a package without loading it. */
const shortcuts: Readonly<Record<string, string>> = {
  // JSON is YAML, but that a key may stand twice. To load the package and to read a kubeconfig with it takes some 10 ms.
  'js-yaml': `if (name === 'load') return (text, options) => {
    if (text.startsWith('{')) try { return JSON.parse(text); } catch {}
    return require('js-yaml').load(text, options);
  };`,
};

/** What of Node most requests do without, or `node:https` brings with it anyway. */
const seldomCalledOfNode = ['node:child_process', 'node:crypto', 'node:http', 'node:net'];

/**
 * Bundles of the Kubernetes client, which has every call and every object of Kubernetes, what our sources use: they import
 * it from its root and know nothing of this. Left out is what cannot be reached: calls that no source names, models that no
 * call sends or gets, the HTTP client that we have another one for. What is seldom called runs when it is first called. Fails
 * the build when the client is not laid out as it was when this was written.
 */
export function trimClient(): Plugin {
  const dist = dirname(createRequire(import.meta.url).resolve(client));
  const isInClient = (importer: string) => importer.startsWith(dist);
  return {
    name: 'trim-client',
    setup(build) {
      // Its modules do nothing but define what they export. One does more, polyfill.js: for Node 18.
      build.onResolve({ filter: new RegExp(`^${client}$`) }, () => ({
        path: join(dist, 'index.js'),
        sideEffects: false,
      }));
      build.onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ path, importer, resolveDir }) =>
        isInClient(importer) ? { path: join(resolveDir, path), sideEffects: false } : undefined,
      );
      build.onResolve({ filter: anyOf(neverCalled) }, ({ path, importer }) =>
        isInClient(importer) ? { path, namespace: 'never-called' } : undefined,
      );
      build.onResolve({ filter: anyOf([...seldomCalled, ...seldomCalledOfNode]) }, ({ path, namespace }) =>
        namespace === 'seldom-called' ? undefined : { path, namespace: 'seldom-called' },
      );
      build.onLoad({ filter: /./, namespace: 'never-called' }, ({ path }) => ({
        contents: asTouched(`throw new Error(${JSON.stringify(whyCut(path))} + ' (' + String(name) + ')')`),
      }));
      build.onLoad({ filter: /./, namespace: 'seldom-called' }, ({ path }) => ({
        contents: asTouched(`${shortcuts[path] ?? ''} return require(${JSON.stringify(path)})[name]`),
      }));
      build.onResolve({ filter: /./, namespace: 'seldom-called' }, ({ path }) => ({ path, external: true }));
      let trimmed: Promise<Map<string, string>> | undefined;
      build.onLoad({ filter: /[\\/]gen[\\/](apis|types|models)[\\/]\w+\.js$/ }, async ({ path }) => {
        if (!isInClient(path)) return undefined;
        trimmed ??= readWords(build).then((words) =>
          trimGenerated(
            (file) => readFile(join(dist, file), 'utf8'),
            (word) => words.has(word),
          ),
        );
        const contents = (await trimmed).get(path.slice(dist.length + 1).replaceAll('\\', '/'));
        return contents === undefined ? undefined : { contents };
      });
      build.onLoad({ filter: /\.[jt]s$/ }, async ({ path }) => ({
        contents: requireWhole(await readFile(path, 'utf8')),
        loader: path.endsWith('.ts') ? 'ts' : 'js',
      }));
    },
  };
}

const anyOf = (names: readonly string[]) => new RegExp(`^(${names.join('|')})$`);

/**
 * A CommonJS module of which each export is found when it is touched. It has none of its own: esbuild copies these, one by one,
 * wherever a module is imported, but leaves the copy the prototype.
 */
const asTouched = (find: string): string =>
  `module.exports = Object.create(new Proxy({}, { get(_, name) { if (name === '__esModule') return; ${find}; } }));`;

/**
 * The same source with `require` where it imports all of a module of Node as one object: for an `import`, esbuild makes a copy
 * with a getter for each of its exports, in each module that has one.
 */
const requireWhole = (source: string): string =>
  source.replace(/^import (\w+) from '(node:\w+)';$/gm, "const $1 = require('$2');");

/** The packages that a bundle made with `trimClient` needs beside it, because it loads them when they are first called. */
export const findSeldomCalled = ({ inputs }: Metafile): string[] =>
  seldomCalled.filter((name) => inputs[`seldom-called:${name}`] !== undefined);

/** Every word of the sources that this build is of. A call of the client that is made is among them. */
async function readWords({ esbuild, initialOptions }: PluginBuild): Promise<ReadonlySet<string>> {
  const { absWorkingDir = '', entryPoints = [] } = initialOptions;
  const { metafile } = await esbuild.build({
    absWorkingDir,
    entryPoints,
    bundle: true,
    packages: 'external',
    platform: 'node',
    write: false,
    outdir: 'words',
    metafile: true,
    logLevel: 'silent',
  });
  const texts = await Promise.all(
    Object.keys(metafile.inputs).map((path) => readFile(join(absWorkingDir, path), 'utf8')),
  );
  return new Set(texts.flatMap((text) => text.match(/\w+/g) ?? []));
}
