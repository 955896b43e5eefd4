import {
  CoreV1Api,
  createConfiguration,
  NetworkingV1Api,
  ResponseContext,
  ServerConfiguration,
  type V1DeleteOptions,
  type V1Namespace,
  type V1NetworkPolicy,
  type V1Pod,
  type V1Service,
  wrapHttpLibrary,
} from '@kubernetes/client-node';

// Sources to bundle as the functions are, for what these do not do, or not in a test.

/** A call on the client's own way to the API server, which is left out. */
export const callWithoutTransport = (url: string): Promise<unknown> => {
  const api = new CoreV1Api(createConfiguration({ baseServer: new ServerConfiguration(url, {}) }));
  return api.readNamespace({ name: 'default' });
};

/** What is sent, by its kind. */
export type Sent = {
  DeleteOptions: V1DeleteOptions;
  Pod: V1Pod;
  Service: V1Service;
  Namespace: V1Namespace;
  NetworkPolicy: V1NetworkPolicy;
};

/** What the client makes of these objects on their way out, and of these on their way in, each by its kind. */
export async function serializeEach(
  out: Sent,
  into: Record<string, object>,
): Promise<{ sent: Record<string, unknown>; got: Record<string, unknown> }> {
  const sent: Record<string, unknown> = {};
  const got: Record<string, unknown> = {};
  /** A call that sends one kind and gets another. */
  const on = (sends: string, gets: string) => {
    const httpApi = wrapHttpLibrary({
      async send(request) {
        sent[sends] = JSON.parse(String(request.getBody()));
        const text = async () => JSON.stringify(into[gets]);
        const body = { text, binary: async () => Buffer.alloc(0), stream: () => null };
        return new ResponseContext(200, { 'content-type': 'application/json' }, body);
      },
    });
    return createConfiguration({ baseServer: new ServerConfiguration('https://kubernetes.test', {}), httpApi });
  };
  const [name, namespace] = ['name', 'namespace'];
  const core = (sends: string, gets = sends) => new CoreV1Api(on(sends, gets));
  const networking = (sends: string, gets = sends) => new NetworkingV1Api(on(sends, gets));
  got.Pod = await core('Pod').createNamespacedPod({ namespace, body: out.Pod });
  got.Service = await core('Service').createNamespacedService({ namespace, body: out.Service });
  got.Namespace = await core('Namespace').createNamespace({ body: out.Namespace });
  const policy = { namespace, body: out.NetworkPolicy };
  got.NetworkPolicy = await networking('NetworkPolicy').createNamespacedNetworkPolicy(policy);
  const deletion = { namespace, name, body: out.DeleteOptions };
  got.Status = await networking('DeleteOptions', 'Status').deleteNamespacedNetworkPolicy(deletion);
  return { sent, got };
}
