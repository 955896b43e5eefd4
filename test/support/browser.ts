import { existsSync } from 'node:fs';

import { type Browser, chromium } from 'playwright-core';

/** Debian's, which the image of CI installs; playwright-core brings none. */
const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

/** Why there is no browser to test in, for a test's name; nothing where there is one. */
export const noBrowser = existsSync(executablePath) ? '' : ` (there is no browser at ${executablePath})`;

/** Opens it. A name that ends in `.test` (RFC 2606) is this machine there. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath,
    // Root has no sandbox of Chromium's.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--host-resolver-rules=MAP *.test 127.0.0.1'],
  });
