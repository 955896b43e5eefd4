/** What one run of the chaos works with. All ids and threads there are: few, so that operations meet. */
export const sandboxIds = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'] as const;
export const threadIds = ['thread-a', 'thread-b', 'thread-c'] as const;

/**
 * The times of the rules, in seconds, all within reach of a round. `ticks` is what passes while any operation is under way:
 * together less than a create may take, and so less than the grace, which is the least that the settings allow.
 */
export const times = {
  defaultTtl: 1000,
  askedTtls: [300, 900, 3000],
  longTtl: 20_000,
  orphanGrace: 60,
  failedRetention: 200,
  pendingTimeout: 600,
  maxLifetime: 5000,
  tick: 2,
  passes: [70, 250, 700, 1100],
} as const;

/** What is done to the sandboxes: by the product, and, where it says so, by hand, behind its back. */
export type Action =
  | { readonly kind: 'create'; readonly id: string; readonly threadId: string; readonly ttlSeconds: number | undefined }
  | { readonly kind: 'renew'; readonly id: string; readonly ttlSeconds: number | undefined }
  | { readonly kind: 'get' | 'destroy'; readonly id: string }
  | { readonly kind: 'list' | 'clean-up' }
  /** By hand: the Pod is deleted without grace, is declared `Failed` (by its node, or `evicted`), or goes back to `Pending`. */
  | { readonly kind: 'kill' | 'fail' | 'evict' | 'hang'; readonly id: string }
  /** A moment passes, whatever is under way. */
  | { readonly kind: 'tick' }
  /** Much time passes, while nothing is under way but clean-ups: all else has 25 s. */
  | { readonly kind: 'pass'; readonly seconds: number };

/**
 * How an invocation ends in the middle: at this call (the first of its kind, or so many calls on) its time is over, or its
 * process dies; the call itself takes effect or not. After its time is over an operation may still clean up; a process that
 * died does nothing any more.
 */
export type Cut = {
  readonly how: 'time-out' | 'death';
  readonly atCall: number | HeldCall;
  readonly takesEffect: boolean;
};

/** The calls that can be held, by what they ask. */
export const heldCalls = {
  'list services': /^GET services$/,
  'list pods': /^GET pods$/,
  'read service': /^GET services\//,
  'read pod': /^GET pods\//,
  patch: /^PATCH /,
  'delete service': /^DELETE services\//,
  'delete pod': /^DELETE pods\//,
  'create pod': /^POST pods$/,
} as const;
export type HeldCall = keyof typeof heldCalls;

/**
 * A call waits on its way to the cluster, or its answer on the way back: until one of the other sequences has got an answer,
 * until all others are through, or until a call of another is held as well.
 */
export type Hold = {
  readonly call: HeldCall;
  readonly side: 'call' | 'answer';
  readonly until: 'one' | 'all' | 'held';
};

export type Step = {
  readonly number: number;
  readonly action: Action;
  readonly cut: Cut | undefined;
  readonly hold: Hold | undefined;
  /** What to wait for before it: so many milliseconds, or that a call of another sequence is held. */
  readonly after: number | 'held';
};

/** What a sandbox is made to be before a round, by hand and by the product with nothing failing. */
export type Given = {
  readonly id: string;
  readonly threadId: string;
  /** `destroyed` is one that was whole until now: its Pod may still terminate. */
  readonly state: 'whole' | 'absent' | 'destroyed' | OriginalParts;
  readonly ttlSeconds?: number;
  /** What becomes of its Pod. */
  readonly pod?: 'kill' | 'fail' | 'evict' | 'hang';
  /** A clean-up has looked at it. */
  readonly isSeen?: boolean;
};

/** What the original provisioner has made, or what is left of that. */
export type OriginalParts = 'both' | 'pod' | 'service';

/** Sequences of steps that run side by side from a moment of rest to the next, and what happens in that moment before. */
export type Round = {
  readonly number: number;
  readonly scene: string;
  readonly given: Given | undefined;
  readonly jumpSeconds: number;
  readonly fibers: readonly (readonly Step[])[];
};

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
  // Each scene comes as often as every other, in an order of the seed's; between them is anything.
  const names = Object.keys(scenes) as SceneName[];
  const turn = Math.floor(number / 2);
  const shuffled = createRandom(`${seed} scenes ${Math.floor(turn / names.length)}`).shuffle(names);
  const scene = number % 2 === 0 ? (shuffled[turn % names.length] as SceneName) : undefined;
  const { given, jumpSeconds, plays } = scene === undefined ? scriptAnything(random) : scenes[scene](random);
  let step = firstStep;
  const fibers = plays.map((sequence) =>
    sequence.map((play): Step => {
      step += 1;
      return { cut: undefined, hold: undefined, after: 0, ...play, number: step };
    }),
  );
  return { number, scene: scene ?? 'anything', given, jumpSeconds, fibers };
}

