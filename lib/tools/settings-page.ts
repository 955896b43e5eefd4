import type { Setting, Settings } from '../config/setting.ts';
import { themes } from '../config/themes.ts';

/** docs/settings.md, as the declarations of the settings say it. Pure. */
export function renderSettingsPage(): string {
  const parts = themes.map(({ title, introduction, settings }) =>
    [`## ${title}`, ...(introduction === undefined ? [] : [introduction]), renderTable(settings)].join('\n\n'),
  );
  return `${[opening, ...parts].join('\n\n')}\n`;
}

const opening = `<!-- \`npm run settings\` writes this page out of lib/config. Change it there. -->

# Settings

You look for a setting. All of them come from the environment. Those that the original provisioner has bear its names and defaults.

- A wrong setting is named in the answer and in the log. All that are wrong are named at once.
- An empty one is as good as an unset one.
- On AWS, the settings are those of your environment **when you deploy**. What is not set then gets its default again.
- Change one on your machine: set the variable, and start again (\`SANDBOX_MEMORY_LIMIT=2Gi npm start\`). A Pod that exists
  keeps what it was made with.`;

function renderTable(settings: Settings): string {
  const rows = Object.entries(settings).map(
    ([name, setting]) => `| \`${name}\` | ${describeDefault(setting)} | ${setting.doc} |`,
  );
  return ['| variable | default | |', '|---|---|---|', ...rows].join('\n');
}

/** What holds where a setting is unset, as a cell of a table. */
export function describeDefault({ default: value, unset }: Setting): string {
  if (unset !== undefined) return unset;
  // A list may be empty.
  const text = String(value ?? '');
  return text === '' ? 'unset' : `\`${text}\``;
}
