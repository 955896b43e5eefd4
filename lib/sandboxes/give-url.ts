import { ProvisionerError } from '../errors.ts';
import { isSigned } from '../model/address.ts';
import type { UrlRequest } from '../model/request.ts';
import { signUrl } from '../model/status.ts';
import type { Operation } from './operation.ts';
import { present, requirePod } from './reading.ts';

/** A URL of a sandbox, and until when it is good (RFC 3339). */
export type GivenUrl = { sandbox_id: string; url: string; expires_at: string };

/**
 * A URL for a person: of the sandbox's own port or of another, good for as long as was asked for. One round trip; no use of the sandbox.
 * Throws `bad-request` where URLs are not signed, or the port is none of the settings; `conflict` where the sandbox's Service has no
 * port but its own; `not-found` as `requirePod` does.
 */
export async function giveUrl(sandboxId: string, request: UrlRequest, operation: Operation): Promise<GivenUrl> {
  const { config, now } = operation;
  const { urlTemplate, urlPorts } = config;
  if (urlTemplate === undefined || !isSigned(urlTemplate)) {
    throw new ProvisionerError('bad-request', 'URLs are not signed here: SANDBOX_URL_TEMPLATE has no {token}');
  }
  const { service, pod } = await requirePod(sandboxId, operation);
  // Throws where it has no address.
  present(sandboxId, service, pod, operation);
  const own = service.spec?.ports?.find(({ name }) => name === 'http')?.port ?? config.containerPort;
  const port = request.port ?? own;
  if (port !== own && !urlPorts.includes(port)) {
    throw new ProvisionerError('bad-request', `Port ${port} is not among SANDBOX_URL_PORTS`);
  }
  if (port !== own && service.spec?.clusterIP !== 'None') {
    throw new ProvisionerError('conflict', `Sandbox '${sandboxId}' has no other port until its next create`);
  }
  const expiresAt = Math.floor(now().getTime() / 1000) + request.ttlSeconds;
  const url = signUrl(urlTemplate, service, port, expiresAt, config);
  return { sandbox_id: sandboxId, url, expires_at: new Date(expiresAt * 1000).toISOString() };
}
