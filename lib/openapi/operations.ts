import type { AnswerName } from './answers.ts';
import type { RequestName, requestParameters } from './requests.ts';

/** What an error means, and what its `detail` may say. The statuses are those of lib/http/serve. */
export const failures = {
  400: {
    name: 'BadRequest',
    means:
      'A path must not be mounted, or a URL cannot be had: for this id, of this port, or at all with these settings.',
    detail: 'The skills container path must be an absolute non-root path',
  },
  401: {
    name: 'Unauthenticated',
    means: 'The caller did not show that it belongs.',
    detail: 'A valid X-API-Key is required',
  },
  403: {
    name: 'Forbidden',
    means: 'A web page calls that the settings do not name, or this machine is called by a name that is not its own.',
    detail: 'Calls from web pages are refused',
  },
  404: {
    name: 'NotFound',
    means:
      'There is no such sandbox, it has no Pod until the next create, or no such container. Of a page: it is switched off.',
    detail: "Sandbox '3f2a9c11' not found",
  },
  409: {
    name: 'Conflict',
    means:
      'It belongs to another thread or user, or has room for too few shells; or something that is no sandbox has its name. Of a log: there is none, or none yet.',
    detail: "Sandbox '3f2a9c11' belongs to another thread",
  },
  410: {
    name: 'Gone',
    means: 'Kubernetes has forgotten the list that `continue` belongs to: begin again without it.',
    detail: 'The continue has expired: list again from the start',
  },
  413: { name: 'BodyTooLarge', means: 'The body is larger than 64 KB.', detail: 'The body is larger than 65536 bytes' },
  415: {
    name: 'UnsupportedMediaType',
    means: 'The body is not JSON by its content type.',
    detail: 'The content type must be application/json',
  },
  422: { name: 'InvalidRequest', means: 'Something does not validate.', detail: undefined },
  429: {
    name: 'QuotaExceeded',
    means: 'A quota of the namespace is full, or the cluster has no NodePort or Service address left.',
    detail: 'Pod creation failed: exceeded quota',
  },
  500: {
    name: 'Failed',
    means:
      'Whoever runs the provisioner has to mend it: Kubernetes refuses us, a setting is wrong, or something else failed.',
    detail: 'Pod creation failed: Kubernetes does not permit it (403 Forbidden)',
  },
  503: {
    name: 'Unavailable',
    means:
      'Kubernetes, or what keeps the keys of callers, is unreachable, overloaded or only starting. Or a Lark broker is asked for.',
    detail: 'Pod creation failed: Kubernetes is overloaded or not ready (503)',
  },
  504: {
    name: 'DeadlineExceeded',
    means: 'Our own time was over. Ask again: what was begun was taken back, or is found.',
    detail: 'The function had no time left',
  },
} as const;

/** A status that is an error. */
export type FailureStatus = keyof typeof failures;

/** An operation of the API. */
export type Operation = Readonly<{
  path: string;
  method: 'get' | 'post' | 'patch' | 'delete';
  operationId: string;
  tag: keyof typeof tags;
  summary: string;
  description?: string;
  /** Which parameters it takes. */
  takes?: readonly (keyof typeof requestParameters)[];
  body?: Readonly<{ name: RequestName; required: boolean }>;
  /** What its 200 is, in words, and its body: JSON of this schema, a page, or plain text. */
  answer: readonly [words: string, body: AnswerName | 'description' | 'page' | 'text'];
  /** The errors that it has beside those of every operation. */
  fails: readonly FailureStatus[];
  /** Whether anybody may call it, always or unless the settings say otherwise. */
  open?: 'always' | 'by setting';
}>;

/** What operations are about. */
export const tags = {
  Sandboxes: 'Every thread of an agent has its own: a Pod and a Service in Kubernetes.',
  Service: 'The provisioner itself.',
  Events: 'What it tells of sandboxes by itself, where its settings say to whom.',
};

/** What every operation can answer. */
export const commonFailures: readonly FailureStatus[] = [403, 500, 504];

/** What those can answer beside it that let only callers in: that one is none, or that there is no saying. */
export const callerFailures: readonly FailureStatus[] = [401, 503];

const bodyFailures: readonly FailureStatus[] = [413, 415, 422];

