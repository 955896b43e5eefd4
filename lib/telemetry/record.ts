import type { ErrorKind } from '../errors.ts';
import type { Tally } from '../tally.ts';

/** What a create did: see `Deed`. */
export const createDeeds = ['created', 'found', 'healed', 'replaced', 'adopted'] as const;

/**
 * What came of a request that may change something. A create has `found` the sandbox as it was, `healed` it with a new Pod, `replaced` a
 * Pod that could not run or had another port, or `adopted` what the original provisioner made; a delete found it `absent`.
 */
export type Deed = (typeof createDeeds)[number] | 'renewed' | 'updated' | 'deleted' | 'absent';

/** What an operation finds out, and its request's line and figures tell. */
export type Facts = {
  sandboxId?: string;
  did?: Deed;
  /** From the create until the sandbox was ready, where its caller waited for that, in milliseconds. */
  readyMs?: number;
  /** Whose sandbox it is, as far as that was seen: an event tells it. */
  threadId?: string | null | undefined;
  userId?: string | null | undefined;
  /** How a wait for it ended: it became ready, or is not and cannot become so as it is; nothing where the wait ended before that. */
  waited?: 'ready' | Readonly<{ reason: string; message: string }>;
};

/** What is gathered of a request while it runs. */
export type RequestRecord = Facts & {
  readonly requestId: string;
  /** The route; undefined where the event names none. */
  routeKey?: string;
  method?: string;
  /** Where the connection came from. */
  sourceIp?: string;
  /** Who called, by a name that is no secret; undefined for those who did not show who they are. */
  caller?: string;
  error?: { kind: ErrorKind; message: string; cause: unknown };
};

/** A request that is over. */
export type ClosedRecord = RequestRecord &
  Readonly<{ statusCode: number; durationMs: number; coldStart: boolean; kubernetes: Tally }>;
