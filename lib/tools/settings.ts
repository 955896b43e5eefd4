import { writeFileSync } from 'node:fs';
import { renderSettingsPage } from './settings-page.ts';

// `npm run settings`: writes docs/settings.md anew.
writeFileSync(new URL('../../docs/settings.md', import.meta.url), renderSettingsPage());
