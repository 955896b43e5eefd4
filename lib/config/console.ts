import { oneOf } from './rules.ts';
import type { Settings } from './setting.ts';

/** Whether there is a page to look at sandboxes. */
export const consoleSettings = {
  CONSOLE: {
    rule: () => oneOf('open', 'off'),
    default: 'open',
    neededBy: 'console',
    doc: '`open` or `off`: whether there is [the console](console.md), at `/` and `/console`. Anybody may load the page: it holds no data, and asks for the key or the token itself',
  },
} as const satisfies Settings;
