import https from 'node:https';

import { loadAllYaml } from '@kubernetes/client-node';

import { loadConfig } from '../../lib/config/index.ts';
import { type Output, printRights as printRbac } from '../../lib/tools/rbac-output.ts';
import { eventually } from './eventually.ts';
import { type KubernetesAddress, type KubernetesObject, openKubernetesClient } from './kubernetes-client.ts';

/**
 * What the provisioner may do: what `npm run rbac` prints for a namespace that is there, or what it prints with
 * `--create-namespace`.
 */
export type Rights = 'namespace' | 'cluster';

/** What `npm run rbac` prints with these options and settings and no others, without a process of its own. */
export const printRights = (options: readonly string[], settings: Record<string, string> = {}): Output =>
  printRbac(options, () => loadConfig(settings));

/** The objects in what was printed, as `kubectl apply` reads it. */
export function readPrinted({ stdout }: Output): KubernetesObject[] {
  const documents = loadAllYaml(stdout) as (KubernetesObject | null)[];
  // Without the client's classes.
  return JSON.parse(JSON.stringify(documents.filter((document) => document !== null)));
}

/** Where a printed object is, in its namespace or in the cluster. */
export function printedPathOf({ apiVersion, kind, metadata }: KubernetesObject, name = metadata.name): string {
  const scope = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `/apis/${apiVersion}${scope}/${`${String(kind).toLowerCase()}s`.replace(/ys$/, 'ies')}/${name}`;
}

/** A service account that has the printed rights, and its way to the API server. */
export interface Account {
  readonly address: KubernetesAddress;
  /** The Role or ClusterRole as it was printed. */
  readonly role: KubernetesObject;
  /** Takes back what is not in the account's namespace. */
  revoke(): Promise<void>;
}

/**
 * Makes a service account in a namespace that is there, gives it what `npm run rbac` prints with these settings, as an
 * administrator does, and returns when the API server goes by it.
 */
export async function grantPrintedRights(
  admin: KubernetesAddress,
  { home, rights, settings }: { home: string; rights: Rights; settings: Record<string, string> },
): Promise<Account> {
  const { request } = openKubernetesClient(admin, home);
  const must = async (method: string, path: string, body?: unknown) => {
    const answer = await request(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  const accounts = `/api/v1/namespaces/${home}/serviceaccounts`;
  await must('POST', accounts, { metadata: { name: 'provisioner' } });
  const options = ['--service-account', `${home}/provisioner`];
  const printed = printRights(rights === 'cluster' ? ['--create-namespace', ...options] : options, settings);
  if (printed.exitCode !== 0) throw new Error(`no rights were printed: ${printed.stderr}`);
  const objects = readPrinted(printed);
  for (const object of objects) await must('POST', printedPathOf(object, '').replace(/\/$/, ''), object);
  const spec = { expirationSeconds: 4 * 3600 };
  const issued = await must('POST', `${accounts}/provisioner/token`, { spec });
  const address = withToken(admin, issued.status.token);

  // The authorizer learns of what was written a moment later.
  const list = `/api/v1/namespaces/${settings.K8S_NAMESPACE}/pods`;
  await eventually(
    'in force: the printed rights',
    () => openKubernetesClient(address, home).request('GET', list),
    ({ status }) => status === 200,
  );
  return {
    address,
    role: objects[0] as KubernetesObject,
    async revoke() {
      for (const object of objects) if (object.metadata.namespace === undefined) await remove(printedPathOf(object));
    },
  };

  async function remove(path: string): Promise<void> {
    const { status } = await request('DELETE', path);
    if (status >= 300 && status !== 404) throw new Error(`DELETE ${path}: ${status}`);
  }
}

/** The same server, as somebody else: nothing of the administrator's goes along. */
function withToken({ url, options }: KubernetesAddress, token: string): KubernetesAddress {
  const agent = new https.Agent({
    keepAlive: true,
    ca: options.ca,
    rejectUnauthorized: options.rejectUnauthorized ?? true,
  });
  return { url, options: { headers: { authorization: `Bearer ${token}` }, agent } };
}
