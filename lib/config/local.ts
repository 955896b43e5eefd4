import { flag, hostName, matching, meaning } from './rules.ts';
import type { Settings } from './setting.ts';

/** What `npm start` needs to know beside what the functions read. */
export const localSettings = {
  PORT: {
    rule: () => meaning(matching(/^\d{1,5}$/, 'must be a port'), Number),
    default: 8002,
    neededBy: 'npm start',
    doc: 'the port that `npm start` listens on',
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
