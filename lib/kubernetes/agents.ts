import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import { KubeConfig } from '@kubernetes/client-node';
import type { Credentials } from './credentials.ts';

/**
 * Finds the agent that keeps the connections of these credentials: the same one as long as nothing has changed that belongs
 * to a connection. Connections that were opened with another certificate, for one, serve nobody else.
 */
export function keepAgent(): (credentials: Credentials) => Promise<http.Agent> {
  let kept: { access: Credentials['access']; tls: Credentials['tls']; agent: Promise<http.Agent> } | undefined;
  return (credentials) => {
    const { access, tls } = credentials;
    if (kept?.access === access && kept.tls.ca === tls.ca && kept.tls.cert === tls.cert && kept.tls.key === tls.key) {
      return kept.agent;
    }
    if (kept !== undefined) kept.agent.then(retire, () => {});
    const agent = createAgent(credentials);
    kept = { access, tls, agent };
    return agent;
  };
}

async function createAgent({ access, tls }: Credentials): Promise<http.Agent> {
  const { server, certificateHost, uncheckedBy, cluster } = access;
  // Said either way: unsaid, NODE_TLS_REJECT_UNAUTHORIZED decides.
  const rejectUnauthorized = uncheckedBy === undefined;
  const options: https.AgentOptions = { keepAlive: true, scheduling: 'lifo', rejectUnauthorized };
  if (certificateHost !== undefined) {
    // An IP address cannot be asked for by SNI (RFC 6066), but it is what the certificate is checked against.
    options.servername = isIP(certificateHost) ? '' : certificateHost;
    options.checkServerIdentity = (_host, certificate) => checkServerIdentity(certificateHost, certificate);
  }
  if (cluster.proxyUrl) return createProxyAgent(server, cluster.proxyUrl, { ...options, ...tls });
  if (server.startsWith('http:')) return new http.Agent({ keepAlive: true });
  // Made of the certificates once: Node would read them anew for each connection, and compare them at each call.
  return new https.Agent({ ...options, secureContext: createSecureContext(tls) });
}

/** The client has the agents that know how to go through a proxy, but tells them only half of what a connection needs. */
async function createProxyAgent(server: string, proxyUrl: string, options: https.AgentOptions): Promise<http.Agent> {
  const kubeconfig = new KubeConfig();
  // Over plain HTTP there is no certificate to check, but the client makes no agent unless the check is off.
  const skipTLSVerify = server.startsWith('http:');
  kubeconfig.loadFromClusterAndUser({ name: 'c', server, proxyUrl, skipTLSVerify }, { name: 'u' });
  const made: https.RequestOptions = {};
  await kubeconfig.applyToHTTPSOptions(made);
  const agent = made.agent as http.Agent & { keepAlive: boolean; options: https.AgentOptions };
  // What an agent has as options, each of its connections gets.
  Object.assign(agent.options, options);
  agent.keepAlive = true;
  return agent;
}

/** Calls under way keep their connections; those at rest are closed, and the others as they come to rest. */
function retire(agent: http.Agent): void {
  Object.assign(agent, { keepAlive: false });
  closeAtRest(agent);
}

/** Closes the kept connections that no call uses. */
export function closeAtRest(agent: http.Agent): void {
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}
