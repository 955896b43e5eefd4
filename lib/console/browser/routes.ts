import { useEffect, useState } from 'preact/hooks';

/** What a list can be sorted by. */
export const sortings = ['sandbox', 'status', 'thread', 'user', 'age', 'left'] as const;
export type Sorting = (typeof sortings)[number];

/** What the list shows. */
export type ListRoute = Readonly<{
  kind: 'list';
  /** What was typed into the search. */
  search: string;
  /** Only those with this status, or `unready`. */
  only: string;
  sorting: Sorting;
  isReversed: boolean;
  /** Counts from 0. */
  page: number;
}>;

/** What of the page is shown: the part of its address behind `#`. */
export type Route = ListRoute | Readonly<{ kind: 'sandbox'; sandboxId: string }>;

/** The list as it is at first. */
export const wholeList: ListRoute = {
  ...{ kind: 'list', search: '', only: '', sorting: 'age', isReversed: false, page: 0 },
};

/** What the part of an address behind `#` means; the whole list, where it means nothing. */
export function parseHash(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?');
  const sandboxId = /^\/sandboxes\/([^/]+)$/.exec(path)?.[1];
  if (sandboxId !== undefined) return { kind: 'sandbox', sandboxId: decode(sandboxId) };
  const read = new URLSearchParams(query);
  const sorting = sortings.find((one) => one === read.get('sort')?.replace('-', ''));
  return {
    kind: 'list',
    search: read.get('search') ?? '',
    only: read.get('only') ?? '',
    sorting: sorting ?? wholeList.sorting,
    isReversed: read.get('sort')?.startsWith('-') ?? false,
    page: Math.max(0, Math.floor(Number(read.get('page')) || 0)),
  };
}

/** The other way round: a link to that list. */
export function hashOfList({ search, only, sorting, isReversed, page }: ListRoute): string {
  const query = new URLSearchParams();
  if (search !== '') query.set('search', search);
  if (only !== '') query.set('only', only);
  if (sorting !== wholeList.sorting || isReversed) query.set('sort', `${isReversed ? '-' : ''}${sorting}`);
  if (page > 0) query.set('page', String(page));
  return `#/${query.size === 0 ? '' : `?${query}`}`;
}

/** A link to a sandbox. */
export const hashOfSandbox = (sandboxId: string): string => `#/sandboxes/${encodeURIComponent(sandboxId)}`;

/** Shows the list so, without another step in the browser's history. */
export const showList = (route: ListRoute): void => location.replace(hashOfList(route));

/** What is shown, and again when that changes. */
export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const look = () => setHash(location.hash);
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return parseHash(hash);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
