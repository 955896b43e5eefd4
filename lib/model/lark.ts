import { ProvisionerError } from '../errors.ts';
import type { CreateSandboxRequest } from './request.ts';

/**
 * What a gateway asks before it plans a sandbox with Lark: whether the two images are set. They never are here: they are one vendor's,
 * and not published.
 */
export const capabilities = { lark_cli_init_image: false, lark_cli_broker_image: false } as const;

/**
 * Refuses a sandbox with a Lark broker, in the original's words. The header has the gateway ask for our capabilities anew. Without a
 * broker a sandbox may be planned for Lark: what it needs of ours are its mounts. Throws `unavailable`.
 */
export function refuseLarkBroker({ larkBroker }: CreateSandboxRequest): void {
  if (!larkBroker) return;
  throw new ProvisionerError('unavailable', 'Requested Lark broker image is not configured', {
    headers: { 'x-deerflow-capability-refresh': 'lark-broker' },
  });
}
