import { Logger } from '@aws-lambda-powertools/logger';

type Details = Record<string, unknown>;

let made: Logger | undefined;

/** Made by the first who has something to say: most requests have not, and to load and make it takes some 8 ms of a cold start. */
function logger(): Logger {
  made ??= new Logger({ serviceName: 'sandbox-provisioner' });
  return made;
}

/** The log: one JSON object a line. `LOG_LEVEL` says from which level on (`DEBUG`, `INFO`, `WARN`, `ERROR`, `SILENT`). */
export const log = {
  debug: (message: string, details: Details) => logger().debug(message, details),
  info: (message: string, details: Details) => logger().info(message, details),
  warn: (message: string, details: Details) => logger().warn(message, details),
  error: (message: string, details: Details) => logger().error(message, details),
  setLogLevel: (level: 'SILENT') => logger().setLogLevel(level),
};
