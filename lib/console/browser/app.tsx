import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ListFilter, SandboxClient, SandboxList } from '../../client/index.ts';
import { describeError } from './failures.ts';
import { parseSearch } from './filter.ts';
import { addSample, countSandboxes, type Sample } from './history.ts';
import { ListPage } from './list-page.tsx';
import { usePoll } from './poll.ts';
import { hashOfList, useRoute, wholeList } from './routes.ts';
import { SandboxPage } from './sandbox-page.tsx';
import { type CredentialKind, type Credentials, keepCredentials, openClient, readCredentials } from './session.ts';
import { SignIn } from './sign-in.tsx';

/** The page: what is asked for first, where the API asks who calls, or what there is to see. */
export function App() {
  const [credentials, setCredentials] = useState(readCredentials);
  const [asked, setAsked] = useState<CredentialKind>();
  const client = useMemo(() => openClient(credentials, setAsked), [credentials]);
  const enter = (entered: Credentials | undefined) => {
    keepCredentials(entered);
    setCredentials(entered);
    setAsked(undefined);
  };
  if (asked !== undefined) return <SignIn asked={asked} wasRefused={credentials !== undefined} onEnter={enter} />;
  // By the key: what it let us see is forgotten with it.
  return (
    <Console
      key={credentials?.secret ?? ''}
      client={client}
      credentials={credentials}
      onForget={() => enter(undefined)}
    />
  );
}

type ConsoleProps = { client: SandboxClient; credentials: Credentials | undefined; onForget(): void };

function Console({ client, credentials, onForget }: ConsoleProps) {
  const route = useRoute();
  // A sandbox's own page leaves the list as it was.
  const [listRoute, setListRoute] = useState(route.kind === 'list' ? route : wholeList);
  if (route.kind === 'list' && JSON.stringify(route) !== JSON.stringify(listRoute)) setListRoute(route);
  const [notice, setNotice] = useState('');

  const of = useSettled(JSON.stringify(parseSearch(listRoute.search).filter));
  const list = usePoll(of, (signal) => client.list(JSON.parse(of) as ListFilter, { signal }), weighList);
  const samples = useSamples(of, list.data, list.at);

  const found = list.data?.sandboxes.find((one) => route.kind === 'sandbox' && one.sandbox_id === route.sandboxId);
  const isMissing = route.kind === 'sandbox' && list.data !== undefined && found === undefined;
  // It may only be none of those that the filters let through, or be newer than the list.
  useEffect(() => {
    if (isMissing && of !== '{}') setListRoute(wholeList);
    else if (isMissing) list.refresh();
  }, [isMissing, of]);
  useEffect(() => {
    const timer = setTimeout(() => setNotice(''), noticeMs);
    return () => clearTimeout(timer);
  }, [notice]);

  return (
    <>
      <header class="top">
        <a class="brand" href="#/">
          Sandboxes
        </a>
        <Freshness {...list} />
        {credentials && (
          <button type="button" class="quiet" onClick={onForget}>
            Forget the {credentials.kind}
          </button>
        )}
      </header>
      <main>
        <p class="notice" role="status">
          {notice}
        </p>
        {list.error && <Failure error={list.error} at={list.at} pauseMs={list.pauseMs} onRetry={list.refresh} />}
        {route.kind === 'list' ? (
          <ListPage route={route} list={list.data} samples={samples} hasFailed={list.error !== undefined} />
        ) : (
          <SandboxPage
            key={route.sandboxId}
            sandboxId={route.sandboxId}
            sandbox={found}
            isGone={isMissing && of === '{}'}
            client={client}
            back={hashOfList(listRoute)}
            onChange={(words) => {
              setNotice(words);
              list.refresh();
            }}
          />
        )}
      </main>
    </>
  );
}

/** For how long it says what was done, in milliseconds. */
const noticeMs = 10_000;

/** The pause after a list, in milliseconds: one of 3,000 sandboxes is read every 30 seconds. */
const weighList = ({ count }: SandboxList): number => count * 10;

/** How long somebody types until the API is asked, in milliseconds. */
const settleMs = 400;

/** The text, once it has stayed the same for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), settleMs);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

/** How many there were since these filters are set. */
function useSamples(of: string, list: SandboxList | undefined, at: Date | undefined): readonly Sample[] {
  const seen = useRef<{ of: string; at?: Date; samples: readonly Sample[] }>({ of, samples: [] });
  if (seen.current.of !== of) seen.current = { of, samples: [] };
  if (list !== undefined && at !== undefined && seen.current.at !== at) {
    const sample = { at: at.getTime(), counts: countSandboxes(list.sandboxes) };
    seen.current = { of, at, samples: addSample(seen.current.samples, sample) };
  }
  return seen.current.samples;
}

type Known = { at?: Date; pauseMs?: number; error?: Error; refresh(): void };

function Freshness({ at, pauseMs = 0, error, refresh }: Known) {
  return (
    <span class="freshness">
      {at && (
        <span>
          {error ? 'As of ' : ''}
          <time dateTime={at.toISOString()}>{at.toLocaleTimeString()}</time>
          {!error && <span class="wide">, every {Math.round(pauseMs / 1000)} s</span>}
        </span>
      )}
      <button type="button" class="quiet" onClick={refresh}>
        Refresh
      </button>
    </span>
  );
}

type FailureProps = { error: Error; at: Date | undefined; pauseMs: number | undefined; onRetry(): void };

/** Why there is no newer answer, and when the next is asked for. */
function Failure({ error, at, pauseMs = 0, onRetry }: FailureProps) {
  return (
    <div class="failure" role="alert">
      <div>
        <strong>{at ? 'The list could not be refreshed.' : 'The sandboxes could not be listed.'}</strong>{' '}
        {describeError(error)} <span class="muted">Asks again after {Math.round(pauseMs / 1000)} s.</span>
      </div>
      <button type="button" onClick={onRetry}>
        Try now
      </button>
    </div>
  );
}
