import { Logger } from '@aws-lambda-powertools/logger';

/** The log: one JSON object a line. `LOG_LEVEL` says from which level on (`DEBUG`, `INFO`, `WARN`, `ERROR`, `SILENT`). */
export const log = new Logger({ serviceName: 'sandbox-provisioner' });