/** All operations, in the order of the description. */
export const operations: readonly Operation[] = [
  {
    path: '/api/sandboxes',
    method: 'post',
    operationId: 'createSandbox',
    tag: 'Sandboxes',
    summary: 'Create a sandbox, or find it',
    description:
      'Answers with the sandbox, whether it was there or is new: `created` tells. To repeat it does no harm, and counts as a use. A new one answers at `sandbox_url` about as soon as its process listens. With `wait_seconds`, the answer comes as soon as it is ready, or can no longer become so.',
    body: { name: 'CreateRequest', required: true },
    answer: ['The sandbox, new or not.', 'CreatedSandbox'],
    fails: [400, 409, ...bodyFailures, 429, 503],
  },
  {
    path: '/api/sandboxes',
    method: 'get',
    operationId: 'listSandboxes',
    tag: 'Sandboxes',
    summary: 'List sandboxes',
    description:
      'All of them, or those that have all that the filters say; with `limit`, page by page. Without a filter, or with `metadata` alone, the pages together are of the sandboxes that there were at the first one; each is shown as it is now. With another filter, each page goes on, by name, among the sandboxes that there are then.',
    takes: ['filter', 'page'],
    answer: ['The sandboxes.', 'SandboxList'],
    fails: [410, 422, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}',
    method: 'get',
    operationId: 'getSandbox',
    tag: 'Sandboxes',
    summary: 'Look a sandbox up',
    description:
      'Counts as a use. A sandbox without a Pod that will stay is not found. With `wait_seconds`, it answers as soon as the sandbox is ready, or can no longer become so.',
    takes: ['sandbox', 'look'],
    answer: ['The sandbox as it is now.', 'Sandbox'],
    fails: [404, 422, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}',
    method: 'patch',
    operationId: 'updateSandbox',
    tag: 'Sandboxes',
    summary: "Change a sandbox's metadata",
    description:
      'Changes the keys that it names, and nothing else. No use of the sandbox: it does not put its expiry off.',
    takes: ['sandbox'],
    body: { name: 'UpdateRequest', required: true },
    answer: ['The sandbox with its new `metadata`.', 'Sandbox'],
    fails: [404, ...bodyFailures, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}',
    method: 'delete',
    operationId: 'destroySandbox',
    tag: 'Sandboxes',
    summary: 'Remove a sandbox',
    takes: ['sandbox'],
    answer: ['It is gone, or was not there.', 'Removal'],
    fails: [422, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}/renew',
    method: 'post',
    operationId: 'renewSandbox',
    tag: 'Sandboxes',
    summary: "Put a sandbox's expiry off",
    description: 'Notes a use. With `ttl_seconds`, it may go unused for that long from now on.',
    takes: ['sandbox'],
    body: { name: 'RenewRequest', required: false },
    answer: ['The sandbox with its new `expires_at`.', 'Sandbox'],
    fails: [404, ...bodyFailures, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}/url',
    method: 'post',
    operationId: 'signUrl',
    tag: 'Sandboxes',
    summary: 'Give a URL of a sandbox for a while',
    description:
      'For a person, where sandboxes are reached through a gateway; of another port of the sandbox too, if the settings allow it. No use of the sandbox.',
    takes: ['sandbox'],
    body: { name: 'UrlRequest', required: false },
    answer: ['The URL.', 'SandboxUrl'],
    fails: [400, 404, 409, ...bodyFailures, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}/presence',
    method: 'get',
    operationId: 'getPresence',
    tag: 'Sandboxes',
    summary: 'Say whether a sandbox has a Pod',
    description: 'Whatever became of its Service. No use of the sandbox.',
    takes: ['sandbox'],
    answer: ['Whether it has a Pod, and which.', 'Presence'],
    fails: [422, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}/events',
    method: 'get',
    operationId: 'listEvents',
    tag: 'Sandboxes',
    summary: "Say what happened to a sandbox's Pod",
    description:
      'And whether it is ready, with a `reason` that can say more than that of a look. No use of the sandbox. Kubernetes keeps events for an hour.',
    takes: ['sandbox'],
    answer: ['Its events, newest first.', 'SandboxEvents'],
    fails: [404, 422, 503],
  },
  {
    path: '/api/sandboxes/{sandbox_id}/logs',
    method: 'get',
    operationId: 'readLog',
    tag: 'Sandboxes',
    summary: 'Show what a sandbox has printed',
    description:
      'As it is: the secrets in it too. At most 1 MB. A longer one is cut at its front, and a first line says so. No use of the sandbox.',
    takes: ['sandbox', 'log'],
    answer: ['The last lines of the log.', 'text'],
    fails: [404, 409, 422, 503],
  },
  {
    path: '/api/capabilities',
    method: 'get',
    operationId: 'getCapabilities',
    tag: 'Service',
    summary: 'Say what sandboxes can be planned with',
    answer: ['What DeerFlow can plan sandboxes with.', 'Capabilities'],
    fails: [],
  },
  {
    path: '/health',
    method: 'get',
    operationId: 'getHealth',
    tag: 'Service',
    summary: 'Say that the functions answer',
    description: 'Asks for no key, and never asks Kubernetes.',
    answer: ['They do.', 'Health'],
    fails: [],
    open: 'always',
  },
  {
    path: '/ready',
    method: 'get',
    operationId: 'getReadiness',
    tag: 'Service',
    summary: 'Say whether sandboxes can be made',
    description:
      'Asks for no key. Asks Kubernetes, no more than once in 5 s, and changes nothing. Where something is wrong, 503 names what was looked at and is not well, as in `Not ready: rights, claims`: `settings`, `kubernetes` (it is not reached, or refuses us), `rights`, `namespace`, `claims`, `network-policy`. The log says what is wrong with it, and `npm run doctor` what to do.',
    answer: ['They can.', 'Readiness'],
    fails: [503],
    open: 'always',
  },
  {
    path: '/openapi.json',
    method: 'get',
    operationId: 'getDescription',
    tag: 'Service',
    summary: 'This description',
    answer: ['The description.', 'description'],
    fails: [],
    open: 'by setting',
  },
  {
    path: '/docs',
    method: 'get',
    operationId: 'getDocs',
    tag: 'Service',
    summary: 'A page that shows the description',
    answer: ['The page.', 'page'],
    fails: [],
    open: 'by setting',
  },
  {
    path: '/console',
    method: 'get',
    operationId: 'getConsole',
    tag: 'Service',
    summary: 'A page to look at sandboxes',
    description: 'There is no data in it: it makes the calls of this API, with the key that is entered there.',
    answer: ['The page.', 'page'],
    fails: [404],
    open: 'always',
  },
  {
    path: '/',
    method: 'get',
    operationId: 'getRoot',
    tag: 'Service',
    summary: 'The same page',
    answer: ['The page.', 'page'],
    fails: [404],
    open: 'always',
  },
];
