import { spawn, spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { callHttp } from '../support/http-call.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('what npm run build makes is all that the image needs to serve', { timeout: 60_000 }, async () => {
  const built = spawnSync(process.execPath, ['lib/tools/build.ts'], { cwd: root, encoding: 'utf8' });
  expect(built).toMatchObject({ status: 0, stderr: '' });
  const dockerfile = await readFile(path.join(root, 'Dockerfile'), 'utf8');
  const [, folder = ''] = /^COPY --from=build \/src\/(\S+) \.$/m.exec(dockerfile) ?? [];
  const [, file = ''] = /^CMD \["node", "(\S+)"\]$/m.exec(dockerfile) ?? [];
  expect(path.join(root, folder, file)).toBe(built.stdout.trim());
  expect(dockerfile).toContain(` rm ${folder}/${file}.map\n`);

  // Where nothing that the bundle forgot is found in node_modules.
  const image = await mkdtemp(path.join(tmpdir(), 'sandbox-provisioner-image-'));
  onTestFinished(() => rm(image, { recursive: true, force: true }));
  await cp(path.join(root, folder), image, { recursive: true });
  const env = {
    HOST: '127.0.0.1',
    PORT: '0',
    KUBECONFIG_WAIT_SECONDS: '0',
    KUBECONFIG_CONTENT: 'a: [YAML]',
    METRICS: 'prometheus',
  };
  const server = spawn(process.execPath, [file], { cwd: image, env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void server.kill('SIGKILL'));
  let output = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (output += text));
  await expect.poll(() => output, { timeout: 30_000 }).toContain('no way to Kubernetes');
  const lines = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ message }) => message).toSorted()).toEqual([
    'Every caller is refused: no key is set',
    'Listening',
    'There is no way to Kubernetes yet',
  ]);
  const { port } = lines.find(({ message }) => message === 'Listening');
  const ask = (route: string) => callHttp({ method: 'GET', url: `http://127.0.0.1:${port}${route}` });
  expect(await ask('/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
  for (const path of ['/api/sandboxes', '/metrics']) expect(await ask(path)).toMatchObject({ status: 401 });
  expect(await ask('/')).toMatchObject({ status: 200, text: expect.stringContaining('<div id="console">') });
  server.kill();
  expect(await new Promise((resolve) => server.once('exit', resolve))).toBe(0);
});