/** A step before it has its number. */
type Play = Pick<Step, 'action'> & Partial<Step>;
type Scene = Pick<Round, 'given' | 'jumpSeconds'> & { readonly plays: readonly (readonly Play[])[] };
type SceneName = keyof typeof scenes;

const homeOf = (id: string) => threadIds[Number(id.slice(1)) % threadIds.length] as string;

/** Operations that have nothing to do with each other, most of them about the same one or two sandboxes. */
function scriptAnything(random: Random): Scene {
  const hot = [random.pick(sandboxIds), random.pick(sandboxIds)];
  const jumpSeconds = scriptJump(random);
  const isLate = jumpSeconds >= times.orphanGrace;
  const weights = isLate ? lateWeights : usualWeights;
  const plays = Array.from({ length: random.integer(isLate ? 3 : 1, fiberCount) }, () =>
    Array.from({ length: random.integer(1, 3) }, (): Play => {
      const id = random.chance(0.8) ? random.pick(hot) : random.pick(sandboxIds);
      return scriptPlay(random, weights, id, random.chance(0.5) ? 0 : random.integer(1, 25));
    }),
  );
  const id = random.pick(hot);
  const state = random.pick(['both', 'pod', 'service'] as const);
  const given = random.chance(0.1) ? { id, threadId: random.pick(threadIds), state } : undefined;
  return { given, jumpSeconds, plays };
}

/** A step, which may be cut; a clean-up, which may be held. */
function scriptPlay(random: Random, weights: Partial<Weights>, id: string, after: number | 'held'): Play {
  const action = scriptAction(random, weights, id);
  const isProducts = !['kill', 'fail', 'evict', 'hang', 'tick', 'pass'].includes(action.kind);
  const cut = isProducts && random.chance(0.1) ? scriptCut(random) : undefined;
  const isHeld = action.kind === 'clean-up' && random.chance(0.5);
  return { action, cut, hold: isHeld ? scriptHold(random) : undefined, after };
}

type Weights = Record<Action['kind'], number>;

const usualWeights: Weights = {
  create: 36,
  get: 12,
  list: 5,
  renew: 8,
  destroy: 12,
  'clean-up': 12,
  kill: 4,
  fail: 2,
  evict: 2,
  hang: 2,
  tick: 3,
  pass: 4,
};

/** Once there is much to clean up, sandboxes are used again while that is done. */
const lateWeights: Weights = { ...usualWeights, create: 50, 'clean-up': 30, get: 8, list: 2, destroy: 4 };

/** The ways to use a sandbox. */
const useWeights: Partial<Weights> = { create: 50, renew: 30, get: 20 };

function scriptAction(random: Random, weights: Partial<Weights>, id: string): Action {
  const ttlSeconds = random.chance(0.3) ? random.pick(times.askedTtls) : undefined;
  const kind = random.weigh(weights as Weights);
  if (kind === 'create') {
    return { kind, id, threadId: random.chance(0.85) ? homeOf(id) : random.pick(threadIds), ttlSeconds };
  }
  if (kind === 'renew') return { kind, id, ttlSeconds };
  if (kind === 'pass') return { kind, seconds: random.pick(times.passes) };
  return kind === 'list' || kind === 'clean-up' || kind === 'tick' ? { kind } : { kind, id };
}

const scriptCut = (random: Random): Cut => ({
  how: random.pick(['time-out', 'death']),
  atCall: random.integer(1, 5),
  takesEffect: random.chance(0.5),
});

/** The moments at which a clean-up can be overtaken. */
const scriptHold = (random: Random): Hold => ({
  ...random.pick([
    { call: 'list pods', side: 'call' },
    { call: 'list pods', side: 'answer' },
    { call: 'read service', side: 'answer' },
    { call: 'read pod', side: 'answer' },
    { call: 'patch', side: 'call' },
    { call: 'delete service', side: 'call' },
    { call: 'delete service', side: 'call' },
    { call: 'delete pod', side: 'call' },
    { call: 'delete pod', side: 'call' },
  ] as const),
  until: random.chance(0.8) ? 'all' : 'one',
});

