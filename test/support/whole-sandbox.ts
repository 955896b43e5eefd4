import { expect } from 'vitest';

import type { KubernetesObject } from './kubernetes-client.ts';
import type { World } from './world.ts';

/** The two objects of a sandbox. */
export interface WholeSandbox {
  readonly pod: KubernetesObject;
  readonly service: KubernetesObject;
}

/** One Pod, one Service, the one owned by the other, running, and open at its URL. */
export async function expectWholeSandbox(world: World, sandboxId: string): Promise<WholeSandbox> {
  const view = await world.untilRunning(sandboxId);
  await world.untilOpen(view);
  const [pods, services] = [await world.podsOf(sandboxId), await world.servicesOf(sandboxId)];
  expect({ pods: pods.length, services: services.length }).toEqual({ pods: 1, services: 1 });
  const [pod, service] = [pods[0] as KubernetesObject, services[0] as KubernetesObject];
  expect(pod.metadata.deletionTimestamp).toBeUndefined();
  expect(pod.metadata.ownerReferences?.map(({ uid }) => uid)).toEqual([service.metadata.uid]);
  return { pod, service };
}
