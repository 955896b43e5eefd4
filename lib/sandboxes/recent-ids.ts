/** Ids that were seen lately, each for a while. */
export type RecentIds = {
  add(id: string, at: Date): void;
  remove(id: string): void;
  has(id: string, at: Date): boolean;
};

/** Remembers at most `capacity` ids, each for `lifetimeMs` milliseconds since it was added last; the oldest goes first. */
export function createRecentIds(lifetimeMs: number, capacity: number): RecentIds {
  // A Map keeps the order in which its keys came.
  const addedAt = new Map<string, number>();
  return {
    add(id, at) {
      addedAt.delete(id);
      addedAt.set(id, at.getTime());
      const [oldest] = addedAt.keys();
      if (addedAt.size > capacity && oldest !== undefined) addedAt.delete(oldest);
    },
    remove(id) {
      addedAt.delete(id);
    },
    has(id, at) {
      const added = addedAt.get(id);
      return added !== undefined && at.getTime() - added < lifetimeMs;
    },
  };
}
