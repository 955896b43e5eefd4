import { groupOf, type Kind, pluralOf, resourceOf } from './objects.ts';

/** An answer that is a failure, in Kubernetes' words; `body` is the `Status` that is sent. */
export class StatusError extends Error {
  readonly code: number;
  readonly body: object;

  constructor(code: number, reason: string, message: string, details?: object, metadata: object = {}) {
    super(message);
    this.name = 'StatusError';
    this.code = code;
    this.body = { kind: 'Status', apiVersion: 'v1', metadata, status: 'Failure', message, reason, details, code };
  }
}

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

/** For what Kubernetes does and this does not, so that nobody takes its silence for consent. */
export const unsupported = (what: string): StatusError =>
  new StatusError(501, 'NotImplemented', `the embedded Kubernetes does not support ${what}`);

export const noSuchPath = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const internalError = (message: string): StatusError =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });

/** How the details of a failure name an object. */
export const detailsOf = (kind: Kind, name: string): object => ({
  name,
  ...(groupOf(kind) !== '' && { group: groupOf(kind) }),
  kind: pluralOf(kind),
});

export const notFound = (kind: Kind, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${resourceOf(kind)} "${name}" not found`, detailsOf(kind, name));

export function alreadyExists(kind: Kind, name: string, isTerminating: boolean): StatusError {
  const prefix = isTerminating ? 'object is being deleted: ' : '';
  const message = `${prefix}${resourceOf(kind)} "${name}" already exists`;
  return new StatusError(409, 'AlreadyExists', message, detailsOf(kind, name));
}

/** What the preconditions of a delete say; it names the kind where an update names the plural. */
export const conflict = (kind: Kind, name: string, why: string): StatusError =>
  new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${kind} "${name}": ${why}`, { name, kind });

export function modified(kind: Kind, name: string): StatusError {
  const why = 'the object has been modified; please apply your changes to the latest version and try again';
  const message = `Operation cannot be fulfilled on ${resourceOf(kind)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', message, detailsOf(kind, name));
}

export const forbidden = (kind: Kind, name: string, why: string, causes?: object[]): StatusError =>
  new StatusError(403, 'Forbidden', `${resourceOf(kind)} "${name}" is forbidden: ${why}`, {
    ...detailsOf(kind, name),
    causes,
  });

/** What is wrong with one field of an object. */
export type FieldError = { reason: string; message: string; field: string };

export const invalidValue = (field: string, value: string, why: string): FieldError => ({
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
  field,
});

/** The same of a list, which Kubernetes writes as Go does. */
export const invalidTexts = (field: string, values: readonly string[], why: string): FieldError => {
  const list = values.length === 0 ? '(nil)' : `{${values.map((value) => JSON.stringify(value)).join(', ')}}`;
  return { reason: 'FieldValueInvalid', message: `Invalid value: []string${list}: ${why}`, field };
};

export const requiredValue = (field: string, why?: string): FieldError => ({
  reason: 'FieldValueRequired',
  message: `Required value${why === undefined ? '' : `: ${why}`}`,
  field,
});

export const duplicateValue = (field: string, value: string): FieldError => ({
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${JSON.stringify(value)}`,
  field,
});

export const unknownValue = (field: string, value: string): FieldError => ({
  reason: 'FieldValueNotFound',
  message: `Not found: ${JSON.stringify(value)}`,
  field,
});

export const unsupportedValue = (field: string, value: string, supported: readonly string[]): FieldError => ({
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((one) => JSON.stringify(one)).join(', ')}`,
  field,
});

export const forbiddenValue = (field: string, why: string): FieldError => ({
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${why}`,
  field,
});

/** 422 with one cause an error; the message tells each only once, as Kubernetes' does. */
export function invalid(kind: Kind, name: string, causes: readonly FieldError[]): StatusError {
  const told = [...new Set(causes.map(({ field, message }) => `${field}: ${message}`))];
  const list = told.length === 1 ? told[0] : `[${told.join(', ')}]`;
  const details = { ...(name !== '' && { name }), kind, causes };
  return new StatusError(422, 'Invalid', `${kind} "${name}" is invalid: ${list}`, details);
}
