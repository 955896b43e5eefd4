import { writeFileSync } from 'node:fs';
import { alarmFiles } from './alarm-files.ts';

// `npm run alarms`: writes what follows from the alarms anew.
for (const [path, render] of Object.entries(alarmFiles)) {
  writeFileSync(new URL(`../../${path}`, import.meta.url), render());
}
