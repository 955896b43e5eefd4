import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../config/index.ts';
import type { Diagnostics } from '../../kubernetes/diagnostics.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { Reason } from '../../model/reasons.ts';
import { createSandbox } from '../../sandboxes/create.ts';
import { destroySandbox } from '../../sandboxes/destroy.ts';
import { type SandboxEvents, tellEvents } from '../../sandboxes/events.ts';
import { advise } from './advice.ts';
import { type Tell, timed } from './finding.ts';

/** How long each step may take, in milliseconds: an image of some gigabytes may have to be pulled. */
const defaultTimes = { createMs: 25_000, readyMs: 180_000, openMs: 20_000, removeMs: 15_000, pauseMs: 500 };

/** If nobody can remove it, not even we, the clean-up does so soon. */
const ttlSeconds = 600;

/** Its folder on the node stays: it is always the same. */
const threadId = 'sandbox-doctor';

/** What does not pass by waiting. */
const lasting: readonly Reason[] = [
  'FailedMount',
  'FailedCreatePodSandBox',
  'InvalidImageName',
  'ImagePullBackOff',
  'CreateContainerConfigError',
  'CreateContainerError',
  'CrashLoopBackOff',
  'Evicted',
  'Error',
  'Completed',
];

type Tools = Readonly<{ config: Config; kubernetes: Kubernetes; diagnostics: Diagnostics; now: () => Date }>;

/**
 * Makes a sandbox as a caller would, waits until it is ready, opens it from here, and removes it: whatever happens, also when
 * `signal` aborts meanwhile.
 */
export async function trySandbox(
  tools: Tools,
  tell: Tell,
  signal: AbortSignal,
  times: Partial<typeof defaultTimes> = {},
): Promise<void> {
  const { createMs, readyMs, openMs, removeMs, pauseMs } = { ...defaultTimes, ...times };
  const { config } = tools;
  const sandboxId = `doctor-${randomBytes(4).toString('hex')}`;
  const operate = (ms: number, ending = signal) => ({
    ...tools,
    signal: AbortSignal.any([ending, AbortSignal.timeout(ms)]),
    requestId: sandboxId,
  });
  const never = new AbortController().signal;

  /** Until something is as wanted, or time is over: then the last that there was. */
  const poll = async <T>(look: () => Promise<T>, isOver: (seen: T) => boolean, ms: number): Promise<T> => {
    const end = performance.now() + ms;
    for (;;) {
      const seen = await look();
      if (isOver(seen) || performance.now() > end) return seen;
      await pause(pauseMs, undefined, { signal });
    }
  };
  const fail = (check: string, message: string, ms: number) => {
    const isEnded = signal.aborted;
    tell({
      check,
      level: isEnded ? 'skipped' : 'failed',
      message: isEnded ? 'ended before it was over' : message,
      ...(!isEnded && advise(message)),
      ms,
    });
  };

  const walk = async () => {
    const longest = config.sandboxMaxTtlSeconds || ttlSeconds;
    const request = { sandboxId, threadId, ttlSeconds: Math.min(ttlSeconds, longest) };
    const made = await timed(() => createSandbox(request, operate(createMs)));
    if (made.error) return fail('sandbox-create', made.error.message, made.ms);
    const url = made.value.sandbox_url;
    tell({
      check: 'sandbox-create',
      level: 'ok',
      message: `'${sandboxId}' was made, to be reached at ${url}`,
      ms: made.ms,
    });

    const waited = await timed(() =>
      poll(
        () => tellEvents(sandboxId, operate(10_000), tools.diagnostics),
        ({ ready, reason }) => ready || (reason !== undefined && lasting.includes(reason)),
        readyMs,
      ),
    );
    if (waited.error) return fail('sandbox-ready', waited.error.message, waited.ms);
    if (!waited.value.ready) {
      tell({ check: 'sandbox-ready', level: 'failed', ...describeUnready(waited.value, config), ms: waited.ms });
      return;
    }
    tell({
      check: 'sandbox-ready',
      level: 'ok',
      message: 'it is ready: its image, its folders and its process are well',
      ms: waited.ms,
    });

    const opened = await timed(() =>
      poll(
        () => open(url, signal),
        (answer) => answer === 'open',
        openMs,
      ),
    );
    if (opened.error) return fail('sandbox-open', opened.error.message, opened.ms);
    if (opened.value === 'open') {
      tell({ check: 'sandbox-open', level: 'ok', message: `${url} answers from here`, ms: opened.ms });
      return;
    }
    const isClusters = config.serviceType === 'ClusterIP';
    tell({
      check: 'sandbox-open',
      // Only who is in the cluster can know.
      level: isClusters ? 'warning' : 'failed',
      message: `${url} does not answer from here (${opened.value})${isClusters ? ': it is a name of the cluster' : ''}`,
      advice: isClusters
        ? 'Run this in the cluster, where your backend is.'
        : "Set NODE_HOST to where a node's NodePorts are reached; look for a firewall before ports 30000 to 32767, and at SANDBOX_NETWORK_INGRESS_CIDRS. If your backend is elsewhere, run this there.",
      page: 'docs/own-cluster.md#the-nodes-address',
      ms: opened.ms,
    });
  };

  try {
    await walk();
  } finally {
    const removed = await timed(() => destroySandbox(sandboxId, operate(removeMs, never)));
    const check = 'sandbox-remove';
    if (removed.error) {
      const names = `pod/sandbox-${sandboxId} service/sandbox-${sandboxId}-svc`;
      const advice = `Remove it yourself: kubectl -n ${config.namespace} delete ${names}. Else the clean-up does, in ten minutes.`;
      tell({
        check,
        level: 'failed',
        message: removed.error.message,
        advice,
        page: 'docs/lifecycle.md',
        ms: removed.ms,
      });
    } else {
      tell({ check, level: 'ok', message: 'it was removed; its Pod has 30 s to end', ms: removed.ms });
    }
  }
}

/** `open`, or what there was in its place. */
async function open(url: string, signal: AbortSignal): Promise<string> {
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(3_000)]);
    const { status, body } = await fetch(`${url}/v1/sandbox`, { signal: within, redirect: 'manual' });
    await body?.cancel();
    return status === 200 ? 'open' : `HTTP ${status}`;
  } catch (error) {
    const { name, cause } = error as { name: string; cause?: { code?: string } };
    return cause?.code ?? name;
  }
}

const reasonsPage = 'docs/troubleshooting.md#why-a-sandbox-is-not-ready';

function describeUnready({ reason = 'Starting', message = '', events }: SandboxEvents, { volumes }: Config) {
  const newest = events.find(({ type }) => type === 'Warning')?.message;
  const told = [`${reason}: ${message}`, ...(newest !== undefined && newest !== message ? [newest] : [])].join(' ');
  const { skills } = volumes;
  const folder = skills.in === 'folder' ? skills.path : skills.in === 'projections' ? skills.root : undefined;
  const advice =
    reason === 'FailedMount' && folder !== undefined && told.includes("'skills'")
      ? `Make the folder of skills on every node: ${folder}; or mend SKILLS_HOST_PATH.`
      : `Look for ${reason} in the page.`;
  return { message: `it is not ready. ${told}`, advice, page: reasonsPage };
}
