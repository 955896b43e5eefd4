import fc from 'fast-check';

import { sandboxIdPattern, threadIdPattern } from '../../lib/model/names.ts';

/** What breaks paths, names, labels, selectors, headers, JSON, YAML, shells, or what compares them. */
const hostileParts = [
  '',
  ...'./\\~%\0\n\r\t -_:;,=@#?&*$"\'<>|{}[]()^+AZ0',
  ...'\u00a0\u2028\ufeff\u200b\u202e\u0301\ud800é\udfffßſKı٣１а。／．‥😀',
  ...'.. ../ // ..\\ ./ %2e%2e %2f %2F %00 %25 %zz %c0%ae -- != $$ $(x) `x` 00 1e3 -0 null undefined true C:'.split(
    ' ',
  ),
  ...'sandbox- -svc user-data __proto__ constructor toString kube-system etc/passwd proc/self'.split(' '),
  ...['\r\n', 'x'.repeat(30), '0'.repeat(51), 'a'.repeat(64)],
];

const part = fc.constantFrom(...hostileParts);
const legal = fc.oneof(fc.stringMatching(sandboxIdPattern), fc.stringMatching(threadIdPattern));

/** Of the basic plane, halves of others included. */
const anyCharacter = fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code));

/** Ids as no caller should send them, and legal ones; some are the one but for a character. */
export const hostileId: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 70 }),
  fc.string({ unit: fc.constantFrom(...'az09AZ-_./\\% \n\0é'), maxLength: 70 }),
  fc.string({ unit: fc.constantFrom(...'az09-'), minLength: 1, maxLength: 66 }),
  fc.array(part, { maxLength: 6 }).map((parts) => parts.join('')),
  legal,
  fc.tuple(legal, part, fc.nat({ max: 64 })).map(([id, odd, at]) => `${id.slice(0, at)}${odd}${id.slice(at)}`),
);
