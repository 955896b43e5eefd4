import { answerQuestions } from './helper-process.ts';
import { openRawClient, type RawAddress, type RawClient } from './raw-client.ts';

/** What a caller does with a sandbox. `create-elsewhere` is a repeated create by a process that has not seen the sandbox. */
export const operations = ['create', 'create-again', 'create-elsewhere', 'get', 'renew', 'delete', 'list'] as const;

export type Operation = (typeof operations)[number];

/**
 * Makes the calls to Kubernetes that an operation is made of, in the same order and side by side as the functions do, and nothing
 * else: what cannot be helped. Throws where Kubernetes answers anything but what it is expected to.
 */
export async function callBare(
  client: RawClient,
  operation: Operation,
  namespace: string,
  sandboxId: string,
  bodies: Bodies,
): Promise<void> {
  const { services, pods, service, pod } = pathsOf(namespace, sandboxId);
  const selector = '?labelSelector=app%3Ddeer-flow-sandbox';
  switch (operation) {
    case 'create': {
      const [made] = await Promise.all([
        client.send('POST', services, bodies.service),
        client.send('GET', pod, undefined, 404),
      ]);
      await client.send('POST', pods, withOwner(bodies.pod, made.text));
      return;
    }
    case 'create-again':
    case 'renew':
      await Promise.all([client.send('PATCH', service, bodies.use), client.send('GET', pod)]);
      return;
    case 'create-elsewhere':
      await Promise.all([client.send('POST', services, bodies.service, 409), client.send('GET', pod)]);
      await client.send('PATCH', service, bodies.use);
      return;
    case 'get':
      await Promise.all([client.send('GET', service), client.send('GET', pod)]);
      return;
    case 'delete':
      await Promise.all([client.send('GET', service), client.send('GET', pod)]);
      // Kubernetes itself removes the Pod of a Service that is gone, and may be the faster one.
      await Promise.all([client.send('DELETE', service), client.send('DELETE', pod, undefined, 404)]);
      return;
    case 'list':
      await Promise.all([client.readList(services + selector), client.readList(pods + selector)]);
  }
}

/** What the functions send to Kubernetes, as text. The Pod's owner is filled in by `withOwner`. */
export type Bodies = { service: string; pod: string; use: string };

/** Stands in a Pod's body where its owner's UID is to go. */
export const ownerPlaceholder = '00000000-0000-0000-0000-000000000000';

/** The Pod's body, with the Service that Kubernetes answered as its owner. */
export const withOwner = (pod: string, serviceAnswer: string): string =>
  pod.replace(ownerPlaceholder, /"uid": ?"([^"]+)"/.exec(serviceAnswer)?.[1] ?? '');

/** Where the API server has a sandbox's two objects, and all of them. */
export function pathsOf(namespace: string, sandboxId: string) {
  const path = `/api/v1/namespaces/${namespace}`;
  return {
    services: `${path}/services`,
    pods: `${path}/pods`,
    service: `${path}/services/sandbox-${sandboxId}-svc`,
    pod: `${path}/pods/sandbox-${sandboxId}`,
  };
}

/** What a process is to do that makes the bare calls of one operation as its first. It answers with the milliseconds. */
export type FreshFloor = [
  address: RawAddress,
  operation: Operation,
  namespace: string,
  sandboxId: string,
  bodies: Bodies,
];

if (import.meta.main) {
  answerQuestions(async ([address, ...call]: FreshFloor) => {
    const start = performance.now();
    await callBare(openRawClient(address), ...call);
    return performance.now() - start;
  });
}
