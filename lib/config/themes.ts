import { addressSettings } from './addresses.ts';
import { callerSettings } from './callers.ts';
import { clusterSettings, clusterSources } from './cluster.ts';
import { confinementSettings } from './confinement.ts';
import { consoleSettings } from './console.ts';
import { deploymentSettings } from './deployment.ts';
import { descriptionSettings } from './description.ts';
import { eventSettings } from './events.ts';
import { lifetimeSettings } from './lifetimes.ts';
import { localSettings } from './local.ts';
import { logSettings } from './log.ts';
import { metricsSettings } from './metrics.ts';
import { resourceSettings } from './resources.ts';
import { sandboxSettings } from './sandboxes.ts';
import { type Environment, readSettings, readText, type Setting, type Settings } from './setting.ts';
import { volumeSettings } from './volumes.ts';

// No function imports this: it is for what deploys them, starts them here, and writes the page.

/** A part of docs/settings.md. */
export type Theme = Readonly<{
  title: string;
  /** Markdown, as under that title. */
  introduction?: string;
  settings: Settings;
}>;

/** All settings, in the order of the page. */
export const themes: readonly Theme[] = [
  {
    title: 'Sandboxes',
    introduction: 'What a sandbox is made of, and where it is reached.',
    settings: sandboxSettings,
  },
  {
    title: 'Through a gateway',
    introduction: '[A gateway](gateway.md) explains these. Only one of the three keys may be set.',
    settings: addressSettings,
  },
  {
    title: 'What a sandbox mounts',
    introduction: '[Where the files lie](own-cluster.md#where-the-files-lie) explains these.',
    settings: volumeSettings,
  },
  {
    title: 'What a sandbox may use',
    introduction: 'All six are quantities of Kubernetes, more than 0.',
    settings: resourceSettings,
  },
  {
    title: 'What a sandbox may do',
    introduction: '[Security](security.md) explains these.',
    settings: confinementSettings,
  },
  {
    title: 'The cluster',
    introduction: `The first of these that is set counts: ${[...clusterSources, 'KUBECONFIG_PATH'].map((name) => `\`${name}\``).join(', ')}.
[The cluster's credentials](own-cluster.md#the-clusters-credentials) explains them.`,
    settings: clusterSettings,
  },
  {
    title: 'How sandboxes end',
    introduction: '[How sandboxes end](lifecycle.md) explains these.',
    settings: lifetimeSettings,
  },
  {
    title: 'Callers',
    introduction: 'Only one of the four ways may be set. [Callers](callers.md) explains them.',
    settings: { ...callerSettings, ...descriptionSettings, ...consoleSettings },
  },
  {
    title: 'Log and metrics',
    introduction: '[Operations](operations.md) explains these.',
    settings: { ...logSettings, ...metricsSettings },
  },
  {
    title: 'Events',
    introduction: '[Events](events.md) explains these.',
    settings: eventSettings,
  },
  { title: 'On your machine only', introduction: 'Only `npm start` reads these.', settings: localSettings },
  {
    title: 'For a deployment only',
    introduction:
      '`npm run deploy` and `npm run package` read these; `npm start` reads `CLEANUP_SCHEDULE` too. [On AWS](aws.md) explains them.',
    settings: deploymentSettings,
  },
];

/** The same, without their themes. */
export const allSettings: Settings = Object.assign({}, ...themes.map(({ settings }) => settings));

/** Whether a function reads it. */
export const isForFunctions = ({ neededBy }: Setting): boolean => neededBy !== 'deployment' && neededBy !== 'npm start';

/** The texts of the settings that are set in an environment and pass the test. */
export const readTexts = (env: Environment, isWanted: (setting: Setting) => boolean): Record<string, string> =>
  Object.fromEntries(
    Object.entries(allSettings).flatMap(([name, setting]) => {
      const text = isWanted(setting) ? readText(env, name) : undefined;
      return text === undefined ? [] : [[name, text]];
    }),
  );

/** The value of one setting, or its default. Throws what is wrong with it, or that there is no such setting. */
export function readValue(env: Environment, name: string): unknown {
  const setting = allSettings[name];
  if (setting === undefined) throw new Error(`There is no setting ${name}`);
  const { values, problems } = readSettings({ [name]: setting }, env);
  if (values === undefined) throw new Error(problems.join('; '));
  return values[name];
}

const extensionsOwn = 'the extension keeps its own default';
/** What was a setting, and what holds instead. */
const removed: Readonly<Record<string, string>> = {
  CLEANUP_CONCURRENCY: 'the clean-up removes 10 sandboxes side by side',
  PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: `${extensionsOwn}, 2773`,
  SECRETS_MANAGER_TTL: `${extensionsOwn}: it remembers for 300 s what it has read`,
  SSM_PARAMETER_STORE_TTL: `${extensionsOwn}: it remembers for 300 s what it has read`,
};

/** What an environment has beside the settings and looks like one, because it is misspelt or was one once; in words. */
export const findStrays = (env: Environment): string[] =>
  Object.keys(env).flatMap((name) => {
    if (removed[name] !== undefined) return [`${name} is no setting any more: ${removed[name]}`];
    if (!/^(SANDBOX|CLEANUP|PROVISIONER|KUBECONFIG|METRICS|WEBHOOK)_/.test(name) || allSettings[name] !== undefined)
      return [];
    return [`${name} is no setting: nothing reads it`];
  });
