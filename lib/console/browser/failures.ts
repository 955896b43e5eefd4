import { SandboxError } from '../../client/index.ts';

/** What a failed call says to who looks at the page: the provisioner's own words, or that there were none. */
export function describeError(error: Error): string {
  if (!(error instanceof SandboxError)) return 'The provisioner does not answer.';
  const end = /[.!?]$/.test(error.message) ? '' : '.';
  const request = error.requestId === undefined ? '' : `, request ${error.requestId}`;
  return `${error.message}${end} (${error.status}${request})`;
}
