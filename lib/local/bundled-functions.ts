import { join, relative, resolve } from 'node:path';

/**
 * Has serverless-offline run the functions as they are deployed, not their sources.
 *
 * @param bundles the folder that `npm run package` has put the bundles into
 */
export function runBundles(
  functions: Readonly<Record<string, { handler: string }>>,
  serviceDir: string,
  bundles: string,
): void {
  for (const [name, definition] of Object.entries(functions)) {
    definition.handler = relative(serviceDir, join(resolve(serviceDir, bundles), name, definition.handler));
  }
}
