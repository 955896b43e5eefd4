import { dirname, isAbsolute, join } from 'node:path';
import { load } from 'js-yaml';
import type { Config } from '../../config/index.ts';
import { ProvisionerError } from '../../errors.ts';
import type { AwsCredentials, EksCluster } from './eks-token.ts';
import type { ExecPlugIn } from './exec-plug-in.ts';

/** A cluster of a kubeconfig. */
export type Cluster = Readonly<{
  name: string;
  server: string;
  caFile?: string | undefined;
  caData?: string | undefined;
  tlsServerName?: string | undefined;
  skipTLSVerify: boolean;
  proxyUrl?: string | undefined;
  /** What a plug-in is to be told of the cluster: an extension of it, of that plug-in's own making. */
  execConfig?: unknown;
}>;

/** A user of a kubeconfig. */
export type User = Readonly<{
  name: string;
  certFile?: string | undefined;
  certData?: string | undefined;
  keyFile?: string | undefined;
  keyData?: string | undefined;
  /** The file that a token is in: it has precedence. */
  tokenFile?: string | undefined;
  token?: string | undefined;
  plugIn?: ExecPlugIn | undefined;
  idToken?: IdToken | undefined;
  /** The headers by which this user becomes another one. */
  impersonation?: Readonly<Record<string, string[]>>;
}>;

/** The token that the auth-provider `oidc` has got, and when it ends, in milliseconds since 1970. */
export type IdToken = Readonly<{ token: string; endsAtMs: number }>;

/** How to reach the API server and who we are there. */
export type ClusterAccess = Readonly<{
  cluster: Cluster;
  user: User;
  /** Where the user is one of AWS' and no kubeconfig says how to ask for a token. */
  eks: { cluster: EksCluster; credentials: AwsCredentials } | undefined;
  server: string;
  /** The name that the API server's certificate must bear, where that is not the host of `server`. */
  certificateHost: string | undefined;
  /** What says that the API server's certificate is not to be checked, if anything does. */
  uncheckedBy: string | undefined;
}>;

/**
 * Reads the context of a kubeconfig that counts, and nothing else of it, by kubectl's rules (client-go, tools/clientcmd). Throws
 * `misconfigured`, with `origin` and the entry's name but nothing of what it holds, for what does not parse, is missing, or could
 * only be used by leaving out a part of it.
 *
 * @param origin where it is from, for errors
 * @param path the file that it is in, if it is in one: relative paths in it begin there
 */
export function parseKubeconfig(text: string, origin: string, config: Config, path?: string): ClusterAccess {
  const source = `kubeconfig ${origin}`;
  const lists = parse(text, origin);
  const context = chooseContext(lists, config.kubeconfigContext, source);
  const find = (kind: Kind, name: string): Entry =>
    findEntry(lists, kind, name, source) ?? context.fail(`names the ${kind} '${name}', which is not there`);
  const resolve = (file: string | undefined) =>
    file === undefined || path === undefined || isAbsolute(file) ? file : join(dirname(path), file);
  const cluster = readCluster(find('cluster', context.text('cluster') ?? context.fail('names no cluster')), resolve);
  // As for kubectl, a context without a user is nobody's.
  const userName = context.text('user');
  const user = userName === undefined ? { name: '' } : readUser(find('user', userName), resolve);
  return findAccess(cluster, user, source, config);
}

