import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Conflict, type Sandbox, type SandboxClient, SandboxNotFound } from '../../client/index.ts';
import { Dialog } from './dialog.tsx';
import { describeError } from './failures.ts';
import { type Poll, usePoll } from './poll.ts';
import { hashOfList, wholeList } from './routes.ts';
import { OpenLink, Status } from './status.tsx';
import { formatAge, formatLeft, formatTime } from './times.ts';

type Props = {
  sandboxId: string;
  /** As the list has it; undefined while there is no list, and where it is not in it. */
  sandbox: Sandbox | undefined;
  isGone: boolean;
  client: SandboxClient;
  /** The link to the list as it was. */
  back: string;
  /** It was changed: in these words. */
  onChange(words: string): void;
};

/**
 * One sandbox: what it is, what happened to it, what it has printed, and what can be done with it. Nothing that is shown counts as a
 * use: what it is comes from the list, because a look at one would keep it alive.
 */
export function SandboxPage({ sandboxId, sandbox, isGone, client, back, onChange }: Props) {
  const [question, setQuestion] = useState<'renew' | 'remove'>();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${sandboxId} · Sandboxes`;
    heading.current?.focus();
  }, [sandboxId]);
  const known = useRef(sandbox);
  known.current = isGone ? undefined : (sandbox ?? known.current);
  const shown = known.current;

  return (
    <>
      <nav aria-label="Back">
        <a href={back}>← All sandboxes</a>
      </nav>
      <div class="title">
        <h1 ref={heading} tabIndex={-1} class="mono">
          {sandboxId}
        </h1>
        {shown && (
          <div class="actions">
            <OpenLink sandbox={shown} />
            <button type="button" onClick={() => setQuestion('renew')}>
              Renew…
            </button>
            <button type="button" class="danger" onClick={() => setQuestion('remove')}>
              Remove…
            </button>
          </div>
        )}
      </div>
      {shown ? (
        <Facts sandbox={shown} />
      ) : (
        <p class="empty">{isGone ? `There is no sandbox ${sandboxId}.` : 'Loading…'}</p>
      )}
      {!isGone && <Events sandboxId={sandboxId} client={client} />}
      {!isGone && <Log sandboxId={sandboxId} client={client} />}
      {question === 'renew' && (
        <RenewDialog
          sandboxId={sandboxId}
          client={client}
          onDone={() => onChange(`${sandboxId} was renewed.`)}
          onClose={() => setQuestion(undefined)}
        />
      )}
      {question === 'remove' && (
        <Dialog
          title={`Remove ${sandboxId}?`}
          action="Remove"
          busy="Removing…"
          isDangerous
          onConfirm={async () => {
            await client.destroy(sandboxId);
            onChange(`${sandboxId} was removed.`);
            location.hash = back;
          }}
          onClose={() => setQuestion(undefined)}
        >
          <p>Its processes end, and its address is given up. The files of its thread stay where they are.</p>
        </Dialog>
      )}
    </>
  );
}

const filterBy = (search: string) => hashOfList({ ...wholeList, search });

function Facts({ sandbox }: { sandbox: Sandbox }) {
  const { thread_id, user_id, metadata, image, message, created_at, expires_at } = sandbox;
  const filter = (name: string, value: string | null) =>
    value === null ? '–' : <a href={filterBy(`${name}=${value}`)}>{value}</a>;
  return (
    <dl class="facts">
      <Fact name="Status">
        <Status sandbox={sandbox} />
        {message !== undefined && <div class="muted">{message}</div>}
      </Fact>
      <Fact name="Age">
        {formatAge(created_at)} <span class="muted">since {formatTime(created_at)}</span>
      </Fact>
      <Fact name="Time left">
        {formatLeft(expires_at)} {expires_at !== null && <span class="muted">until {formatTime(expires_at)}</span>}
      </Fact>
      <Fact name="Thread">
        <span class="mono">{filter('thread_id', thread_id)}</span>
      </Fact>
      <Fact name="User">
        <span class="mono">{filter('user_id', user_id)}</span>
      </Fact>
      <Fact name="Metadata">
        {Object.keys(metadata).length === 0 ? '–' : null}
        {Object.entries(metadata).map(([key, value]) => (
          <a key={key} class="pair mono" href={filterBy(`metadata.${key}=${value}`)}>
            {key}={value}
          </a>
        ))}
      </Fact>
      <Fact name="Address">
        <span class="mono">{sandbox.sandbox_url}</span>
      </Fact>
      <Fact name="Image">
        <span class="mono">{image ?? '–'}</span>
      </Fact>
      <Fact name="Pod">
        <span class="mono">{sandbox.container_id ?? '–'}</span>
      </Fact>
      <Fact name="Shells">{sandbox.max_shell_sessions} at once</Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

type PartProps = { sandboxId: string; client: SandboxClient };

function Events({ sandboxId, client }: PartProps) {
  const poll = usePoll(sandboxId, (signal) => client.events(sandboxId, { signal }));
  const events = poll.data?.events ?? [];
  return (
    <section aria-label="Events">
      <h2>Events</h2>
      <Trouble poll={poll} />
      {poll.data && events.length === 0 && <p class="muted">Nothing happened to its Pod within the last hour.</p>}
      {events.length > 0 && (
        <table class="events">
          <thead>
            <tr>
              <th scope="col">Last seen</th>
              <th scope="col">Reason</th>
              <th scope="col">What happened</th>
              <th scope="col" class="times">
                Times
              </th>
            </tr>
          </thead>
          <tbody>
            {events.map((event, index) => (
              <tr key={events.length - index} class={event.type}>
                <td title={formatTime(event.last_seen)}>
                  {event.last_seen === null ? '–' : `${formatAge(event.last_seen)} ago`}
                </td>
                <td>
                  {event.type === 'Warning' && <span class="warning">Warning </span>}
                  {event.reason}
                </td>
                <td class="what">{event.message}</td>
                <td class="times">{event.count}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const tails = [200, 1_000, 5_000] as const;

function Log({ sandboxId, client }: PartProps) {
  const [tail, setTail] = useState<number>(tails[0]);
  const [previous, setPrevious] = useState(false);
  const id = useId();
  const poll = usePoll(
    JSON.stringify([sandboxId, tail, previous]),
    (signal) => client.logs(sandboxId, { tail, previous }, { signal }),
    weighLog,
  );
  const box = useRef<HTMLTextAreaElement>(null);
  const wasAtEnd = useRef(true);
  useEffect(() => {
    if (box.current && wasAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [poll.data]);
  return (
    <section aria-label="Log">
      <div class="title">
        <h2>Log</h2>
        <div class="actions">
          <label for={`${id}-tail`}>Lines</label>
          <select id={`${id}-tail`} value={tail} onChange={(event) => setTail(Number(event.currentTarget.value))}>
            {tails.map((one) => (
              <option key={one} value={one}>
                {one.toLocaleString()}
              </option>
            ))}
          </select>
          <label class="check">
            <input type="checkbox" checked={previous} onChange={(event) => setPrevious(event.currentTarget.checked)} />
            of the process before
          </label>
        </div>
      </div>
      <Trouble poll={poll} />
      {poll.data === '' && <p class="muted">It has printed nothing.</p>}
      {poll.data && (
        <textarea
          ref={box}
          class="log"
          aria-label="What it has printed"
          readOnly
          spellcheck={false}
          rows={Math.min(30, poll.data.trimEnd().split('\n').length)}
          value={poll.data}
          onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
            wasAtEnd.current = scrollTop + clientHeight >= scrollHeight - 4;
          }}
        />
      )}
    </section>
  );
}

/** The pause after a log, in milliseconds: one of 1 MB is read once a minute. */
const weighLog = (log: string): number => log.length / 16;

/** What keeps something from being shown. That there is nothing to show yet is no fault. */
function Trouble({ poll: { error, data } }: { poll: Poll<unknown> }) {
  if (error === undefined) return data === undefined ? <p class="muted">Loading…</p> : null;
  if (error instanceof Conflict || error instanceof SandboxNotFound) return <p class="muted">{error.message}</p>;
  return (
    <p class="failure" role="alert">
      {describeError(error)}
    </p>
  );
}

/** For how long a sandbox may go unused from now on, in seconds; 0: as long as before. */
const spans: readonly (readonly [seconds: number, name: string])[] = [
  [0, 'as long as before'],
  [3_600, '1 hour'],
  [28_800, '8 hours'],
  [86_400, '1 day'],
  [604_800, '7 days'],
];

function RenewDialog({ sandboxId, client, onDone, onClose }: PartProps & { onDone(): void; onClose(): void }) {
  const [seconds, setSeconds] = useState(0);
  const id = useId();
  return (
    <Dialog
      title={`Renew ${sandboxId}?`}
      action="Renew"
      busy="Renewing…"
      onConfirm={async () => {
        await client.renew(sandboxId, seconds === 0 ? {} : { ttl_seconds: seconds });
        onDone();
      }}
      onClose={onClose}
    >
      <p>Its time begins anew, as if it had been used now.</p>
      <label for={id}>It may go unused for</label>
      <select id={id} value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
        {spans.map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </Dialog>
  );
}
