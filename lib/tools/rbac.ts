import { currentConfig } from '../config/index.ts';
import { printRights } from './rbac-output.ts';

const { exitCode, stdout, stderr } = printRights(process.argv.slice(2), currentConfig);
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = exitCode;
