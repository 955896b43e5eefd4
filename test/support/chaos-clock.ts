import type { KubernetesAnswer, KubernetesObject } from './kubernetes-client.ts';

/**
 * The run's clock, which jumps, and the cluster's, which does not: what the cluster notes of when an object was made or began
 * to end is shown by the run's clock, as it was when anybody saw it first.
 */
export type ChaosClock = {
  /** Milliseconds; whole seconds, as Kubernetes notes times. */
  now(): number;
  goOn(seconds: number): void;
  /** An answer of Kubernetes with its times as those of the run. */
  translate(answer: KubernetesAnswer): KubernetesAnswer;
  findCreatedAt(object: KubernetesObject): number;
};

/** A clock that begins now. */
export function createChaosClock(): ChaosClock {
  let clock = Math.floor(Date.now() / 1000) * 1000;
  const [createdAt, deletedAt] = [new Map<string, number>(), new Map<string, number>()];

  function seenAt(seen: Map<string, number>, uid: string): number {
    const at = seen.get(uid) ?? clock;
    seen.set(uid, at);
    return at;
  }

  const format = (time: number) => `${new Date(time).toISOString().slice(0, 19)}Z`;

  function translateObject({ metadata }: KubernetesObject): void {
    if (metadata?.uid === undefined) return;
    metadata.creationTimestamp = format(seenAt(createdAt, metadata.uid));
    if (metadata.deletionTimestamp === undefined) return;
    const graceMs = Number(metadata.deletionGracePeriodSeconds ?? 0) * 1000;
    metadata.deletionTimestamp = format(seenAt(deletedAt, metadata.uid) + graceMs);
  }

  return {
    now: () => clock,
    goOn(seconds) {
      clock += seconds * 1000;
    },
    translate(answer) {
      if (!answer.text.includes('"creationTimestamp"')) return answer;
      const body = JSON.parse(answer.text) as KubernetesObject & { items?: KubernetesObject[] };
      for (const object of body.items ?? [body]) translateObject(object);
      return { ...answer, text: JSON.stringify(body) };
    },
    findCreatedAt: ({ metadata }) => seenAt(createdAt, metadata.uid),
  };
}
