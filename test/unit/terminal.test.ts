import { describe, expect, it } from 'vitest';
import { renderLine } from '../../lib/local/terminal.ts';

const at = new Date(2026, 10, 25, 9, 5, 7);
const request = {
  routeKey: 'POST /api/sandboxes',
  statusCode: 200,
  durationMs: 31,
  kubernetesCalls: 2,
  kubernetesMs: 28,
};
const render = (level: 'info' | 'warn' | 'error', message: string, details: object) =>
  renderLine(level, message, { ...details }, at, false);

describe('a line for a person', () => {
  it.each<[string, string, string]>([
    [
      'a create',
      render('info', 'Answered', { ...request, requestId: 'r', sandboxId: '3f2a9c11', did: 'created', audit: true }),
      '09:05:07 INFO  POST /api/sandboxes 200 31 ms (Kubernetes: 2 calls, 28 ms) 3f2a9c11 created',
    ],
    [
      'an error, whose cause has no stack',
      render('error', 'It is away', {
        ...request,
        requestId: 'r',
        statusCode: 503,
        kubernetesCalls: 1,
        errorKind: 'unavailable',
        cause: { code: 503 },
      }),
      '09:05:07 ERROR POST /api/sandboxes 503 31 ms (Kubernetes: 1 call, 28 ms) - It is away (request r)\n    {"code":503}',
    ],
    [
      'an error of ours, with where it began',
      render('error', 'Internal Server Error', {
        ...{
          requestId: 'r',
          routeKey: '$default',
          statusCode: 500,
          durationMs: 1,
          kubernetesCalls: 0,
          errorKind: 'failed',
        },
        cause: { stack: 'TypeError: a\n    at b' },
      }),
      '09:05:07 ERROR $default 500 1 ms - Internal Server Error (request r)\n    TypeError: a\n        at b',
    ],
    [
      'something else',
      render('warn', 'Could not roll back a Service', { service: 's', error: new Error('gone "away"'), audit: true }),
      '09:05:07 WARN  Could not roll back a Service service="s" error="gone \\"away\\""',
    ],
  ])('%s', (_what, line, expected) => expect(line).toBe(expected));

  const nasty = 'a\nb\r\u001b[31m\u009b31m\u2028\u2029\u007f\u202e';
  it.each<[string, object]>([
    ['a request', { ...request, routeKey: nasty, sandboxId: nasty, errorKind: 'failed' }],
    ['another', { [nasty]: nasty, error: new Error(nasty), deep: { text: nasty } }],
  ])('is one, without a command for a terminal, whatever is in it: %s', (_what, details) => {
    expect(render('info', nasty, details)).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u);
  });

  it('below which a stack stands has nothing of it at its beginning, and no command', () => {
    const lines = render('error', 'm', { cause: { stack: nasty } }).split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines.slice(1)) expect(line).toMatch(/^ {4}[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u);
  });

  it('has a colour for its level alone, on a terminal', () => {
    expect(renderLine('warn', 'm', {}, at, true)).toBe('09:05:07 \u001b[33mWARN \u001b[0m m');
  });
});
