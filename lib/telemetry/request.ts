import { isLogged } from '../config/index.ts';
import { log } from '../log.ts';
import { tallyCalls, uptimeMs } from '../tally.ts';
import { measureRequest } from './figures.ts';
import { areMetricsOn, publish } from './metrics.ts';
import type { ClosedRecord, RequestRecord } from './record.ts';

let isCold = true;

/**
 * Does the work of a request, and then writes its line and its figures: once, whatever comes of it. What it tells of itself is put into
 * the record that it is given. What comes `after` that is waited for, and must not reject.
 */
export function recordRequest<Answer extends { statusCode?: number | undefined }>(
  requestId: string,
  work: (record: RequestRecord) => Promise<Answer>,
  after: (record: ClosedRecord) => Promise<void> | void = () => {},
): Promise<Answer> {
  const begun = uptimeMs();
  const coldStart = isCold;
  isCold = false;
  const record: RequestRecord = { requestId };
  return tallyCalls(async (readTally) => {
    let statusCode = 500;
    try {
      const answer = await work(record);
      statusCode = answer.statusCode ?? 200;
      return answer;
    } finally {
      const durationMs = uptimeMs() - begun;
      const closed = { ...record, statusCode, durationMs, coldStart, kubernetes: readTally() };
      writeLine(closed);
      if (areMetricsOn() && !uncounted.includes(closed.routeKey)) publish(measureRequest(closed));
      await after(closed);
    }
  });
}

/** Who asks these every few seconds would hide in the figures what others ask for. A failure of /ready is one that counts. */
const uncounted: (string | undefined)[] = ['GET /health', 'GET /metrics'];

/** And would fill the log. */
const isNoise = ({ routeKey }: RequestRecord): boolean => routeKey === 'GET /ready' || uncounted.includes(routeKey);

/** It is for a change, its caller belonged, and it came as far as Kubernetes: even if it failed, it may have been done in part. */
const isChange = ({ method = 'GET', caller, kubernetes }: ClosedRecord): boolean =>
  !['GET', 'HEAD', 'OPTIONS'].includes(method) && caller !== undefined && kubernetes.calls > 0;

function writeLine(record: ClosedRecord): void {
  const { statusCode, error, kubernetes, durationMs, method, readyMs, ...rest } = record;
  const { requestId, routeKey, caller, sourceIp, sandboxId, did, coldStart } = rest;
  const message = error?.message ?? 'Answered';
  const level = statusCode >= 500 ? 'error' : isNoise(record) && error === undefined ? 'debug' : 'info';
  const isAudited = isChange(record);
  // The logger is not even loaded for a line that nobody wants.
  if (!isAudited && !isLogged(level)) return;
  const line = {
    requestId,
    routeKey,
    statusCode,
    durationMs: Math.round(durationMs),
    kubernetesCalls: kubernetes.calls,
    kubernetesMs: Math.round(kubernetes.ms),
    ...(coldStart && { coldStart }),
    caller,
    sourceIp,
    sandboxId,
    did,
    ...(readyMs !== undefined && { readyMs: Math.round(readyMs) }),
    ...(error !== undefined && { errorKind: error.kind, cause: error.cause }),
  };
  if (isAudited && level !== 'debug') log.audit(level, message, line);
  else log[level](message, line);
}
