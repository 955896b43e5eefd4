import type { Pod } from './objects.ts';
import { badRequest } from './status.ts';

/** All that a stand-in prints. */
const LINE = 'This is a stand-in of the embedded Kubernetes, not a real sandbox: it prints nothing else.\n';

/** The log of a container, or why there is none, in Kubernetes' words. */
export function readLog({ metadata, spec, status }: Pod, query: URLSearchParams): string {
  const container = query.get('container') ?? spec.containers[0]?.name;
  const { name } = metadata;
  if (!spec.containers.some((one) => one.name === container)) {
    throw badRequest(`container ${container} is not valid for pod ${name}`);
  }
  const { state, lastState } = status.containerStatuses?.find((one) => one.name === container) ?? {};
  const hasEnded = lastState?.terminated !== undefined;
  if (query.get('previous') === 'true' && !hasEnded) {
    throw badRequest(`previous terminated container "${container}" in pod "${name}" not found`);
  }
  if (state?.running === undefined && !hasEnded) {
    throw badRequest(`container "${container}" in pod "${name}" is waiting to start: ${state?.waiting?.reason}`);
  }
  return query.get('tailLines') === '0' ? '' : LINE.slice(0, Number(query.get('limitBytes') ?? LINE.length));
}
