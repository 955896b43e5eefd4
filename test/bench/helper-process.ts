import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process that answers one question at a time. */
export type HelperProcess = {
  readonly pid: number;
  /** Throws if the process ends instead of answering, or answers `{ error }`. */
  ask<T>(question: unknown): Promise<T>;
  /** Closes its channel, at which it ends, and waits until it has. Throws if it does not end well. */
  end(): Promise<void>;
};

type Settings = { env?: NodeJS.ProcessEnv; execArgv?: string[] };

/**
 * Starts a module as a process of its own. It outlives Ctrl-C, which a terminal sends to all processes at once, and ends when this
 * process does, however that ends. What it prints is thrown away.
 */
export function startHelper(module: string, { env = process.env, execArgv = [] }: Settings = {}): HelperProcess {
  const child: ChildProcess = fork(fileURLToPath(module), [], {
    env,
    execArgv: [...execArgv, '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true,
  });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-10_000);
  });
  const exited = once(child, 'exit');
  let asked: Promise<unknown> = Promise.resolve();

  async function exchange<T>(question: unknown): Promise<T> {
    const answered = once(child, 'message');
    child.send(question as object);
    const answer = await Promise.race([
      answered.then(([message]) => message as T | { error: string }),
      exited.then(([code]) => ({ error: `it ended with ${code ?? child.signalCode}\n${errors}` })),
    ]);
    if (typeof answer === 'object' && answer !== null && 'error' in answer) {
      throw new Error(`${module}: ${answer.error}`);
    }
    return answer as T;
  }

  return {
    pid: child.pid as number,
    ask(question) {
      const answer = asked.then(() => exchange<never>(question));
      asked = answer.catch(() => {});
      return answer;
    },
    async end() {
      if (child.connected) child.disconnect();
      const [code] = await exited;
      if (code !== 0) throw new Error(`${module} did not end well: ${code ?? child.signalCode}\n${errors}`);
    },
  };
}

/** The other side: answers each question, and ends when nobody can ask any more, after it has cleaned up. */
export function answerQuestions<Question>(
  answer: (question: Question) => Promise<unknown>,
  cleanUp: () => Promise<void> = async () => {},
): void {
  process.on('message', async (question: Question) => {
    const answered = await answer(question).catch((error: Error) => ({ error: error.stack ?? error.message }));
    if (process.connected) process.send?.(answered ?? null);
  });
  process.once('disconnect', () => {
    cleanUp().then(
      () => process.exit(0),
      (error) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}