function scriptJump(random: Random): number {
  const size = random.weigh({ none: 45, some: 20, quarter: 15, grace: 12, ttl: 8 });
  return {
    none: 0,
    some: random.integer(1, 50),
    quarter: random.integer(250, 299),
    grace: random.integer(60, 120),
    ttl: random.integer(1000, 1100),
  }[size];
}

/** What comes while a clean-up is held: mostly uses of the sandbox, and now and then anything else. */
function scriptUses(random: Random, id: string, first: Partial<Weights> = useWeights): Play[][] {
  const others: Weights = { ...usualWeights, create: 20, tick: 6, pass: 12, 'clean-up': 6 };
  return Array.from({ length: random.integer(1, 2) }, (_, fiber) => [
    // Most firsts are sure to get through, or little would be seen of what they guarantee.
    { action: scriptAction(random, fiber === 0 ? first : useWeights, id), after: random.chance(0.8) ? 'held' : 0 },
    ...Array.from({ length: random.integer(0, 2) }, () =>
      scriptPlay(random, random.chance(0.5) ? useWeights : others, id, 0),
    ),
  ]);
}

/** A clean-up that is held at one of these calls, or anywhere, and at times another one after it. */
const scriptHeldCleanUp = (random: Random, holds: readonly Pick<Hold, 'call' | 'side'>[]): Play[] => [
  {
    action: { kind: 'clean-up' },
    hold: random.chance(0.9) ? { ...random.pick(holds), until: 'all' } : scriptHold(random),
  },
  ...(random.chance(0.2) ? [{ action: { kind: 'clean-up' } } as const] : []),
];

/** A given sandbox, so much later, and a clean-up that is held beside what uses it. */
function scriptTakeover(
  random: Random,
  given: Omit<Given, 'id' | 'threadId'>,
  jumpSeconds: number,
  holds: readonly Pick<Hold, 'call' | 'side'>[],
  first?: Partial<Weights>,
): Scene {
  const id = random.pick(sandboxIds);
  const plays = [scriptHeldCleanUp(random, holds), ...scriptUses(random, id, first)];
  return { given: { id, threadId: homeOf(id), ...given }, jumpSeconds, plays };
}

const atDeletion = [
  { call: 'delete service', side: 'call' },
  { call: 'delete pod', side: 'call' },
] as const;
const atLists = [
  { call: 'list pods', side: 'call' },
  { call: 'list pods', side: 'answer' },
] as const;
const atReading = [{ call: 'read pod', side: 'answer' }] as const;

