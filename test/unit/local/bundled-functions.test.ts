import { expect, it } from 'vitest';
import { runBundles } from '../../../lib/local/bundled-functions.ts';

it.each([
  ['.build', '.build/health/functions/health.handler'],
  ['/project/.build', '.build/health/functions/health.handler'],
  ['/elsewhere', '../elsewhere/health/functions/health.handler'],
])('a function is run from its bundle in %s', (bundles, handler) => {
  const functions = { health: { handler: 'functions/health.handler', timeout: 3 } };
  runBundles(functions, '/project', bundles);
  expect(functions).toEqual({ health: { handler, timeout: 3 } });
});