/** The same for what needs no parsing: what there is in a Pod, or ours for EKS. */
export function findAccess(
  cluster: Cluster,
  user: User,
  source: string,
  config: Config,
  eks?: ClusterAccess['eks'],
): ClusterAccess {
  // Not what it names: that may hold a password.
  const refuse = (what: string): never => fail(`The cluster '${cluster.name}' of the ${source} ${what}`);
  if (!isServer(cluster.server)) refuse('has no valid server: it must be an http:// or https:// URL');
  if (cluster.proxyUrl !== undefined && !isProxy(cluster.proxyUrl)) {
    refuse('has no valid proxy-url: it must be an http://, https:// or socks5:// URL');
  }
  // A rewritten address keeps the check of the certificate, against the name that the kubeconfig knew the server by.
  const originalHost = config.apiServer === undefined ? undefined : new URL(cluster.server).hostname;
  const server = (config.apiServer ?? cluster.server).replace(/\/+$/, '');
  return {
    cluster,
    user,
    eks,
    server,
    certificateHost: cluster.tlsServerName ?? originalHost?.replace(/^\[|\]$/g, ''),
    uncheckedBy: server.startsWith('http:') ? undefined : findUncheckedBy(cluster, source, config),
  };
}

/** `localhost:6443` is a URL too, of the scheme `localhost:`. */
const isServer = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text);

function isProxy(text: string): boolean {
  try {
    const { protocol, hostname, username, password } = new URL(text);
    decodeURIComponent(username + password);
    return /^(https?|socks(4a?|5h?)?):$/.test(protocol) && hostname !== '';
  } catch {
    return false;
  }
}

function findUncheckedBy(cluster: Cluster, source: string, config: Config): string | undefined {
  if (config.skipTlsVerify) return 'K8S_TLS_SKIP_VERIFY';
  return cluster.skipTLSVerify ? `insecure-skip-tls-verify of the ${source}` : undefined;
}

function fail(what: string): never {
  throw new ProvisionerError('misconfigured', what);
}

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parse(text: string, origin: string): Fields {
  let parsed: unknown;
  try {
    parsed = load(text);
  } catch (error) {
    // What the parser says quotes the file, secrets and all.
    const { mark } = error as { mark?: { line?: number } };
    const where = mark?.line === undefined ? '' : ` (line ${mark.line + 1})`;
    fail(`Failed to load kubeconfig from ${origin}: it is not valid${where}`);
  }
  if (!isFields(parsed)) return fail(`Failed to load kubeconfig from ${origin}: it is not valid`);
  if ((parsed.kind ?? 'Config') !== 'Config')
    fail(`Failed to load kubeconfig from ${origin}: it is of another kind than Config`);
  return parsed;
}

/** A thing that a kubeconfig has, and how to say what is wrong with it. */
type Entry = {
  name: string;
  /** `user 'me' of the kubeconfig …` */
  called: string;
  fields: Fields;
  fail(what: string): never;
  /** What the field says; undefined where it says nothing. */
  text(field: string): string | undefined;
  /** As `text`, of a list of texts. */
  texts(field: string): string[];
};

function makeEntry(name: string, called: string, said: unknown): Entry {
  const fields = said ?? {};
  const failHere = (what: string): never => fail(`The ${called} ${what}`);
  if (!isFields(fields)) return failHere('is not valid');
  return {
    name,
    called,
    fields,
    fail: failHere,
    text(field) {
      const value = fields[field] ?? '';
      if (typeof value !== 'string') return failHere(`is not valid: its ${field} is not a text`);
      return value === '' ? undefined : value;
    },
    texts(field) {
      const value = fields[field] ?? [];
      if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
      return failHere(`is not valid: its ${field} is not a list of texts`);
    },
  };
}

type Kind = 'cluster' | 'user' | 'context';

function listEntries(lists: Fields, kind: Kind, source: string): (Fields | null)[] {
  const list = lists[`${kind}s`] ?? [];
  return Array.isArray(list) ? list : fail(`The ${source} is not valid: its ${kind}s are not a list`);
}

function findEntry(lists: Fields, kind: Kind, name: string, source: string): Entry | undefined {
  const found = listEntries(lists, kind, source).filter((entry) => entry?.name != null && String(entry.name) === name);
  const called = `${kind} '${name}' of the ${source}`;
  // kubectl takes neither of them.
  if (found.length > 1) return fail(`The ${called} is there more than once`);
  const [entry] = found;
  return entry ? makeEntry(name, called, entry[kind]) : undefined;
}

