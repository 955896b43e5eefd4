import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../lib/config/index.ts';
import { buildNamespace, buildPod, buildService, isMadeOtherwise, useAnnotations } from '../../lib/model/manifests.ts';
import type { CreateSandboxRequest } from '../../lib/model/request.ts';

const config = loadConfig({
  K8S_NAMESPACE: 'agents',
  SANDBOX_IMAGE: 'sandbox.example/all-in-one:1',
  SKILLS_HOST_PATH: '/srv/skills',
  THREADS_HOST_PATH: '/srv/threads',
});
const request = { sandboxId: 'a1b2c3d4', threadId: 'Thread_1' };
const use = { at: new Date('2026-11-22T12:00:00.123Z'), requestId: '8f507cfc-4697' };
const labels = {
  app: 'deer-flow-sandbox',
  'sandbox-id': 'a1b2c3d4',
  'app.kubernetes.io/name': 'deer-flow',
  'app.kubernetes.io/component': 'sandbox',
};

describe('the manifest', () => {
  it('of the namespace', () => {
    const labels = { 'app.kubernetes.io/name': 'deer-flow', 'app.kubernetes.io/component': 'sandbox' };
    const metadata = { name: 'agents', labels };
    expect(buildNamespace('agents')).toStrictEqual({ apiVersion: 'v1', kind: 'Namespace', metadata });
  });

  it("of a Service: the original's, and whose sandbox it is, and who used it last", () => {
    expect(buildService(request, use, 'agents')).toStrictEqual({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'sandbox-a1b2c3d4-svc',
        namespace: 'agents',
        labels,
        annotations: {
          'sandbox-provisioner/thread-id': 'Thread_1',
          'sandbox-provisioner/last-used-at': '2026-11-22T12:00:00.123Z',
          'sandbox-provisioner/last-used-by': '8f507cfc-4697',
        },
      },
      spec: {
        type: 'NodePort',
        ports: [{ name: 'http', port: 8080, targetPort: 8080, protocol: 'TCP' }],
        publishNotReadyAddresses: true,
        selector: { 'sandbox-id': 'a1b2c3d4' },
      },
    });
  });

  it("of a Pod: the original's, owned by its Service, without a token and without the other Services' addresses", () => {
    const owner = { name: 'sandbox-a1b2c3d4-svc', uid: '5f2b1c1e-0000-4000-8000-000000000000' };
    const probe = { httpGet: { path: '/v1/sandbox', port: 8080 }, timeoutSeconds: 3, failureThreshold: 3 };
    expect(buildPod(request, { metadata: { ...owner, namespace: 'agents' } }, config)).toStrictEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'sandbox-a1b2c3d4',
        namespace: 'agents',
        labels,
        annotations: { 'sandbox-provisioner/spec-hash': expect.stringMatching(/^[0-9a-f]{16}$/) },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', ...owner }],
      },
      spec: {
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        restartPolicy: 'Always',
        containers: [
          {
            name: 'sandbox',
            image: 'sandbox.example/all-in-one:1',
            imagePullPolicy: 'IfNotPresent',
            ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
            startupProbe: { ...probe, periodSeconds: 1, failureThreshold: 300 },
            readinessProbe: { ...probe, periodSeconds: 5 },
            livenessProbe: { ...probe, periodSeconds: 10 },
            resources: {
              requests: { cpu: '100m', memory: '256Mi', 'ephemeral-storage': '500Mi' },
              limits: { cpu: '1000m', memory: '1Gi', 'ephemeral-storage': '500Mi' },
            },
            volumeMounts: [
              { name: 'skills', mountPath: '/mnt/skills', readOnly: true },
              { name: 'user-data', mountPath: '/mnt/user-data', readOnly: false },
            ],
            securityContext: { privileged: false, allowPrivilegeEscalation: true },
          },
        ],
        volumes: [
          { name: 'skills', hostPath: { path: '/srv/skills', type: 'Directory' } },
          { name: 'user-data', hostPath: { path: '/srv/threads/Thread_1/user-data', type: 'DirectoryOrCreate' } },
        ],
      },
    });
  });

  const securityOf = (settings: Record<string, string | undefined>) =>
    buildPod(request, {}, loadConfig(settings)).spec?.containers[0]?.securityContext;

  const privileges = { privileged: false, allowPrivilegeEscalation: true };
  const profile = { seccompProfile: { type: 'RuntimeDefault' } };
  const restricted = {
    ...{ privileged: false, allowPrivilegeEscalation: false, runAsNonRoot: true },
    ...{ capabilities: { drop: ['ALL'] }, ...profile },
  };
  const user = { runAsUser: 1000, runAsGroup: 1000 };
  it.each<[string, string | undefined, string | undefined, object]>([
    ['as the original has it', undefined, undefined, privileges],
    ['baseline', 'baseline', undefined, { ...privileges, ...profile }],
    ['restricted', 'restricted', undefined, restricted],
    ["the original's, as another user", undefined, '1000', { ...privileges, ...user }],
    ['restricted, as another user', 'restricted', '1000', { ...restricted, ...user }],
  ])("of a Pod's security: %s", (_which, SANDBOX_POD_SECURITY, SANDBOX_RUN_AS_USER, context) => {
    expect(securityOf({ SANDBOX_POD_SECURITY, SANDBOX_RUN_AS_USER })).toStrictEqual(context);
  });

  it('of a Pod: nothing else of it changes with its security', () => {
    const podOf = (settings: Record<string, string>) => {
      const pod = buildPod(request, {}, loadConfig(settings));
      delete pod.spec?.containers[0]?.securityContext;
      return pod.spec;
    };
    const settings = { SANDBOX_POD_SECURITY: 'restricted', SANDBOX_RUN_AS_USER: '1000' };
    expect(podOf(settings)).toStrictEqual(podOf({}));
  });

  it.each<[string, Partial<CreateSandboxRequest>, Record<string, string>, boolean]>([
    ['the same', {}, {}, false],
    ['another time to live, which is not of the Pod', { ttlSeconds: 5 }, { SANDBOX_TTL_SECONDS: '5' }, false],
    ['another image', {}, { SANDBOX_IMAGE: 'sandbox.example/mended:2' }, true],
    ['other resources', {}, { SANDBOX_MEMORY_REQUEST: '1Mi' }, true],
    ['another folder', {}, { SKILLS_HOST_PATH: '/elsewhere' }, true],
    ['another thread', { threadId: 'another' }, {}, true],
  ])('of a Pod tells whether it would be made otherwise today: %s', (_what, changes, settings, isOtherwise) => {
    const pod = buildPod(request, {}, loadConfig({}));
    // As Kubernetes gives it back: with its defaults, and its own spelling.
    const stored = { ...pod, spec: { ...pod.spec, containers: [], dnsPolicy: 'ClusterFirst' } };
    expect(isMadeOtherwise(stored, { ...request, ...changes }, loadConfig(settings))).toBe(isOtherwise);
  });

  it("of a Pod tells that the original's would be made otherwise, of which nobody noted what of", () => {
    expect(isMadeOtherwise({ ...buildPod(request, {}, config), metadata: {} }, request, config)).toBe(true);
  });

  it('of a Pod: in its runtime class, and with the resources that are set', () => {
    const settings = {
      SANDBOX_RUNTIME_CLASS: 'gvisor',
      SANDBOX_CPU_REQUEST: '1',
      SANDBOX_CPU_LIMIT: '2',
      SANDBOX_MEMORY_REQUEST: '3Mi',
      SANDBOX_MEMORY_LIMIT: '4Mi',
      SANDBOX_EPHEMERAL_STORAGE_REQUEST: '5Gi',
      SANDBOX_EPHEMERAL_STORAGE_LIMIT: '6Gi',
    };
    const { spec } = buildPod(request, {}, loadConfig(settings));
    expect(spec?.runtimeClassName).toBe('gvisor');
    expect(spec?.containers[0]?.resources).toStrictEqual({
      requests: { cpu: '1', memory: '3Mi', 'ephemeral-storage': '5Gi' },
      limits: { cpu: '2', memory: '4Mi', 'ephemeral-storage': '6Gi' },
    });
  });

  it('of a use: two within one millisecond still differ', () => {
    const other = { ...use, requestId: 'another' };
    expect(useAnnotations(use)).toStrictEqual({
      'sandbox-provisioner/last-used-at': '2026-11-22T12:00:00.123Z',
      'sandbox-provisioner/last-used-by': '8f507cfc-4697',
    });
    expect(useAnnotations(other)).not.toEqual(useAnnotations(use));
  });

  it('shares nothing with the next one', () => {
    const service = buildService(request, use, 'agents');
    const one = buildPod(request, service, config);
    const another = structuredClone(buildPod(request, service, config));
    delete one.spec?.containers[0]?.readinessProbe;
    one.metadata = {};
    expect(buildPod(request, service, config)).toEqual(another);
    buildNamespace('agents').metadata = {};
    expect(buildNamespace('agents').metadata?.name).toBe('agents');
  });
});
