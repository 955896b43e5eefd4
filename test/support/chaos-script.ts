/** What one run of the chaos works with. All ids and threads there are: few, so that operations meet. */
export const sandboxIds = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'] as const;
export const threadIds = ['thread-a', 'thread-b', 'thread-c'] as const;

/** The times of the rules, in seconds: a round's ticks together must stay below every one of them. */
export const times = { defaultTtl: 1000, askedTtls: [400, 900, 3000], orphanGrace: 300, tick: 20 } as const;

/** What is done to the sandboxes: by the product, and, where it says so, by hand, behind its back. */
export type Action =
  | {
      readonly kind: 'create';
      readonly id: string;
      readonly threadId: string;
      readonly ttlSeconds: number | undefined;
    }
  | { readonly kind: 'renew'; readonly id: string; readonly ttlSeconds: number | undefined }
  | { readonly kind: 'get' | 'destroy'; readonly id: string }
  | { readonly kind: 'list' | 'clean-up' }
  /** By hand: the Pod is deleted without grace, or declared `Failed`. */
  | { readonly kind: 'kill' | 'fail'; readonly id: string }
  /** The clock goes on while others are under way. */
  | { readonly kind: 'tick' };

/**
 * How an invocation ends in the middle: at this call its time is over, or its process dies; the call itself takes effect or
 * not. After its time is over an operation may still clean up; a process that died does nothing any more.
 */
export type Cut = { readonly how: 'time-out' | 'death'; readonly atCall: number; readonly takesEffect: boolean };

export type Step = {
  readonly number: number;
  readonly action: Action;
  readonly cut: Cut | undefined;
  /** How long to wait before it, in milliseconds. */
  readonly waitMs: number;
};

/** Sequences of steps that run side by side from a moment of rest to the next, and what happens in that moment before. */
export type Round = {
  readonly number: number;
  readonly jumpSeconds: number;
  /** What the original provisioner, or what is left of it, adds, if the sandbox is not there. */
  readonly original: { readonly id: string; readonly threadId: string; readonly parts: OriginalParts } | undefined;
  readonly fibers: readonly (readonly Step[])[];
};

export type OriginalParts = 'both' | 'pod' | 'service';

/** What goes wrong with one call: the proxy makes it so. */
export type CallFault =
  | { readonly kind: 'delay' | 'delay-answer'; readonly ms: number }
  /** Twice in a row, if so: a call over a kept connection that is cut goes out again by itself. */
  | { readonly kind: 'cut-before' | 'cut-after'; readonly twice: boolean }
  | { readonly kind: 'answer'; readonly code: number; readonly reason: string; readonly takesEffect: boolean };

/** How many operations run side by side at most. */
export const fiberCount = 4;

/** A round of the script: the same seed and number give the same round. */
export function scriptRound(seed: number, number: number, firstStep: number): Round {
  const random = createRandom(`${seed} round ${number}`);
  // Most steps of a round are about the same one or two sandboxes.
  const hot = [random.pick(sandboxIds), random.pick(sandboxIds)];
  const pickId = () => (random.chance(0.8) ? random.pick(hot) : random.pick(sandboxIds));
  let step = firstStep;
  const jumpSeconds = scriptJump(random);
  const isLate = jumpSeconds >= times.orphanGrace;
  const weights = isLate ? lateWeights : usualWeights;
  // The others then come while it deletes.
  const beginsWithCleanUp = isLate && random.chance(0.6);
  const fibers = Array.from({ length: random.integer(isLate ? 3 : 1, fiberCount) }, (_, fiber) =>
    Array.from({ length: random.integer(1, 3) }, (_, index): Step => {
      step += 1;
      const isFirst = beginsWithCleanUp && fiber === 0 && index === 0;
      if (isFirst) return { number: step, action: { kind: 'clean-up' }, cut: undefined, waitMs: 0 };
      const action = scriptAction(random, weights, pickId());
      const isProducts = !['kill', 'fail', 'tick'].includes(action.kind);
      const cut = isProducts && random.chance(0.12) ? scriptCut(random) : undefined;
      return {
        number: step,
        action,
        cut,
        waitMs: random.chance(beginsWithCleanUp ? 0.1 : 0.5) ? 0 : random.integer(1, 25),
      };
    }),
  );
  const original = random.chance(0.1)
    ? {
        id: random.pick(hot),
        threadId: random.pick(threadIds),
        parts: random.pick(['both', 'pod', 'pod', 'service'] as const),
      }
    : undefined;
  return { number, jumpSeconds, original, fibers };
}

