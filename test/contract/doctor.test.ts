import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { log } from '../../lib/log.ts';
import { examine } from '../../lib/tools/doctor/examine.ts';
import type { Finding } from '../../lib/tools/doctor/finding.ts';
import { trySandbox } from '../../lib/tools/doctor/sandbox.ts';
import { isEmbeddedCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { startProcess, usePlace } from '../support/place.ts';
import { lean } from '../support/world.ts';

log.setLogLevel('SILENT');

const place = usePlace(lean);
const never = new AbortController().signal;

/** The settings of a provisioner there. */
const environment = (others: Record<string, string> = {}) => ({
  ...place.cluster.settings,
  ...lean,
  KUBECONFIG_PATH: place.proxy.kubeconfig,
  K8S_NAMESPACE: place.namespace,
  ...others,
});

/** What runs `npm run --silent doctor` with these options; its output so far, and how it ended. */
function start(options: string[], others: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['lib/tools/doctor/main.ts', ...options], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { PATH: process.env.PATH, ...environment(others) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, ended, output: () => output };
}

/** Nobody uses what is left, if anything is. */
async function expectNoSandbox(): Promise<void> {
  expect(await place.cluster.kubernetes.list('services')).toEqual([]);
  const pods = await place.cluster.kubernetes.list('pods');
  expect(pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined)).toEqual([]);
}

it('makes a sandbox, opens it and removes it, and says how it went as JSON', async () => {
  const { ended, output } = start(['--sandbox', '--json']);
  const exitCode = await ended;
  const { status, findings } = JSON.parse(output()) as { status: string; findings: Finding[] };
  const told = findings.map(({ check, level }) => `${check}: ${level}`);
  const steps = ['create', 'ready', 'open', 'remove'].map((step) => `sandbox-${step}: ok`);
  expect({ exitCode, status, told }, output()).toEqual({
    exitCode: 0,
    status: 'well',
    told: expect.arrayContaining(steps),
  });
  for (const { check, ms } of findings) if (check.startsWith('sandbox-')) expect(ms).toBeGreaterThan(0);
  await expectNoSandbox();
});

it.each(['SIGINT', 'SIGTERM'] as const)('removes the sandbox at a %s, whatever it was waiting for', async (signal) => {
  const { child, ended, output } = start(['--sandbox'], { SANDBOX_IMAGE: 'sandbox.invalid/none:1' });
  await eventually(
    'made: the sandbox',
    async () => output(),
    (text) => text.includes('sandbox-create'),
  );
  child.kill(signal);
  expect(await ended, output()).toBe(130);
  expect(output()).toContain('ok       sandbox-remove');
  expect(output().trimEnd()).toMatch(/Interrupted\.$/);
  await expectNoSandbox();
});

it('says how it is used where it is asked for what it has not', async () => {
  const { ended, output } = start(['--else']);
  expect(await ended).toBe(64);
  expect(output()).toContain('--sandbox');
});

/** What is not well with a sandbox under these settings: each in one line, with what to do. */
async function trouble(others: Record<string, string>): Promise<Finding[]> {
  const operation = (await startProcess(place, { ...lean, ...others }))();
  const findings: Finding[] = [];
  const times = { readyMs: 30_000, openMs: 1_000, pauseMs: 50 };
  await trySandbox({ ...operation, now: () => new Date() }, (finding) => findings.push(finding), never, times);
  expect(findings.at(-1)).toMatchObject({ check: 'sandbox-remove', level: 'ok' });
  await expectNoSandbox();
  return findings.filter(({ level }) => level !== 'ok');
}

it('says of an image that cannot be had that it is that', async () => {
  const [found, ...others] = await trouble({ SANDBOX_IMAGE: 'sandbox.invalid/none:1' });
  expect(found).toMatchObject({
    check: 'sandbox-ready',
    level: 'failed',
    page: expect.stringContaining('#why-a-sandbox'),
  });
  expect(found?.message).toMatch(/^it is not ready\. ImagePullBackOff: /);
  expect(others).toEqual([]);
});

it('says of a NODE_HOST that leads nowhere that it is that', async () => {
  const found = await trouble({ NODE_HOST: 'node.invalid' });
  const message = expect.stringMatching(
    /^http:\/\/node\.invalid:\d+ does not answer from here \((ENOTFOUND|EAI_AGAIN)\)$/,
  );
  expect(found).toMatchObject([
    { check: 'sandbox-open', level: 'failed', message, advice: expect.stringContaining('NODE_HOST') },
  ]);
});

// The embedded Kubernetes knows no folders, and no rights.
it.skipIf(isEmbeddedCluster)('says of a folder of skills that is not on the node that it is that', async () => {
  const found = await trouble({ SKILLS_HOST_PATH: '/there/is/no/such/folder' });
  const advice = expect.stringContaining('Make the folder of skills on every node: /there/is/no/such/folder');
  expect(found).toMatchObject([
    { check: 'sandbox-ready', level: 'failed', message: expect.stringContaining('FailedMount'), advice },
  ]);
});

it.skipIf(isEmbeddedCluster)('says of a namespace that is not ours that it may be that', async () => {
  const findings: Finding[] = [];
  const env = environment({ K8S_NAMESPACE: 'kube-public' });
  await examine({
    env,
    sandbox: true,
    tell: (finding) => findings.push(finding),
    signal: never,
    now: () => new Date(),
  });
  const rights = findings.find(({ check }) => check === 'rights');
  expect(rights?.message).toMatch(/^not permitted: anything in the namespace 'kube-public', which may not be there: /);
  expect(rights?.advice).toContain('K8S_NAMESPACE');
  expect(findings.at(-1)).toMatchObject({ check: 'sandbox', level: 'skipped' });
});
