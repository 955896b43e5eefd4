import * as z from 'zod/mini';
import { buildEvent, type Change, type ChangeEvent, type EventType } from '../events/changes.ts';
import { removeReasons } from '../model/expiry.ts';
import { time, value } from './words.ts';

/** What an event means, why it may have come, and an example. docs/events.md has them all. */
type Webhook = Readonly<{ name: string; summary: string; reasons?: readonly string[]; example: Partial<Change> }>;

const ofTime: readonly string[] = ['expired', 'too-old'];

/** All events, in the order of a sandbox's life. */
export const webhooks: Readonly<Record<EventType, Webhook>> = {
  'sandbox.created': { name: 'SandboxCreated', summary: 'A create made a sandbox', example: {} },
  'sandbox.ready': {
    name: 'SandboxReady',
    summary: 'A sandbox became ready while a request waited for that',
    example: {},
  },
  'sandbox.healed': {
    name: 'SandboxHealed',
    summary: 'A create gave a sandbox a new Pod, behind the same URL',
    example: {},
  },
  'sandbox.failed': {
    name: 'SandboxFailed',
    summary: 'A create failed, or a request waited for a sandbox that can no longer become ready as it is',
    example: { reason: 'quota-exceeded', message: 'Pod creation failed: exceeded quota' },
  },
  'sandbox.expired': {
    name: 'SandboxExpired',
    summary: 'The clean-up removed a sandbox because its time was over',
    reasons: ofTime,
    example: { reason: 'expired' },
  },
  'sandbox.removed': {
    name: 'SandboxRemoved',
    summary: 'A caller removed a sandbox, or the clean-up what was broken of one',
    reasons: ['requested', ...removeReasons.filter((reason) => !ofTime.includes(reason))],
    example: { reason: 'requested' },
  },
};

/** The event of this type that the description shows. */
export function exampleOf(type: EventType): ChangeEvent {
  const sandbox = { sandboxId: '3f2a9c11', threadId: 'thread-1', userId: 'alice' };
  const at = new Date('2026-11-23T21:02:09.926Z');
  return buildEvent({ type, ...sandbox, ...webhooks[type].example }, '8f507cfc-8c73-44b4-8a43-0c2e6f8c0d51', at);
}

/** The schemas of all events, by their names in the description. */
export const eventSchemas = Object.fromEntries(
  Object.entries(webhooks).map(([type, { name, reasons, example }]) => [
    name,
    z.object({
      id: value(z.string(), 'Its id: the same each time that it is sent, and of no other event.'),
      type: value(z.literal(type), 'What happened.'),
      timestamp: value(time(), 'When.'),
      data: z.object({
        sandbox_id: value(z.string(), 'The id of the sandbox.'),
        thread_id: value(z.nullable(z.string()), 'The thread that it was made for; null where nothing tells it.'),
        user_id: value(z.nullable(z.string()), 'The user that it was made for; null where nobody said whose it is.'),
        ...('reason' in example && {
          reason: value(reasons === undefined ? z.string() : z.enum(reasons), 'Why, in one word.'),
        }),
        ...('message' in example && { message: value(z.string(), 'Why, in a sentence.') }),
        request_id: value(
          z.string(),
          'The request, or the run of the clean-up, that did or saw it: `requestId` in the log.',
        ),
      }),
    }),
  ]),
);

const header = (name: string, description: string, schema: object) => ({
  ...{ name, in: 'header', required: true, description, schema },
});
const parameters = [
  header('webhook-id', 'The id of the event.', { type: 'string' }),
  header('webhook-timestamp', 'When it was sent, in seconds since 1970.', { type: 'integer' }),
  header('webhook-signature', 'Its signatures, by Standard Webhooks, separated by blanks.', { type: 'string' }),
];

/** What the description says of them. */
export const describeWebhooks = () =>
  Object.fromEntries(
    Object.entries(webhooks).map(([type, { name, summary }]) => [
      type,
      {
        post: {
          operationId: `on${name}`,
          tags: ['Events'],
          summary,
          security: [],
          parameters,
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: { $ref: `#/components/schemas/${name}` },
                example: exampleOf(type as EventType),
              },
            },
          },
          responses: {
            '2XX': { description: 'You have it.' },
            '3XX': { description: 'It is lost: no redirect is followed.' },
            '4XX': { description: 'It is lost, and is not sent again; but after 408, 425 and 429 it is.' },
            '5XX': { description: 'It is sent again, as long as there is time.' },
          },
        },
      },
    ]),
  );