type Weights = Record<Action['kind'], number>;

const usualWeights: Weights = {
  create: 36,
  get: 12,
  list: 5,
  renew: 8,
  destroy: 12,
  'clean-up': 12,
  kill: 5,
  fail: 4,
  tick: 3,
};

/** Once there is much to clean up, sandboxes are used again while that is done. */
const lateWeights: Weights = { ...usualWeights, create: 50, 'clean-up': 30, get: 4, list: 2, destroy: 4 };

function scriptAction(random: Random, weights: Weights, id: string): Action {
  const ttlSeconds = random.chance(0.25) ? random.pick(times.askedTtls) : undefined;
  const kind = random.weigh(weights);
  if (kind === 'create') {
    const home = threadIds[Number(id.slice(1)) % threadIds.length] as string;
    return { kind, id, threadId: random.chance(0.75) ? home : random.pick(threadIds), ttlSeconds };
  }
  if (kind === 'renew') return { kind, id, ttlSeconds };
  return kind === 'list' || kind === 'clean-up' || kind === 'tick' ? { kind } : { kind, id };
}

const scriptCut = (random: Random): Cut => ({
  how: random.pick(['time-out', 'death']),
  atCall: random.integer(1, 5),
  takesEffect: random.chance(0.5),
});

function scriptJump(random: Random): number {
  const size = random.weigh({ none: 40, some: 25, quarter: 15, grace: 12, ttl: 8 });
  return {
    none: 0,
    some: random.integer(1, 60),
    quarter: random.integer(250, 299),
    grace: random.integer(300, 400),
    ttl: random.integer(1000, 1100),
  }[size];
}

/**
 * What goes wrong with a call, if anything: every tenth fails; it depends on the step, on what the call asks for and on how
 * often the step has asked that before, not on when it arrives among others.
 */
export function scriptFault(seed: number, step: number, call: string, occurrence: number): CallFault | undefined {
  const random = createRandom(`${seed} fault ${step} ${call} ${occurrence}`);
  // What is to be written besides is often late: between what it was decided by and that, others come.
  const isLate = !call.startsWith('GET') && random.chance(0.1);
  if (!random.chance(0.1)) return isLate ? { kind: 'delay', ms: random.integer(10, 60) } : undefined;
  const kind = random.weigh({ delay: 25, 'delay-answer': 10, 'cut-before': 15, 'cut-after': 20, answer: 30 });
  if (kind === 'delay' || kind === 'delay-answer') return { kind, ms: random.integer(1, 60) };
  if (kind === 'cut-before' || kind === 'cut-after') return { kind, twice: random.chance(0.6) };
  const [code, reason] = random.pick([
    [429, 'TooManyRequests'],
    [409, call.startsWith('POST') && random.chance(0.5) ? 'AlreadyExists' : 'Conflict'],
    [500, 'InternalError'],
    [503, 'ServiceUnavailable'],
    [504, 'Timeout'],
  ] as const);
  return { kind, code, reason, takesEffect: code >= 500 && random.chance(0.5) };
}

export type Random = {
  /** From 0 to less than 1. */
  next(): number;
  chance(probability: number): boolean;
  /** Both ends included. */
  integer(first: number, last: number): number;
  pick<T>(choices: readonly T[]): T;
  /** One of the keys, each as often as its weight says. */
  weigh<K extends string>(weights: Record<K, number>): K;
};

/** A sequence of random numbers that the text decides (FNV-1a for the state, mulberry32 for the sequence). */
export function createRandom(text: string): Random {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    chance: (probability) => next() < probability,
    integer: (first, last) => first + Math.floor(next() * (last - first + 1)),
    pick: <T>(choices: readonly T[]) => choices[Math.floor(next() * choices.length)] as T,
    weigh<K extends string>(weights: Record<K, number>): K {
      const entries = Object.entries(weights) as [K, number][];
      let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      const chosen = entries.find(([, weight]) => {
        left -= weight;
        return left < 0;
      });
      return (chosen ?? (entries.at(-1) as [K, number]))[0];
    },
  };
}
