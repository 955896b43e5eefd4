import type { Sandbox } from '../../client/index.ts';

type Seen = Pick<Sandbox, 'status' | 'ready' | 'reason'>;

/** Reasons by which a sandbox is on its way, or gone or going. By all others something is wrong with it. */
const harmless: Readonly<Record<string, 'coming' | 'gone'>> = {
  ...{ Scheduling: 'coming', ContainerCreating: 'coming', PullingImage: 'coming', Starting: 'coming' },
  ...{ NoPod: 'gone', Terminating: 'gone', Completed: 'gone' },
};

const judge = ({ ready, reason }: Seen) => (ready ? 'well' : (harmless[String(reason)] ?? 'unwell'));

/** Its status and, where it is not ready, the reason. The mark has another shape for each, not only another colour. */
export function Status({ sandbox }: { sandbox: Seen }) {
  return (
    <span class={`status ${judge(sandbox)}`}>
      <span class="mark" aria-hidden="true" />
      {sandbox.status}
      {sandbox.reason !== undefined && <span class="reason">{sandbox.reason}</span>}
    </span>
  );
}

/** A link to the sandbox itself, where its address is one that a browser may be sent to. */
export function OpenLink({ sandbox: { sandbox_id, sandbox_url } }: { sandbox: Sandbox }) {
  const protocol = URL.canParse(sandbox_url) ? new URL(sandbox_url).protocol : '';
  if (protocol !== 'http:' && protocol !== 'https:') return <span class="mono">{sandbox_url}</span>;
  return (
    <a class="open" href={sandbox_url} target="_blank" rel="noopener noreferrer" aria-label={`Open ${sandbox_id}`}>
      Open
    </a>
  );
}
