import { RESOURCE_TYPES } from './kubernetes-objects.ts';

/** The version whose behaviour is copied. */
const VERSION = {
  major: '1',
  minor: '20',
  gitVersion: 'v1.20.2+embedded',
  platform: 'node',
  goVersion: '',
  compiler: '',
};

/**
 * What is answered at the paths that tell what the API server is and serves: an object as JSON, a string as text,
 * undefined where there is no such path.
 */
export function discover(path: string, server: string): object | string | undefined {
  if (/^\/(healthz|readyz|livez)(\/|$)/.test(path)) return 'ok';
  if (path === '/version') return { ...VERSION, gitCommit: '', gitTreeState: '', buildDate: '' };
  if (path === '/') return { paths: ['/api', '/api/v1', '/apis', '/healthz', '/livez', '/readyz', '/version'] };
  if (path === '/api') {
    const addresses = [{ clientCIDR: '0.0.0.0/0', serverAddress: server.replace('http://', '') }];
    return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: addresses };
  }
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: [] };
  if (path !== '/api/v1') return undefined;
  const resources = RESOURCE_TYPES.flatMap(({ plural, kind, namespaced, shortNames, verbs }) => {
    const one = { name: plural, singularName: '', namespaced, kind, verbs, shortNames };
    const status = { name: `${plural}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] };
    return kind === 'Event' ? [one] : [one, status];
  });
  return { kind: 'APIResourceList', groupVersion: 'v1', resources };
}
