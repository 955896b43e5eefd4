import { useEffect, useRef, useState } from 'preact/hooks';
import { Unavailable } from '../../client/index.ts';

/** What is known by now: the last answer, when it came, and why there was no newer one. */
export type Poll<Data> = Readonly<{
  data?: Data;
  at?: Date;
  error?: Error;
  /** How long it pauses between two answers, in milliseconds. */
  pauseMs?: number;
  /** Asks now. */
  refresh(): void;
}>;

/** The shortest and the longest pause, in milliseconds. The longest is that after many failures. */
const [shortestMs, longestMs] = [5_000, 60_000];

/** After an answer, it pauses for at least so many times as long as that took: it never keeps the provisioner busy. */
const idleRatio = 20;

type State<Data> = Omit<Poll<Data>, 'refresh'>;

/**
 * Asks again and again while somebody can see the page, and not at all while nobody can. It begins anew, and forgets what it knew, when
 * `of` changes. `weigh` says how long to pause for an answer of this size, in milliseconds. After failures it pauses longer each time.
 */
export function usePoll<Data>(
  of: string,
  ask: (signal: AbortSignal) => Promise<Data>,
  weigh: (data: Data) => number = () => shortestMs,
): Poll<Data> {
  const [state, setState] = useState<{ of: string; known: State<Data> }>({ of, known: {} });
  const latest = useRef({ ask, weigh });
  latest.current = { ask, weigh };
  const refresh = useRef(() => {});

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let running: AbortController | undefined;
    let failures = 0;
    let dueAt = 0;
    const change = (act: (known: State<Data>) => State<Data>) =>
      setState((before) => ({ of, known: act(before.of === of ? before.known : {}) }));

    const begin = async () => {
      clearTimeout(timer);
      running?.abort();
      const current = new AbortController();
      running = current;
      const begunAt = performance.now();
      let pauseMs: number;
      try {
        const data = await latest.current.ask(current.signal);
        if (current.signal.aborted) return;
        failures = 0;
        pauseMs = Math.max(shortestMs, latest.current.weigh(data), idleRatio * (performance.now() - begunAt));
        change(() => ({ data, at: new Date(), pauseMs }));
      } catch (error) {
        if (current.signal.aborted) return;
        failures += 1;
        const toldMs = error instanceof Unavailable ? error.retryAfterSeconds * 1000 : 0;
        pauseMs = Math.max(toldMs, Math.min(longestMs, shortestMs * 2 ** failures));
        change((known) => ({ ...known, error: error as Error, pauseMs }));
      }
      running = undefined;
      dueAt = Date.now() + pauseMs;
      look();
    };
    const look = () => {
      clearTimeout(timer);
      if (!document.hidden && running === undefined) timer = setTimeout(begin, Math.max(0, dueAt - Date.now()));
    };
    refresh.current = begin;
    document.addEventListener('visibilitychange', look);
    look();
    return () => {
      document.removeEventListener('visibilitychange', look);
      clearTimeout(timer);
      running?.abort();
      refresh.current = () => {};
    };
  }, [of]);

  return { ...(state.of === of ? state.known : {}), refresh: () => refresh.current() };
}
