import type { V1Pod, V1Service, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { findThreadId, findUserId } from '../../lib/model/adoption.ts';

const service: V1Service = { metadata: { annotations: {} } };
const noted: V1Service = {
  metadata: { annotations: { 'sandbox-provisioner/thread-id': 'noted', 'sandbox-provisioner/user-id': 'noted-user' } },
};
const folder = (name: string, path: string): V1Volume => ({ name, hostPath: { path } });
const claim = (name: string): V1Volume => ({ name, persistentVolumeClaim: { claimName: 'home' } });
const mount = (name: string, mountPath: string, subPath?: string): V1VolumeMount => ({
  name,
  mountPath,
  ...(subPath !== undefined && { subPath }),
});
const podOf = (volumes: V1Volume[], volumeMounts: V1VolumeMount[] = []): V1Pod => ({
  spec: { containers: [{ name: 'sandbox', volumeMounts }], volumes },
});
const mounting = (path: string, ...others: V1Volume[]) =>
  podOf([folder('skills', '/x/user-data'), ...others, folder('user-data', path)]);

const projections = (user: string) => [
  folder('skills-public', '/state/skills_view/public'),
  folder('skills-custom', `/state/users/${user}/skills_view/custom`),
  folder('skills-legacy', `/state/users/${user}/skills_view/legacy`),
];
/** As the original makes it with a claim: each mount has its own volume of it. */
const claimed = podOf(
  [...projections('alice'), claim('user-data'), claim('extra-0')],
  [
    mount('skills-public', '/mnt/skills/public'),
    mount('extra-0', '/mnt/acp-workspace', 'deer-flow/users/alice/threads/other/acp-workspace'),
    mount('user-data', '/mnt/user-data', 'deer-flow/users/alice/threads/T_1/user-data'),
  ],
);

describe('whose a sandbox is', () => {
  it.each<[string, V1Service | undefined, V1Pod | undefined, [thread: string | undefined, user: string | undefined]]>([
    ['noted on its Service', noted, undefined, ['noted', 'noted-user']],
    ['noted, whatever its Pod mounts', noted, claimed, ['noted', 'noted-user']],
    ["told by the oldest original's folder", service, mounting('/threads/mounted/user-data'), ['mounted', undefined]],
    // A list has an empty text for what is not set.
    [
      'told by that folder in a list',
      service,
      podOf([folder('user-data', '/threads/mounted/user-data')], [mount('user-data', '/mnt/user-data', '')]),
      ['mounted', undefined],
    ],
    ['told where the Service is gone', undefined, mounting('/a/b/c/mounted/user-data'), ['mounted', undefined]],
    ['told below the root folder', undefined, mounting('/mounted/user-data'), ['mounted', undefined]],
    ['told on Windows', undefined, mounting('C:\\state\\threads\\T\\user-data'), ['T', undefined]],
    [
      'told by the projections on the node',
      service,
      mounting('/state/threads/T_1/user-data', ...projections('alice')),
      ['T_1', 'alice'],
    ],
    [
      'told by the extra mounts that replace them',
      service,
      mounting(
        '/state/threads/T_1/user-data',
        folder('extra-0', '/state/users/a-b/threads/T_1/acp-workspace'),
        folder('extra-1', '/state/users/a-b/threads/T_1/skills_view/custom'),
        folder('extra-2', '/state/users/a-b/integrations/lark-cli/config'),
        folder('extra-3', '/state/integrations/lark-cli/sandbox-cli'),
      ),
      ['T_1', 'a-b'],
    ],
    ['told by a claim', service, claimed, ['T_1', 'alice']],
    // An operator's path may look like a user's folder.
    [
      'told by no path of a Pod that is ours',
      service,
      { metadata: { annotations: { 'sandbox-provisioner/spec-hash': '0' } }, ...claimed },
      ['T_1', undefined],
    ],
    [
      'told by a claim of skills as well',
      service,
      podOf(
        [claim('skills'), claim('user-data')],
        [
          mount('skills', '/mnt/skills', 'deer-flow/users/u/threads/t/skills'),
          mount('user-data', '/mnt/user-data', 'deer-flow/users/u/threads/t/user-data'),
        ],
      ),
      ['t', 'u'],
    ],
    [
      "nobody's where it mounts two users' folders",
      service,
      mounting('/threads/T/user-data', ...projections('alice'), folder('x', '/state/users/bob/integrations/lark-cli')),
      ['T', undefined],
    ],
    [
      "no user's where only the folder of all threads is in somebody's home",
      service,
      mounting('/data/users/bob/threads/T/user-data'),
      ['T', undefined],
    ],
    ['unknown where the folder has another form', service, mounting('/threads/mounted/data'), [undefined, undefined]],
    ['unknown where the folder has no thread in it', service, mounting('/threads//user-data'), [undefined, undefined]],
    [
      'unknown where the volume is neither',
      service,
      podOf([{ name: 'user-data', emptyDir: {} }]),
      [undefined, undefined],
    ],
    ['unknown without volumes', service, { spec: { containers: [] } }, [undefined, undefined]],
    ['unknown without a Pod', service, undefined, [undefined, undefined]],
    ['unknown without anything', undefined, undefined, [undefined, undefined]],
  ])('is %s', (_what, itsService, itsPod, [threadId, userId]) => {
    expect([findThreadId(itsService, itsPod), findUserId(itsService, itsPod)]).toEqual([threadId, userId]);
  });
});
