import { type Config, loadConfig } from '../../config/index.ts';
import { type Environment, readSettings } from '../../config/setting.ts';
import { allSettings, findStrays, isForFunctions } from '../../config/themes.ts';
import type { Tell } from './finding.ts';

const functionSettings = Object.fromEntries(
  Object.entries(allSettings).filter(([, setting]) => isForFunctions(setting)),
);

/** The settings of an environment, with each that is wrong told; undefined if one is, because all else depends on them. */
export function checkSettings(env: Environment, tell: Tell): Config | undefined {
  const check = 'settings';
  for (const message of findStrays(env)) {
    tell({ check, level: 'warning', message, advice: 'Is it misspelt? Else unset it.', page: 'docs/settings.md' });
  }
  const fail = (message: string) =>
    tell({ check, level: 'failed', message, advice: 'Mend it, and ask again.', page: 'docs/settings.md' });
  const { problems } = readSettings(functionSettings, env);
  for (const problem of problems) fail(problem);
  if (problems.length > 0) return undefined;
  try {
    const config = loadConfig(env);
    tell({ check, level: 'ok', message: `none is wrong; the namespace is '${config.namespace}'` });
    // A person who asks does not want to wait for a file that another container may still write.
    return { ...config, kubeconfigWaitSeconds: 0 };
  } catch (error) {
    fail((error as Error).message.replace(/^Misconfigured: /, ''));
    return undefined;
  }
}
