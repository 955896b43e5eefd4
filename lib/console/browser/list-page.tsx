import type { ComponentChildren } from 'preact';
import { useEffect, useId } from 'preact/hooks';
import type { Sandbox, SandboxList } from '../../client/index.ts';
import { Chart } from './chart.tsx';
import { hasWords, isAmong, parseSearch } from './filter.ts';
import { alwaysShown, type Sample, shownOrder } from './history.ts';
import { hashOfSandbox, type ListRoute, type Sorting, showList } from './routes.ts';
import { OpenLink, Status } from './status.tsx';
import { formatAge, formatLeft, formatTime } from './times.ts';

/** How many rows are drawn at once: a refresh of 3,000 sandboxes touches no more than these. */
const rowsPerPage = 50;

type Props = { route: ListRoute; list: SandboxList | undefined; samples: readonly Sample[]; hasFailed: boolean };

/** All sandboxes: how many there are of each status, the search, and a table of those that it finds. */
export function ListPage({ route, list, samples, hasFailed }: Props) {
  useEffect(() => {
    document.title = 'Sandboxes';
  }, []);
  const { words } = parseSearch(route.search);
  const found = (list?.sandboxes ?? []).filter((one) => isAmong(one, route.only) && hasWords(one, words));
  const sorted = found.toSorted((one, other) => compare(one, other, route));
  const pages = Math.max(1, Math.ceil(sorted.length / rowsPerPage));
  const page = Math.min(route.page, pages - 1);
  const from = page * rowsPerPage;
  const rows = sorted.slice(from, from + rowsPerPage);
  return (
    <>
      <h1 class="hidden">Sandboxes</h1>
      <Counts route={route} samples={samples} />
      <SearchField route={route} />
      {list === undefined ? (
        !hasFailed && <p class="empty">Loading…</p>
      ) : rows.length === 0 ? (
        <Nothing isFiltered={route.search !== '' || route.only !== ''} />
      ) : (
        <>
          <Table route={route} rows={rows} />
          <nav class="pager" aria-label="Pages of the list">
            <span>
              {from + 1}–{from + rows.length} of {found.length.toLocaleString()}
            </span>
            {pages > 1 && (
              <>
                <button type="button" disabled={page === 0} onClick={() => showList({ ...route, page: page - 1 })}>
                  Previous
                </button>
                <button
                  type="button"
                  disabled={page === pages - 1}
                  onClick={() => showList({ ...route, page: page + 1 })}
                >
                  Next
                </button>
              </>
            )}
          </nav>
        </>
      )}
    </>
  );
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <p class="empty">
        No sandbox is like that. <a href="#/">Show all</a>
      </p>
    );
  }
  return <p class="empty">There are no sandboxes. Each appears here once a create has made it.</p>;
}

const namesOfCounts: Readonly<Record<string, string>> = { all: 'All', unready: 'Not ready' };

/** How many there are and were; each is a button that shows those alone. */
function Counts({ route, samples }: { route: ListRoute; samples: readonly Sample[] }) {
  const now = samples.at(-1)?.counts ?? {};
  const isShown = (name: string) => alwaysShown.includes(name) || samples.some(({ counts }) => (counts[name] ?? 0) > 0);
  return (
    <fieldset class="counts">
      <legend class="hidden">Show only</legend>
      {shownOrder.filter(isShown).map((name) => {
        const only = name === 'all' ? '' : name;
        const isPressed = route.only === only;
        return (
          <button
            key={name}
            type="button"
            class={`count ${name}`}
            aria-pressed={isPressed}
            onClick={() => showList({ ...route, only: isPressed ? '' : only, page: 0 })}
          >
            <span class="name">{namesOfCounts[name] ?? name}</span>{' '}
            <span class="number">{samples.length === 0 ? '–' : (now[name] ?? 0).toLocaleString()}</span>
            <Chart samples={samples} of={name} />
          </button>
        );
      })}
    </fieldset>
  );
}

