import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readPrinted } from '../support/rights.ts';

/** Runs what `npm run --silent prepull` runs, with these settings and no others. */
function runPrepull(args: readonly string[], settings: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['lib/tools/prepull.ts', ...args], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { PATH: process.env.PATH, ...settings },
    encoding: 'utf8',
  });
  return { exitCode: status as number, stdout, stderr };
}

/** What is printed with these settings: a namespace `agents`, an image `sandbox:1`, a runtime class, a command. */
const daemonSet = (command: readonly string[], ofRuntimeClass: object) => {
  const labels = { 'app.kubernetes.io/name': 'sandbox-image' };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'sandbox-image', namespace: 'agents', labels },
    spec: {
      selector: { matchLabels: labels },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
      template: {
        metadata: { labels },
        spec: {
          ...ofRuntimeClass,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 1,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65534,
            runAsGroup: 65534,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              name: 'sleep',
              image: 'sandbox:1',
              imagePullPolicy: 'IfNotPresent',
              command,
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              resources: { requests: { cpu: '1m', memory: '16Mi' }, limits: { cpu: '50m', memory: '16Mi' } },
            },
          ],
        },
      },
    },
  };
};

describe('npm run prepull', () => {
  it.each<[string[], string[], Record<string, string>, object]>([
    [[], ['sleep', 'infinity'], {}, {}],
    [['/bin/wait', 'long'], ['/bin/wait', 'long'], {}, {}],
    [[], ['sleep', 'infinity'], { SANDBOX_RUNTIME_CLASS: 'gvisor' }, { runtimeClassName: 'gvisor' }],
  ])('prints a DaemonSet of the image, fit for kubectl, and nothing else: %j', (args, command, given, expected) => {
    const printed = runPrepull(args, { K8S_NAMESPACE: 'agents', SANDBOX_IMAGE: 'sandbox:1', ...given });
    expect(printed).toMatchObject({ exitCode: 0, stderr: '' });
    expect(readPrinted(printed)).toStrictEqual([daemonSet(command, expected)]);
  });

  it.each([
    ['a wrong setting', [], 1, /^Misconfigured: K8S_NAMESPACE must be a legal namespace name/],
    ['an unknown option', ['--node=x'], 2, /^Unknown option '--node'.*\n\nPrints a DaemonSet/s],
  ])('prints nothing but what is wrong: %s', (_what, args, exitCode, problem) => {
    const printed = runPrepull(args, { K8S_NAMESPACE: 'A' });
    expect(printed).toMatchObject({ exitCode, stdout: '', stderr: expect.stringMatching(problem) });
  });
});
