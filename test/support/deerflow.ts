/** An extra mount, as a caller sends it. */
export type SentMount = { host_path: string; container_path: string; read_only: boolean };

const lark = '/mnt/integrations/lark-cli';

/**
 * The extra mounts that DeerFlow's provider sends for a thread, with the state below `root`: the six of August 2026 and the nine of a
 * later one, in its order.
 */
export function providerMounts(root: string, { threadId, userId }: { threadId: string; userId: string }) {
  const mount = (container_path: string, below: string, read_only = true): SentMount => ({
    host_path: `${root}/${below}`,
    container_path,
    read_only,
  });
  const user = `users/${userId}`;
  const acp = mount('/mnt/acp-workspace', `${user}/threads/${threadId}/acp-workspace`);
  const custom = mount('/mnt/skills/custom', `${user}/skills_view/custom`);
  const integrations = mount('/mnt/skills/integrations', `${user}/skills_view/integrations`);
  const ofLark = [
    mount(`${lark}/config`, `${user}/integrations/lark-cli/config`),
    mount(`${lark}/config/locks`, `${user}/integrations/lark-cli/config/locks`, false),
    mount(`${lark}/data`, `${user}/integrations/lark-cli/data`, false),
  ];
  return {
    six: [acp, custom, integrations, ...ofLark],
    nine: [
      acp,
      mount('/mnt/skills/public', 'skills_view/public'),
      custom,
      mount('/mnt/skills/legacy', `${user}/skills_view/legacy`),
      integrations,
      ...ofLark,
      mount(`${lark}/runtime`, 'integrations/lark-cli/sandbox-cli'),
    ],
  };
}
