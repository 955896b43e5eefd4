import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describeApi } from '../openapi/index.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What lib/client/api.ts has to be: the description in TypeScript, by openapi-typescript. */
export function generateClientTypes(): string {
  // With a token, the answers are what they are with a key, and API Gateway's own.
  // Webhooks are no calls of a client's: what receives them needs their schemas.
  const { webhooks, ...description } = describeApi({ authentication: 'jwt', maxTtlSeconds: 0 });
  const flags = ['--default-non-nullable=false', '--root-types', '--root-types-no-schema-prefix'];
  const made = run(
    'lib/client/generator/node_modules/openapi-typescript/bin/cli.js',
    flags,
    JSON.stringify(description),
  );
  return run('node_modules/@biomejs/biome/bin/biome', ['format', '--stdin-file-path=lib/client/api.ts'], made);
}

function run(program: string, args: string[], input: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    input,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
  return stdout;
}
