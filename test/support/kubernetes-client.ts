import http from 'node:http';
import https from 'node:https';

import { KubeConfig } from '@kubernetes/client-node';

import { keepSecret } from './secrets.ts';

/** Where a Kubernetes API server is and what it takes to be let in. */
export interface KubernetesAddress {
  readonly url: URL;
  readonly options: https.RequestOptions;
}

/** An answer of Kubernetes, unparsed. */
export interface KubernetesAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** The same as it came, where it is no text. */
  readonly bytes?: Buffer;
}

/** What the tests look at in an object of Kubernetes; everything else is there too. */
export interface KubernetesObject {
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string }[];
    deletionTimestamp?: string;
    [field: string]: unknown;
  };
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into specs of every kind
  spec: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  status: any;
  [field: string]: unknown;
}

/** A client for one namespace that shares no code with the product, to look at objects and to prepare them. */
export interface KubernetesClient {
  readonly namespace: string;
  /** Any call; the path is absolute. Never throws on a status. */
  request(method: string, path: string, body?: unknown): Promise<{ status: number; body: KubernetesObject }>;
  getNamespace(): Promise<KubernetesObject | undefined>;
  createNamespace(): Promise<void>;
  /** Asks for its deletion, and returns while it goes on. */
  deleteNamespace(): Promise<void>;
  find(resource: Resource, name: string): Promise<KubernetesObject | undefined>;
  list(resource: Resource): Promise<KubernetesObject[]>;
  create(resource: Resource, object: object): Promise<KubernetesObject>;
  /** Merges the fields into the object, or into its status. */
  patch(resource: Resource, name: string, fields: object, subresource?: 'status'): Promise<KubernetesObject>;
  /** Deletes with the grace that the object has, unless told otherwise. An object that is not there is no error. */
  remove(resource: Resource, name: string, gracePeriodSeconds?: number): Promise<void>;
}

export type Resource = 'pods' | 'services' | 'resourcequotas' | 'serviceaccounts' | 'networkpolicies';

/** Reads the address and the credentials of a kubeconfig's current context. */
export async function readKubeconfig(file: string): Promise<KubernetesAddress> {
  const config = new KubeConfig();
  config.loadFromFile(file);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error(`no cluster in the kubeconfig ${file}`);
  const url = new URL(server);
  if (url.protocol === 'http:') {
    // The client refuses to make options for it.
    const token = config.getCurrentUser()?.token;
    const headers = token === undefined ? {} : { authorization: `Bearer ${keepSecret(token)}` };
    return { url, options: { headers, agent: new http.Agent({ keepAlive: true }) } };
  }
  const options: https.RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  // Made by us: the one that client-node puts there does not keep connections open.
  const { ca, cert, key, rejectUnauthorized } = options;
  if (key !== undefined) keepSecret(String(key));
  const token = config.getCurrentUser()?.token;
  if (token !== undefined) keepSecret(token);
  options.agent = new https.Agent({ keepAlive: true, ca, cert, key, rejectUnauthorized });
  return { url, options };
}

/** Sends one request and reads the whole answer. */
export function sendToKubernetes(
  address: KubernetesAddress,
  request: { method: string; path: string; headers: http.OutgoingHttpHeaders; text: string },
): Promise<KubernetesAnswer> {
  const { url, options } = address;
  const send = url.protocol === 'https:' ? https.request : http.request;
  const body = Buffer.from(request.text);
  return new Promise((resolve, reject) => {
    const outgoing = send(
      {
        ...options,
        host: url.hostname,
        port: url.port,
        path: `${url.pathname.replace(/\/$/, '')}${request.path}`,
        method: request.method,
        headers: {
          ...request.headers,
          ...(options.headers as http.OutgoingHttpHeaders | undefined),
          ...(body.length > 0 ? { 'content-length': body.length } : {}),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const isText = !incoming.headers['content-type']?.startsWith('application/vnd.kubernetes.protobuf');
          const { statusCode: status = 0, headers } = incoming;
          resolve({ status, headers, ...(isText ? { text: bytes.toString() } : { text: '', bytes }) });
        });
      },
    );
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      // The server may close a kept connection in the moment it is taken again; it has seen nothing of the request then.
      if (outgoing.reusedSocket && error.code === 'ECONNRESET') resolve(sendToKubernetes(address, request));
      else reject(error);
    });
    outgoing.end(body);
  });
}

/** A client for the namespace, whether or not the namespace is there. */
export function openKubernetesClient(address: KubernetesAddress, namespace: string): KubernetesClient {
  async function request(method: string, path: string, body?: unknown) {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const answer = await sendToKubernetes(address, {
      method,
      path,
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': contentType }) },
      text: body === undefined ? '' : JSON.stringify(body),
    });
    return { status: answer.status, body: JSON.parse(answer.text) as KubernetesObject };
  }

  async function expectSuccess(method: string, path: string, body?: unknown): Promise<KubernetesObject> {
    const answer = await request(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  async function get(path: string): Promise<KubernetesObject | undefined> {
    const answer = await request('GET', path);
    if (answer.status === 404) return undefined;
    if (answer.status >= 300) throw new Error(`GET ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  const namespacePath = `/api/v1/namespaces/${namespace}`;
  const pathOf = (resource: Resource, name?: string) => {
    const group = resource === 'networkpolicies' ? '/apis/networking.k8s.io/v1' : '/api/v1';
    return [group, 'namespaces', namespace, resource, name].filter(Boolean).join('/');
  };

  return {
    namespace,
    request,
    getNamespace: () => get(namespacePath),
    async createNamespace() {
      await expectSuccess('POST', '/api/v1/namespaces', {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: namespace },
      });
    },
    async deleteNamespace() {
      const answer = await request('DELETE', namespacePath);
      if (answer.status >= 300 && answer.status !== 404 && answer.status !== 409) {
        throw new Error(`DELETE ${namespacePath}: ${answer.status} ${JSON.stringify(answer.body)}`);
      }
    },
    find: (resource, name) => get(pathOf(resource, name)),
    async list(resource) {
      const list = await get(pathOf(resource));
      return (list?.items as KubernetesObject[] | undefined) ?? [];
    },
    create: (resource, object) => expectSuccess('POST', pathOf(resource), object),
    patch: (resource, name, fields, subresource) =>
      expectSuccess('PATCH', [pathOf(resource, name), subresource].filter(Boolean).join('/'), fields),
    async remove(resource, name, gracePeriodSeconds) {
      const options =
        gracePeriodSeconds === undefined ? undefined : { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds };
      const answer = await request('DELETE', pathOf(resource, name), options);
      if (answer.status >= 300 && answer.status !== 404) {
        throw new Error(`DELETE ${pathOf(resource, name)}: ${answer.status} ${JSON.stringify(answer.body)}`);
      }
    },
  };
}
