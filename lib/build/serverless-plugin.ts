import { join } from 'node:path';
import { buildArtifact } from './bundle.ts';

type FunctionDefinition = { handler: string; package?: { artifact?: string } };
type Serverless = {
  serviceDir: string;
  service: { functions: Record<string, FunctionDefinition> };
};
type Utils = { log: { notice(message: string): void } };

/** The plug-in of Serverless that bundles the functions before they are packaged, so that no stale bundle is deployed. */
export default class BundlePlugin {
  readonly hooks: Record<string, () => Promise<void>>;

  constructor(serverless: Serverless, _options: unknown, { log }: Utils) {
    const bundle = async () => {
      const { serviceDir, service } = serverless;
      for (const [name, definition] of Object.entries(service.functions)) {
        const module = definition.handler.replace(/\.handler$/, '');
        const { zip } = await buildArtifact(serviceDir, module, join(serviceDir, '.build', name));
        definition.package = { ...definition.package, artifact: zip };
        log.notice(`Bundled ${name}`);
      }
    };
    this.hooks = {
      'before:package:createDeploymentArtifacts': bundle,
      'before:deploy:function:packageFunction': bundle,
    };
  }
}
