import { CoreV1Api, createConfiguration, KubeConfig, ServerConfiguration } from '@kubernetes/client-node';

// Sources to bundle as the functions are, for what these do not do, or not in a test.

/** A call on the client's own way to the API server, which is left out. */
export const callWithoutTransport = (url: string): Promise<unknown> => {
  const api = new CoreV1Api(createConfiguration({ baseServer: new ServerConfiguration(url, {}) }));
  return api.readNamespace({ name: 'default' });
};

/** The name of the class of the agent through a proxy. */
export async function describeProxyAgent(server: string, proxyUrl: string): Promise<string | undefined> {
  const kubeconfig = new KubeConfig();
  const skipTLSVerify = server.startsWith('http:');
  kubeconfig.loadFromClusterAndUser({ name: 'c', server, proxyUrl, skipTLSVerify }, { name: 'u' });
  const options: { agent?: object } = {};
  await kubeconfig.applyToHTTPSOptions(options);
  return options.agent?.constructor.name;
}

/** What an OpenID Connect provider is asked for first, once the token that a user has is over. */
export async function refreshToken(issuer: string, expiredToken: string): Promise<void> {
  const kubeconfig = new KubeConfig();
  const config = {
    'idp-issuer-url': issuer,
    'client-id': 'id',
    'client-secret': 's',
    'refresh-token': 'r',
    'id-token': expiredToken,
  };
  kubeconfig.loadFromClusterAndUser(
    { name: 'c', server: 'https://localhost', skipTLSVerify: false },
    { name: 'u', authProvider: { name: 'oidc', config } },
  );
  await kubeconfig.applyToHTTPSOptions({ headers: {} });
}
