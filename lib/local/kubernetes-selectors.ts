import { labelKeyProblems, labelValueProblems } from './kubernetes-names.ts';
import type { KubernetesObject } from './kubernetes-objects.ts';
import { badRequest } from './kubernetes-status.ts';

export type Selector = (object: KubernetesObject) => boolean;

type Labels = Record<string, string>;

const OPERATORS = new Set(['=', '==', '!=', 'in', 'notin', '>', '<']);

/** Splits as Kubernetes' lexer does: the signs `( ) , ! = == != > <` and the words between them and blanks. */
const tokenize = (text: string): string[] => text.match(/==|!=|[(),!=><]|[^\s(),!=><]+/g) ?? [];

const isSign = (token: string): boolean => /^[(),!=><]/.test(token);
const cannotParse = (why: string) => badRequest(`unable to parse requirement: ${why}`);

/** Reads a `labelSelector`; throws a 400 with Kubernetes' words where it cannot be read. */
export function parseLabelSelector(text: string): Selector {
  const tokens = tokenize(text);
  const requirements: ((labels: Labels) => boolean)[] = [];
  let at = 0;
  const next = () => tokens[at++] ?? '';

  function readKey(): string {
    const key = next();
    if (key === '' || isSign(key)) throw cannotParse(`found '${key}', expected: identifier`);
    const [problem] = labelKeyProblems(key);
    if (problem !== undefined) throw cannotParse(`invalid label key ${JSON.stringify(key)}: ${problem}`);
    return key;
  }

  function checkValue(key: string, value: string): string {
    const [problem] = labelValueProblems(value);
    if (problem === undefined) return value;
    throw cannotParse(`invalid label value: ${JSON.stringify(value)}: at key: ${JSON.stringify(key)}: ${problem}`);
  }

  function readSet(key: string): Set<string> {
    const open = next();
    if (open !== '(') throw cannotParse(`found '${open}' expected: '('`);
    const values = new Set<string>();
    for (let token = next(); token !== ')'; token = next()) {
      if (token === '') throw cannotParse(`found '', expected: ',' or ')'`);
      if (token === ',') {
        if (tokens[at] === ',' || tokens[at] === ')' || values.size === 0) values.add('');
        continue;
      }
      if (isSign(token)) throw cannotParse(`found '${token}', expected: ',', ')' or identifier`);
      values.add(checkValue(key, token));
    }
    if (values.size === 0) values.add('');
    return values;
  }

  function readValue(key: string): string {
    const token = tokens[at] ?? '';
    if (token === '' || token === ',') return '';
    if (isSign(token)) throw cannotParse(`found '${token}', expected: identifier`);
    at += 1;
    return checkValue(key, token);
  }

  function readRequirement(): (labels: Labels) => boolean {
    if (tokens[at] === '!') {
      at += 1;
      const key = readKey();
      return (labels) => labels[key] === undefined;
    }
    const key = readKey();
    const operator = tokens[at] ?? '';
    if (operator === '' || operator === ',') return (labels) => labels[key] !== undefined;
    at += 1;
    if (!OPERATORS.has(operator)) {
      throw cannotParse(`found '${operator}', expected: '=', '!=', '==', 'in', notin'`);
    }
    if (operator === 'in' || operator === 'notin') {
      const values = readSet(key);
      if (operator === 'in') return (labels) => labels[key] !== undefined && values.has(labels[key]);
      return (labels) => labels[key] === undefined || !values.has(labels[key]);
    }
    const value = readValue(key);
    if (operator === '!=') return (labels) => labels[key] !== value;
    if (operator === '=' || operator === '==') return (labels) => labels[key] === value;
    if (!/^-?\d+$/.test(value)) throw cannotParse(`for 'Gt', 'Lt' operators, the value must be an integer`);
    const more = operator === '>';
    return (labels) =>
      /^-?\d+$/.test(labels[key] ?? '') &&
      (more ? Number(labels[key]) > Number(value) : Number(labels[key]) < Number(value));
  }

  while (at < tokens.length) {
    const token = tokens[at] ?? '';
    if (token !== '!' && isSign(token)) {
      throw badRequest(`found '${token}', expected: !, identifier, or 'end of string'`);
    }
    requirements.push(readRequirement());
    if (at >= tokens.length) break;
    const comma = next();
    if (comma !== ',') throw badRequest(`found '${comma}', expected: ',' or 'end of string'`);
    const after = tokens[at] ?? '';
    if (after === '' || (isSign(after) && after !== '!')) {
      throw badRequest(`found '${after}', expected: identifier after ','`);
    }
  }
  return (object) => requirements.every((matches) => matches(object.metadata.labels ?? {}));
}

/** Kubernetes selects only by the fields it names for each kind, not by any. */
const FIELDS: Record<string, readonly string[]> = {
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  Event: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  Namespace: ['status.phase'],
};

/** Reads a `fieldSelector` (`=`, `==`, `!=`) for a kind; throws a 400 for a field that Kubernetes does not select by. */
export function parseFieldSelector(text: string, kind: string): Selector {
  const requirements = text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^([^=!]*)(==|!=|=)(.*)$/s.exec(part);
      if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      const [, field = '', operator, value = ''] = match;
      const known = ['metadata.name', 'metadata.namespace', ...(FIELDS[kind] ?? [])];
      if (!known.includes(field)) throw badRequest(`field label not supported: ${field}`);
      return { path: field.split('.'), wanted: operator !== '!=', value };
    });
  return (object) =>
    requirements.every(({ path, wanted, value }) => {
      let found: unknown = object;
      for (const part of path) found = (found as Record<string, unknown> | undefined)?.[part];
      return (String(found ?? '') === value) === wanted;
    });
}
