import { AsyncLocalStorage } from 'node:async_hooks';

/** The calls of one piece of work to another system: how many, and for how long at least one was under way, in milliseconds. */
export type Tally = Readonly<{ calls: number; ms: number }>;

type Open = { calls: number; ms: number; underWay: number; since: number };

/**
 * The work that runs here. It is not passed on as an argument: whoever makes a call does so for many at once, with connections, lists
 * and a memory that these share.
 */
const current = new AsyncLocalStorage<Open>();

/** Begins to count the calls of this work, all that it awaits included. Gives what it gave, and what reads the count so far. */
export function tallyCalls<T>(work: (read: () => Tally) => T): T {
  const open: Open = { calls: 0, ms: 0, underWay: 0, since: 0 };
  return current.run(open, () => work(() => ({ calls: open.calls, ms: open.ms + sinceOf(open) })));
}

/** Counts a call for the work that makes it, and its time. */
export function countCall<T>(call: () => Promise<T>): Promise<T> {
  const open = current.getStore();
  if (open !== undefined) open.calls += 1;
  return countTime(call());
}

/** Counts the time alone: of who waits for a call that another makes. */
export function countTime<T>(call: Promise<T>): Promise<T> {
  const open = current.getStore();
  if (open === undefined) return call;
  if (open.underWay === 0) open.since = uptimeMs();
  open.underWay += 1;
  return call.finally(() => {
    open.underWay -= 1;
    if (open.underWay === 0) open.ms += uptimeMs() - open.since;
  });
}

/** For how long this process has been running. `performance` would have to be loaded, which takes a cold start more than a millisecond. */
export const uptimeMs = (): number => process.uptime() * 1000;

const sinceOf = ({ underWay, since }: Open): number => (underWay === 0 ? 0 : uptimeMs() - since);
