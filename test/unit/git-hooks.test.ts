import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const hasGit = spawnSync('git', ['--version']).status === 0;

describe.skipIf(!hasGit)('the check before a commit', () => {
  const temporary = mkdtempSync(path.join(tmpdir(), 'git-hooks-'));
  afterAll(() => rmSync(temporary, { recursive: true, force: true }));

  let project: string;
  // Neither the machine's Git settings nor a commit that these tests run in.
  const { PATH } = process.env;
  const env = { PATH, HOME: temporary, GIT_CONFIG_NOSYSTEM: '1' };
  const run = (command: string, args: string[], more: NodeJS.ProcessEnv = {}, cwd = project) =>
    spawnSync(command, args, { cwd, env: { ...env, ...more }, encoding: 'utf8' });
  const git = (...args: string[]) => run('git', ['-c', 'user.name=n', '-c', 'user.email=e@example.com', ...args]);
  const install = (more: NodeJS.ProcessEnv = {}) => {
    const { status, stdout } = run(process.execPath, ['lib/tools/install-dependencies.js'], more);
    return { status, stdout };
  };
  const hooksPath = () => git('config', 'core.hooksPath').stdout.trim();
  const passed = { status: 0, stdout: '' };

  /** A copy of the project with one file of code; its dependencies are installed. */
  beforeEach(() => {
    project = mkdtempSync(path.join(temporary, 'project-'));
    for (const name of [
      '.biome.json',
      '.githooks',
      '.gitignore',
      'package.json',
      'lib/tools/install-dependencies.js',
    ]) {
      cpSync(path.join(root, name), path.join(project, name), { recursive: true });
    }
    const compilerOptions = { strict: true, noEmit: true, types: [] };
    mkdirSync(path.join(project, 'lib/console/browser'), { recursive: true });
    for (const folder of ['', 'lib/console/browser']) {
      const config = JSON.stringify({ compilerOptions, include: [path.join(project, 'lib/*.ts')] });
      writeFileSync(path.join(project, folder, 'tsconfig.json'), config);
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(project, 'node_modules'));
  });

  it('is made in a clone from the first command on', () => {
    git('init', '--quiet');
    expect(install()).toEqual(passed);
    expect(hooksPath()).toBe('.githooks');
  });

  it.each([
    ['in an unpacked archive', () => {}, {}],
    ['without Git', () => git('init', '--quiet'), { PATH: '/nowhere' }],
    ['in CI', () => git('init', '--quiet'), { CI: 'true' }],
    ['in a folder of another repository', () => run('git', ['init', '--quiet'], {}, temporary), {}],
  ])('is not made, and is no error: %s', (_what, prepare, more) => {
    prepare();
    expect(install(more)).toEqual(passed);
    expect(hooksPath()).toBe('');
    rmSync(path.join(temporary, '.git'), { recursive: true, force: true });
  });

  it('does not take the place of hooks that are there', () => {
    git('init', '--quiet');
    git('config', 'core.hooksPath', 'mine');
    expect(install()).toEqual(passed);
    expect(hooksPath()).toBe('mine');
  });

  it.each([
    ['right', 'export const a: number = 1;\n', 0],
    ['not formatted', 'export const a: number = 1\n', 1],
    ['a wrong import', "import './tools/install-dependencies.js';\n", 1],
    ['a wrong type', "export const a: number = '1';\n", 1],
  ])('looks at what is staged: %s', (_what, text, status) => {
    git('init', '--quiet');
    install();
    mkdirSync(path.join(project, 'lib/kubernetes'));
    writeFileSync(path.join(project, 'lib/code.ts'), text);
    // Not staged, so nobody minds.
    writeFileSync(path.join(project, 'lib/later.ts'), 'export  const b=1');
    git('add', 'lib/code.ts');
    expect(git('commit', '--quiet', '-m', 'm').status).toBe(status);
  });

  it('lets a commit pass where there are no dependencies to check with, and says so', () => {
    git('init', '--quiet');
    install();
    rmSync(path.join(project, 'node_modules'));
    git('add', 'package.json');
    const withoutBiome = {
      PATH: PATH?.split(path.delimiter)
        .filter((one) => !one.includes('node_modules'))
        .join(':'),
    };
    const commit = ['-c', 'user.name=n', '-c', 'user.email=e@example.com', 'commit', '--quiet', '-m', 'm'];
    const { status, stderr } = run('git', commit, withoutBiome);
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining('Not checked') });
  });
});
