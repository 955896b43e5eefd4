import type { HttpAnswer } from './http-call.ts';

/** How long each of DeerFlow's calls waits for an answer; what takes longer makes the call of the test throw. */
export const patience = {
  create: { timeoutMs: 30_000 },
  destroy: { timeoutMs: 15_000 },
  read: { timeoutMs: 10_000 },
} as const;

/** What a caller got in the end: an answer, or nothing in the time that it had. */
export type Outcome = Promise<{ answer: HttpAnswer } | { error: unknown }>;

/** Lets a call run beside others without its failure going unhandled before anybody looks at it. */
export const outcomeOf = (answer: Promise<HttpAnswer>): Outcome =>
  answer.then(
    (settled) => ({ answer: settled }),
    (error: unknown) => ({ error }),
  );

/** The answer, if the caller got one in time; throws otherwise. */
export async function answerOf(outcome: Outcome): Promise<HttpAnswer> {
  const settled = await outcome;
  if ('error' in settled) throw new Error('the caller gave up before there was an answer', { cause: settled.error });
  return settled.answer;
}
