import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { podName, sandboxIdPattern, serviceName, threadIdPattern } from '../../lib/model/names.ts';

// What Kubernetes itself checks (k8s.io/apimachinery/pkg/util/validation).
const rfc1035Label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

/** Strings near the border: of the characters that matter, up to one more than is allowed. */
const nearId = fc.oneof(
  fc.string({ maxLength: 52 }),
  fc.string({ unit: fc.constantFrom(...'az09AZ-_./\\ \n\0é'), maxLength: 52 }),
  fc.string({ unit: fc.constantFrom(...'az09-'), minLength: 1, maxLength: 52 }),
);

describe('a sandbox_id', () => {
  it.each(['a', '0', 'a1b2c3d4', '0123456789abcdef', 'with-dash', 'a--b', 'x'.repeat(51)])('may be %j', (sandboxId) =>
    expect(sandboxIdPattern.test(sandboxId)).toBe(true),
  );

  it.each([...' - -a a- A a_b a.b a/b ../a'.split(' '), 'a b', ' a', 'a\n', '\na', 'a\0', 'é', '٣', 'x'.repeat(52)])(
    'may not be %j',
    (sandboxId) => expect(sandboxIdPattern.test(sandboxId)).toBe(false),
  );

  it('that is refused would not have made a legal Service name, or is longer than one can be', () => {
    fc.assert(
      fc.property(nearId, (sandboxId) => {
        fc.pre(!sandboxIdPattern.test(sandboxId));
        const name = serviceName(sandboxId);
        const isLegal = rfc1035Label.test(name) && name.length <= 63 && labelValue.test(sandboxId) && sandboxId !== '';
        expect(isLegal).toBe(false);
      }),
    );
  });

  it('names one Pod and one Service, and no other sandbox names them', () => {
    fc.assert(
      fc.property(fc.stringMatching(sandboxIdPattern), fc.stringMatching(sandboxIdPattern), (one, other) => {
        fc.pre(one !== other);
        expect(podName(one)).not.toBe(podName(other));
        expect(serviceName(one)).not.toBe(serviceName(other));
      }),
    );
  });
});

describe('a thread_id', () => {
  it.each(['a', 'A', '_', '-', '3fa85f64-5717-4562-b3fc-2c963f66afa6', 'Thread_1-b', 'x'.repeat(64)])(
    'may be %j',
    (threadId) => expect(threadIdPattern.test(threadId)).toBe(true),
  );

  it.each(['', '.', '..', '../etc', 'a/b', '/a', 'a\\b', 'a.b', 'a b', 'a\n', 'a\0', 'é', '%2e%2e', 'x'.repeat(65)])(
    'may not be %j',
    (threadId) => expect(threadIdPattern.test(threadId)).toBe(false),
  );
});
