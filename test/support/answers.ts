import { expect } from 'vitest';

import type { HttpAnswer } from './http-call.ts';
import type { SandboxView } from './world.ts';

/** A time as the API tells it: RFC 3339, in UTC. */
export const aTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);

/** A sandbox's view after one more use: what is said here has changed, its expiry was put off, and all else is as it was. */
export const afterUse = (view: SandboxView, changes: Partial<Record<keyof SandboxView, unknown>> = {}) => ({
  ...view,
  expires_at: expect.toSatisfy((expiresAt: unknown) => isPutOff(view.expires_at, expiresAt), 'is put off'),
  ...changes,
});

function isPutOff(before: string | null, after: unknown): boolean {
  if (before === null) return after === null;
  return typeof after === 'string' && Date.parse(after) > Date.parse(before);
}

/** What a list says of a sandbox whose Pod is gone, or going. */
export const withoutPod = { status: 'NotFound', container_id: null, image: null } as const;

/** A get of such a sandbox: not found, so that the caller creates it, which brings its Pod back behind the same URL. */
export const expectNoPod = (answer: HttpAnswer, sandboxId: string): void =>
  expectError(answer, 404, `Sandbox '${sandboxId}' not found: it has no Pod until the next create`);

/** An error of ours: JSON with `detail` and nothing else; the detail a short text, not what Kubernetes said, headers and all. */
export function expectError(answer: HttpAnswer, status: number | readonly number[], detail?: string | RegExp): void {
  expect({ status: answer.status, text: answer.text }).toEqual({
    status: typeof status === 'number' ? status : expect.toBeOneOf([...status]),
    text: expect.any(String),
  });
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(answer.body).toEqual({ detail: expect.any(String) });
  const given = answer.body.detail as string;
  if (detail !== undefined)
    expect(given).toMatch(typeof detail === 'string' ? new RegExp(`^${escapeForRegExp(detail)}$`) : detail);
  expect(given.length, given).toBeLessThan(250);
  expect(given).toMatch(/^\S[^\n{}]*$/);
  expect(given.toLowerCase()).not.toMatch(/"kind"|audit-id|content-type|headers|apiversion|http-code/);
}

/** As `expectError`, for what passes by itself: the caller is told when to come again. */
export function expectUnavailable(answer: HttpAnswer, detail?: string | RegExp): void {
  expectError(answer, 503, detail);
  expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
}

/** What is wrong with a request, in FastAPI's shape: one entry a problem, at these places. */
export function expectUnprocessable(answer: HttpAnswer, ...places: (string | number)[][]): void {
  expect({ status: answer.status, text: answer.text.slice(0, 500) }).toEqual({ status: 422, text: expect.any(String) });
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(answer.body).toEqual({ detail: expect.any(Array) });
  for (const problem of answer.body.detail) {
    expect(problem).toMatchObject({
      type: expect.any(String),
      loc: expect.any(Array),
      msg: expect.stringMatching(/\S/),
    });
    expect(problem).toHaveProperty('input');
  }
  if (places.length > 0) expect(answer.body.detail.map(({ loc }: { loc: unknown }) => loc)).toEqual(places);
}

function escapeForRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
