import * as z from 'zod/mini';
import type { RequestIssue } from '../errors.ts';
import type { EventView } from '../model/events.ts';
import type { capabilities } from '../model/lark.ts';
import type { SandboxView } from '../model/status.ts';
import type { CreatedView } from '../sandboxes/create.ts';
import type { SandboxEvents } from '../sandboxes/events.ts';
import type { GivenUrl } from '../sandboxes/give-url.ts';
import type { Presence } from '../sandboxes/presence.ts';
import { time, value } from './words.ts';

/** A schema for each field of an answer: the compiler misses one that is forgotten, and refuses one that is not there. */
type FieldsOf<View> = { [Name in keyof View]-?: z.ZodMiniType<View[Name] | undefined> };

const count = (least: number) => z.int().check(z.gte(least));

const sandboxId = () => value(z.string(), 'Its id, as it was asked for.', '3f2a9c11');
const containerId = () =>
  value(z.nullable(z.string()), "Its Pod's UID; null where it has no Pod.", '0b9bd1ea-4b8b-4f0e-a6a2-2f43a1b2c3d4');

const sandboxFields: FieldsOf<SandboxView> = {
  sandbox_id: sandboxId(),
  sandbox_url: value(
    z.string().check(z.meta({ format: 'uri' })),
    'Where it is reached, without a slash at its end. It stays the same as long as the sandbox lives and the settings do not change.',
    'http://203.0.113.7:30693',
  ),
  status: value(
    z.enum(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown', 'NotFound']),
    "Its Pod's phase; or `NotFound`: there is a sandbox, but it has no Pod that will stay, and the next create brings one back behind the same URL. `Running` says that the container has started, not that its process listens already.",
    'Running',
  ),
  ready: value(z.boolean(), 'Whether Kubernetes says that it is ready.', true),
  reason: value(
    z.optional(
      z.enum([
        'NoPod',
        'Terminating',
        'Scheduling',
        'ContainerCreating',
        'PullingImage',
        'FailedMount',
        'FailedCreatePodSandBox',
        'InvalidImageName',
        'ImagePullBackOff',
        'CreateContainerConfigError',
        'CreateContainerError',
        'Starting',
        'Unready',
        'CrashLoopBackOff',
        'Evicted',
        'Error',
        'Completed',
      ]),
    ),
    'Only where it is not ready: why, in the word that docs/troubleshooting.md has a row for.',
    'ContainerCreating',
  ),
  message: value(z.optional(z.string()), 'Only where it is not ready: the same in a sentence.', 'It waits for a node.'),
  max_shell_sessions: value(count(1), 'How many shells may be open at once.', 10),
  container_id: containerId(),
  lark_cli_broker: value(z.literal(false), 'There is never a Lark broker in it.', false),
  thread_id: value(z.nullable(z.string()), 'The thread that it was made for; null where nothing tells it.', 'thread-1'),
  user_id: value(z.nullable(z.string()), 'The user that it was made for; null where nobody said whose it is.', 'alice'),
  metadata: value(z.record(z.string(), z.string()), 'What its callers have noted of it.', { team: 'red' }),
  image: value(
    z.nullable(z.string()),
    'The image that its Pod was made with; null where it has no Pod.',
    'registry.example/sandbox:1.4',
  ),
  created_at: value(z.nullable(time()), 'When it was made.', '2026-11-23T21:02:09.000Z'),
  expires_at: value(z.nullable(time()), 'Until when it may go unused; null: for ever.', '2026-11-24T21:02:09.926Z'),
};

const createdFields: FieldsOf<CreatedView> = {
  ...sandboxFields,
  created: value(z.boolean(), 'Whether this request made it. Otherwise it was there before.', true),
  unmet_mounts: value(
    z.optional(z.array(z.string())),
    'Only where there are some: the mounts that were asked for and that its Pod, which was there before, does not have. Remove the sandbox and create it anew to get them.',
    ['/mnt/acp-workspace'],
  ),
  unmet_metadata: value(
    z.optional(z.array(z.string())),
    'Only where there are some: the keys of `metadata` that do not have the value that was asked for in the sandbox, which was there before. A PATCH changes them.',
    ['team'],
  ),
};

const urlFields: FieldsOf<GivenUrl> = {
  sandbox_id: sandboxId(),
  url: value(
    z.string().check(z.meta({ format: 'uri' })),
    'Where it is reached, without a slash at its end. Whoever has it needs no key.',
    'https://3f2a9c11-3000--3rvp3bwac5lt5yyhfp7bsbifvrtae46suq.sandboxes.example.com',
  ),
  expires_at: value(time(), 'Until when the URL is good.', '2026-11-23T21:17:09.000Z'),
};

const presenceFields: FieldsOf<Presence> = {
  sandbox_id: sandboxId(),
  exists: value(z.boolean(), 'Whether it has a Pod, one that ends included.', true),
  container_id: containerId(),
};

const event = z.object({
  type: value(z.enum(['Normal', 'Warning']), 'Whether something is wrong.', 'Warning'),
  reason: value(z.string(), "Kubernetes' own word for it.", 'FailedMount'),
  message: value(
    z.string(),
    "The same in a sentence of ours. Where we have none, it is Kubernetes', with `…` for paths, addresses and names.",
    "The volume 'skills' cannot be mounted: its folder is not on the node.",
  ),
  count: value(count(1), 'How often it happened.', 5),
  first_seen: value(z.nullable(time()), 'When it happened first.', '2026-11-23T21:02:10.000Z'),
  last_seen: value(z.nullable(time()), 'When it happened last.', '2026-11-23T21:02:26.000Z'),
} satisfies FieldsOf<EventView>);

const eventsFields: FieldsOf<SandboxEvents> = {
  sandbox_id: sandboxId(),
  ready: sandboxFields.ready,
  reason: sandboxFields.reason,
  message: sandboxFields.message,
  events: value(z.array(event), 'What happened to its Pod in the last hour, newest first.'),
};

const capabilityFields: FieldsOf<typeof capabilities> = {
  lark_cli_init_image: value(z.literal(false), 'Whether sandboxes can be given the Lark tools: never.', false),
  lark_cli_broker_image: value(z.literal(false), 'Whether sandboxes can have a Lark broker: never.', false),
};

const issueFields: FieldsOf<RequestIssue> = {
  type: value(z.string(), 'What kind of fault it is, in the words of pydantic.', 'string_pattern_mismatch'),
  loc: value(z.array(z.union([z.string(), z.int()])), 'Where it is.', ['body', 'sandbox_id']),
  msg: value(z.string(), 'What it is.', "String should match pattern '^[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?$'"),
  input: value(z.unknown(), 'What was sent there; no more of it than helps.', 'Not An Id'),
  ctx: value(z.optional(z.record(z.string(), z.unknown())), 'What the rule asks for.', {
    pattern: '^[a-z0-9](?:[a-z0-9-]{0,49}[a-z0-9])?$',
  }),
};

const sandbox = z.object(sandboxFields);
const issue = z.object(issueFields);
const text = (description: string) => value(z.string(), description);

/** The bodies of all answers, by the names that they have in the description. */
export const answers = {
  Health: z.object({ status: value(z.literal('ok'), 'The functions run. Kubernetes was not asked.', 'ok') }),
  Readiness: z.object({ status: value(z.literal('ready'), 'Sandboxes can be made.', 'ready') }),
  Sandbox: sandbox,
  CreatedSandbox: z.object(createdFields),
  SandboxList: z.object({
    sandboxes: z.array(sandbox),
    count: value(count(0), 'How many there are in this answer.', 1),
    continue: value(
      z.optional(z.string()),
      'Only where there may be more: what to ask for the next page with. That one may be empty.',
      'eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ',
    ),
  }),
  Removal: z.object({ ok: value(z.literal(true), 'It is gone, or was not there.', true), sandbox_id: sandboxId() }),
  SandboxUrl: z.object(urlFields),
  Presence: z.object(presenceFields),
  SandboxEvents: z.object(eventsFields),
  SandboxEvent: event,
  Capabilities: z.object(capabilityFields),
  Issue: issue,
  InvalidRequest: z.object({ detail: value(z.array(issue), 'Everything that is wrong, at most 20 of it.') }),
  Failure: z.object({ detail: text('What went wrong, in one sentence.') }),
  GatewayFailure: z.object({ message: text("API Gateway's own word for it.") }),
};

/** The name of a body of an answer. */
export type AnswerName = keyof typeof answers;
