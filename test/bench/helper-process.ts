import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process that answers one question after the other. */
export type HelperProcess = {
  /** Throws if the process ends instead of answering, or answers `{ error }`. */
  ask<T>(question: unknown): Promise<T>;
  /** Closes its channel, at which it cleans up and ends, and waits until it has. */
  end(): Promise<void>;
};

/** Starts a module as a process of its own. It outlives Ctrl-C, which a terminal sends to all, and ends when this process does. */
export function startHelper(module: string, env = process.env, execArgv: string[] = []): HelperProcess {
  const child = fork(fileURLToPath(module), [], {
    env,
    execArgv: [...execArgv, '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  });
  const exited = once(child, 'exit');
  return {
    async ask<T>(question: unknown) {
      const answered = once(child, 'message');
      child.send(question as object);
      const ended = exited.then(([code]) => [{ error: `it ended with ${code ?? child.signalCode}` }]);
      const [answer] = (await Promise.race([answered, ended])) as [T & { error?: string }];
      if (answer?.error !== undefined) throw new Error(`${module}: ${answer.error}`);
      return answer;
    },
    async end() {
      if (child.connected) child.disconnect();
      await exited;
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
    if (process.connected) process.send?.(answered);
  });
  process.once('disconnect', () => cleanUp().finally(() => process.exit()));
}