/** Where a clean-up or a roll-back that is not careful takes what lives, and where one that is too careful leaves it for ever. */
const scenes = {
  'expired, used while its Service is deleted': (random: Random) =>
    scriptTakeover(random, { state: 'whole', ttlSeconds: 300 }, random.integer(300, 400), [atDeletion[0]]),
  'expired, used while its Pod is deleted': (random: Random) =>
    scriptTakeover(random, { state: 'whole' }, random.integer(1000, 1100), [atDeletion[1]], { create: 1 }),
  'too old, and used': (random: Random) =>
    scriptTakeover(random, { state: 'whole', ttlSeconds: times.longTtl }, random.integer(5000, 5100), atDeletion),
  "the original's Pod, taken over while it is deleted": (random: Random) =>
    scriptTakeover(random, { state: 'pod', isSeen: true }, random.integer(60, 90), [atDeletion[1]], { create: 1 }),
  "the original's Pod, taken over while the clean-up looks": (random: Random) =>
    scriptTakeover(random, { state: 'pod', isSeen: true }, random.integer(60, 90), atLists, { create: 1 }),
  "the original's sandbox, used while it is adopted": (random: Random) => {
    const state = random.pick(['both', 'both', 'service'] as const);
    return scriptTakeover(random, { state }, random.integer(0, 10), [{ call: 'patch', side: 'call' }], {
      create: 2,
      renew: 1,
    });
  },
  "the original's sandbox, expired and used": (random: Random) =>
    scriptTakeover(random, { state: 'both', isSeen: true }, random.integer(1000, 1100), atDeletion),
  'its Pod is gone, and it is mended': (random: Random) =>
    scriptTakeover(random, { state: 'whole', pod: 'kill' }, random.integer(60, 90), [...atDeletion, ...atReading]),
  'its Pod has ended, and it is mended': (random: Random) => {
    const pod = random.pick(['fail', 'evict'] as const);
    const given = { state: 'whole', ttlSeconds: 900, pod } as const;
    return scriptTakeover(random, given, random.integer(200, 250), [...atDeletion, ...atReading]);
  },
  'its Pod never ran, and it is used': (random: Random) => {
    const given = { state: 'whole', ttlSeconds: 3000, pod: 'hang' } as const;
    return scriptTakeover(random, given, random.integer(600, 650), [...atDeletion, ...atReading]);
  },
  'its Pod terminates': (random: Random) =>
    scriptTakeover(random, { state: 'destroyed' }, random.integer(100, 150), [atDeletion[1]], { create: 1 }),
  'made while a clean-up looks, and old when it acts': (random: Random): Scene => {
    const id = random.pick(sandboxIds);
    const create = scriptAction(random, { create: 1 }, id);
    const cleanUp: Play = {
      action: { kind: 'clean-up' },
      hold: { call: 'list pods', side: 'answer', until: 'all' },
      after: 'held',
    };
    const pass: Play = { action: { kind: 'pass', seconds: random.pick([70, 250]) } };
    return {
      given: { id, threadId: homeOf(id), state: 'absent' },
      jumpSeconds: random.integer(0, 300),
      plays: [
        [{ action: create, hold: { call: 'create pod', side: 'call', until: 'held' } }, pass],
        [cleanUp],
        random.chance(0.25) ? [scriptPlay(random, useWeights, id, 10)] : [],
      ],
    };
  },
  'made, and used by another before it is rolled back': (random: Random): Scene => {
    const id = random.pick(sandboxIds);
    const threadId = homeOf(id);
    const cut: Cut = { how: 'time-out', atCall: 'create pod', takesEffect: random.chance(0.3) };
    const hold: Hold = { call: 'delete service', side: 'call', until: 'all' };
    const create: Action = { kind: 'create', id, threadId, ttlSeconds: undefined };
    return {
      given: { id, threadId, state: 'absent' },
      jumpSeconds: 0,
      plays: [
        [{ action: create, cut, hold }],
        [{ action: random.chance(0.8) ? create : scriptAction(random, useWeights, id), after: 'held' }],
        random.chance(0.5) ? [scriptPlay(random, useWeights, id, 'held')] : [],
      ],
    };
  },
  "the original's Service, found by two threads": (random: Random): Scene => {
    const id = random.pick(sandboxIds);
    const [first, second] = random.shuffle(threadIds) as [string, string];
    const creates = [first, second].map(
      (threadId): Action => ({ kind: 'create', id, threadId, ttlSeconds: undefined }),
    );
    const [one, other] = creates as [Action, Action];
    return {
      given: { id, threadId: first, state: 'service' },
      jumpSeconds: random.integer(0, 10),
      plays: [
        [{ action: one, hold: { call: 'read service', side: 'answer', until: 'all' } }],
        [{ action: other, after: 'held' }],
        random.chance(0.5) ? [scriptPlay(random, useWeights, id, 'held')] : [],
      ],
    };
  },
  'looked at, and nothing else': (random: Random): Scene => {
    const id = random.pick(sandboxIds);
    const look: Play = { action: { kind: 'get', id } };
    const pass: Play = { action: { kind: 'pass', seconds: 250 } };
    return {
      given: { id, threadId: homeOf(id), state: 'whole', ttlSeconds: 900 },
      jumpSeconds: random.integer(250, 850),
      plays: [[look, pass, { action: { kind: 'clean-up' } }, look], [{ action: { kind: 'list' } }]],
    };
  },
};

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
  shuffle<T>(choices: readonly T[]): T[];
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
  const integer = (first: number, last: number) => first + Math.floor(next() * (last - first + 1));
  return {
    next,
    chance: (probability) => next() < probability,
    integer,
    pick: <T>(choices: readonly T[]) => choices[Math.floor(next() * choices.length)] as T,
    shuffle<T>(choices: readonly T[]): T[] {
      const shuffled = [...choices];
      for (let last = shuffled.length - 1; last > 0; last -= 1) {
        const other = integer(0, last);
        [shuffled[last], shuffled[other]] = [shuffled[other] as T, shuffled[last] as T];
      }
      return shuffled;
    },
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
