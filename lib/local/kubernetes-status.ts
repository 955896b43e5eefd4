import type { ResourceType } from './kubernetes-objects.ts';

export type StatusCause = { reason?: string; message: string; field?: string };

export type Status = {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: { continue?: string };
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    causes?: StatusCause[];
    retryAfterSeconds?: number;
  };
  code?: number;
};

/** An answer that is a failure, as Kubernetes words it; `status` is the body that is sent. */
export class StatusError extends Error {
  readonly code: number;
  readonly status: Status;

  constructor(code: number, reason: string | undefined, message: string, details?: Status['details'], next?: string) {
    super(message);
    this.name = 'StatusError';
    this.code = code;
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: next === undefined ? {} : { continue: next },
      status: 'Failure',
      message,
      ...(reason === undefined ? {} : { reason }),
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

/** The body that answers a delete whose object is gone: `Success`, with what it was. */
export function success(type: ResourceType, name: string, uid: string): Status {
  const details = { name, kind: type.plural, uid };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

export const notFound = (type: { plural: string }, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${type.plural} "${name}" not found`, { name, kind: type.plural });

/** No such path at all. */
export const noSuchResource = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const alreadyExists = (type: ResourceType, name: string, terminating: boolean): StatusError =>
  new StatusError(
    409,
    'AlreadyExists',
    `${terminating ? 'object is being deleted: ' : ''}${type.plural} "${name}" already exists`,
    { name, kind: type.plural },
  );

/** `subject` is the plural for an update and the kind for a delete: Kubernetes uses both. */
export const conflict = (subject: string, name: string, message: string): StatusError =>
  new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${subject} "${name}": ${message}`, {
    name,
    kind: subject,
  });

export const modified = (type: ResourceType, name: string): StatusError =>
  conflict(
    type.plural,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );

export const forbidden = (type: ResourceType, name: string, message: string, causes?: StatusCause[]): StatusError =>
  new StatusError(403, 'Forbidden', `${type.plural} "${name}" is forbidden: ${message}`, {
    name,
    kind: type.plural,
    ...(causes === undefined ? {} : { causes }),
  });

export const internalError = (message: string): StatusError =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });

/** A list of strings as Go prints it in errors. */
export const goStrings = (values: readonly string[]) => ({
  toString: () => `[]string{${values.map((value) => JSON.stringify(value)).join(', ')}}`,
});

/** What is wrong with one field of an object. */
export type FieldError = { field: string; reason: string; message: string };

export const invalidValue = (field: string, value: unknown, why: string): FieldError => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${typeof value === 'string' ? JSON.stringify(value) : String(value)}: ${why}`,
});

export const requiredValue = (field: string, why?: string): FieldError => ({
  field,
  reason: 'FieldValueRequired',
  message: `Required value${why === undefined ? '' : `: ${why}`}`,
});

export const unsupportedValue = (field: string, value: string, supported: readonly string[]): FieldError => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${value}: supported values: ${supported.map((one) => JSON.stringify(one)).join(', ')}`,
});

export const forbiddenValue = (field: string, why: string): FieldError => ({
  field,
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${why}`,
});

export const duplicateValue = (field: string, value: string): FieldError => ({
  field,
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${value}`,
});

export const fieldNotFound = (field: string, value: string): FieldError => ({
  field,
  reason: 'FieldValueNotFound',
  message: `Not found: ${JSON.stringify(value)}`,
});

/** 422 with one cause an error; the message tells each only once, as Kubernetes' does. */
export function invalid(kind: string, name: string, errors: readonly FieldError[], group?: string): StatusError {
  const told = [...new Set(errors.map((error) => `${error.field}: ${error.message}`))];
  const list = told.length === 1 ? told[0] : `[${told.join(', ')}]`;
  const subject = group === undefined ? kind : `${kind}.${group}`;
  return new StatusError(422, 'Invalid', `${subject} "${name}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name }),
    ...(group === undefined ? {} : { group }),
    kind,
    causes: errors.map(({ field, reason, message }) => ({ reason, message, field })),
  });
}
