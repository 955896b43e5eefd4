import { parseArgs } from 'node:util';
import { dumpYaml } from '@kubernetes/client-node';
import { currentConfig } from '../config/index.ts';
import { buildPrepull } from './prepull-manifest.ts';

const usage = `Prints a DaemonSet that has SANDBOX_IMAGE on every node, for kubectl apply -f -

  npm run --silent prepull -- [COMMAND...]

  COMMAND   what does nothing, for ever, in a container of that image: sleep infinity, unless you say otherwise
`;

try {
  const { values, positionals } = parseArgs({ options: { help: { type: 'boolean' } }, allowPositionals: true });
  const command = positionals.length > 0 ? positionals : undefined;
  process.stdout.write(values.help ? usage : dumpYaml(buildPrepull(currentConfig(), command)));
} catch (error) {
  const isUsage = error instanceof TypeError;
  process.stderr.write(isUsage ? `${error.message}\n\n${usage}` : `${(error as Error).message}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
