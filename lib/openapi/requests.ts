import type * as z from 'zod/mini';
import {
  createBody,
  filterQuery,
  logQuery,
  lookQuery,
  metadataParameterPattern,
  pageQuery,
  renewalBody,
  sandboxPath,
  updateBody,
  urlBody,
} from '../http/request.ts';
import { maxMetadataPairs } from '../model/metadata.ts';
import { metadataKeyPattern } from '../model/names.ts';

/** What a field is told of, beside its schema; of a list, what the fields of its items are. */
export type Words = Readonly<{
  description: string;
  examples?: readonly unknown[];
  items?: Readonly<Record<string, Words>>;
  /** Of pairs, what their keys are, and how many there may be: what checks them says it in code. */
  propertyNames?: Readonly<{ pattern: string }>;
  maxProperties?: number;
}>;
/** Words for each field of a request: the compiler misses one that is forgotten. */
type WordsFor<Body> = Readonly<Record<keyof Body & string, Words>>;
type CreateBody = z.output<ReturnType<typeof createBody>>;

const say = (description: string, ...examples: unknown[]): Words => ({
  description,
  ...(examples.length > 0 && { examples }),
});

const mountWords: WordsFor<CreateBody['extra_mounts'][number]> = {
  host_path: say("The folder on the node, in DeerFlow's state.", '/.deer-flow/threads/thread-1/acp-workspace'),
  container_path: say('Where it is mounted.', '/mnt/acp-workspace'),
  read_only: say('Whether the sandbox may not write to it.', true),
};

const createWords: WordsFor<CreateBody> = {
  sandbox_id: say('Its id, which its Pod, its Service and its URL go by.', '3f2a9c11'),
  thread_id: say('The thread that it is for. If it is null or absent, it is the `sandbox_id`.', 'thread-1'),
  user_id: say('Whose folders are mounted; without it, those of `default`.', 'alice'),
  ttl_seconds: say(
    'For how long it may go unused, in seconds, before it is removed. Without it, as the settings say.',
    3600,
  ),
  max_shell_sessions: say('How many shells it must let open at once. Without it, its image decides.', 10),
  extra_mounts: {
    ...say("At most ten folders of DeerFlow's state to mount beside the usual ones."),
    items: mountWords,
  },
  skills_container_path: say('Where the skills are mounted.', '/mnt/skills'),
  include_legacy_skills: say('Whether the legacy skills are mounted too.', false),
  provision_lark_cli_runtime: say('Whether Lark is planned for. What that needs of a sandbox are its mounts.', false),
  wait_seconds: say('For how many seconds at most the answer waits for the sandbox to be ready.', 20),
  provision_lark_cli_broker: say('Must be false: a sandbox with a Lark broker is refused (503).', false),
  metadata: {
    ...say(
      'At most 16 pairs of texts to note of it and to find it by. A sandbox that is there keeps what it has: `unmet_metadata` in the answer.',
      { team: 'red' },
    ),
    propertyNames: { pattern: metadataKeyPattern.source },
    maxProperties: maxMetadataPairs,
  },
};

const updateWords: WordsFor<z.output<ReturnType<typeof updateBody>>> = {
  metadata: {
    ...say(
      'The pairs that are to change. null takes a key away; a key that is not named stays. At most 16 afterwards.',
      { team: 'blue', old: null },
    ),
    propertyNames: { pattern: metadataKeyPattern.source },
  },
};

const urlWords: WordsFor<z.output<ReturnType<typeof urlBody>>> = {
  ttl_seconds: say('For how long it is good, in seconds.', 900),
  port: say("Which port of the sandbox it leads to; without it, the sandbox's own.", 3000),
};

const pageWords: WordsFor<z.output<ReturnType<typeof pageQuery>>> = {
  limit: say('How many a page has at most. Without it, the list is whole.', 10),
  continue: say(
    'The `continue` of the page before, with the same `limit`. Kubernetes forgets it after some minutes: 410.',
    'eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ',
  ),
};

const filterWords: WordsFor<z.output<ReturnType<typeof filterQuery>>> = {
  status: say('Only those with this `status`.', 'Running'),
  ready: say('Only those that are ready, or only those that are not.', true),
  thread_id: say('Only those of this thread.', 'thread-1'),
  user_id: say('Only those of this user.', 'alice'),
  metadata: {
    ...say('Only those that have all of these pairs: one parameter for each, `metadata.` and its key.', {
      'metadata.team': 'red',
    }),
    propertyNames: { pattern: metadataParameterPattern.source },
  },
};

const logWords: WordsFor<z.output<ReturnType<typeof logQuery>>> = {
  tail: say('How many of its last lines.', 200),
  previous: say('Whether that of the run before the last start is meant: of a process that crashed, for one.', true),
  container: say('Of which container: there are others only where the cluster puts them beside it.', 'sandbox'),
};

/** The bodies of requests: their schemas, and the words for their fields. */
export const requestBodies = (maxTtlSeconds: number) => ({
  CreateRequest: { schema: createBody(maxTtlSeconds), words: createWords },
  UpdateRequest: { schema: updateBody(), words: updateWords },
  UrlRequest: { schema: urlBody(), words: urlWords },
  RenewRequest: { schema: renewalBody(maxTtlSeconds), words: { ttl_seconds: createWords.ttl_seconds } },
});

/** The name of a body of a request. */
export type RequestName = keyof ReturnType<typeof requestBodies>;

/** The parameters of requests: their schemas, where they stand, and the words for them. */
export const requestParameters = {
  sandbox: { in: 'path', schema: sandboxPath, words: { sandbox_id: say("The sandbox's id.", '3f2a9c11') } },
  // A query is text. What the pattern of its `limit` means is this.
  page: {
    in: 'query',
    schema: pageQuery,
    words: pageWords,
    means: { limit: { type: 'integer', minimum: 1, maximum: 100 } },
  },
  look: {
    in: 'query',
    schema: lookQuery,
    words: { wait_seconds: createWords.wait_seconds },
    means: { wait_seconds: { type: 'integer', minimum: 0, maximum: 20, default: 0 } },
  },
  filter: {
    in: 'query',
    schema: filterQuery,
    words: filterWords,
    means: {
      status: { type: 'string', enum: ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown', 'NotFound'] },
      ready: { type: 'boolean' },
    },
    // A parameter for each of its fields.
    styles: { metadata: { style: 'form', explode: true } },
  },
  log: {
    in: 'query',
    schema: logQuery,
    words: logWords,
    means: {
      tail: { type: 'integer', minimum: 1, maximum: 5000, default: 200 },
      previous: { type: 'boolean', default: false },
    },
  },
} as const;