function SearchField({ route }: { route: ListRoute }) {
  const id = useId();
  return (
    <search class="search">
      <label class="hidden" for={id}>
        Search
      </label>
      <input
        id={id}
        type="search"
        placeholder="Search, or user_id=… metadata.key=…"
        spellcheck={false}
        autocomplete="off"
        value={route.search}
        onInput={(event) => showList({ ...route, search: event.currentTarget.value, page: 0 })}
      />
    </search>
  );
}

function Table({ route, rows }: { route: ListRoute; rows: readonly Sandbox[] }) {
  const head = (sorting: Sorting, name: string) => <Head route={route} sorting={sorting} name={name} />;
  return (
    <table class="sandboxes">
      <caption class="hidden">Sandboxes</caption>
      <thead>
        <tr>
          {head('sandbox', 'Sandbox')}
          {head('status', 'Status')}
          {head('thread', 'Thread')}
          {head('user', 'User')}
          {head('age', 'Age')}
          {head('left', 'Time left')}
          <th scope="col" class="link">
            <span class="hidden">Link</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((sandbox) => (
          <Row key={sandbox.sandbox_id} sandbox={sandbox} />
        ))}
      </tbody>
    </table>
  );
}

function Head({ route, sorting, name }: { route: ListRoute; sorting: Sorting; name: string }) {
  const isSorted = route.sorting === sorting;
  const isReversed = isSorted && !route.isReversed;
  const order = isSorted ? (route.isReversed ? 'descending' : 'ascending') : undefined;
  return (
    <th scope="col" class={sorting} aria-sort={order}>
      <button type="button" onClick={() => showList({ ...route, sorting, isReversed, page: 0 })}>
        {name}
      </button>
    </th>
  );
}

function Row({ sandbox }: { sandbox: Sandbox }) {
  const { sandbox_id, thread_id, user_id, message, created_at, expires_at } = sandbox;
  return (
    <tr>
      <th scope="row" class="sandbox">
        <a class="mono cut" href={hashOfSandbox(sandbox_id)} title={sandbox_id}>
          {sandbox_id}
        </a>
        <span class="narrow muted mono cut">{[thread_id, user_id].filter((one) => one !== null).join(' · ')}</span>
      </th>
      <td class="status">
        <Status sandbox={sandbox} />
        {message !== undefined && (
          <span class="message muted cut" title={message}>
            {message}
          </span>
        )}
      </td>
      <Text class="thread" value={thread_id} />
      <Text class="user" value={user_id} />
      <td class="age" title={formatTime(created_at)}>
        {formatAge(created_at)}
      </td>
      <td class="left" title={formatTime(expires_at)}>
        {formatLeft(expires_at)}
      </td>
      <td class="link">
        <OpenLink sandbox={sandbox} />
      </td>
    </tr>
  );
}

function Text({ value, ...rest }: { class: string; value: string | null }): ComponentChildren {
  return (
    <td {...rest}>
      <span class="mono cut" title={value ?? ''}>
        {value ?? '–'}
      </span>
    </td>
  );
}

/** What a sandbox is sorted by; what is newest, or ends first, comes first. */
const sortedBy: Readonly<Record<Sorting, (sandbox: Sandbox) => string | number>> = {
  sandbox: ({ sandbox_id }) => sandbox_id,
  status: ({ status, reason = '' }) => `${status} ${reason}`,
  thread: ({ thread_id }) => thread_id ?? '',
  user: ({ user_id }) => user_id ?? '',
  age: ({ created_at }) => -Date.parse(created_at ?? '1970-01-01'),
  left: ({ expires_at }) => (expires_at === null ? Number.POSITIVE_INFINITY : Date.parse(expires_at)),
};

/** Those that are alike are in the order of their ids: a refresh moves none. */
function compare(one: Sandbox, other: Sandbox, { sorting, isReversed }: ListRoute): number {
  const [first, second] = [sortedBy[sorting](one), sortedBy[sorting](other)];
  const order = first < second ? -1 : first > second ? 1 : one.sandbox_id < other.sandbox_id ? -1 : 1;
  return isReversed ? -order : order;
}
