import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { printRights, readPrinted } from '../support/rights.ts';

/** Runs what `npm run --silent rbac` runs, with these settings and no others. */
function runRbac(options: readonly string[], settings: Record<string, string>) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['lib/tools/rbac.ts', ...options], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { PATH: process.env.PATH, ...settings },
    encoding: 'utf8',
  });
  return { exitCode: status, stdout, stderr };
}

const verbs = ['create', 'get', 'list', 'patch', 'delete'];
const sandboxes = [
  { apiGroups: [''], resources: ['pods', 'services'], verbs },
  { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  { apiGroups: [''], resources: ['events'], verbs: ['list'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
];
const policies = { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] };
const labels = { 'app.kubernetes.io/name': 'deer-flow', 'app.kubernetes.io/component': 'sandbox' };
const apiVersion = 'rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';

describe('npm run rbac', () => {
  it.each([
    ['what is asked for', 0, ['--group', 'one']],
    ['what is wrong', 2, ['--group']],
  ])('prints, as a command, %s', (_what, exitCode, options) => {
    const settings = { K8S_NAMESPACE: 'agents' };
    const printed = runRbac(options, settings);
    expect(printed).toEqual(printRights(options, settings));
    expect(printed.exitCode).toBe(exitCode);
  });

  it('prints a Role of the namespace and who has it, fit for kubectl, and nothing else', () => {
    const options = ['--group', 'one', '--user', 'two', '--service-account', 'three', '--service-account', 'a/b.c'];
    const printed = printRights(options, { K8S_NAMESPACE: 'agents' });
    expect(printed).toMatchObject({ exitCode: 0, stderr: '' });
    const metadata = { name: 'sandbox-provisioner', namespace: 'agents', labels };
    expect(readPrinted(printed)).toStrictEqual([
      { apiVersion, kind: 'Role', metadata, rules: sandboxes },
      {
        apiVersion,
        kind: 'RoleBinding',
        metadata,
        roleRef: { apiGroup, kind: 'Role', name: 'sandbox-provisioner' },
        subjects: [
          { apiGroup, kind: 'User', name: 'two' },
          { apiGroup, kind: 'Group', name: 'one' },
          { kind: 'ServiceAccount', name: 'three', namespace: 'agents' },
          { kind: 'ServiceAccount', name: 'b.c', namespace: 'a' },
        ],
      },
    ]);
  });

  it.each(['emf', 'prometheus'])('prints the right to see quotas where they are measured: METRICS=%s', (METRICS) => {
    const [role] = readPrinted(printRights(['--user', 'u'], { METRICS }));
    expect(role?.rules).toEqual([...sandboxes, { apiGroups: [''], resources: ['resourcequotas'], verbs: ['list'] }]);
  });

  it('prints rights in every namespace only where it is asked for the right to make one', () => {
    const printed = printRights(['--create-namespace', '--user', 'x: y'], { K8S_NAMESPACE: 'agents' });
    expect(printed).toMatchObject({ exitCode: 0, stderr: '' });
    const metadata = { name: 'sandbox-provisioner:agents', labels };
    const rules = [{ apiGroups: [''], resources: ['namespaces'], verbs: ['create'] }, ...sandboxes];
    expect(readPrinted(printed)).toStrictEqual([
      { apiVersion, kind: 'ClusterRole', metadata, rules },
      {
        apiVersion,
        kind: 'ClusterRoleBinding',
        metadata,
        roleRef: { apiGroup, kind: 'ClusterRole', name: 'sandbox-provisioner:agents' },
        subjects: [{ apiGroup, kind: 'User', name: 'x: y' }],
      },
    ]);
    expect(printed.stdout).toContain('EVERY namespace');
  });

  const named = { ...policies, resourceNames: ['sandbox-provisioner'] };
  const kept = [
    { ...named, verbs: ['get', 'update'] },
    { ...policies, verbs: ['create'] },
  ];
  it.each([
    ['isolated', kept],
    ['offline', kept],
    ['none', [{ ...named, verbs: ['delete'] }]],
  ])('prints what the network policy needs: %s', (policy, rules) => {
    const [role] = readPrinted(printRights(['--group', 'g'], { SANDBOX_NETWORK_POLICY: policy }));
    expect(role?.rules).toStrictEqual([...sandboxes, ...rules]);
  });

  it.each([
    ['nobody', []],
    ['an unknown option', ['--group', 'g', '--foo']],
    ['an option without a value', ['--group']],
    ['an empty name', ['--user', '']],
    ['a word too many', ['--user', 'u', 'v']],
    ['a service account of two namespaces', ['--service-account', 'a/b/c']],
    ['a service account without a name', ['--service-account', 'a/']],
    ['a service account of no legal name', ['--service-account', 'A']],
  ])('says how it is used, and prints nothing: %s', (_what, options) => {
    const { exitCode, stdout, stderr } = printRights(options);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toMatch(/^\S.*\n\nPrints the rights[\s\S]*--service-account/);
  });

  it('tells a wrong setting', () => {
    const stderr = 'Misconfigured: K8S_NAMESPACE must be a legal namespace name (RFC 1123 label)\n';
    expect(printRights(['--user', 'u'], { K8S_NAMESPACE: 'A' })).toEqual({ exitCode: 1, stdout: '', stderr });
  });

  it('tells how it is used where it is asked', () => {
    const stdout = expect.stringContaining('--group');
    expect(printRights(['--help'])).toMatchObject({ exitCode: 0, stderr: '', stdout });
  });
});
