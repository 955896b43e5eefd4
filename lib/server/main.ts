import { handler as cleanUp } from '../../functions/cleanup-sandboxes.ts';
import { type Config, currentConfig } from '../config/index.ts';
import { currentServerConfig } from '../config/server.ts';
import { connectToKubernetes } from '../kubernetes/index.ts';
import { log } from '../log.ts';
import { describeVolumes } from '../model/volumes/sources.ts';
import { takeFigures } from '../telemetry/metrics.ts';
import { functions } from './functions.ts';
import { invoke } from './invoke.ts';
import { createCollector, serveMetrics } from './prometheus.ts';
import { runEvery } from './schedule.ts';
import { describe, type Functions, startServer } from './server.ts';

// The functions as a server, for months: `node lib/server/main.ts`, or what `npm run build` makes of it. Serves until a SIGTERM or
// SIGINT, then answers what is under way and ends; a second one ends it at once. Ends with 1 where it cannot begin.

/** What the clean-up has for a run, in milliseconds, as in serverless.yml. */
const cleanUpMs = 120_000;

// All state is in Kubernetes, every request has its own deadline, and who waits for one that died gets a 504. So what nobody has
// caught costs one request its answer; to end would cost all of them theirs.
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => log.error('Nobody has caught this', { event, cause: describe(error) }));
}

run().catch((error: unknown) => {
  log.error('The server cannot start', { cause: describe(error) });
  process.exit(1);
});

async function run(): Promise<void> {
  const config = currentConfig();
  const { host, port, cleanupIntervalMs } = currentServerConfig();
  judgeCallers(config);
  judgeEvents(config);
  const server = await startServer({ ...functions, ...collectFigures(config) }, { host, port });
  const { namespace, sandboxImage } = config;
  const volumes = describeVolumes(config.volumes);
  log.info('Listening', { host, port: server.address.port, namespace, sandboxImage, volumes });
  findKubernetes(config);
  const endCleanUps = runEvery(cleanupIntervalMs, () =>
    invoke(cleanUp, {}, cleanUpMs).then(
      () => {},
      (error) => log.error('The clean-up failed', { cause: describe(error) }),
    ),
  );
  const signals = ['SIGTERM', 'SIGINT'] as const;
  const end = async (signal: NodeJS.Signals) => {
    // The next one has the system end the process.
    for (const name of signals) process.off(name, end);
    log.info('Ending: what is under way is answered first', { signal });
    endCleanUps();
    const cut = await server.stop();
    log.info('Ended', { cut });
    // A clean-up may be under way, which can end anywhere; and connections to Kubernetes are kept.
    process.exit(0);
  };
  for (const name of signals) process.on(name, end);
}

/** Begins to collect what is measured, where the settings say so; gives the function that answers with it. */
function collectFigures({ metrics }: Config): Record<string, Functions[string]> {
  if (metrics !== 'prometheus') return {};
  const collector = createCollector();
  takeFigures(collector.take);
  return { 'GET /metrics': serveMetrics(collector) };
}

/** Says who may call, where an operator would not expect it. Throws where nobody ever could. */
function judgeCallers({ authentication }: Config): void {
  if (authentication.kind === 'jwt') {
    throw new Error('JWT_ISSUER: API Gateway checks tokens, this server cannot. Set PROVISIONER_API_KEY instead');
  }
  if (authentication.kind === 'stored-api-key') {
    const stored = 'PROVISIONER_API_KEY_SECRET_ID, PROVISIONER_API_KEY_PARAMETER';
    throw new Error(`${stored}: these are read through Lambda's extension. Set PROVISIONER_API_KEY instead`);
  }
  if (authentication.kind === 'off') log.warn('Anybody may call: AUTH is off', {});
  if (authentication.kind === 'api-key' && authentication.keys.length === 0) {
    log.error('Every caller is refused: no key is set', { set: 'PROVISIONER_API_KEY; or AUTH=off' });
  }
}

/** Throws where no event could ever be sent. */
function judgeEvents({ eventTargets, aws }: Config): void {
  if (eventTargets?.webhook && 'source' in eventTargets.webhook.signing) {
    const stored = 'WEBHOOK_SECRET_ID, WEBHOOK_SECRET_PARAMETER';
    throw new Error(`${stored}: these are read through Lambda's extension. Set WEBHOOK_SECRET instead`);
  }
  const { bus } = eventTargets ?? {};
  if (bus && !(aws.accessKeyId && aws.secretAccessKey && (aws.region || bus.startsWith('arn:')))) {
    throw new Error('EVENT_BUS_NAME needs AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION beside it');
  }
}

/**
 * Finds the credentials before anybody calls: a kubeconfig that is not there yet is waited for longer than a request can. What fails
 * is tried again by the next request.
 */
function findKubernetes(config: Config): void {
  const waitMs = (config.kubeconfigWaitSeconds + 10) * 1000;
  connectToKubernetes(config, AbortSignal.timeout(waitMs)).catch((error: unknown) =>
    log.error('There is no way to Kubernetes yet', { cause: describe(error) }),
  );
}