function chooseContext(lists: Fields, setting: string | undefined, source: string): Entry {
  const name = setting ?? String(lists['current-context'] ?? '');
  const context = name === '' ? undefined : findEntry(lists, 'context', name, source);
  if (context !== undefined) return context;
  const names = listEntries(lists, 'context', source).map((entry) => `'${entry?.name ?? ''}'`);
  const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
  if (name === '') return fail(`The ${source} has no current-context, and KUBECONFIG_CONTEXT is not set: ${known}`);
  const whose = setting === undefined ? 'current-context' : 'KUBECONFIG_CONTEXT';
  return fail(`The ${source} has no context '${name}' (${whose}): ${known}`);
}

/** Makes a path that begins at the kubeconfig one that begins at the root. */
type Resolve = (file: string | undefined) => string | undefined;

function readCluster(entry: Entry, resolve: Resolve): Cluster {
  const { name, fields, text, fail } = entry;
  refuseBoth(entry, 'certificate-authority');
  const unchecked = fields['insecure-skip-tls-verify'] ?? false;
  return {
    name,
    server: text('server') ?? fail('has no server'),
    caFile: resolve(text('certificate-authority')),
    caData: text('certificate-authority-data'),
    tlsServerName: text('tls-server-name'),
    skipTLSVerify:
      typeof unchecked === 'boolean'
        ? unchecked
        : fail('is not valid: its insecure-skip-tls-verify is not true or false'),
    proxyUrl: text('proxy-url'),
    execConfig: findExecConfig(fields.extensions),
  };
}

/** What the protocol of plug-ins reserves a name for among the extensions of a cluster. */
const findExecConfig = (extensions: unknown): unknown =>
  Array.isArray(extensions)
    ? extensions.find((entry) => entry?.name === 'client.authentication.k8s.io/exec')?.extension
    : undefined;

function refuseBoth({ text, fail }: Entry, field: string): void {
  if (text(field) && text(`${field}-data`)) fail(`has both ${field} and ${field}-data`);
}

/** What may be used instead of a way of logging in that Kubernetes has removed. */
const successors = 'use a token, a client certificate or a plug-in (exec)';

/** What a user says of who it is, is of use or refused: nobody who is somebody goes there as nobody, or with other rights. */
function readUser(entry: Entry, resolve: Resolve): User {
  const { name, fields, text, fail } = entry;
  for (const field of ['client-certificate', 'client-key']) refuseBoth(entry, field);
  if (text('username') ?? text('password')) {
    fail(`has a username or a password, which Kubernetes has not taken since 1.19: ${successors}`);
  }
  if (fields.exec && fields['auth-provider']) fail('has both exec and an auth-provider');
  const user = {
    name,
    certFile: resolve(text('client-certificate')),
    certData: text('client-certificate-data'),
    keyFile: resolve(text('client-key')),
    keyData: text('client-key-data'),
    tokenFile: resolve(text('tokenFile')),
    token: text('token'),
    plugIn: readPlugIn(entry, resolve),
    idToken: readIdToken(entry),
    impersonation: readImpersonation(entry),
  };
  const { token = user.tokenFile, plugIn, idToken } = user;
  const [certificate, key] = [user.certFile ?? user.certData, user.keyFile ?? user.keyData];
  if (certificate && !key) fail('has a client-certificate without a client-key');
  if (key && !certificate) fail('has a client-key without a client-certificate');
  if (!(certificate ?? token ?? plugIn ?? idToken)) {
    const said = Object.keys(fields).filter((field) => fields[field] != null && !/^(as(-.*)?|extensions)$/.test(field));
    if (said.length > 0) fail(`has nothing to log in with that we can use: it has ${said.join(', ')}`);
  }
  return user;
}

/** The plug-ins in the place of the auth-providers that client-go has removed. */
const successorsOf: Record<string, string> = { gcp: 'gke-gcloud-auth-plugin', azure: 'kubelogin' };

