import { currentAccessConfig, describedMaxTtlSeconds } from '../config/index.ts';
import { describeApi } from '../openapi/index.ts';

// `npm run openapi`: prints the description of the API, as these settings make it.
const { authentication } = currentAccessConfig();
const description = describeApi({ authentication: authentication.kind, maxTtlSeconds: describedMaxTtlSeconds() });
process.stdout.write(`${JSON.stringify(description, undefined, 2)}\n`);
