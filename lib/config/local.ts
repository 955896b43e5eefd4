import { flag, hostName, meaning, passing } from './rules.ts';
import type { Settings } from './setting.ts';

/** What `npm start` needs to know beside what the functions read. */
export const localSettings = {
  PORT: {
    rule: () =>
      meaning(passing([(text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535, 'must be a port']), Number),
    default: 8002,
    neededBy: 'npm start',
    doc: 'the port that `npm start`, or [the server](compose.md#the-server), listens on',
  },
  HOST: {
    rule: hostName,
    default: 'localhost',
    neededBy: 'npm start',
    doc: 'the address that it listens on. On another host than `localhost`, `127.0.0.1` or `::1` callers need a key, unless `AUTH=off`',
  },
  EMBEDDED_KUBERNETES: {
    rule: flag,
    neededBy: 'npm start',
    doc: '`true` or `false`: whether `npm start` brings its own Kubernetes. Unset: it does if neither `KUBECONFIG_PATH` nor a setting that goes before it is set, its default file is not there, and we are not in a cluster',
  },
} as const satisfies Settings;