/** Of the auth-providers, kubectl has `oidc` alone (client-go, plugin/pkg/client/auth). */
function readIdToken({ name: user, called, fields }: Entry): IdToken | undefined {
  if (fields['auth-provider'] == null) return undefined;
  const provider = makeEntry(user, `${called}: its auth-provider`, fields['auth-provider']);
  const name = provider.text('name') ?? provider.fail('has no name');
  const config = makeEntry(user, `${provider.called} '${name}'`, provider.fields.config);
  const successor = successorsOf[name];
  if (successor !== undefined) config.fail(`was removed in Kubernetes 1.26: use the plug-in ${successor} (exec)`);
  if (name !== 'oidc') config.fail(`is none that we know: ${successors}`);
  const token = config.text('id-token') ?? config.fail('has no id-token, and only a plug-in (exec) can get one here');
  return { token, endsAtMs: findEnd(token) };
}

/** When a token ends, by what is said in it (RFC 7519), in milliseconds since 1970; never, if nothing is. */
function findEnd(token: string): number {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return Number.isFinite(exp) ? exp * 1000 : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function readPlugIn({ name, called, fields: { exec } }: Entry, resolve: Resolve): ExecPlugIn | undefined {
  if (exec == null) return undefined;
  const { fields, text, texts, fail } = makeEntry(name, `${called}: its exec`, exec);
  const command = text('command') ?? fail('names no command');
  const interactiveMode = text('interactiveMode') ?? 'IfAvailable';
  if (!/^(Never|IfAvailable|Always)$/.test(interactiveMode)) fail('is not valid: its interactiveMode is unknown');
  const env: unknown = fields.env ?? [];
  if (!Array.isArray(env)) return fail('is not valid: its env is not a list');
  const variables = env.map((variable) => makeEntry(name, `${called}: its exec: its env`, variable));
  return {
    // One with a slash in its name is found from the kubeconfig, any other on the PATH.
    command: command.includes('/') ? (resolve(command) ?? command) : command,
    apiVersion: text('apiVersion') ?? 'client.authentication.k8s.io/v1',
    args: texts('args'),
    env: Object.fromEntries(
      variables.map((variable) => [
        variable.text('name') ?? variable.fail('has no name'),
        variable.text('value') ?? '',
      ]),
    ),
    provideClusterInfo: fields.provideClusterInfo === true,
    interactiveMode,
    installHint: text('installHint'),
  };
}

/** What kubectl says for `as`, header by header (client-go, transport/round_trippers.go). */
function readImpersonation({ name, called, fields, text, texts, fail }: Entry): Record<string, string[]> {
  const known = ['as-uid', 'as-groups', 'as-user-extra'];
  for (const field of Object.keys(fields).filter((field) => field.startsWith('as-') && fields[field] != null)) {
    if (!known.includes(field)) fail(`has ${field}, which we do not know`);
    if (!text('as')) fail(`has ${field} without as`);
  }
  const extra = makeEntry(name, `${called}: its as-user-extra`, fields['as-user-extra']);
  const headers: Record<string, string[]> = {};
  const add = (header: string, values: (string | undefined)[]) => {
    // Node writes a header in Latin-1, Kubernetes reads it as UTF-8.
    const written = values.flatMap((value) => (value ? [Buffer.from(value).toString('latin1')] : []));
    if (written.length > 0) headers[header] = [...(headers[header] ?? []), ...written];
  };
  add('Impersonate-User', [text('as')]);
  add('Impersonate-Uid', [text('as-uid')]);
  add('Impersonate-Group', texts('as-groups'));
  for (const key of Object.keys(extra.fields)) {
    const escaped = encodeURIComponent(key).replace(/[()]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
    add(`Impersonate-Extra-${escaped.toLowerCase()}`, extra.texts(key));
  }
  return headers;
}
