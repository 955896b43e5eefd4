import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, getCACertificates } from 'node:tls';
import { HttpProxyAgent, HttpsProxyAgent } from 'hpagent';
import { SocksProxyAgent } from 'socks-proxy-agent';
import { proxyError } from '../errors.ts';
import type { Credentials } from './index.ts';
import { makeSecureContext } from './secure-context.ts';

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
  // Made of the certificates once: Node would read them anew for each connection, and compare them at each call.
  if (server.startsWith('https:')) options.secureContext = makeSecureContext(tls);
  if (cluster.proxyUrl) return createProxyAgent(server, new URL(cluster.proxyUrl), options, tls.ca);
  return server.startsWith('http:') ? new http.Agent({ keepAlive: true }) : new https.Agent(options);
}

/** Through a proxy, as Go's own client goes: it is the proxy that looks up the name of the API server. */
function createProxyAgent(
  server: string,
  { protocol, host, hostname, port, username, password, href }: URL,
  options: https.AgentOptions,
  ca: string | undefined,
): http.Agent {
  const explain = (error: unknown) => proxyError(error, `the proxy ${protocol}//${host} of the kubeconfig`);
  // These agents do not know the brackets around an IPv6 address.
  const address = hostname.replace(/^\[|\]$/g, '');
  if (protocol.startsWith('socks')) {
    const agent = new SocksProxyAgent(href.replace(/^socks5:/, 'socks5h:'), options);
    agent.proxy.host = address;
    const connect = agent.connect.bind(agent);
    agent.connect = (...call) =>
      connect(...call).catch((error: unknown) => {
        throw explain(error);
      });
    return agent;
  }
  const Agent = server.startsWith('http:') ? HttpProxyAgent : HttpsProxyAgent;
  const agent: http.Agent = new Agent({
    ...options,
    proxy: { protocol, hostname: address, port, username, password } as URL,
    // A proxy of `https:` shows a certificate of its own: of the cluster's CA, as kubectl has it, or of one of the web's.
    proxyRequestOptions: {
      rejectUnauthorized: options.rejectUnauthorized !== false,
      ...(protocol === 'https:' && ca && { ca: [ca, ...getCACertificates()] }),
    },
  });
  const createConnection = agent.createConnection.bind(agent);
  agent.createConnection = (request, connected) =>
    createConnection(request, (error, socket) => connected?.(error && explain(error), socket));
  return agent;
}

/** Calls under way keep their connections; those at rest are closed, and the others as they come to rest. */
function retire(agent: http.Agent): void {
  Object.assign(agent, { keepAlive: false });
  closeAtRest(agent);
}

/** Closes the kept connections that no call uses, and gives them. */
export function closeAtRest(agent: http.Agent): Duplex[] {
  const atRest = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
  for (const socket of atRest) socket.destroy();
  return atRest;
}
