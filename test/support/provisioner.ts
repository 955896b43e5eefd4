import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseApiKeys } from '../../lib/config/callers.ts';
import { serverFile } from './bundles.ts';
import { eventually } from './eventually.ts';
import { findFreePorts, isListening } from './free-ports.ts';
import { callHttp } from './http-call.ts';
import { keepSecret, watchLog } from './secrets.ts';

/** The provisioner as `npm start` runs it, or as the server of `npm run build`. */
export interface Provisioner {
  readonly url: string;
  readonly pid: number;
  /** The ports it was told to listen on. */
  readonly ports: readonly number[];
  /** What it has printed so far. */
  output(): string;
  /** Ctrl-C. Throws where a process of it or one of its ports outlives it by 15 s. */
  stop(): Promise<void>;
  /** The same with another signal, or with a longer time. */
  end(signal: NodeJS.Signals, withinMs?: number): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BIN = path.join(ROOT, 'node_modules', '.bin');

// Loaded into the provisioner, or into npm and what it starts: Ctrl-C when its standard input ends, which it does however the
// tests' own process ends. Not into a thread, whose creator may wait for it.
const END_WITH_TESTS = `--import=data:text/javascript,${encodeURIComponent(
  `if (process.getBuiltinModule('node:worker_threads').isMainThread)
    process.stdin.on('end', () => process.kill(process.pid, 'SIGINT')).resume().unref();`,
)}`;

/** What starts it where a test does not say: `SANDBOX_TEST_SERVER=true` has the server stand in for serverless-offline. */
const usual = process.env.SANDBOX_TEST_SERVER === 'true' ? 'server' : 'node';

/**
 * Starts the functions under serverless-offline on free ports, with these settings and no others; waits until they answer. As
 * `npm start` does; with `npm` in `by`, it is npm that starts them, and npm alone that gets the signals. With `server`, it is the server.
 */
export async function startProvisioner(
  settings: Record<string, string>,
  by: 'node' | 'npm' | 'server' = usual,
): Promise<Provisioner> {
  const ports = await findFreePorts(1);
  const [port] = ports;
  const inherited = Object.fromEntries(
    ['PATH', 'HOME', 'TMPDIR', 'LANG', 'SYSTEMROOT', 'OFFLINE_BUNDLES'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const [command, args] = {
    npm: ['npm', ['start']] as const,
    node: [
      process.execPath,
      [END_WITH_TESTS, path.join(BIN, 'serverless'), 'offline', 'start', '--noSponsor'],
    ] as const,
    server: [process.execPath, [END_WITH_TESTS, serverFile()]] as const,
  }[by];
  // Its output ends with the tests' own process; a pipe of ours would end with npm, and what npm leaves behind with it.
  const leash = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
  const child = spawn(command, args, {
    cwd: ROOT,
    env: {
      ...inherited,
      ...(by === 'npm' && { NODE_OPTIONS: END_WITH_TESTS, npm_config_update_notifier: 'false' }),
      PATH: [BIN, process.env.PATH].join(path.delimiter),
      // Some fifty are started in a run of the tests: a quarter of that is the compilation of the same files.
      NODE_COMPILE_CACHE: path.join(ROOT, 'node_modules', '.cache', 'compiled'),
      HOST: '127.0.0.1',
      PORT: String(port),
      // Not while tests run: what it finds it would adopt, or remove, before they look.
      CLEANUP_SCHEDULE: by === 'server' ? 'rate(20 days)' : 'cron(0 0 1 1 ? *)',
      ...settings,
    },
    stdio: [leash.stdout, 'pipe', 'pipe'],
  });
  // A shorter one would be found by chance.
  const longKeys = parseApiKeys(settings.PROVISIONER_API_KEY ?? '')?.filter(({ length }) => length >= 8);
  for (const apiKey of longKeys ?? []) keepSecret(apiKey);
  // Whoever is left of it holds its output open.
  const ended = once(child, 'close').finally(() => leash.kill());
  let output = '';
  watchLog('the log of a provisioner', () => output);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output += text;
    });
  }

  async function end(signal: NodeJS.Signals, withinMs = 15_000): Promise<void> {
    const hasExited = () => child.exitCode !== null || child.signalCode !== null;
    if (hasExited()) {
      throw new Error(`the provisioner had ended by itself: ${child.signalCode ?? child.exitCode}\n${output}`);
    }
    child.kill(signal);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      kill();
    }, withinMs);
    await ended;
    clearTimeout(timer);
    if (isLate) throw new Error(`the provisioner has outlived ${signal}\n${output}`);
    for (const used of ports) {
      if (await isListening(used)) throw new Error(`port ${used} is still open after ${signal}`);
    }
  }

  /** What npm has started gets no signal of ours, but sees its input end. */
  function kill(): void {
    child.kill('SIGKILL');
    leash.kill();
  }

  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually(
      'answering GET /health',
      async () => {
        if (child.exitCode !== null) throw new Error(`the provisioner ended with exit code ${child.exitCode}`);
        return callHttp({ method: 'GET', url: `${url}/health`, timeoutMs: 10_000 }).then(
          ({ status }) => status,
          (error: NodeJS.ErrnoException) => error.code,
        );
      },
      (answer) => answer === 200,
      60_000,
    );
  } catch (cause) {
    kill();
    throw new Error(`the provisioner did not start\n${output}`, { cause });
  }
  return { url, pid: child.pid as number, ports, output: () => output, stop: () => end('SIGINT'), end };
}
