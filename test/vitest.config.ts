import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * It makes hundreds of objects. The controllers of a real cluster make no more than 20 calls a second each, so that for a while
 * after it no NodePort opens: there, it comes last.
 */
const ofMany = ['test/contract/chaos.test.ts'];
const isReal = Boolean(process.env.KUBECONFIG_PATH);

const contract = {
  globalSetup: ['test/support/namespaces.ts', 'test/support/bundles.ts'],
  // Each file runs a provisioner of its own, which mostly waits. A real node has room for so many sandboxes, and starts so many in time.
  maxWorkers: isReal ? 4 : 8,
  testTimeout: 60_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  root,
  test: {
    environment: 'node',
    setupFiles: ['test/support/setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'code',
          include: ['test/{unit,functions,bundle}/**/*.test.ts'],
          testTimeout: 20_000,
          // Some wait, for Serverless or for a time-out: by default, two cores would have one worker.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          ...contract,
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          exclude: isReal ? ofMany : [],
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { ...contract, name: 'contract, of many', include: isReal ? ofMany : [], sequence: { groupOrder: 2 } },
      },
    ],
  },
});
