import { expect } from 'vitest';
import type { HttpAnswer } from './http-call.ts';

type Told = { status?: unknown; ready?: unknown; reason?: unknown; message?: unknown };

/**
 * Takes what an answer says of readiness out of its body, and looks whether it makes sense: it changes by itself, several times in a
 * second, which the tests of all else do not want to see. The text of the answer stays as it is.
 */
export function setReadinessAside<Answer extends Pick<HttpAnswer, 'body'>>(answer: Answer): Answer {
  const views: Told[] = answer.body?.sandboxes ?? (answer.body?.sandbox_url === undefined ? [] : [answer.body]);
  for (const view of views) {
    const { status, ready, reason, message } = view;
    if (ready === true) expect({ status, reason, message }).toEqual({ status: 'Running' });
    else {
      expect({ ready, reason, message }).toEqual({
        ready: false,
        reason: expect.stringMatching(/^[A-Z][A-Za-z]+$/),
        message: expect.any(String),
      });
      expect(String(message).length).toBeLessThanOrEqual(250);
    }
    for (const field of ['ready', 'reason', 'message'] as const) delete view[field];
  }
  return answer;
}
