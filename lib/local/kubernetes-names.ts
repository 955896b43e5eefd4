/** The rules for names and labels, in the words in which Kubernetes 1.20 tells that one is broken. */

const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

const regexUsed = (examples: readonly string[], pattern: string) =>
  `(e.g. ${examples.map((one) => `'${one}'`).join(',  or ')}, regex used for validation is '${pattern}')`;
const tooLong = (max: number) => `must be no more than ${max} characters`;

function problems(value: string, max: number, pattern: string, why: string, examples: readonly string[]): string[] {
  const found: string[] = [];
  if (value.length > max) found.push(tooLong(max));
  if (!new RegExp(`^(?:${pattern})$`).test(value)) found.push(`${why} ${regexUsed(examples, pattern)}`);
  return found;
}

const CONSIST_LOWER = 'consist of lower case alphanumeric characters';
const START_AND_END = 'must start and end with an alphanumeric character';

/** DNS-1123 label: a namespace's or a container's name. */
export const dns1123LabelProblems = (value: string): string[] =>
  problems(value, 63, LABEL, `a lowercase RFC 1123 label must ${CONSIST_LOWER} or '-', and ${START_AND_END}`, [
    'my-name',
    '123-abc',
  ]);

/** DNS-1123 subdomain: the name of most things, a Pod's among them. */
export const dns1123SubdomainProblems = (value: string): string[] =>
  problems(
    value,
    253,
    `${LABEL}(\\.${LABEL})*`,
    `a lowercase RFC 1123 subdomain must ${CONSIST_LOWER}, '-' or '.', and ${START_AND_END}`,
    ['example.com'],
  );

/** DNS-1035 label: a Service's name. */
export const dns1035LabelProblems = (value: string): string[] =>
  problems(
    value,
    63,
    '[a-z]([-a-z0-9]*[a-z0-9])?',
    `a DNS-1035 label must ${CONSIST_LOWER} or '-', start with an alphabetic character, ` +
      'and end with an alphanumeric character',
    ['my-name', 'abc-123'],
  );

/** The key of a label or an annotation: `name` or `prefix/name`. */
export function labelKeyProblems(key: string): string[] {
  const consist = `must consist of alphanumeric characters, '-', '_' or '.', and ${START_AND_END}`;
  const examples = ['MyName', 'my.name', '123-abc'];
  const parts = key.split('/');
  if (parts.length > 2) {
    return [
      `a qualified name ${consist} ${regexUsed(examples, QUALIFIED)} ` +
        "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  }
  const [name = '', prefix] = parts.reverse();
  const found: string[] = [];
  if (prefix === '') found.push('prefix part must be non-empty');
  else if (prefix !== undefined) found.push(...dns1123SubdomainProblems(prefix).map((why) => `prefix part ${why}`));
  if (name === '') found.push('name part must be non-empty');
  return [
    ...found,
    ...problems(name, 63, QUALIFIED, `name part ${consist}`, examples).map((why) =>
      why.startsWith('must be') ? `name part ${why}` : why,
    ),
  ];
}

/** A label's value; it may be empty. */
export const labelValueProblems = (value: string): string[] =>
  problems(
    value,
    63,
    `(${QUALIFIED})?`,
    `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and ${START_AND_END}`,
    ['MyValue', 'my_value', '12345'],
  );

/** A port's name: 1 to 15 lower-case letters, digits and `-`, with a letter among them. */
export function portNameProblems(name: string): string[] {
  const found: string[] = [];
  if (name.length > 15) found.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(name)) found.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  else if (!/[a-z]/.test(name)) found.push('must contain at least one letter or number (a-z, 0-9)');
  if (name.includes('--')) found.push('must not contain consecutive hyphens');
  if (/^-|-$/.test(name)) found.push('must not begin or end with a hyphen');
  return found;
}
