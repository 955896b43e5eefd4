// Runs before `npm start`, `npm test` and the others, when the dependencies may not be there yet: plain JavaScript that
// Node 20 reads. Installs what package-lock.json names, unless all of it is installed already; the same in the folders that the
// command names, from the root of the project. And has Git make the check before a commit.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bundledNode = `${root}node_modules/.bin/node`;

for (const folder of ['', ...process.argv.slice(2).map((name) => `${name}/`)]) {
  if (!isInstalled(root + folder)) install(root + folder);
}
requireNode();
useHooks();

/**
 * Whether every package that this machine needs is there in the version that the lock file names.
 * @param {string} folder
 */
function isInstalled(folder) {
  const installed = readPackages(`${folder}node_modules/.package-lock.json`);
  if (installed === undefined) return false;
  const wanted = readPackages(`${folder}package-lock.json`) ?? {};
  return Object.entries(wanted).every(
    // An optional package is another platform's, or is there because its version was installed with the rest.
    ([path, { version, optional }]) =>
      path === '' || (optional && !installed[path]) || installed[path]?.version === version,
  );
}

/**
 * @param {string} path
 * @returns {Record<string, { version: string, optional?: boolean }> | undefined}
 */
function readPackages(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : undefined;
}

/** @param {string} folder */
function install(folder) {
  // Not to standard output: that is for what the command itself prints.
  console.error('Installing the dependencies (npm ci)…');
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  // Whatever the machine's npm is set to leave out: the tools are development dependencies, Node 24 is an optional one.
  const parts = ['--include=dev', '--include=optional'];
  // No install script is needed: those that there are compile, or look whether what was downloaded runs.
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync(command, [...args, 'ci', ...parts, ...flags], { cwd: folder, stdio: ['inherit', 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

/** npm scripts find node_modules/.bin first, and there the Node that came with the dependencies, if this machine can run it. */
function requireNode() {
  if (existsSync(bundledNode)) {
    if (spawnSync(bundledNode, ['--version']).status === 0) return;
    // Made for glibc, and this is musl (Alpine).
    rmSync(bundledNode);
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return;
  console.error(
    `There is no Node 24 package for ${process.platform} ${process.arch}: install Node 22.18 or later (this is ${process.version}).`,
  );
  process.exit(1);
}

/**
 * Git runs what is in .githooks from now on, unless it runs other hooks already. Only in a clone of this project: not in CI, in an
 * unpacked archive, nor where the project is a folder of another repository.
 */
function useHooks() {
  if (process.env.CI || !existsSync(`${root}.git`)) return;
  const git = (/** @type {string[]} */ ...args) => spawnSync('git', args, { cwd: root }).status;
  // 1: it is not set. Anything else: it is, or there is no Git that would make commits.
  if (git('config', 'core.hooksPath') === 1) git('config', 'core.hooksPath', '.githooks');
}
